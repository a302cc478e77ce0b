//! SHOW DATABASES: one row per database that is configured or in use, the console included.

use std::time::Duration;

use super::super::table::{Column, ColumnType, Table, Value};

/// A database entry with its effective settings. In limits and sizes 0 stands for none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatabaseRow {
    /// The name clients use.
    pub name: String,
    /// Hosts as configured; `None` for the console and the default unix socket.
    pub host: Option<String>,
    /// The port (of the first host).
    pub port: u16,
    /// The name on the servers.
    pub database: String,
    /// The user all clients share.
    pub force_user: Option<String>,
    /// `pool_size` or `default_pool_size`.
    pub pool_size: u32,
    /// `min_pool_size`.
    pub min_pool_size: u32,
    /// `reserve_pool_size`.
    pub reserve_pool_size: u32,
    /// `server_lifetime`.
    pub server_lifetime: Duration,
    /// `pool_mode` if the entry has one of its own.
    pub pool_mode: Option<&'static str>,
    /// `load_balance_hosts`; `None` unless the entry names several hosts.
    pub load_balance_hosts: Option<&'static str>,
    /// `max_db_connections`.
    pub max_connections: u32,
    /// Server connections now.
    pub current_connections: u32,
    /// `max_db_client_connections`.
    pub max_client_connections: u32,
    /// Clients now.
    pub current_client_connections: u32,
    /// By PAUSE or KILL.
    pub paused: bool,
    /// By DISABLE.
    pub disabled: bool,
}

const COLUMNS: &[Column] = &[
    ("name", ColumnType::Text),
    ("host", ColumnType::Text),
    ("port", ColumnType::Int4),
    ("database", ColumnType::Text),
    ("force_user", ColumnType::Text),
    ("pool_size", ColumnType::Int4),
    ("min_pool_size", ColumnType::Int4),
    ("reserve_pool_size", ColumnType::Int4),
    ("server_lifetime", ColumnType::Int4),
    ("pool_mode", ColumnType::Text),
    ("load_balance_hosts", ColumnType::Text),
    ("max_connections", ColumnType::Int4),
    ("current_connections", ColumnType::Int4),
    ("max_client_connections", ColumnType::Int4),
    ("current_client_connections", ColumnType::Int4),
    ("paused", ColumnType::Int4),
    ("disabled", ColumnType::Int4),
];

impl DatabaseRow {
    /// The console's own row, as pgbouncer shows it.
    pub fn console(port: u16) -> Self {
        Self {
            name: "pgbouncer".to_owned(),
            port,
            database: "pgbouncer".to_owned(),
            force_user: Some("pgbouncer".to_owned()),
            pool_size: 2,
            pool_mode: Some("statement"),
            ..Self::default()
        }
    }
}

/// The table.
pub fn table(rows: Vec<DatabaseRow>) -> Table {
    let rows = rows.into_iter().map(|row| {
        vec![
            row.name.into(),
            row.host.into(),
            Value::int4(row.port),
            row.database.into(),
            row.force_user.into(),
            Value::int4(row.pool_size),
            Value::int4(row.min_pool_size),
            Value::int4(row.reserve_pool_size),
            Value::int4(row.server_lifetime.as_secs()),
            row.pool_mode.into(),
            row.load_balance_hosts.into(),
            Value::int4(row.max_connections),
            Value::int4(row.current_connections),
            Value::int4(row.max_client_connections),
            Value::int4(row.current_client_connections),
            Value::int4(i32::from(row.paused)),
            Value::int4(i32::from(row.disabled)),
        ]
    });
    Table::new(COLUMNS, rows)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_columns, assert_row, row};
    use super::*;

    #[test]
    fn columns_and_values_are_pgbouncers() {
        let table = table(vec![DatabaseRow {
            name: "app".to_owned(),
            host: Some("pg1,pg2".to_owned()),
            port: 5432,
            database: "app_production".to_owned(),
            force_user: None,
            pool_size: 1,
            min_pool_size: 2,
            reserve_pool_size: 3,
            server_lifetime: Duration::from_secs(3600),
            pool_mode: None,
            load_balance_hosts: Some("round-robin"),
            max_connections: 4,
            current_connections: 5,
            max_client_connections: 6,
            current_client_connections: 7,
            paused: true,
            disabled: false,
        }]);
        assert_columns(
            &table,
            "name t, host t, port i, database t, force_user t, pool_size i, min_pool_size i, \
             reserve_pool_size i, server_lifetime i, pool_mode t, load_balance_hosts t, \
             max_connections i, current_connections i, max_client_connections i, \
             current_client_connections i, paused i, disabled i",
        );
        assert_row(
            &table,
            0,
            &[
                "name=app",
                "host=pg1,pg2",
                "port=5432",
                "database=app_production",
                "force_user=-",
                "pool_size=1",
                "min_pool_size=2",
                "reserve_pool_size=3",
                "server_lifetime=3600",
                "pool_mode=-",
                "load_balance_hosts=round-robin",
                "max_connections=4",
                "current_connections=5",
                "max_client_connections=6",
                "current_client_connections=7",
                "paused=1",
                "disabled=0",
            ],
        );
    }

    #[test]
    fn the_console_is_a_database_with_two_places_in_statement_mode() {
        let table = table(vec![DatabaseRow::console(6432)]);
        let row = row(&table, 0);
        for field in ["name=pgbouncer", "host=-", "port=6432", "pool_size=2", "pool_mode=statement"]
        {
            assert!(row.iter().any(|found| found == field), "{field} in {row:?}");
        }
    }
}
