//! What clients may send and what is made of it, and their sockets.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use std::os::unix::fs::MetadataExt;

use bytes::BytesMut;
use common::{Postgres, Setup, Weir, WeirSetup, Wire};
use postgres_protocol::IsNull;
use postgres_protocol::message::frontend;

fn start(change: impl FnOnce(WeirSetup) -> WeirSetup) -> (Postgres, Weir) {
    let server = Setup::new().start();
    let weir = change(Weir::setup().server(&server).setting("pool_mode", "transaction")).start();
    (server, weir)
}

fn client(weir: &Weir) -> Wire {
    Wire::tcp(weir.port(), "app", "app").unwrap()
}

#[test]
fn disable_pqexec_refuses_simple_queries_and_lets_extended_ones_pass() {
    let (_server, weir) = start(|setup| setup.setting("disable_pqexec", 1));
    let refused = client(&weir).query("SELECT 1").unwrap_err();
    assert_eq!(refused.to_string(), "FATAL 0A000: PQexec disallowed");
    let mut wire = client(&weir);
    let mut out = BytesMut::new();
    frontend::parse("", "SELECT 7", [], &mut out).unwrap();
    let none = std::iter::empty::<i16>;
    let value = |(): (), _: &mut BytesMut| Ok(IsNull::Yes);
    frontend::bind("", "", none(), std::iter::empty::<()>(), value, none(), &mut out)
        .unwrap_or_else(|_| panic!("nothing to bind"));
    frontend::execute("", 0, &mut out).unwrap();
    frontend::sync(&mut out);
    wire.send(&out).unwrap();
    assert_eq!(wire.answer().unwrap().rows, [[Some("7".to_owned())]]);
    // The console is not concerned.
    assert!(weir.console("SHOW CONFIG").find("key", "disable_pqexec").is_some());
    weir.stop();
}

#[test]
fn who_sends_a_message_longer_than_max_packet_size_is_disconnected_at_once_after_a_set() {
    let (_server, weir) = start(|setup| setup);
    let mut wire = client(&weir);
    let long = format!("SELECT '{}'", "x".repeat(2000));
    wire.query(&long).unwrap();
    weir.console("SET max_packet_size = 1000");
    let refused = wire.query(&long).unwrap_err();
    assert_eq!(refused.code(), "08P01");
    let head = "FATAL 08P01: bad packet header: '51000007de53454c'";
    assert_eq!(refused.to_string(), head);
    let mut wire = client(&weir);
    assert_eq!(wire.query("SELECT 1").unwrap().one(), "1");
    let lost = wire.query("SELECT repeat('x', 2000)").unwrap_err();
    assert_eq!(lost.to_string(), "FATAL 08006: server conn crashed?");
    assert_eq!(client(&weir).query("SELECT 2").unwrap().one(), "2");
    weir.stop();
}

#[test]
fn application_name_add_host_adds_the_address_to_the_name_of_the_login_only() {
    let (_server, weir) = start(|setup| setup.setting("application_name_add_host", 1));
    let show = |wire: &mut Wire| wire.query("SHOW application_name").unwrap().one().to_owned();
    let named = Wire::tcp_with(weir.port(), "app", "app", &[("application_name", "report")]);
    let mut named = named.unwrap();
    let name = show(&mut named);
    assert!(name.starts_with("report - 127.0.0.1:"), "{name}");
    named.query("SET application_name = 'later'").unwrap();
    assert_eq!(show(&mut named), "later");
    let name = show(&mut client(&weir));
    assert!(name.starts_with("app - 127.0.0.1:"), "{name}");
    let mut local = Wire::unix(weir.dir(), weir.port(), "app", "app").unwrap();
    let own = format!("app - unix({}):{}", std::process::id(), weir.port());
    assert_eq!(show(&mut local), own);
    weir.console("SET application_name_add_host = 0");
    assert_eq!(show(&mut client(&weir)), "");
    weir.stop();
}

#[test]
fn the_unix_socket_has_the_mode_and_the_group_that_are_asked_for() {
    // A group that the process belongs to; the number does as well as the name.
    let weir = Weir::setup().database("app = host=127.0.0.1 port=1").start();
    let own = std::fs::metadata(weir.dir()).unwrap().gid();
    weir.stop();
    let weir = Weir::setup()
        .database("app = host=127.0.0.1 port=1")
        .setting("unix_socket_mode", "0750")
        .setting("unix_socket_group", own)
        .start();
    let socket = weir.dir().join(format!(".s.PGSQL.{}", weir.port()));
    let metadata = std::fs::metadata(socket).unwrap();
    assert_eq!((metadata.mode() & 0o777, metadata.gid()), (0o750, own));
    weir.stop();
    let refused = Weir::setup().setting("unix_socket_group", "no such group").try_start();
    let log = refused.err().unwrap().log;
    assert!(log.contains("unix_socket_group: no group \"no such group\""), "{log}");
}

#[test]
fn connect_query_runs_on_every_server_and_its_error_is_for_the_log_only() {
    let server = Setup::new().start();
    let entry = |name: &str, query: &str| {
        format!("{name} = host=127.0.0.1 port={} dbname=app connect_query='{query}'", server.port())
    };
    let weir = Weir::setup()
        .database(&entry("good", "SET work_mem = 7777"))
        .database(&entry("bad", "SELECT nothing"))
        .start();
    let log_in = |database: &str| Wire::tcp(weir.port(), "app", database).unwrap();
    assert_eq!(log_in("good").query("SHOW work_mem").unwrap().one(), "7777kB");
    assert_eq!(log_in("bad").query("SELECT 1").unwrap().one(), "1");
    weir.wait_log("connect_query failed: column \"nothing\" does not exist");
    weir.stop();
}
