//! Attachments: which client holds which server, and for how long.
//!
//! An attachment ends in one of two ways. Given back clean, the server is idle again; dropped in any other way
//! (error, panic, cancelled future) it is closed, never reused, because nobody knows what is still in flight on it.

use std::future::Future;
use std::num::NonZeroU64;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::error::AttachError;
use super::state::{Admission, Placed, Ticket};
use super::{Idle, Pool};
use crate::net::clock;
use crate::net::reactor::Reactor;
use crate::server::{Connection, query};

/// Somebody who waits.
#[derive(Debug)]
pub(super) struct Waiter {
    /// The client, if it can be told that it waits; 0: it can't.
    pub(super) client: u64,
    answer: oneshot::Sender<Result<Lease, AttachError>>,
}

impl Waiter {
    /// Gives it what it waits for, or tells it that there is none; what it did not take comes back.
    pub(super) fn send(
        self,
        answer: Result<Lease, AttachError>,
    ) -> Result<(), Result<Lease, AttachError>> {
        self.answer.send(answer)
    }
}

/// A server in somebody's hands. See the module's words.
#[derive(Debug)]
pub struct Lease {
    pool: Arc<Pool>,
    /// `None` only on the way out.
    connection: Option<Box<Connection>>,
}

impl Lease {
    pub(super) fn new(pool: Arc<Pool>, connection: Box<Connection>) -> Self {
        Self { pool, connection: Some(connection) }
    }

    /// The pool it belongs to.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// The connection.
    pub fn connection(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("a lease holds its connection until it ends")
    }

    /// Puts another connection into its hands; the one before comes back.
    pub(super) fn swap(&mut self, connection: Connection) -> Option<Box<Connection>> {
        self.connection.replace(Box::new(connection))
    }

    /// The connection alone, for somebody who places it.
    pub(super) fn take(&mut self) -> Option<Box<Connection>> {
        self.connection.take()
    }

    /// Gives it back: nothing is in flight on it, no transaction is open.
    pub fn give_back(mut self, now: Instant) {
        let Some(connection) = self.connection.take() else { return };
        let pool = self.pool.clone();
        connection.info.set_client(0);
        if connection.info.cancels() > 0 {
            // A cancel request for the last client's query is on its way: it must not hit the next client's.
            tokio::spawn(async move {
                let lease = Self::new(pool, connection);
                if let Some(connection) = &lease.connection {
                    let info = connection.info.clone();
                    info.cancels_arrived().await;
                }
                lease.give_back(clock::now());
            });
            return;
        }
        pool.put_back(connection, now);
    }

    /// Gives back one that nobody has had yet.
    pub(super) fn give_back_unused(mut self, now: Instant) {
        if let Some(connection) = self.connection.take() {
            let pool = self.pool.clone();
            pool.rest(connection, now, now, false, None);
        }
    }

    /// Runs `server_reset_query` on it, then gives it back.
    pub fn reset_and_give_back(mut self) {
        let query = self.pool.rules().reset_query.clone();
        self.connection().info.set_client(0);
        if query.is_empty() {
            return self.give_back(clock::now());
        }
        tokio::spawn(async move {
            let connection = self.connection();
            connection.info.set_tested(true);
            let reset = tokio::time::timeout(RESET_LIMIT, query::simple(connection, &query)).await;
            connection.info.set_tested(false);
            match reset {
                Err(_) => {
                    tracing::warn!("{}: server_reset_query took too long", self.pool.name());
                    self.close("reset query failed");
                }
                Ok(Ok(_)) => {
                    connection.state.was_reset();
                    self.give_back(clock::now());
                }
                Ok(Err(error)) => {
                    tracing::warn!("{}: server_reset_query failed: {error}", self.pool.name());
                    self.close("reset query failed");
                }
            }
        });
    }

    /// The server is of no use any more.
    pub fn close(mut self, reason: &str) {
        self.finish(reason);
    }

    fn finish(&mut self, reason: &str) {
        if let Some(connection) = self.connection.take() {
            connection.info.set_client(0);
            self.pool.state().closed();
            self.pool.dispose(*connection, reason);
            Pool::open_more(&self.pool);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.finish("client disconnect while server was not ready");
    }
}

/// Longest a `server_reset_query` may take before its server is given up.
const RESET_LIMIT: Duration = Duration::from_secs(30);

/// A place in a pool's queue; resolves to a server.
#[derive(Debug)]
pub struct Attaching {
    pub(super) pool: Arc<Pool>,
    pub(super) ticket: Ticket,
    pub(super) answer: oneshot::Receiver<Result<Lease, AttachError>>,
}

impl Future for Attaching {
    type Output = Result<Lease, AttachError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer)
            .poll(cx)
            .map(|answer| answer.unwrap_or(Err(AttachError::HostGone)))
    }
}

impl Attaching {
    /// Whose queue it is.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }
}

impl Drop for Attaching {
    fn drop(&mut self) {
        self.pool.state().leave(self.ticket);
        // It may have been served in this very moment: what nobody used is as good as before.
        self.answer.close();
        if let Ok(Ok(lease)) = self.answer.try_recv() {
            lease.give_back(clock::now());
        }
    }
}

impl Pool {
    /// An idle server, if there is one and nobody waits for it. Prefers one whose socket lives on this thread.
    pub fn try_attach(self: &Arc<Self>, now: Instant) -> Option<Lease> {
        let unused = |idle: &Idle| now.saturating_duration_since(idle.since);
        self.take_good(now, unused).map(|idle| Lease::new(self.clone(), idle.connection))
    }

    /// An idle server that is fit for use, as far as can be told without asking it. `unused`: for how long one was.
    pub(super) fn take_good(
        &self,
        now: Instant,
        unused: impl Fn(&Idle) -> Duration,
    ) -> Option<Idle> {
        let here = Reactor::here();
        loop {
            let taken = self.state().take(&unused, |idle| idle.connection.home() == here);
            let Idle { mut connection, since, .. } = taken?;
            if !connection.is_silent()
                || connection.info.is_doomed()
                || connection.info.close_needed()
            {
                self.state().closed();
                self.dispose(*connection, "idle server got dirty");
                continue;
            }
            let lifetime = lock_rules(self).server_lifetime;
            let age = now.saturating_duration_since(connection.info.opened);
            if !lifetime.is_zero()
                && age > lifetime
                && since < now
                && self.state().retire(age, lifetime, now)
            {
                self.state().closed();
                self.dispose(*connection, "server lifetime over");
                continue;
            }
            return Some(Idle { connection, since, keeper: None });
        }
    }

    /// Queues for a server, on behalf of this client; 0 if it is not logged in yet, and must not hear of the queue.
    ///
    /// # Errors
    /// At once, if it is known that none is to be had.
    pub fn attach(self: &Arc<Self>, client: u64, now: Instant) -> Result<Attaching, AttachError> {
        let (sender, answer) = oneshot::channel();
        let (ticket, more) = loop {
            let mut state = self.state();
            if state.admission() == Admission::Closed {
                return Err(AttachError::HostGone);
            }
            let failing = state.has_none() && state.retry_at().is_some_and(|at| now < at);
            if failing && !lock_rules(self).watched && self.welcome().is_some() {
                let reason = super::lock(&self.failing)
                    .as_ref()
                    .map(|failing| failing.told.clone())
                    .unwrap_or_default();
                return Err(AttachError::Failing { pool: self.name.to_string(), reason });
            }
            // Another worker may have given one back since the caller's `try_attach`.
            if state.has_for_taking(|idle| now.saturating_duration_since(idle.since)) {
                drop(state);
                let Some(lease) = self.try_attach(now) else { continue };
                // The receiver is at hand, so it is taken.
                let _ = sender.send(Ok(lease));
                return Ok(Attaching { pool: self.clone(), ticket: Ticket::NONE, answer });
            }
            let ticket = state.enqueue(Waiter { client, answer: sender }, now);
            break (ticket, state.can_serve_more(now));
        };
        if more {
            Self::open_more(self);
        }
        Ok(Attaching { pool: self.clone(), ticket, answer })
    }

    /// A connection comes back fit for use.
    pub(super) fn put_back(self: &Arc<Self>, connection: Box<Connection>, now: Instant) {
        self.rest(connection, now, now, true, None);
    }

    /// A connection, unused since then, comes to rest, if possible kept for this client; `false` if it did not. `used`: a
    /// client has had it.
    pub(super) fn rest(
        self: &Arc<Self>,
        mut connection: Box<Connection>,
        since: Instant,
        now: Instant,
        used: bool,
        keeper: Option<NonZeroU64>,
    ) -> bool {
        let reason = if connection.info.is_doomed() {
            Some("server host is gone")
        } else if connection.info.close_needed() {
            Some("database configuration changed")
        } else if self.membership.is_over() {
            Some("too many servers")
        } else {
            let lifetime = lock_rules(self).server_lifetime;
            let age = now.saturating_duration_since(connection.info.opened);
            // With a lifetime of 0 it goes after its first use, not before.
            let due = age >= lifetime && (used || !lifetime.is_zero());
            let old = due && self.state().retire(age, lifetime, now);
            old.then_some("server lifetime over")
        };
        if let Some(reason) = reason {
            self.state().closed();
            self.dispose(*connection, reason);
            Self::open_more(self);
            return false;
        }
        loop {
            let idle = Idle { connection, since, keeper };
            let placed = match keeper {
                None => self.state().release(idle),
                Some(_) => self.state().keep(idle, now),
            };
            match placed {
                Placed::Idle => {
                    self.membership.rested();
                    return true;
                }
                Placed::Close(idle) => {
                    self.dispose(*idle.connection, "not needed any more");
                    return false;
                }
                Placed::To(waiter, idle) => {
                    match waiter.send(Ok(Lease::new(self.clone(), idle.connection))) {
                        Ok(()) => return false,
                        // He left in this very moment.
                        Err(Ok(mut lease)) => match lease.connection.take() {
                            Some(back) => connection = back,
                            None => return false,
                        },
                        Err(Err(_)) => return false,
                    }
                }
            }
        }
    }
}

fn lock_rules(pool: &Pool) -> std::sync::MutexGuard<'_, Arc<super::PoolRules>> {
    super::lock(&pool.rules)
}
