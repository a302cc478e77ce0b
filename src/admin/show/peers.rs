//! SHOW PEERS and SHOW PEER_POOLS: other poolers that cancel requests are passed on to.

use super::super::table::{Column, ColumnType, Table, Value};

/// A peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerRow {
    /// Its `peer_id`.
    pub id: u16,
    /// Where it is, without the port.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How many requests may be on their way to it at once; 0: no limit.
    pub pool_size: u32,
    /// Requests that are being sent.
    pub active: u32,
    /// Requests that wait.
    pub waiting: u32,
}

const PEERS: &[Column] = &[
    ("peer_id", ColumnType::Int4),
    ("host", ColumnType::Text),
    ("port", ColumnType::Int4),
    ("pool_size", ColumnType::Int4),
];

const POOLS: &[Column] = &[
    ("peer_id", ColumnType::Int4),
    ("cl_active_cancel_req", ColumnType::Int4),
    ("cl_waiting_cancel_req", ColumnType::Int4),
    ("sv_active_cancel", ColumnType::Int4),
    ("sv_login", ColumnType::Int4),
];

/// SHOW PEERS.
pub fn table(rows: Vec<PeerRow>) -> Table {
    let rows = rows.into_iter().map(|row| {
        vec![
            Value::int4(row.id),
            row.host.into(),
            Value::int4(row.port),
            Value::int4(row.pool_size),
        ]
    });
    Table::new(PEERS, rows)
}

/// SHOW PEER_POOLS.
pub fn pools(rows: Vec<PeerRow>) -> Table {
    let rows = rows.into_iter().map(|row| {
        let (active, waiting) = (Value::int4(row.active), Value::int4(row.waiting));
        vec![Value::int4(row.id), active.clone(), waiting, active, Value::int4(0)]
    });
    Table::new(POOLS, rows)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_columns, assert_row};
    use super::*;

    #[test]
    fn columns_are_pgbouncers() {
        let peer = PeerRow {
            id: 3,
            host: "pool3".to_owned(),
            port: 6432,
            pool_size: 20,
            active: 2,
            waiting: 1,
        };
        let table = table(vec![peer.clone()]);
        assert_columns(&table, "peer_id i, host t, port i, pool_size i");
        assert_row(&table, 0, &["peer_id=3", "host=pool3", "port=6432", "pool_size=20"]);
        let pools = pools(vec![peer]);
        let columns = "peer_id i, cl_active_cancel_req i, cl_waiting_cancel_req i, sv_active_cancel i, sv_login i";
        assert_columns(&pools, columns);
        let row = [
            "peer_id=3",
            "cl_active_cancel_req=2",
            "cl_waiting_cancel_req=1",
            "sv_active_cancel=2",
            "sv_login=0",
        ];
        assert_row(&pools, 0, &row);
    }
}
