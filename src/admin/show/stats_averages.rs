//! SHOW STATS_AVERAGES: the averages of SHOW STATS, most of them under names without `avg_`.

use super::super::table::{Column, ColumnType, Table};
use super::stats::{StatsRow, named};

const COLUMNS: &[Column] = &[
    ("database", ColumnType::Text),
    ("server_assignment_count", ColumnType::Numeric),
    ("xact_count", ColumnType::Numeric),
    ("query_count", ColumnType::Numeric),
    ("bytes_received", ColumnType::Numeric),
    ("bytes_sent", ColumnType::Numeric),
    ("xact_time", ColumnType::Numeric),
    ("query_time", ColumnType::Numeric),
    ("wait_time", ColumnType::Numeric),
    // Only these have the prefix in pgbouncer.
    ("avg_client_parse_count", ColumnType::Numeric),
    ("avg_server_parse_count", ColumnType::Numeric),
    ("avg_bind_count", ColumnType::Numeric),
    ("avg_client_login_count", ColumnType::Numeric),
];

/// The table.
pub fn table(rows: Vec<StatsRow>) -> Table {
    let rows = rows.into_iter().map(|row| {
        let stats = row.period.averages();
        named(row.database, stats.values().into_iter().chain([stats.client_logins]))
    });
    Table::new(COLUMNS, rows)
}

#[cfg(test)]
mod tests {
    use super::super::stats::testing::example;
    use super::super::testing::{assert_columns, assert_row};
    use super::*;

    #[test]
    fn columns_and_values_are_pgbouncers() {
        let table = table(vec![example()]);
        assert_columns(
            &table,
            "database t, server_assignment_count N, xact_count N, query_count N, \
             bytes_received N, bytes_sent N, xact_time N, query_time N, wait_time N, \
             avg_client_parse_count N, avg_server_parse_count N, avg_bind_count N, \
             avg_client_login_count N",
        );
        assert_row(
            &table,
            0,
            &[
                "database=app",
                "server_assignment_count=500",
                "xact_count=1000",
                "query_count=1500",
                "bytes_received=2000",
                "bytes_sent=2500",
                "xact_time=30",
                "query_time=23",
                "wait_time=80",
                "avg_client_parse_count=4500",
                "avg_server_parse_count=5000",
                "avg_bind_count=5500",
                "avg_client_login_count=6000",
            ],
        );
    }
}
