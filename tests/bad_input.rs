//! What breaks the rules gets a clear error or a clean close, and harms nobody else.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use common::{ScriptedServer, Setup, Step, Weir, Wire, psql};

/// Sends bytes and reads until the other side closes.
fn shout(port: u16, bytes: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    socket.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    match socket.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
    answer
}

fn contains(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle.as_bytes())
}

#[test]
fn garbage_on_the_port_ends_its_own_connection_only() {
    let server = Setup::new().start();
    let weir = Weir::setup().server(&server).setting("pool_mode", "transaction").start();
    let mut other = Wire::tcp(weir.port(), "app", "app").unwrap();

    assert!(contains(&shout(weir.port(), b"GET / HTTP/1.1\r\n\r\n"), "08P01"));
    assert!(
        contains(&shout(weir.port(), b"\x7f\xff\xff\xff\0\x03\0\0"), "08P01"),
        "a packet of 2 GiB"
    );
    assert!(contains(
        &shout(weir.port(), b"\0\0\0\x08\0\x02\0\0"),
        "old V2 protocol not supported"
    ));
    assert!(contains(
        &shout(weir.port(), b"\0\0\0\x0d\0\x03\0\0user\0"),
        "invalid startup packet layout: expected terminator as last byte"
    ));
    assert!(contains(&shout(weir.port(), b"\0\0\0\x09\0\x03\0\0\0"), "no username supplied"));

    // After login: a message type that does not exist, and a length that cannot be.
    for bytes in [&b"~\0\0\0\x04"[..], &b"Q\0\0\0\x03"[..]] {
        let mut rude = Wire::tcp(weir.port(), "app", "app").unwrap();
        rude.send(bytes).unwrap();
        assert_eq!(rude.answer().unwrap_err().code(), "08P01");
    }
    assert_eq!(other.query("SELECT 1").unwrap().one(), "1");
    weir.stop();
}

#[test]
fn a_backend_that_is_terminated_has_the_last_word_and_other_clients_go_on() {
    let server = Setup::new().start();
    let weir = Weir::setup().server(&server).setting("pool_mode", "transaction").start();
    let mut client = Wire::tcp(weir.port(), "app", "app").unwrap();
    let mut other = Wire::tcp(weir.port(), "app", "app").unwrap();
    client.query("BEGIN").unwrap();
    let pid = client.query("SELECT pg_backend_pid()").unwrap().one().to_owned();
    server.query(&format!("SELECT pg_terminate_backend({pid})"));
    assert_eq!(client.query("SELECT 1").unwrap_err().code(), "57P01");
    assert_eq!(other.query("SELECT 1").unwrap().one(), "1");
    weir.stop();
}

#[test]
fn a_server_that_dies_in_the_middle_of_an_answer_is_a_clear_error() {
    let mut script = Step::login();
    script.extend([
        Step::Message(b'Q'),
        Step::Send(b"D\0\0\x10\0half a row".to_vec()),
        Step::Close,
    ]);
    let server = ScriptedServer::start(script);
    let entry = format!("app = host=127.0.0.1 port={} dbname=app", server.port());
    let weir = Weir::setup().database(&entry).setting("pool_mode", "transaction").start();
    let run = psql(&weir.login("app", "app"), "SELECT 1");
    assert!(!run.status.success(), "{run:?}");
    weir.wait_log("server closed the connection");
    weir.stop();
}

#[test]
fn a_server_that_speaks_another_protocol_is_refused_with_its_reason_in_the_log() {
    let server = ScriptedServer::start(vec![
        Step::Read(8),
        Step::Send(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        Step::Close,
    ]);
    let entry = format!("app = host=127.0.0.1 port={} dbname=app", server.port());
    let weir = Weir::setup()
        .database(&entry)
        .setting("pool_mode", "transaction")
        .setting("server_tls_sslmode", "disable")
        .start();
    let run = psql(&weir.login("app", "app"), "SELECT 1");
    assert!(!run.status.success(), "{run:?}");
    weir.wait_log("does not speak PostgreSQL's protocol");
    weir.stop();
}

#[test]
fn a_broken_configuration_names_file_line_and_what_to_do() {
    let refused = Weir::setup().setting("pool_mod", "transaction").try_start().err().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let words = &refused.log;
    assert!(words.contains("unknown parameter: pgbouncer/pool_mod"), "{words}");
    assert!(words.contains("pgweir.ini:") && words.contains("pool_mode"), "{words}");

    let refused = Weir::setup().setting("pool_mode", "sometimes").try_start().err().unwrap();
    let words = &refused.log;
    assert!(words.contains("invalid value \"sometimes\" for parameter pool_mode"), "{words}");
    assert!(words.contains("transaction"), "it says what is allowed: {words}");
}
