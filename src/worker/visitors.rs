//! Connections that hold no service: clients that log in, those on the console, and cancel requests. They are kept for
//! SHOW CLIENTS, SHOW SOCKETS and KILL_CLIENT.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use dashmap::DashMap;
use tokio::sync::Notify;

use super::client::CancelKey;
use crate::net::clock;

/// What a visitor is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// It logs in.
    LoggingIn,
    /// It is on the console.
    OnConsole,
    /// Its cancel request waits to be sent on.
    CancelWaits,
    /// Its cancel request is being sent on.
    CancelGoes,
}

/// What is known of a visitor by now.
#[derive(Clone, Debug)]
pub struct Visit {
    /// What it is about.
    pub doing: Doing,
    /// As whom; empty until it is known.
    pub user: String,
    /// For which database; empty until it is known.
    pub database: String,
    /// What it calls itself.
    pub application_name: String,
    /// TLS protocol and cipher; empty without TLS.
    pub tls: String,
    /// When its last request came.
    pub requested: Instant,
    /// The cancel key that it was given.
    pub key: Option<CancelKey>,
}

/// One of them.
#[derive(Debug)]
pub struct Visitor {
    /// The number of its connection.
    pub id: u64,
    /// The far end, for TCP.
    pub remote: Option<SocketAddr>,
    /// Our end, for TCP.
    pub local: Option<SocketAddr>,
    /// The process at the other end of a Unix-domain socket.
    pub peer_pid: Option<u32>,
    /// When it was accepted.
    pub accepted: Instant,
    /// The same for people.
    pub accepted_wall: SystemTime,
    visit: Mutex<Visit>,
    killed: Notify,
    cancelled: Notify,
}

impl Visitor {
    /// Somebody who was just accepted.
    pub fn new(
        id: u64,
        remote: Option<SocketAddr>,
        local: Option<SocketAddr>,
        peer_pid: Option<u32>,
        accepted: (Instant, SystemTime),
    ) -> Self {
        let visit = Visit {
            doing: Doing::LoggingIn,
            user: String::new(),
            database: String::new(),
            application_name: String::new(),
            tls: String::new(),
            requested: accepted.0,
            key: None,
        };
        Self {
            id,
            remote,
            local,
            peer_pid,
            accepted: accepted.0,
            accepted_wall: accepted.1,
            visit: Mutex::new(visit),
            killed: Notify::new(),
            cancelled: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Visit> {
        self.visit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known by now.
    pub fn visit(&self) -> Visit {
        self.lock().clone()
    }

    /// More is known.
    pub fn note(&self, change: impl FnOnce(&mut Visit)) {
        change(&mut self.lock());
    }

    /// A request has come.
    pub fn asks(&self) {
        self.lock().requested = clock::now();
    }

    /// Ends it (`KILL_CLIENT`).
    pub fn kill(&self) {
        self.killed.notify_one();
    }

    /// Waits until it is to end.
    pub async fn killed(&self) {
        self.killed.notified().await;
    }

    /// Waits until what it asked for is called off by a cancel request.
    pub async fn cancelled(&self) {
        self.cancelled.notified().await;
    }

    /// A cancel request from before is nothing to what is asked next.
    pub fn forget_cancel(&self) {
        use std::task::{Context, Waker};
        let notified = std::pin::pin!(self.cancelled.notified());
        let _ = notified.poll(&mut Context::from_waker(Waker::noop()));
    }
}

/// All of them, by number.
#[derive(Debug, Default)]
pub struct Visitors(DashMap<u64, Arc<Visitor>>);

impl Visitors {
    /// Makes somebody known until the returned value is dropped.
    pub fn enter(self: &Arc<Self>, visitor: Visitor) -> Visiting {
        let visitor = Arc::new(visitor);
        self.0.insert(visitor.id, visitor.clone());
        Visiting { visitors: self.clone(), visitor }
    }

    /// All, in the order of their arrival.
    pub fn all(&self) -> Vec<Arc<Visitor>> {
        let mut all: Vec<_> = self.0.iter().map(|entry| entry.value().clone()).collect();
        all.sort_by_key(|visitor| visitor.id);
        all
    }

    /// The one with this number.
    pub fn get(&self, id: u64) -> Option<Arc<Visitor>> {
        self.0.get(&id).map(|visitor| visitor.clone())
    }

    /// Calls off what the one with this key has asked the console for; whether there is one.
    pub fn cancel(&self, key: &CancelKey) -> bool {
        let asker = self.0.iter().find(|entry| entry.value().lock().key.as_ref() == Some(key));
        if let Some(visitor) = &asker {
            visitor.cancelled.notify_one();
        }
        asker.is_some()
    }
}

/// A visitor that others can find.
#[derive(Debug)]
pub struct Visiting {
    visitors: Arc<Visitors>,
    visitor: Arc<Visitor>,
}

impl std::ops::Deref for Visiting {
    type Target = Arc<Visitor>;

    fn deref(&self) -> &Arc<Visitor> {
        &self.visitor
    }
}

impl Drop for Visiting {
    fn drop(&mut self) {
        self.visitors.0.remove(&self.visitor.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visitor(id: u64) -> Visitor {
        Visitor::new(id, None, None, None, (clock::now(), clock::wall()))
    }

    #[tokio::test]
    async fn a_visitor_is_found_while_it_is_there_and_cancelled_by_its_key_alone() {
        let visitors = Arc::<Visitors>::default();
        let (first, second) = (visitors.enter(visitor(2)), visitors.enter(visitor(1)));
        let ids: Vec<_> = visitors.all().iter().map(|visitor| visitor.id).collect();
        assert_eq!(ids, [1, 2]);
        let (key, other) = (CancelKey::draw(0, None, 0), CancelKey::draw(0, None, 0));
        first.note(|visit| visit.key = Some(key));
        assert!(!visitors.cancel(&other));
        assert!(visitors.cancel(&key));
        first.forget_cancel();
        assert!(visitors.cancel(&key));
        first.cancelled().await;
        drop(second);
        assert!(visitors.get(1).is_none() && visitors.get(2).is_some());
    }
}
