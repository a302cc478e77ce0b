//! The metrics of pgbouncer's exporter (prometheus-community/pgbouncer_exporter, 0.12), by its names and labels: existing
//! dashboards and alerts go on working. Setting `metrics_compat`; the values are those of the console's SHOWs.

use metrics::Unit;

use super::names::{Kind, Metric};

macro_rules! table {
    ($( $kind:ident $unit:ident $name:literal $labels:expr, $help:literal; )*) => {
        /// The whole list.
        pub const ALL: &[Metric] = &[$(Metric {
            name: concat!("pgbouncer_", $name),
            kind: Kind::$kind,
            unit: Unit::$unit,
            labels: $labels,
            help: $help,
        }),*];
    };
}

/// The labels of what SHOW DATABASES says.
pub const DATABASE: &[&str] = &["name", "host", "port", "database", "force_user", "pool_mode"];
/// Those of STATS_TOTALS.
pub const STATS: &[&str] = &["database"];
/// Those of POOLS.
pub const POOL: &[&str] = &["database", "user"];
/// Those of CLIENTS.
pub const CLIENT: &[&str] = &["database", "user", "application_name", "state"];

table! {
    Gauge Count "up" &[], "Always 1: who is scraped is up.";
    Gauge Count "version_info" &["version"], "Always 1; the label is what SHOW VERSION says.";

    Gauge Count "config_max_client_connections" &[], "max_client_conn.";
    Gauge Count "config_max_user_connections" &[], "max_user_connections; 0 when unlimited.";

    // SHOW DATABASES
    Gauge Count "databases_pool_size" DATABASE, "Most server connections of a pool of the database; 0 when unlimited.";
    Gauge Count "databases_reserve_pool" DATABASE, "Server connections beyond those (reserve_pool_size).";
    Gauge Count "databases_max_connections" DATABASE, "Most server connections of the database (max_db_connections); 0 when unlimited.";
    Gauge Count "databases_current_connections" DATABASE, "Server connections of the database.";
    Gauge Count "databases_paused" DATABASE, "1 while the database is paused.";
    Gauge Count "databases_disabled" DATABASE, "1 while the database is disabled.";

    // SHOW STATS_TOTALS
    Counter Count "stats_totals_queries_pooled_total" STATS, "Queries.";
    Counter Count "stats_totals_queries_total" STATS, "Queries as well: pgbouncer called them requests once.";
    Counter Seconds "stats_totals_queries_duration_seconds_total" STATS, "Time in queries.";
    Counter Count "stats_totals_sql_transactions_pooled_total" STATS, "Transactions.";
    Counter Seconds "stats_totals_server_in_transaction_seconds_total" STATS, "Time in transactions.";
    Counter Seconds "stats_totals_client_wait_seconds_total" STATS, "Time that clients waited for a server.";
    Counter Count "stats_totals_server_assignments_total" STATS, "Times a server was given to a client.";
    Counter Bytes "stats_totals_received_bytes_total" STATS, "Bytes from clients.";
    Counter Bytes "stats_totals_sent_bytes_total" STATS, "Bytes to clients.";
    Counter Count "stats_totals_client_parses_total" STATS, "Named statements that clients prepared.";
    Counter Count "stats_totals_server_parses_total" STATS, "Statements that were prepared on servers.";
    Counter Count "stats_totals_binds_total" STATS, "Binds of named statements.";

    // SHOW POOLS
    Gauge Count "pools_client_active_connections" POOL, "Clients that hold a server or want nothing.";
    Gauge Count "pools_client_waiting_connections" POOL, "Clients that wait for a server.";
    Gauge Count "pools_client_active_cancel_connections" POOL, "Cancel requests that are being sent.";
    Gauge Count "pools_client_waiting_cancel_connections" POOL, "Cancel requests that wait to be sent.";
    Gauge Seconds "pools_client_maxwait_seconds" POOL, "How long the first in the queue has waited, whole seconds.";
    Gauge Count "pools_server_active_connections" POOL, "Servers held by a client.";
    Gauge Count "pools_server_active_cancel_connections" POOL, "Connections that send a cancel request.";
    Gauge Count "pools_server_being_canceled_connections" POOL, "Servers kept back until the cancel requests to them are done.";
    Gauge Count "pools_server_idle_connections" POOL, "Free servers.";
    Gauge Count "pools_server_used_connections" POOL, "Free servers to be checked before their next use.";
    Gauge Count "pools_server_testing_connections" POOL, "Servers that are being reset or checked.";
    Gauge Count "pools_server_login_connections" POOL, "Servers that are being opened.";

    // SHOW CLIENTS
    Gauge Count "client_connections" CLIENT, "Clients by database, user, application name and state. Names beyond the 100 most frequent are added up as (others).";

    // SHOW LISTS
    Gauge Count "databases" &[], "Databases, the console's included.";
    Gauge Count "users" &[], "Users.";
    Gauge Count "pools" &[], "Pools.";
    Gauge Count "free_clients" &[], "Client objects kept for use; pgweir keeps none.";
    Gauge Count "used_clients" &[], "Clients.";
    Gauge Count "login_clients" &[], "Clients that log in.";
    Gauge Count "free_servers" &[], "Server objects kept for use; pgweir keeps none.";
    Gauge Count "used_servers" &[], "Server connections.";
    Gauge Count "cached_dns_names" &[], "Names that are looked up.";
    Gauge Count "cached_dns_zones" &[], "Always 0: the system's resolver knows no zones.";
    Gauge Count "in_flight_dns_queries" &[], "Always 0: the system's resolver does not tell.";

    // What the exporter tells of pgbouncer's process, if it is given a pid file.
    Counter Seconds "process_cpu_seconds_total" &[], "CPU time, user and system.";
    Gauge Count "process_open_fds" &[], "Open file descriptors.";
    Gauge Count "process_max_fds" &[], "Most file descriptors that may be open.";
    Gauge Bytes "process_resident_memory_bytes" &[], "Memory that is in RAM.";
    Gauge Bytes "process_virtual_memory_bytes" &[], "Address space.";
    Gauge Bytes "process_virtual_memory_max_bytes" &[], "Most address space.";
    Gauge Seconds "process_start_time_seconds" &[], "When it started, as Unix time.";
}

/// One of the list by its name behind `pgbouncer_`.
pub fn find(name: &str) -> Option<&'static Metric> {
    ALL.iter().find(|metric| metric.name.strip_prefix("pgbouncer_") == Some(name))
}
