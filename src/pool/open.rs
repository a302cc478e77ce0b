//! Opening connections for those who wait.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::attach::{Lease, Waiter};
use super::error::AttachError;
use super::log::{Label, Lines};
use super::places::Place;
use super::queue::Failing;
use super::state::{Need, State};
use super::{Idle, Pool, PoolRules, Server, lock};
use crate::config::LoadBalanceHosts;
use crate::metrics::TlsVersion;
use crate::net::{clock, id};
use crate::server::{self, Connection, OpenError, Target, Welcome};

impl Pool {
    /// Begins to open as many connections as the queue wants and the limits allow. The sockets are registered with
    /// the calling thread's reactor.
    pub(super) fn open_more(pool: &Arc<Self>) {
        Self::check_more(pool);
        let mut full = false;
        while pool.wants_more() {
            let Some(place) = pool.membership.take_or_claim() else {
                full = true;
                break;
            };
            if Self::open_with(pool, place).is_some() {
                break;
            }
        }
        Self::free_kept(pool, full);
    }

    /// For whom nothing can be opened there are those that are kept for others.
    fn free_kept(pool: &Arc<Self>, full: bool) {
        if pool.state().free_kept(full, clock::now()) {
            Self::check_more(pool);
        }
    }

    /// Whether a connection is to be opened for somebody who waits.
    pub(super) fn wants_more(&self) -> bool {
        self.state().wants(clock::now()).is_some()
    }

    /// Begins to open a connection in this place, or gives it back: nobody needs one any more.
    pub(super) fn open_with(pool: &Arc<Self>, place: Place) -> Option<Place> {
        let now = clock::now();
        Self::begin_opening(pool, place, |state| state.wants(now))
    }

    /// Begins to open a connection if the pool has fewer than it should keep.
    pub(super) fn open_minimum(pool: &Arc<Self>, now: Instant) {
        if pool.state().wants_minimum(now).is_some()
            && let Some(place) = pool.membership.take()
        {
            drop(Self::begin_opening(pool, place, |state| state.wants_minimum(now)));
        }
    }

    fn begin_opening(
        pool: &Arc<Self>,
        place: Place,
        need: impl FnOnce(&mut State<Idle, Waiter>) -> Option<Need>,
    ) -> Option<Place> {
        // There is none while the process ends.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return Some(place) };
        let need = {
            let mut state = pool.state();
            let Some(need) = need(&mut state) else { return Some(place) };
            state.begin_opening();
            need
        };
        if need == Need::Reserve {
            tracing::warn!("{}: taking connection from reserve_pool", pool.name);
        }
        runtime.spawn(Opening::new(pool, place, None).run());
        None
    }

    /// Begins to open a connection for a client that logs in, if one may be opened without anybody having to wait or to
    /// make room for it. Who queues and would get no other goes first: then nothing comes.
    pub(super) fn open_to_keep(pool: &Arc<Self>, now: Instant) -> Option<oneshot::Receiver<Lease>> {
        let runtime = tokio::runtime::Handle::try_current().ok()?;
        // A place that is taken for nothing may be missed elsewhere.
        if !pool.state().may_open_to_keep(now) {
            return None;
        }
        let place = pool.membership.take()?;
        let begun = {
            let mut state = pool.state();
            let may = state.may_open_to_keep(now);
            if may {
                state.begin_opening();
            }
            may
        };
        if !begun {
            return None;
        }
        let (keeper, opened) = oneshot::channel();
        runtime.spawn(Opening::new(pool, place, Some(keeper)).run());
        Some(opened)
    }
}

/// One attempt. Counts as a failure if it is dropped midway.
struct Opening {
    pool: Option<Arc<Pool>>,
    /// Goes over to the connection, or to whoever is next.
    place: Option<Place>,
    /// Who is to have it, if nobody queues then for whom there will be no other.
    keeper: Option<oneshot::Sender<Lease>>,
}

impl Opening {
    fn new(pool: &Arc<Pool>, place: Place, keeper: Option<oneshot::Sender<Lease>>) -> Self {
        Self { pool: Some(pool.clone()), place: Some(place), keeper }
    }

    async fn run(mut self) {
        let Some(pool) = self.pool.clone() else { return };
        let rules = pool.rules();
        let Some(target) = pool.pick_target(&rules) else { return };
        let opened = pool.connect(&target, rules.lines, None).await;
        self.pool = None;
        match (opened, self.place.take()) {
            (Ok((connection, welcome)), Some(place)) => {
                let server = Server { info: connection.info.clone(), place };
                lock(&pool.servers).insert(connection.info.id, server);
                *lock(&pool.welcome) = Some(Arc::new(welcome));
                *lock(&pool.failing) = None;
                pool.failures.store(0, Ordering::Relaxed);
                pool.state().opened();
                // The host may have been given up, or the rules replaced, while this was under way.
                if !rules.same_servers(&pool.rules()) {
                    connection.info.need_close();
                }
                let lease = Lease::new(pool.clone(), Box::new(connection));
                let keeper = self.keeper.take().filter(|_| !pool.state().lacks(clock::now()));
                let unwanted = match keeper {
                    Some(keeper) => keeper.send(lease).err(),
                    None => Some(lease),
                };
                if let Some(lease) = unwanted {
                    lease.give_back_unused(clock::now());
                }
                Pool::open_more(&pool);
            }
            (Err(error), place) => {
                pool.opening_failed(&rules, &error);
                drop(place);
            }
            (Ok(_), None) => unreachable!("the place is held until here"),
        }
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            pool.state().open_failed(clock::now());
            pool.settled.notify_waiters();
        }
    }
}

impl Pool {
    /// Opens a connection, and says so in the log. `told`: what to call a failure there, instead of the server's words.
    pub(super) async fn connect(
        &self,
        target: &Target,
        lines: Lines,
        told: Option<&str>,
    ) -> Result<(Connection, Welcome), OpenError> {
        let (id, begun) = (id::next(), clock::now());
        let mut reached = begun;
        let label = |remote| Label::new(id, &self.name, &target.host, remote);
        let mut remote = None;
        let opened = server::open(target, id, |socket| {
            remote = socket.peer_addr();
            reached = clock::now();
            self.metrics.reached(reached.saturating_duration_since(begun));
            if lines.connections {
                label(remote).opened(socket.local_addr());
            }
        });
        let opened = opened.await;
        let took = clock::now().saturating_duration_since(reached);
        if let Ok((connection, _)) = &opened {
            self.metrics.opened(took, TlsVersion::of(&connection.info.tls));
        }
        if let Err(error) = &opened {
            self.metrics.open_failed(error.is_of_tls());
            label(remote).failed(error);
            if lines.disconnections {
                let age = clock::now().saturating_duration_since(begun);
                let message = error.client_message();
                label(remote).closed(told.unwrap_or(&message), age);
            }
        }
        opened
    }

    fn opening_failed(self: &Arc<Self>, rules: &PoolRules, error: &OpenError) {
        *lock(&self.failing) =
            Some(Failing { told: error.client_message(), full: error.to_string() });
        if rules.balance == LoadBalanceHosts::Disable {
            self.next_target.fetch_add(1, Ordering::Relaxed);
        }
        let doubtful = error.doubts_host();
        // Of several hosts the next may do: try it at once, but each only once per pause.
        let targets = rules.targets.len();
        let now = clock::now();
        self.failed(now);
        let usable = self.servers().iter().any(|server| !server.close_needed());
        let kicked = {
            let mut state = self.state();
            let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
            let pause = if doubtful && !failures.is_multiple_of(targets.max(1)) {
                Duration::ZERO
            } else {
                rules.retry
            };
            state.open_failed(now + pause);
            // A server that refuses us will go on doing so; one that cannot be reached may come back.
            // One that is to be replaced serves nobody any more.
            if !usable && !doubtful { state.take_waiting() } else { Vec::new() }
        };
        for waiter in kicked {
            let pool = self.name.to_string();
            let told = match error {
                OpenError::Refused { response, .. } => {
                    AttachError::Refused { pool, response: response.clone() }
                }
                other => AttachError::Failing { pool, reason: other.client_message() },
            };
            let _ = waiter.send(Err(told));
        }
        self.settled.notify_waiters();
        if doubtful {
            (self.suspect)(error.host());
        }
        self.retry_later();
        Self::free_kept(self, false);
    }

    /// Tries again when the pause is over, if somebody still waits then.
    fn retry_later(self: &Arc<Self>) {
        let at = {
            let state = self.state();
            if state.waiting() == 0 { None } else { state.retry_at() }
        };
        let Some(at) = at else { return };
        let pool = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep_until(at.into()).await;
            if let Some(pool) = pool.upgrade() {
                Self::open_more(&pool);
            }
        });
    }
}
