//! The console, as drivers and tools ask it.

use std::path::Path;

use super::common::psql::{Job, psql_as_service};
use super::common::{Login, Postgres, Setup, Weir, java, node, psql, python};

fn start() -> (Postgres, Weir) {
    let server = Setup::new().start();
    let setup = Weir::setup().server(&server).user("admin", "x");
    let weir = setup.setting("pool_mode", "transaction").start();
    // So that there is a server, and something to count.
    psql(&weir.login("app", "app"), "SELECT 1").ok();
    (server, weir)
}

fn login(weir: &Weir) -> Login {
    weir.login("admin", "pgbouncer")
}

#[test]
fn psycopg_asks_the_console() {
    let (_server, weir) = start();
    python(&login(&weir), include_str!("console.py"), &[]).ok();
}

#[test]
fn asyncpg_asks_the_console() {
    let (_server, weir) = start();
    python(&login(&weir), include_str!("console_asyncpg.py"), &[]).ok();
}

#[test]
fn node_postgres_asks_the_console() {
    let (_server, weir) = start();
    node(&login(&weir), include_str!("console.js"), &[]).ok();
}

#[test]
fn jdbc_asks_the_console() {
    let (_server, weir) = start();
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/drivers/ConsoleJdbc.java");
    java(&login(&weir), Path::new(source), &[]).ok();
}

/// What the widely used pgbouncer exporter asks, each time it is scraped: over one connection, by the simple protocol.
#[test]
fn an_exporters_queries_are_answered() {
    let (_server, weir) = start();
    let shows = ["VERSION", "LISTS", "CONFIG", "DATABASES", "STATS", "POOLS"];
    let commands: Vec<String> = shows.iter().map(|show| format!("SHOW {show};")).collect();
    let args: Vec<&str> = commands.iter().flat_map(|sql| ["-c", sql.as_str()]).collect();
    let command = &mut psql_as_service(&login(&weir), &args);
    let run = Job::start(command).finish();
    for word in ["used_clients", "max_client_conn", "force_user", "total_xact_time", "maxwait_us"] {
        assert!(run.ok().contains(word), "{word}: {run:?}");
    }
}
