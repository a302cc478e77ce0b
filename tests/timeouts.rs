//! Timeouts: who takes too long is told so with PostgreSQL's proper SQLSTATE, and nobody else is touched.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;

use common::{Password, Postgres, Raw, ScriptedServer, Setup, Step, Weir, WeirSetup, Wire};
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::Message;

fn start(change: impl FnOnce(WeirSetup) -> WeirSetup) -> (Postgres, Weir) {
    let server = Setup::new().role("other", Password::None).start();
    let setup = Weir::setup().server(&server).setting("pool_mode", "transaction").user("other", "");
    let weir = change(setup).start();
    (server, weir)
}

fn client(weir: &Weir) -> Wire {
    Wire::tcp(weir.port(), "app", "app").unwrap()
}

fn other(weir: &Weir) -> Wire {
    Wire::tcp(weir.port(), "other", "app").unwrap()
}

/// What a client that is closed is told, as `FATAL CODE: TEXT`.
fn last_words(wire: &mut Wire) -> String {
    wire.answer().unwrap_err().to_string()
}

#[test]
fn a_query_that_runs_longer_than_query_timeout_ends_its_client_and_closes_its_server() {
    let (server, weir) = start(|setup| setup.setting("query_timeout", 1));
    let (mut slow, mut quick) = (client(&weir), client(&weir));
    quick.query("BEGIN").unwrap();
    slow.start("SELECT pg_sleep(600)").unwrap();
    assert_eq!(last_words(&mut slow), "FATAL 57014: query timeout");
    weir.wait_log("closing because: query timeout");
    // A transaction without a query under way is not concerned, however long it lasts.
    assert_eq!(quick.query("SELECT 1").unwrap().one(), "1");
    quick.query("COMMIT").unwrap();
    // Taken back at once, without a restart.
    weir.console("SET query_timeout = 0");
    assert_eq!(client(&weir).query("SELECT 2").unwrap().one(), "2");
    drop(server);
    weir.stop();
}

#[test]
fn a_query_that_waits_longer_than_query_timeout_is_told_so_in_another_spelling() {
    let (_server, weir) =
        start(|setup| setup.setting("default_pool_size", 1).setting("query_timeout", 1));
    let (mut holder, mut waiter) = (client(&weir), client(&weir));
    holder.query("BEGIN").unwrap();
    waiter.start("SELECT 1").unwrap();
    assert_eq!(last_words(&mut waiter), "FATAL 57014: query_timeout");
    holder.query("COMMIT").unwrap();
    weir.stop();
}

#[test]
fn a_users_own_query_timeout_counts_before_the_global_one() {
    let (_server, weir) = start(|setup| {
        setup.setting("query_timeout", 600).section("[users]\nother = query_timeout=1")
    });
    let (mut own, mut global) = (other(&weir), client(&weir));
    global.start("SELECT pg_sleep(2)").unwrap();
    own.start("SELECT pg_sleep(600)").unwrap();
    assert_eq!(last_words(&mut own), "FATAL 57014: query timeout");
    global.answer().unwrap();
    weir.stop();
}

#[test]
fn queries_that_follow_each_other_are_each_timed_by_themselves() {
    let (_server, weir) = start(|setup| setup.setting("query_timeout", 2));
    let mut wire = client(&weir);
    wire.query("BEGIN").unwrap();
    for _ in 0..4 {
        wire.query("SELECT pg_sleep(0.8)").unwrap();
    }
    wire.query("COMMIT").unwrap();
    weir.stop();
}

#[test]
fn a_transaction_that_idles_longer_than_idle_transaction_timeout_is_rolled_back() {
    let (server, weir) = start(|setup| setup.setting("idle_transaction_timeout", 1));
    let (mut idle, mut bystander) = (client(&weir), client(&weir));
    idle.query("CREATE TABLE t (n int)").unwrap();
    idle.query("BEGIN").unwrap();
    // A query that runs is no idling.
    idle.query("SELECT pg_sleep(2)").unwrap();
    idle.query("INSERT INTO t VALUES (1)").unwrap();
    assert_eq!(last_words(&mut idle), "FATAL 25P03: idle transaction timeout");
    weir.wait_log("closing because: idle transaction timeout");
    assert_eq!(bystander.query("SELECT count(*) FROM t").unwrap().one(), "0");
    drop(server);
    weir.stop();
}

#[test]
fn a_transaction_that_lasts_longer_than_transaction_timeout_is_ended_whatever_it_does() {
    let (_server, weir) = start(|setup| {
        setup.section("[users]\napp = transaction_timeout=1\n").setting("workers", 1)
    });
    let (mut long, mut short) = (client(&weir), client(&weir));
    long.query("BEGIN").unwrap();
    long.start("SELECT pg_sleep(600)").unwrap();
    assert_eq!(last_words(&mut long), "FATAL 25P04: transaction timeout");
    let mut chatty = client(&weir);
    chatty.query("BEGIN").unwrap();
    let told = loop {
        if let Err(told) = chatty.query("SELECT pg_sleep(0.1)") {
            break told;
        }
    };
    assert_eq!(told.to_string(), "FATAL 25P04: transaction timeout");
    assert_eq!(short.query("SELECT 1").unwrap().one(), "1");
    weir.stop();
}

#[test]
fn a_client_that_idles_longer_than_client_idle_timeout_is_closed_but_not_one_with_a_server() {
    let (_server, weir) = start(|setup| {
        setup.setting("pool_mode", "session").section("[users]\nother = client_idle_timeout=1")
    });
    let mut holding = other(&weir);
    holding.query("SELECT 1").unwrap();
    let mut idle = other(&weir);
    assert_eq!(last_words(&mut idle), "FATAL 57P05: client_idle_timeout");
    assert_eq!(holding.query("SELECT 2").unwrap().one(), "2");
    weir.console("SET client_idle_timeout = 1");
    let mut idle = client(&weir);
    assert_eq!(last_words(&mut idle), "FATAL 57P05: client_idle_timeout");
    drop(holding);
    weir.stop();
}

#[test]
fn a_client_that_was_busy_may_idle_again_for_the_whole_client_idle_timeout() {
    let (_server, weir) = start(|setup| setup.setting("client_idle_timeout", 2));
    let mut wire = client(&weir);
    for _ in 0..4 {
        wire.query("SELECT pg_sleep(0.9)").unwrap();
    }
    assert_eq!(last_words(&mut wire), "FATAL 57P05: client_idle_timeout");
    weir.stop();
}

#[test]
fn who_waits_for_a_server_that_cannot_be_reached_is_told_why_there_is_none() {
    let (mut server, weir) = start(|setup| setup.setting("query_wait_timeout", 1));
    server.stop();
    let error = Raw::login(weir.port(), 0, &[]).err().expect("a login without a server");
    assert_eq!(error.message(), "query_wait_timeout");
    let detail = error.field(b'D').expect("a DETAIL");
    let detail = String::from_utf8_lossy(detail);
    assert!(detail.ends_with(": connect failed."), "{detail}");
    assert!(!detail.contains("127.0.0.1"), "names the host: {detail}");
    weir.wait_log("no server to be had for");
    weir.stop();
}

#[test]
fn query_wait_timeout_of_the_user_counts_before_the_databases_and_that_before_the_global_one() {
    let server = Setup::new().role("other", Password::None).start();
    let entry = |name: &str, more: &str| {
        format!("{name} = host=127.0.0.1 port={} dbname=app pool_size=1 {more}", server.port())
    };
    let weir = Weir::setup()
        .database(&entry("short", "query_wait_timeout=1"))
        .database(&entry("plain", ""))
        .setting("pool_mode", "transaction")
        .user("other", "")
        .section("[users]\nother = query_wait_timeout=0")
        .start();
    let log_in = |user: &str, database: &str| Wire::tcp(weir.port(), user, database).unwrap();
    let mut holders: Vec<Wire> = [("app", "short"), ("other", "short"), ("app", "plain")]
        .map(|(user, database)| log_in(user, database))
        .into();
    let mut waiters: Vec<Wire> = [("app", "short"), ("other", "short"), ("app", "plain")]
        .map(|(user, database)| log_in(user, database))
        .into();
    holders.iter_mut().for_each(|holder| drop(holder.query("BEGIN").unwrap()));
    waiters.iter_mut().for_each(|waiter| waiter.start("SELECT 'served'").unwrap());
    assert_eq!(last_words(&mut waiters[0]), "FATAL 53300: query_wait_timeout");
    holders.iter_mut().for_each(|holder| drop(holder.query("COMMIT").unwrap()));
    for waiter in &mut waiters[1..] {
        assert_eq!(waiter.answer().unwrap().one(), "served");
    }
    weir.stop();
}

#[test]
fn a_client_that_waits_longer_than_query_wait_notify_is_told_once() {
    let (_server, weir) =
        start(|setup| setup.setting("default_pool_size", 1).setting("query_wait_notify", 1));
    let (mut holder, mut waiter) = (client(&weir), client(&weir));
    holder.query("BEGIN").unwrap();
    waiter.start("SELECT 1").unwrap();
    let Message::NoticeResponse(body) = waiter.message().unwrap() else { panic!("not a notice") };
    let fields: Vec<(u8, String)> = body
        .fields()
        .map(|field| Ok((field.type_(), String::from_utf8_lossy(field.value_bytes()).into())))
        .collect()
        .unwrap();
    let field = |letter| fields.iter().find(|(l, _)| *l == letter).map(|(_, text)| text.as_str());
    assert_eq!((field(b'S'), field(b'C')), (Some("NOTICE"), Some("00000")));
    let text = "No server connection available in postgres backend, client being queued";
    assert_eq!(field(b'M'), Some(text));
    holder.query("SELECT pg_sleep(2)").unwrap();
    holder.query("COMMIT").unwrap();
    // The answer comes next: there was no second notice.
    assert!(matches!(waiter.message().unwrap(), Message::RowDescription(_)));
    weir.stop();
}

#[test]
fn a_server_that_does_not_finish_the_login_is_given_up_after_server_connect_timeout() {
    let server = ScriptedServer::start(vec![Step::Startup, Step::Hang]);
    let weir = Weir::setup()
        .database(&format!("app = host=127.0.0.1 port={}", server.port()))
        .setting("server_connect_timeout", 1)
        .setting("server_login_retry", 1)
        .setting("client_login_timeout", 4)
        .start();
    let refused = Wire::tcp(weir.port(), "app", "app").err().unwrap();
    assert_eq!(refused.to_string(), "FATAL 57P03: client_login_timeout (server down)");
    assert!(weir.log().contains("did not let us in within 1s (server_connect_timeout)"));
    assert!(server.seen().len() > 1, "it was tried again after server_login_retry");
    weir.stop();
}

#[test]
fn a_client_that_says_nothing_is_closed_after_client_login_timeout() {
    let (_server, weir) =
        start(|setup| setup.setting("client_login_timeout", 1).setting("tcp_defer_accept", 0));
    let mut socket = TcpStream::connect(("127.0.0.1", weir.port())).unwrap();
    socket.set_read_timeout(Some(common::wait::DEADLINE)).unwrap();
    let mut told = Vec::new();
    socket.read_to_end(&mut told).unwrap();
    let told = String::from_utf8_lossy(&told);
    assert!(told.starts_with('E') && told.contains("client_login_timeout"), "{told:?}");
    weir.stop();
}

#[test]
fn a_client_is_accepted_once_it_says_something_unless_tcp_defer_accept_is_off() {
    let (_server, weir) = start(|setup| setup);
    let sockets = || {
        let files = std::fs::read_dir(format!("/proc/{}/fd", weir.pid().as_raw_nonzero())).unwrap();
        let links = files.filter_map(|file| std::fs::read_link(file.unwrap().path()).ok());
        links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
    };
    let connect = || TcpStream::connect(("127.0.0.1", weir.port())).unwrap();
    let mut first = client(&weir);
    assert_eq!(first.query("SELECT 1").unwrap().one(), "1");
    let before = sockets();
    let mut silent = connect();
    // It stands behind the silent one in the kernel's queue.
    let _second = client(&weir);
    assert_eq!(sockets(), before + 1, "the silent client was accepted");
    silent.write_all(b"\0\0\0\x08\x04\xd2\x16\x2f").unwrap();
    let mut answer = [0];
    silent.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"N");
    weir.console("SET tcp_defer_accept = 0");
    let _third = client(&weir);
    let _fourth = connect();
    common::wait::until("a silent client to be accepted", common::wait::DEADLINE, || {
        sockets() == before + 4
    });
    weir.stop();
}

#[test]
fn while_a_server_is_down_new_queries_fail_at_once_and_who_waited_is_served_when_it_is_back() {
    let (mut server, weir) = start(|setup| setup.setting("server_login_retry", 3));
    let (mut patient, mut late) = (client(&weir), client(&weir));
    server.stop();
    patient.start("SELECT 'served'").unwrap();
    weir.wait_log("cannot open a server connection");
    let told = late.query("SELECT 1").unwrap_err();
    let text = "server login has been failing, cached error: connect failed (server_login_retry)";
    assert_eq!(told.to_string(), format!("FATAL 08001: {text}"));
    server.start();
    assert_eq!(patient.answer().unwrap().one(), "served");
    weir.stop();
}
