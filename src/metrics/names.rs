//! Every metric pgweir exports: the one list that handles, documentation, dashboard and alerts come from.
//!
//! Names follow the Prometheus conventions: `pgweir_` first, base units (seconds, bytes) as a
//! suffix, `_total` on counters and on nothing else. A label takes few values, known in advance or
//! set by the configuration; nothing that a client can invent becomes a label.

/// How a metric's value moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows while the process lives.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Durations counted by bucket (`_bucket`, `_sum`, `_count`).
    Histogram,
}

/// What a metric's value is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number of things, a flag (0 or 1), or a number without a unit such as a timeline.
    None,
    /// Seconds, with fractions.
    Seconds,
    /// Bytes.
    Bytes,
    /// A part of a whole, 0 to 1.
    Ratio,
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// The name as exported.
    pub name: &'static str,
    /// Counter, gauge or histogram.
    pub kind: Kind,
    /// The unit of the value.
    pub unit: Unit,
    /// The labels, in the order in which handles give their values.
    pub labels: &'static [&'static str],
    /// One sentence for the operator, exported as `# HELP`.
    pub help: &'static str,
}

macro_rules! table {
    ($( $(#[$doc:meta])* $id:ident = $kind:ident, $unit:ident, $name:literal, [$($label:literal),*], $help:literal; )*) => {
        $(
            #[doc = $help]
            $(#[$doc])*
            pub const $id: Metric = Metric {
                name: $name,
                kind: Kind::$kind,
                unit: Unit::$unit,
                labels: &[$($label),*],
                help: $help,
            };
        )*

        /// The whole table, in the order of the documentation.
        pub const ALL: &[Metric] = &[$($id),*];
    };
}

table! {
    // Pools: one per database entry, user and host.
    POOL_CLIENTS = Gauge, None, "pgweir_pool_clients", ["database", "user", "host", "state"],
        "Clients of the pool: active hold a server, waiting are queued for one.";
    POOL_SERVERS = Gauge, None, "pgweir_pool_servers", ["database", "user", "host", "state"],
        "Server connections of the pool: active serve a client, idle are free, login are being opened.";
    POOL_SIZE = Gauge, None, "pgweir_pool_size", ["database", "user", "host"],
        "Most server connections the pool may hold (pool_size); +Inf when unlimited.";
    POOL_MAX_WAIT_SECONDS = Gauge, Seconds, "pgweir_pool_max_wait_seconds", ["database", "user", "host"],
        "How long the first client in the pool's queue has been waiting; 0 when nobody waits.";
    POOL_TRANSACTIONS = Counter, None, "pgweir_pool_transactions_total", ["database", "user", "host"],
        "Transactions that ended, committed or not.";
    POOL_QUERIES = Counter, None, "pgweir_pool_queries_total", ["database", "user", "host"],
        "Queries that were answered: simple queries and Syncs.";
    POOL_RECEIVED_BYTES = Counter, Bytes, "pgweir_pool_received_bytes_total", ["database", "user", "host"],
        "Bytes received from clients.";
    POOL_SENT_BYTES = Counter, Bytes, "pgweir_pool_sent_bytes_total", ["database", "user", "host"],
        "Bytes sent to clients.";
    POOL_SERVERS_OPENED = Counter, None, "pgweir_pool_servers_opened_total", ["database", "user", "host"],
        "Server connections that were opened and logged in.";
    POOL_SERVERS_CLOSED = Counter, None, "pgweir_pool_servers_closed_total", ["database", "user", "host"],
        "Server connections that were closed, for whatever reason.";
    POOL_SERVERS_FAILED = Counter, None, "pgweir_pool_servers_failed_total", ["database", "user", "host"],
        "Attempts to open a server connection that failed before it was logged in.";
    POOL_ASSIGNMENTS = Counter, None, "pgweir_pool_assignments_total", ["database", "user", "host"],
        "Times a server was given to a client.";
    POOL_WAITS = Counter, None, "pgweir_pool_waits_total", ["database", "user", "host"],
        "Times a client had to queue for a server.";
    POOL_WAIT_SECONDS = Histogram, Seconds, "pgweir_pool_wait_seconds", ["database", "user", "host"],
        "Time a client spent in the queue before it got a server or gave up.";
    POOL_TRANSACTION_SECONDS = Histogram, Seconds, "pgweir_pool_transaction_seconds", ["database", "user", "host"],
        "Time from a transaction's first message to its last answer.";
    POOL_QUERY_SECONDS = Histogram, Seconds, "pgweir_pool_query_seconds", ["database", "user", "host"],
        "Time from a query's first message to its last answer.";

    // Prepared statements.
    PREPARED_CLIENT_PARSES = Counter, None, "pgweir_prepared_client_parses_total", ["database", "user", "host"],
        "Named statements that clients prepared.";
    PREPARED_SERVER_PARSES = Counter, None, "pgweir_prepared_server_parses_total", ["database", "user", "host"],
        "Statements that pgweir prepared on servers; far fewer than the clients' when sharing works.";
    PREPARED_BINDS = Counter, None, "pgweir_prepared_binds_total", ["database", "user", "host"],
        "Binds of named statements.";
    PREPARED_EVICTIONS = Counter, None, "pgweir_prepared_evictions_total", ["database", "user", "host"],
        "Statements closed on a server to make room (max_prepared_statements).";

    // Clients.
    CLIENTS = Gauge, None, "pgweir_clients", [],
        "Client connections, those that are still logging in included.";
    CLIENTS_LIMIT = Gauge, None, "pgweir_clients_limit", [],
        "Most client connections allowed (max_client_conn).";
    CLIENT_LOGINS = Counter, None, "pgweir_client_logins_total", ["result"],
        "Client logins by result: ok, denied (authentication), refused (limits, database, protocol), abandoned (left or timed out).";
    AUTH_FAILURES = Counter, None, "pgweir_auth_failures_total", ["reason"],
        "Logins that failed in authentication, by reason.";
    CANCEL_REQUESTS = Counter, None, "pgweir_cancel_requests_total", ["result"],
        "Cancel requests by result: sent (to the server), idle (nothing to cancel), unknown (no such key), failed (server not reached).";

    // Routing.
    ROUTING_DECISIONS = Counter, None, "pgweir_routing_decisions_total", ["database", "target", "reason"],
        "Transactions routed, by target (primary, replica) and by what decided it.";
    ROUTING_MOVED = Counter, None, "pgweir_routing_moved_total", ["database", "reason"],
        "Requests that were run again on another host unseen by the client: demoted (no primary any more), refused (a replica cannot run it), conflict (with recovery), lost (the replica ended).";

    // Topology of a database entry's host list.
    TOPOLOGY_PRIMARY_KNOWN = Gauge, None, "pgweir_topology_primary_known", ["database"],
        "1 while the database's host list has a primary that may be written to.";
    TOPOLOGY_PRIMARY_MISSING_SECONDS = Gauge, Seconds, "pgweir_topology_primary_missing_seconds", ["database"],
        "For how long no primary has been known; 0 while there is one.";
    TOPOLOGY_PRIMARY_CHANGES = Counter, None, "pgweir_topology_primary_changes_total", ["database"],
        "Times another host became the primary.";
    TOPOLOGY_SPLIT_BRAIN = Gauge, None, "pgweir_topology_split_brain", ["database"],
        "1 while more than one reachable host says that it is the primary.";
    TOPOLOGY_HELD_CLIENTS = Gauge, None, "pgweir_topology_held_clients", ["database"],
        "Clients held until a primary is known.";
    TOPOLOGY_HOLD_SECONDS = Histogram, Seconds, "pgweir_topology_hold_seconds", ["database"],
        "Time a client was held until a primary was known or failover_timeout ended its wait.";

    // Hosts, each counted once however many database entries name it.
    HOST_UP = Gauge, None, "pgweir_host_up", ["host"],
        "1 while the host answers its monitor.";
    HOST_PRIMARY = Gauge, None, "pgweir_host_primary", ["host"],
        "1 while the host says that it is a primary (not in recovery).";
    HOST_TIMELINE = Gauge, None, "pgweir_host_timeline", ["host"],
        "Timeline the host is on; 0 while unknown.";
    HOST_LAG_BYTES = Gauge, Bytes, "pgweir_host_lag_bytes", ["host"],
        "WAL the host has still to replay, counted from the primary's position; 0 on the primary.";
    HOST_LAG_SECONDS = Gauge, Seconds, "pgweir_host_lag_seconds", ["host"],
        "How long ago the primary was where the host has replayed to; 0 on the primary.";

    // The process.
    BUILD_INFO = Gauge, None, "pgweir_build_info", ["version"],
        "Always 1; the label tells the version that runs.";
    WORKERS = Gauge, None, "pgweir_workers", [],
        "Worker threads.";
    WORKER_BUSY_RATIO = Gauge, Ratio, "pgweir_worker_busy_ratio", ["worker"],
        "Part of the time since the last look that the worker was on a core.";
    WORKER_CLIENTS = Gauge, None, "pgweir_worker_clients", ["worker"],
        "Clients that live on the worker.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn well_formed(word: &str) -> bool {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            && !word.contains("__")
            && !word.ends_with('_')
    }

    #[test]
    fn every_name_is_well_formed_and_unique() {
        let mut seen = BTreeSet::new();
        for metric in ALL {
            assert!(well_formed(metric.name), "{}", metric.name);
            assert!(metric.name.starts_with("pgweir_"), "{}", metric.name);
            assert!(seen.insert(metric.name), "{} is listed twice", metric.name);
        }
    }

    #[test]
    fn only_counters_end_in_total_and_units_are_in_the_name() {
        for metric in ALL {
            let (base, total) = match metric.name.strip_suffix("_total") {
                Some(base) => (base, true),
                None => (metric.name, false),
            };
            assert_eq!(total, metric.kind == Kind::Counter, "{}", metric.name);
            for (unit, suffix) in
                [(Unit::Seconds, "_seconds"), (Unit::Bytes, "_bytes"), (Unit::Ratio, "_ratio")]
            {
                assert_eq!(metric.unit == unit, base.ends_with(suffix), "{}", metric.name);
            }
            for exported in ["_sum", "_count", "_bucket", "_info"] {
                assert!(!base.ends_with(exported) || metric.name == BUILD_INFO.name);
            }
        }
    }

    #[test]
    fn histograms_are_in_seconds() {
        for metric in ALL.iter().filter(|metric| metric.kind == Kind::Histogram) {
            assert_eq!(metric.unit, Unit::Seconds, "{}", metric.name);
        }
    }

    #[test]
    fn labels_and_help_are_fit_for_prometheus() {
        for metric in ALL {
            let unique: BTreeSet<_> = metric.labels.iter().collect();
            assert_eq!(unique.len(), metric.labels.len(), "{}", metric.name);
            for label in metric.labels {
                assert!(well_formed(label), "{}: {label}", metric.name);
                // `le` is the buckets' own; `job` and `instance` are Prometheus's.
                assert!(!["le", "quantile", "job", "instance"].contains(label), "{}", metric.name);
            }
            assert!(metric.help.ends_with('.') && !metric.help.contains(['\n', '\\']));
        }
    }
}
