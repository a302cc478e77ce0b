//! TLS on both sides, with the certificates of an authority made on the spot.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustls::pki_types::CertificateDer;

use common::home::Home;
use common::tls::{Authority, Certificate};
use common::wire::Wire;
use common::{Login, Password, Setup, Weir, WeirSetup, pgbench, psql};

const IS_TLS: &str = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";

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
    mut socket: TcpStream,
    authority: &Authority,
    protocols: &[&str],
) -> std::io::Result<TlsSocket> {
    use rustls::pki_types::pem::PemObject;
    socket.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.cert.as_bytes()).unwrap()).unwrap();
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
    let weir_with = Weir::setup().server(&server).tls(&authority.server()).start();
    for garbage in [&b"\x16"[..], b"\x16\x03\x01\x00\x05hello", &[0x16; 9000]] {
        let mut socket = tcp(&weir_with);
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        socket.write_all(garbage).unwrap();
        socket.shutdown(std::net::Shutdown::Write).unwrap();
        drop(socket.read_to_end(&mut Vec::new()));
    }
    assert_eq!(psql(&app(&weir_with, "require"), "SELECT 42").ok(), "42");
    weir.stop();
    weir_with.stop();
}

// ---- to servers ----

fn toward(setup: WeirSetup, sslmode: &str) -> WeirSetup {
    setup.setting("pool_mode", "transaction").setting("server_tls_sslmode", sslmode)
}

#[test]
fn a_server_is_spoken_to_in_tls_where_that_is_required() {
    let server = Setup::new()
        .hba("hostssl all all 127.0.0.1/32 trust")
        .tls(&Authority::new().server())
        .start();
    let weir = toward(Weir::setup().server(&server), "require").start();
    assert_eq!(psql(&app(&weir, "disable"), IS_TLS).ok(), "t");
    weir.stop();
}

#[test]
fn a_server_without_tls_is_refused_where_tls_is_required() {
    let server = Setup::new().start();
    let weir =
        toward(Weir::setup().server(&server), "require").setting("client_login_timeout", 3).start();
    let words = psql(&app(&weir, "disable"), "SELECT 42").failed().to_owned();
    assert!(words.contains("FATAL:"), "{words}");
    weir.wait_log("server refused SSL");
    weir.stop();
}

#[test]
fn a_server_is_verified_in_full_against_the_authority_and_its_name() {
    let home = Home::new();
    let (authority, other) = (Authority::new(), Authority::new());
    let right = home.file("right.crt", &authority.cert).display().to_string();
    let wrong = home.file("wrong.crt", &other.cert).display().to_string();
    let hba = "hostssl all all 127.0.0.1/32 trust";
    let named = Setup::new().hba(hba).tls(&authority.server()).start();
    let stranger = authority.sign("elsewhere.example", &["elsewhere.example"]);
    let stranger = Setup::new().hba(hba).tls(&stranger).start();
    for (server, sslmode, authority, good) in [
        (&named, "verify-full", &right, true),
        (&named, "verify-ca", &right, true),
        (&named, "verify-full", &wrong, false),
        (&named, "verify-ca", &wrong, false),
        (&stranger, "verify-ca", &right, true),
        (&stranger, "verify-full", &right, false),
    ] {
        let weir = toward(Weir::setup().server(server), sslmode)
            .setting("server_tls_ca_file", authority)
            .setting("client_login_timeout", 3)
            .start();
        let run = psql(&app(&weir, "disable"), IS_TLS);
        if good {
            assert_eq!(run.ok(), "t", "{sslmode}");
        } else {
            let words = run.failed();
            assert!(words.contains("FATAL:"), "{sslmode}: {words}");
            weir.wait_log("certificate");
        }
        weir.stop();
    }
}

#[test]
fn tls_server_connections_serve_clients_of_all_workers() {
    let authority = Authority::new();
    let server = Setup::new()
        .role("ann", Password::Scram("Xyzzy"))
        .hba("hostssl all ann 127.0.0.1/32 scram-sha-256")
        .sql("CREATE SCHEMA AUTHORIZATION ann")
        .sql("GRANT CREATE ON SCHEMA public TO ann")
        .tls(&authority.server())
        .start();
    let weir = toward(Weir::setup().server(&server), "require")
        .tls(&authority.server())
        .setting("client_tls_sslmode", "require")
        .setting("auth_type", "scram-sha-256")
        .setting("workers", 2)
        .setting("default_pool_size", 3)
        .user("ann", "Xyzzy")
        .start();
    let login = weir.login("ann", "app").password("Xyzzy").set("PGSSLMODE", "require");
    pgbench(&login, &["-i", "-q"]).ok();
    // More clients than servers, on both workers: a server that comes free goes to whoever waits.
    let scripts: [&[&str]; 3] =
        [&["-S", "-M", "simple"], &["-S", "-M", "extended"], &["-N", "-M", "simple"]];
    for script in scripts {
        let run = pgbench(&login, &[script, &["-c", "12", "-j", "2", "-t", "100", "-n"]].concat());
        assert!(run.ok().contains("1200/1200"), "{run:?}");
    }
    // Records larger than one read, in both directions.
    let big = "SELECT sum(length(t)) FROM (SELECT repeat('x', 1000000) AS t FROM generate_series(1, 5)) s";
    assert_eq!(psql(&login, big).ok(), "5000000");
    let run = psql(&login, "SELECT repeat('x', 1000) FROM generate_series(1, 5000)");
    assert_eq!(run.ok().len(), 5000 * 1001 - 1);
    let value = "y".repeat(100_000);
    assert_eq!(psql(&login, &format!("SELECT length('{value}')")).ok(), "100000");
    assert_eq!(psql(&login, IS_TLS).ok(), "t");
    weir.stop();
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

#[test]
fn a_login_at_a_server_is_bound_to_its_certificate_whatever_signed_it() {
    // A server that demands SCRAM over TLS; PostgreSQL refuses a binding to any other certificate than its own.
    for signature in ["sha1", "sha256", "sha384", "sha512"] {
        let server = Setup::new()
            .role("ann", Password::Scram("Xyzzy"))
            .hba("hostssl all ann 127.0.0.1/32 scram-sha-256")
            .tls(&openssl_certificate(signature))
            .start();
        let weir = toward(Weir::setup().server(&server), "require").user("ann", "Xyzzy").start();
        let login = weir.login("ann", "app").set("PGSSLMODE", "disable");
        assert_eq!(psql(&login, IS_TLS).ok(), "t", "{signature}");
        weir.stop();
    }
}

/// A self-signed RSA certificate as the manual teaches to make it, signed with this hash.
fn openssl_certificate(hash: &str) -> Certificate {
    let home = Home::new();
    let (cert, key) = (home.path().join("made.crt"), home.path().join("made.key"));
    let made = std::process::Command::new("openssl")
        .args(["req", "-new", "-x509", "-nodes", "-newkey", "rsa:2048", "-subj", "/CN=localhost"])
        .arg(format!("-{hash}"))
        .arg("-out")
        .arg(&cert)
        .arg("-keyout")
        .arg(&key)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let read = |file| std::fs::read_to_string(file).unwrap();
    let cert = read(cert);
    Certificate { cert: cert.clone(), key: read(key), authority: cert }
}
