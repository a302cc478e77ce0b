//! SHOW TOTALS: the figures over all databases, one per row.

use super::super::table::{Column, ColumnType, Table, Value};
use super::stats::Period;

const COLUMNS: &[Column] = &[("name", ColumnType::Text), ("value", ColumnType::Numeric)];

/// The names after `total_` and `avg_`; they differ from those of SHOW STATS.
const NAMES: [&str; 11] = [
    "server_assignment_count",
    "xact_count",
    "query_count",
    "client_bytes",
    "server_bytes",
    "xact_time",
    "query_time",
    "wait_time",
    "ps_client_parse_count",
    "ps_server_parse_count",
    "ps_bind_count",
];

/// The table of a period over the sums of all databases. (Averages cannot be added up.)
pub fn table(period: &Period) -> Table {
    let figures = [("total", period.current), ("avg", period.averages())];
    let rows = figures.into_iter().flat_map(|(prefix, stats)| {
        let pairs = NAMES.into_iter().zip(stats.values());
        pairs.map(move |(name, value)| {
            vec![format!("{prefix}_{name}").into(), Value::Numeric(value)]
        })
    });
    Table::new(COLUMNS, rows)
}

#[cfg(test)]
mod tests {
    use super::super::stats::testing::example;
    use super::super::testing::{assert_columns, assert_row};
    use super::*;

    #[test]
    fn totals_come_first_then_averages_in_the_same_order() {
        let table = table(&example().period);
        assert_columns(&table, "name t, value N");
        let expected = [
            ("total_server_assignment_count", 1001),
            ("total_xact_count", 2002),
            ("total_query_count", 3003),
            ("total_client_bytes", 4004),
            ("total_server_bytes", 5005),
            ("total_xact_time", 60060),
            ("total_query_time", 70070),
            ("total_wait_time", 80080),
            ("total_ps_client_parse_count", 9009),
            ("total_ps_server_parse_count", 10010),
            ("total_ps_bind_count", 11011),
            ("avg_server_assignment_count", 500),
            ("avg_xact_count", 1000),
            ("avg_query_count", 1500),
            ("avg_client_bytes", 2000),
            ("avg_server_bytes", 2500),
            ("avg_xact_time", 30),
            ("avg_query_time", 23),
            ("avg_wait_time", 80),
            ("avg_ps_client_parse_count", 4500),
            ("avg_ps_server_parse_count", 5000),
            ("avg_ps_bind_count", 5500),
        ];
        assert_eq!(table.rows().len(), expected.len());
        for (index, (name, value)) in expected.into_iter().enumerate() {
            assert_row(&table, index, &[&format!("name={name}"), &format!("value={value}")]);
        }
    }
}
