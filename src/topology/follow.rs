//! The handle: starts the monitors, hands out watches, takes suspicions and reloads.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::board::Board;
use super::monitor;
use super::snapshot::Snapshot;
use crate::config::{HostAddr, TargetSessionAttrs};
use crate::metrics::Metrics;
use crate::server::Target;

/// A database entry whose hosts are followed.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name in `[databases]`.
    pub name: String,
    /// Its `target_session_attrs`: whether a missing primary is worth asking fast.
    pub attrs: TargetSessionAttrs,
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
    pub max_replica_lag: Option<Duration>,
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
    _stop_on_drop: DropGuard,
}

impl Topology {
    /// Starts the monitors on the current runtime, which should be the control one.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(entries: Vec<Entry>, pace: Pace, metrics: Arc<Metrics>) -> Self {
        let stop = CancellationToken::new();
        let inner = Inner {
            board: Arc::new(Board::new(metrics, pace)),
            tasks: TaskTracker::new(),
            runtime: tokio::runtime::Handle::current(),
            _stop_on_drop: stop.clone().drop_guard(),
            stop,
        };
        let topology = Self { inner: Arc::new(inner) };
        topology.reconfigure(entries, pace);
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

    /// What is believed of an entry's hosts, now and from now on. `None`: no such entry is followed.
    ///
    /// The watch is *changed* when a role, a host's state or its fitness changes; mere positions are updated in place.
    pub fn watch(&self, database: &str) -> Option<watch::Receiver<Arc<Snapshot>>> {
        self.inner.board.watch(database)
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
