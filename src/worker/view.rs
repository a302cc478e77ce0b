//! What the monitors know of the hosts of one offer, in the order of its pools.
//!
//! A RELOAD, or a cluster manager, changes an entry's hosts while clients are at work. The monitors are told first and
//! publish for the new list at once; offers are replaced a moment later, one by one. So a host is never found by its
//! place in a snapshot, only by its address.

use std::sync::Arc;

use tokio::sync::watch;

use crate::config::HostAddr;
use crate::topology::snapshot::Snapshot;

/// What the monitors publish for a database entry.
pub type Snapshots = watch::Receiver<Arc<Snapshot>>;

/// See the module's words.
#[derive(Clone, Debug)]
pub struct View {
    hosts: Arc<[HostAddr]>,
    snapshots: Snapshots,
}

impl View {
    /// Of these hosts.
    pub fn new(hosts: Vec<HostAddr>, snapshots: Snapshots) -> Self {
        Self { hosts: hosts.into(), snapshots }
    }

    /// Whether a role, a host's state or its fitness has changed since [`Self::take`]. Mere positions do not count.
    pub fn has_changed(&self) -> bool {
        self.snapshots.has_changed().unwrap_or(false)
    }

    /// What is known now, a host for each of the offer's, in their order.
    pub fn take(&mut self) -> Arc<Snapshot> {
        self.take_published().of(&self.hosts)
    }

    /// The same as it was published: of the hosts that the entry has now.
    pub fn take_published(&mut self) -> Arc<Snapshot> {
        self.snapshots.borrow_and_update().clone()
    }

    /// Waits until [`Self::has_changed`]. An entry that is gone changes no more.
    pub async fn changed(&mut self) {
        if self.snapshots.changed().await.is_err() {
            std::future::pending().await
        }
    }
}
