//! The exporter, handed down from `cli`: it resolves handles and renders all of them.

use std::fmt;
use std::sync::{Arc, OnceLock};

use super::handles::{
    HostMetrics, PoolMetrics, ProcessMetrics, Resolver, RoutingMetrics, TopologyMetrics,
    WorkerMetrics,
};
use super::names::Metric;
use super::process;
use super::registry::Registry;

/// Writes what another room shows behind our own metrics.
pub type Appendix = Box<dyn Fn(&mut String) + Send + Sync>;

/// All metrics of the process.
pub struct Metrics {
    registry: Arc<Registry>,
    process: ProcessMetrics,
    appendix: OnceLock<Appendix>,
}

impl Metrics {
    /// An exporter with the process's own handles; `version` is pgweir's.
    #[must_use]
    pub fn new(version: &str) -> Arc<Self> {
        let registry = Arc::new(Registry::default());
        let process = ProcessMetrics::resolve(Resolver::new(&registry), version);
        Arc::new(Self { registry, process, appendix: OnceLock::new() })
    }

    /// From now on whatever counts by the facade of the crate `metrics`, libraries included, is exported too. A process
    /// has one such recorder: where one was installed before, that one stays.
    pub fn record_globally(&self) {
        let _ = metrics::set_global_recorder(self.registry.clone());
    }

    /// What belongs to the process as a whole.
    pub fn process(&self) -> &ProcessMetrics {
        &self.process
    }

    /// The handles of a pool. `host` as in SHOW TOPOLOGY, e.g. `pg1:5432`.
    pub fn pool(&self, database: &str, user: &str, host: &str) -> PoolMetrics {
        PoolMetrics::resolve(Resolver::new(&self.registry), database, user, host)
    }

    /// The handles for the routing decisions of a database entry.
    pub fn routing(&self, database: &str) -> RoutingMetrics {
        RoutingMetrics::resolve(Resolver::new(&self.registry), database)
    }

    /// The handles of a database entry's host list.
    pub fn topology(&self, database: &str) -> TopologyMetrics {
        TopologyMetrics::resolve(Resolver::new(&self.registry), database)
    }

    /// The handles of one host.
    pub fn host(&self, host: &str) -> HostMetrics {
        HostMetrics::resolve(Resolver::new(&self.registry), host)
    }

    /// The handles of one worker, counted from 0.
    pub fn worker(&self, worker: usize) -> WorkerMetrics {
        WorkerMetrics::resolve(Resolver::new(&self.registry), worker)
    }

    /// Levels that nobody owns, taken from the state of things: from now on this metric shows these rows (the values of
    /// its labels, and its own) and no others.
    pub fn show_rows<'a>(
        &self,
        metric: &Metric,
        rows: impl IntoIterator<Item = (&'a [&'a str], f64)>,
    ) {
        self.registry.replace(metric, rows);
    }

    /// From now on this is asked what else is to be shown. Once only.
    pub fn append(&self, appendix: Appendix) {
        let _ = self.appendix.set(appendix);
    }

    /// Everything in the Prometheus text format. Set levels before calling it.
    pub fn render(&self) -> String {
        if let Some(process) = process::Reading::take() {
            for (metric, value) in process.rows() {
                let none: &[&str] = &[];
                self.show_rows(metric, [(none, value)]);
            }
        }
        let mut text = String::new();
        self.registry.render(&mut text);
        if let Some(appendix) = self.appendix.get() {
            appendix(&mut text);
        }
        text
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::handles::{
        AuthFailure, CancelResult, LoginResult, PoolLevels, RouteReason, RouteTarget, TlsVersion,
    };
    use super::super::names;
    use super::*;

    const POOL: &str = r#"database="app",user="alice",host="pg1:5432""#;

    #[track_caller]
    fn assert_line(text: &str, line: &str) {
        assert!(text.lines().any(|found| found == line), "no line {line}\nin\n{text}");
    }

    #[test]
    fn every_metric_of_the_table_is_exported_with_its_type_and_help() {
        let metrics = Metrics::new("1.0");
        let pool = metrics.pool("app", "alice", "pg1:5432");
        let routing = metrics.routing("app");
        let topology = metrics.topology("app");
        let host = metrics.host("pg1:5432");
        let worker = metrics.worker(0);
        for metric in names::ALL.iter().filter(|metric| names::OF_NOBODY.contains(&metric.name)) {
            metrics.show_rows(metric, [(["x"].as_slice(), 1.0)]);
        }
        let text = metrics.render();
        for metric in names::ALL {
            assert_line(&text, &format!("# TYPE {} {}", metric.name, metric.kind.word()));
            assert_line(&text, &format!("# HELP {} {}", metric.name, metric.help));
        }
        // And nothing that is not in the table.
        let exported = text.lines().filter(|line| line.starts_with("# TYPE")).count();
        assert_eq!(exported, names::ALL.len());
        drop((pool, routing, topology, host, worker));
    }

    #[test]
    fn what_was_counted_is_rendered() {
        let metrics = Metrics::new("1.0");
        let pool = metrics.pool("app", "alice", "pg1:5432");
        pool.transaction_time.record(Duration::from_millis(3));
        pool.query_time.record(Duration::from_millis(1));
        pool.query_time.record(Duration::from_millis(2));
        pool.wait_ended(Duration::from_millis(7));
        pool.wait_failed(Duration::from_secs(120));
        pool.received_bytes.increment(512);
        pool.reached(Duration::from_millis(1));
        pool.opened(Duration::from_millis(4), Some(TlsVersion::Tls13));
        pool.open_failed(true);
        let text = metrics.render();
        assert_line(&text, &format!("pgweir_pool_transactions_total{{{POOL}}} 1"));
        assert_line(&text, &format!("pgweir_pool_queries_total{{{POOL}}} 2"));
        assert_line(&text, &format!("pgweir_pool_waits_total{{{POOL}}} 2"));
        assert_line(&text, &format!("pgweir_pool_waits_failed_total{{{POOL}}} 1"));
        assert_line(&text, &format!("pgweir_pool_wait_seconds_count{{{POOL}}} 2"));
        assert_line(&text, "pgweir_server_connect_seconds_sum{host=\"pg1:5432\"} 0.001");
        assert_line(&text, "pgweir_server_login_seconds_sum{host=\"pg1:5432\"} 0.004");
        assert_line(&text, r#"pgweir_tls_handshakes_total{side="server",version="TLSv1.3"} 1"#);
        assert_line(&text, r#"pgweir_tls_handshakes_failed_total{side="server"} 1"#);
        assert_line(&text, &format!("pgweir_pool_received_bytes_total{{{POOL}}} 512"));
        assert_line(&text, &format!("pgweir_pool_servers_opened_total{{{POOL}}} 1"));
        assert_line(&text, &format!("pgweir_pool_query_seconds_sum{{{POOL}}} 0.003"));
        assert_line(&text, &format!("pgweir_pool_transaction_seconds_count{{{POOL}}} 1"));
        assert_line(&text, &format!("pgweir_pool_wait_seconds_bucket{{{POOL},le=\"0.01\"}} 1"));
        assert_eq!((pool.query_time.count(), pool.query_time.sum_us()), (2, 3000));
    }

    #[test]
    fn levels_are_rendered_as_set_and_an_unlimited_pool_as_infinite() {
        let metrics = Metrics::new("1.0");
        let pool = metrics.pool("app", "alice", "pg1:5432");
        pool.set_levels(&PoolLevels {
            clients_active: 1,
            clients_waiting: 2,
            servers_active: 3,
            servers_idle: 4,
            servers_login: 5,
            size: None,
            max_wait: Duration::from_millis(250),
        });
        let text = metrics.render();
        for (name, state, value) in [
            ("clients", "active", 1),
            ("clients", "waiting", 2),
            ("servers", "active", 3),
            ("servers", "idle", 4),
            ("servers", "login", 5),
        ] {
            assert_line(&text, &format!("pgweir_pool_{name}{{{POOL},state=\"{state}\"}} {value}"));
        }
        assert_line(&text, &format!("pgweir_pool_size{{{POOL}}} +Inf"));
        assert_line(&text, &format!("pgweir_pool_max_wait_seconds{{{POOL}}} 0.25"));
    }

    #[test]
    fn decisions_hosts_and_logins_are_rendered_under_their_labels() {
        let metrics = Metrics::new("1.0");
        let routing = metrics.routing("app");
        routing.decided(RouteTarget::Replica, RouteReason::ReadOnly);
        routing.decided(RouteTarget::Primary, RouteReason::Fallback);
        let topology = metrics.topology("app");
        topology.set_primary(Some(Duration::from_secs(2)), true);
        topology.primary_changes.increment(1);
        let host = metrics.host("pg2:5432");
        host.set_state(true, false, 7);
        host.set_role("replica");
        host.set_lag(Some(4096), None);
        metrics.process().login(LoginResult::Ok);
        metrics.process().login_denied(AuthFailure::Password);
        metrics.process().cancel(CancelResult::Sent);
        metrics.process().reloaded(false);
        metrics.process().tls_handshake(Some(TlsVersion::Tls12));
        metrics.process().tls_handshake(None);
        let worker = metrics.worker(0);
        worker.set_busy(Duration::from_millis(1500));
        let text = metrics.render();
        for line in [
            r#"pgweir_routing_decisions_total{database="app",target="replica",reason="read_only"} 1"#,
            r#"pgweir_routing_decisions_total{database="app",target="primary",reason="fallback"} 1"#,
            r#"pgweir_routing_decisions_total{database="app",target="primary",reason="hint"} 0"#,
            r#"pgweir_topology_primary_known{database="app"} 0"#,
            r#"pgweir_topology_primary_missing_seconds{database="app"} 2"#,
            r#"pgweir_topology_split_brain{database="app"} 1"#,
            r#"pgweir_topology_primary_changes_total{database="app"} 1"#,
            r#"pgweir_host_up{host="pg2:5432"} 1"#,
            r#"pgweir_host_primary{host="pg2:5432"} 0"#,
            r#"pgweir_host_role{host="pg2:5432",role="replica"} 1"#,
            r#"pgweir_host_role{host="pg2:5432",role="primary"} 0"#,
            r#"pgweir_host_timeline{host="pg2:5432"} 7"#,
            r#"pgweir_host_lag_bytes{host="pg2:5432"} 4096"#,
            r#"pgweir_host_lag_seconds{host="pg2:5432"} NaN"#,
            r#"pgweir_client_logins_total{result="ok"} 1"#,
            r#"pgweir_client_logins_total{result="denied"} 1"#,
            r#"pgweir_auth_failures_total{reason="password"} 1"#,
            r#"pgweir_cancel_requests_total{result="sent"} 1"#,
            r#"pgweir_build_info{version="1.0"} 1"#,
            r#"pgweir_config_reloads_total{result="failed"} 1"#,
            r#"pgweir_config_reloads_total{result="ok"} 0"#,
            "pgweir_config_last_reload_successful 0",
            r#"pgweir_tls_handshakes_total{side="client",version="TLSv1.2"} 1"#,
            r#"pgweir_tls_handshakes_failed_total{side="client"} 1"#,
            "pgweir_tls_certificate_expiry_timestamp_seconds +Inf",
            r#"pgweir_worker_busy_seconds_total{worker="0"} 1.5"#,
        ] {
            assert_line(&text, line);
        }
    }

    #[test]
    fn handles_with_the_same_labels_add_up() {
        let metrics = Metrics::new("1.0");
        let pools = [0, 1].map(|_| metrics.pool("app", "alice", "pg1:5432"));
        for round in 1..=3 {
            for pool in &pools {
                pool.transaction_time.record(Duration::from_millis(1));
            }
            let text = metrics.render();
            let count = 2 * round;
            assert_line(&text, &format!("pgweir_pool_transactions_total{{{POOL}}} {count}"));
            assert_line(&text, &format!("pgweir_pool_transaction_seconds_count{{{POOL}}} {count}"));
        }
    }

    #[test]
    fn what_another_room_shows_stands_behind_our_own() {
        let metrics = Metrics::new("1.0");
        metrics.append(Box::new(|out| out.push_str("other 1\n")));
        assert!(metrics.render().ends_with("other 1\n"));
    }

    #[test]
    fn an_idle_pool_stays_and_a_removed_one_goes_after_its_last_counts_were_shown() {
        let metrics = Metrics::new("1.0");
        let idle = metrics.pool("app", "alice", "pg1:5432");
        let removed = metrics.pool("app", "bob", "pg1:5432");
        metrics.render();
        removed.transaction_time.record(Duration::from_millis(1));
        drop(removed);

        let last = metrics.render();
        let bob = r#"database="app",user="bob",host="pg1:5432""#;
        assert_line(&last, &format!("pgweir_pool_transactions_total{{{bob}}} 1"));
        assert_line(&last, &format!("pgweir_pool_transaction_seconds_count{{{bob}}} 1"));
        assert!(!last.contains(&format!("pgweir_pool_size{{{bob}}}")), "a gauge of nothing");
        assert!(!metrics.render().contains("bob"));

        idle.transaction_time.record(Duration::from_millis(1));
        let text = metrics.render();
        assert_line(&text, &format!("pgweir_pool_transactions_total{{{POOL}}} 1"));
        assert_line(&text, r#"pgweir_build_info{version="1.0"} 1"#);
    }

    #[test]
    fn a_pool_that_comes_back_is_counted_again() {
        let metrics = Metrics::new("1.0");
        drop(metrics.pool("app", "alice", "pg1:5432"));
        metrics.render();
        metrics.render();
        let again = metrics.pool("app", "alice", "pg1:5432");
        again.transaction_time.record(Duration::from_millis(1));
        assert_line(&metrics.render(), &format!("pgweir_pool_transactions_total{{{POOL}}} 1"));
    }
}
