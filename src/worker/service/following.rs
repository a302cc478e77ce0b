//! The pools of hosts that must not be used are closed, and opened again, as the monitors say.

use std::sync::Arc;

use super::{Service, Services, lock};
use crate::pool::Pool;
use crate::pool::state::Admission;
use crate::topology::snapshot::{HostView, Role, Snapshot};
use crate::worker::offer::Offer;

impl Services {
    /// Starts the task that closes the pools of hosts that must not be used, and reopens them.
    pub(super) fn follow(&self, service: &Arc<Service>) {
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
