//! Connections for one holder alone, who closes them: those of replication clients. They count as any other of the pool.

use std::sync::Arc;

use super::attach::Lease;
use super::state::Admission;
use super::{Pool, Server, lock};
use crate::net::clock;
use crate::server::{OpenError, Target, Welcome};

/// What a replication client is told of a failure, and so the log; pgbouncer's words.
pub const REFUSED: &str = "login failed";

/// An attempt that is under way; what it has taken is given back if it is dropped midway.
struct Attempt<'a>(&'a Arc<Pool>);

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.0.state().open_failed(clock::now());
        self.0.settled.notify_waiters();
        Pool::open_more(self.0);
    }
}

impl Pool {
    /// Opens a connection of another kind, if there is room for one and nobody waits; `None` if not.
    pub async fn open_own(
        self: &Arc<Self>,
        change: impl FnOnce(&mut Target),
    ) -> Option<Result<(Lease, Welcome), OpenError>> {
        let rules = self.rules();
        let mut target = self.pick_target(&rules)?;
        let place = self.membership.take()?;
        {
            let mut state = self.state();
            if !state.has_room(clock::now()) {
                return None;
            }
            state.begin_opening();
        }
        let attempt = Attempt(self);
        change(&mut target);
        let (connection, welcome) = match self.connect(&target, rules.lines, Some(REFUSED)).await {
            Ok(opened) => opened,
            Err(error) => return Some(Err(error)),
        };
        std::mem::forget(attempt);
        let server = Server { info: connection.info.clone(), place };
        lock(&self.servers).insert(connection.info.id, server);
        self.state().opened();
        let lease = Lease::new(self.clone(), Box::new(connection));
        Some(lease.unless_given_up().map(|lease| (lease, welcome)))
    }
}

impl Lease {
    /// Opens a connection of another kind to the same host and takes it in this one's place, for one holder who will
    /// close it: it counts as this one did, and never serves anybody else.
    ///
    /// # Errors
    /// It cannot be opened; the old connection goes back to the pool.
    pub async fn exchange(
        mut self,
        change: impl FnOnce(&mut Target),
    ) -> Result<(Self, Welcome), OpenError> {
        let pool = self.pool().clone();
        let old = self.connection().info.clone();
        let target = pool.rules().targets.iter().find(|target| target.host == old.host).cloned();
        let Some(mut target) = target else {
            let source = std::io::Error::other("the host is not in the configuration any more");
            return Err(OpenError::Unreachable { host: old.host.clone(), source });
        };
        change(&mut target);
        let lines = pool.rules().lines;
        let (connection, welcome) = match pool.connect(&target, lines, Some(REFUSED)).await {
            Ok(opened) => opened,
            Err(error) => {
                self.give_back(clock::now());
                return Err(error);
            }
        };
        pool.replace(old.id, &connection.info);
        if let Some(old) = self.swap(connection) {
            pool.dispose(*old, "evicted");
        }
        self.unless_given_up().map(|lease| (lease, welcome))
    }

    /// Its host may have been given up while the connection was being opened: then it must not be used.
    fn unless_given_up(mut self) -> Result<Self, OpenError> {
        if self.pool().admission() != Admission::Closed {
            return Ok(self);
        }
        let host = self.connection().info.host.clone();
        let reason = "server host is gone";
        self.close(reason);
        Err(OpenError::Unreachable { host, source: std::io::Error::other(reason) })
    }
}
