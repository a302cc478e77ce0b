//! SHOW POOLS: one row per pool.

use super::super::table::{Column, ColumnType, Table, Value};
use crate::report::pools::PoolRow;

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
    use std::time::Duration;

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
