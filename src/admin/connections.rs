//! Collects the rows of the SHOWs that are about connections.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::show::servers::{ServerRow, ServerState};
use super::show::sockets::SocketState;
use crate::pool::Pool;
use crate::report::connections::{
    ClientState, Connection, all_clients, all_servers, clients, endpoint, visitor_connection,
};
use crate::server::ServerInfo;
use crate::worker::client::{ClientInfo, Replication};
use crate::worker::shared::Shared;
use crate::worker::visitors::Doing;

/// Clients, those that log in, and servers.
pub(super) fn sockets(shared: &Shared, now: Instant) -> Vec<(SocketState, Connection)> {
    let mut rows: Vec<_> = clients(shared, now)
        .into_iter()
        .map(|row| {
            let state = match row.state {
                ClientState::Active | ClientState::Idle => SocketState::ClientActive,
                ClientState::Waiting => SocketState::ClientWaiting,
                ClientState::ActiveCancel => SocketState::ClientActiveCancel,
                ClientState::WaitingCancel => SocketState::ClientWaitingCancel,
            };
            (state, row.connection)
        })
        .collect();
    let known: HashSet<u64> = rows.iter().map(|(_, connection)| connection.id).collect();
    let port = shared.live().config.settings.listen_port;
    let logging_in = shared.visitors.all().into_iter().filter_map(|visitor| {
        let visit = visitor.visit();
        let here = visit.doing == Doing::LoggingIn && !known.contains(&visitor.id);
        here.then(|| (SocketState::ClientLogin, visitor_connection(&visitor, visit, port)))
    });
    rows.extend(logging_in);
    rows.extend(servers(shared, now).into_iter().map(|row| {
        let state = match row.state {
            ServerState::Active => SocketState::ServerActive,
            ServerState::Idle | ServerState::New => SocketState::ServerIdle,
            ServerState::Used => SocketState::ServerUsed,
            ServerState::Tested => SocketState::ServerTested,
            ServerState::ActiveCancel | ServerState::BeingCanceled => {
                SocketState::ServerBeingCanceled
            }
        };
        (state, row.connection)
    }));
    rows
}

/// Those of them that may have something in flight.
pub(super) fn active_sockets(shared: &Shared, now: Instant) -> Vec<(SocketState, Connection)> {
    let mut rows = sockets(shared, now);
    rows.retain(|(state, _)| state.is_active());
    rows
}

pub(super) fn servers(shared: &Shared, now: Instant) -> Vec<ServerRow> {
    let clients: HashMap<u64, Arc<ClientInfo>> =
        all_clients(shared).into_iter().map(|client| (client.holder.id, client)).collect();
    let pools = shared.services.pools();
    let unchecked: HashSet<u64> = pools.iter().flat_map(|pool| pool.unchecked(now)).collect();
    let row = |(pool, server): (Arc<Pool>, Arc<ServerInfo>)| {
        let client = clients.get(&server.client());
        let state = match (client, server.cancels()) {
            _ if server.is_tested() => ServerState::Tested,
            (Some(_), _) => ServerState::Active,
            (None, 0) if unchecked.contains(&server.id) => ServerState::Used,
            (None, 0) => ServerState::Idle,
            (None, _) => ServerState::BeingCanceled,
        };
        let request_time = client
            .map_or(server.opened_wall, |client| client.accepted_wall + client.last_request());
        let wait = client.map_or(Duration::ZERO, |client| {
            now.saturating_duration_since(client.accepted + client.last_request())
        });
        let connection = Connection {
            id: server.id,
            link: client.map(|client| client.holder.id),
            user: Some(pool.name().user.clone()),
            database: Some(pool.name().database.clone()),
            replication: client.map_or(Replication::None, |client| client.replication),
            remote: endpoint(server.remote, server.host.port()),
            local: endpoint(server.local, server.host.port()),
            connect_time: server.opened_wall,
            request_time,
            wait,
            close_needed: server.close_needed(),
            remote_pid: server.pid,
            tls: server.tls.clone(),
            application_name: client.map_or_else(String::new, |client| client.application_name()),
            prepared_statements: server.prepared(),
        };
        ServerRow { state, connection }
    };
    all_servers(shared).into_iter().map(row).collect()
}
