//! What statements cost (`track_queries`, SHOW QUERIES): counted by text, never with anybody's values.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use bytes::BytesMut;
use common::{Postgres, Setup, Weir, WeirSetup, Wire, pgbench};
use postgres_protocol::IsNull;
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;

fn tracking(server: &Postgres, most: u32) -> WeirSetup {
    Weir::setup()
        .server(server)
        .setting("pool_mode", "transaction")
        .setting("track_queries", most)
        .setting("stats_users", "app")
}

fn client(weir: &Weir) -> Wire {
    Wire::tcp(weir.port(), "app", "app").unwrap()
}

/// What SHOW QUERIES says of one text.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    calls: u64,
    errors: u64,
    rows: u64,
}

fn seen(calls: u64, errors: u64, rows: u64) -> Option<Seen> {
    Some(Seen { calls, errors, rows })
}

fn figures(weir: &Weir, text: &str) -> Option<Seen> {
    let shown = weir.console("SHOW QUERIES");
    let row = shown.find("query", text)?;
    let number = |column| shown.get(row, column).parse().unwrap();
    Some(Seen { calls: number("calls"), errors: number("errors"), rows: number("rows") })
}

fn parse(name: &str, sql: &str, out: &mut BytesMut) {
    frontend::parse(name, sql, [], out).unwrap();
}

fn bind(portal: &str, name: &str, parameter: Option<&str>, out: &mut BytesMut) {
    let put = |value: &str, out: &mut BytesMut| {
        out.extend_from_slice(value.as_bytes());
        Ok(IsNull::No)
    };
    frontend::bind(portal, name, [0], parameter, put, [0], out).ok().unwrap();
}

/// Sends this and a Sync; how many messages of this type came until ReadyForQuery.
fn send(wire: &mut Wire, mut batch: BytesMut, counted: fn(&Message) -> bool) -> usize {
    frontend::sync(&mut batch);
    wire.send(&batch).unwrap();
    let mut count = 0;
    loop {
        match wire.message().unwrap() {
            Message::ReadyForQuery(_) => return count,
            message => count += usize::from(counted(&message)),
        }
    }
}

fn is_error(message: &Message) -> bool {
    matches!(message, Message::ErrorResponse(_))
}

#[test]
fn it_is_off_unless_asked_for_and_can_be_switched_while_it_runs() {
    let server = Setup::new().start();
    let weir = Weir::setup().server(&server).setting("pool_mode", "session").start();
    let mut wire = client(&weir);
    wire.query("SELECT 1").unwrap();
    assert!(weir.console("SHOW QUERIES").rows.is_empty());
    // Also for clients that hold a server.
    weir.console("SET track_queries = 10");
    wire.query("SELECT 1").unwrap();
    assert_eq!(figures(&weir, "SELECT $1"), seen(1, 0, 1));
    weir.console("RESET QUERIES");
    assert!(weir.console("SHOW QUERIES").rows.is_empty());
    wire.query("SELECT 2").unwrap();
    assert_eq!(figures(&weir, "SELECT $1"), seen(1, 0, 1));
    weir.console("SET track_queries = 0");
    wire.query("SELECT 1").unwrap();
    assert!(weir.console("SHOW QUERIES").rows.is_empty());
    assert!(!weir.try_console("SET track_queries = 1000000").status.success());
    drop(wire);
    weir.stop();
}

#[test]
fn simple_queries_count_with_their_rows_errors_bytes_and_times() {
    let server = Setup::new().sql("CREATE TABLE t (a int); ALTER TABLE t OWNER TO app").start();
    let weir = tracking(&server, 100).start();
    let mut wire = client(&weir);
    wire.query("INSERT INTO t VALUES (1), (2), (3)").unwrap();
    wire.query("insert into t values (4)").unwrap();
    wire.query("INSERT INTO t VALUES (5)").unwrap();
    assert_eq!(wire.query("SELECT a FROM t WHERE a > 1").unwrap().rows.len(), 4);
    wire.query("SELECT a FROM t WHERE a > 99").unwrap();
    wire.query("UPDATE t SET a = 0; SELECT a FROM t").unwrap();
    wire.query("SELECT 1 / 0").unwrap_err();
    wire.query("SELECT 1 / 1").unwrap();
    wire.query("BEGIN").unwrap();
    wire.query("SELECT 1 / 0").unwrap_err();
    wire.query("ROLLBACK").unwrap();
    wire.query("SELECT pg_sleep(0.2)").unwrap();
    assert_eq!(figures(&weir, "INSERT INTO t VALUES ($1)"), seen(2, 0, 4));
    assert_eq!(figures(&weir, "insert into t values ($1)"), seen(1, 0, 1));
    assert_eq!(figures(&weir, "SELECT a FROM t WHERE a > $1"), seen(2, 0, 4));
    assert_eq!(figures(&weir, "UPDATE t SET a = $1; SELECT a FROM t"), seen(1, 0, 10));
    assert_eq!(figures(&weir, "SELECT $1 / $2"), seen(3, 2, 1));
    assert_eq!(figures(&weir, "ROLLBACK"), seen(1, 0, 0));

    let shown = weir.console("SHOW QUERIES");
    assert_eq!(shown.get(0, "query"), "SELECT pg_sleep($1)", "the most time first");
    for column in ["total_time", "mean_us", "p50_us", "p99_us"] {
        let us: u64 = shown.get(0, column).parse().unwrap();
        assert!((200_000 * 3 / 4..30_000_000).contains(&us), "{column}: {us}");
    }
    // RowDescription 7 + 9 + 18, DataRow 7 + 4, CommandComplete 5 + 9, ReadyForQuery 6.
    assert_eq!(shown.get(0, "sent_bytes"), "65");
    let row = (shown.get(0, "database"), shown.get(0, "user"), shown.get(0, "host"));
    assert_eq!(row, ("app", "app", &*format!("127.0.0.1:{}", server.port())));
    weir.stop();
}

#[test]
fn executions_of_the_extended_protocol_count_by_the_text_that_they_were_bound_to() {
    let server = Setup::new().start();
    for (mode, statements, unnamed) in [
        ("transaction", 200, "auto"),
        ("transaction", 200, "off"),
        ("transaction", 0, "off"),
        ("session", 200, "auto"),
    ] {
        let weir = tracking(&server, 100)
            .setting("pool_mode", mode)
            .setting("max_prepared_statements", statements)
            .setting("default_pool_size", 1)
            .setting("prepare_unnamed", unnamed)
            .start();
        let mut wire = client(&weir);
        for turn in 0..5 {
            // The unnamed statement, and a pipeline of two in one batch.
            let mut batch = BytesMut::new();
            parse("", "SELECT generate_series(1, $1::int)", &mut batch);
            bind("", "", Some("3"), &mut batch);
            frontend::execute("", 0, &mut batch).unwrap();
            parse("", &format!("SELECT 'secret', {turn}"), &mut batch);
            bind("", "", None, &mut batch);
            frontend::execute("", 0, &mut batch).unwrap();
            assert_eq!(send(&mut wire, batch, is_error), 0);
        }
        let mut batch = BytesMut::new();
        parse("s", "SELECT 100 / $1::int", &mut batch);
        assert_eq!(send(&mut wire, batch, is_error), 0);
        for divisor in ["1", "0", "2", "no number"] {
            let mut batch = BytesMut::new();
            bind("", "s", Some(divisor), &mut batch);
            frontend::execute("", 0, &mut batch).unwrap();
            // Skipped where the first one fails.
            bind("", "s", Some("1"), &mut batch);
            frontend::execute("", 0, &mut batch).unwrap();
            send(&mut wire, batch, is_error);
        }
        // A portal that is read in pieces, beside another.
        wire.query("BEGIN").unwrap();
        let mut batch = BytesMut::new();
        parse("", "SELECT generate_series(1, 5) AS pieces", &mut batch);
        bind("p", "", None, &mut batch);
        frontend::execute("p", 2, &mut batch).unwrap();
        send(&mut wire, batch, is_error);
        for _ in 0..2 {
            let mut batch = BytesMut::new();
            parse("", "SELECT 1 AS between", &mut batch);
            bind("", "", None, &mut batch);
            frontend::execute("p", 2, &mut batch).unwrap();
            frontend::execute("", 0, &mut batch).unwrap();
            assert_eq!(send(&mut wire, batch, is_error), 0);
        }
        wire.query("COMMIT").unwrap();
        let label = format!("{mode} {statements} {unnamed}");
        let of = |text| figures(&weir, text);
        assert_eq!(of("SELECT generate_series($1, $2::int)"), seen(5, 0, 15), "{label}");
        assert_eq!(of("SELECT $1, $2"), seen(5, 0, 5), "{label}");
        assert_eq!(of("SELECT $1 / $2::int"), seen(6, 2, 4), "{label}");
        assert_eq!(of("SELECT generate_series($1, $2) AS pieces"), seen(3, 0, 5), "{label}");
        assert_eq!(of("SELECT $1 AS between"), seen(2, 0, 2), "{label}");
        drop(wire);
        weir.stop();
    }
}

#[test]
fn a_statement_whose_server_ends_has_failed() {
    let server = Setup::new().start();
    let weir = tracking(&server, 10).start();
    let mut wire = client(&weir);
    wire.query("SELECT pg_terminate_backend(pg_backend_pid())").unwrap_err();
    assert_eq!(figures(&weir, "SELECT pg_terminate_backend(pg_backend_pid())"), seen(1, 1, 0));
    weir.stop();
}

#[test]
fn pgbench_has_a_row_for_each_of_its_statements_by_whatever_protocol() {
    let server = Setup::new().start();
    pgbench(&server.login("app", "app"), &["-i", "-q"]).ok();
    let weir = tracking(&server, 100).start();
    for protocol in ["simple", "extended", "prepared"] {
        let args = ["-n", "-c", "2", "-t", "20", "-M", protocol];
        pgbench(&weir.login("app", "app"), &args).ok();
    }
    let balance = "UPDATE pgbench_accounts SET abalance = abalance + $1 WHERE aid = $2;";
    let balance = balance.trim_end_matches(';');
    // A negative number has its sign before the constant.
    let negative = balance.replace("$1", "-$1");
    let of = |text: &str| figures(&weir, text).unwrap_or_default();
    assert_eq!(of(balance).calls + of(&negative).calls, 120);
    assert_eq!(of(balance).rows + of(&negative).rows, 120);
    let select = "SELECT abalance FROM pgbench_accounts WHERE aid = $1";
    assert_eq!(figures(&weir, select), seen(120, 0, 120));
    assert_eq!(of("BEGIN").calls + of("END").calls, 240);
    weir.stop();
}

#[test]
fn a_flood_of_texts_takes_no_more_than_what_was_allowed() {
    let server = Setup::new().start();
    let weir = tracking(&server, 100).start();
    let mut wire = client(&weir);
    let memory = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", weir.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    let mut flood = |from: u32, to: u32| {
        for first in (from..to).step_by(100) {
            let mut batch = BytesMut::new();
            for n in first..first + 100 {
                frontend::query(&format!("SELECT 1 AS column_{n}"), &mut batch).unwrap();
            }
            wire.send(&batch).unwrap();
            (0..100).for_each(|_| assert_eq!(wire.answer().unwrap().one(), "1"));
        }
    };
    flood(0, 10_000);
    let before = memory();
    flood(10_000, 100_000);
    let after = memory();
    assert!(after < before + 4096, "{before} kB, then {after} kB");
    let rows = weir.console("SHOW QUERIES").rows.len();
    assert!((90..=100).contains(&rows), "{rows}");
    weir.stop();
}

#[test]
fn nobodys_values_and_secrets_are_shown() {
    let server = Setup::new().start();
    let weir = tracking(&server, 100).start();
    let mut wire = client(&weir);
    for text in [
        "SELECT 'hush', E'hu\\'sh', $$hush$$, $a$hush$a$, U&'hush', B'1' /* hush */ -- hush",
        "ALTER ROLE app PASSWORD 'hush'",
        "CREATE USER hush PASSWORD 'hush'",
        "SELECT 1; ALTER USER app PASSWORD 'hush\\'; SELECT 'hush'",
        "SET app.hush = hush",
        "SET app.token TO hush",
        "SELECT 'hush",
        "SELECT set_config('app.token', 'hush', false)",
        "DO $$ BEGIN PERFORM 'hush'; END $$",
        "PREPARE x AS SELECT 'hush'; EXECUTE x; DEALLOCATE x",
    ] {
        // Whether it succeeds does not matter.
        let _ = wire.query(text);
        let mut batch = BytesMut::new();
        parse("", text, &mut batch);
        bind("", "", None, &mut batch);
        frontend::execute("", 0, &mut batch).unwrap();
        send(&mut wire, batch, is_error);
    }
    let shown = weir.console("SHOW QUERIES");
    assert!(shown.rows.len() >= 8, "{shown:?}");
    let (status, json) = weir.get("/api/v1/queries");
    assert_eq!(status, 200);
    assert!(json.contains("\"ALTER ROLE …\"") && json.contains("\"most\":100"), "{json}");
    for row in 0..shown.rows.len() {
        // The name of a setting is none of its values.
        let text = shown.get(row, "query").replace("app.hush", "");
        assert!(!text.contains("hush"), "{text}");
    }
    weir.stop();
}

#[test]
fn who_may_only_look_may_not_reset() {
    let server = Setup::new().start();
    let weir = tracking(&server, 10).user("admin", "x").setting("admin_users", "admin").start();
    client(&weir).query("SELECT 1").unwrap();
    let mut console = Wire::tcp(weir.port(), "app", "pgbouncer").unwrap();
    assert_eq!(console.query("SHOW QUERIES").unwrap().rows.len(), 1);
    console.query("RESET QUERIES").unwrap_err();
    assert_eq!(console.query("SHOW QUERIES").unwrap().rows.len(), 1);
    weir.stop();
}
