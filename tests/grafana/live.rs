//! A Prometheus that looks at a pgweir under load, before and after a failover.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::common::prometheus::{PROGRAMS, Prometheus};
use super::common::tls::Authority;
use super::common::{Cluster, Signal, Weir, Wire, managers, pgbench, psql};
use super::files;

fn grafana() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("grafana")
}

fn is_installed() -> bool {
    managers::are_installed(&PROGRAMS)
}

#[test]
fn a_skipped_prometheus_is_named() {
    eprintln!("Prometheus: {}", if is_installed() { "tested" } else { "skipped" });
}

#[test]
fn promtool_finds_nothing_wrong_with_the_rules_and_their_tests_pass() {
    if !is_installed() {
        return;
    }
    for args in [
        ["check", "rules", "alerts.yml", "recording.yml"],
        ["test", "rules", "tests/alerts.yml", "tests/recording.yml"],
    ] {
        let mut promtool = Command::new(managers::find("promtool").unwrap());
        let output = promtool.args(args).current_dir(grafana()).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&said));
    }
}

/// With the viewer's choices: all, over two minutes.
fn filled(query: &str) -> String {
    let query = query.replace("$__rate_interval", "2m");
    ["$instance", "$database", "$user"].iter().fold(query, |query, name| query.replace(name, ".*"))
}

/// Queries in two pools that are too small for them, prepared ones among them, and logins that fail.
fn load(weir: &Weir, dir: &Path) {
    let script = dir.join("load.sql");
    std::fs::write(&script, "SELECT count(*) FROM work;\nINSERT INTO work VALUES (1);\n").unwrap();
    let script = script.display().to_string();
    let args = ["-n", "-M", "prepared", "-c", "8", "-j", "1", "-t", "200", "-f", &script];
    pgbench(&weir.login("app", "app"), &args).ok();
    for _ in 0..3 {
        psql(&weir.login("nobody", "app"), "SELECT 1").failed();
    }
}

#[test]
fn every_panel_alert_and_rule_gets_an_answer_from_a_pgweir_under_load() {
    if !is_installed() {
        return;
    }
    let mut cluster = Cluster::start(1);
    cluster.primary().query("CREATE TABLE work (n int); GRANT ALL ON work TO app");
    cluster.wait_replicated();
    let weir = Weir::setup()
        .cluster(&cluster)
        .tls(&Authority::new().server())
        .setting("pool_mode", "transaction")
        .setting("route_reads", "auto")
        .setting("default_pool_size", 2)
        .setting("max_db_connections", 40)
        .setting("max_db_client_connections", 40)
        .setting("max_user_connections", 40)
        .setting("max_user_client_connections", 40)
        .start();
    weir.wait_show("SHOW TOPOLOGY", "role", "replica");
    let folder = tempfile::tempdir().unwrap();
    // So that every series is there from the first scrape on: what a counter begins with is no increase.
    load(&weir, folder.path());
    let rules = [grafana().join("alerts.yml"), grafana().join("recording.yml")];
    let prometheus = Prometheus::start(weir.http(), &[&rules[0], &rules[1]]);
    prometheus.wait("pgweir_pool_size");
    weir.console("RECONNECT");
    load(&weir, folder.path());
    prometheus.wait_scrapes(2);

    // All is well: what alerts ask about is there, and none has anything to say.
    for (name, query) in files::alerts() {
        for series in files::series(&query) {
            assert!(!prometheus.query(series).is_empty(), "{name}: there is no {series}");
        }
        let said = prometheus.query(&query);
        assert!(said.is_empty(), "{name} says {said:?}");
    }

    // The primary dies, a client waits for the next.
    let mut client = Wire::tcp(weir.port(), "app", "app").unwrap();
    client.query("INSERT INTO work VALUES (2)").unwrap();
    cluster.primary_mut().kill(Signal::KILL);
    prometheus.wait("pgweir_topology_primary_missing_seconds > 0");
    client.start("INSERT INTO work VALUES (3)").unwrap();
    prometheus.wait("pgweir_topology_held_clients > 0");
    prometheus.wait(&alert("PgweirHostDown"));
    cluster.promote(1);
    client.answer().unwrap();
    prometheus.wait(&alert("PgweirPrimaryChanged"));
    load(&weir, folder.path());
    prometheus.wait_scrapes(2);

    let mut unanswered = Vec::new();
    for (title, query) in files::panel_queries() {
        let samples = prometheus.query(&filled(&query));
        if samples.iter().all(|(_, value)| value.is_nan()) {
            unanswered.push(format!("{title}: {query}: {samples:?}"));
        }
    }
    assert!(unanswered.is_empty(), "no data for\n{}", unanswered.join("\n"));
    for (series, label) in files::variable_queries() {
        let samples = prometheus.query(&filled(&series));
        assert!(samples.iter().any(|(labels, _)| labels.get(&label).is_some()), "{series}");
    }
    for (name, _) in files::recorded() {
        prometheus.wait(&name);
    }
    let groups = prometheus.get("/api/v1/rules")["groups"].as_array().unwrap().clone();
    assert!(groups.len() >= 4, "{groups:?}");
    for rule in groups.iter().flat_map(|group| group["rules"].as_array().unwrap()) {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
    weir.stop();
}

/// An alert's expression.
fn alert(name: &str) -> String {
    files::alerts().into_iter().find(|(alert, _)| alert == name).unwrap().1
}
