//! What time alone brings about in a pool: waits that took too long, connections that grew old or were closed by the
//! server, retries that have become due.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::AttachError;
use super::holder::Order;
use super::{Idle, Pool, PoolRules};

/// How often the janitor comes by: three times a second, as pgbouncer's.
pub const ROUND: Duration = Duration::from_millis(333);

impl Pool {
    /// One round. `in_use`: it has clients, or stands ready for those of a forced user, so that `min_pool_size` counts.
    pub fn sweep(self: &Arc<Self>, now: Instant, in_use: bool) {
        let rules = self.rules();
        self.expire_waits(&rules, now);
        self.notify_waits(&rules, now);
        self.close_stale(&rules, now);
        Self::open_more(self);
        if in_use {
            Self::open_minimum(self, now);
        }
        if rules.fast_close {
            self.part_from_holders();
        }
    }

    /// Clients in session mode keep their servers however long: they are asked to part with those to be replaced.
    fn part_from_holders(&self) {
        for server in self.servers().iter().filter(|server| server.close_needed()) {
            if let Some(holder) = self.holders.get(&server.client()) {
                holder.order(Order::CloseServer);
            }
        }
    }

    /// Those who wait longer than they may are told so, in pgbouncer's order of the two limits.
    fn expire_waits(&self, rules: &PoolRules, now: Instant) {
        if let Some(limit) = rules.query_timeout {
            let expired = self.state().expire(now, limit);
            for (waiter, waited) in expired {
                let pool = self.name.to_string();
                let _ = waiter.send(Err(AttachError::QueryTimeout { pool, waited }));
            }
        }
        let Some(limit) = rules.query_wait_timeout else { return };
        let (expired, in_use, waiting, has_none) = {
            let mut state = self.state();
            (state.expire(now, limit), state.attached(), state.waiting(), state.has_none())
        };
        let failing = if expired.is_empty() || !has_none {
            None
        } else {
            super::lock(&self.failing).as_ref().map(|failing| failing.told.clone())
        };
        for (waiter, waited) in expired {
            let _ = waiter.send(Err(AttachError::WaitedTooLong {
                pool: self.name.to_string(),
                waited,
                in_use,
                pool_size: rules.sizes.size,
                waiting,
                failing: failing.clone(),
            }));
        }
    }

    /// Those who have waited for `query_wait_notify` are told that they wait.
    fn notify_waits(&self, rules: &PoolRules, now: Instant) {
        let Some(limit) = rules.query_wait_notify else { return };
        let clients: Vec<u64> =
            self.state().untold(now, limit).map(|waiter| waiter.client).collect();
        for client in clients {
            if let Some(holder) = self.holders.get(&client) {
                holder.order(Order::NotifyWait);
            }
        }
    }

    fn close_stale(&self, rules: &PoolRules, now: Instant) {
        let mut keepers = Vec::new();
        let (gone, old) = {
            let mut state = self.state();
            let mut spare = state.spare();
            let mut gone = state.take_idle(|idle| {
                let reason = stale(idle, rules, now, spare > 0);
                if reason == Some(DIRTY)
                    && let Some(keeper) = idle.keeper.take()
                {
                    // Its client hears it first; if that does not look, it goes the next time.
                    keepers.push(keeper);
                    return None;
                }
                spare = spare.saturating_sub(u32::from(reason.is_some()));
                reason
            });
            let surplus = state.surplus().into_iter();
            gone.extend(surplus.map(|idle| (idle, "too many servers in the pool")));
            let age = |idle: &Idle| now.saturating_duration_since(idle.connection.info.opened);
            (gone, state.take_oldest(age, rules.server_lifetime, now))
        };
        for keeper in keepers {
            if let Some(holder) = self.holders.get(&keeper.get()) {
                holder.order(Order::LookAtServer);
            }
        }
        self.dispose_idle(gone);
        self.dispose_idle(old.map(|idle| (idle, "server lifetime over")).into_iter().collect());
        // A lowered limit over several pools.
        while self.membership.is_over() && self.evict() {}
    }
}

/// A server spoke, or closed, that should have been silent.
const DIRTY: &str = "idle server got dirty";

/// Why an idle connection is not to stay. `spare`: the pool keeps enough without it.
fn stale(idle: &mut Idle, rules: &PoolRules, now: Instant, spare: bool) -> Option<&'static str> {
    let unused = now.saturating_duration_since(idle.since);
    let info = &idle.connection.info;
    if info.is_doomed() {
        Some("server host is gone")
    } else if info.close_needed() {
        Some("database configuration changed")
    } else if !idle.connection.is_silent() {
        Some(DIRTY)
    } else {
        let too_long = rules.server_idle_timeout.is_some_and(|limit| unused >= limit);
        (too_long && spare).then_some("server idle timeout")
    }
}
