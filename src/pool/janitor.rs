//! What time alone brings about in a pool: waits that took too long, connections that grew old or were closed by the
//! server, retries that have become due.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::AttachError;
use super::{Pool, PoolRules};

/// How often the janitor comes by: three times a second, as pgbouncer's.
pub const ROUND: Duration = Duration::from_millis(333);

impl Pool {
    /// One round.
    pub fn sweep(self: &Arc<Self>, now: Instant) {
        let rules = self.rules();
        self.expire_waits(&rules, now);
        self.close_stale(&rules, now);
        Self::open_more(self);
    }

    fn expire_waits(&self, rules: &PoolRules, now: Instant) {
        let Some(limit) = rules.query_wait_timeout else { return };
        let (expired, in_use, waiting) = {
            let mut state = self.state();
            (state.expire(now, limit), state.attached(), state.waiting())
        };
        for (waiter, waited) in expired {
            let _ = waiter.send(Err(AttachError::WaitedTooLong {
                pool: self.name.to_string(),
                waited,
                in_use,
                pool_size: rules.size,
                waiting,
            }));
        }
    }

    fn close_stale(&self, rules: &PoolRules, now: Instant) {
        let (stale, old) = {
            let mut state = self.state();
            let idle_limit = rules.server_idle_timeout;
            let mut stale = state.take_idle(|idle| {
                let unused = now.saturating_duration_since(idle.since);
                idle.connection.info.close_needed()
                    || idle.connection.info.is_doomed()
                    || idle_limit.is_some_and(|limit| unused >= limit)
                    || !idle.connection.is_silent()
            });
            stale.extend(state.surplus());
            let age = |info: &crate::server::ServerInfo| now.saturating_duration_since(info.opened);
            let oldest =
                state.take_oldest(|idle| age(&idle.connection.info), rules.server_lifetime, now);
            (stale, oldest)
        };
        for idle in stale {
            self.dispose(*idle.connection, "idle, and not needed or closed by the server");
        }
        if let Some(idle) = old {
            self.dispose(*idle.connection, "server lifetime over");
        }
    }
}
