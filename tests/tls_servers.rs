//! TLS with servers, with the certificates of an authority made on the spot.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use common::home::Home;
use common::tls::{Authority, Certificate};
use common::wire::{Wire, cancel};
use common::{Login, Password, Setup, Weir, WeirSetup, pgbench, psql};

const IS_TLS: &str = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";

fn app(weir: &Weir, sslmode: &str) -> Login {
    weir.login("app", "app").password("secret").set("PGSSLMODE", sslmode)
}

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

#[test]
fn a_server_is_shown_our_certificate_where_it_asks_for_one() {
    let authority = Authority::new();
    let home = Home::new();
    let server = Setup::new()
        .role("ann", Password::None)
        .hba("hostssl all ann 127.0.0.1/32 cert")
        .tls(&authority.server())
        .start();
    let connect = |name: &str, certificate: Option<Certificate>| {
        let mut setup = toward(Weir::setup().server(&server), "verify-full")
            .user("ann", "")
            .setting("client_login_timeout", 3)
            .setting(
                "server_tls_ca_file",
                home.file(&format!("{name}-ca"), &authority.cert).display(),
            );
        if let Some(certificate) = certificate {
            let files = certificate.write(home.path(), name);
            setup = setup
                .setting("server_tls_cert_file", files.cert.display())
                .setting("server_tls_key_file", files.key.display());
        }
        let weir = setup.start();
        let run = psql(&weir.login("ann", "app").set("PGSSLMODE", "disable"), IS_TLS);
        weir.stop();
        run
    };
    assert_eq!(connect("ann", Some(authority.client("ann"))).ok(), "t");
    let words = connect("bob", Some(authority.client("bob"))).failed().to_owned();
    assert!(words.contains("certificate authentication failed for user \"ann\""), "{words}");
    let words = connect("nobody", None).failed().to_owned();
    assert!(words.contains("connection requires a valid client certificate"), "{words}");
}

#[test]
fn a_server_is_verified_by_the_name_that_its_entry_has() {
    let home = Home::new();
    let authority = Authority::new();
    let ca = home.file("ca.crt", &authority.cert);
    let hba = "hostssl all all all trust";
    for (names, host, good) in [
        (&["localhost"][..], "localhost", true),
        (&["localhost"], "127.0.0.1", false), // an address is not the name that it resolves from
        (&["127.0.0.1"], "127.0.0.1", true),
        (&["127.0.0.1"], "localhost", false),
    ] {
        let server = Setup::new().hba(hba).tls(&authority.sign("someone", names)).start();
        let entry = format!("app = host={host} port={} dbname=app", server.port());
        let weir = toward(Weir::setup().database(&entry), "verify-full")
            .setting("server_tls_ca_file", ca.display())
            .setting("client_login_timeout", 3)
            .start();
        let run = psql(&app(&weir, "disable"), IS_TLS);
        if good {
            assert_eq!(run.ok(), "t", "{names:?} {host}");
        } else {
            run.failed();
            weir.wait_log("certificate");
        }
        weir.stop();
    }
}

#[test]
fn a_cancel_request_goes_through_tls_verified_as_its_connection() {
    let home = Home::new();
    let authority = Authority::new();
    let server =
        Setup::new().hba("hostssl all all 127.0.0.1/32 trust").tls(&authority.server()).start();
    let mut weir = toward(Weir::setup().server(&server), "verify-full")
        .setting("server_tls_ca_file", home.file("ca.crt", &authority.cert).display())
        .start();
    let asleep = |weir: &Weir| {
        let mut client = Wire::tcp(weir.port(), "app", "app").unwrap();
        client.start("SELECT pg_sleep(60)").unwrap();
        weir.wait_show("SHOW CLIENTS", "state", "active");
        client
    };
    let mut client = asleep(&weir);
    cancel(weir.port(), client.key()).unwrap();
    assert_eq!(client.answer().unwrap_err().code(), "57014");

    // The key of a cancel request is a secret: it is not told to whom is not trusted.
    let mut client = asleep(&weir);
    let other = home.file("other.crt", &Authority::new().cert).display().to_string();
    weir.change(|setup| setup.setting("server_tls_ca_file", other));
    weir.reload();
    cancel(weir.port(), client.key()).unwrap();
    weir.wait_log("cancel request to");
    drop(client.send(b"X\0\0\0\x04"));
    weir.stop();
}

#[test]
fn new_tls_settings_replace_servers_and_a_mere_reload_does_not() {
    let server =
        Setup::new().hba("host all all 127.0.0.1/32 trust").tls(&Authority::new().server()).start();
    let mut weir = toward(Weir::setup().server(&server), "prefer").start();
    let backend = |weir: &Weir| {
        let sql = "SELECT pid || ' ' || version FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        psql(&app(weir, "disable"), sql).ok().to_owned()
    };
    let first = backend(&weir);
    weir.reload();
    assert_eq!(backend(&weir), first);
    assert!(first.ends_with("TLSv1.3"), "{first}");
    weir.change(|setup| setup.setting("server_tls_protocols", "tlsv1.2"));
    weir.reload();
    let second = backend(&weir);
    assert!(second != first && second.ends_with("TLSv1.2"), "{first} {second}");
    weir.stop();
}
