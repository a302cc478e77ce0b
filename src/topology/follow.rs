//! The handle: starts the monitors, hands out watches, takes suspicions and reloads.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::error;

use super::board::Board;
use super::discover::names::{self, Names};
use super::discover::{self, Finding, Rhythm, Source};
use super::events::Event;
use super::memory;
use super::monitor;
use super::snapshot::Snapshot;
use super::wanted::Wanted;
use crate::config::{HostAddr, ReplicaLag, SplitBrain, TargetSessionAttrs};
use crate::metrics::Metrics;
use crate::server::Target;

/// A database entry whose hosts are followed.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name in `[databases]`.
    pub name: String,
    /// Its `target_session_attrs`: whether a missing primary is worth asking fast.
    pub attrs: TargetSessionAttrs,
    /// Its `max_replica_lag`, if it has one of its own.
    pub max_replica_lag: Option<Option<ReplicaLag>>,
    /// Its hosts are those that its cluster manager names: that one is missing there does not say that it is lost.
    pub discovered: bool,
    /// Its hosts in order, each with how the monitor logs in. Of several entries that name a host the first one's
    /// login is used. `timeout` in here does not count: [`Pace::timeout`] does.
    pub hosts: Vec<Target>,
}

/// How often hosts are asked, and what is too late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// `topology_interval`: time from question to question while all is well.
    pub interval: Duration,
    /// `topology_timeout`: how long a host may take to answer, login included if there has to be one.
    pub timeout: Duration,
    /// `max_replica_lag`.
    pub max_replica_lag: Option<ReplicaLag>,
    /// `split_brain`.
    pub split_brain: SplitBrain,
}

/// All monitors. Clones are handles to the same; when the last one goes the monitors end.
#[derive(Clone, Debug)]
pub struct Topology {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    board: Arc<Board>,
    tasks: TaskTracker,
    runtime: tokio::runtime::Handle,
    /// Parent of every monitor's.
    stop: CancellationToken,
    /// Of those who ask for hosts.
    discovering: Mutex<CancellationToken>,
    /// Which names are looked up.
    names: Mutex<Option<watch::Sender<Names>>>,
    _stop_on_drop: DropGuard,
}

impl Topology {
    /// Starts the monitors on the current runtime, which should be the control one. `state_file`: what is remembered over a
    /// restart is read from it now, and written to it when it changes.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(
        entries: Vec<Entry>,
        pace: Pace,
        metrics: Arc<Metrics>,
        state_file: Option<PathBuf>,
    ) -> Self {
        let stop = CancellationToken::new();
        let (remembered, problems) = state_file.as_deref().map(memory::read).unwrap_or_default();
        for words in problems {
            error!(
                "{words}; an old primary may be taken for the primary until another one is seen"
            );
        }
        let inner = Inner {
            board: Arc::new(Board::new(metrics, pace, remembered)),
            tasks: TaskTracker::new(),
            runtime: tokio::runtime::Handle::current(),
            discovering: Mutex::default(),
            names: Mutex::default(),
            _stop_on_drop: stop.clone().drop_guard(),
            stop,
        };
        let topology = Self { inner: Arc::new(inner) };
        topology.reconfigure(entries, pace);
        if let Some(path) = state_file {
            let writer = write_fences(topology.inner.board.clone(), path);
            let stop = topology.inner.stop.clone();
            let writer = async move { stop.run_until_cancelled(writer).await };
            topology.inner.tasks.spawn_on(writer, &topology.inner.runtime);
        }
        topology
    }

    /// Takes over changed entries. Hosts that stay keep their monitor and what is known of them (a changed login is
    /// used for the next connection); monitors of hosts that are no longer named end. Whoever watches an entry goes on
    /// doing so; the watch of an entry that is gone closes.
    pub fn reconfigure(&self, entries: Vec<Entry>, pace: Pace) {
        let inner = &self.inner;
        for host in inner.board.configure(entries, pace, &inner.stop) {
            inner.tasks.spawn_on(monitor::run(inner.board.clone(), host), &inner.runtime);
        }
    }

    /// Asks these from now on which hosts there are, and nobody else. Whoever listens to the findings is to see to it that
    /// [`Self::reconfigure`] follows.
    pub fn discover(&self, sources: Vec<Source>, rhythm: Rhythm, findings: &mpsc::Sender<Finding>) {
        let inner = &self.inner;
        let stop = inner.stop.child_token();
        let mut discovering = inner.discovering.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *discovering, stop.clone()).cancel();
        for source in sources {
            let asking = discover::run(inner.board.clone(), source, rhythm, findings.clone());
            let stop = stop.clone();
            let asking = async move { stop.run_until_cancelled(asking).await };
            inner.tasks.spawn_on(asking, &inner.runtime);
        }
    }

    /// Looks these names up from now on.
    pub fn look_up(&self, names: Names, findings: &mpsc::Sender<Finding>) {
        let inner = &self.inner;
        let mut asked = inner.names.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = asked.get_or_insert_with(|| {
            let (sender, wanted) = watch::channel(Names::default());
            let looking = names::run(inner.board.clone(), wanted, findings.clone());
            let stop = inner.stop.clone();
            let looking = async move { stop.run_until_cancelled(looking).await };
            inner.tasks.spawn_on(looking, &inner.runtime);
            sender
        });
        sender.send_if_modified(|known| {
            let other = *known != names;
            *known = names;
            other
        });
    }

    /// A name leads elsewhere: its monitors open their connections anew.
    pub fn reopen(&self, name: &str) {
        self.inner.board.reopen(name);
    }

    /// What is believed of an entry's hosts, now and from now on. `None`: no such entry is followed.
    ///
    /// The watch is *changed* when a role, a host's state or its fitness changes; mere positions are updated in place.
    pub fn watch(&self, database: &str) -> Option<watch::Receiver<Arc<Snapshot>>> {
        self.inner.board.watch(database)
    }

    /// By which workers say that clients of an entry wait for newer positions, and hear of them.
    pub fn wanted(&self, database: &str) -> Option<Arc<Wanted>> {
        self.inner.board.wanted(database)
    }

    /// All entries with what is believed of their hosts, by name.
    pub fn snapshots(&self) -> Vec<(String, Arc<Snapshot>)> {
        self.inner.board.snapshots()
    }

    /// Somebody had trouble with a connection to this host: it is asked at once. Never blocks, and may be called as
    /// often as one likes.
    pub fn suspect(&self, host: &HostAddr) {
        self.inner.board.suspect(host);
    }

    /// What changed of late, oldest first.
    pub fn events(&self) -> Vec<Event> {
        self.inner.board.events()
    }

    /// Waits until the first look at all hosts is over, so that the primary is known, if there is one.
    pub async fn first_look(&self) {
        self.inner.board.first_look().await;
    }

    /// A switchover of this entry is about to begin: its primary gets no new transactions until another host is the
    /// primary, [`Self::end_switchover`], or `until`. `None`: it is not followed, or there is no primary.
    pub fn announce_switchover(&self, database: &str, until: Instant) -> Option<HostAddr> {
        self.inner.board.announce_switchover(database, until)
    }

    /// It is over; tells whether there was one.
    pub fn end_switchover(&self, database: &str) -> bool {
        self.inner.board.end_switchover(database)
    }

    /// Sets the gauges that change with time alone. Before a scrape.
    pub fn refresh_metrics(&self) {
        self.inner.board.refresh_metrics();
    }

    /// Ends all monitors and waits for them.
    pub async fn shutdown(&self) {
        self.inner.stop.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }
}

/// Writes what is to be remembered whenever it has changed.
async fn write_fences(board: Arc<Board>, path: PathBuf) {
    loop {
        let fences = board.changed_fences().await;
        let file = path.clone();
        let written = tokio::task::spawn_blocking(move || memory::write(&file, &fences)).await;
        if let Ok(Err(problem)) = written {
            let path = path.display();
            error!("cannot write {path}: {problem}; the fences in it will be old after a restart");
        }
    }
}

/// Asks each host once, without monitors: what is believed then, by entry.
pub async fn look_once(
    entries: Vec<Entry>,
    pace: Pace,
    metrics: Arc<Metrics>,
) -> Vec<(String, TargetSessionAttrs, Arc<Snapshot>)> {
    let attrs: Vec<_> = entries.iter().map(|entry| entry.attrs).collect();
    let board = Arc::new(Board::new(metrics, pace, memory::Fences::new()));
    let hosts = board.configure(entries, pace, &CancellationToken::new());
    let mut looks = tokio::task::JoinSet::new();
    for host in hosts {
        let board = board.clone();
        looks.spawn(async move { monitor::look_once(&board, &host).await });
    }
    looks.join_all().await;
    let snapshots = board.snapshots().into_iter().zip(attrs);
    snapshots.map(|((name, snapshot), attrs)| (name, attrs, snapshot)).collect()
}
