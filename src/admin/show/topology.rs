//! SHOW TOPOLOGY: what the monitors know of each host of each database. Not in pgbouncer.

use super::super::table::{Column, ColumnType, Table, Value};
use super::connection::timestamp;
use crate::report::topology::{HostRow, lsn};

const COLUMNS: &[Column] = &[
    ("database", ColumnType::Text),
    ("host", ColumnType::Text),
    ("port", ColumnType::Int4),
    ("role", ColumnType::Text),
    ("state", ColumnType::Text),
    ("timeline", ColumnType::Int8),
    ("lsn", ColumnType::Text),
    ("lag_bytes", ColumnType::Int8),
    ("lag_ms", ColumnType::Int8),
    ("reads", ColumnType::Text),
    ("since", ColumnType::Text),
    ("last_change", ColumnType::Text),
    ("last_error", ColumnType::Text),
    ("sv_active", ColumnType::Int4),
    ("sv_idle", ColumnType::Int4),
    ("xact_count", ColumnType::Int8),
];

/// The table.
pub fn table(rows: Vec<HostRow>) -> Table {
    let rows = rows.into_iter().map(|row| {
        vec![
            row.database.into(),
            row.host.into(),
            Value::int4(row.port),
            row.role.into(),
            row.state.into(),
            row.timeline.map(Value::int8).into(),
            row.lsn.map(lsn).into(),
            row.lag_bytes.map(Value::int8).into(),
            row.lag.map(|lag| Value::int8(lag.as_millis())).into(),
            row.no_reads.map_or_else(|| "yes".to_owned(), |why| why.to_string()).into(),
            timestamp(row.since).into(),
            row.last_change.into(),
            row.last_error.into(),
            Value::int4(row.servers_active),
            Value::int4(row.servers_idle),
            Value::int8(row.transactions),
        ]
    });
    Table::new(COLUMNS, rows)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_columns, assert_row};
    use super::*;
    use crate::topology::snapshot::{Failure, Unfit};
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn what_is_known_is_shown_and_what_is_not_is_null() {
        let replica = HostRow {
            database: "app".to_owned(),
            address: "pg2:5432".to_owned(),
            host: "pg2".to_owned(),
            port: 5432,
            role: "replica",
            state: "up",
            timeline: Some(3),
            lsn: Some(0x16_B374_D848),
            lag_bytes: Some(4096),
            lag: Some(Duration::from_millis(1250)),
            since: UNIX_EPOCH + Duration::from_secs(1_795_521_293),
            last_change: Some("replica, was unknown".to_owned()),
            last_error: None,
            no_reads: None,
            servers_active: 2,
            servers_idle: 3,
            transactions: 1234,
        };
        let down = HostRow {
            host: "pg3".to_owned(),
            role: "unknown",
            state: "down",
            timeline: None,
            lsn: None,
            lag_bytes: None,
            lag: None,
            last_change: None,
            last_error: Some("connection refused".to_owned()),
            no_reads: Some(Unfit::Down(Failure::Unreachable)),
            ..replica.clone()
        };
        let table = table(vec![replica, down]);
        assert_columns(
            &table,
            "database t, host t, port i, role t, state t, timeline q, lsn t, lag_bytes q, \
             lag_ms q, reads t, since t, last_change t, last_error t, sv_active i, sv_idle i, xact_count q",
        );
        assert_row(
            &table,
            0,
            &[
                "database=app",
                "host=pg2",
                "port=5432",
                "role=replica",
                "state=up",
                "timeline=3",
                "lsn=16/B374D848",
                "lag_bytes=4096",
                "lag_ms=1250",
                "reads=yes",
                "since=2026-11-24 11:54:53 UTC",
                "last_change=replica, was unknown",
                "last_error=-",
                "sv_active=2",
                "sv_idle=3",
                "xact_count=1234",
            ],
        );
        assert_row(
            &table,
            1,
            &[
                "database=app",
                "host=pg3",
                "port=5432",
                "role=unknown",
                "state=down",
                "timeline=-",
                "lsn=-",
                "lag_bytes=-",
                "lag_ms=-",
                "reads=down: not reached",
                "since=2026-11-24 11:54:53 UTC",
                "last_change=-",
                "last_error=connection refused",
                "sv_active=2",
                "sv_idle=3",
                "xact_count=1234",
            ],
        );
    }
}
