//! What others may know of a client while its task runs: for cancel requests, SHOW CLIENTS and KILL_CLIENT.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use super::service::Service;
use crate::pool::holder::Holder;

/// See the module's words.
#[derive(Debug)]
pub struct ClientInfo {
    /// How it is woken and told.
    pub holder: Arc<Holder>,
    /// As whom it logged in.
    pub user: String,
    /// The database entry.
    pub database: String,
    /// The far end, for TCP.
    pub remote: Option<SocketAddr>,
    /// Our end, for TCP.
    pub local: Option<SocketAddr>,
    /// TLS protocol and cipher; empty without TLS.
    pub tls: String,
    /// When it was accepted.
    pub accepted: Instant,
    /// The same for people.
    pub accepted_wall: SystemTime,
    /// The cancel key it was given.
    pub key: CancelKey,
    /// What it uses.
    pub service: Arc<Service>,
    /// When its last request came, in microseconds since `accepted`.
    request_us: AtomicU64,
    /// Whether it waits for a server.
    waiting: AtomicU32,
    /// Named statements it holds.
    pub prepared: AtomicU32,
    /// The worker it lives on.
    pub worker: AtomicU32,
    application_name: Mutex<String>,
}

/// Process id and secret key of a BackendKeyData that we made up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CancelKey(pub [u8; 8]);

impl CancelKey {
    /// A new one. The process id is positive: some drivers keep it in a signed integer.
    pub fn draw() -> Self {
        use rand::Rng;
        let mut bytes = [0; 8];
        rand::rng().fill_bytes(&mut bytes);
        bytes[0] &= 0x7F;
        Self(bytes)
    }

    /// The process id.
    pub fn pid(self) -> u32 {
        let [a, b, c, d, ..] = self.0;
        u32::from_be_bytes([a, b, c, d])
    }

    /// The secret.
    pub fn secret(self) -> [u8; 4] {
        let [.., a, b, c, d] = self.0;
        [a, b, c, d]
    }

    /// From what a client sends; `None` if it cannot be one of ours.
    pub fn of(pid: u32, secret: &[u8]) -> Option<Self> {
        let [a, b, c, d] = pid.to_be_bytes();
        let [e, f, g, h] = *secret.first_chunk::<4>().filter(|_| secret.len() == 4)?;
        Some(Self([a, b, c, d, e, f, g, h]))
    }
}

/// What is known when the login is over.
#[derive(Debug)]
pub struct Identity {
    /// See [`ClientInfo`].
    pub holder: Arc<Holder>,
    /// See [`ClientInfo`].
    pub user: String,
    /// See [`ClientInfo`].
    pub database: String,
    /// See [`ClientInfo`].
    pub remote: Option<SocketAddr>,
    /// See [`ClientInfo`].
    pub local: Option<SocketAddr>,
    /// See [`ClientInfo`].
    pub tls: String,
    /// See [`ClientInfo`].
    pub accepted: Instant,
    /// See [`ClientInfo`].
    pub accepted_wall: SystemTime,
    /// See [`ClientInfo`].
    pub service: Arc<Service>,
    /// See [`ClientInfo`].
    pub application_name: String,
}

impl ClientInfo {
    /// A client that has just logged in.
    pub fn new(identity: Identity, key: CancelKey) -> Self {
        let Identity {
            holder,
            user,
            database,
            remote,
            local,
            tls,
            accepted,
            accepted_wall,
            service,
            ..
        } = identity;
        Self {
            holder,
            user,
            database,
            remote,
            local,
            tls,
            accepted,
            accepted_wall,
            key,
            service,
            request_us: AtomicU64::new(0),
            waiting: AtomicU32::new(0),
            prepared: AtomicU32::new(0),
            worker: AtomicU32::new(0),
            application_name: Mutex::new(identity.application_name),
        }
    }

    /// Notes that a request came.
    pub fn requested(&self, now: Instant) {
        let us = now.saturating_duration_since(self.accepted).as_micros();
        self.request_us.store(u64::try_from(us).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// When the last request came.
    pub fn last_request(&self) -> std::time::Duration {
        std::time::Duration::from_micros(self.request_us.load(Ordering::Relaxed))
    }

    /// Notes whether it waits for a server.
    pub fn set_waiting(&self, waits: bool) {
        self.waiting.store(u32::from(waits), Ordering::Relaxed);
    }

    /// Whether it waits for a server.
    pub fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) != 0
    }

    /// Its application_name.
    pub fn application_name(&self) -> String {
        self.application_name.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How it stands in the log.
    pub fn label(&self) -> String {
        let peer = self.remote.map_or_else(|| "unix".to_owned(), |address| address.to_string());
        format!("C-{:#x}: {}/{}@{peer}", self.holder.id, self.database, self.user)
    }
}
