//! What all workers share: the configuration in force, the clients, the services, the limits.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use dashmap::{DashMap, DashSet};
use tokio::sync::Notify;

use super::client::{CancelKey, ClientInfo, Keyed};
use super::console::Console;
use super::derivations::Derivations;
use super::directory::Directory;
use super::handover::Handover;
use super::login::Answers;
use super::peers::Peers;
use super::seats::{Seat, Seats};
use super::service::{Service, Services, forced_credentials};
use super::system::System;
use super::visitors::Visitors;
use crate::auth::MockKey;
use crate::auth::credentials::Credentials;
use crate::auth::mock::{Asked, Crowd};
use crate::config::{Config, Database};
use crate::metrics::Metrics;
use crate::net::tls::Acceptor;
use crate::pool::holder::{Holder, Holders, Order};
use crate::server::Tls;
use crate::session::parameters::Tracked;
use crate::session::prepared::StatementCache;

/// The configuration in force, with what was made of it. Replaced as a whole by a reload.
#[derive(Clone, Debug)]
pub struct Live {
    /// What the files say.
    pub config: Arc<Config>,
    /// How the users of `auth_file` look to who does not know them.
    pub crowd: Crowd,
    /// TLS towards servers.
    pub server_tls: Tls,
    /// TLS towards clients; `None` when it is off.
    pub client_tls: Option<Acceptor>,
    /// TLS over HTTP; `None` when it is off.
    pub http_tls: Option<Arc<rustls::ServerConfig>>,
}

/// See the module's words.
pub struct Shared {
    live: Mutex<Arc<Live>>,
    /// Counters and levels.
    pub metrics: Arc<Metrics>,
    /// How clients are woken, by their ids.
    pub holders: Arc<Holders>,
    /// Clients, found by the cancel keys they were given.
    pub clients: DashSet<Keyed>,
    /// What database entries are to server users.
    pub services: Services,
    /// Clients per database and per user.
    pub seats: Arc<Seats>,
    /// Who logs in, or is on the console.
    pub visitors: Arc<Visitors>,
    /// Other poolers that cancel requests are passed on to.
    pub peers: Peers,
    /// Prepared statements, shared by all clients.
    pub statements: Arc<StatementCache>,
    /// Settings that follow clients.
    pub tracked: Arc<Tracked>,
    /// For SCRAM salts of users without a stored one.
    pub mock_key: MockKey,
    /// How users look that auth_query knows.
    pub asked: Asked,
    /// What auth_query answered last.
    pub(super) answers: Answers,
    /// The slow part of SCRAM.
    pub derivations: Derivations,
    /// Directories, for who logs in by one.
    pub directory: Directory,
    /// PAM, for who logs in by it.
    pub system: System,
    /// What a successor of this process is given.
    pub handover: Handover,
    /// The console; set once, before the first client.
    pub console: OnceLock<Arc<dyn Console>>,
    /// Names switched off by DISABLE.
    pub disabled: DashMap<String, ()>,
    /// Databases paused by PAUSE or KILL, by name.
    pub paused: DashMap<String, ()>,
    /// Everything is paused.
    pub all_paused: AtomicBool,
    /// The number of the console client that has suspended everything; 0: nothing is.
    pub suspended_by: AtomicU64,
    /// No new logins, but to the console.
    pub closing: AtomicBool,
    count: AtomicU32,
    left: Notify,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("clients", &self.client_count()).finish_non_exhaustive()
    }
}

impl Shared {
    /// Before the first client. To be called on the control runtime.
    pub fn new(
        live: Live,
        metrics: Arc<Metrics>,
        holders: Arc<Holders>,
        services: Services,
        tracked: Arc<Tracked>,
    ) -> Arc<Self> {
        let config = live.config.clone();
        let shared = Self {
            live: Mutex::new(Arc::new(live)),
            metrics,
            holders,
            clients: DashSet::new(),
            services,
            seats: Arc::default(),
            visitors: Arc::default(),
            peers: Peers::default(),
            statements: Arc::default(),
            tracked,
            mock_key: MockKey::draw(),
            asked: Asked::default(),
            answers: Answers::default(),
            derivations: Derivations::default(),
            directory: Directory::default(),
            system: System::default(),
            handover: Handover::default(),
            console: OnceLock::new(),
            disabled: DashMap::new(),
            paused: DashMap::new(),
            all_paused: AtomicBool::new(false),
            suspended_by: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            count: AtomicU32::new(0),
            left: Notify::new(),
        };
        shared.derivations.prepare(&config, &shared.mock_key);
        shared.services.queries().remember(config.settings.track_queries);
        Arc::new(shared)
    }

    /// The configuration in force.
    pub fn live(&self) -> Arc<Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another configuration in force. To be called on the control runtime.
    pub fn set_live(&self, live: Live) {
        self.derivations.prepare(&live.config, &self.mock_key);
        self.services.queries().remember(live.config.settings.track_queries);
        self.directory.forget_tls();
        *self.live.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(live);
    }

    /// Clients that count towards `max_client_conn`.
    pub fn client_count(&self) -> u32 {
        self.count.load(Ordering::Acquire)
    }

    /// Takes one of the `max_client_conn` places; `None` when all are taken.
    pub fn take_place(self: &Arc<Self>) -> Option<Place> {
        let limit = self.live().config.settings.max_client_conn;
        self.count
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| {
                (count < limit).then_some(count + 1)
            })
            .ok()
            .map(|_| Place { shared: self.clone() })
    }

    /// One of the places, whether there is one or not: for a client that has one in another process.
    pub fn take_place_regardless(self: &Arc<Self>) -> Place {
        self.count.fetch_add(1, Ordering::AcqRel);
        Place { shared: self.clone() }
    }

    /// The service for a database entry and a server user. A new one begins in the pause that its database is in.
    pub fn service(
        &self,
        live: &Live,
        database: &Arc<Database>,
        user: &str,
        credentials: Credentials,
    ) -> Arc<Service> {
        let service =
            self.services.find(&live.config, &live.server_tls, database, user, credentials);
        // A reload in this very moment may have come by before this service was there to be found.
        let now = self.live();
        if !Arc::ptr_eq(&now.config, &live.config) {
            self.services.reconfigure(&service, &now.config, &now.server_tls);
        }
        if self.is_paused(&database.name) {
            service.offer().pools.iter().for_each(|pool| pool.pause());
            // A RESUME in this very moment may have come by before the pause did.
            if !self.is_paused(&database.name) {
                service.offer().pools.iter().for_each(|pool| pool.resume());
            }
        }
        service
    }

    /// Makes the services of databases with a forced user that are to have connections before their first client
    /// (`min_pool_size`).
    pub fn begin_minimum(&self) {
        let live = self.live();
        for database in live.config.databases.values() {
            if let Some(user) = &database.user
                && live.config.min_pool_size(database) > 0
            {
                let credentials = forced_credentials(&live.config, database, user);
                self.service(&live, database, user, credentials);
            }
        }
    }

    /// Waits until no client is left.
    pub async fn no_clients(&self) {
        loop {
            let change = self.left.notified();
            if self.client_count() == 0 {
                return;
            }
            change.await;
        }
    }

    /// Gives every client this order.
    pub fn order_all(&self, order: Order) {
        for holder in self.holders.iter() {
            holder.order(order);
        }
    }

    /// A cancel key that no client has.
    pub fn draw_key(&self, minor: u16, pid: Option<u32>) -> CancelKey {
        let peer = self.live().config.settings.peer_id;
        loop {
            let key = CancelKey::draw(minor, pid, peer);
            // Four bytes of secret beside a process id that another client has had may meet.
            if !self.clients.contains(&key) {
                return key;
            }
        }
    }

    /// Makes a client known until the returned value is dropped.
    pub fn register(self: &Arc<Self>, client: Arc<ClientInfo>) -> Registered {
        self.holders.insert(client.holder.id, client.holder.clone());
        // Only now: SUSPEND notes that it is in force before it looks who is there.
        if self.is_suspended() {
            client.holder.suspend(true);
            // A RESUME in this very moment may have come by before.
            if !self.is_suspended() {
                client.holder.suspend(false);
            }
        }
        self.clients.insert(Keyed(client.clone()));
        client.service.client_came();
        Registered { shared: self.clone(), client }
    }

    /// Whether a database is paused.
    pub fn is_paused(&self, database: &str) -> bool {
        self.all_paused.load(Ordering::Acquire) || self.paused.contains_key(database)
    }

    /// Whether nobody is read from (`SUSPEND`).
    pub fn is_suspended(&self) -> bool {
        self.suspended_by.load(Ordering::SeqCst) != 0
    }

    /// The client with this id.
    pub fn holder(&self, id: u64) -> Option<Arc<Holder>> {
        self.holders.get(&id).map(|holder| holder.clone())
    }
}

/// One of the `max_client_conn` places.
#[derive(Debug)]
pub struct Place {
    shared: Arc<Shared>,
}

impl Place {
    /// Whose client it is is known now.
    pub fn sit(self, seat: Seat) -> Seated {
        Seated { seat, _place: self }
    }
}

/// A place, and with it one of the database's and the user's. These are left first: who finds a place finds them too.
#[derive(Debug)]
pub struct Seated {
    seat: Seat,
    _place: Place,
}

impl Seated {
    /// Whose client it is.
    pub fn user(&self) -> &Arc<str> {
        self.seat.user()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.count.fetch_sub(1, Ordering::AcqRel);
        self.shared.left.notify_waiters();
    }
}

/// A client that others can find.
#[derive(Debug)]
pub struct Registered {
    shared: Arc<Shared>,
    client: Arc<ClientInfo>,
}

impl Registered {
    /// The client.
    pub fn info(&self) -> &Arc<ClientInfo> {
        &self.client
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.client.service.client_left();
        self.shared.clients.remove(&self.client.key);
        self.shared.holders.remove(&self.client.holder.id);
    }
}
