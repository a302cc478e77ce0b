//! SHOW DNS_HOSTS and SHOW DNS_ZONES: names of hosts and what they lead to.

use std::time::Duration;

use super::super::table::{Column, ColumnType, Table, Value};

/// A name that is looked up again and again, because its entry follows roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsRow {
    /// The name.
    pub name: String,
    /// How long an answer counts (`dns_max_ttl`).
    pub ttl: Duration,
    /// Its addresses with their ports.
    pub addresses: Vec<String>,
}

const HOSTS: &[Column] =
    &[("hostname", ColumnType::Text), ("ttl", ColumnType::Int8), ("addrs", ColumnType::Text)];

const ZONES: &[Column] =
    &[("zonename", ColumnType::Text), ("serial", ColumnType::Int8), ("count", ColumnType::Int4)];

/// SHOW DNS_HOSTS.
pub fn hosts(rows: Vec<DnsRow>) -> Table {
    let rows = rows.into_iter().map(|row| {
        vec![row.name.into(), Value::int8(row.ttl.as_secs()), row.addresses.join(",").into()]
    });
    Table::new(HOSTS, rows)
}

/// SHOW DNS_ZONES: none; the system's resolver does not tell of zones.
pub fn zones() -> Table {
    Table::new(ZONES, [])
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_columns, assert_row};
    use super::*;

    #[test]
    fn a_name_is_shown_with_all_its_addresses() {
        let addresses = vec!["10.0.0.1:5432".to_owned(), "10.0.0.2:5432".to_owned()];
        let ttl = Duration::from_secs(15);
        let table = hosts(vec![DnsRow { name: "pg".to_owned(), ttl, addresses }]);
        assert_columns(&table, "hostname t, ttl q, addrs t");
        let row = ["hostname=pg", "ttl=15", "addrs=10.0.0.1:5432,10.0.0.2:5432"];
        assert_row(&table, 0, &row);
        assert_columns(&zones(), "zonename t, serial q, count i");
    }
}
