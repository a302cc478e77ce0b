//! TLS with clients, with the certificates of an authority made on the spot.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustls::pki_types::CertificateDer;

use common::home::Home;
use common::tls::Authority;
use common::wire::Wire;
use common::{Login, Password, Setup, Weir, psql};

fn app(weir: &Weir, sslmode: &str) -> Login {
    weir.login("app", "app").password("secret").set("PGSSLMODE", sslmode)
}

#[test]
fn a_client_without_tls_is_refused_where_tls_is_required() {
    let server = Setup::new().start();
    let weir = Weir::setup()
        .server(&server)
        .tls(&Authority::new().server())
        .setting("client_tls_sslmode", "require")
        .start();
    assert_eq!(psql(&app(&weir, "require"), "SELECT 42").ok(), "42");
    let words = psql(&app(&weir, "disable"), "SELECT 42").failed().to_owned();
    assert!(words.contains("FATAL:  SSL required"), "{words}");
    weir.stop();
}

#[test]
fn a_client_may_choose_where_tls_is_allowed() {
    let server = Setup::new().start();
    let weir = Weir::setup().server(&server).tls(&Authority::new().server()).start();
    for sslmode in ["disable", "prefer", "require"] {
        assert_eq!(psql(&app(&weir, sslmode), "SELECT 42").ok(), "42", "{sslmode}");
    }
    weir.stop();
}

#[test]
fn psql_verifies_our_certificate_in_full() {
    let home = Home::new();
    let (authority, other) = (Authority::new(), Authority::new());
    let server = Setup::new().start();
    let weir = Weir::setup()
        .server(&server)
        .tls(&authority.server())
        .setting("client_tls_sslmode", "require")
        .start();
    let root = |name: &str, authority: &Authority| {
        let file = home.file(name, &authority.cert).display().to_string();
        app(&weir, "verify-full").set("PGSSLROOTCERT", &file)
    };
    assert_eq!(psql(&root("right.crt", &authority), "SELECT 42").ok(), "42");
    let words = psql(&root("wrong.crt", &other), "SELECT 42").failed().to_owned();
    // OpenSSL's words differ with what fails first: the chain, or a signature by a key of the same name.
    assert!(words.contains("SSL error"), "{words}");
    assert_eq!(psql(&app(&weir, "require"), "SELECT 42").ok(), "42", "others are unharmed");
    weir.stop();
}

#[test]
fn bytes_sent_in_clear_behind_a_request_for_encryption_are_refused() {
    let server = Setup::new().start();
    let weir = Weir::setup().server(&server).tls(&Authority::new().server()).start();
    for (code, name) in [(47_u8, "SSL"), (48, "GSSAPI encryption")] {
        let mut socket = TcpStream::connect(("127.0.0.1", weir.port())).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut bytes = vec![0, 0, 0, 8, 4, 210, 22, code];
        bytes.extend(b"\0\0\0\x18\0\x03\0\0user\0app\0database\0app\0\0");
        socket.write_all(&bytes).unwrap();
        let mut answer = Vec::new();
        drop(socket.read_to_end(&mut answer)); // a reset is fine, too, once it has spoken
        assert_eq!(answer[0], b'E', "{:?}", String::from_utf8_lossy(&answer));
        let text = String::from_utf8_lossy(&answer).into_owned();
        assert!(text.contains("C08P01\0"), "{text:?}");
        let words = format!("received unencrypted data after {name} request");
        assert!(text.contains(&words), "{text:?}");
    }
    assert_eq!(psql(&app(&weir, "require"), "SELECT 42").ok(), "42", "others are unharmed");
    weir.stop();
}

#[test]
fn garbage_instead_of_a_tls_handshake_harms_nobody_else() {
    let server = Setup::new().start();
    let weir = Weir::setup().server(&server).tls(&Authority::new().server()).start();
    let mut socket = TcpStream::connect(("127.0.0.1", weir.port())).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    socket.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).unwrap();
    let mut answer = [0];
    socket.read_exact(&mut answer).unwrap();
    assert_eq!(answer, *b"S");
    socket.write_all(b"no handshake, this").unwrap();
    drop(socket.read_to_end(&mut Vec::new()));
    assert_eq!(psql(&app(&weir, "require"), "SELECT 42").ok(), "42");
    weir.stop();
}

// ---- direct TLS, and the name of the protocol ----

type TlsSocket = rustls::StreamOwned<rustls::ClientConnection, TcpStream>;

/// TLS to pgweir, which may show any certificate of this authority; `protocols` are named in ALPN.
fn tls_socket(
    socket: TcpStream,
    authority: &Authority,
    protocols: &[&str],
) -> std::io::Result<TlsSocket> {
    tls_trusting(socket, &authority.cert, protocols)
}

fn tls_trusting(
    mut socket: TcpStream,
    authority: &str,
    protocols: &[&str],
) -> std::io::Result<TlsSocket> {
    use rustls::pki_types::pem::PemObject;
    socket.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = "localhost".try_into().unwrap();
    let mut session = rustls::ClientConnection::new(config.into(), name).unwrap();
    while session.is_handshaking() {
        session.complete_io(&mut socket)?;
    }
    Ok(TlsSocket::new(session, socket))
}

fn tcp(weir: &Weir) -> TcpStream {
    TcpStream::connect(("127.0.0.1", weir.port())).unwrap()
}

#[test]
fn a_client_may_begin_with_tls_at_once_if_it_names_the_protocol() {
    let server = Setup::new().start();
    let authority = Authority::new();
    let weir = Weir::setup()
        .server(&server)
        .tls(&authority.server())
        .setting("client_tls_sslmode", "require")
        .start();
    for protocols in [&["postgresql"][..], &["http/1.1", "postgresql"]] {
        let socket = tls_socket(tcp(&weir), &authority, protocols).unwrap();
        let mut client = Wire::login(Box::new(socket), "app", "app").unwrap();
        assert_eq!(client.query("SELECT 42").unwrap().one(), "42");
        let clients = weir.console("SHOW CLIENTS");
        let row = clients.find("user", "app").unwrap();
        assert_eq!(clients.get(row, "tls"), "TLSv1.3/TLS_AES_256_GCM_SHA384");
    }
    weir.stop();
}

#[test]
fn direct_tls_without_the_name_of_the_protocol_is_closed_without_a_word() {
    let server = Setup::new().start();
    let authority = Authority::new();
    let weir = Weir::setup().server(&server).tls(&authority.server()).start();
    let mut nameless = tls_socket(tcp(&weir), &authority, &[]).unwrap();
    let mut said = Vec::new();
    drop(nameless.read_to_end(&mut said));
    assert_eq!(said, b"");
    weir.wait_log("direct TLS refused: the client does not name the protocol postgresql (ALPN)");
    assert!(tls_socket(tcp(&weir), &authority, &["http/1.1"]).is_err());

    // Who asks first may leave the name out, as libpq before 17 does.
    for protocols in [&[][..], &["postgresql"]] {
        let mut asking = tcp(&weir);
        asking.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).unwrap();
        asking.read_exact(&mut [0]).unwrap();
        let socket = tls_socket(asking, &authority, protocols).unwrap();
        let mut client = Wire::login(Box::new(socket), "app", "app").unwrap();
        assert_eq!(client.query("SELECT 42").unwrap().one(), "42", "{protocols:?}");
    }
    weir.stop();
}

#[test]
fn direct_tls_is_closed_where_there_is_none() {
    let server = Setup::new().start();
    let authority = Authority::new();
    let weir = Weir::setup().server(&server).start();
    assert!(tls_socket(tcp(&weir), &authority, &["postgresql"]).is_err());
    weir.wait_log("direct TLS refused: client_tls_sslmode is disable");
    // Nor can a handshake be garbage, or come in bits.
    let weir_with =
        Weir::setup().server(&server).tls(&authority.server()).setting("workers", 1).start();
    for garbage in [
        &b"\x16"[..],
        b"\x16\x03\x01\x00\x05hello",
        &[0x16; 9000],
        // An alert that nobody has vouched for, and more behind it.
        b"\x16\x03\x01\x00\x00\x15\x03\x03\x00\x02\x01\x00\x16\x03\x01\x00\x05hello",
        b"\x16\x03\x01\x00\x01\x01\x15\x03\x03\x00\x02\x01\x00more",
    ] {
        let mut socket = tcp(&weir_with);
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        socket.write_all(garbage).unwrap();
        drop(socket.shutdown(std::net::Shutdown::Write)); // or it is closed already
        drop(socket.read_to_end(&mut Vec::new()));
    }
    assert_eq!(psql(&app(&weir_with, "require"), "SELECT 42").ok(), "42");
    weir.stop();
    weir_with.stop();
}

// ---- SCRAM bound to the TLS session ----

#[test]
fn psql_binds_its_login_to_our_certificate_where_it_must() {
    let server = Setup::new().role("ann", Password::Scram("Xyzzy")).start();
    let weir = Weir::setup()
        .server(&server)
        .tls(&Authority::new().server())
        .setting("auth_type", "scram-sha-256")
        .user("ann", "Xyzzy")
        .start();
    let login = |password: &str, binding: &str, sslmode: &str| {
        weir.login("ann", "app")
            .password(password)
            .set("PGSSLMODE", sslmode)
            .set("PGCHANNELBINDING", binding)
    };
    for binding in ["require", "prefer", "disable"] {
        assert_eq!(psql(&login("Xyzzy", binding, "require"), "SELECT 42").ok(), "42", "{binding}");
        let words = psql(&login("wrong", binding, "require"), "SELECT 42").failed().to_owned();
        assert!(words.contains("FATAL:  SASL authentication failed"), "{binding}: {words}");
    }
    // Without TLS there is nothing to bind to, and libpq says so.
    let words = psql(&login("Xyzzy", "require", "disable"), "SELECT 42").failed().to_owned();
    assert!(words.contains("channel binding"), "{words}");
    assert_eq!(psql(&login("Xyzzy", "prefer", "disable"), "SELECT 42").ok(), "42");
    weir.stop();
}

// ---- client certificates ----

#[test]
fn a_client_must_show_a_certificate_of_the_authority_where_it_is_verified() {
    let home = Home::new();
    let (authority, other) = (Authority::new(), Authority::new());
    let server = Setup::new().start();
    let weir = Weir::setup()
        .server(&server)
        .tls(&authority.server())
        .setting("client_tls_sslmode", "verify-full")
        .start();
    let with = |name: &str, authority: &Authority| {
        let files = authority.client("app").write(home.path(), name);
        app(&weir, "require")
            .set("PGSSLCERT", &files.cert.display().to_string())
            .set("PGSSLKEY", &files.key.display().to_string())
    };
    assert_eq!(psql(&with("known", &authority), "SELECT 42").ok(), "42");
    let nobody = home.path().join("absent").display().to_string();
    let nobody = app(&weir, "require").set("PGSSLCERT", &nobody).set("PGSSLKEY", &nobody);
    for login in [nobody, with("stranger", &other), app(&weir, "disable")] {
        psql(&login, "SELECT 42").failed();
    }
    weir.wait_log("TLS handshake failed: peer sent no certificates");
    weir.stop();
}

// ---- what is negotiated, and reloads ----

#[test]
fn versions_and_ciphers_are_those_of_the_settings() {
    let server = Setup::new().start();
    let weir = Weir::setup()
        .server(&server)
        .tls(&Authority::new().server())
        .setting("client_tls_protocols", "tlsv1.2")
        .setting("client_tls_ciphers", "HIGH:!AES256:!aNULL")
        .start();
    let mut client = Wire::login(Box::new(asked_tls(&weir)), "app", "app").unwrap();
    let clients = weir.console("SHOW CLIENTS");
    let row = clients.find("user", "app").unwrap();
    assert_eq!(clients.get(row, "tls"), "TLSv1.2/ECDHE-ECDSA-AES128-GCM-SHA256");
    assert_eq!(client.query("SELECT 42").unwrap().one(), "42");
    let new_only = app(&weir, "require").set("PGSSLMINPROTOCOLVERSION", "TLSv1.3");
    let words = psql(&new_only, "SELECT 42").failed().to_owned();
    assert!(words.contains("SSL error"), "{words}");
    drop(client);
    weir.stop();
}

/// TLS after a request for it, and whatever certificate there is.
fn asked_tls(weir: &Weir) -> TlsSocket {
    let ca = std::fs::read_to_string(weir.dir().join("client-side-ca.crt")).unwrap();
    let mut asking = tcp(weir);
    asking.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).unwrap();
    asking.read_exact(&mut [0]).unwrap();
    tls_trusting(asking, &ca, &[]).unwrap()
}

#[test]
fn what_the_settings_cannot_mean_is_refused_at_start_with_its_place() {
    for (key, value) in [
        ("client_tls_ciphers", "RC4:AES256-SHA"),
        ("client_tls13_ciphers", "TLS_WIBBLE"),
        ("client_tls_protocols", "tlsv1.4"),
        ("client_tls_ecdhcurve", "secp521r1"),
        ("server_tls_ciphers", "aNULL"),
    ] {
        let refused = Weir::setup()
            .database("app = host=127.0.0.1")
            .setting(key, value)
            .try_start()
            .err()
            .unwrap_or_else(|| panic!("{key} = {value} was taken"));
        let told = [key, value, "pgweir.ini:", "allowed:"];
        assert!(told.iter().all(|part| refused.log.contains(part)), "{}", refused.log);
    }
}

#[test]
fn a_reload_reads_certificates_again_and_a_broken_one_changes_nothing() {
    let (first, second) = (Authority::new(), Authority::new());
    let server = Setup::new().start();
    let mut weir = Weir::setup().server(&server).tls(&first.server()).start();
    let meets = |weir: &Weir, authority: &Authority| {
        let socket = tls_socket(tcp(weir), authority, &["postgresql"]).ok()?;
        Wire::login(Box::new(socket), "app", "app").ok()
    };
    let mut early = meets(&weir, &first).unwrap();

    // The same names, other files.
    weir.change(|setup| setup.tls(&second.server()));
    assert!(meets(&weir, &first).is_some(), "not before the reload");
    weir.reload();
    assert!(meets(&weir, &second).is_some());
    assert!(meets(&weir, &first).is_none());
    assert_eq!(early.query("SELECT 42").unwrap().one(), "42", "who is in stays in");

    let key = weir.dir().join("client-side.key");
    std::fs::write(&key, "no key").unwrap();
    let words = weir.try_console("RELOAD").failed().to_owned();
    assert!(words.contains("RELOAD failed, see logs for additional details"), "{words}");
    weir.wait_log("client_tls_key_file");
    assert!(meets(&weir, &second).is_some(), "the old one is still shown");

    // SET says so in a notice only.
    let run = weir.try_console("SET client_tls_protocols = 'tlsv1.3'");
    assert!(
        run.stderr.contains("TLS settings could not be applied, still using old configuration")
    );
    assert_eq!(early.query("SELECT 42").unwrap().one(), "42");
    drop(early);
    weir.stop();
}

#[test]
fn a_unix_socket_has_no_tls_neither_asked_for_nor_direct() {
    let server = Setup::new().start();
    let weir = Weir::setup()
        .server(&server)
        .tls(&Authority::new().server())
        .setting("client_tls_sslmode", "require")
        .start();
    let path = weir.dir().join(format!(".s.PGSQL.{}", weir.port()));
    for (first, answer) in [(&[0, 0, 0, 8, 4, 210, 22, 47][..], &b"N"[..]), (b"\x16\x03\x01", b"")]
    {
        let mut socket = std::os::unix::net::UnixStream::connect(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        socket.write_all(first).unwrap();
        let mut said = vec![0; answer.len()];
        socket.read_exact(&mut said).unwrap();
        assert_eq!(said, answer);
        drop(socket.shutdown(std::net::Shutdown::Write));
        drop(socket.read_to_end(&mut said));
        assert_eq!(said, answer, "and nothing more");
    }
    weir.wait_log("direct TLS refused: Unix sockets have none");
    assert_eq!(psql(&weir.unix_login("app", "app"), "SELECT 42").ok(), "42", "and needs none");
    weir.stop();
}
