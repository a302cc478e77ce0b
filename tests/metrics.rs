//! What `/metrics` shows, beside what the console says: pgbouncer's exporter's names, and what pgweir counts of its own.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::psql::start_psql;
use common::tls::Authority;
use common::{Rows, Setup, Weir, Wire, psql, wait};

const DATABASE: &str = "name host port database force_user pool_mode";
const CLIENT: &str = "database user application_name state";

/// All that prometheus-community/pgbouncer_exporter 0.12 tells of a pgbouncer: name, type, labels, and where the value
/// comes from (a SHOW's column, or the row of a SHOW with names and values).
const EXPORTER: &[(&str, &str, &str, &str)] = &[
    ("up", "gauge", "", ""),
    ("version_info", "gauge", "version", ""),
    ("config_max_client_connections", "gauge", "", "CONFIG max_client_conn"),
    ("config_max_user_connections", "gauge", "", "CONFIG max_user_connections"),
    ("databases_pool_size", "gauge", DATABASE, "DATABASES pool_size"),
    ("databases_reserve_pool", "gauge", DATABASE, "DATABASES reserve_pool_size"),
    ("databases_max_connections", "gauge", DATABASE, "DATABASES max_connections"),
    ("databases_current_connections", "gauge", DATABASE, "DATABASES current_connections"),
    ("databases_paused", "gauge", DATABASE, "DATABASES paused"),
    ("databases_disabled", "gauge", DATABASE, "DATABASES disabled"),
    ("stats_totals_queries_pooled_total", "counter", "database", "STATS_TOTALS query_count"),
    ("stats_totals_queries_total", "counter", "database", "STATS_TOTALS query_count"),
    (
        "stats_totals_queries_duration_seconds_total",
        "counter",
        "database",
        "STATS_TOTALS query_time",
    ),
    ("stats_totals_received_bytes_total", "counter", "database", "STATS_TOTALS bytes_received"),
    ("stats_totals_sent_bytes_total", "counter", "database", "STATS_TOTALS bytes_sent"),
    ("stats_totals_client_wait_seconds_total", "counter", "database", "STATS_TOTALS wait_time"),
    (
        "stats_totals_sql_transactions_pooled_total",
        "counter",
        "database",
        "STATS_TOTALS xact_count",
    ),
    (
        "stats_totals_server_in_transaction_seconds_total",
        "counter",
        "database",
        "STATS_TOTALS xact_time",
    ),
    ("stats_totals_client_parses_total", "counter", "database", "STATS_TOTALS client_parse_count"),
    ("stats_totals_server_parses_total", "counter", "database", "STATS_TOTALS server_parse_count"),
    ("stats_totals_binds_total", "counter", "database", "STATS_TOTALS bind_count"),
    (
        "stats_totals_server_assignments_total",
        "counter",
        "database",
        "STATS_TOTALS server_assignment_count",
    ),
    ("pools_client_active_connections", "gauge", "database user", "POOLS cl_active"),
    (
        "pools_client_active_cancel_connections",
        "gauge",
        "database user",
        "POOLS cl_active_cancel_req",
    ),
    ("pools_client_waiting_connections", "gauge", "database user", "POOLS cl_waiting"),
    (
        "pools_client_waiting_cancel_connections",
        "gauge",
        "database user",
        "POOLS cl_waiting_cancel_req",
    ),
    ("pools_server_active_connections", "gauge", "database user", "POOLS sv_active"),
    ("pools_server_active_cancel_connections", "gauge", "database user", "POOLS sv_active_cancel"),
    (
        "pools_server_being_canceled_connections",
        "gauge",
        "database user",
        "POOLS sv_being_canceled",
    ),
    ("pools_server_idle_connections", "gauge", "database user", "POOLS sv_idle"),
    ("pools_server_used_connections", "gauge", "database user", "POOLS sv_used"),
    ("pools_server_testing_connections", "gauge", "database user", "POOLS sv_tested"),
    ("pools_server_login_connections", "gauge", "database user", "POOLS sv_login"),
    ("pools_client_maxwait_seconds", "gauge", "database user", "POOLS maxwait"),
    ("client_connections", "gauge", CLIENT, ""),
    ("databases", "gauge", "", "LISTS databases"),
    ("users", "gauge", "", "LISTS users"),
    ("pools", "gauge", "", "LISTS pools"),
    ("free_clients", "gauge", "", "LISTS free_clients"),
    ("used_clients", "gauge", "", ""),
    ("login_clients", "gauge", "", "LISTS login_clients"),
    ("free_servers", "gauge", "", "LISTS free_servers"),
    ("used_servers", "gauge", "", "LISTS used_servers"),
    ("cached_dns_names", "gauge", "", "LISTS dns_names"),
    ("cached_dns_zones", "gauge", "", "LISTS dns_zones"),
    ("in_flight_dns_queries", "gauge", "", "LISTS dns_queries"),
    ("process_cpu_seconds_total", "counter", "", ""),
    ("process_open_fds", "gauge", "", ""),
    ("process_max_fds", "gauge", "", ""),
    ("process_virtual_memory_bytes", "gauge", "", ""),
    ("process_virtual_memory_max_bytes", "gauge", "", ""),
    ("process_resident_memory_bytes", "gauge", "", ""),
    ("process_start_time_seconds", "gauge", "", ""),
];

/// A sample of the text format: its labels, and its value.
type Sample = (BTreeMap<String, String>, f64);

/// Types and samples by name. Label values in these tests hold no quotes and no commas.
fn parse(text: &str) -> (BTreeMap<&str, &str>, BTreeMap<&str, Vec<Sample>>) {
    let (mut types, mut samples) = (BTreeMap::new(), BTreeMap::<&str, Vec<Sample>>::new());
    for line in text.lines() {
        if let Some(of) = line.strip_prefix("# TYPE ") {
            let (name, kind) = of.split_once(' ').unwrap();
            assert!(types.insert(name, kind).is_none(), "{name} stands there twice");
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let labels = labels.strip_suffix('}').unwrap().split("\",").filter(|l| !l.is_empty());
            let pair = |label: &str| {
                let (name, value) = label.split_once("=\"").unwrap();
                (name.to_owned(), value.trim_end_matches('"').to_owned())
            };
            let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
            samples.entry(name).or_default().push((labels.map(pair).collect(), value));
        }
    }
    (types, samples)
}

/// What a SHOW says of a sample, in the exporter's unit.
fn shown(rows: &Rows, show: &str, column: &str, labels: &BTreeMap<String, String>) -> String {
    if ["LISTS", "CONFIG"].contains(&show) {
        let key = if show == "LISTS" { "list" } else { "key" };
        let row = rows.find(key, column).unwrap();
        return rows.get(row, if show == "LISTS" { "items" } else { "value" }).to_owned();
    }
    let at = |label: &str| rows.columns.iter().position(|column| column == label).unwrap();
    let row = rows.rows.iter().position(|row| {
        // A label that is not there has no value, and NULL is none.
        labels.iter().all(|(name, value)| row[at(name)].as_ref() == Some(value))
    });
    rows.get(row.unwrap_or_else(|| panic!("no {labels:?} in SHOW {show}")), column).to_owned()
}

#[test]
fn all_that_pgbouncers_exporter_tells_is_there_as_the_console_says_it() {
    let server = Setup::new().start();
    let weir = Weir::setup()
        .server(&server)
        .database(&format!(
            "forced = host=127.0.0.1 port={} user=app pool_mode=session dbname=app",
            server.port()
        ))
        .setting("pool_mode", "transaction")
        .setting("default_pool_size", 1)
        .setting("reserve_pool_size", 3)
        .setting("max_user_connections", 17)
        .start();
    let mut holder = Wire::tcp(weir.port(), "app", "app").unwrap();
    for _ in 0..5 {
        holder.query("SELECT 1").unwrap();
    }
    holder.query("BEGIN").unwrap();
    let mut waiting = Wire::tcp(weir.port(), "app", "app").unwrap();
    waiting.start("SELECT 2").unwrap();
    weir.wait_show("SHOW POOLS", "cl_waiting", "1");
    // Not of the console: what it is asked is counted, too.
    let text = weir.metrics();
    let (types, samples) = parse(&text);

    let expected: BTreeSet<_> = EXPORTER.iter().map(|row| format!("pgbouncer_{}", row.0)).collect();
    let found: BTreeSet<_> = types.keys().filter(|name| name.starts_with("pgbouncer_")).collect();
    assert_eq!(
        found,
        expected.iter().map(|name| name.as_str()).collect::<Vec<_>>().iter().collect()
    );
    for (name, kind, labels, source) in EXPORTER {
        let name = format!("pgbouncer_{name}");
        assert_eq!(types[name.as_str()], *kind, "{name}");
        let allowed: BTreeSet<_> = labels.split_whitespace().collect();
        for (labels, value) in &samples[name.as_str()] {
            let has: BTreeSet<_> = labels.keys().map(String::as_str).collect();
            assert!(has.is_subset(&allowed), "{name} has {has:?}");
            let console = labels.get("database").is_some_and(|name| name == "pgbouncer");
            let Some((show, column)) = source.split_once(' ').filter(|_| !console) else {
                continue;
            };
            let said = shown(&weir.console(&format!("SHOW {show}")), show, column, labels);
            let factor = if name.ends_with("_seconds_total") { 1e-6 } else { 1.0 };
            let said: f64 = said.parse::<f64>().unwrap() * factor;
            // The first in the queue goes on waiting meanwhile.
            let slack = if column == "maxwait" { 60.0 } else { 1e-9 };
            assert!(
                (said - value).abs() <= slack,
                "{name}{labels:?} is {value}, the console says {said}"
            );
        }
    }
    let full: BTreeSet<_> = samples["pgbouncer_databases_pool_size"]
        .iter()
        .find(|(labels, _): &&Sample| labels["name"] == "forced")
        .map(|(labels, _)| labels.keys().map(String::as_str).collect())
        .unwrap();
    assert_eq!(full, DATABASE.split(' ').collect());
    let version = &samples["pgbouncer_version_info"][0].0["version"];
    assert_eq!(version, weir.console("SHOW VERSION").one());
    let clients = |state: &str| {
        let labels = [("database", "app"), ("user", "app"), ("state", state)];
        common::weir::sum_of(&text, "pgbouncer_client_connections", &labels)
    };
    assert_eq!((clients("active"), clients("waiting")), (Some(1.0), Some(1.0)));
    assert_eq!(samples["pgbouncer_used_clients"][0].1, 2.0);

    holder.query("COMMIT").unwrap();
    waiting.answer().unwrap();
    weir.stop();
}

#[test]
fn pgbouncers_names_can_be_switched_off_while_it_runs() {
    let server = Setup::new().start();
    let weir = Weir::setup().server(&server).start();
    assert!(weir.metrics().contains("\npgbouncer_up 1\n"));
    weir.console("SET metrics_compat = 'off'");
    assert!(!weir.metrics().contains("pgbouncer_"));
    weir.stop();
}

#[test]
fn what_happens_is_counted_once_where_it_belongs() {
    let server = Setup::new().start();
    let certificate = Authority::new().server();
    let mut weir = Weir::setup()
        .server(&server)
        .tls(&certificate)
        .setting("auth_type", "plain")
        .setting("pool_mode", "transaction")
        .setting("default_pool_size", 1)
        .setting("query_wait_timeout", "0.2")
        .setting("max_db_connections", 7)
        .start();
    psql(&weir.login("app", "app").password("secret").set("sslmode", "require"), "SELECT 1").ok();
    psql(&weir.login("app", "app").password("wrong"), "SELECT 1").failed();

    // Two at one server: the second waits in vain.
    let login = weir.login("app", "app").password("secret");
    let holder = start_psql(&login, "SELECT pg_sleep(1.5)");
    weir.wait_show("SHOW POOLS", "sv_active", "1");
    let refused = psql(&login, "SELECT 2");
    assert!(refused.failed().contains("query_wait_timeout"), "{refused:?}");
    holder.finish().ok();

    let metric = |name: &str, labels: &[(&str, &str)]| weir.metric(name, labels);
    let app = [("database", "app"), ("user", "app")];
    let logins = |result| metric("pgweir_client_logins_total", &[("result", result)]);
    assert_eq!(logins("ok"), Some(3.0));
    // psql tries twice, with TLS and without.
    assert_eq!(logins("denied"), Some(2.0));
    assert_eq!(metric("pgweir_auth_failures_total", &[("reason", "password")]), Some(2.0));
    assert_eq!(metric("pgweir_client_login_seconds_count", &[]), Some(3.0));
    let client = [("side", "client"), ("version", "TLSv1.3")];
    assert_eq!(metric("pgweir_tls_handshakes_total", &client), Some(4.0));
    assert_eq!(metric("pgweir_pool_waits_total", &app), Some(1.0));
    assert_eq!(metric("pgweir_pool_waits_failed_total", &app), Some(1.0));
    assert_eq!(metric("pgweir_pool_wait_seconds_count", &app), Some(1.0));
    assert!(metric("pgweir_pool_wait_seconds_sum", &app).unwrap() >= 0.2);
    assert_eq!(metric("pgweir_pool_query_seconds_count", &app), Some(2.0));
    assert_eq!(metric("pgweir_pool_first_byte_seconds_count", &app), Some(2.0));
    assert!(metric("pgweir_pool_first_byte_seconds_sum", &app).unwrap() >= 1.5);
    assert_eq!(metric("pgweir_pool_servers_opened_total", &app), Some(1.0));
    for name in ["pgweir_server_connect_seconds_count", "pgweir_server_login_seconds_count"] {
        assert_eq!(metric(name, &[]), Some(1.0), "{name}");
    }
    assert_eq!(metric("pgweir_database_servers", &[("database", "app")]), Some(1.0));
    assert_eq!(metric("pgweir_database_servers_limit", &[("database", "app")]), Some(7.0));
    assert_eq!(metric("pgweir_user_servers", &[("user", "app")]), Some(1.0));
    // A stranger's name is nobody's label.
    assert_eq!(metric("pgweir_user_clients", &[("user", "nobody")]), None);
    let expiry = metric("pgweir_tls_certificate_expiry_timestamp_seconds", &[]).unwrap();
    assert!(expiry.is_finite() && expiry > 1.7e9, "{expiry}");
    for name in ["process_resident_memory_bytes", "pgweir_memory_anonymous_bytes"] {
        assert!(metric(name, &[]).unwrap() > 1e6, "{name}");
    }

    weir.console("PAUSE app");
    assert_eq!(weir.metric("pgweir_database_paused", &[("database", "app")]), Some(1.0));
    weir.console("RESUME app");
    weir.change(|setup| setup.setting("default_pool_size", "many"));
    weir.try_console("RELOAD").failed();
    assert_eq!(weir.metric("pgweir_config_last_reload_successful", &[]), Some(0.0));
    weir.change(|setup| setup.setting("default_pool_size", 2));
    weir.reload();
    assert_eq!(weir.metric("pgweir_config_last_reload_successful", &[]), Some(1.0));
    weir.stop();
}

#[test]
fn a_handshake_that_fails_is_counted_on_its_side() {
    let server = Setup::new().start();
    let weir = Weir::setup()
        .server(&server)
        .tls(&Authority::new().server())
        .setting("server_tls_sslmode", "prefer")
        .start();
    let failed = || weir.metric("pgweir_tls_handshakes_failed_total", &[("side", "client")]);
    let before = failed().unwrap();
    // Something that is no TLS, behind the S for yes.
    let mut socket = std::net::TcpStream::connect(("127.0.0.1", weir.port())).unwrap();
    use std::io::{Read, Write};
    socket.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).unwrap();
    socket.read_exact(&mut [0]).unwrap();
    socket.write_all(b"this is no handshake at all").unwrap();
    wait::until("it is counted", wait::DEADLINE, || failed() == Some(before + 1.0));
    weir.stop();
}
