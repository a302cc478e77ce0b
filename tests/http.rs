//! The HTTP port of a running pgweir: who may ask what, over what, and what the hostile cannot do.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]
#![expect(clippy::disallowed_methods, reason = "it measures in real time")]

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::tls::Authority;
use common::{Cluster, Setup, Signal, Weir, WeirSetup, Wire, wait};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};

/// Sends a GET with these further header lines; status and all that came.
fn ask(mut socket: impl Read + Write, path: &str, headers: &str) -> (u16, String) {
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: weir\r\n{headers}Connection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    match socket.read_to_string(&mut answer) {
        Err(error) if error.kind() != ErrorKind::UnexpectedEof => panic!("{error}"),
        _ => {}
    }
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
}

fn tcp(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(wait::DEADLINE)).unwrap();
    socket
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

/// Whether this token opens the door.
fn opens(weir: &Weir, token: &str) -> bool {
    match ask(tcp(weir.http()), "/api/v1/status", &bearer(token)).0 {
        200 => true,
        401 => false,
        other => panic!("{other}"),
    }
}

#[test]
fn a_token_is_asked_for_changes_with_a_reload_and_is_never_told() {
    let token = "a-token-that-nobody-shall-see";
    let mut weir = Weir::setup().setting("http_auth_token", token).start();
    assert_eq!(weir.get("/api/v1/status").0, 401);
    assert_eq!(weir.get("/metrics").0, 401);
    assert_eq!(weir.get("/ready").0, 200);
    assert!(opens(&weir, token));

    let rows = weir.console("SHOW CONFIG");
    let row = rows.find("key", "http_auth_token").unwrap();
    assert_eq!(rows.get(row, "value"), "(not shown)");

    weir.change(|setup| setup.setting("http_auth_token", "another-secret-token"));
    weir.reload();
    assert!(opens(&weir, "another-secret-token") && !opens(&weir, token));

    weir.console("SET http_auth_token = 'a-third-secret-token'");
    assert!(opens(&weir, "a-third-secret-token") && !opens(&weir, "another-secret-token"));
    let log = weir.log();
    assert!(log.contains("SET http_auth_token = (not shown"), "{log}");
    assert!(!log.contains("secret-token") && !log.contains(token), "{log}");
}

#[test]
fn a_token_may_stand_in_a_file_and_one_without_a_token_is_refused() {
    let mut weir = Weir::setup().file_setting("http_auth_token_file", "from-a-file\n").start();
    assert!(opens(&weir, "from-a-file") && !opens(&weir, ""));
    weir.change(|setup| setup.file_setting("http_auth_token_file", "other"));
    weir.reload();
    assert!(opens(&weir, "other") && !opens(&weir, "from-a-file"));
    // An empty file does not open the door: the reload fails, and what was in force stays.
    weir.change(|setup| setup.file_setting("http_auth_token_file", "\n"));
    assert!(!weir.try_console("RELOAD").status.success());
    assert!(opens(&weir, "other"));
    let refused = Weir::setup().file_setting("http_auth_token_file", "").try_start().unwrap_err();
    assert!(refused.log.contains("http_auth_token_file"), "{}", refused.log);
    let both = Weir::setup().file_setting("http_auth_token_file", "a");
    let both = both.setting("http_auth_token", "b").try_start().unwrap_err();
    assert!(both.log.contains("both set"), "{}", both.log);
}

#[test]
fn a_unix_socket_serves_the_same_with_the_permissions_that_were_asked_for() {
    let home = common::home::Home::new();
    let path = home.folder("http").join("socket");
    let listen = format!("unix:{}", path.display());
    let setup = Weir::setup().setting("http_listen", listen).setting("http_socket_mode", "0600");
    let weir = setup.start();
    wait::until("the socket", wait::DEADLINE, || path.exists());
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let (status, answer) = ask(UnixStream::connect(&path).unwrap(), "/healthz", "");
    assert!(status == 200 && answer.ends_with("alive\n"), "{answer}");
    weir.stop();
    assert!(!path.exists(), "it takes its socket away");
}

/// TLS as a browser that trusts this authority has it.
fn https(weir: &Weir, authority: &str) -> rustls::StreamOwned<rustls::ClientConnection, TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ));
    let config = config.with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    let connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    rustls::StreamOwned::new(connection, tcp(weir.http()))
}

#[test]
fn https_is_spoken_with_the_certificate_of_the_last_reload_and_http_no_more() {
    let (first, second) = (Authority::new(), Authority::new());
    let with = |setup: WeirSetup, authority: &Authority| {
        let certificate = authority.server();
        setup
            .file_setting("http_tls_cert_file", &certificate.cert)
            .file_setting("http_tls_key_file", &certificate.key)
    };
    let mut weir = with(Weir::setup(), &first).start();
    assert_eq!(ask(https(&weir, &first.cert), "/ready", "").0, 200);
    let mut plain = tcp(weir.http());
    plain.write_all(b"GET /ready HTTP/1.1\r\nHost: weir\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!String::from_utf8_lossy(&answer).contains("HTTP"), "no HTTP beside HTTPS");

    weir.change(|setup| with(setup, &second));
    weir.reload();
    assert_eq!(ask(https(&weir, &second.cert), "/ready", "").0, 200);
    let refused = https(&weir, &first.cert).write_all(b"GET / HTTP/1.1\r\n\r\n");
    assert!(refused.is_err(), "the first certificate is not shown any more");

    let lone = Weir::setup().file_setting("http_tls_cert_file", &first.server().cert);
    let refused = lone.try_start().unwrap_err();
    assert!(refused.log.contains("http_tls_key_file is not set"), "{}", refused.log);
}

fn wait_status(weir: &Weir, path: &str, status: u16) {
    let what = format!("{status} from {path}");
    wait::until(&what, wait::DEADLINE, || weir.get(path).0 == status);
}

#[test]
fn probes_follow_a_failover() {
    let mut cluster = Setup::new().sql("GRANT pg_monitor TO app").cluster(1);
    let weir = Weir::setup().cluster(&cluster).start();
    wait_status(&weir, "/primary", 200);
    wait_status(&weir, "/replica?lag=1MB&database=app", 200);
    assert_eq!(weir.get("/primary?database=nobody").0, 404);

    cluster.primary_mut().kill(Signal::KILL);
    wait_status(&weir, "/primary", 503);
    assert_eq!(weir.get("/ready").0, 200, "clients are held, not turned away");
    cluster.promote(1);
    wait_status(&weir, "/primary?database=app", 200);
    wait_status(&weir, "/replica", 503);

    weir.console("PAUSE");
    assert_eq!((weir.get("/primary").0, weir.get("/ready").0), (503, 503));
    assert_eq!(weir.get("/healthz").0, 200);
    weir.console("RESUME");
    assert_eq!(weir.get("/primary").0, 200);
}

/// What a client measures while others do their worst.
#[derive(Debug, Default)]
struct Measured {
    queries: u32,
    slowest: Duration,
}

/// However a story ends, what runs beside it does too.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Queries over one connection for as long as a story lasts.
fn measure(weir: &Weir, story: impl FnOnce()) -> Measured {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let measuring = scope.spawn(|| {
            let mut wire = Wire::tcp(weir.port(), "app", "app").unwrap();
            let mut measured = Measured::default();
            while !stop.load(Ordering::Relaxed) {
                let begin = Instant::now();
                assert_eq!(wire.query("SELECT 1").unwrap().one(), "1");
                measured.slowest = measured.slowest.max(begin.elapsed());
                measured.queries += 1;
            }
            measured
        });
        let end = End(&stop);
        story();
        drop(end);
        measuring.join().unwrap()
    })
}

#[test]
fn a_thousand_hostile_connections_disturb_neither_pooling_nor_the_monitors_nor_a_probe() {
    let cluster: Cluster = Setup::new().sql("GRANT pg_monitor TO app").cluster(1);
    let weir = Weir::setup().cluster(&cluster).setting("pool_mode", "transaction").start();
    wait_status(&weir, "/primary", 200);
    wait_status(&weir, "/replica", 200);
    let events = weir.console("SHOW EVENTS").rows.len();

    let measured = measure(&weir, || {
        // A thousand that begin a request and go on byte by byte, in rounds.
        let mut slow: Vec<TcpStream> = Vec::new();
        for number in 0..1000 {
            let mut socket = tcp(weir.http());
            let _ = match number % 4 {
                0 => Ok(()), // says nothing at all
                1 => socket.write_all(b"GET /healthz HTTP/1.1\r\nX: "),
                2 => socket.write_all(b"POST /metrics HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n"),
                _ => socket.write_all(format!("GET /{}", "a".repeat(8000)).as_bytes()),
            };
            slow.push(socket);
        }
        for round in 0..5 {
            for socket in &mut slow {
                let _ = socket.write_all(b"a");
            }
            let begin = Instant::now();
            assert_eq!(weir.get("/healthz"), (200, "alive\n".to_owned()));
            assert_eq!(weir.get("/api/v1/status").0, 200, "round {round}");
            assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
        }
        // Heads without an end.
        for _ in 0..50 {
            let mut socket = tcp(weir.http());
            let line = format!("X: {}\r\n", "a".repeat(10_000));
            let _ = socket.write_all(b"GET / HTTP/1.1\r\n");
            let _ = (0..100).try_for_each(|_| socket.write_all(line.as_bytes()));
            let mut answer = Vec::new();
            let _ = socket.read_to_end(&mut answer);
            let answer = String::from_utf8_lossy(&answer);
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
        }
        // Those that only sit there are not kept: of a thousand at most 64 are still open.
        let open = slow.iter().filter(|socket| is_open(socket)).count();
        assert!(open <= 64, "{open} are open");
    });
    println!("{measured:?}");
    assert!(measured.queries > 100, "{measured:?}");
    assert!(measured.slowest < Duration::from_secs(1), "{measured:?}");
    let rows = weir.console("SHOW EVENTS");
    assert_eq!(rows.rows.len(), events, "no host was given up: {rows:?}");
}

fn is_open(mut socket: &TcpStream) -> bool {
    socket.set_nonblocking(true).unwrap();
    let mut answer = [0; 4096];
    loop {
        match socket.read(&mut answer) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
    }
}

#[test]
fn a_head_that_does_not_come_is_waited_for_ten_seconds_and_no_longer() {
    let weir = Weir::setup().start();
    let mut socket = tcp(weir.http());
    socket.write_all(b"GET /healthz HTTP/1.1\r\nX: ").unwrap();
    let begin = Instant::now();
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    let waited = begin.elapsed();
    assert!((9..20).contains(&waited.as_secs()), "{waited:?}");
}
