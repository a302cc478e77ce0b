//! The JSON API: what docs/http.md promises of each field. Times of day are seconds since 1970, spans are seconds.
//!
//! Every answer is bounded: lists have a limit, of which a request may ask for less.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::Asked;
use crate::metrics::timing::BOUNDS_US;
use crate::net::clock;
use crate::report::connections::{ClientRow, Endpoint};
use crate::report::events::EventRow;
use crate::report::pools::{HostShare, PoolReport};
use crate::report::topology::{ClusterRow, HostRow, lsn};
use crate::report::warnings::{Severity, Warning, warnings};
use crate::session::queries::QueryRow;

/// Rows of an answer unless a request says otherwise.
const USUAL: usize = 100;

/// Rows of an answer at most.
const MOST: usize = 1000;

/// Hosts in an answer at most, of one entry and over all pools.
const MOST_HOSTS: usize = 1000;

/// Which part of a list is wanted.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    limit: Option<usize>,
    offset: Option<usize>,
    database: Option<String>,
}

impl Page {
    fn limit(&self) -> usize {
        self.limit.unwrap_or(USUAL).min(MOST)
    }

    fn wants(&self, database: &str) -> bool {
        self.database.as_ref().is_none_or(|wanted| wanted == database)
    }

    /// The part of a list, and how long all of it is.
    fn cut<T>(&self, mut all: Vec<T>) -> (Vec<T>, usize) {
        let total = all.len();
        all.drain(..self.offset.unwrap_or(0).min(total));
        all.truncate(self.limit());
        (all, total)
    }
}

// ---- /api/v1/status ----

#[derive(Serialize)]
struct Status {
    version: &'static str,
    now: f64,
    uptime_seconds: f64,
    state: &'static str,
    ready: bool,
    clients: u32,
    clients_limit: u32,
    warnings: Vec<Told>,
    /// Upper bounds of the buckets below; each of those counts for itself, and the last has what is above all bounds.
    bounds_seconds: Vec<f64>,
    totals: Totals,
    hosts: Vec<HostTotals>,
}

#[derive(Serialize)]
struct Told {
    severity: &'static str,
    subject: String,
    what: String,
    advice: String,
}

impl From<Warning> for Told {
    fn from(warning: Warning) -> Self {
        let Warning { severity, subject, what, advice } = warning;
        let severity = match severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        Self { severity, subject, what, advice }
    }
}

/// Over all pools.
#[derive(Default, Serialize)]
struct Totals {
    pools: usize,
    clients_waiting: u32,
    servers_active: u32,
    servers_idle: u32,
    transactions: u64,
    queries: u64,
    received_bytes: u64,
    sent_bytes: u64,
    query_buckets: Vec<u64>,
    wait_buckets: Vec<u64>,
}

/// What one host has to do, over all pools.
#[derive(Serialize)]
struct HostTotals {
    address: String,
    servers_active: u32,
    servers_idle: u32,
    transactions: u64,
    queries: u64,
}

pub(super) async fn status(State(asked): State<Asked>) -> Response {
    let gathered = asked.gather(|web| {
        let source = &web.source;
        let (overview, clusters, pools) = (source.overview(), source.clusters(), source.pools());
        let told = warnings(&overview, &clusters, &pools);
        let (totals, hosts) = sums(&pools);
        Status {
            version: source.version(),
            now: seconds_since_1970(clock::wall()),
            uptime_seconds: source.uptime().as_secs_f64(),
            state: overview.state,
            ready: source.readiness().is_ok(),
            clients: overview.clients,
            clients_limit: overview.clients_limit,
            warnings: told.into_iter().map(Told::from).collect(),
            bounds_seconds: bounds_seconds(),
            totals,
            hosts,
        }
    });
    respond(gathered.await)
}

/// Over all pools, and by host.
fn sums(pools: &[PoolReport]) -> (Totals, Vec<HostTotals>) {
    let mut all = Totals { pools: pools.len(), ..Totals::default() };
    let mut hosts: Vec<HostTotals> = Vec::new();
    let mut found = std::collections::HashMap::new();
    for share in pools.iter().flat_map(|pool| &pool.hosts) {
        all.servers_active += share.servers_active;
        all.servers_idle += share.servers_idle;
        all.transactions += share.transactions;
        all.queries += share.queries;
        all.received_bytes += share.received_bytes;
        all.sent_bytes += share.sent_bytes;
        add(&mut all.query_buckets, &share.query_buckets);
        add(&mut all.wait_buckets, &share.wait_buckets);
        let index = *found.entry(&share.host).or_insert_with(|| {
            let address = share.host.clone();
            let (servers_active, servers_idle, transactions, queries) = (0, 0, 0, 0);
            hosts.push(HostTotals { address, servers_active, servers_idle, transactions, queries });
            hosts.len() - 1
        });
        if let Some(host) = hosts.get_mut(index) {
            host.servers_active += share.servers_active;
            host.servers_idle += share.servers_idle;
            host.transactions += share.transactions;
            host.queries += share.queries;
        }
    }
    all.clients_waiting = pools.iter().map(|pool| pool.row.clients_waiting).sum();
    hosts.truncate(MOST_HOSTS);
    (all, hosts)
}

fn add(sum: &mut Vec<u64>, buckets: &[u64]) {
    sum.resize(sum.len().max(buckets.len()), 0);
    sum.iter_mut().zip(buckets).for_each(|(sum, count)| *sum += count);
}

// ---- /api/v1/topology ----

#[derive(Serialize)]
struct Topology {
    databases: Vec<Cluster>,
    total: usize,
}

#[derive(Serialize)]
struct Cluster {
    database: String,
    primary: Option<String>,
    primary_missing_seconds: Option<f64>,
    switching_over: bool,
    split_brain: bool,
    hosts: Vec<Host>,
}

#[derive(Serialize)]
struct Host {
    address: String,
    host: String,
    port: u16,
    role: &'static str,
    state: &'static str,
    fit_for_reads: bool,
    no_reads: Option<String>,
    timeline: Option<u32>,
    lsn: Option<String>,
    lag_bytes: Option<u64>,
    lag_seconds: Option<f64>,
    since: f64,
    last_change: Option<String>,
    last_error: Option<String>,
}

impl From<HostRow> for Host {
    fn from(row: HostRow) -> Self {
        Self {
            fit_for_reads: row.is_fit_for_reads(),
            address: row.address,
            host: row.host,
            port: row.port,
            role: row.role,
            state: row.state,
            no_reads: row.no_reads.map(|why| why.to_string()),
            timeline: row.timeline,
            lsn: row.lsn.map(lsn),
            lag_bytes: row.lag_bytes,
            lag_seconds: row.lag.map(|lag| lag.as_secs_f64()),
            since: seconds_since_1970(row.since),
            last_change: row.last_change,
            last_error: row.last_error,
        }
    }
}

impl From<ClusterRow> for Cluster {
    fn from(row: ClusterRow) -> Self {
        Self {
            database: row.database,
            primary: row.primary,
            primary_missing_seconds: row.primary_missing.map(|missing| missing.as_secs_f64()),
            switching_over: row.switching_over,
            split_brain: row.split_brain,
            hosts: row.hosts.into_iter().take(MOST_HOSTS).map(Host::from).collect(),
        }
    }
}

pub(super) async fn topology(State(asked): State<Asked>, Query(page): Query<Page>) -> Response {
    let gathered = asked.gather(move |web| {
        let mut clusters = web.source.clusters();
        clusters.retain(|cluster| page.wants(&cluster.database));
        let (clusters, total) = page.cut(clusters);
        Topology { databases: clusters.into_iter().map(Cluster::from).collect(), total }
    });
    respond(gathered.await)
}

// ---- /api/v1/pools ----

#[derive(Serialize)]
struct Pools {
    bounds_seconds: Vec<f64>,
    pools: Vec<Pool>,
    total: usize,
}

#[derive(Serialize)]
struct Pool {
    database: String,
    user: String,
    mode: &'static str,
    load_balance_hosts: Option<&'static str>,
    paused: bool,
    clients_active: u32,
    clients_waiting: u32,
    servers_active: u32,
    servers_idle: u32,
    servers_used: u32,
    servers_tested: u32,
    servers_login: u32,
    max_wait_seconds: f64,
    hosts: Vec<Share>,
}

#[derive(Serialize)]
struct Share {
    address: String,
    size: Option<u32>,
    clients_waiting: u32,
    servers_active: u32,
    servers_idle: u32,
    servers_login: u32,
    transactions: u64,
    queries: u64,
    received_bytes: u64,
    sent_bytes: u64,
    query_buckets: Vec<u64>,
    wait_buckets: Vec<u64>,
}

impl From<HostShare> for Share {
    fn from(share: HostShare) -> Self {
        Self {
            address: share.host,
            size: share.size,
            clients_waiting: share.clients_waiting,
            servers_active: share.servers_active,
            servers_idle: share.servers_idle,
            servers_login: share.servers_login,
            transactions: share.transactions,
            queries: share.queries,
            received_bytes: share.received_bytes,
            sent_bytes: share.sent_bytes,
            query_buckets: share.query_buckets,
            wait_buckets: share.wait_buckets,
        }
    }
}

impl From<PoolReport> for Pool {
    fn from(report: PoolReport) -> Self {
        let PoolReport { row, paused, hosts } = report;
        Self {
            database: row.database,
            user: row.user,
            mode: row.pool_mode,
            load_balance_hosts: row.load_balance_hosts,
            paused,
            clients_active: row.clients_active,
            clients_waiting: row.clients_waiting,
            servers_active: row.servers_active,
            servers_idle: row.servers_idle,
            servers_used: row.servers_used,
            servers_tested: row.servers_tested,
            servers_login: row.servers_login,
            max_wait_seconds: row.max_wait.as_secs_f64(),
            hosts: hosts.into_iter().take(MOST_HOSTS).map(Share::from).collect(),
        }
    }
}

pub(super) async fn pools(State(asked): State<Asked>, Query(page): Query<Page>) -> Response {
    let gathered = asked.gather(move |web| {
        let mut pools = web.source.pools();
        pools.retain(|pool| page.wants(&pool.row.database));
        let (pools, total) = page.cut(pools);
        let pools = pools.into_iter().map(Pool::from).collect();
        Pools { bounds_seconds: bounds_seconds(), pools, total }
    });
    respond(gathered.await)
}

// ---- /api/v1/clients ----

/// Which clients are wanted.
#[derive(Debug, Deserialize)]
pub(super) struct Which {
    limit: Option<usize>,
    /// The id behind which the answer begins: `next` of the answer before.
    after: Option<u64>,
    database: Option<String>,
    user: Option<String>,
    state: Option<String>,
}

#[derive(Serialize)]
struct Clients {
    clients: Vec<Client>,
    /// How many there are of what was asked for.
    total: usize,
    /// What `after` is to be for the next ones; null at the end.
    next: Option<u64>,
}

#[derive(Serialize)]
struct Client {
    id: u64,
    user: Option<String>,
    database: Option<String>,
    state: &'static str,
    address: Option<String>,
    application_name: String,
    connected_at: f64,
    request_at: f64,
    wait_seconds: f64,
    server_id: Option<u64>,
    tls: String,
    prepared_statements: u32,
}

impl From<ClientRow> for Client {
    fn from(row: ClientRow) -> Self {
        let state = row.state.name();
        let row = row.connection;
        Self {
            id: row.id,
            user: row.user,
            database: row.database,
            state,
            address: match row.remote {
                Endpoint::Tcp { addr, port } if addr.contains(':') => {
                    Some(format!("[{addr}]:{port}"))
                }
                Endpoint::Tcp { addr, port } => Some(format!("{addr}:{port}")),
                Endpoint::Unix { .. } => Some("unix".to_owned()),
                Endpoint::Unknown => None,
            },
            application_name: row.application_name,
            connected_at: seconds_since_1970(row.connect_time),
            request_at: seconds_since_1970(row.request_time),
            wait_seconds: row.wait.as_secs_f64(),
            server_id: row.link,
            tls: row.tls,
            prepared_statements: row.prepared_statements,
        }
    }
}

pub(super) async fn clients(State(asked): State<Asked>, Query(which): Query<Which>) -> Response {
    let gathered = asked.gather(move |web| {
        let mut rows = web.source.clients();
        let same = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| Some(wanted) == found)
        };
        rows.retain(|ClientRow { state, connection, .. }: &ClientRow| {
            same(&which.database, connection.database.as_deref())
                && same(&which.user, connection.user.as_deref())
                && same(&which.state, Some(state.name()))
        });
        let total = rows.len();
        let behind = which.after.unwrap_or(0);
        let begin = rows.partition_point(|row| row.connection.id <= behind);
        rows.drain(..begin);
        let limit = which.limit.unwrap_or(USUAL).clamp(1, MOST);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().map(|row| row.connection.id).filter(|_| more);
        Clients { clients: rows.into_iter().map(Client::from).collect(), total, next }
    });
    respond(gathered.await)
}

// ---- /api/v1/events ----

#[derive(Serialize)]
struct Events {
    /// The newest first.
    events: Vec<Event>,
    total: usize,
}

#[derive(Serialize)]
struct Event {
    time: f64,
    database: String,
    host: Option<String>,
    event: &'static str,
    timeline: Option<u32>,
    detail: String,
}

impl From<EventRow> for Event {
    fn from(row: EventRow) -> Self {
        let time = seconds_since_1970(row.time);
        let EventRow { database, host, event, timeline, detail, .. } = row;
        Self { time, database, host, event, timeline, detail }
    }
}

pub(super) async fn events(State(asked): State<Asked>, Query(page): Query<Page>) -> Response {
    let gathered = asked.gather(move |web| {
        let mut events = web.source.events();
        events.retain(|event| page.wants(&event.database));
        events.reverse();
        let (events, total) = page.cut(events);
        Events { events: events.into_iter().map(Event::from).collect(), total }
    });
    respond(gathered.await)
}

// ---- /api/v1/queries ----

#[derive(Serialize)]
struct Queries {
    /// Setting `track_queries`.
    most: u32,
    /// Those that took the most time first.
    queries: Vec<Statement>,
    total: usize,
}

#[derive(Serialize)]
struct Statement {
    database: String,
    user: String,
    host: String,
    calls: u64,
    errors: u64,
    rows: u64,
    sent_bytes: u64,
    total_seconds: f64,
    mean_seconds: f64,
    p50_seconds: f64,
    p99_seconds: f64,
    query: String,
}

impl From<QueryRow> for Statement {
    fn from(row: QueryRow) -> Self {
        let seconds = |us| Duration::from_micros(us).as_secs_f64();
        Self {
            total_seconds: seconds(row.total_us),
            mean_seconds: seconds(row.mean_us()),
            p50_seconds: seconds(row.p50_us),
            p99_seconds: seconds(row.p99_us),
            database: row.database,
            user: row.user,
            host: row.host,
            calls: row.calls,
            errors: row.errors,
            rows: row.rows,
            sent_bytes: row.sent_bytes,
            query: row.text,
        }
    }
}

pub(super) async fn queries(State(asked): State<Asked>, Query(page): Query<Page>) -> Response {
    let gathered = asked.gather(move |web| {
        let mut report = web.source.queries();
        report.rows.retain(|row| page.wants(&row.database));
        let (rows, total) = page.cut(report.rows);
        let queries = rows.into_iter().map(Statement::from).collect();
        Queries { most: report.most, queries, total }
    });
    respond(gathered.await)
}

// ---- what all have in common ----

fn respond<T: Serialize>(gathered: Result<T, Response>) -> Response {
    match gathered {
        Ok(answer) => Json(answer).into_response(),
        Err(failed) => failed,
    }
}

fn bounds_seconds() -> Vec<f64> {
    BOUNDS_US.iter().map(|us| Duration::from_micros(*us).as_secs_f64()).collect()
}

/// Before 1970 only if the machine's clock is; that is 1970 then.
fn seconds_since_1970(time: SystemTime) -> f64 {
    let millis = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    millis as f64 / 1000.0
}
