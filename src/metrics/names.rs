//! Every metric pgweir exports under its own names: the one list that handles, docs/metrics.md, dashboards and alerts
//! come from.
//!
//! Names follow the Prometheus conventions: `pgweir_` first (what any process has is called as in any other program:
//! `process_`), base units (seconds, bytes) as a suffix, `_total` on counters and on nothing else. A label takes few
//! values, known in advance or set by the configuration; nothing that a client can invent becomes a label.

use metrics::Unit;

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

impl Kind {
    /// The word of `# TYPE`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// The name as exported.
    pub name: &'static str,
    /// Counter, gauge or histogram.
    pub kind: Kind,
    /// The unit of the value: seconds (with fractions), bytes, or a count, which a flag (0 or 1) and a number without
    /// a unit such as a timeline are too.
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
    POOL_CLIENTS = Gauge, Count, "pgweir_pool_clients", ["database", "user", "host", "state"],
        "Clients of the pool: active hold a server, waiting are queued for one.";
    POOL_SERVERS = Gauge, Count, "pgweir_pool_servers", ["database", "user", "host", "state"],
        "Server connections of the pool: active serve a client, idle are free, login are being opened.";
    POOL_SIZE = Gauge, Count, "pgweir_pool_size", ["database", "user", "host"],
        "Most server connections the pool may hold (pool_size); +Inf when unlimited.";
    POOL_MAX_WAIT_SECONDS = Gauge, Seconds, "pgweir_pool_max_wait_seconds", ["database", "user", "host"],
        "How long the first client in the pool's queue has been waiting; 0 when nobody waits.";
    POOL_TRANSACTIONS = Counter, Count, "pgweir_pool_transactions_total", ["database", "user", "host"],
        "Transactions that ended, committed or not.";
    POOL_QUERIES = Counter, Count, "pgweir_pool_queries_total", ["database", "user", "host"],
        "Queries that were answered: simple queries and Syncs.";
    POOL_RECEIVED_BYTES = Counter, Bytes, "pgweir_pool_received_bytes_total", ["database", "user", "host"],
        "Bytes received from clients.";
    POOL_SENT_BYTES = Counter, Bytes, "pgweir_pool_sent_bytes_total", ["database", "user", "host"],
        "Bytes sent to clients.";
    POOL_SERVERS_OPENED = Counter, Count, "pgweir_pool_servers_opened_total", ["database", "user", "host"],
        "Server connections that were opened and logged in.";
    POOL_SERVERS_CLOSED = Counter, Count, "pgweir_pool_servers_closed_total", ["database", "user", "host"],
        "Server connections that were closed, for whatever reason.";
    POOL_SERVERS_FAILED = Counter, Count, "pgweir_pool_servers_failed_total", ["database", "user", "host"],
        "Attempts to open a server connection that failed before it was logged in.";
    POOL_FAILURES = Counter, Count, "pgweir_pool_failures_total", ["database", "user", "host"],
        "Failures that are the host's and not the application's: errors of resources, system or data (SQLSTATE classes 53, 58, XX), connections lost, and attempts to open one that failed.";
    POOL_ASSIGNMENTS = Counter, Count, "pgweir_pool_assignments_total", ["database", "user", "host"],
        "Times a server was given to a client.";
    POOL_WAITS = Counter, Count, "pgweir_pool_waits_total", ["database", "user", "host"],
        "Requests that had to queue for a server.";
    POOL_WAITS_FAILED = Counter, Count, "pgweir_pool_waits_failed_total", ["database", "user", "host"],
        "Waits that ended without a server: query_wait_timeout, servers that cannot be reached or refuse, or the client left.";
    POOL_WAIT_SECONDS = Histogram, Seconds, "pgweir_pool_wait_seconds", ["database", "user", "host"],
        "Time a client spent in the queue before it got a server or gave up.";
    POOL_TRANSACTION_SECONDS = Histogram, Seconds, "pgweir_pool_transaction_seconds", ["database", "user", "host"],
        "Time from a transaction's first message to its last answer.";
    POOL_QUERY_SECONDS = Histogram, Seconds, "pgweir_pool_query_seconds", ["database", "user", "host"],
        "Time from a query's first message, or from when it had waited for a server, to its last answer.";
    POOL_FIRST_BYTE_SECONDS = Histogram, Seconds, "pgweir_pool_first_byte_seconds", ["database", "user", "host"],
        "Time from a query's first message, or from when it had waited for a server, to the first byte of the answer.";

    // Database entries and users, over all their pools.
    DATABASE_CLIENTS = Gauge, Count, "pgweir_database_clients", ["database"],
        "Clients of the database.";
    DATABASE_CLIENTS_LIMIT = Gauge, Count, "pgweir_database_clients_limit", ["database"],
        "Most clients the database may have (max_db_client_connections); +Inf when unlimited.";
    DATABASE_SERVERS = Gauge, Count, "pgweir_database_servers", ["database"],
        "Server connections of the database, over all its pools, those that are being opened included.";
    DATABASE_SERVERS_LIMIT = Gauge, Count, "pgweir_database_servers_limit", ["database"],
        "Most server connections the database may have (max_db_connections); +Inf when unlimited.";
    DATABASE_PAUSED = Gauge, Count, "pgweir_database_paused", ["database"],
        "1 while the database is paused (PAUSE, KILL).";
    DATABASE_DISABLED = Gauge, Count, "pgweir_database_disabled", ["database"],
        "1 while the database takes no new clients (DISABLE).";
    USER_CLIENTS = Gauge, Count, "pgweir_user_clients", ["user"],
        "Clients that are logged in as the user.";
    USER_CLIENTS_LIMIT = Gauge, Count, "pgweir_user_clients_limit", ["user"],
        "Most clients the user may have (max_user_client_connections); +Inf when unlimited.";
    USER_SERVERS = Gauge, Count, "pgweir_user_servers", ["user"],
        "Server connections that are logged in as the user, over all pools.";
    USER_SERVERS_LIMIT = Gauge, Count, "pgweir_user_servers_limit", ["user"],
        "Most server connections the user may have (max_user_connections); +Inf when unlimited.";

    // Opening server connections. The host is the pool's: a host list where the entry does not follow roles.
    SERVER_CONNECT_SECONDS = Histogram, Seconds, "pgweir_server_connect_seconds", ["host"],
        "Time to a socket to the server, looking its name up included.";
    SERVER_LOGIN_SECONDS = Histogram, Seconds, "pgweir_server_login_seconds", ["host"],
        "Time from that socket to a server connection that is ready: TLS, authentication, connect_query.";

    // Prepared statements.
    PREPARED_CLIENT_PARSES = Counter, Count, "pgweir_prepared_client_parses_total", ["database", "user", "host"],
        "Named statements that clients prepared.";
    PREPARED_SERVER_PARSES = Counter, Count, "pgweir_prepared_server_parses_total", ["database", "user", "host"],
        "Statements that pgweir prepared on servers; far fewer than the clients' when sharing works.";
    PREPARED_BINDS = Counter, Count, "pgweir_prepared_binds_total", ["database", "user", "host"],
        "Binds of named statements.";
    PREPARED_EVICTIONS = Counter, Count, "pgweir_prepared_evictions_total", ["database", "user", "host"],
        "Statements closed on a server to make room (max_prepared_statements).";
    PREPARED_STATEMENTS = Gauge, Count, "pgweir_prepared_statements", [],
        "Definitions in the cache, each kept once however many clients and servers have prepared it.";

    // Clients.
    CLIENTS = Gauge, Count, "pgweir_clients", [],
        "Client connections, those that are still logging in included.";
    CLIENTS_LIMIT = Gauge, Count, "pgweir_clients_limit", [],
        "Most client connections allowed (max_client_conn).";
    CLIENT_LOGINS = Counter, Count, "pgweir_client_logins_total", ["result"],
        "Client logins by result: ok, denied (authentication), refused (limits, database, protocol), abandoned (left or timed out).";
    CLIENT_LOGIN_SECONDS = Histogram, Seconds, "pgweir_client_login_seconds", [],
        "Time from accepting a client to its first ReadyForQuery, for logins that succeed.";
    AUTH_FAILURES = Counter, Count, "pgweir_auth_failures_total", ["reason"],
        "Logins that failed in authentication, by reason: password, unknown_user, certificate, peer (the system names somebody else), hba (no line fits, or it says reject), tls_required, lookup (auth_query, directory or PAM failed), protocol.";
    CANCEL_REQUESTS = Counter, Count, "pgweir_cancel_requests_total", ["result"],
        "Cancel requests by result: sent (to the server), idle (nothing to cancel), unknown (no such key), failed (server not reached), timeout (cancel_wait_timeout).";

    // TLS.
    TLS_HANDSHAKES = Counter, Count, "pgweir_tls_handshakes_total", ["side", "version"],
        "TLS handshakes that succeeded: with clients (side client) and with servers (side server), by version.";
    TLS_HANDSHAKES_FAILED = Counter, Count, "pgweir_tls_handshakes_failed_total", ["side"],
        "TLS handshakes that failed, on either side; the log says why.";
    TLS_CERTIFICATE_EXPIRY = Gauge, Seconds, "pgweir_tls_certificate_expiry_timestamp_seconds", [],
        "When the certificate that clients are shown expires (client_tls_cert_file), as Unix time; +Inf without one.";

    // Routing.
    ROUTING_DECISIONS = Counter, Count, "pgweir_routing_decisions_total", ["database", "target", "reason"],
        "Transactions routed, by target (primary, replica) and by what decided it: hint, read_only (the transaction says so), looks_read_only, attrs (target_session_attrs), default, fallback (no replica is fit), own_writes (no replica has them yet).";
    ROUTING_MOVED = Counter, Count, "pgweir_routing_moved_total", ["database", "reason"],
        "Requests that were run again on another host unseen by the client: demoted (no primary any more), refused (a replica cannot run it), conflict (with recovery), lost (the replica ended).";

    // Topology of a database entry's host list.
    TOPOLOGY_PRIMARY_KNOWN = Gauge, Count, "pgweir_topology_primary_known", ["database"],
        "1 while the database's host list has a primary that may be written to.";
    TOPOLOGY_PRIMARY_MISSING_SECONDS = Gauge, Seconds, "pgweir_topology_primary_missing_seconds", ["database"],
        "For how long no primary has been known; 0 while there is one.";
    TOPOLOGY_PRIMARY_CHANGES = Counter, Count, "pgweir_topology_primary_changes_total", ["database"],
        "Times another host became the primary.";
    TOPOLOGY_FAILOVER_SECONDS = Histogram, Seconds, "pgweir_topology_failover_seconds", ["database"],
        "Time from the loss of a primary until one is known again, the same or another.";
    TOPOLOGY_SPLIT_BRAIN = Gauge, Count, "pgweir_topology_split_brain", ["database"],
        "1 while more than one reachable host says that it is the primary.";
    TOPOLOGY_HELD_CLIENTS = Gauge, Count, "pgweir_topology_held_clients", ["database"],
        "Clients held until a primary is known.";
    TOPOLOGY_HOLD_SECONDS = Histogram, Seconds, "pgweir_topology_hold_seconds", ["database"],
        "Time a client was held until a primary was known or failover_timeout ended its wait.";

    // Hosts, each counted once however many database entries name it.
    HOST_UP = Gauge, Count, "pgweir_host_up", ["host"],
        "1 while the host answers its monitor.";
    HOST_PRIMARY = Gauge, Count, "pgweir_host_primary", ["host"],
        "1 while the host says that it is a primary (not in recovery).";
    HOST_ROLE = Gauge, Count, "pgweir_host_role", ["host", "role"],
        "1 for what the host is to pgweir, 0 for what it is not: primary, replica, deposed (says that it is a primary and must not be used as one), unknown.";
    HOST_TIMELINE = Gauge, Count, "pgweir_host_timeline", ["host"],
        "Timeline the host is on; 0 while unknown.";
    HOST_LAG_BYTES = Gauge, Bytes, "pgweir_host_lag_bytes", ["host"],
        "WAL the host has still to replay, counted from the primary's position; 0 on the primary.";
    HOST_LAG_SECONDS = Gauge, Seconds, "pgweir_host_lag_seconds", ["host"],
        "How long ago the primary was where the host has replayed to; 0 on the primary.";

    // The process.
    BUILD_INFO = Gauge, Count, "pgweir_build_info", ["version"],
        "Always 1; the label tells the version that runs.";
    WORKERS = Gauge, Count, "pgweir_workers", [],
        "Worker threads.";
    WORKER_BUSY_SECONDS = Counter, Seconds, "pgweir_worker_busy_seconds_total", ["worker"],
        "CPU time of the worker; its rate is the part of a core that it uses.";
    WORKER_CLIENTS = Gauge, Count, "pgweir_worker_clients", ["worker"],
        "Clients that live on the worker.";
    CONFIG_RELOADS = Counter, Count, "pgweir_config_reloads_total", ["result"],
        "Reloads of the configuration by result: ok, failed (nothing has changed; the log says why).";
    CONFIG_LAST_RELOAD_OK = Gauge, Count, "pgweir_config_last_reload_successful", [],
        "1 unless the last reload failed.";
    MEMORY_ANONYMOUS = Gauge, Bytes, "pgweir_memory_anonymous_bytes", [],
        "Resident memory that belongs to no file: what the allocator holds, free or not, and stacks.";
    MEMORY_SWAPPED = Gauge, Bytes, "pgweir_memory_swapped_bytes", [],
        "Memory that was swapped out.";
    MEMORY_PEAK = Gauge, Bytes, "pgweir_memory_peak_bytes", [],
        "Most resident memory that there ever was.";

    // What any process has.
    PROCESS_CPU_SECONDS = Counter, Seconds, "process_cpu_seconds_total", [],
        "CPU time, user and system.";
    PROCESS_THREADS = Gauge, Count, "process_threads", [],
        "Threads.";
    PROCESS_OPEN_FDS = Gauge, Count, "process_open_fds", [],
        "Open file descriptors.";
    PROCESS_MAX_FDS = Gauge, Count, "process_max_fds", [],
        "Most file descriptors that may be open.";
    PROCESS_RESIDENT_MEMORY = Gauge, Bytes, "process_resident_memory_bytes", [],
        "Memory that is in RAM.";
    PROCESS_VIRTUAL_MEMORY = Gauge, Bytes, "process_virtual_memory_bytes", [],
        "Address space.";
    PROCESS_START_TIME = Gauge, Seconds, "process_start_time_seconds", [],
        "When it started, as Unix time.";
}

/// The row of this name.
pub(super) fn find(name: &str) -> Option<&'static Metric> {
    ALL.iter().find(|metric| metric.name == name)
}

/// Those without an owner: their rows are what there is of databases and users.
#[cfg(test)]
pub(super) const OF_NOBODY: &[&str] = &[
    DATABASE_CLIENTS.name,
    DATABASE_CLIENTS_LIMIT.name,
    DATABASE_SERVERS.name,
    DATABASE_SERVERS_LIMIT.name,
    DATABASE_PAUSED.name,
    DATABASE_DISABLED.name,
    USER_CLIENTS.name,
    USER_CLIENTS_LIMIT.name,
    USER_SERVERS.name,
    USER_SERVERS_LIMIT.name,
];

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
            let ours = ["pgweir_", "process_"].iter().any(|own| metric.name.starts_with(own));
            assert!(ours, "{}", metric.name);
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
            for (unit, suffix) in [(Unit::Seconds, "_seconds"), (Unit::Bytes, "_bytes")] {
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
