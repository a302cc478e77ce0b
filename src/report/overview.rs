//! The process as a whole.

use std::sync::atomic::Ordering;

use crate::worker::shared::Shared;

/// See the module's words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// `active`, `paused`, `suspended` or `shutting down`.
    pub state: &'static str,
    /// Clients, those that are logging in included.
    pub clients: u32,
    /// `max_client_conn`.
    pub clients_limit: u32,
    /// Databases that PAUSE or KILL has stopped by their names.
    pub paused: Vec<String>,
    /// Databases that DISABLE has stopped.
    pub disabled: Vec<String>,
}

/// As it is now.
pub fn overview(shared: &Shared) -> Overview {
    let state = if shared.closing.load(Ordering::Acquire) {
        "shutting down"
    } else if shared.is_suspended() {
        "suspended"
    } else if shared.all_paused.load(Ordering::Acquire) {
        "paused"
    } else {
        "active"
    };
    let mut paused: Vec<_> = shared.paused.iter().map(|entry| entry.key().clone()).collect();
    let mut disabled: Vec<_> = shared.disabled.iter().map(|entry| entry.key().clone()).collect();
    paused.sort();
    disabled.sort();
    let (clients, clients_limit) =
        (shared.client_count(), shared.live().config.settings.max_client_conn);
    Overview { state, clients, clients_limit, paused, disabled }
}
