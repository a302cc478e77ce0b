//! SHOW STATS_TOTALS: the totals of SHOW STATS, under names without `total_`.

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
    ("client_parse_count", ColumnType::Numeric),
    ("server_parse_count", ColumnType::Numeric),
    ("bind_count", ColumnType::Numeric),
    ("client_login_count", ColumnType::Numeric),
];

/// The table.
pub fn table(rows: Vec<StatsRow>) -> Table {
    let rows = rows.into_iter().map(|row| {
        let stats = row.period.current;
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
             client_parse_count N, server_parse_count N, bind_count N, client_login_count N",
        );
        assert_row(
            &table,
            0,
            &[
                "database=app",
                "server_assignment_count=1001",
                "xact_count=2002",
                "query_count=3003",
                "bytes_received=4004",
                "bytes_sent=5005",
                "xact_time=60060",
                "query_time=70070",
                "wait_time=80080",
                "client_parse_count=9009",
                "server_parse_count=10010",
                "bind_count=11011",
                "client_login_count=12012",
            ],
        );
    }
}
