//! Limits and modes: who gets a server, for how long, and who is told no.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use common::{Postgres, Setup, Weir, WeirSetup, Wire};

fn start(mode: &str, change: impl FnOnce(WeirSetup) -> WeirSetup) -> (Postgres, Weir) {
    let server = Setup::new().start();
    let weir = change(Weir::setup().server(&server).setting("pool_mode", mode)).start();
    (server, weir)
}

fn client(weir: &Weir) -> Wire {
    Wire::tcp(weir.port(), "app", "app").unwrap()
}

#[test]
fn max_client_conn_refuses_one_too_many_and_lets_in_again_when_one_has_left() {
    let (_server, weir) = start("transaction", |setup| setup.setting("max_client_conn", 2));
    let first = client(&weir);
    let _second = client(&weir);
    let refused = Wire::tcp(weir.port(), "app", "app").err().unwrap();
    assert_eq!(refused.code(), "53300");
    assert!(
        refused.to_string().contains("no more connections allowed (max_client_conn)"),
        "{refused}"
    );
    drop(first);
    common::wait::ok("a place", std::time::Duration::from_secs(30), || {
        Wire::tcp(weir.port(), "app", "app")
    });
    weir.stop();
}

#[test]
fn who_waits_longer_than_query_wait_timeout_is_told_so_and_nobody_else() {
    let (_server, weir) = start("transaction", |setup| {
        setup.setting("default_pool_size", 1).setting("query_wait_timeout", 1)
    });
    let (mut holder, mut waiter) = (client(&weir), client(&weir));
    holder.query("BEGIN").unwrap();
    let refused = waiter.query("SELECT 1").unwrap_err();
    assert_eq!(refused.code(), "53300");
    assert!(refused.to_string().contains("query_wait_timeout"), "{refused}");
    holder.query("COMMIT").unwrap();
    assert_eq!(client(&weir).query("SELECT 1").unwrap().one(), "1");
    weir.stop();
}

#[test]
fn those_who_wait_are_served_in_the_order_they_came() {
    let (server, weir) = start("transaction", |setup| setup.setting("default_pool_size", 1));
    server.login("postgres", "app");
    let mut holder = client(&weir);
    holder.query("CREATE TABLE served (place serial, who int)").unwrap();
    holder.query("BEGIN").unwrap();
    let mut waiting = Vec::new();
    for who in 0..5 {
        let mut waiter = client(&weir);
        waiting.push(std::thread::spawn(move || {
            waiter.query(&format!("INSERT INTO served (who) VALUES ({who})")).unwrap();
        }));
        weir.wait_show("SHOW POOLS", "cl_waiting", &(who + 1).to_string());
    }
    holder.query("COMMIT").unwrap();
    waiting.into_iter().for_each(|waiter| waiter.join().unwrap());
    let order =
        holder.query("SELECT string_agg(who::text, '' ORDER BY place) FROM served").unwrap();
    assert_eq!(order.one(), "01234");
    weir.stop();
}

#[test]
fn a_session_keeps_its_server_and_leaves_nothing_to_the_next() {
    let (_server, weir) = start("session", |setup| setup.setting("default_pool_size", 1));
    let mut first = client(&weir);
    first.query("CREATE TEMP TABLE mine (n int)").unwrap();
    let pid = first.query("SELECT pg_backend_pid()").unwrap().one().to_owned();
    first.query("SELECT * FROM mine").unwrap();
    drop(first);
    let mut second = client(&weir);
    assert_eq!(second.query("SELECT pg_backend_pid()").unwrap().one(), pid);
    assert_eq!(second.query("SELECT * FROM mine").unwrap_err().code(), "42P01");
    drop(second);
    weir.stop();
}

#[test]
fn statement_mode_refuses_transaction_blocks() {
    let (_server, weir) = start("statement", |setup| setup);
    let mut client = client(&weir);
    assert_eq!(client.query("SELECT 1").unwrap().one(), "1");
    let refused = client.query("BEGIN").unwrap_err();
    assert!(
        refused.to_string().contains("transaction blocks not allowed in statement pooling mode"),
        "{refused}"
    );
    weir.stop();
}

#[test]
fn a_client_that_leaves_in_a_transaction_does_not_leave_its_server_to_others() {
    let (server, weir) = start("transaction", |setup| setup.setting("default_pool_size", 1));
    let mut rude = client(&weir);
    rude.query("CREATE TABLE t (n int)").unwrap();
    rude.query("BEGIN").unwrap();
    rude.query("INSERT INTO t VALUES (1)").unwrap();
    drop(rude);
    let mut next = client(&weir);
    assert_eq!(next.query("SELECT count(*) FROM t").unwrap().one(), "0");
    assert_eq!(
        server.query("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'").one(),
        "1"
    );
    weir.stop();
}

#[test]
fn clients_keep_their_settings_on_a_shared_server() {
    let (_server, weir) = start("transaction", |setup| setup.setting("default_pool_size", 1));
    let (mut a, mut b) = (client(&weir), client(&weir));
    a.query("SET TimeZone = 'Asia/Tokyo'").unwrap();
    b.query("SET TimeZone = 'Europe/Berlin'").unwrap();
    b.query("SET application_name = 'it''s b'").unwrap();
    for _ in 0..3 {
        assert_eq!(a.query("SHOW TimeZone").unwrap().one(), "Asia/Tokyo");
        assert_eq!(b.query("SHOW TimeZone").unwrap().one(), "Europe/Berlin");
        assert_eq!(b.query("SHOW application_name").unwrap().one(), "it's b");
    }
    weir.stop();
}

#[test]
fn with_server_reset_query_always_nothing_leaks_between_transactions() {
    let (_server, weir) = start("transaction", |setup| {
        setup.setting("default_pool_size", 1).setting("server_reset_query_always", 1)
    });
    let (mut a, mut b) = (client(&weir), client(&weir));
    a.query("SET work_mem = '7MB'").unwrap();
    assert_ne!(b.query("SHOW work_mem").unwrap().one(), "7MB");
    weir.stop();
}
