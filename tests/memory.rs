//! Memory is bounded: what one side sends waits in the kernel's buffers, and in the sender, until
//! the other side reads. Each test prints its figure.
#![cfg(target_os = "linux")] // where /proc tells how much it is
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bytes::BytesMut;
use common::process::{Watched, lift_own_file_limit};
use common::psql::{Job, psql_command};
use common::scripted::reply;
use common::tls::Authority;
use common::{Postgres, ScriptedServer, Setup, Signal, Step, Weir, Wire, wait};
use postgres_protocol::message::frontend;

const MIB: u64 = 1024;
/// What goes through pgweir, in MiB.
const STREAM: usize = 1024;
/// Most that pgweir may grow while it does, in KiB: far below the stream, above any honest buffer.
const GROWTH: u64 = 16 * MIB;
/// What the kernel may hold in four socket buffers, in bytes, with room to spare.
const KERNEL: usize = 128 << 20;

fn start(server: &Postgres) -> Weir {
    Weir::setup().server(server).setting("pool_mode", "transaction").start()
}

/// Runs a part of a test and checks how much pgweir grew at its peak.
fn bounded<T>(what: &str, weir: &Weir, part: impl FnOnce() -> T) -> T {
    let process = Watched::new(weir.pid());
    process.forget_peak();
    let before = process.resident_kib();
    let done = part();
    let peak = process.peak_kib();
    let growth = peak.saturating_sub(before);
    eprintln!("{what}: from {before} KiB to a peak of {peak} KiB, growth {growth} KiB");
    assert!(growth < GROWTH, "{what}: grew by {growth} KiB");
    done
}

/// Waits until a backend cannot go on because its client does not read.
fn wait_blocked(server: &Postgres) {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND wait_event = 'ClientWrite'";
    wait::until("a backend that waits for its client", wait::DEADLINE, || {
        server.query(sql).one() == "1"
    });
}

#[test]
fn a_client_that_reads_a_large_result_slowly() {
    let server = Setup::new().start();
    let weir = start(&server);
    drop(Wire::tcp(weir.port(), "app", "app").unwrap().query("SELECT 1").unwrap());
    for (what, rows, bytes) in [
        ("many rows", STREAM, 1 << 20),
        ("few rows of 128 MiB", STREAM / 128, 128 << 20),
        ("rows of 100 bytes", 2_000_000, 100),
    ] {
        let mut socket = log_in(&weir);
        let sql = format!("SELECT repeat('x', {bytes}) FROM generate_series(1, {rows})");
        let mut query = BytesMut::new();
        frontend::query(&sql, &mut query).unwrap();
        let read = bounded(&format!("slow reader, {what}"), &weir, || {
            socket.write_all(&query).unwrap();
            wait_blocked(&server);
            drain(&mut socket)
        });
        assert!(read > rows * bytes, "{read} bytes came");
    }
    weir.stop();
}

/// A socket on which a client is logged in.
fn log_in(weir: &Weir) -> TcpStream {
    let mut socket = TcpStream::connect(("127.0.0.1", weir.port())).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut startup = BytesMut::new();
    frontend::startup_message([("user", "app"), ("database", "app")], &mut startup).unwrap();
    socket.write_all(&startup).unwrap();
    drain(&mut socket);
    socket
}

/// Reads up to a ReadyForQuery that says idle; counts the bytes.
fn drain(socket: &mut TcpStream) -> usize {
    let (mut block, mut read) = (vec![0; 64 << 10], 0);
    loop {
        let new = socket.read(&mut block).unwrap();
        assert_ne!(new, 0, "closed after {read} bytes: {}", String::from_utf8_lossy(&block[..200]));
        read += new;
        if block[..new].ends_with(b"Z\0\0\0\x05I") {
            return read;
        }
    }
}

#[test]
fn a_client_behind_tls_that_stops_reading() {
    let authority = Authority::new();
    let server = Setup::new().tls(&authority.server()).start();
    let weir = Weir::setup()
        .server(&server)
        .setting("pool_mode", "transaction")
        .tls(&authority.server())
        .setting("server_tls_sslmode", "require")
        .start();
    let login = weir.login("app", "app").set("PGSSLMODE", "require");
    let sql =
        format!("COPY (SELECT repeat('x', 1000000) FROM generate_series(1, {STREAM})) TO STDOUT");
    bounded("slow reader, TLS on both sides", &weir, || {
        let mut psql = Job::start(&mut psql_command(&login, &["-o", "/dev/null", "-c", &sql]));
        let active =
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND query LIKE 'COPY%'";
        wait::until("COPY to run", wait::DEADLINE, || server.query(active).one() == "1");
        psql.signal(Signal::STOP);
        wait_blocked(&server);
        psql.signal(Signal::CONT);
        psql.finish().ok();
    });
    weir.stop();
}

#[test]
fn a_client_that_sends_a_large_copy_to_a_slow_server() {
    let mut server = Setup::new().start();
    let weir = start(&server);
    let mut socket = log_in(&weir);
    let mut query = BytesMut::new();
    frontend::query("CREATE TABLE filled (t text)", &mut query).unwrap();
    socket.write_all(&query).unwrap();
    drain(&mut socket);
    bounded("COPY in", &weir, || {
        let mut query = BytesMut::new();
        // What it would store is not the matter.
        frontend::query("COPY filled FROM STDIN WHERE t IS NULL", &mut query).unwrap();
        socket.write_all(&query).unwrap();
        // The server is frozen for a while: the client is held up, not pgweir filled.
        server.kill(Signal::STOP);
        let row = copy_data(&[&[b'x'; 999_999][..], b"\n"].concat());
        let mut sent = 0;
        let rest = send_until_blocked(&mut socket, &row, KERNEL, &mut sent);
        assert!(sent < KERNEL, "{sent} bytes went to a server that reads none");
        server.kill(Signal::CONT);
        socket.write_all(&rest).unwrap();
        for _ in sent / row.len()..STREAM {
            socket.write_all(&row).unwrap();
        }
        socket.write_all(b"c\0\0\0\x04").unwrap();
        drain(&mut socket);
    });
    weir.stop();
}

fn copy_data(bytes: &[u8]) -> Vec<u8> {
    let mut message = BytesMut::new();
    frontend::CopyData::new(bytes).unwrap().write(&mut message);
    message.to_vec()
}

/// Sends a message again and again until no byte is taken for a second, or `most` were; gives what
/// is left of the last.
fn send_until_blocked(
    socket: &mut TcpStream,
    message: &[u8],
    most: usize,
    sent: &mut usize,
) -> Vec<u8> {
    socket.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut left = message;
    while *sent < most {
        match socket.write(left) {
            Ok(taken) => {
                *sent += taken;
                left = &left[taken..];
                if left.is_empty() {
                    left = message;
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                break;
            }
            Err(error) => panic!("after {sent} bytes: {error}"),
        }
    }
    socket.set_write_timeout(None).unwrap();
    left.to_vec()
}

#[test]
fn a_client_that_sends_a_large_copy_to_a_server_that_never_reads() {
    let mut script = Step::login();
    // CopyInResponse: text, no columns.
    script.extend(Step::query(reply::message(b'G', &[0, 0, 0])));
    script.push(Step::Hang);
    let server = ScriptedServer::start(script);
    let entry = format!("app = host=127.0.0.1 port={} dbname=app", server.port());
    let weir = Weir::setup().database(&entry).setting("pool_mode", "transaction").start();
    let mut socket = log_in(&weir);
    let sent = bounded("COPY in, server reads nothing", &weir, || {
        let mut query = BytesMut::new();
        frontend::query("COPY t FROM STDIN", &mut query).unwrap();
        socket.write_all(&query).unwrap();
        socket.read_exact(&mut [0; 8]).unwrap();
        let mut sent = 0;
        send_until_blocked(&mut socket, &copy_data(&[b'x'; 8000]), KERNEL, &mut sent);
        sent
    });
    assert!(sent < KERNEL, "{sent} bytes went to a server that reads none");
    assert_eq!(server.seen()[0].surprise, None);
}

#[test]
fn a_client_that_asks_and_asks_and_never_reads_an_answer() {
    let server = Setup::new().start();
    let weir = start(&server);
    let mut other = Wire::tcp(weir.port(), "app", "app").unwrap();
    let mut query = BytesMut::new();
    frontend::query("SELECT repeat('x', 100)", &mut query).unwrap();
    let mut begin = BytesMut::new();
    frontend::query("BEGIN", &mut begin).unwrap();
    let mut extended = BytesMut::new();
    frontend::parse("named", "SELECT repeat('x', 100)", [], &mut extended).unwrap();
    extended.extend_from_slice(b"B\0\0\0\x11\0named\0\0\0\0\0\0\0");
    frontend::execute("", 0, &mut extended).unwrap();
    frontend::close(b'S', "named", &mut extended).unwrap();
    frontend::sync(&mut extended);
    for (what, first, message) in [
        ("Sync, without a server", &b""[..], &b"S\0\0\0\x04"[..]),
        ("Sync, in a transaction", &begin, b"S\0\0\0\x04"),
        ("Flush, in a transaction", &begin, b"H\0\0\0\x04"),
        ("queries", b"", &query),
        ("a named statement", b"", &extended),
        ("Describe of what is not there", b"", b"D\0\0\0\x06S\0"),
    ] {
        let mut socket = log_in(&weir);
        // As one write, or small messages would be bounded by the test's speed.
        let block = message.repeat((64 << 10) / message.len());
        let sent = bounded(&format!("never reads, sends {what}"), &weir, || {
            socket.write_all(first).unwrap();
            let mut sent = 0;
            send_until_blocked(&mut socket, &block, KERNEL / 4, &mut sent);
            sent
        });
        eprintln!("{} KiB were taken", sent >> 10);
        assert_eq!(other.query("SELECT 1").unwrap().one(), "1", "{what}");
    }
    weir.stop();
}

/// The limits that hold the others up come to no standstill.
#[test]
fn a_hundred_thousand_requests_in_one_pipeline_are_all_answered() {
    const REQUESTS: usize = 100_000;
    let server = Setup::new().start();
    let weir = start(&server);
    let parse = |text: &str| {
        let mut message = BytesMut::new();
        frontend::parse("named", text, [], &mut message).unwrap();
        message.to_vec()
    };
    let bind = b"B\0\0\0\x11\0named\0\0\0\0\0\0\0";
    let execute = b"E\0\0\0\x09\0\0\0\0\0";
    let (close, sync) = (b"C\0\0\0\x0bSother\0", b"S\0\0\0\x04");
    for (what, first, request, answer, count) in [
        ("Close", vec![], &close[..], b'3', REQUESTS),
        ("Sync", vec![], sync, b'Z', REQUESTS + 1),
        ("Bind", parse("SELECT 1"), bind, b'2', REQUESTS),
        ("Bind and Execute", parse("SELECT 1"), &[&bind[..], execute].concat(), b'D', REQUESTS),
        ("Close behind Parse", parse("SELECT 1"), close, b'3', REQUESTS),
        ("Bind behind an error", parse("no SQL"), bind, b'E', 1),
    ] {
        let mut socket = log_in(&weir);
        let mut end = BytesMut::new();
        frontend::sync(&mut end);
        frontend::query("SELECT 'the end'", &mut end).unwrap();
        let mut writer = socket.try_clone().unwrap();
        let counts = std::thread::scope(|scope| {
            scope.spawn(move || {
                writer.write_all(&first).unwrap();
                writer.write_all(&request.repeat(REQUESTS)).unwrap();
                writer.write_all(&end).unwrap();
            });
            count_answers(&mut socket)
        });
        assert_eq!(counts[usize::from(answer)], count, "{what}");
        eprintln!("{what}: all answered");
    }
    weir.stop();
}

/// How many messages of each type come, up to the ReadyForQuery behind `the end`.
fn count_answers(socket: &mut TcpStream) -> [usize; 256] {
    let (mut counts, mut input, mut ending) = ([0; 256], BytesMut::new(), false);
    let mut block = vec![0; 64 << 10];
    loop {
        while let Some(length) = input.get(1..5) {
            let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
            if input.len() <= length {
                break;
            }
            let message = input.split_to(1 + length);
            match message[0] {
                b'D' if message.ends_with(b"the end") => ending = true,
                b'Z' if ending => return counts,
                tag => counts[usize::from(tag)] += 1,
            }
        }
        let new = socket.read(&mut block).expect("no answer");
        assert_ne!(new, 0, "closed after {counts:?}");
        input.extend_from_slice(&block[..new]);
    }
}

#[test]
fn a_thousand_clients_that_connect_and_send_nothing() {
    const CLIENTS: usize = 1000;
    lift_own_file_limit();
    let server = Setup::new().start();
    let weir = Weir::setup()
        .server(&server)
        .setting("pool_mode", "transaction")
        .setting("max_client_conn", 2 * CLIENTS)
        .setting("tcp_defer_accept", 0)
        .tls(&Authority::new().server())
        .start();
    let mut other = Wire::tcp(weir.port(), "app", "app").unwrap();
    let process = Watched::new(weir.pid());
    for (what, first) in [
        ("nothing", &b""[..]),
        ("half a startup packet", b"\0\0\0\x20\0\x03\0\0user\0"),
        ("SSLRequest alone", b"\0\0\0\x08\x04\xd2\x16\x2f"),
        ("the head of a large startup packet", b"\0\0\x27\x10\0\x03\0\0"),
    ] {
        let idle = process.open_files();
        let clients: Vec<_> = bounded(&format!("{CLIENTS} clients send {what}"), &weir, || {
            let clients = (0..CLIENTS).map(|_| {
                let mut socket = TcpStream::connect(("127.0.0.1", weir.port())).unwrap();
                socket.write_all(first).unwrap();
                socket
            });
            let clients = clients.collect();
            wait::until("all accepted", wait::DEADLINE, || process.open_files() >= idle + CLIENTS);
            clients
        });
        assert_eq!(other.query("SELECT 1").unwrap().one(), "1");
        drop(clients);
        wait::until("all gone", wait::DEADLINE, || process.open_files() <= idle);
    }
    weir.stop();
}
