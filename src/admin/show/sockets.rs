//! SHOW SOCKETS and SHOW ACTIVE_SOCKETS: every connection, those that log in and those on the console included.

use super::super::table::{Column, ColumnType, Table, Value};
use super::connection::COLUMNS;
use crate::report::connections::Connection;

/// Which side a connection is on, and what it does there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketState {
    /// A client that is logged in and does not wait.
    ClientActive,
    /// A client that waits for a server.
    ClientWaiting,
    /// A client that logs in.
    ClientLogin,
    /// A cancel request that is being sent on.
    ClientActiveCancel,
    /// A cancel request that waits.
    ClientWaitingCancel,
    /// A server that a client holds.
    ServerActive,
    /// A free server.
    ServerIdle,
    /// A free server that is to be checked before use.
    ServerUsed,
    /// A server that is being reset or checked.
    ServerTested,
    /// A server that is kept back until the cancel requests to it are done.
    ServerBeingCanceled,
}

impl SocketState {
    /// pgbouncer's name for it.
    fn name(self) -> &'static str {
        match self {
            Self::ClientActive => "cl_active",
            Self::ClientWaiting => "cl_waiting",
            Self::ClientLogin => "cl_login",
            Self::ClientActiveCancel => "cl_active_cancel_req",
            Self::ClientWaitingCancel => "cl_waiting_cancel_req",
            Self::ServerActive => "sv_active",
            Self::ServerIdle => "sv_idle",
            Self::ServerUsed => "sv_used",
            Self::ServerTested => "sv_tested",
            Self::ServerBeingCanceled => "sv_being_canceled",
        }
    }

    /// Whether there may be something in its buffers: what ACTIVE_SOCKETS shows.
    pub fn is_active(self) -> bool {
        !matches!(self, Self::ServerIdle | Self::ServerUsed)
    }

    fn kind(self) -> &'static str {
        if self.name().starts_with("cl") { "C" } else { "S" }
    }
}

/// pgbouncer's columns about its buffers; pgweir lends a buffer only while bytes are in flight, so all are 0.
const OF_BUFFERS: [Column; 7] = [
    ("recv_pos", ColumnType::Int4),
    ("pkt_pos", ColumnType::Int4),
    ("pkt_remain", ColumnType::Int4),
    ("send_pos", ColumnType::Int4),
    ("send_remain", ColumnType::Int4),
    ("pkt_avail", ColumnType::Int4),
    ("send_avail", ColumnType::Int4),
];

const ALL: [Column; COLUMNS.len() + OF_BUFFERS.len()] = {
    let mut all = [("", ColumnType::Int4); COLUMNS.len() + OF_BUFFERS.len()];
    let (front, back) = all.split_at_mut(COLUMNS.len());
    front.copy_from_slice(COLUMNS);
    back.copy_from_slice(&OF_BUFFERS);
    all
};

/// The table.
pub fn table(rows: Vec<(SocketState, Connection)>) -> Table {
    let rows = rows.into_iter().map(|(state, connection)| {
        let mut values = connection.row(state.kind(), state.name());
        values.extend(OF_BUFFERS.map(|_| Value::int4(0)));
        values
    });
    Table::new(&ALL, rows)
}

#[cfg(test)]
mod tests {
    use super::super::connection::testing::example;
    use super::super::testing::{assert_columns, row};
    use super::*;

    #[test]
    fn columns_and_states_are_pgbouncers() {
        let states = [
            (SocketState::ClientLogin, "type=C", "state=cl_login"),
            (SocketState::ServerIdle, "type=S", "state=sv_idle"),
        ];
        let table = table(states.iter().map(|(state, ..)| (*state, example())).collect());
        assert_columns(
            &table,
            "type t, user t, database t, replication t, state t, addr t, port i, local_addr t, \
             local_port i, connect_time t, request_time t, wait i, wait_us i, close_needed i, \
             ptr t, link t, remote_pid i, tls t, application_name t, prepared_statements i, id i, \
             recv_pos i, pkt_pos i, pkt_remain i, send_pos i, send_remain i, pkt_avail i, send_avail i",
        );
        for (index, (_, kind, state)) in states.iter().enumerate() {
            let row = row(&table, index);
            assert_eq!((row[0].as_str(), row[4].as_str()), (*kind, *state));
        }
    }
}
