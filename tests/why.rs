//! SHOW WHY: each client that waits is told apart by what it waits for.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use common::postgres::Setup;
use common::wait;
use common::weir::{Weir, WeirSetup};
use common::wire::{Rows, Wire};
use rustix::process::Signal;

fn why(weir: &Weir, words: &str) -> Rows {
    wait::value(words, wait::DEADLINE, || {
        let rows = weir.console("SHOW WHY");
        let found = (0..rows.rows.len()).any(|row| rows.get(row, "reason").contains(words));
        found.then_some(rows)
    })
}

fn waiting(weir: &Weir, database: &str) -> Wire {
    let mut client = Wire::tcp(weir.port(), "app", database).unwrap();
    client.start("SELECT 'served'").unwrap();
    client
}

fn transaction_mode(setup: WeirSetup) -> WeirSetup {
    setup.setting("pool_mode", "transaction").setting("query_wait_timeout", "0")
}

#[test]
fn a_full_pool_names_who_holds_its_servers_and_what_to_do() {
    let server = Setup::new().start();
    let setup = transaction_mode(Weir::setup().server(&server));
    let weir = setup.setting("default_pool_size", "2").start();
    let mut idles = Wire::tcp(weir.port(), "app", "app").unwrap();
    idles.query("BEGIN").unwrap();
    let mut runs = Wire::tcp(weir.port(), "app", "app").unwrap();
    runs.start("SELECT pg_sleep(60)").unwrap();
    weir.wait_show("SHOW POOLS", "sv_active", "2");
    let first = waiting(&weir, "app");
    weir.wait_show("SHOW POOLS", "cl_waiting", "1");
    let second = waiting(&weir, "app");
    weir.wait_show("SHOW POOLS", "cl_waiting", "2");
    let rows = why(&weir, "2 of 2 servers are in use");
    assert_eq!(rows.rows.len(), 2);
    assert_eq!((rows.get(0, "position"), rows.get(1, "position")), ("1", "2"));
    assert_eq!((rows.get(0, "setting"), rows.get(0, "user")), ("pool_size", "app"));
    let holders = rows.get(0, "held_by");
    assert!(holders.contains("idle in transaction") && holders.contains("running"), "{holders}");
    let clients = weir.console("SHOW CLIENTS");
    let id = clients.get(0, "id");
    assert!(holders.contains(&format!("client {id} ")), "{holders} {clients:?}");
    drop((runs, idles, first, second));
    wait::until("nobody waits", wait::DEADLINE, || weir.console("SHOW WHY").rows.is_empty());
}

#[test]
fn limits_over_several_pools_and_a_pause_are_named() {
    let server = Setup::new().start();
    let entry = |name: &str, more: &str| {
        format!("{name} = host=127.0.0.1 port={} dbname=app {more}", server.port())
    };
    let setup = transaction_mode(Weir::setup())
        .database(&entry("narrow", "max_db_connections=1"))
        .database(&entry("wide", ""))
        .user("other", "x")
        .section("[users]\napp = max_user_connections=2");
    server.query("CREATE ROLE other LOGIN");
    let weir = setup.start();
    let mut held = Wire::tcp(weir.port(), "app", "narrow").unwrap();
    held.query("BEGIN").unwrap();
    // The first login of its pool: it waits for a server before there is a client.
    let port = weir.port();
    let other = std::thread::spawn(move || Wire::tcp(port, "other", "narrow").map(drop));
    let rows = why(&weir, "the database has 1 of 1 server connections");
    assert_eq!((rows.get(0, "setting"), rows.get(0, "id")), ("max_db_connections", ""));
    assert_eq!((rows.get(0, "user"), rows.get(0, "database")), ("other", "narrow"));
    let mut wide = Wire::tcp(weir.port(), "app", "wide").unwrap();
    wide.query("BEGIN").unwrap();
    let more = waiting(&weir, "wide");
    let rows = why(&weir, "the server user has 2 of 2 server connections");
    let row = rows.find("setting", "max_user_connections").unwrap();
    assert!(rows.get(row, "held_by").contains("idle in transaction"), "{rows:?}");
    wide.query("COMMIT").unwrap();
    weir.console("PAUSE wide");
    drop(more);
    let paused = waiting(&weir, "wide");
    let rows = why(&weir, "paused");
    assert_eq!(rows.get(rows.find("setting", "PAUSE").unwrap(), "database"), "wide");
    drop(paused);
    held.query("COMMIT").unwrap();
    other.join().unwrap().unwrap();
}

#[test]
fn who_waits_for_a_primary_is_told_the_state_of_each_host() {
    let mut cluster = Setup::new().cluster(0);
    let setup = transaction_mode(Weir::setup().cluster(&cluster));
    let weir = setup.setting("topology_interval", "0.1").start();
    let mut client = Wire::tcp(weir.port(), "app", "app").unwrap();
    client.query("SELECT 1").unwrap();
    cluster.primary_mut().kill(Signal::KILL);
    client.start("SELECT 1").unwrap();
    let rows = why(&weir, "no host of the kind that it needs is known");
    let reason = rows.get(0, "reason");
    assert!(reason.contains("127.0.0.1") && reason.contains("is down"), "{reason}");
    assert_eq!((rows.get(0, "setting"), rows.get(0, "position")), ("failover_timeout", ""));
}
