//! Collects the rows of the SHOWs that are about connections.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::show::clients::{ClientRow, ClientState};
use super::show::connection::{Connection, Endpoint};
use super::show::servers::{ServerRow, ServerState};
use super::show::sockets::SocketState;
use crate::pool::Pool;
use crate::server::ServerInfo;
use crate::worker::client::{ClientInfo, Replication};
use crate::worker::shared::Shared;
use crate::worker::visitors::{Doing, Visit, Visitor};

/// All servers with the pools they belong to, in order of opening.
pub(super) fn all_servers(shared: &Shared) -> Vec<(Arc<Pool>, Arc<ServerInfo>)> {
    let pools = shared.services.pools();
    let mut servers: Vec<_> = pools
        .iter()
        .flat_map(|pool| pool.servers().into_iter().map(|server| (pool.clone(), server)))
        .collect();
    servers.sort_by_key(|(_, server)| server.id);
    servers
}

pub(super) fn all_clients(shared: &Shared) -> Vec<Arc<ClientInfo>> {
    let mut clients: Vec<_> = shared.clients.iter().map(|client| Arc::clone(&client)).collect();
    clients.sort_by_key(|client| client.holder.id);
    clients
}

fn endpoint(address: Option<SocketAddr>, unix_port: u16) -> Endpoint {
    match address {
        Some(address) => Endpoint::Tcp { addr: address.ip().to_string(), port: address.port() },
        None => Endpoint::Unix { port: unix_port },
    }
}

pub(super) fn clients(shared: &Shared, now: Instant) -> Vec<ClientRow> {
    let held: HashMap<u64, u64> =
        all_servers(shared).iter().map(|(_, server)| (server.client(), server.id)).collect();
    let port = shared.live().config.settings.listen_port;
    let row = |client: Arc<ClientInfo>| {
        let link = held.get(&client.holder.id).copied();
        let state = match (client.is_waiting(), link) {
            (true, _) => ClientState::Waiting,
            (false, Some(_)) => ClientState::Active,
            (false, None) => ClientState::Idle,
        };
        let requested = client.last_request();
        let wait = match state {
            ClientState::Idle => Duration::ZERO,
            _ => now.saturating_duration_since(client.accepted + requested),
        };
        let connection = Connection {
            id: client.holder.id,
            link,
            user: Some(client.user.to_string()),
            database: Some(client.service.database.clone()),
            replication: client.replication,
            remote: endpoint(client.remote, port),
            local: endpoint(client.local, port),
            connect_time: client.accepted_wall,
            request_time: client.accepted_wall + requested,
            wait,
            close_needed: false,
            remote_pid: client.peer_pid.unwrap_or(0),
            tls: client.tls.clone(),
            application_name: client.application_name(),
            prepared_statements: client.prepared.load(Ordering::Relaxed),
        };
        let needs = client.needs.load(Ordering::Relaxed);
        ClientRow { state, waits_for: (needs > 0).then_some(needs), connection }
    };
    let mut rows: Vec<ClientRow> = all_clients(shared).into_iter().map(row).collect();
    let known: HashSet<u64> = rows.iter().map(|row| row.connection.id).collect();
    for visitor in shared.visitors.all() {
        let visit = visitor.visit();
        let state = match visit.doing {
            Doing::LoggingIn => continue,
            Doing::OnConsole => ClientState::Idle,
            Doing::CancelWaits => ClientState::WaitingCancel,
            Doing::CancelGoes => ClientState::ActiveCancel,
        };
        // In this very moment it may have become a client.
        if !known.contains(&visitor.id) {
            let connection = visitor_connection(&visitor, visit, port);
            rows.push(ClientRow { state, waits_for: None, connection });
        }
    }
    rows.sort_by_key(|row| row.connection.id);
    rows
}

fn visitor_connection(visitor: &Visitor, visit: Visit, port: u16) -> Connection {
    let known = |text: String| (!text.is_empty()).then_some(text);
    Connection {
        id: visitor.id,
        link: None,
        user: known(visit.user),
        database: known(visit.database),
        replication: Replication::None,
        remote: endpoint(visitor.remote, port),
        local: endpoint(visitor.local, port),
        connect_time: visitor.accepted_wall,
        request_time: visitor.accepted_wall
            + visit.requested.saturating_duration_since(visitor.accepted),
        wait: Duration::ZERO,
        close_needed: false,
        remote_pid: visitor.peer_pid.unwrap_or(0),
        tls: visit.tls,
        application_name: visit.application_name,
        prepared_statements: 0,
    }
}

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
