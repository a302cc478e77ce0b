//! SHOW EVENTS: the last changes of the hosts, oldest first. Not in pgbouncer.

use super::super::table::{Column, ColumnType, Table, Value};
use super::connection::timestamp;
use crate::report::events::EventRow;

const COLUMNS: &[Column] = &[
    ("time", ColumnType::Text),
    ("database", ColumnType::Text),
    ("host", ColumnType::Text),
    ("event", ColumnType::Text),
    ("timeline", ColumnType::Int8),
    ("detail", ColumnType::Text),
];

/// The table.
pub fn table(rows: Vec<EventRow>) -> Table {
    let rows = rows.into_iter().map(|row| {
        vec![
            timestamp(row.time).into(),
            row.database.into(),
            row.host.into(),
            row.event.into(),
            row.timeline.map(Value::int8).into(),
            row.detail.into(),
        ]
    });
    Table::new(COLUMNS, rows)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_columns, assert_row};
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn an_event_is_a_row() {
        let row = EventRow {
            time: UNIX_EPOCH + Duration::from_secs(1_795_521_293),
            database: "app".to_owned(),
            host: Some("pg2:5432".to_owned()),
            event: "primary",
            timeline: Some(2),
            detail: "was replica".to_owned(),
        };
        let table = table(vec![row]);
        assert_columns(&table, "time t, database t, host t, event t, timeline q, detail t");
        assert_row(
            &table,
            0,
            &[
                "time=2026-11-24 11:54:53 UTC",
                "database=app",
                "host=pg2:5432",
                "event=primary",
                "timeline=2",
                "detail=was replica",
            ],
        );
    }
}
