//! The board: observations of all monitors arrive here, snapshots of all entries are published from here.
//!
//! Everything happens under one lock that is held for microseconds and never across an `.await`: a few observations a
//! second, a look-up whenever a client has trouble with a host. Workers do not come here to route: they have watches.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::decide::{Cluster, Observation, Rules};
use super::events::{Event, Events};
use super::follow::{Entry, Pace};
use super::memory::Fences;
use super::monitor::Host;
use super::snapshot::{Role, Snapshot};
use super::wanted::Wanted;
use crate::config::{HostAddr, ReplicaLag};
use crate::metrics::{HostMetrics, Metrics, TopologyMetrics};
use crate::net::clock;
use crate::server::Target;

/// Least time between two questions for the sake of a small `max_replica_lag`.
const SOONEST: Duration = Duration::from_millis(50);

/// How often a split brain is told as long as it lasts.
const ALARM: Duration = Duration::from_secs(60);

/// See the module's words.
#[derive(Debug)]
pub(super) struct Board {
    metrics: Arc<Metrics>,
    state: Mutex<State>,
    /// What is to be remembered over a restart is another.
    fences_changed: Notify,
    /// The first look at an entry's hosts is over.
    looked: Notify,
}

#[derive(Debug)]
struct State {
    pace: Pace,
    /// In the file's order.
    entries: Vec<Followed>,
    hosts: HashMap<HostAddr, Monitored>,
    events: Events,
    /// What an earlier run has seen, of entries that did not come up yet.
    remembered: Fences,
}

/// A database entry.
#[derive(Debug)]
struct Followed {
    name: String,
    /// Whether clients wait while there is no primary.
    needs_primary: bool,
    /// Whether changes are logged here: not if an earlier entry names the same hosts.
    speaks: bool,
    /// Whether it is logged here why there is no primary: not if an earlier entry that needs one names the same hosts.
    explains: bool,
    cluster: Cluster,
    publish: watch::Sender<Arc<Snapshot>>,
    wanted: Arc<Wanted>,
    last_primary: Option<HostAddr>,
    /// When a split brain was told last.
    alarmed: Option<Instant>,
    metrics: TopologyMetrics,
}

/// A host, whatever entries name it.
#[derive(Debug)]
struct Monitored {
    target: Target,
    wake: Arc<Notify>,
    bell: Arc<Notify>,
    reopen: Arc<AtomicBool>,
    stop: CancellationToken,
    metrics: HostMetrics,
}

impl Board {
    pub(super) fn new(metrics: Arc<Metrics>, pace: Pace, remembered: Fences) -> Self {
        let (entries, hosts, events) = (Vec::new(), HashMap::new(), Events::default());
        let state = Mutex::new(State { pace, entries, hosts, events, remembered });
        Self { metrics, state, fences_changed: Notify::new(), looked: Notify::new() }
    }

    /// Takes over the entries and stops the monitors of hosts that are no longer named; answers with the hosts that
    /// need a monitor.
    pub(super) fn configure(
        &self,
        entries: Vec<Entry>,
        pace: Pace,
        stop: &CancellationToken,
    ) -> Vec<Host> {
        let (now, wall) = (clock::now(), clock::wall());
        let mut state = self.state();
        state.pace = pace;

        let mut logins: HashMap<HostAddr, Target> = HashMap::new();
        for target in entries.iter().flat_map(|entry| &entry.hosts) {
            logins.entry(target.host.clone()).or_insert_with(|| target.clone());
        }
        state.hosts.retain(|addr, host| {
            let stays = logins.contains_key(addr);
            if !stays {
                host.stop.cancel();
            }
            stays
        });
        let mut started = Vec::new();
        for (addr, target) in logins {
            if let Some(known) = state.hosts.get_mut(&addr) {
                known.target = target;
                continue;
            }
            let [wake, bell] = [Arc::new(Notify::new()), Arc::new(Notify::new())];
            let stop = stop.child_token();
            let reopen = Arc::new(AtomicBool::new(false));
            let metrics = self.metrics.host(&addr.to_string());
            metrics.set_state(false, false, 0);
            metrics.set_role(Role::Unknown.name());
            metrics.set_lag(None, None);
            started.push(Host {
                addr: addr.clone(),
                wake: wake.clone(),
                bell: bell.clone(),
                reopen: reopen.clone(),
                stop: stop.clone(),
            });
            state.hosts.insert(addr, Monitored { target, wake, bell, reopen, stop, metrics });
        }

        let mut old = std::mem::take(&mut state.entries);
        let mut events = std::mem::take(&mut state.events);
        let (mut spoken, mut explained): (Vec<Vec<HostAddr>>, Vec<Vec<HostAddr>>) =
            Default::default();
        for entry in entries {
            let max_replica_lag = entry.max_replica_lag.unwrap_or(pace.max_replica_lag);
            let rules = Rules {
                split_brain: pace.split_brain,
                max_replica_lag,
                hosts_are_configured: !entry.discovered,
                needs_primary: entry.attrs.wants_primary(),
            };
            let addrs: Vec<HostAddr> =
                entry.hosts.iter().map(|target| target.host.clone()).collect();
            let speaks = !spoken.contains(&addrs);
            spoken.push(addrs.clone());
            let needs_primary = rules.needs_primary;
            let explains = needs_primary && !explained.contains(&addrs);
            explained.extend(explains.then(|| addrs.clone()));
            let followed = match old.iter().position(|followed| followed.name == entry.name) {
                Some(index) => {
                    let mut followed = old.swap_remove(index);
                    followed.cluster.reconfigure(addrs, rules, now, wall);
                    (followed.needs_primary, followed.speaks) = (needs_primary, speaks);
                    followed.explains = explains;
                    followed.tell(&mut events, now, wall);
                    followed
                }
                None => {
                    let mut cluster = Cluster::new(addrs, rules, now, wall);
                    if let Some(remembered) = state.remembered.remove(&entry.name) {
                        cluster.remember(remembered);
                    }
                    let (publish, _) = watch::channel(Arc::new(cluster.snapshot()));
                    let metrics = self.metrics.topology(&entry.name);
                    let last_primary = None;
                    Followed {
                        name: entry.name,
                        needs_primary,
                        speaks,
                        explains,
                        cluster,
                        publish,
                        wanted: Arc::new(Wanted::new(now)),
                        last_primary,
                        alarmed: None,
                        metrics,
                    }
                }
            };
            state.entries.push(followed);
        }
        // An entry that comes back finds its fence again.
        for gone in old {
            if let Some(fence) = gone.cluster.fence() {
                state.remembered.insert(gone.name, fence);
            }
        }
        state.events = events;
        let State { entries, hosts, .. } = &mut *state;
        entries.iter().for_each(|entry| entry.point(hosts));
        self.fences_changed.notify_one();
        self.looked.notify_waiters();
        // A new entry over hosts that are known already must not wait an interval for what they say.
        state.hosts.values().for_each(|host| host.wake.notify_one());
        started
    }

    /// Something was seen of a host.
    pub(super) fn observe(
        &self,
        addr: &HostAddr,
        observation: &Observation,
        now: Instant,
        wall: SystemTime,
    ) {
        let mut state = self.state();
        let State { entries, hosts, events, .. } = &mut *state;
        let Some(host) = hosts.get(addr) else { return };
        let mut view = None;
        for entry in entries.iter_mut() {
            if entry.publish.borrow().host(addr).is_none() {
                continue;
            }
            let (fence, looked) = (entry.cluster.fence_timeline(), entry.cluster.has_looked());
            entry.cluster.observe(addr, observation, now, wall);
            if entry.cluster.has_looked() != looked {
                self.looked.notify_waiters();
            }
            if entry.cluster.fence_timeline() != fence {
                self.fences_changed.notify_one();
            }
            let lost_primary = entry.tell(events, now, wall);
            entry.point(hosts);
            let snapshot = entry.publish.borrow();
            if lost_primary && entry.needs_primary {
                // Whoever is promoted is to be found out at once.
                let others = snapshot.hosts.iter().filter(|other| other.addr != *addr);
                others
                    .filter_map(|other| hosts.get(&other.addr))
                    .for_each(|other| other.wake.notify_one());
            }
            view = view.or_else(|| snapshot.host(addr).cloned());
        }
        let says_primary =
            matches!(observation, Observation::Answered(answer, _) if !answer.in_recovery);
        if let Some(view) = view {
            host.metrics.set_state(view.up, says_primary, view.timeline.unwrap_or_default());
            host.metrics.set_role(view.role.name());
            host.metrics.set_lag(view.lag_bytes, view.lag);
        }
    }

    /// Whether clients wait for a primary that this host might be, or lead to.
    pub(super) fn needs_haste(&self, addr: &HostAddr) -> bool {
        self.state().entries.iter().filter(|entry| entry.needs_primary).any(|entry| {
            let snapshot = entry.publish.borrow();
            snapshot.primary.is_none() && snapshot.host(addr).is_some()
        })
    }

    /// Whether it is a replica whose promotion clients of a primary would want to know of at once: even while the old
    /// primary is alive, or hangs.
    pub(super) fn may_be_promoted(&self, addr: &HostAddr) -> bool {
        self.state().entries.iter().filter(|entry| entry.needs_primary).any(|entry| {
            let snapshot = entry.publish.borrow();
            snapshot.host(addr).is_some_and(|host| host.role == Role::Replica)
        })
    }

    /// The longest time between two questions to this host: `topology_interval`, and several within each `max_replica_lag` that
    /// hangs on it, so that a replica which is fresh enough is not taken for one that is too old.
    pub(super) fn interval(&self, addr: &HostAddr) -> Duration {
        let state = self.state();
        let of_host =
            state.entries.iter().filter(|entry| entry.publish.borrow().host(addr).is_some());
        let limits = of_host.filter_map(|entry| match entry.cluster.max_replica_lag() {
            Some(ReplicaLag::Time(limit)) => Some((limit / 4).max(SOONEST)),
            Some(ReplicaLag::Bytes(_)) | None => None,
        });
        limits.fold(state.pace.interval, Duration::min)
    }

    pub(super) fn pace(&self) -> Pace {
        self.state().pace
    }

    pub(super) fn target(&self, addr: &HostAddr) -> Option<Target> {
        self.state().hosts.get(addr).map(|host| host.target.clone())
    }

    pub(super) fn watch(&self, database: &str) -> Option<watch::Receiver<Arc<Snapshot>>> {
        let state = self.state();
        state
            .entries
            .iter()
            .find(|entry| entry.name == database)
            .map(|entry| entry.publish.subscribe())
    }

    pub(super) fn snapshot(&self, database: &str) -> Option<Arc<Snapshot>> {
        self.watch(database).map(|watch| watch.borrow().clone())
    }

    pub(super) fn wanted(&self, database: &str) -> Option<Arc<Wanted>> {
        let state = self.state();
        let entry = state.entries.iter().find(|entry| entry.name == database)?;
        Some(entry.wanted.clone())
    }

    /// Whether clients wait for newer positions of this host, or its lag cannot be told yet.
    pub(super) fn are_positions_wanted(&self, addr: &HostAddr) -> bool {
        let now = clock::now();
        self.state()
            .entries
            .iter()
            .filter(|entry| entry.publish.borrow().host(addr).is_some())
            .any(|entry| entry.wanted.is_wanted(now) || entry.cluster.wants_positions(addr))
    }

    pub(super) fn snapshots(&self) -> Vec<(String, Arc<Snapshot>)> {
        let state = self.state();
        state
            .entries
            .iter()
            .map(|entry| (entry.name.clone(), entry.publish.borrow().clone()))
            .collect()
    }

    /// Waits until every entry's hosts were asked once.
    pub(super) async fn first_look(&self) {
        loop {
            let looked = self.looked.notified();
            let mut looked = std::pin::pin!(looked);
            looked.as_mut().enable();
            if self.state().entries.iter().all(|entry| entry.cluster.has_looked()) {
                return;
            }
            looked.await;
        }
    }

    /// The last events, oldest first.
    pub(super) fn events(&self) -> Vec<Event> {
        self.state().events.all()
    }

    /// Waits until what is to be remembered over a restart has changed; what it is now.
    pub(super) async fn changed_fences(&self) -> Fences {
        self.fences_changed.notified().await;
        let state = self.state();
        let of_entry = |entry: &Followed| Some((entry.name.clone(), entry.cluster.fence()?));
        // Entries that are gone for now keep theirs.
        let waiting = state.remembered.iter().map(|(name, fence)| (name.clone(), fence.clone()));
        waiting.chain(state.entries.iter().filter_map(of_entry)).collect()
    }

    /// A switchover of this entry begins, up to `until`; the present primary.
    pub(super) fn announce_switchover(&self, database: &str, until: Instant) -> Option<HostAddr> {
        self.with_entry(database, |entry, now, wall| {
            entry.cluster.announce_switchover(until, now, wall)
        })?
    }

    /// It is over; tells whether there was one.
    pub(super) fn end_switchover(&self, database: &str) -> bool {
        let ended =
            self.with_entry(database, |entry, now, wall| entry.cluster.end_switchover(now, wall));
        ended.unwrap_or(false)
    }

    fn with_entry<T>(
        &self,
        database: &str,
        change: impl FnOnce(&mut Followed, Instant, SystemTime) -> T,
    ) -> Option<T> {
        let (now, wall) = (clock::now(), clock::wall());
        let mut state = self.state();
        let State { entries, hosts, events, .. } = &mut *state;
        let entry = entries.iter_mut().find(|entry| entry.name == database)?;
        let outcome = change(entry, now, wall);
        entry.tell(events, now, wall);
        entry.point(hosts);
        // From now on all are asked fast.
        let snapshot = entry.publish.borrow();
        let all = snapshot.hosts.iter().filter_map(|host| hosts.get(&host.addr));
        all.for_each(|host| host.wake.notify_one());
        Some(outcome)
    }

    pub(super) fn suspect(&self, addr: &HostAddr) {
        if let Some(host) = self.state().hosts.get(addr) {
            host.wake.notify_one();
        }
    }

    /// The connections to hosts of this name are to be opened anew.
    pub(super) fn reopen(&self, name: &str) {
        let state = self.state();
        for (_, host) in state.hosts.iter().filter(|(addr, _)| addr.name() == name) {
            host.reopen.store(true, Ordering::Relaxed);
            host.wake.notify_one();
        }
    }

    /// Whether a host of this name is down.
    pub(super) fn is_name_down(&self, name: &str) -> bool {
        let state = self.state();
        state.entries.iter().any(|entry| {
            let snapshot = entry.publish.borrow();
            snapshot.hosts.iter().any(|host| !host.up && host.addr.name() == name)
        })
    }

    pub(super) fn refresh_metrics(&self) {
        let now = clock::now();
        for entry in &self.state().entries {
            entry.set_gauges(&entry.publish.borrow(), now);
        }
    }

    /// Nothing in here panics half-way through a change, so the state of a poisoned lock is sound.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Followed {
    /// Publishes what is believed now, with log lines and metrics; tells whether the primary was lost.
    fn tell(&mut self, events: &mut Events, now: Instant, wall: SystemTime) -> bool {
        let new = Arc::new(self.cluster.snapshot());
        let old = self.publish.borrow().clone();
        let missing = old.primary_missing_since;
        let missing = missing.map(|since| now.saturating_duration_since(since));
        if self.speaks {
            events.note(&self.name, &old, &new, missing, wall);
        }
        if self.explains {
            events.note_reason(&self.name, &old, &new, wall);
        }
        self.alarm(&new, now);
        self.set_gauges(&new, now);
        if let Some(primary) = new.primary() {
            if let (Some(missing), Some(_)) = (missing, &self.last_primary) {
                self.metrics.failover_time.record(missing);
            }
            if self.last_primary.as_ref().is_some_and(|last| *last != primary.addr) {
                self.metrics.primary_changes.increment(1);
            }
            self.last_primary = Some(primary.addr.clone());
        }
        let lost_primary = old.primary.is_some() && new.primary.is_none();
        self.publish.send_if_modified(|published| {
            *published = new;
            published.differs_in_use(&old)
        });
        lost_primary
    }

    /// Tells who waits for it where the primary is, and whose monitor is to be asked.
    fn point(&self, hosts: &HashMap<HostAddr, Monitored>) {
        let snapshot = self.publish.borrow();
        let primary = snapshot.hosts.iter().find(|host| host.role == Role::Primary);
        let monitored = primary.and_then(|primary| hosts.get(&primary.addr));
        self.wanted.follow(snapshot.samples.last(), monitored.map(|host| host.bell.clone()));
    }

    /// A split brain is told again as long as it lasts.
    fn alarm(&mut self, snapshot: &Snapshot, now: Instant) {
        if !snapshot.split_brain {
            self.alarmed = None;
            return;
        }
        // The first time is an event.
        let last = *self.alarmed.get_or_insert(now);
        if self.speaks && now.saturating_duration_since(last) >= ALARM {
            self.alarmed = Some(now);
            let database = self.name.as_str();
            error!(database, "still a split brain: no writes until all but one primary stop");
        }
    }

    fn set_gauges(&self, snapshot: &Snapshot, now: Instant) {
        let missing_for =
            snapshot.primary_missing_since.map(|since| now.saturating_duration_since(since));
        self.metrics.set_primary(missing_for, snapshot.split_brain);
    }
}
