//! SHOW POOLS: one row per pool.

use std::time::Duration;

use super::super::table::{Column, ColumnType, Table, Value};

/// A pool: pgbouncer's is a pair of database and user, so pools of several hosts are added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolRow {
    /// The entry of `[databases]`.
    pub database: String,
    /// The user on the servers.
    pub user: String,
    /// Clients that hold a server or want nothing.
    pub clients_active: u32,
    /// Clients that wait for a server.
    pub clients_waiting: u32,
    /// Cancel requests that are being sent.
    pub cancels_active: u32,
    /// Cancel requests that wait to be sent.
    pub cancels_waiting: u32,
    /// Servers held by a client.
    pub servers_active: u32,
    /// Connections that send a cancel request.
    pub servers_active_cancel: u32,
    /// Servers kept back until the cancel requests to them are done.
    pub servers_being_canceled: u32,
    /// Free servers.
    pub servers_idle: u32,
    /// Free servers to be checked before their next use.
    pub servers_used: u32,
    /// Servers being reset or checked.
    pub servers_tested: u32,
    /// Servers being opened.
    pub servers_login: u32,
    /// How long the first client in the queue has waited.
    pub max_wait: Duration,
    /// `session`, `transaction` or `statement`.
    pub pool_mode: &'static str,
    /// `disable` or `round-robin`; `None` unless the entry names several hosts.
    pub load_balance_hosts: Option<&'static str>,
}

impl PoolRow {
    /// A pool in which nothing is going on.
    pub fn quiet(database: &str, user: &str, pool_mode: &'static str) -> Self {
        Self {
            database: database.to_owned(),
            user: user.to_owned(),
            clients_active: 0,
            clients_waiting: 0,
            cancels_active: 0,
            cancels_waiting: 0,
            servers_active: 0,
            servers_active_cancel: 0,
            servers_being_canceled: 0,
            servers_idle: 0,
            servers_used: 0,
            servers_tested: 0,
            servers_login: 0,
            max_wait: Duration::ZERO,
            pool_mode,
            load_balance_hosts: None,
        }
    }

    /// The console's own row, as pgbouncer shows it.
    pub fn console(clients: u32) -> Self {
        Self { clients_active: clients, ..Self::quiet("pgbouncer", "pgbouncer", "statement") }
    }
}

const COLUMNS: &[Column] = &[
    ("database", ColumnType::Text),
    ("user", ColumnType::Text),
    ("cl_active", ColumnType::Int4),
    ("cl_waiting", ColumnType::Int4),
    ("cl_active_cancel_req", ColumnType::Int4),
    ("cl_waiting_cancel_req", ColumnType::Int4),
    ("sv_active", ColumnType::Int4),
    ("sv_active_cancel", ColumnType::Int4),
    ("sv_being_canceled", ColumnType::Int4),
    ("sv_idle", ColumnType::Int4),
    ("sv_used", ColumnType::Int4),
    ("sv_tested", ColumnType::Int4),
    ("sv_login", ColumnType::Int4),
    ("maxwait", ColumnType::Int4),
    ("maxwait_us", ColumnType::Int4),
    ("pool_mode", ColumnType::Text),
    ("load_balance_hosts", ColumnType::Text),
];

/// The table.
pub fn table(rows: Vec<PoolRow>) -> Table {
    let rows = rows.into_iter().map(|row| {
        vec![
            row.database.into(),
            row.user.into(),
            Value::int4(row.clients_active),
            Value::int4(row.clients_waiting),
            Value::int4(row.cancels_active),
            Value::int4(row.cancels_waiting),
            Value::int4(row.servers_active),
            Value::int4(row.servers_active_cancel),
            Value::int4(row.servers_being_canceled),
            Value::int4(row.servers_idle),
            Value::int4(row.servers_used),
            Value::int4(row.servers_tested),
            Value::int4(row.servers_login),
            Value::int4(row.max_wait.as_secs()),
            Value::int4(row.max_wait.subsec_micros()),
            row.pool_mode.into(),
            row.load_balance_hosts.into(),
        ]
    });
    Table::new(COLUMNS, rows)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_columns, assert_row};
    use super::*;

    #[test]
    fn columns_and_values_are_pgbouncers() {
        let table = table(vec![PoolRow {
            database: "app".to_owned(),
            user: "alice".to_owned(),
            clients_active: 1,
            clients_waiting: 2,
            cancels_active: 3,
            cancels_waiting: 4,
            servers_active: 5,
            servers_active_cancel: 6,
            servers_being_canceled: 7,
            servers_idle: 8,
            servers_used: 9,
            servers_tested: 10,
            servers_login: 11,
            max_wait: Duration::from_micros(12_000_013),
            pool_mode: "transaction",
            load_balance_hosts: None,
        }]);
        assert_columns(
            &table,
            "database t, user t, cl_active i, cl_waiting i, cl_active_cancel_req i, \
             cl_waiting_cancel_req i, sv_active i, sv_active_cancel i, sv_being_canceled i, \
             sv_idle i, sv_used i, sv_tested i, sv_login i, maxwait i, maxwait_us i, \
             pool_mode t, load_balance_hosts t",
        );
        assert_row(
            &table,
            0,
            &[
                "database=app",
                "user=alice",
                "cl_active=1",
                "cl_waiting=2",
                "cl_active_cancel_req=3",
                "cl_waiting_cancel_req=4",
                "sv_active=5",
                "sv_active_cancel=6",
                "sv_being_canceled=7",
                "sv_idle=8",
                "sv_used=9",
                "sv_tested=10",
                "sv_login=11",
                "maxwait=12",
                "maxwait_us=13",
                "pool_mode=transaction",
                "load_balance_hosts=-",
            ],
        );
    }
}
