//! Who waits in a pool, and what for: for people who ask why (`SHOW WHY`).

use std::time::{Duration, Instant};

use super::limits::Usage;
use super::{Pool, lock};
use crate::pool::state::Admission;

/// What keeps a pool from serving the first in its queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// `PAUSE`, or a switchover that is being prepared.
    Paused,
    /// The monitor says that its host is not to be used.
    HostGone,
    /// No connection can be opened.
    Failing {
        /// The last error, in full.
        error: String,
        /// When it is tried again.
        again_in: Duration,
    },
    /// `max_db_connections` is reached.
    DatabaseFull(Usage),
    /// `max_user_connections` is reached.
    UserFull(Usage),
    /// All are in use, and there may be no more of them.
    PoolFull {
        /// Connections that clients hold.
        in_use: u32,
        /// Setting `pool_size`.
        size: u32,
        /// Setting `reserve_pool_size`.
        reserve: u32,
        /// Setting `reserve_pool_timeout`; `None`: the reserve is not used.
        reserve_after: Option<Duration>,
    },
    /// Connections are being opened or checked. The last attempt's error, if that failed.
    Coming(Option<String>),
}

/// Why the last attempt to open a connection failed.
#[derive(Clone, Debug)]
pub(super) struct Failing {
    /// As a client may know it.
    pub(super) told: String,
    /// With host and all.
    pub(super) full: String,
}

impl Pool {
    /// The ids of the clients that wait (0: one that is not logged in yet) and since when, first come first.
    pub fn queue(&self) -> Vec<(u64, Instant)> {
        self.state().queue().map(|(waiter, since)| (waiter.client, since)).collect()
    }

    /// What those who wait are waiting for.
    pub fn obstacle(&self, now: Instant) -> Obstacle {
        let (failing, rules) = (lock(&self.failing).clone(), self.rules());
        let state = self.state();
        match state.admission() {
            Admission::Closed => return Obstacle::HostGone,
            Admission::Paused => return Obstacle::Paused,
            Admission::Open => {}
        }
        let sizes = rules.sizes;
        if state.opening() + state.testing() > 0 {
            return Obstacle::Coming(failing.map(|failing| failing.full));
        }
        if let (Some(failing), Some(at)) = (failing, state.retry_at())
            && now < at
        {
            return Obstacle::Failing { error: failing.full, again_in: at - now };
        }
        let in_use = state.attached();
        if let Some(size) = sizes.size.filter(|size| state.total() >= *size) {
            let (reserve, reserve_after) = (sizes.reserve, sizes.reserve_after);
            return Obstacle::PoolFull { in_use, size, reserve, reserve_after };
        }
        drop(state);
        match self.membership.usage() {
            (Some(database), _) => Obstacle::DatabaseFull(database),
            (None, Some(user)) => Obstacle::UserFull(user),
            (None, None) => Obstacle::Coming(None),
        }
    }
}
