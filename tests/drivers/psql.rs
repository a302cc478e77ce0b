//! psql: its catalogue queries, `\copy` both ways, and Ctrl-C in a session that lives on.

use std::fs;

use crate::common::home::Home;
use crate::common::{Login, pg_bin, psql, python};
use crate::ways;

#[test]
fn psql_works_in_transaction_mode() {
    ways::each(|way| {
        let login = way.login();
        psql(&login, "CREATE TABLE described (number int PRIMARY KEY, word text)").ok();
        copies(&login);
        describes(&login);
        psql(&login, "DROP TABLE described").ok();
    });
}

#[test]
fn control_c_at_a_terminal_stops_the_query_and_the_session_lives_on() {
    let psql = pg_bin("psql").display().to_string();
    ways::each(|way| {
        python(&way.login(), include_str!("terminal.py"), &[way.name, &psql]).ok();
    });
}

fn copies(login: &Login) {
    let home = Home::new();
    let lines: String = (0..10_000).map(|number| format!("{number}\tword {number}\n")).collect();
    let there = home.file("there", &lines).display().to_string();
    psql(login, &format!("\\copy described FROM '{there}'")).ok();
    assert_eq!(psql(login, "SELECT count(*) FROM described").ok(), "10000");

    let back = home.file("back", "").display().to_string();
    psql(login, &format!("\\copy (SELECT * FROM described ORDER BY 1) TO '{back}'")).ok();
    assert_eq!(fs::read_to_string(&back).unwrap(), lines, "what came back");
    let twice = psql(login, &format!("\\copy described FROM '{there}'"));
    assert!(twice.failed().contains("described_pkey"), "{twice:?}");
}

/// Each asks the catalogue with several queries of its own.
fn describes(login: &Login) {
    for (command, words) in [
        ("\\d described", "number|integer"),
        ("\\d+ described", "word|text||||extended"),
        ("\\d", "described|table|driver"),
        ("\\dt", "described|table|driver"),
        ("\\di", "described_pkey"),
        ("\\du driver", "driver"),
        ("\\dn", "public"),
        ("\\df pg_sleep", ""),
        ("\\df pg_catalog.pg_sleep", "pg_sleep"),
        ("\\dT pg_catalog.int4", "integer"),
        ("\\l", "app|"),
        ("\\dp described", "described"),
        ("\\conninfo", "driver"),
        ("\\sv pg_catalog.pg_user", "pg_shadow"),
        ("\\encoding", "UTF8"),
    ] {
        let shown = psql(login, command);
        assert!(shown.ok().contains(words), "{command}: {shown:?}");
    }
}
