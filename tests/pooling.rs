//! Pooling against a real server: who gets which server, when, and whose reply is whose.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use common::{Setup, Weir, pgbench, psql};

#[test]
fn psql_reaches_the_server_in_transaction_mode() {
    let server = Setup::new().start();
    let weir = Weir::setup().server(&server).setting("pool_mode", "transaction").start();
    let answer = psql(&weir.login("app", "app"), "SELECT 40 + 2");
    assert_eq!(answer.ok().trim(), "42");
    weir.stop();
}

#[test]
fn pgbench_runs_in_every_query_mode() {
    let server = Setup::new().start();
    let weir = Weir::setup()
        .server(&server)
        .setting("pool_mode", "transaction")
        .start();
    let login = weir.login("app", "app");
    pgbench(&login, &["-i", "-q"]).ok();
    for mode in ["simple", "extended", "prepared"] {
        for script in ["-S", "-N"] {
            // As many clients as servers: pgbench prepares with a blocking call in the middle of its transactions, so
            // with fewer servers it would wait for itself, whatever pooler is in between.
            let run = pgbench(&login, &[script, "-M", mode, "-c", "20", "-j", "2", "-t", "100", "-n"]);
            assert!(run.ok().contains("number of failed transactions: 0"), "{run:?}");
        }
    }
    weir.stop();
}
