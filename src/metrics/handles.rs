//! Handles: what each owner (pool, host, worker, …) counts with.
//!
//! A set of handles is resolved once, through [`Metrics`](super::Metrics), and lives as long as its
//! owner. While it lives its series are exported, and no longer. Two sets with the same labels may live side by side (one per worker, say): their
//! counts are added.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use metrics::{Counter, Gauge, Key, Label, Level, Metadata, Recorder};

use super::names::{self, Metric};
use super::timing::{Timing, Timings};

/// A counter that can be read back. Counting is one relaxed addition; the exporter is told at the
/// next scrape.
#[derive(Clone, Debug)]
pub struct Total(Arc<TotalCell>);

#[derive(Debug)]
struct TotalCell {
    value: AtomicU64,
    /// How much of `value` the exporter knows.
    published: AtomicU64,
    counter: Counter,
}

impl Total {
    /// Adds `n`.
    pub fn increment(&self, n: u64) {
        self.0.value.fetch_add(n, Ordering::Relaxed);
    }

    /// What was counted through this handle.
    pub fn value(&self) -> u64 {
        self.0.value.load(Ordering::Relaxed)
    }

    /// Tells the exporter what is new. Adds the difference rather than setting the value, because
    /// other handles may count for the same series.
    fn publish(&self) {
        let value = self.value();
        // `fetch_max`: of two publishers at once the slower one must not count anything twice.
        let known = self.0.published.fetch_max(value, Ordering::AcqRel);
        self.0.counter.increment(value.saturating_sub(known));
    }
}

/// What keeps a set of handles exported, and brings its counts to the exporter.
#[derive(Debug)]
pub(super) struct Lease {
    totals: Vec<Total>,
    gauges: Vec<Gauge>,
}

impl Lease {
    /// Publishes all counts, before each rendering. It is also the sign of life: the exporter
    /// forgets a series that was not touched since, and its handle would count into the void.
    pub(super) fn renew(&self) {
        self.publish();
        for gauge in &self.gauges {
            gauge.increment(0.0);
        }
    }

    fn publish(&self) {
        for total in &self.totals {
            total.publish();
        }
    }
}

impl Drop for Lease {
    /// The last counts are told; a level of something that is gone says nothing.
    fn drop(&mut self) {
        self.publish();
    }
}

/// Makes handles against a recorder and gathers what their lease needs.
pub(super) struct Resolver<'a> {
    recorder: &'a dyn Recorder,
    timings: &'a Timings,
    totals: Vec<Total>,
    gauges: Vec<Gauge>,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(recorder: &'a dyn Recorder, timings: &'a Timings) -> Self {
        Self { recorder, timings, totals: Vec::new(), gauges: Vec::new() }
    }

    fn total(&mut self, metric: &Metric, values: &[&str]) -> Total {
        let counter = self.recorder.register_counter(&key(metric, values), &METADATA);
        let (value, published) = (AtomicU64::new(0), AtomicU64::new(0));
        let total = Total(Arc::new(TotalCell { value, published, counter }));
        self.totals.push(total.clone());
        total
    }

    fn gauge(&mut self, metric: &Metric, values: &[&str]) -> Gauge {
        let gauge = self.recorder.register_gauge(&key(metric, values), &METADATA);
        self.gauges.push(gauge.clone());
        gauge
    }

    fn timing(&mut self, metric: &Metric, values: &[&str]) -> Arc<Timing> {
        self.timings.register(metric, values)
    }

    fn lease(self) -> Arc<Lease> {
        Arc::new(Lease { totals: self.totals, gauges: self.gauges })
    }
}

const METADATA: Metadata<'static> = Metadata::new("pgweir", Level::INFO, None);

fn key(metric: &Metric, values: &[&str]) -> Key {
    assert_eq!(metric.labels.len(), values.len(), "{}: a value for each label", metric.name);
    let labels = metric.labels.iter().zip(values);
    let labels: Vec<_> =
        labels.map(|(name, value)| Label::new(*name, (*value).to_owned())).collect();
    Key::from_parts(metric.name, labels)
}

/// A set of handles that is resolved as a whole.
pub(super) trait Handles {
    fn lease(&self) -> &Arc<Lease>;
}

macro_rules! leased {
    ($($set:ty),*) => { $(
        impl Handles for $set {
            fn lease(&self) -> &Arc<Lease> { &self.lease }
        }
    )* };
}
leased!(PoolMetrics, RoutingMetrics, TopologyMetrics, HostMetrics, WorkerMetrics, ProcessMetrics);

/// What one pool (database entry, user, host) counts.
#[derive(Debug)]
pub struct PoolMetrics {
    /// Transactions ended; counted by [`PoolMetrics::transaction_ended`].
    pub transactions: Total,
    /// Queries answered; counted by [`PoolMetrics::query_ended`].
    pub queries: Total,
    /// Bytes from clients.
    pub received_bytes: Total,
    /// Bytes to clients.
    pub sent_bytes: Total,
    /// Server connections opened and logged in.
    pub servers_opened: Total,
    /// Server connections closed.
    pub servers_closed: Total,
    /// Attempts to open a server connection that failed.
    pub servers_failed: Total,
    /// Times a server was given to a client.
    pub assignments: Total,
    /// Times a client had to queue; counted by [`PoolMetrics::wait_ended`].
    pub waits: Total,
    /// Named statements prepared by clients.
    pub client_parses: Total,
    /// Statements prepared on servers by us.
    pub server_parses: Total,
    /// Binds of named statements.
    pub binds: Total,
    /// Statements closed on a server to make room.
    pub evictions: Total,
    /// Time in the queue.
    pub wait_time: Arc<Timing>,
    /// Time in transactions.
    pub transaction_time: Arc<Timing>,
    /// Time in queries.
    pub query_time: Arc<Timing>,
    clients_active: Gauge,
    clients_waiting: Gauge,
    servers_active: Gauge,
    servers_idle: Gauge,
    servers_login: Gauge,
    size: Gauge,
    max_wait: Gauge,
    lease: Arc<Lease>,
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
    pub(super) fn resolve(mut with: Resolver<'_>, database: &str, user: &str, host: &str) -> Self {
        let pool = [database, user, host];
        let state = |state| [database, user, host, state];
        Self {
            transactions: with.total(&names::POOL_TRANSACTIONS, &pool),
            queries: with.total(&names::POOL_QUERIES, &pool),
            received_bytes: with.total(&names::POOL_RECEIVED_BYTES, &pool),
            sent_bytes: with.total(&names::POOL_SENT_BYTES, &pool),
            servers_opened: with.total(&names::POOL_SERVERS_OPENED, &pool),
            servers_closed: with.total(&names::POOL_SERVERS_CLOSED, &pool),
            servers_failed: with.total(&names::POOL_SERVERS_FAILED, &pool),
            assignments: with.total(&names::POOL_ASSIGNMENTS, &pool),
            waits: with.total(&names::POOL_WAITS, &pool),
            client_parses: with.total(&names::PREPARED_CLIENT_PARSES, &pool),
            server_parses: with.total(&names::PREPARED_SERVER_PARSES, &pool),
            binds: with.total(&names::PREPARED_BINDS, &pool),
            evictions: with.total(&names::PREPARED_EVICTIONS, &pool),
            wait_time: with.timing(&names::POOL_WAIT_SECONDS, &pool),
            transaction_time: with.timing(&names::POOL_TRANSACTION_SECONDS, &pool),
            query_time: with.timing(&names::POOL_QUERY_SECONDS, &pool),
            clients_active: with.gauge(&names::POOL_CLIENTS, &state("active")),
            clients_waiting: with.gauge(&names::POOL_CLIENTS, &state("waiting")),
            servers_active: with.gauge(&names::POOL_SERVERS, &state("active")),
            servers_idle: with.gauge(&names::POOL_SERVERS, &state("idle")),
            servers_login: with.gauge(&names::POOL_SERVERS, &state("login")),
            size: with.gauge(&names::POOL_SIZE, &pool),
            max_wait: with.gauge(&names::POOL_MAX_WAIT_SECONDS, &pool),
            lease: with.lease(),
        }
    }

    /// A transaction ended, `time` after its first message.
    pub fn transaction_ended(&self, time: Duration) {
        self.transactions.increment(1);
        self.transaction_time.record(time);
    }

    /// A query was answered, `time` after its first message.
    pub fn query_ended(&self, time: Duration) {
        self.queries.increment(1);
        self.query_time.record(time);
    }

    /// A client left the queue, with or without a server. Not for clients that never queued.
    pub fn wait_ended(&self, time: Duration) {
        self.waits.increment(1);
        self.wait_time.record(time);
    }

    /// Sets the gauges.
    pub fn set_levels(&self, levels: &PoolLevels) {
        self.clients_active.set(levels.clients_active);
        self.clients_waiting.set(levels.clients_waiting);
        self.servers_active.set(levels.servers_active);
        self.servers_idle.set(levels.servers_idle);
        self.servers_login.set(levels.servers_login);
        self.size.set(levels.size.map_or(f64::INFINITY, f64::from));
        self.max_wait.set(levels.max_wait);
    }
}

/// Where a transaction was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteTarget {
    /// To the primary.
    Primary,
    /// To a replica.
    Replica,
}

/// What decided where a transaction was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteReason {
    /// A comment.
    Hint,
    /// The transaction says that it is read-only.
    ReadOnly,
    /// It looks as if it only reads.
    LooksReadOnly,
    /// `target_session_attrs` of the database entry.
    Attrs,
    /// Nothing said anything: the primary.
    Default,
    /// It asked for a replica, but none was fit.
    Fallback,
    /// It asked for a replica, but none has yet what its client wrote.
    OwnWrites,
}

/// Why a request was run again on another host, unseen by its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveReason {
    /// The host was no primary any more.
    Demoted,
    /// A replica cannot run it.
    Refused,
    /// Recovery cancelled it on a replica.
    Conflict,
    /// The replica ended.
    Lost,
}

/// Routing decisions of one database entry.
#[derive(Debug)]
pub struct RoutingMetrics {
    primary: ByReason,
    replica: ByReason,
    demoted: Total,
    refused: Total,
    conflict: Total,
    lost: Total,
    lease: Arc<Lease>,
}

#[derive(Debug)]
struct ByReason {
    hint: Total,
    read_only: Total,
    looks_read_only: Total,
    attrs: Total,
    default: Total,
    fallback: Total,
    own_writes: Total,
}

impl RoutingMetrics {
    pub(super) fn resolve(mut with: Resolver<'_>, database: &str) -> Self {
        let mut by_reason = |target| {
            let mut total =
                |reason| with.total(&names::ROUTING_DECISIONS, &[database, target, reason]);
            ByReason {
                hint: total("hint"),
                read_only: total("read_only"),
                looks_read_only: total("looks_read_only"),
                attrs: total("attrs"),
                default: total("default"),
                fallback: total("fallback"),
                own_writes: total("own_writes"),
            }
        };
        let (primary, replica) = (by_reason("primary"), by_reason("replica"));
        let mut moved = |reason| with.total(&names::ROUTING_MOVED, &[database, reason]);
        Self {
            primary,
            replica,
            demoted: moved("demoted"),
            refused: moved("refused"),
            conflict: moved("conflict"),
            lost: moved("lost"),
            lease: with.lease(),
        }
    }

    /// Counts one request that was run again on another host.
    pub fn moved(&self, reason: MoveReason) {
        let total = match reason {
            MoveReason::Demoted => &self.demoted,
            MoveReason::Refused => &self.refused,
            MoveReason::Conflict => &self.conflict,
            MoveReason::Lost => &self.lost,
        };
        total.increment(1);
    }

    /// Counts one decision.
    pub fn decided(&self, target: RouteTarget, reason: RouteReason) {
        let by_reason = match target {
            RouteTarget::Primary => &self.primary,
            RouteTarget::Replica => &self.replica,
        };
        let total = match reason {
            RouteReason::Hint => &by_reason.hint,
            RouteReason::ReadOnly => &by_reason.read_only,
            RouteReason::LooksReadOnly => &by_reason.looks_read_only,
            RouteReason::Attrs => &by_reason.attrs,
            RouteReason::Default => &by_reason.default,
            RouteReason::Fallback => &by_reason.fallback,
            RouteReason::OwnWrites => &by_reason.own_writes,
        };
        total.increment(1);
    }
}

/// The host list of one database entry as a whole.
#[derive(Debug)]
pub struct TopologyMetrics {
    /// Times another host became the primary.
    pub primary_changes: Total,
    /// Clients held until a primary is known: set before a scrape.
    pub held_clients: Gauge,
    /// How long clients were held.
    pub hold_time: Arc<Timing>,
    primary_known: Gauge,
    primary_missing: Gauge,
    split_brain: Gauge,
    lease: Arc<Lease>,
}

impl TopologyMetrics {
    pub(super) fn resolve(mut with: Resolver<'_>, database: &str) -> Self {
        let database = [database];
        Self {
            primary_changes: with.total(&names::TOPOLOGY_PRIMARY_CHANGES, &database),
            held_clients: with.gauge(&names::TOPOLOGY_HELD_CLIENTS, &database),
            hold_time: with.timing(&names::TOPOLOGY_HOLD_SECONDS, &database),
            primary_known: with.gauge(&names::TOPOLOGY_PRIMARY_KNOWN, &database),
            primary_missing: with.gauge(&names::TOPOLOGY_PRIMARY_MISSING_SECONDS, &database),
            split_brain: with.gauge(&names::TOPOLOGY_SPLIT_BRAIN, &database),
            lease: with.lease(),
        }
    }

    /// Sets for how long there has been no primary (`None`: there is one), and whether several
    /// hosts claim to be it.
    pub fn set_primary(&self, missing_for: Option<Duration>, split_brain: bool) {
        self.primary_known.set(flag(missing_for.is_none()));
        self.primary_missing.set(missing_for.unwrap_or_default());
        self.split_brain.set(flag(split_brain));
    }
}

/// One host, whatever database entries name it.
#[derive(Debug)]
pub struct HostMetrics {
    up: Gauge,
    primary: Gauge,
    timeline: Gauge,
    lag_bytes: Gauge,
    lag_seconds: Gauge,
    lease: Arc<Lease>,
}

impl HostMetrics {
    pub(super) fn resolve(mut with: Resolver<'_>, host: &str) -> Self {
        let host = [host];
        Self {
            up: with.gauge(&names::HOST_UP, &host),
            primary: with.gauge(&names::HOST_PRIMARY, &host),
            timeline: with.gauge(&names::HOST_TIMELINE, &host),
            lag_bytes: with.gauge(&names::HOST_LAG_BYTES, &host),
            lag_seconds: with.gauge(&names::HOST_LAG_SECONDS, &host),
            lease: with.lease(),
        }
    }

    /// Sets whether the host answers its monitor, whether it says that it is a primary, and its
    /// timeline (0 while unknown).
    pub fn set_state(&self, up: bool, primary: bool, timeline: u32) {
        self.up.set(flag(up));
        self.primary.set(flag(primary));
        self.timeline.set(timeline);
    }

    /// Sets how far the host is behind the primary. `None`, not known, is exported as NaN:
    /// an alert on lag stays silent then, and the one on the host being down speaks.
    pub fn set_lag(&self, bytes: Option<u64>, time: Option<Duration>) {
        // A gauge is a float: exact up to 2^53, eight petabytes.
        self.lag_bytes.set(bytes.map_or(f64::NAN, |bytes| bytes as f64));
        self.lag_seconds.set(time.map_or(f64::NAN, |time| time.as_secs_f64()));
    }
}

/// One worker thread.
#[derive(Debug)]
pub struct WorkerMetrics {
    /// Part of the time since the last look that the worker was awake, 0 to 1.
    pub busy_ratio: Gauge,
    /// Clients that live on the worker.
    pub clients: Gauge,
    lease: Arc<Lease>,
}

impl WorkerMetrics {
    pub(super) fn resolve(mut with: Resolver<'_>, worker: usize) -> Self {
        let worker = [&*worker.to_string()];
        Self {
            busy_ratio: with.gauge(&names::WORKER_BUSY_RATIO, &worker),
            clients: with.gauge(&names::WORKER_CLIENTS, &worker),
            lease: with.lease(),
        }
    }
}

/// How a client's login ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginResult {
    /// Logged in.
    Ok,
    /// Failed in authentication; [`AuthFailure`] says why.
    Denied,
    /// Refused for another reason: a limit, an unknown database, a broken packet.
    Refused,
    /// The client left or took too long.
    Abandoned,
}

/// Why authentication failed. The client is told less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthFailure {
    /// Wrong or empty password.
    Password,
    /// No such user.
    UnknownUser,
    /// The client's certificate is missing or names somebody else.
    Certificate,
    /// The operating system names somebody else (method peer).
    Peer,
    /// No line of the HBA file applies, or the one that does says reject.
    Hba,
    /// The method needs TLS and the client uses none.
    TlsRequired,
    /// Who would have to tell could not: auth_query, the directory or PAM failed.
    Lookup,
    /// The exchange broke the protocol.
    Protocol,
}

/// What became of a cancel request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelResult {
    /// Sent to the server.
    Sent,
    /// The client has no query running.
    Idle,
    /// No client has this key.
    Unknown,
    /// The server could not be reached.
    Failed,
    /// It could not be sent within `cancel_wait_timeout`.
    TimedOut,
}

/// What belongs to the process as a whole.
#[derive(Debug)]
pub struct ProcessMetrics {
    /// Client connections now: set before a scrape.
    pub clients: Gauge,
    /// `max_client_conn`.
    pub clients_limit: Gauge,
    /// Worker threads.
    pub workers: Gauge,
    logins: [(LoginResult, Total); 4],
    auth_failures: [(AuthFailure, Total); 8],
    cancels: [(CancelResult, Total); 5],
    lease: Arc<Lease>,
}

impl ProcessMetrics {
    pub(super) fn resolve(mut with: Resolver<'_>, version: &str) -> Self {
        with.gauge(&names::BUILD_INFO, &[version]).set(1.0);
        let clients = with.gauge(&names::CLIENTS, &[]);
        let clients_limit = with.gauge(&names::CLIENTS_LIMIT, &[]);
        let workers = with.gauge(&names::WORKERS, &[]);
        let logins = [
            (LoginResult::Ok, "ok"),
            (LoginResult::Denied, "denied"),
            (LoginResult::Refused, "refused"),
            (LoginResult::Abandoned, "abandoned"),
        ]
        .map(|(result, label)| (result, with.total(&names::CLIENT_LOGINS, &[label])));
        let auth_failures = [
            (AuthFailure::Password, "password"),
            (AuthFailure::UnknownUser, "unknown_user"),
            (AuthFailure::Certificate, "certificate"),
            (AuthFailure::Peer, "peer"),
            (AuthFailure::Hba, "hba"),
            (AuthFailure::TlsRequired, "tls_required"),
            (AuthFailure::Lookup, "lookup"),
            (AuthFailure::Protocol, "protocol"),
        ]
        .map(|(reason, label)| (reason, with.total(&names::AUTH_FAILURES, &[label])));
        let cancels = [
            (CancelResult::Sent, "sent"),
            (CancelResult::Idle, "idle"),
            (CancelResult::Unknown, "unknown"),
            (CancelResult::Failed, "failed"),
            (CancelResult::TimedOut, "timeout"),
        ]
        .map(|(result, label)| (result, with.total(&names::CANCEL_REQUESTS, &[label])));
        let lease = with.lease();
        Self { clients, clients_limit, workers, logins, auth_failures, cancels, lease }
    }

    /// Counts a client's login.
    pub fn login(&self, result: LoginResult) {
        count(&self.logins, result);
    }

    /// Counts a login that failed in authentication, as result and by reason.
    pub fn login_denied(&self, reason: AuthFailure) {
        count(&self.logins, LoginResult::Denied);
        count(&self.auth_failures, reason);
    }

    /// Counts a cancel request.
    pub fn cancel(&self, result: CancelResult) {
        count(&self.cancels, result);
    }
}

fn count<K: PartialEq>(totals: &[(K, Total)], key: K) {
    for (_, total) in totals.iter().filter(|(candidate, _)| *candidate == key) {
        total.increment(1);
    }
}

fn flag(set: bool) -> f64 {
    if set { 1.0 } else { 0.0 }
}
