//! One client's look at its service: the choice among its pools, and waiting until there is one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::offer::{Bounds, Offer};
use super::reads::Reads;
use super::route;
use super::service::Service;
use super::view::View;
use crate::config::RouteReads;
use crate::metrics::MoveReason;
use crate::net::clock;
use crate::pool::{AttachError, Lease, Pool};
use crate::routing::Intent;
use crate::routing::causal::{Need, Token};
use crate::session::Place;
use crate::session::own::Whereabouts;
use crate::topology::snapshot::Snapshot;

/// Where one transaction may go.
pub enum Choice {
    /// This pool.
    Pool(Arc<Pool>),
    /// Nowhere yet: no host of the kind is known.
    Hold {
        /// Whether it is the primary that is missing.
        primary: bool,
    },
    /// No replica is fit, and nothing else is to serve (`replica_fallback = error`).
    NoReplica,
    /// The database entry is gone.
    Removed,
}

/// One client's look at its service: kept up to date by looking at two versions, once per transaction.
#[derive(Debug)]
pub struct Access {
    offers: watch::Receiver<Arc<Offer>>,
    offer: Arc<Offer>,
    view: Option<View>,
    snapshot: Option<Arc<Snapshot>>,
    place: Place,
    /// What it has written and needs to see.
    need: Need,
    dice: u64,
}

impl Access {
    /// A look at this service. `seed`: anything that differs between clients.
    pub fn new(service: &Service, seed: u64) -> Self {
        let mut offers = service.subscribe();
        let offer = offers.borrow_and_update().clone();
        let mut access = Self {
            offers,
            offer,
            view: None,
            snapshot: None,
            place: Place::Unknown,
            need: Need::default(),
            dice: seed,
        };
        access.take_view();
        access
    }

    fn take_view(&mut self) {
        self.view = self.offer.tracking.as_ref().map(|tracking| tracking.view.clone());
        self.snapshot = self.view.as_mut().map(View::take);
    }

    /// The present offer.
    pub fn offer(&mut self) -> &Arc<Offer> {
        if self.offers.has_changed().unwrap_or(false) {
            self.offer = self.offers.borrow_and_update().clone();
            self.take_view();
        }
        &self.offer
    }

    /// What messages are let through, as of the last look at the offer.
    pub fn bounds(&self) -> Bounds {
        self.offer.bounds
    }

    /// The pool for a transaction with this intent.
    pub fn choose(&mut self, intent: Intent, now: Instant) -> Choice {
        self.offer();
        self.place = Place::Unknown;
        if self.offer.removed {
            return Choice::Removed;
        }
        let offer = &*self.offer;
        let Some(tracking) = &offer.tracking else {
            return offer.pools.first().map_or(Choice::Removed, |pool| Choice::Pool(pool.clone()));
        };
        // Positions alone are updated without a word.
        let positions = self.need.is_some()
            || self.snapshot.as_ref().is_some_and(|snapshot| snapshot.is_outdated(now));
        if let Some(view) = &mut self.view
            && (positions || view.has_changed())
        {
            self.snapshot = Some(view.take());
        }
        let Some(snapshot) = &self.snapshot else { return Choice::Hold { primary: true } };
        self.dice = next(self.dice);
        let (choice, place) =
            route::choose(tracking, &offer.pools, snapshot, intent, &mut self.need, now, self.dice);
        self.place = place;
        choice
    }

    /// The pools of the replicas that are fit now, without choosing one.
    pub fn replicas(&mut self) -> Vec<Arc<Pool>> {
        self.offer();
        self.snapshot = self.view.as_mut().map(View::take);
        let Some(snapshot) = &self.snapshot else { return Vec::new() };
        let pools = &self.offer.pools;
        snapshot.replicas().filter_map(|(index, _)| pools.get(index).cloned()).collect()
    }

    /// What a client is told that gets no replica and nothing else.
    pub fn no_replica(&mut self) -> AttachError {
        self.no_host(Duration::ZERO, false)
    }

    /// Whether no host answers its monitor.
    pub fn nobody_is_there(&mut self) -> bool {
        self.snapshot = self.view.as_mut().map(View::take);
        self.snapshot.as_ref().is_some_and(|snapshot| snapshot.hosts.iter().all(|host| !host.up))
    }

    /// What a client is told that was held in vain.
    pub fn no_host(&mut self, held: Duration, primary: bool) -> AttachError {
        // How a host is down is no change that anybody is told of.
        self.snapshot = self.view.as_mut().map(View::take);
        let database = self.offer.database.name.clone();
        AttachError::NoHost { database, held, primary, hosts: self.snapshot.clone() }
    }

    /// The client has written something, or may have, and that is done.
    pub fn wrote(&mut self) {
        if let Some(tracking) = self.offer.tracking.as_ref().filter(|tracking| tracking.causal) {
            // Read anew: its server may have committed after this wake-up of the task began.
            let now = clock::now();
            tracking.wanted.want(now);
            self.need.wrote(now);
        }
    }

    /// Whether it has written something that its reads must see.
    pub fn has_written(&self) -> bool {
        self.need.has_written()
    }

    /// Its reads are to see at least this, besides (`pgweir.min_lsn`).
    pub fn see_at_least(&mut self, token: Option<Token>) {
        self.need.at_least(token);
    }

    /// Where the primary is, by what it was asked after this moment. `None`: it is being asked; look again after
    /// [`Self::next_sample`].
    pub fn locate(&mut self, after: Instant) -> Option<Whereabouts> {
        let Some(tracking) = self.offer().tracking.as_ref() else {
            return Some(Whereabouts::NotFollowed);
        };
        let sample = *tracking.wanted.samples().borrow();
        let late = sample.filter(|sample| sample.asked > after);
        if late.is_none() {
            tracking.wanted.ring();
        }
        late.map(|sample| Whereabouts::At(sample.into()))
    }

    /// Waits until more is known of where the primary is, or the offer is another one. What happens between a look and
    /// the first poll of this is missed.
    pub fn next_sample(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut offers = self.offers.clone();
        let samples = self.offer.tracking.as_ref().map(|tracking| tracking.wanted.samples());
        async move {
            let sampled = async {
                if let Some(mut samples) = samples
                    && samples.changed().await.is_ok()
                {
                    return;
                }
                std::future::pending().await
            };
            tokio::select! {
                _ = offers.changed() => {}
                () = sampled => {}
            }
        }
    }

    /// Whether a primary is known.
    pub fn has_primary(&self) -> bool {
        self.offer
            .tracking
            .as_ref()
            .is_some_and(|tracking| tracking.wanted.samples().borrow().is_some())
    }

    /// The position that it needs to see, if it waits for one.
    pub fn needs(&self) -> Option<u64> {
        self.need.position()
    }

    /// What kind of host the pool chosen last is of.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Which texts are reads, and whether they are to be routed by that or only counted.
    pub fn reads(&self) -> Option<(&Arc<Reads>, RouteReads)> {
        let tracking = self.offer.tracking.as_ref()?;
        let reads = tracking.reads.as_ref().filter(|_| tracking.attrs.wants_primary())?;
        Some((reads, tracking.route_reads))
    }

    /// Counts a request that is run again on another host.
    pub fn moved(&self, reason: MoveReason) {
        if let Some(tracking) = &self.offer.tracking {
            tracking.routing.moved(reason);
        }
    }

    /// Waits until the offer or the hosts' state is another one than at the last look.
    pub fn change(&self) -> impl Future<Output = ()> + Send + 'static {
        let (mut offers, view) = (self.offers.clone(), self.view.clone());
        async move {
            let hosts = async {
                match view {
                    Some(mut view) => view.changed().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = offers.changed() => {}
                _ = hosts => {}
            }
        }
    }

    /// Attaches a server without a session: for logins and for questions of our own.
    ///
    /// # Errors
    /// As [`Pool::attach`], and [`AttachError::NoHost`] after `failover_timeout`.
    pub async fn attach(&mut self, now: Instant) -> Result<Lease, AttachError> {
        self.attach_as(Intent::Unstated, now).await
    }

    /// As [`Self::attach`], for this intent.
    ///
    /// # Errors
    /// As [`Self::attach`].
    pub async fn attach_as(&mut self, intent: Intent, now: Instant) -> Result<Lease, AttachError> {
        let deadline = now + self.offer.failover_timeout;
        let mut held = None;
        loop {
            let primary = match self.choose(intent, clock::now()) {
                Choice::Removed => return Err(AttachError::DatabaseGone),
                Choice::NoReplica => return Err(self.no_replica()),
                Choice::Hold { primary } => primary,
                Choice::Pool(pool) => {
                    let at = clock::now();
                    if let Some(lease) = pool.try_attach(at) {
                        return Ok(lease);
                    }
                    let attached = match pool.attach(0, at) {
                        Ok(attaching) => attaching.await,
                        Err(error) => Err(error),
                    };
                    match attached {
                        Err(AttachError::HostGone) => true,
                        other => return other,
                    }
                }
            };
            held.get_or_insert_with(|| Held::begin(&self.offer, clock::now()));
            hold(self.change(), deadline).await;
            if clock::now() >= deadline {
                return Err(self.no_host(self.offer.failover_timeout, primary));
            }
        }
    }
}

/// A client that is held, counted for as long as this lives.
#[derive(Debug)]
pub struct Held {
    offer: Arc<Offer>,
    /// When the hold began.
    pub since: Instant,
}

impl Held {
    /// The hold begins.
    pub fn begin(offer: &Arc<Offer>, since: Instant) -> Self {
        if let Some(tracking) = &offer.tracking {
            tracking.topology.held_clients.increment(1);
        }
        Self { offer: offer.clone(), since }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(tracking) = &self.offer.tracking {
            tracking.topology.held_clients.decrement(1);
            let time = clock::now().saturating_duration_since(self.since);
            tracking.topology.hold_time.record(time);
        }
    }
}

/// Longest time until a client that is held looks again by itself.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Waits for a change, for the next look or for the deadline, whichever is first.
pub async fn hold(change: impl Future<Output = ()>, deadline: Instant) {
    let next_look = (clock::now() + LOOK_AGAIN).min(deadline);
    let _ = tokio::time::timeout_at(next_look.into(), change).await;
}

/// SplitMix64: cheap, and even enough to choose among replicas.
fn next(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
