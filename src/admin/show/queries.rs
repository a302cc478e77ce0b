//! SHOW QUERIES: what statements cost (`track_queries`). Not in pgbouncer.

use super::super::table::{Column, ColumnType, Table, Value};
use crate::session::queries::QueryRow;

const COLUMNS: &[Column] = &[
    ("database", ColumnType::Text),
    ("user", ColumnType::Text),
    ("host", ColumnType::Text),
    ("calls", ColumnType::Int8),
    ("errors", ColumnType::Int8),
    ("rows", ColumnType::Int8),
    ("sent_bytes", ColumnType::Int8),
    ("total_time", ColumnType::Int8),
    ("mean_us", ColumnType::Int8),
    ("p50_us", ColumnType::Int8),
    ("p99_us", ColumnType::Int8),
    ("query", ColumnType::Text),
];

/// The table.
pub fn table(rows: Vec<QueryRow>) -> Table {
    let rows = rows.into_iter().map(|row| {
        let mean_us = row.mean_us();
        vec![
            row.database.into(),
            row.user.into(),
            row.host.into(),
            Value::int8(row.calls),
            Value::int8(row.errors),
            Value::int8(row.rows),
            Value::int8(row.sent_bytes),
            Value::int8(row.total_us),
            Value::int8(mean_us),
            Value::int8(row.p50_us),
            Value::int8(row.p99_us),
            row.text.into(),
        ]
    });
    Table::new(COLUMNS, rows)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_columns, assert_row};
    use super::*;

    #[test]
    fn a_text_on_a_host_is_a_row() {
        let table = table(vec![QueryRow {
            database: "app".to_owned(),
            user: "alice".to_owned(),
            host: "pg1:5432".to_owned(),
            text: "select $1".to_owned(),
            calls: 4,
            errors: 1,
            rows: 3,
            sent_bytes: 200,
            total_us: 1000,
            p50_us: 200,
            p99_us: 400,
        }]);
        assert_columns(
            &table,
            "database t, user t, host t, calls q, errors q, rows q, sent_bytes q, total_time q, mean_us q, p50_us q, \
             p99_us q, query t",
        );
        assert_row(
            &table,
            0,
            &[
                "database=app",
                "user=alice",
                "host=pg1:5432",
                "calls=4",
                "errors=1",
                "rows=3",
                "sent_bytes=200",
                "total_time=1000",
                "mean_us=250",
                "p50_us=200",
                "p99_us=400",
                "query=select $1",
            ],
        );
    }
}
