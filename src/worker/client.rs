//! What others may know of a client while its task runs: for cancel requests, SHOW CLIENTS and KILL_CLIENT.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use super::service::Service;
use crate::pool::holder::Holder;

/// Who a client is: all that is known when its login is over, and never changes.
#[derive(Debug)]
pub struct Identity {
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
    /// What it called itself at login.
    pub application_name: String,
}

/// See the module's words.
#[derive(Debug)]
pub struct ClientInfo {
    identity: Identity,
    /// When its last request came, in microseconds since `accepted`.
    request_us: AtomicU64,
    /// Whether it waits for a server.
    waiting: AtomicU32,
    /// Named statements it holds.
    pub prepared: AtomicU32,
    /// The worker it lives on.
    pub worker: AtomicU32,
}

/// What may change comes on top of what a client is.
impl Deref for ClientInfo {
    type Target = Identity;

    fn deref(&self) -> &Identity {
        &self.identity
    }
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

impl ClientInfo {
    /// A client that has just logged in.
    pub fn new(identity: Identity) -> Self {
        Self {
            identity,
            request_us: AtomicU64::new(0),
            waiting: AtomicU32::new(0),
            prepared: AtomicU32::new(0),
            worker: AtomicU32::new(0),
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

    /// How it stands in the log.
    pub fn label(&self) -> String {
        let peer = self.remote.map_or_else(|| "unix".to_owned(), |address| address.to_string());
        format!("C-{:#x}: {}/{}@{peer}", self.holder.id, self.database, self.user)
    }
}
