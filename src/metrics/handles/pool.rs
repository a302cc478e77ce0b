//! What one pool counts.

use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram};

use super::super::names;
use super::super::timing::Timing;
use super::process::Tls;
use super::{Lease, Resolver, TlsSide, TlsVersion, Total};

/// What one pool (database entry, user, host) counts.
#[derive(Debug)]
pub struct PoolMetrics {
    /// Bytes from clients.
    pub received_bytes: Total,
    /// Bytes to clients.
    pub sent_bytes: Total,
    servers_opened: Counter,
    /// Server connections closed.
    pub servers_closed: Counter,
    servers_failed: Counter,
    /// Failures that are the host's.
    pub failures: Counter,
    /// Times a server was given to a client.
    pub assignments: Total,
    waits_failed: Counter,
    /// Named statements prepared by clients.
    pub client_parses: Total,
    /// Statements prepared on servers by us.
    pub server_parses: Total,
    /// Binds of named statements.
    pub binds: Total,
    /// Statements closed on a server to make room.
    pub evictions: Counter,
    /// Time in the queue.
    pub wait_time: Arc<Timing>,
    /// Time in transactions, those that ended.
    pub transaction_time: Arc<Timing>,
    /// Time in queries, those that were answered.
    pub query_time: Arc<Timing>,
    /// Time from a query to the first byte of its answer.
    pub first_byte_time: Arc<Timing>,
    connect_time: Histogram,
    login_time: Histogram,
    tls: Tls,
    clients_active: Gauge,
    clients_waiting: Gauge,
    servers_active: Gauge,
    servers_idle: Gauge,
    servers_login: Gauge,
    size: Gauge,
    max_wait: Gauge,
    _lease: Lease,
}

/// How full a pool is at one moment: set just before a scrape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolLevels {
    /// Clients that hold a server.
    pub clients_active: u32,
    /// Clients in the queue.
    pub clients_waiting: u32,
    /// Servers that are held by a client.
    pub servers_active: u32,
    /// Servers that are free.
    pub servers_idle: u32,
    /// Servers that are being opened.
    pub servers_login: u32,
    /// `pool_size`; `None` is unlimited.
    pub size: Option<u32>,
    /// How long the first in the queue has waited.
    pub max_wait: Duration,
}

impl PoolMetrics {
    pub(in super::super) fn resolve(
        mut with: Resolver<'_>,
        database: &str,
        user: &str,
        host: &str,
    ) -> Self {
        let pool = [database, user, host];
        let state = |state| [database, user, host, state];
        let transaction_time = with.timing(&names::POOL_TRANSACTION_SECONDS, &pool);
        let query_time = with.timing(&names::POOL_QUERY_SECONDS, &pool);
        with.count_of(&names::POOL_TRANSACTIONS, &pool, &transaction_time);
        with.count_of(&names::POOL_QUERIES, &pool, &query_time);
        let wait_time = with.timing(&names::POOL_WAIT_SECONDS, &pool);
        with.count_of(&names::POOL_WAITS, &pool, &wait_time);
        Self {
            received_bytes: with.total(&names::POOL_RECEIVED_BYTES, &pool),
            sent_bytes: with.total(&names::POOL_SENT_BYTES, &pool),
            servers_opened: with.counter(&names::POOL_SERVERS_OPENED, &pool),
            servers_closed: with.counter(&names::POOL_SERVERS_CLOSED, &pool),
            servers_failed: with.counter(&names::POOL_SERVERS_FAILED, &pool),
            failures: with.counter(&names::POOL_FAILURES, &pool),
            assignments: with.total(&names::POOL_ASSIGNMENTS, &pool),
            waits_failed: with.counter(&names::POOL_WAITS_FAILED, &pool),
            client_parses: with.total(&names::PREPARED_CLIENT_PARSES, &pool),
            server_parses: with.total(&names::PREPARED_SERVER_PARSES, &pool),
            binds: with.total(&names::PREPARED_BINDS, &pool),
            evictions: with.counter(&names::PREPARED_EVICTIONS, &pool),
            wait_time,
            first_byte_time: with.timing(&names::POOL_FIRST_BYTE_SECONDS, &pool),
            transaction_time,
            query_time,
            connect_time: with.histogram(&names::SERVER_CONNECT_SECONDS, &[host]),
            login_time: with.histogram(&names::SERVER_LOGIN_SECONDS, &[host]),
            tls: Tls::resolve(&mut with, TlsSide::Server),
            clients_active: with.gauge(&names::POOL_CLIENTS, &state("active")),
            clients_waiting: with.gauge(&names::POOL_CLIENTS, &state("waiting")),
            servers_active: with.gauge(&names::POOL_SERVERS, &state("active")),
            servers_idle: with.gauge(&names::POOL_SERVERS, &state("idle")),
            servers_login: with.gauge(&names::POOL_SERVERS, &state("login")),
            size: with.gauge(&names::POOL_SIZE, &pool),
            max_wait: with.gauge(&names::POOL_MAX_WAIT_SECONDS, &pool),
            _lease: with.lease(),
        }
    }

    /// A client got a server, so long after it asked for one. Not for clients that never queued.
    pub fn wait_ended(&self, time: Duration) {
        self.wait_time.record(time);
    }

    /// A client that queued got none, so long after it asked for one: it was refused, or left.
    pub fn wait_failed(&self, time: Duration) {
        self.waits_failed.increment(1);
        self.wait_time.record(time);
    }

    /// There is a socket to a server, so long after it was wanted.
    pub fn reached(&self, time: Duration) {
        self.connect_time.record(time);
    }

    /// A server connection is ready, `time` after there was a socket.
    pub fn opened(&self, time: Duration, tls: Option<TlsVersion>) {
        self.servers_opened.increment(1);
        self.login_time.record(time);
        if let Some(version) = tls {
            self.tls.succeeded(version);
        }
    }

    /// An attempt to open a server connection failed, and whether TLS was why.
    pub fn open_failed(&self, in_tls: bool) {
        self.servers_failed.increment(1);
        if in_tls {
            self.tls.failed();
        }
    }

    /// Sets the gauges.
    pub fn set_levels(&self, levels: &PoolLevels) {
        self.clients_active.set(levels.clients_active);
        self.clients_waiting.set(levels.clients_waiting);
        self.servers_active.set(levels.servers_active);
        self.servers_idle.set(levels.servers_idle);
        self.servers_login.set(levels.servers_login);
        self.size.set(levels.size.map_or(f64::INFINITY, f64::from));
        self.max_wait.set(levels.max_wait.as_secs_f64());
    }
}
