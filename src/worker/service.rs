//! Services: what one database entry is to one server user.
//!
//! An entry that follows roles (`target_session_attrs`) has a pool per host, and each transaction chooses one by what
//! it wants and by what the monitors know. Any other entry has exactly one pool.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::offer::{Balance, Bounds, Offer, Tracking};
use super::reads::Reads;
use super::startups::Startups;
use super::view::{Snapshots, View};
use crate::auth::credentials::Credentials;
use crate::config::{CausalReads, Config, Database, HostAddr, PoolMode, RouteReads};
use crate::metrics::Metrics;
use crate::net::options::TcpOptions;
use crate::pool::holder::Holders;
use crate::pool::log::Lines;
use crate::pool::places::Places;
use crate::pool::state::{Admission, Sizes};
use crate::pool::{Check, Pool, PoolName, PoolRules};
use crate::server::{Target, Tls};
use crate::session::parameters::Tracked;
use crate::session::queries::{Owner, Queries};
use crate::topology::snapshot::{HostView, Role, Snapshot};
use crate::topology::wanted::Wanted;

/// Where views come from, and who is told of a host in doubt. Handed in, because the monitors are not this room's.
pub trait Topology: Send + Sync {
    /// What is known of the hosts of an entry that follows roles, as it changes.
    fn watch(&self, database: &str) -> Option<Snapshots>;
    /// By which it is told what clients of the entry want to know.
    fn wanted(&self, database: &str) -> Option<Arc<Wanted>>;
    /// A connection to this host, or an attempt to make one, has failed.
    fn suspect(&self, host: &HostAddr);
}

/// The name of the entry that stands for all others, and of its view.
pub const FALLBACK: &str = "*";

/// A retry where a monitor watches the host: its verdict comes soon, so this only has to be less than a flood.
const WATCHED_RETRY: Duration = Duration::from_millis(100);

/// See the module's words.
#[derive(Debug)]
pub struct Service {
    /// The database entry's name.
    pub database: String,
    /// The server user.
    pub user: String,
    offer: watch::Sender<Arc<Offer>>,
    credentials: std::sync::Mutex<Credentials>,
    /// Pools of earlier offers that transactions still run on.
    retired: std::sync::Mutex<Vec<Arc<Pool>>>,
    /// What its clients have asked for at startup and its servers have accepted.
    pub startups: Startups,
    /// Ends the task that follows the hosts of the present offer.
    following: std::sync::Mutex<CancellationToken>,
    /// Whose statements its clients run.
    owner: Arc<Owner>,
    /// Clients that are logged in.
    clients: AtomicU32,
    /// Clients that ever were.
    logins: AtomicU64,
    /// Since when it has had neither clients nor servers.
    deserted: std::sync::Mutex<Option<Instant>>,
}

impl Service {
    /// What it offers now, and later.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Offer>> {
        self.offer.subscribe()
    }

    /// What it offers now.
    pub fn offer(&self) -> Arc<Offer> {
        self.offer.borrow().clone()
    }

    /// What its pools log in with.
    pub fn credentials(&self) -> Credentials {
        lock(&self.credentials).clone()
    }

    /// Whose statements its clients run.
    pub fn owner(&self) -> &Arc<Owner> {
        &self.owner
    }

    /// A client has logged in.
    pub fn client_came(&self) {
        self.clients.fetch_add(1, Ordering::Relaxed);
        self.logins.fetch_add(1, Ordering::Relaxed);
    }

    /// How many clients have logged in.
    pub fn logins(&self) -> u64 {
        self.logins.load(Ordering::Relaxed)
    }

    /// A client that had logged in is gone.
    pub fn client_left(&self) {
        self.clients.fetch_sub(1, Ordering::Relaxed);
    }

    /// For how long it has had neither clients nor servers nor connections on their way.
    fn deserted_for(&self, now: Instant) -> Duration {
        let deserted = self.clients.load(Ordering::Relaxed) == 0
            && self.pools().iter().all(|pool| pool.is_deserted());
        let mut since = lock(&self.deserted);
        if !deserted {
            *since = None;
            return Duration::ZERO;
        }
        now.saturating_duration_since(*since.get_or_insert(now))
    }

    /// Whether `min_pool_size` counts: a client is there, or all clients share a server user.
    fn is_in_use(&self) -> bool {
        self.clients.load(Ordering::Relaxed) > 0 || self.offer.borrow().database.user.is_some()
    }

    /// The pools of its offer, and those of earlier ones that transactions still run on.
    pub fn pools(&self) -> Vec<Arc<Pool>> {
        let mut pools = self.offer().pools.clone();
        let mut retired = lock(&self.retired);
        retired.retain(|pool| !pool.servers().is_empty());
        pools.extend(retired.iter().cloned());
        pools
    }
}

/// All services of the process, made as clients ask for them.
pub struct Services {
    by_name: DashMap<(String, String), Arc<Service>>,
    metrics: Arc<Metrics>,
    holders: Arc<Holders>,
    places: Arc<Places>,
    topology: Arc<dyn Topology>,
    tracked: Arc<Tracked>,
    /// Which texts are reads, by the name of the database entry.
    reads: DashMap<String, Arc<Reads>>,
    /// What statements cost.
    queries: Arc<Queries>,
    /// Databases that only the entry `*` stands for, and that were asked for.
    auto: DashMap<String, ()>,
    tasks: TaskTracker,
    stop: CancellationToken,
    reconfiguring: std::sync::Mutex<()>,
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services").field("count", &self.by_name.len()).finish_non_exhaustive()
    }
}

impl Services {
    /// None yet.
    pub fn new(
        metrics: Arc<Metrics>,
        holders: Arc<Holders>,
        topology: Arc<dyn Topology>,
        tracked: Arc<Tracked>,
    ) -> Self {
        let (by_name, tasks, stop) = (DashMap::new(), TaskTracker::new(), CancellationToken::new());
        let (places, reads) = (Arc::default(), DashMap::new());
        let reconfiguring = std::sync::Mutex::default();
        Self {
            by_name,
            metrics,
            holders,
            places,
            topology,
            tracked,
            reads,
            queries: Arc::default(),
            auto: DashMap::new(),
            tasks,
            stop,
            reconfiguring,
        }
    }

    /// What is known of texts, by the name of the database entry.
    pub fn reads(&self) -> Vec<(String, Arc<Reads>)> {
        let mut all: Vec<_> =
            self.reads.iter().map(|entry| (entry.key().clone(), entry.value().clone())).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    /// What statements cost.
    pub fn queries(&self) -> &Queries {
        &self.queries
    }

    /// How many server connections each database and each server user has.
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// A round of the janitor's over all pools. `stays`: whether connections may be opened that nobody asks for yet.
    pub fn sweep(&self, config: &Config, now: Instant, stays: bool) {
        for service in self.all() {
            let in_use = stays && service.is_in_use();
            service.pools().iter().for_each(|pool| pool.sweep(now, in_use));
            let limit = config.pool_idle_timeout(&service.database);
            let database = service.offer().database.clone();
            if database.user.is_some() && config.min_pool_size(&database) > 0 {
                // It stands ready for its first client, or tries to.
                continue;
            }
            if service.deserted_for(now) >= limit.unwrap_or(Duration::MAX) {
                self.forget(service);
            }
        }
    }

    /// A service that was made for somebody who has not shown who he is, and whose database has no entry of its own, came
    /// to nothing: it is forgotten at once, or strangers could make as many as they can think of names.
    pub fn was_in_vain(&self, service: Arc<Service>) {
        if !service.is_in_use() && service.pools().iter().all(|pool| pool.servers().is_empty()) {
            self.forget(service);
        }
    }

    /// Forgets a service that nobody uses, unless somebody is about to.
    fn forget(&self, service: Arc<Service>) {
        let key = (service.database.clone(), service.user.clone());
        drop(service);
        // Whoever finds a service holds it before he lets the entry go: if only the map does, nobody can.
        let forgotten = self.by_name.remove_if(&key, |_, kept| Arc::strong_count(kept) == 1);
        if let Some(((database, user), service)) = forgotten {
            lock(&service.following).cancel();
            tracing::info!("{database}/{user}: forgotten, as it has no clients and no servers");
            if !self.by_name.iter().any(|entry| entry.key().0 == database) {
                self.auto.remove(&database);
            }
        }
    }

    /// The service for a database entry and a server user; made if it is new.
    pub fn find(
        &self,
        config: &Config,
        tls: &Tls,
        database: &Arc<Database>,
        user: &str,
        credentials: Credentials,
    ) -> Arc<Service> {
        let key = (database.name.clone(), user.to_owned());
        if let Some(known) = self.by_name.get(&key) {
            let known = known.clone();
            self.renew(&known, config, tls, credentials);
            return known;
        }
        self.by_name
            .entry(key)
            .or_insert_with(|| {
                let offer = self.make_offer(config, tls, database, user, &credentials, None);
                let (offer, _) = watch::channel(Arc::new(offer));
                let service = Arc::new(Service {
                    database: database.name.clone(),
                    user: user.to_owned(),
                    offer,
                    credentials: std::sync::Mutex::new(credentials),
                    retired: std::sync::Mutex::default(),
                    startups: Startups::default(),
                    owner: Arc::new(Owner::new(&self.queries, &database.name, user)),
                    following: std::sync::Mutex::new(self.stop.child_token()),
                    clients: AtomicU32::new(0),
                    logins: AtomicU64::new(0),
                    deserted: std::sync::Mutex::default(),
                });
                self.follow(&service);
                if !config.databases.contains_key(&database.name)
                    && self.auto.insert(database.name.clone(), ()).is_none()
                {
                    tracing::info!("registered new auto-database: {}", database.name);
                }
                service
            })
            .clone()
    }

    /// A login brought credentials: if they are new, the next server connections use them.
    fn renew(&self, service: &Service, config: &Config, tls: &Tls, credentials: Credentials) {
        {
            let mut known = lock(&service.credentials);
            // A login by certificate or trust shows nothing that a server could be shown; what others showed stays.
            let weaker = credentials == Credentials::ScramSecret
                && matches!(*known, Credentials::ScramKeys(_) | Credentials::Password(_));
            if *known == credentials || credentials == Credentials::Nothing || weaker {
                return;
            }
            *known = credentials.clone();
        }
        let offer = service.offer();
        for (pool, rules) in offer.pools.iter().zip(self.rules(
            config,
            tls,
            &offer.database,
            &service.user,
            &credentials,
        )) {
            pool.set_rules(rules);
        }
    }

    /// All services, in the order of their names.
    pub fn all(&self) -> Vec<Arc<Service>> {
        let mut all: Vec<_> = self.by_name.iter().map(|entry| entry.value().clone()).collect();
        all.sort_by(|a, b| (&a.database, &a.user).cmp(&(&b.database, &b.user)));
        all
    }

    /// All pools, in the order of their services.
    pub fn pools(&self) -> Vec<Arc<Pool>> {
        self.all().iter().flat_map(|service| service.pools()).collect()
    }

    /// Brings a service to a new configuration, its pools as far as they go on.
    pub fn reconfigure(&self, service: &Arc<Service>, config: &Config, tls: &Tls) {
        let _one_at_a_time = lock(&self.reconfiguring);
        let old = service.offer();
        let Some(database) = config.database(&service.database) else {
            return self.remove(service);
        };
        let credentials = match &database.user {
            Some(user) if *user == service.user => forced_credentials(config, &database, user),
            _ => lock(&service.credentials).clone(),
        };
        *lock(&service.credentials) = credentials.clone();
        let new = self.make_offer(config, tls, &database, &service.user, &credentials, Some(&old));
        let gone: Vec<_> = old
            .pools
            .iter()
            .filter(|pool| !new.pools.iter().any(|kept| Arc::ptr_eq(pool, kept)))
            .cloned()
            .collect();
        service.offer.send_replace(Arc::new(new));
        service.startups.clear();
        for pool in gone {
            pool.retire();
            lock(&service.retired).push(pool);
        }
        std::mem::replace(&mut *lock(&service.following), self.stop.child_token()).cancel();
        self.follow(service);
    }

    /// A database entry is gone: its pools close, its clients are told.
    pub fn remove(&self, service: &Arc<Service>) {
        self.by_name.remove(&(service.database.clone(), service.user.clone()));
        lock(&service.following).cancel();
        let old = service.offer();
        for pool in service.pools() {
            pool.remove();
        }
        service.offer.send_modify(|offer| {
            *offer = Arc::new(Offer {
                database: old.database.clone(),
                mode: old.mode,
                max_prepared_statements: old.max_prepared_statements,
                prepare_unnamed: old.prepare_unnamed,
                realm: old.realm,
                failover_timeout: old.failover_timeout,
                bounds: old.bounds,
                reset_always: old.reset_always,
                pools: Vec::new(),
                tracking: None,
                removed: true,
            });
        });
    }

    /// Ends the tasks that follow hosts and waits for them.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn make_offer(
        &self,
        config: &Config,
        tls: &Tls,
        database: &Arc<Database>,
        user: &str,
        credentials: &Credentials,
        old: Option<&Offer>,
    ) -> Offer {
        let pools = self
            .rules(config, tls, database, user, credentials)
            .into_iter()
            .map(|rules| {
                let hosts: Vec<_> =
                    rules.targets.iter().map(|target| target.host.to_string()).collect();
                let host = hosts.join(",");
                let kept =
                    old.and_then(|old| old.pools.iter().find(|pool| pool.name().host == host));
                if let Some(pool) = kept {
                    pool.set_rules(rules);
                    return pool.clone();
                }
                let name =
                    PoolName { database: database.name.clone(), user: user.to_owned(), host };
                let metrics = self.metrics.pool(&name.database, &name.user, &name.host);
                let topology = self.topology.clone();
                let suspect = Arc::new(move |host: &HostAddr| topology.suspect(host));
                let holders = self.holders.clone();
                let pool = Pool::new(name, rules, metrics, holders, suspect, &self.places);
                // PAUSE, new hosts, RELOAD, RESUME: the pause holds for the new pools too.
                if old.is_some_and(|old| old.pools.iter().any(|pool| pool.is_paused())) {
                    pool.pause();
                }
                pool
            })
            .collect();
        let tracking = database.target_session_attrs.and_then(|attrs| {
            // Databases that only `*` stands for share its monitors.
            let known = config.databases.contains_key(&database.name);
            let entry = if known { &database.name } else { FALLBACK };
            let view = View::new(database.hosts.clone(), self.topology.watch(entry)?);
            let wanted = self.topology.wanted(entry)?;
            let causal = database.causal_reads.unwrap_or(config.settings.causal_reads);
            let causal = causal == CausalReads::Session;
            let (routing, topology) =
                (self.metrics.routing(&database.name), self.metrics.topology(&database.name));
            let route_reads = database.route_reads.unwrap_or(config.settings.route_reads);
            let reads = match route_reads {
                RouteReads::Off | RouteReads::Explicit => None,
                RouteReads::Auto | RouteReads::Shadow => {
                    Some(self.reads.entry(database.name.clone()).or_default().clone())
                }
            };
            let balance = Balance::of(config, database);
            Some(Tracking {
                attrs,
                route_reads,
                reads,
                causal,
                wanted,
                view,
                balance,
                routing,
                topology,
            })
        });
        Offer {
            database: database.clone(),
            mode: config.pool_mode(database, user),
            max_prepared_statements: config.settings.max_prepared_statements,
            prepare_unnamed: config.settings.prepare_unnamed,
            realm: realm(&database.name, user),
            failover_timeout: config.settings.failover_timeout,
            bounds: Bounds {
                longest: config.settings.max_packet_size,
                simple: !config.settings.disable_pqexec,
            },
            reset_always: config.settings.server_reset_query_always,
            pools,
            tracking,
            removed: false,
        }
    }

    /// The rules of the entry's pools: one per host for entries that follow roles, else one for all.
    fn rules(
        &self,
        config: &Config,
        tls: &Tls,
        database: &Database,
        user: &str,
        credentials: &Credentials,
    ) -> Vec<PoolRules> {
        let settings = &config.settings;
        let watched = database.target_session_attrs.is_some();
        let mode = config.pool_mode(database, user);
        let with = |targets| PoolRules {
            targets,
            balance: database.load_balance_hosts,
            sizes: Sizes {
                size: config.pool_size(database, user),
                min: config.min_pool_size(database),
                reserve: config.reserve_pool_size(database, user),
                reserve_after: settings.reserve_pool_timeout,
            },
            max_db_connections: config.max_db_connections(database),
            max_user_connections: config.max_user_connections(user),
            round_robin: settings.server_round_robin,
            query_wait_timeout: config.query_wait_timeout(database, user),
            query_timeout: config.query_timeout(user),
            query_wait_notify: settings.query_wait_notify,
            server_lifetime: config.server_lifetime(database),
            server_idle_timeout: settings.server_idle_timeout,
            retry: if watched { WATCHED_RETRY } else { settings.server_login_retry },
            watched,
            fast_close: settings.server_fast_close && mode == PoolMode::Session,
            check: (!settings.server_check_query.is_empty()).then(|| Check {
                query: match settings.server_check_query.as_str() {
                    "<empty>" => String::new(),
                    query => query.to_owned(),
                },
                after: settings.server_check_delay,
                limit: settings.server_connect_timeout,
            }),
            reset_query: settings.server_reset_query.clone(),
            lines: Lines::of(settings),
        };
        let targets = database.hosts.iter().map(|host| {
            target(config, tls, database, host, user, credentials.clone(), self.tracked.clone())
        });
        if watched {
            targets.map(|target| with(vec![target])).collect()
        } else {
            vec![with(targets.collect())]
        }
    }

    /// Starts the task that closes the pools of hosts that must not be used, and reopens them.
    fn follow(&self, service: &Arc<Service>) {
        let offer = service.offer();
        let Some(tracking) = &offer.tracking else { return };
        let mut view = tracking.view.clone();
        // Pools of hosts that are down right now must be closed before their first client comes.
        admit_all(&offer, &view.take_published());
        let stop = lock(&service.following).clone();
        let follower = async move {
            loop {
                admit_all(&offer, &view.take_published());
                tokio::select! {
                    () = view.changed() => {}
                    () = stop.cancelled() => return,
                }
            }
        };
        self.tasks.spawn(follower);
    }
}

/// Opens or closes the pools as their hosts' states demand. The pool of a host that the entry does not have any more is
/// left to whoever replaces the offer: what runs on it may end.
fn admit_all(offer: &Offer, snapshot: &Snapshot) {
    for (pool, addr) in offer.pools.iter().zip(&offer.database.hosts) {
        if let Some(host) = snapshot.host(addr) {
            admit(pool, host);
        }
    }
}

/// Opens or closes a pool as its host's state demands.
fn admit(pool: &Arc<Pool>, host: &HostView) {
    let usable = host.up && host.role != Role::Deposed;
    match (usable, pool.admission()) {
        (true, Admission::Closed) => pool.reopen(),
        (false, Admission::Open | Admission::Paused) => pool.evacuate(),
        _ => {}
    }
}

/// Where and how to log in at one host of an entry.
pub fn target(
    config: &Config,
    tls: &Tls,
    database: &Database,
    host: &HostAddr,
    user: &str,
    credentials: Credentials,
    tracked: Arc<Tracked>,
) -> Target {
    let settings = &config.settings;
    Target {
        host: host.clone(),
        dbname: database.dbname.clone(),
        user: user.to_owned(),
        credentials,
        parameters: database.server_parameters.clone(),
        tls: tls.clone(),
        tcp: TcpOptions::of(settings),
        timeout: settings.server_connect_timeout,
        tracked,
        max_prepared_statements: settings.max_prepared_statements,
        connect_query: database.connect_query.clone(),
    }
}

/// A number for an entry and a user; which texts are seen often is counted by it.
fn realm(database: &str, user: &str) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    (database, user).hash(&mut hasher);
    hasher.finish()
}

/// What a forced user, `auth_user` or `topology_user` logs in with: the entry's password, else `auth_file`'s.
pub fn forced_credentials(config: &Config, database: &Database, user: &str) -> Credentials {
    use crate::auth::secret::Secret;
    let own = database.password.as_ref().filter(|_| database.user.as_deref() == Some(user));
    let text = own.or_else(|| config.userlist.users.get(user));
    Credentials::from_secret(text.map(|text| Secret::parse(text.reveal())).as_ref())
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
