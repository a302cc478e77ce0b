//! SHOW USERS: one row per user that is configured or known.

use super::super::table::{Column, ColumnType, Table, Value};

/// A user. In limits 0 stands for none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserRow {
    /// The name.
    pub name: String,
    /// `pool_size` if `[users]` gives one.
    pub pool_size: Option<u32>,
    /// `reserve_pool_size` if `[users]` gives one.
    pub reserve_pool_size: Option<u32>,
    /// `pool_mode` if `[users]` gives one.
    pub pool_mode: Option<&'static str>,
    /// `max_user_connections`.
    pub max_user_connections: u32,
    /// Server connections now.
    pub current_connections: u32,
    /// `max_user_client_connections`.
    pub max_user_client_connections: u32,
    /// Clients now.
    pub current_client_connections: u32,
}

const COLUMNS: &[Column] = &[
    ("name", ColumnType::Text),
    ("pool_size", ColumnType::Text),
    ("reserve_pool_size", ColumnType::Text),
    ("pool_mode", ColumnType::Text),
    ("max_user_connections", ColumnType::Int4),
    ("current_connections", ColumnType::Int4),
    ("max_user_client_connections", ColumnType::Int4),
    ("current_client_connections", ColumnType::Int4),
];

/// The table.
pub fn table(rows: Vec<UserRow>) -> Table {
    let rows = rows.into_iter().map(|row| {
        vec![
            row.name.into(),
            size(row.pool_size),
            size(row.reserve_pool_size),
            row.pool_mode.into(),
            Value::int4(row.max_user_connections),
            Value::int4(row.current_connections),
            Value::int4(row.max_user_client_connections),
            Value::int4(row.current_client_connections),
        ]
    });
    Table::new(COLUMNS, rows)
}

/// pgbouncer shows sizes as padded text, and nothing (not NULL) without one.
fn size(size: Option<u32>) -> Value {
    size.map_or_else(String::new, |size| format!("{size:9}")).into()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_columns, assert_row};
    use super::*;

    #[test]
    fn columns_and_values_are_pgbouncers() {
        let sized = UserRow {
            name: "alice".to_owned(),
            pool_size: Some(12),
            reserve_pool_size: Some(3),
            pool_mode: Some("session"),
            max_user_connections: 4,
            current_connections: 5,
            max_user_client_connections: 6,
            current_client_connections: 7,
        };
        // Without sizes of its own, and not with those of the user above (a bug of 1.25.2).
        let plain = UserRow { name: "bob".to_owned(), ..UserRow::default() };
        let table = table(vec![sized, plain]);
        assert_columns(
            &table,
            "name t, pool_size t, reserve_pool_size t, pool_mode t, max_user_connections i, \
             current_connections i, max_user_client_connections i, current_client_connections i",
        );
        assert_row(
            &table,
            0,
            &[
                "name=alice",
                "pool_size=       12",
                "reserve_pool_size=        3",
                "pool_mode=session",
                "max_user_connections=4",
                "current_connections=5",
                "max_user_client_connections=6",
                "current_client_connections=7",
            ],
        );
        let plain = super::super::testing::row(&table, 1);
        assert_eq!(plain[..4], ["name=bob", "pool_size=", "reserve_pool_size=", "pool_mode=-"]);
    }
}
