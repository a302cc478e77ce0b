//! SHOW SERVERS: one row per server connection.

use super::super::table::Table;
use super::connection::COLUMNS;
use crate::report::connections::Connection;

/// What a server connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerState {
    /// Held by a client.
    Active,
    /// Free.
    Idle,
    /// Free, but to be checked before its next use (server_check_delay).
    Used,
    /// Being reset or checked.
    Tested,
    /// Being opened.
    New,
    /// Sends a cancel request.
    ActiveCancel,
    /// Kept back until the cancel requests to it are done.
    BeingCanceled,
}

/// A server connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerRow {
    /// What it does.
    pub state: ServerState,
    /// All else.
    pub connection: Connection,
}

/// The table.
pub fn table(rows: Vec<ServerRow>) -> Table {
    let rows = rows.into_iter().map(|row| {
        let state = match row.state {
            ServerState::Active => "active",
            ServerState::Idle => "idle",
            ServerState::Used => "used",
            ServerState::Tested => "tested",
            ServerState::New => "new",
            ServerState::ActiveCancel => "active_cancel",
            ServerState::BeingCanceled => "being_canceled",
        };
        row.connection.row("S", state)
    });
    Table::new(COLUMNS, rows)
}

#[cfg(test)]
mod tests {
    use super::super::connection::testing::example;
    use super::super::testing::row;
    use super::*;

    #[test]
    fn every_state_has_pgbouncers_name() {
        let states = [
            (ServerState::Active, "state=active"),
            (ServerState::Idle, "state=idle"),
            (ServerState::Used, "state=used"),
            (ServerState::Tested, "state=tested"),
            (ServerState::New, "state=new"),
            (ServerState::ActiveCancel, "state=active_cancel"),
            (ServerState::BeingCanceled, "state=being_canceled"),
        ];
        for (state, name) in states {
            let table = table(vec![ServerRow { state, connection: example() }]);
            let row = row(&table, 0);
            assert_eq!((&*row[0], &*row[4]), ("type=S", name));
        }
    }

    #[test]
    fn the_columns_are_those_of_show_clients_but_for_the_last() {
        let clients = super::super::clients::table(vec![]);
        let (_, pgbouncers) = clients.columns().split_last().unwrap();
        assert_eq!(table(vec![]).columns(), pgbouncers);
    }
}
