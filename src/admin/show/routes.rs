//! SHOW ROUTES: what `route_reads = auto` would do with each text (`shadow`), and EXPLAIN ROUTE. Not in pgbouncer.

use super::super::table::{Column, ColumnType, Table, Value};

/// A text, or all that differ from it in constants only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteRow {
    /// The entry of `[databases]`.
    pub database: String,
    /// Without its constants.
    pub text: String,
    /// How often it was seen.
    pub count: u64,
    /// `replica` or `primary`.
    pub target: &'static str,
    /// Why.
    pub reason: String,
    /// What a replica says of it: `ok`, `not yet`, or its code and words; `None`: none is asked.
    pub trial: Option<String>,
}

const COLUMNS: &[Column] = &[
    ("database", ColumnType::Text),
    ("text", ColumnType::Text),
    ("count", ColumnType::Int8),
    ("target", ColumnType::Text),
    ("reason", ColumnType::Text),
    ("trial", ColumnType::Text),
];

/// The table of SHOW ROUTES.
pub fn table(rows: Vec<RouteRow>) -> Table {
    let rows = rows.into_iter().map(|row| {
        vec![
            row.database.into(),
            row.text.into(),
            Value::int8(row.count),
            row.target.into(),
            row.reason.into(),
            row.trial.into(),
        ]
    });
    Table::new(COLUMNS, rows)
}

/// Where one database entry would run a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainRow {
    /// The entry of `[databases]`.
    pub database: String,
    /// `primary`, `replica` or `any`.
    pub target: &'static str,
    /// The hosts that it may go to now; empty: it waits.
    pub hosts: String,
    /// Why.
    pub reason: String,
}

const EXPLAINED: &[Column] = &[
    ("database", ColumnType::Text),
    ("target", ColumnType::Text),
    ("hosts", ColumnType::Text),
    ("reason", ColumnType::Text),
];

/// The table of EXPLAIN ROUTE.
pub fn explained(rows: Vec<ExplainRow>) -> Table {
    let rows = rows.into_iter().map(|row| {
        vec![row.database.into(), row.target.into(), row.hosts.into(), row.reason.into()]
    });
    Table::new(EXPLAINED, rows)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_columns, assert_row};
    use super::*;

    #[test]
    fn a_text_is_a_row() {
        let table = table(vec![RouteRow {
            database: "app".to_owned(),
            text: "select ?".to_owned(),
            count: 7,
            target: "replica",
            reason: "it only reads".to_owned(),
            trial: Some("ok".to_owned()),
        }]);
        assert_columns(&table, "database t, text t, count q, target t, reason t, trial t");
        let row = [
            "database=app",
            "text=select ?",
            "count=7",
            "target=replica",
            "reason=it only reads",
            "trial=ok",
        ];
        assert_row(&table, 0, &row);
    }

    #[test]
    fn an_explanation_is_a_row_for_each_database() {
        let table = explained(vec![ExplainRow {
            database: "app".to_owned(),
            target: "primary",
            hosts: "pg1:5432".to_owned(),
            reason: "it locks rows".to_owned(),
        }]);
        assert_columns(&table, "database t, target t, hosts t, reason t");
        let row = ["database=app", "target=primary", "hosts=pg1:5432", "reason=it locks rows"];
        assert_row(&table, 0, &row);
    }
}
