//! SHOW CLIENTS: one row per client connection.

use super::super::table::{Column, ColumnType, Table};
use super::connection::COLUMNS;
use crate::report::connections::ClientRow;
use crate::report::topology::lsn;

/// pgbouncer's columns, and one of ours behind them.
const ALL: [Column; COLUMNS.len() + 1] = {
    let mut all = [("waits_for", ColumnType::Text); COLUMNS.len() + 1];
    let (front, _) = all.split_at_mut(COLUMNS.len());
    front.copy_from_slice(COLUMNS);
    all
};

/// The table.
pub fn table(rows: Vec<ClientRow>) -> Table {
    let rows = rows.into_iter().map(|row| {
        let mut values = row.connection.row("C", row.state.name());
        values.push(row.waits_for.map(lsn).into());
        values
    });
    Table::new(&ALL, rows)
}

#[cfg(test)]
mod tests {
    use super::super::connection::testing::example;
    use super::super::testing::{assert_columns, assert_row, row};
    use super::*;
    use crate::report::connections::{ClientState, Connection, Endpoint};
    use crate::worker::client::Replication;

    #[test]
    fn columns_and_values_are_pgbouncers() {
        let state = ClientState::Active;
        let waits_for = Some(0x16_B374_D848);
        let table = table(vec![ClientRow { state, waits_for, connection: example() }]);
        assert_columns(
            &table,
            "type t, user t, database t, replication t, state t, addr t, port i, local_addr t, \
             local_port i, connect_time t, request_time t, wait i, wait_us i, close_needed i, \
             ptr t, link t, remote_pid i, tls t, application_name t, prepared_statements i, id i, \
             waits_for t",
        );
        assert_row(
            &table,
            0,
            &[
                "type=C",
                "user=alice",
                "database=app",
                "replication=none",
                "state=active",
                "addr=10.0.0.7",
                "port=50000",
                "local_addr=unix",
                "local_port=6432",
                "connect_time=2026-11-24 11:54:53 UTC",
                "request_time=2026-11-24 11:54:54 UTC",
                "wait=2",
                "wait_us=345",
                "close_needed=1",
                "ptr=0x11",
                "link=0xff",
                "remote_pid=4711",
                "tls=TLSv1.3/TLS_AES_256_GCM_SHA384",
                "application_name=psql",
                "prepared_statements=3",
                "id=17",
                "waits_for=16/B374D848",
            ],
        );
    }

    #[test]
    fn what_is_not_known_yet_is_named_as_pgbouncer_does() {
        let connection = Connection {
            user: None,
            database: None,
            link: None,
            replication: Replication::Physical,
            remote: Endpoint::Unknown,
            ..example()
        };
        let state = ClientState::Idle;
        let table = table(vec![ClientRow { state, waits_for: None, connection }]);
        let row = row(&table, 0);
        for field in ["user=(nouser)", "database=(nodb)", "link=", "replication=physical", "addr="]
        {
            assert!(row.iter().any(|found| found == field), "{field} in {row:?}");
        }
    }

    #[test]
    fn every_state_has_pgbouncers_name() {
        let states = [
            (ClientState::Active, "state=active"),
            (ClientState::Idle, "state=idle"),
            (ClientState::Waiting, "state=waiting"),
            (ClientState::ActiveCancel, "state=active_cancel_req"),
            (ClientState::WaitingCancel, "state=waiting_cancel_req"),
        ];
        for (state, name) in states {
            let client = ClientRow { state, waits_for: None, connection: example() };
            assert_eq!(row(&table(vec![client]), 0)[4], name);
        }
    }
}
