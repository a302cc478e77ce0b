//! Connections of clients and of servers: what SHOW CLIENTS, SHOW SERVERS and SHOW SOCKETS are made of.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use crate::pool::Pool;
use crate::server::ServerInfo;
use crate::worker::client::{ClientInfo, Replication};
use crate::worker::shared::Shared;
use crate::worker::visitors::{Doing, Visit, Visitor};

/// One end of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Endpoint {
    /// TCP.
    Tcp {
        /// The address as a number.
        addr: String,
        /// The port.
        port: u16,
    },
    /// A unix socket.
    Unix {
        /// The port in its file name.
        port: u16,
    },
    /// Not known (any more).
    #[default]
    Unknown,
}

/// A client's or a server's connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// From one count for clients and servers, never used again; KILL_CLIENT takes it.
    pub id: u64,
    /// The other side's id, while a client holds a server.
    pub link: Option<u64>,
    /// `None` before it is known.
    pub user: Option<String>,
    /// The entry of `[databases]`; `None` before it is known.
    pub database: Option<String>,
    /// Whether it replicates.
    pub replication: Replication,
    /// The far end.
    pub remote: Endpoint,
    /// Our end.
    pub local: Endpoint,
    /// When it was accepted or opened.
    pub connect_time: SystemTime,
    /// When the last request came.
    pub request_time: SystemTime,
    /// For how long the request under way has been waiting or running; zero without one.
    pub wait: Duration,
    /// Closed at its next release.
    pub close_needed: bool,
    /// The process at the far end of a unix socket, or the backend; 0 when not known.
    pub remote_pid: u32,
    /// Like `TLSv1.3/TLS_AES_256_GCM_SHA384`; empty without TLS.
    pub tls: String,
    /// Empty when there is none.
    pub application_name: String,
    /// Statements prepared by this client, or on this server.
    pub prepared_statements: u32,
}

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientState {
    /// Holds a server.
    Active,
    /// Logged in and wants nothing.
    Idle,
    /// Waits for a server.
    Waiting,
    /// A cancel request that is being sent.
    ActiveCancel,
    /// A cancel request that waits to be sent.
    WaitingCancel,
}

impl ClientState {
    /// pgbouncer's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Idle => "idle",
            Self::Waiting => "waiting",
            Self::ActiveCancel => "active_cancel_req",
            Self::WaitingCancel => "waiting_cancel_req",
        }
    }
}

/// A client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRow {
    /// What it does.
    pub state: ClientState,
    /// The position that a replica must have for its reads (`causal_reads`).
    pub waits_for: Option<u64>,
    /// All else.
    pub connection: Connection,
}

/// All servers with the pools they belong to, in order of opening.
pub fn all_servers(shared: &Shared) -> Vec<(Arc<Pool>, Arc<ServerInfo>)> {
    let pools = shared.services.pools();
    let mut servers: Vec<_> = pools
        .iter()
        .flat_map(|pool| pool.servers().into_iter().map(|server| (pool.clone(), server)))
        .collect();
    servers.sort_by_key(|(_, server)| server.id);
    servers
}

/// All that are logged in to a database, in order of arrival.
pub fn all_clients(shared: &Shared) -> Vec<Arc<ClientInfo>> {
    let mut clients: Vec<_> = shared.clients.iter().map(|client| Arc::clone(&client)).collect();
    clients.sort_by_key(|client| client.holder.id);
    clients
}

/// One end; Unix-domain sockets are known by the port in their name.
pub fn endpoint(address: Option<SocketAddr>, unix_port: u16) -> Endpoint {
    match address {
        Some(address) => Endpoint::Tcp { addr: address.ip().to_string(), port: address.port() },
        None => Endpoint::Unix { port: unix_port },
    }
}

/// All clients, those on the console, and cancel requests, in order of arrival.
pub fn clients(shared: &Shared, now: Instant) -> Vec<ClientRow> {
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

/// Of somebody who is not registered as a client.
pub fn visitor_connection(visitor: &Visitor, visit: Visit, port: u16) -> Connection {
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
