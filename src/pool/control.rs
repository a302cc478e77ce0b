//! What is done to a pool from outside: PAUSE and RESUME, RECONNECT, new rules, a host that is gone.

use std::sync::Arc;
use std::time::Instant;

use super::error::AttachError;
use super::holder::Order;
use super::state::Admission;
use super::{Pool, PoolRules, lock};

impl PoolRules {
    /// Whether connections opened by these rules are as good as by the others.
    pub fn same_servers(&self, other: &Self) -> bool {
        let key = |rules: &Self| -> Vec<_> {
            rules
                .targets
                .iter()
                .map(|t| {
                    (t.host.clone(), t.dbname.clone(), t.user.clone(), t.connect_query.clone())
                })
                .collect()
        };
        key(self) == key(other)
    }
}

impl Pool {
    /// From now on it goes by these rules. Connections that the new rules would not open are replaced.
    pub fn set_rules(self: &Arc<Self>, rules: PoolRules) {
        {
            let mut state = self.state();
            state.resize(rules.sizes, rules.round_robin);
            self.load.set_size(rules.sizes.size);
            state.check_after(rules.check.as_ref().map(|check| check.after));
        }
        self.membership.set_limits(rules.max_db_connections, rules.max_user_connections);
        let old = std::mem::replace(&mut *lock(&self.rules), Arc::new(rules));
        if !old.same_servers(&self.rules()) {
            self.reconnect();
        }
        Self::open_more(self);
    }

    /// Whether it gives out connections.
    pub fn admission(&self) -> Admission {
        self.state().admission()
    }

    /// Whether it is in a pause.
    pub fn is_paused(&self) -> bool {
        self.state().is_paused()
    }

    /// Gives out no more connections; what is idle is closed, what is in use when it comes back.
    pub fn pause(&self) {
        let idle = {
            let mut state = self.state();
            state.set_paused(true);
            state.take_idle(|_| Some("pause mode"))
        };
        self.dispose_idle(idle);
    }

    /// Ends a pause.
    pub fn resume(self: &Arc<Self>) {
        self.state().set_paused(false);
        Self::open_more(self);
    }

    /// Its host may be used again.
    pub fn reopen(self: &Arc<Self>) {
        self.state().set_closed(false);
        self.load.forgive();
        Self::open_more(self);
    }

    /// Replaces all servers: the idle ones now, the others when they come back.
    pub fn reconnect(&self) {
        for server in self.servers() {
            server.need_close();
        }
        *lock(&self.welcome) = None;
        let idle = self.state().take_idle(|_| Some("database configuration changed"));
        self.dispose_idle(idle);
    }

    /// Its host is dead or deposed: closes every connection at once and turns away those who wait.
    pub fn evacuate(&self) {
        self.end(AttachError::HostGone, Some(Order::LookAtServer));
    }

    /// Its host is not in the configuration any more: who waits looks elsewhere, transactions under way end in peace.
    pub fn retire(&self) {
        let idle = {
            let mut state = self.state();
            state.set_closed(true);
            state.take_idle(|_| Some("database configuration changed"))
        };
        for server in self.servers() {
            server.need_close();
        }
        self.dismiss_waiting(&AttachError::HostGone);
        self.dispose_idle(idle);
    }

    /// Its database entry is gone.
    pub fn remove(&self) {
        self.end(AttachError::DatabaseGone, None);
    }

    /// Turns away those who wait, without closing anything.
    pub fn dismiss_waiting(&self, told: &AttachError) {
        let waiting = self.state().take_waiting();
        for waiter in waiting {
            let _ = waiter.send(Err(told.clone()));
        }
    }

    fn end(&self, told: AttachError, order: Option<Order>) {
        let idle = {
            let mut state = self.state();
            state.set_closed(true);
            state.take_idle(|_| Some("server host is gone"))
        };
        self.dismiss_waiting(&told);
        // First the mark, then the look at who holds it: a client that takes it right now sees the mark itself.
        for server in self.servers() {
            server.doom();
            let holder = self.holders.get(&server.client()).map(|holder| holder.clone());
            if let (Some(holder), Some(order)) = (holder, order) {
                holder.order(order);
            }
        }
        self.dispose_idle(idle);
    }

    /// Since when the connection that was idle longest has been so.
    pub(super) fn longest_idle(&self) -> Option<Instant> {
        self.state().longest_idle().map(|idle| idle.since)
    }

    /// Closes the connection that was idle longest, to make room for another pool's; `false` if none is idle.
    pub(super) fn evict(&self) -> bool {
        let idle = self.state().take_longest_idle();
        let any = idle.is_some();
        self.dispose_idle(idle.map(|idle| (idle, "evicted")).into_iter().collect());
        any
    }

    /// Waits until no connection is in use or being opened.
    pub async fn quiet(&self) {
        loop {
            let change = self.settled.notified();
            {
                let state = self.state();
                if state.attached() + state.opening() == 0 {
                    return;
                }
            }
            change.await;
        }
    }

    /// Waits until no connection is left that should be closed.
    pub async fn replaced(&self) {
        loop {
            let change = self.settled.notified();
            if !self.servers().iter().any(|server| server.close_needed()) {
                return;
            }
            change.await;
        }
    }
}
