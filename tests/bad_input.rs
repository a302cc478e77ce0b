//! What breaks the rules gets a clear error or a clean close, and harms nobody else.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

#[cfg(target_os = "linux")]
use common::process::Watched;
use common::tls::Authority;
use common::{Raw, ScriptedServer, Setup, Step, Weir, Wire, psql, wait};

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
fn silence_during_a_login_ends_after_client_login_timeout() {
    let server = Setup::new().start();
    let weir = Weir::setup()
        .server(&server)
        .tls(&Authority::new().server())
        .setting("auth_type", "md5")
        .setting("client_login_timeout", 1)
        .setting("tcp_defer_accept", 0)
        .start();
    const TOLD: &str = "C57P01\0Mclient_login_timeout\0";
    let startup = b"\0\0\0\x1f\0\x03\0\0user\0app\0database\0app\0\0";
    let ssl_request = b"\0\0\0\x08\x04\xd2\x16\x2f";
    let cases: &[(&str, &[&[u8]], &str)] = &[
        ("nothing", &[], TOLD),
        ("half a head", &[b"\0\0"], TOLD),
        ("half a startup packet", &[&startup[..20]], TOLD),
        ("an SSLRequest alone", &[ssl_request], "S"),
        ("half a TLS handshake", &[ssl_request, b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"], "S"),
        ("no answer to the question for a password", &[startup], TOLD),
        ("half a password", &[startup, b"p\0\0\0\x28md5"], TOLD),
    ];
    std::thread::scope(|scope| {
        for (what, parts, told) in cases {
            let port = weir.port();
            scope.spawn(move || {
                let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
                socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
                let mut answer = Vec::new();
                for (number, part) in parts.iter().enumerate() {
                    if number > 0 {
                        // What came before has been answered.
                        answer.push(0);
                        socket.read_exact(&mut answer[number - 1..]).unwrap();
                    }
                    socket.write_all(part).unwrap();
                }
                socket.read_to_end(&mut answer).unwrap();
                let shown = String::from_utf8_lossy(&answer);
                assert!(shown.contains(told), "{what}: {shown:?}");
                assert_eq!(*told == "S", answer == b"S", "{what}: {shown:?}");
            });
        }
    });
    weir.wait_log("client_login_timeout");
    weir.stop();
}

#[test]
fn what_is_too_long_during_a_login_is_refused_by_its_length() {
    let server = Setup::new().start();
    let weir = Weir::setup().server(&server).setting("auth_type", "md5").start();
    let startup = |user: &str, database: &str| {
        let body = format!("\0\x03\0\0user\0{user}\0database\0{database}\0\0");
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&length, body.as_bytes()].concat()
    };
    let long = "x".repeat(128);
    for (what, bytes, told) in [
        ("packet", b"\0\0\x27\x15\0\x03\0\0user\0app\0".to_vec(), "C08P01\0"),
        ("user", startup(&long, "app"), "C28000\0Musername too long\0"),
        ("database", startup("app", &long), "C3D000\0Mdatabase name too long\0"),
        (
            "password",
            [&startup("app", "app")[..], b"p\x7f\xff\xff\xffmd5"].concat(),
            "C08P01\0Mpassword too long\0",
        ),
        (
            "another message's length",
            [&startup("app", "app")[..], b"Q\0\0\0\x0dSELECT 1\0"].concat(),
            "C08P01\0Mbad packet\0",
        ),
    ] {
        let answer = shout(weir.port(), &bytes);
        let shown = String::from_utf8_lossy(&answer);
        assert!(shown.contains(told), "{what}: {shown:?}");
    }
    weir.stop();
}

#[test]
fn half_a_message_takes_no_server_from_others() {
    let server = Setup::new().start();
    let weir = Weir::setup()
        .server(&server)
        .setting("pool_mode", "transaction")
        .setting("default_pool_size", 1)
        .setting("workers", 1)
        .start();
    let mut other = Wire::tcp(weir.port(), "app", "app").unwrap();
    for bytes in [
        &b"Q"[..],
        b"Q\0\0",
        b"Q\0\0\0\x20SELECT 1",
        b"P\0\0\0\x20name\0SELECT",
        b"P\0\0\0\x20\0SELECT",
        b"B\0\0\0\x20\0na",
        b"D\0\0\0\x20Sname",
    ] {
        let mut silent = Wire::tcp(weir.port(), "app", "app").unwrap();
        silent.send(bytes).unwrap();
        // One thread serves both: at the latest between these two it has looked at the half.
        for _ in 0..2 {
            assert_eq!(other.query("SELECT 1").unwrap().one(), "1", "{bytes:?}");
        }
        drop(silent);
        assert_eq!(other.query("SELECT 1").unwrap().one(), "1", "{bytes:?}");
    }
    // One that is longer than what we look at streams to its server; its end frees the place.
    let mut silent = Wire::tcp(weir.port(), "app", "app").unwrap();
    silent.send(&[b"Q\0\x10\0\0SELECT ", &[b' '; 100_000][..]].concat()).unwrap();
    wait::until("it to hold the server", wait::DEADLINE, || {
        let pools = weir.console("SHOW POOLS");
        pools.get(pools.find("database", "app").unwrap(), "sv_active") == "1"
    });
    drop(silent);
    assert_eq!(other.query("SELECT 1").unwrap().one(), "1");
    weir.stop();
}

#[test]
fn messages_that_break_the_rules_end_their_own_client_only() {
    let server = Setup::new().start();
    let weir = Weir::setup()
        .server(&server)
        .setting("pool_mode", "transaction")
        .setting("default_pool_size", 1)
        .start();
    let mut other = Wire::tcp(weir.port(), "app", "app").unwrap();
    let long_name = [b"D\0\x02\0\0S", &[b'x'; 0x2_0000][..]].concat();
    let long_statement = [&b"P\x40\0\0\0name\0SELECT"[..], &[b' '; 10_000]].concat();
    const BAD: &str = "bad packet";
    const HEADER: &str = "bad packet header: '";
    const UNKNOWN: &str = "unknown pkt";
    const INVALID: &str = "invalid string in message";
    for (what, bytes, told) in [
        ("unknown type", &b"~\0\0\0\x04"[..], UNKNOWN),
        ("length 3", b"Q\0\0\0\x03", HEADER),
        ("length 0", b"S\0\0\0\0", HEADER),
        ("negative length", b"Q\xff\xff\xff\xff", HEADER),
        ("a password's length", b"p\0\0\0\x03hush", HEADER),
        ("a query without its end", b"Q\0\0\0\x0cSELECT 1", INVALID),
        ("an empty query message", b"Q\0\0\0\x04", INVALID),
        ("a statement without its end", b"P\0\0\0\x0aname\0S", BAD),
        ("a statement without a name", b"P\0\0\0\x04", BAD),
        ("a statement of a gigabyte", &long_statement, BAD),
        ("portal without its end", b"B\0\0\0\x08name", BAD),
        ("describe nothing", b"D\0\0\0\x04", BAD),
        ("describe what", b"D\0\0\0\x0aXname\0", BAD),
        ("close what", b"C\0\0\0\x0aXname\0", BAD),
        ("a name of 128 KiB", &long_name, BAD),
        ("a password", b"p\0\0\0\x09hush\0", UNKNOWN),
        ("a second startup packet", b"\0\0\0\x20\0\x03\0\0user\0app\0database\0app\0\0", UNKNOWN),
        ("a server's message", b"Z\0\0\0\x05I", UNKNOWN),
    ] {
        let (mut rude, _) = Raw::login(weir.port(), 0, &[]).unwrap();
        rude.send_in_vain(bytes);
        rude.send_in_vain(b"S\0\0\0\x04");
        let answer = rude.answer();
        let message = answer.message();
        let is_told = if told == HEADER { message.starts_with(told) } else { message == told };
        assert!(answer.code() == "08P01" && is_told, "{what}: {answer:?}");
        // What is no business of ours is the server's to refuse, and it goes on.
        assert_eq!(answer.closed, told != INVALID, "{what}");
        assert_eq!(other.query("SELECT 1").unwrap().one(), "1", "{what}");
    }
    assert!(!weir.log().contains("hush"), "a password in the log");
    assert!(!weir.log().contains("687573"), "nor in hexadecimal");
    weir.stop();
}

#[test]
#[cfg(target_os = "linux")]
fn without_file_descriptors_those_who_are_there_go_on_and_others_wait() {
    let server = Setup::new().start();
    let weir = Weir::setup()
        .server(&server)
        .setting("pool_mode", "transaction")
        .setting("default_pool_size", 2)
        .setting("server_login_retry", 1)
        .start();
    let process = Watched::new(weir.pid());
    let mut client = Wire::tcp(weir.port(), "app", "app").unwrap();
    let mut second = Wire::tcp(weir.port(), "app", "app").unwrap();
    client.query("BEGIN").unwrap();

    // None for a new client: it waits at the door.
    let lowest_free = |from: u64| (from..).find(|fd| !process.has_file(*fd)).unwrap();
    process.limit_files(lowest_free(0));
    let port = weir.port();
    let waiting = std::thread::spawn(move || Wire::tcp(port, "app", "app"));
    weir.wait_log("cannot accept a client: Too many open files");
    // None for a second server either, so its client waits.
    second.start("SELECT 'served'").unwrap();
    weir.wait_log("cannot open a server connection");
    assert_eq!(client.query("SELECT 1").unwrap().one(), "1");
    client.query("COMMIT").unwrap();
    assert_eq!(second.answer().unwrap().one(), "served");
    assert!(!waiting.is_finished());

    process.limit_files(1000);
    let mut waiting = waiting.join().unwrap().unwrap();
    assert_eq!(waiting.query("SELECT 1").unwrap().one(), "1");
    client.query("BEGIN").unwrap();
    assert_eq!(second.query("SELECT 'a second server'").unwrap().one(), "a second server");
    client.query("COMMIT").unwrap();
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
