//! The exporter: one recorder, handed down from `cli`, that resolves handles and renders them all.
//!
//! There is no global recorder. Pools come and go with users and databases: when an owner has
//! gone, its counts and timings are rendered once more (the last of them would be lost otherwise),
//! its gauges no more, and then the series are forgotten.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use metrics::{KeyName, Recorder, SharedString};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use metrics_util::MetricKindMask;

use super::handles::{
    Handles, HostMetrics, Lease, PoolMetrics, ProcessMetrics, Resolver, RoutingMetrics,
    TopologyMetrics, WorkerMetrics,
};
use super::names::{self, Kind, Unit};
use super::timing::Timings;

/// All metrics of the process.
pub struct Metrics {
    recorder: PrometheusRecorder,
    rendered: PrometheusHandle,
    timings: Timings,
    /// The handles that live. Held locked while handles are resolved or all is rendered:
    /// otherwise a series that is just being forgotten could be handed to a new owner.
    leases: Mutex<Vec<Weak<Lease>>>,
    process: ProcessMetrics,
}

impl Metrics {
    /// An exporter with the process's own handles; `version` is pgweir's.
    #[must_use]
    pub fn new(version: &str) -> Arc<Self> {
        // No grace at all, because every handle that lives is touched before each rendering.
        let recorder = PrometheusBuilder::new()
            .idle_timeout(MetricKindMask::COUNTER | MetricKindMask::GAUGE, Some(Duration::ZERO))
            .build_recorder();
        for metric in names::ALL {
            let (name, help) = (KeyName::from(metric.name), SharedString::from(metric.help));
            let unit = match metric.unit {
                Unit::None | Unit::Ratio => None,
                Unit::Seconds => Some(metrics::Unit::Seconds),
                Unit::Bytes => Some(metrics::Unit::Bytes),
            };
            match metric.kind {
                Kind::Counter => recorder.describe_counter(name, unit, help),
                Kind::Gauge => recorder.describe_gauge(name, unit, help),
                Kind::Histogram => {} // `timing` renders its own
            }
        }
        let timings = Timings::default();
        let process = ProcessMetrics::resolve(Resolver::new(&recorder, &timings), version);
        let leases = Mutex::new(vec![Arc::downgrade(process.lease())]);
        Arc::new(Self { rendered: recorder.handle(), recorder, timings, leases, process })
    }

    /// What belongs to the process as a whole.
    pub fn process(&self) -> &ProcessMetrics {
        &self.process
    }

    /// The handles of a pool. `host` as in SHOW TOPOLOGY, e.g. `pg1:5432`.
    pub fn pool(&self, database: &str, user: &str, host: &str) -> PoolMetrics {
        self.resolve(|with| PoolMetrics::resolve(with, database, user, host))
    }

    /// The handles for the routing decisions of a database entry.
    pub fn routing(&self, database: &str) -> RoutingMetrics {
        self.resolve(|with| RoutingMetrics::resolve(with, database))
    }

    /// The handles of a database entry's host list.
    pub fn topology(&self, database: &str) -> TopologyMetrics {
        self.resolve(|with| TopologyMetrics::resolve(with, database))
    }

    /// The handles of one host.
    pub fn host(&self, host: &str) -> HostMetrics {
        self.resolve(|with| HostMetrics::resolve(with, host))
    }

    /// The handles of one worker, counted from 0.
    pub fn worker(&self, worker: usize) -> WorkerMetrics {
        self.resolve(|with| WorkerMetrics::resolve(with, worker))
    }

    fn resolve<T: Handles>(&self, make: impl FnOnce(Resolver<'_>) -> T) -> T {
        let mut leases = self.leases();
        let handles = make(Resolver::new(&self.recorder, &self.timings));
        leases.push(Arc::downgrade(handles.lease()));
        handles
    }

    /// Everything in the Prometheus text format. Set gauges before calling it.
    pub fn render(&self) -> String {
        let mut leases = self.leases();
        leases.retain(|lease| match lease.upgrade() {
            Some(lease) => {
                lease.renew();
                true
            }
            None => false,
        });
        let mut text = self.rendered.render();
        self.timings.render(&mut text);
        text
    }

    fn leases(&self) -> MutexGuard<'_, Vec<Weak<Lease>>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("leases", &self.leases().len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::handles::{
        AuthFailure, CancelResult, LoginResult, PoolLevels, RouteReason, RouteTarget,
    };
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
        let text = metrics.render();
        for metric in names::ALL {
            let kind = match metric.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            assert_line(&text, &format!("# TYPE {} {kind}", metric.name));
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
        pool.transaction_ended(Duration::from_millis(3));
        pool.query_ended(Duration::from_millis(1));
        pool.query_ended(Duration::from_millis(2));
        pool.wait_ended(Duration::from_millis(7));
        pool.received_bytes.increment(512);
        pool.servers_opened.increment(1);
        let text = metrics.render();
        assert_line(&text, &format!("pgweir_pool_transactions_total{{{POOL}}} 1"));
        assert_line(&text, &format!("pgweir_pool_queries_total{{{POOL}}} 2"));
        assert_line(&text, &format!("pgweir_pool_waits_total{{{POOL}}} 1"));
        assert_line(&text, &format!("pgweir_pool_received_bytes_total{{{POOL}}} 512"));
        assert_line(&text, &format!("pgweir_pool_servers_opened_total{{{POOL}}} 1"));
        assert_line(&text, &format!("pgweir_pool_query_seconds_sum{{{POOL}}} 0.003"));
        assert_line(&text, &format!("pgweir_pool_transaction_seconds_count{{{POOL}}} 1"));
        assert_line(&text, &format!("pgweir_pool_wait_seconds_bucket{{{POOL},le=\"0.01\"}} 1"));
        assert_eq!((pool.queries.value(), pool.query_time.sum_us()), (2, 3000));
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
        assert_line(&text, &format!("pgweir_pool_size{{{POOL}}} inf"));
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
        host.set_lag(Some(4096), None);
        metrics.process().login(LoginResult::Ok);
        metrics.process().login_denied(AuthFailure::Password);
        metrics.process().cancel(CancelResult::Sent);
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
            r#"pgweir_host_timeline{host="pg2:5432"} 7"#,
            r#"pgweir_host_lag_bytes{host="pg2:5432"} 4096"#,
            r#"pgweir_host_lag_seconds{host="pg2:5432"} NaN"#,
            r#"pgweir_client_logins_total{result="ok"} 1"#,
            r#"pgweir_client_logins_total{result="denied"} 1"#,
            r#"pgweir_auth_failures_total{reason="password"} 1"#,
            r#"pgweir_cancel_requests_total{result="sent"} 1"#,
            r#"pgweir_build_info{version="1.0"} 1"#,
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
                pool.transaction_ended(Duration::from_millis(1));
            }
            let text = metrics.render();
            let count = 2 * round;
            assert_line(&text, &format!("pgweir_pool_transactions_total{{{POOL}}} {count}"));
            assert_line(&text, &format!("pgweir_pool_transaction_seconds_count{{{POOL}}} {count}"));
        }
    }

    #[test]
    fn an_idle_pool_stays_and_a_removed_one_goes_after_its_last_counts_were_shown() {
        let metrics = Metrics::new("1.0");
        let idle = metrics.pool("app", "alice", "pg1:5432");
        let removed = metrics.pool("app", "bob", "pg1:5432");
        metrics.render();
        removed.transaction_ended(Duration::from_millis(1));
        drop(removed);

        let last = metrics.render();
        let bob = r#"database="app",user="bob",host="pg1:5432""#;
        assert_line(&last, &format!("pgweir_pool_transactions_total{{{bob}}} 1"));
        assert_line(&last, &format!("pgweir_pool_transaction_seconds_count{{{bob}}} 1"));
        assert!(!last.contains(&format!("pgweir_pool_size{{{bob}}}")), "a gauge of nothing");
        assert!(!metrics.render().contains("bob"));

        idle.transaction_ended(Duration::from_millis(1));
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
        again.transaction_ended(Duration::from_millis(1));
        assert_line(&metrics.render(), &format!("pgweir_pool_transactions_total{{{POOL}}} 1"));
    }
}
