//! Services: what one database entry is to one server user.
//!
//! An entry that follows roles (`target_session_attrs`) has a pool per host, and each transaction chooses one by what
//! it wants and by what the monitors know. Any other entry has exactly one pool.
//!
//! - `offering` — what a service offers, and how its pools go about it
//! - `changing` — a service under another configuration, with other credentials, or not at all
//! - `following` — pools of hosts that must not be used are closed, and opened again
//! - `forgetting` — services that nobody uses

mod changing;
mod following;
mod forgetting;
mod offering;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use dashmap::DashMap;
pub use offering::{forced_credentials, target};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::offer::Offer;
use super::reads::Reads;
use super::startups::Startups;
use super::view::Snapshots;
use crate::auth::credentials::Credentials;
use crate::config::{Config, Database, HostAddr};
use crate::metrics::Metrics;
use crate::pool::Pool;
use crate::pool::holder::Holders;
use crate::pool::places::Places;
use crate::server::Tls;
use crate::session::parameters::Tracked;
use crate::session::queries::{Owner, Queries};
use crate::topology::snapshot::Role;
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

    /// From which primary a switchover of an entry was announced, and until when at most new transactions wait for it.
    pub fn switching_over(&self, database: &str) -> Option<(HostAddr, Instant)> {
        let snapshots = self.topology.watch(database)?;
        let snapshot = snapshots.borrow();
        let from = snapshot.hosts.iter().find(|host| host.role == Role::Primary)?;
        Some((from.addr.clone(), snapshot.switching_over?))
    }

    /// What statements cost.
    pub fn queries(&self) -> &Queries {
        &self.queries
    }

    /// How many server connections each database and each server user has.
    pub fn places(&self) -> &Places {
        &self.places
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

    /// Ends the tasks that follow hosts and waits for them.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
