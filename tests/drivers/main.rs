//! Drivers that people use, in transaction mode, with fewer servers than clients. Each does what
//! applications do with it, in every one of the [`ways`] to connect.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

#[path = "../common/mod.rs"]
mod common;
mod console;
mod pgbench;
mod psql;
mod rustls_for;
mod tokio_postgres;
mod ways;

use std::path::Path;

use common::{java, node, python};

#[test]
fn psycopg_works_in_transaction_mode() {
    ways::each(|way| {
        python(&way.login(), include_str!("psycopg.py"), &[way.name]).ok();
    });
}

#[test]
fn asyncpg_works_in_transaction_mode() {
    ways::each(|way| {
        python(&way.login(), include_str!("asyncpg.py"), &[way.name]).ok();
    });
}

#[test]
fn node_postgres_works_in_transaction_mode() {
    ways::each(|way| {
        node(&way.login(), include_str!("node_postgres.js"), &[way.name]).ok();
    });
}

#[test]
fn jdbc_works_in_transaction_mode() {
    let source = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/drivers/Jdbc.java"));
    // Its startup packet has extra_float_digits, which no server reports.
    ways::each(|way| {
        java(&way.login(), source, &[way.name]).ok();
    });
}
