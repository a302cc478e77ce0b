//! Pools: the server connections for one database entry, one server user and one host (or plain host list).
//!
//! A pool is shared by all workers; its limits are exact for the process. Who needs a server takes an idle one or
//! queues; connections are opened on behalf of the queue, not of one client, so whoever is first gets whichever
//! connection comes first. Which pool a transaction should use is decided elsewhere.
//!
//! - `state` — the books of one pool (pure)
//! - `limits` — the books that pools share: connections per database and per user (pure)
//! - `places` — who gets a place that comes free, and whose idle connection makes room
//! - `adopt` — connections that come from, or go to, another process
//! - `attach` — how a client gets a server and gives it back
//! - `open` — opening connections for those who wait
//! - `spare` — servers that nobody will miss, for questions of our own that can wait
//! - `own` — connections for one holder alone: replication
//! - `check` — looking whether a connection that was unused for long is still good
//! - `keep` — servers that are kept for clients which were told their process ids
//! - `janitor` — what time alone brings about: expiry, ageing, retries
//! - `control` — PAUSE, RECONNECT, a host that is gone
//! - `queue` — who waits, and what for
//! - `log` — what the log says of server connections
//! - `load` — how busy a pool is, for whoever chooses among several
//! - `holder` — how a client that holds a server is reached from outside
//! - `error` — why a client could not be given a server

mod adopt;
pub mod attach;
mod check;
pub mod control;
pub mod error;
pub mod holder;
pub mod janitor;
pub mod keep;
pub mod limits;
pub mod load;
pub mod log;
mod open;
pub mod own;
pub mod places;
pub mod queue;
mod spare;
pub mod state;

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore};

use self::attach::Waiter;
use self::holder::Holders;
use self::load::PoolLoad;
use self::log::{Label, Lines};
use self::places::{Membership, Place, Places};
use self::queue::Failing;
use self::state::{Sizes, State};
use crate::config::{HostAddr, LoadBalanceHosts};
use crate::metrics::{PoolLevels, PoolMetrics};
use crate::net::clock;
use crate::server::{Connection, ServerInfo, Target, Welcome};

pub use self::attach::Lease;
pub use self::error::AttachError;

/// What a pool is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PoolName {
    /// The database entry.
    pub database: String,
    /// The server user.
    pub user: String,
    /// The host, or the host list joined by commas.
    pub host: String,
}

impl fmt::Display for PoolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.database, self.user, self.host)
    }
}

/// What a pool goes by. Replaced as a whole by a reload or when a client's login brings new credentials.
#[derive(Clone, Debug)]
pub struct PoolRules {
    /// Where to open connections: one host, or several to choose from as `balance` says.
    pub targets: Vec<Target>,
    /// How to choose.
    pub balance: LoadBalanceHosts,
    /// How many connections.
    pub sizes: Sizes,
    /// Setting `max_db_connections`: of all pools of the database.
    pub max_db_connections: Option<u32>,
    /// Setting `max_user_connections`: of all pools of the server user.
    pub max_user_connections: Option<u32>,
    /// Setting `server_round_robin`.
    pub round_robin: bool,
    /// Setting `query_wait_timeout`.
    pub query_wait_timeout: Option<Duration>,
    /// Setting `query_timeout`, as far as it concerns those who wait.
    pub query_timeout: Option<Duration>,
    /// Setting `query_wait_notify`.
    pub query_wait_notify: Option<Duration>,
    /// Setting `server_lifetime`.
    pub server_lifetime: Duration,
    /// Setting `server_idle_timeout`.
    pub server_idle_timeout: Option<Duration>,
    /// How long to wait after a failed attempt (`server_login_retry`; shorter where a monitor watches the host).
    pub retry: Duration,
    /// Whether a monitor watches the host: then a failed attempt is its business, and clients wait for its verdict.
    pub watched: bool,
    /// Setting `server_fast_close`, where clients keep their servers.
    pub fast_close: bool,
    /// How connections that were unused for long are checked; `None`: they are not.
    pub check: Option<Check>,
    /// Setting `server_reset_query`; empty: none.
    pub reset_query: String,
    /// What is logged.
    pub lines: Lines,
}

/// A check before use.
#[derive(Clone, Debug)]
pub struct Check {
    /// Setting `server_check_query`; may be an empty query.
    pub query: String,
    /// Setting `server_check_delay`: unused for longer than this.
    pub after: Duration,
    /// How long the answer may take: as long as opening another (`server_connect_timeout`).
    pub limit: Duration,
}

/// Called with a host that a connection attempt or a connection has failed on.
pub type Suspect = Arc<dyn Fn(&HostAddr) + Send + Sync>;

/// A connection in the pool.
#[derive(Debug)]
struct Idle {
    connection: Box<Connection>,
    since: Instant,
    /// The client that it is kept for, until that client was told that something is wrong with it.
    keeper: Option<NonZeroU64>,
}

/// A connection of the pool, whoever holds it.
struct Server {
    info: Arc<ServerInfo>,
    /// Held from before the connection was opened.
    place: Place,
}

/// See the module's words.
pub struct Pool {
    name: PoolName,
    rules: Mutex<Arc<PoolRules>>,
    state: Mutex<State<Idle, Waiter>>,
    servers: Mutex<HashMap<u64, Server>>,
    welcome: Mutex<Option<Arc<Welcome>>>,
    /// Why the last attempt to open a connection failed.
    failing: Mutex<Option<Failing>>,
    /// Failed attempts since the last success.
    failures: AtomicUsize,
    next_target: AtomicUsize,
    /// Notified whenever a connection is closed or comes to rest.
    settled: Notify,
    /// Logins that may get a server to keep at the same time; see [`keep`].
    keeping: Semaphore,
    metrics: PoolMetrics,
    load: PoolLoad,
    holders: Arc<Holders>,
    suspect: Suspect,
    // Last: places are given back before it ends.
    membership: Membership,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Pool {
    /// An empty pool.
    pub fn new(
        name: PoolName,
        rules: PoolRules,
        metrics: PoolMetrics,
        holders: Arc<Holders>,
        suspect: Suspect,
        places: &Arc<Places>,
    ) -> Arc<Self> {
        let mut state = State::new(rules.sizes, rules.round_robin);
        state.check_after(rules.check.as_ref().map(|check| check.after));
        let membership = Membership::begin(places, &name.database, &name.user);
        membership.set_limits(rules.max_db_connections, rules.max_user_connections);
        let load = PoolLoad::new(clock::now());
        load.set_size(rules.sizes.size);
        let pool = Arc::new(Self {
            name,
            rules: Mutex::new(Arc::new(rules)),
            state: Mutex::new(state),
            servers: Mutex::default(),
            welcome: Mutex::default(),
            failing: Mutex::default(),
            failures: AtomicUsize::new(0),
            next_target: AtomicUsize::new(0),
            settled: Notify::new(),
            keeping: Semaphore::new(state::OPENING_AT_ONCE as usize),
            metrics,
            load,
            holders,
            suspect,
            membership,
        });
        pool.membership.introduce(Arc::downgrade(&pool));
        pool
    }

    /// What it is for.
    pub fn name(&self) -> &PoolName {
        &self.name
    }

    /// What its clients and servers did.
    pub fn metrics(&self) -> &PoolMetrics {
        &self.metrics
    }

    /// What it goes by.
    pub fn rules(&self) -> Arc<PoolRules> {
        lock(&self.rules).clone()
    }

    /// What its servers said at login, once one has.
    pub fn welcome(&self) -> Option<Arc<Welcome>> {
        lock(&self.welcome).clone()
    }

    /// How busy it is.
    pub fn load(&self) -> &PoolLoad {
        &self.load
    }

    /// How much of what it answers of late are failures ([`blames_host`](crate::routing::balance::blames_host)).
    pub fn failing(&self, now: Instant) -> u32 {
        self.load.failing(|| self.metrics.query_time.count(), now)
    }

    /// Its host has failed: with an error of its own, by closing a connection, or by refusing one.
    pub fn failed(&self, now: Instant) {
        self.metrics.failures.increment(1);
        self.load.failed(self.metrics.query_time.count(), now);
    }

    /// Whether nobody waits for it and it has no server, none on its way either.
    pub fn is_deserted(&self) -> bool {
        let state = self.state();
        state.total() + state.waiting() == 0
    }

    /// Its servers, in order of opening.
    pub fn servers(&self) -> Vec<Arc<ServerInfo>> {
        let mut servers: Vec<_> =
            lock(&self.servers).values().map(|server| server.info.clone()).collect();
        servers.sort_by_key(|server| server.id);
        servers
    }

    /// Numbers for SHOW POOLS and `/metrics`.
    pub fn levels(&self) -> PoolLevels {
        let now = clock::now();
        let state = self.state();
        PoolLevels {
            clients_active: state.attached(),
            clients_waiting: state.waiting(),
            servers_active: state.attached(),
            servers_idle: state.idle(),
            servers_login: state.opening(),
            size: state.size(),
            max_wait: state
                .first_waits_since()
                .map_or(Duration::ZERO, |since| now.saturating_duration_since(since)),
        }
    }

    /// A connection to this host broke.
    pub fn doubt(&self, host: &HostAddr) {
        (self.suspect)(host);
    }

    fn state(&self) -> MutexGuard<'_, State<Idle, Waiter>> {
        lock(&self.state)
    }

    /// The host for the next connection.
    fn pick_target(&self, rules: &PoolRules) -> Option<Target> {
        let count = rules.targets.len();
        let index = match rules.balance {
            LoadBalanceHosts::RoundRobin => self.next_target.fetch_add(1, Ordering::Relaxed),
            LoadBalanceHosts::Disable => self.next_target.load(Ordering::Relaxed),
        };
        rules.targets.get(index.checked_rem(count)?).cloned()
    }

    /// A connection has taken another's place.
    fn replace(&self, old: u64, new: &Arc<ServerInfo>) {
        let mut servers = lock(&self.servers);
        if let Some(Server { place, .. }) = servers.remove(&old) {
            servers.insert(new.id, Server { info: new.clone(), place });
        }
    }

    /// Closes a connection that is in no list any more.
    fn dispose(&self, connection: Connection, reason: &str) {
        let info = &connection.info;
        let server = lock(&self.servers).remove(&info.id);
        self.metrics.servers_closed.increment(1);
        if lock(&self.rules).lines.disconnections {
            let age = clock::now().saturating_duration_since(info.opened);
            Label::of(&self.name, info).closed(reason, age);
        }
        connection.close();
        self.settled.notify_waiters();
        // Only now: the server has been told of the one before it hears of the next.
        drop(server.map(|server| server.place));
    }

    /// Closes connections that were idle.
    fn dispose_idle(&self, idle: Vec<(Idle, &'static str)>) {
        for (idle, reason) in idle {
            self.dispose(*idle.connection, reason);
        }
    }
}

/// Locks; a poisoned lock is taken as it is: what it guards is only ever changed in whole steps.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
