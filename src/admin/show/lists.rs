//! SHOW LISTS: how many there are of everything.

use super::super::table::{Column, ColumnType, Table, Value};

/// The counts, each a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListRow {
    /// Databases, the console's included.
    pub databases: usize,
    /// Users.
    pub users: usize,
    /// Other poolers that cancel requests are forwarded to.
    pub peers: usize,
    /// Pools.
    pub pools: usize,
    /// Pools of connections to peers.
    pub peer_pools: usize,
    /// Client objects kept for use; pgweir keeps none.
    pub free_clients: usize,
    /// Clients.
    pub used_clients: usize,
    /// Clients that log in.
    pub login_clients: usize,
    /// Server objects kept for use; pgweir keeps none.
    pub free_servers: usize,
    /// Server connections.
    pub used_servers: usize,
    /// Names in the DNS cache.
    pub dns_names: usize,
    /// Zones in the DNS cache.
    pub dns_zones: usize,
    /// DNS queries under way.
    pub dns_queries: usize,
    /// DNS queries that wait.
    pub dns_pending: usize,
}

const COLUMNS: &[Column] = &[("list", ColumnType::Text), ("items", ColumnType::Int4)];

/// The table.
pub fn table(counts: &ListRow) -> Table {
    let rows = [
        ("databases", counts.databases),
        ("users", counts.users),
        ("peers", counts.peers),
        ("pools", counts.pools),
        ("peer_pools", counts.peer_pools),
        ("free_clients", counts.free_clients),
        ("used_clients", counts.used_clients),
        ("login_clients", counts.login_clients),
        ("free_servers", counts.free_servers),
        ("used_servers", counts.used_servers),
        ("dns_names", counts.dns_names),
        ("dns_zones", counts.dns_zones),
        ("dns_queries", counts.dns_queries),
        ("dns_pending", counts.dns_pending),
    ];
    Table::new(COLUMNS, rows.map(|(list, items)| vec![list.into(), Value::int4(items)]))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_columns, row};
    use super::*;

    #[test]
    fn the_lists_are_pgbouncers_in_its_order() {
        let table = table(&ListRow {
            databases: 1,
            users: 2,
            peers: 3,
            pools: 4,
            peer_pools: 5,
            free_clients: 6,
            used_clients: 7,
            login_clients: 8,
            free_servers: 9,
            used_servers: 10,
            dns_names: 11,
            dns_zones: 12,
            dns_queries: 13,
            dns_pending: 14,
        });
        assert_columns(&table, "list t, items i");
        let names = "databases users peers pools peer_pools free_clients used_clients \
                     login_clients free_servers used_servers dns_names dns_zones dns_queries \
                     dns_pending";
        assert_eq!(table.rows().len(), 14);
        for (index, name) in names.split_whitespace().enumerate() {
            let items = format!("items={}", index + 1);
            assert_eq!(row(&table, index), [format!("list={name}"), items]);
        }
    }
}
