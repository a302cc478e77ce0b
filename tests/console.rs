//! The console, the signals and the HTTP port of a running pgweir.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use std::time::Duration;

use common::raw::Raw;
use common::{Setup, Signal, Weir, Wire, psql, wait};

const LONG: Duration = Duration::from_secs(30);

fn start() -> (common::Postgres, Weir) {
    let server = Setup::new().start();
    let weir = Weir::setup().server(&server).setting("pool_mode", "transaction").start();
    (server, weir)
}

#[test]
fn every_show_answers_and_tells_of_clients_and_servers() {
    let (_server, weir) = start();
    let mut client = Wire::tcp(weir.port(), "app", "app").unwrap();
    client.query("BEGIN").unwrap();
    for what in [
        "CLIENTS",
        "CONFIG",
        "DATABASES",
        "LISTS",
        "POOLS",
        "SERVERS",
        "STATE",
        "STATS",
        "STATS_AVERAGES",
        "STATS_TOTALS",
        "TOPOLOGY",
        "TOTALS",
        "USERS",
        "VERSION",
    ] {
        weir.console(&format!("SHOW {what}"));
    }
    let clients = weir.console("SHOW CLIENTS");
    let row = clients.find("database", "app").unwrap();
    assert_eq!(clients.get(row, "state"), "active");
    let servers = weir.console("SHOW SERVERS");
    assert_eq!(servers.get(0, "link"), clients.get(row, "ptr"), "each names the other");
    let pools = weir.console("SHOW POOLS");
    assert_eq!(pools.get(0, "sv_active"), "1");
    client.query("COMMIT").unwrap();
    weir.wait_show("SHOW POOLS", "sv_idle", "1");
    weir.stop();
}

#[test]
fn who_is_in_no_list_may_not_use_the_console_and_who_may_look_may_not_pause() {
    let (_server, weir) = start();
    let error = Wire::tcp(weir.port(), "app", "pgbouncer").err().unwrap();
    assert_eq!(error.code(), "42501");
    let unknown = weir.try_console("FROBNICATE");
    assert!(
        unknown.failed().contains("invalid command 'FROBNICATE', use SHOW HELP;"),
        "{unknown:?}"
    );
    weir.stop();
}

#[test]
fn pause_waits_for_the_transaction_and_resume_lets_go_on() {
    let (_server, weir) = start();
    let mut client = Wire::tcp(weir.port(), "app", "app").unwrap();
    client.query("BEGIN").unwrap();
    let mut pause = weir.start_console("PAUSE");
    wait::until("paused", LONG, || {
        let state = weir.console("SHOW STATE");
        state.get(state.find("key", "paused").unwrap(), "value") == "yes"
    });
    assert!(pause.is_running(), "a transaction is open");
    assert_eq!(weir.get("/ready").0, 503);
    client.query("COMMIT").unwrap();
    pause.finish().ok();
    let later = std::thread::spawn(move || client.query("SELECT 7").unwrap().one().to_owned());
    weir.wait_show("SHOW POOLS", "cl_waiting", "1");
    weir.console("RESUME");
    assert_eq!(later.join().unwrap(), "7");
    assert_eq!(weir.get("/ready").0, 200);
    weir.stop();
}

#[test]
fn a_reload_takes_effect_and_one_with_a_mistake_changes_nothing() {
    let (_server, mut weir) = start();
    let mut client = Wire::tcp(weir.port(), "app", "app").unwrap();
    assert_eq!(client.query("SELECT 1").unwrap().one(), "1");
    weir.change(|setup| setup.setting("default_pool_size", 3));
    weir.console("RELOAD");
    let size = |weir: &Weir| {
        let rows = weir.console("SHOW DATABASES");
        rows.get(rows.find("name", "app").unwrap(), "pool_size").to_owned()
    };
    assert_eq!(size(&weir), "3");

    weir.change(|setup| setup.setting("default_pool_size", "many"));
    let refused = weir.try_console("RELOAD");
    assert!(
        refused.failed().contains("RELOAD failed, see logs for additional details"),
        "{refused:?}"
    );
    weir.wait_log("default_pool_size");
    assert_eq!(size(&weir), "3");
    assert_eq!(client.query("SELECT 2").unwrap().one(), "2");

    weir.change(|setup| setup.setting("default_pool_size", 4));
    weir.signal(Signal::HUP);
    wait::until("SIGHUP took effect", LONG, || size(&weir) == "4");
    weir.stop();
}

#[test]
fn kill_client_reconnect_and_disable_do_what_they_say() {
    let (_server, weir) = start();
    let mut client = Wire::tcp(weir.port(), "app", "app").unwrap();
    let before = client.query("SELECT pg_backend_pid()").unwrap().one().to_owned();
    weir.console("RECONNECT app");
    weir.console("WAIT_CLOSE app");
    assert_ne!(client.query("SELECT pg_backend_pid()").unwrap().one(), before);

    weir.console("DISABLE app");
    let refused = Wire::tcp(weir.port(), "app", "app").err().unwrap();
    assert!(refused.to_string().contains("database \"app\" is disabled"), "{refused}");
    weir.console("ENABLE app");
    assert!(Wire::tcp(weir.port(), "app", "app").is_ok());

    let clients = weir.console("SHOW CLIENTS");
    weir.console(&format!("KILL_CLIENT {}", clients.get(0, "id")));
    let ended = client.query("SELECT 1").unwrap_err();
    assert_eq!(ended.code(), "57P01", "{ended}");
    weir.stop();
}

#[test]
fn metrics_and_show_stats_tell_the_same() {
    let (_server, weir) = start();
    let mut client = Wire::tcp(weir.port(), "app", "app").unwrap();
    for _ in 0..7 {
        client.query("SELECT 1").unwrap();
    }
    let stats = weir.console("SHOW STATS");
    let shown = stats.get(stats.find("database", "app").unwrap(), "total_xact_count");
    assert_eq!(shown, "7");
    assert_eq!(weir.metric("pgweir_pool_transactions_total", &[("database", "app")]), Some(7.0));
    assert_eq!(weir.get("/healthz").0, 200);
    weir.stop();
}

#[test]
fn at_sigterm_clients_may_finish_and_new_ones_are_refused() {
    let (_server, mut weir) = start();
    let mut client = Wire::tcp(weir.port(), "app", "app").unwrap();
    client.query("BEGIN").unwrap();
    weir.signal(Signal::TERM);
    weir.wait_log("got SIGTERM, shutting down, waiting for all clients disconnect");
    wait::until("new clients are refused", LONG, || {
        !psql(&weir.login("app", "app"), "SELECT 1").status.success()
    });
    client.query("COMMIT").unwrap();
    drop(client);
    assert!(weir.wait_end().success());
}

#[test]
fn shutdown_ends_at_once_or_when_no_server_is_in_use() {
    let (_server, mut weir) = start();
    let run = weir.try_console("SHUTDOWN");
    assert!(!run.status.success(), "the connection just ends: {run:?}");
    assert!(weir.wait_end().success());

    let (_server, mut weir) = start();
    let mut client = Wire::tcp(weir.port(), "app", "app").unwrap();
    client.query("BEGIN").unwrap();
    weir.console("SHUTDOWN WAIT_FOR_SERVERS");
    assert_eq!(client.query("SELECT 1").unwrap().one(), "1", "the transaction goes on");
    client.query("COMMIT").unwrap();
    assert!(weir.wait_end().success());
}

#[test]
fn no_words_are_put_behind_half_a_row() {
    let (_server, weir) = start();
    let (mut client, _) = Raw::login(weir.port(), 0, &[]).unwrap();
    client.start("SELECT repeat('x', 50000000)");
    assert_eq!(client.read().unwrap().0, b'T');
    client.begins_to_answer();
    weir.console(&format!("KILL_CLIENT {}", weir.console("SHOW CLIENTS").get(0, "id")));
    let rest = client.rest();
    let length = u32::from_be_bytes(rest[1..5].try_into().unwrap()) as usize;
    assert_eq!((rest[0], length), (b'D', 50_000_010));
    assert!(rest.len() < length, "the row was cut");
    assert!(rest[11..].iter().all(|byte| *byte == b'x'), "and nothing stands for the rest of it");
    weir.stop();
}

#[test]
fn a_tls_setting_that_waits_for_its_file_holds_up_no_other_setting() {
    let (_server, weir) = start();
    let staged = weir.try_console("SET server_tls_sslmode = 'verify-full'");
    assert!(staged.status.success(), "{staged:?}");
    assert!(staged.stderr.contains("still using old configuration"), "{staged:?}");
    weir.console("SET default_pool_size = 7");
    let databases = weir.console("SHOW DATABASES");
    assert_eq!(databases.get(databases.find("name", "app").unwrap(), "pool_size"), "7");
    let mut client = Wire::tcp(weir.port(), "app", "app").unwrap();
    assert_eq!(client.query("SELECT 1").unwrap().one(), "1");
    weir.stop();
}
