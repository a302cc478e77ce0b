//! SHOW WHY: for each client that waits, what for. Not in pgbouncer.

use super::super::table::{Column, ColumnType, Table, Value};
use crate::report::why::WhyRow;

const COLUMNS: &[Column] = &[
    ("id", ColumnType::Int8),
    ("user", ColumnType::Text),
    ("database", ColumnType::Text),
    ("addr", ColumnType::Text),
    ("application_name", ColumnType::Text),
    ("host", ColumnType::Text),
    ("position", ColumnType::Int8),
    ("wait", ColumnType::Int8),
    ("wait_us", ColumnType::Int8),
    ("reason", ColumnType::Text),
    ("setting", ColumnType::Text),
    ("held_by", ColumnType::Text),
    ("advice", ColumnType::Text),
];

/// The table of SHOW WHY: `wait` in seconds, `wait_us` what is beyond them in microseconds, as in SHOW CLIENTS.
pub fn table(rows: Vec<WhyRow>) -> Table {
    let rows = rows.into_iter().map(|row| {
        vec![
            row.id.map_or(Value::Null, Value::int8),
            row.user.into(),
            row.database.into(),
            row.addr.into(),
            row.application_name.into(),
            row.host.into(),
            row.position.map_or(Value::Null, Value::int8),
            Value::int8(row.wait.as_secs()),
            Value::int8(row.wait.subsec_micros()),
            row.cause.reason.into(),
            row.cause.setting.into(),
            row.cause.held_by.into(),
            row.cause.advice.into(),
        ]
    });
    Table::new(COLUMNS, rows)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::testing::{assert_columns, assert_row};
    use super::*;
    use crate::report::why::Cause;

    #[test]
    fn a_client_that_waits_is_a_row() {
        let table = table(vec![WhyRow {
            id: Some(7),
            user: "ann".to_owned(),
            database: "app".to_owned(),
            addr: "127.0.0.1:5".to_owned(),
            application_name: "psql".to_owned(),
            host: "pg1:5432".to_owned(),
            position: None,
            wait: Duration::from_micros(2_000_003),
            cause: Cause {
                reason: "20 of 20 servers are in use".to_owned(),
                setting: "pool_size",
                held_by: "client 5".to_owned(),
                advice: "raise it",
            },
        }]);
        assert_columns(
            &table,
            "id q, user t, database t, addr t, application_name t, host t, position q, wait q, wait_us q, reason t, \
             setting t, held_by t, advice t",
        );
        assert_row(
            &table,
            0,
            &[
                "id=7",
                "user=ann",
                "database=app",
                "addr=127.0.0.1:5",
                "application_name=psql",
                "host=pg1:5432",
                "position=-",
                "wait=2",
                "wait_us=3",
                "reason=20 of 20 servers are in use",
                "setting=pool_size",
                "held_by=client 5",
                "advice=raise it",
            ],
        );
    }
}
