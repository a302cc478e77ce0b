//! What others may know of a client while its task runs: for cancel requests, SHOW CLIENTS and KILL_CLIENT.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use pgweir_codec::startup::{CancelRequest, LONG_KEY};
use rand::Rng;

use super::phase::{Clock, Phase};
use super::service::Service;
use crate::pool::holder::Holder;

/// What a connection is for (startup parameter `replication`; manual, "Streaming Replication Protocol").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Replication {
    /// Statements.
    #[default]
    None,
    /// Logical replication: `database`.
    Logical,
    /// Physical replication: `on`.
    Physical,
}

/// Who a client is: all that is known when its login is over, and never changes.
#[derive(Debug)]
pub struct Identity {
    /// How it is woken and told.
    pub holder: Arc<Holder>,
    /// As whom it logged in; one copy for all its clients.
    pub user: Arc<str>,
    /// The far end, for TCP.
    pub remote: Option<SocketAddr>,
    /// Our end, for TCP.
    pub local: Option<SocketAddr>,
    /// The process at the other end of a Unix-domain socket.
    pub peer_pid: Option<u32>,
    /// TLS protocol and cipher; empty without TLS.
    pub tls: String,
    /// When it was accepted.
    pub accepted: Instant,
    /// The same for people.
    pub accepted_wall: SystemTime,
    /// What it asked for by `replication` at startup.
    pub replication: Replication,
    /// The cancel key it was given.
    pub key: CancelKey,
    /// What it uses.
    pub service: Arc<Service>,
}

/// See the module's words.
#[derive(Debug)]
pub struct ClientInfo {
    identity: Identity,
    /// What it is about and since when, in time since `accepted`.
    pub clock: Clock,
    /// Named statements it holds.
    pub prepared: AtomicU32,
    /// The position that a replica must have for its reads (`causal_reads`); 0: any.
    pub needs: AtomicU64,
    /// The worker it lives on.
    pub worker: AtomicU32,
    /// What it calls itself now.
    application_name: Mutex<Box<str>>,
}

/// What may change comes on top of what a client is.
impl Deref for ClientInfo {
    type Target = Identity;

    fn deref(&self) -> &Identity {
        &self.identity
    }
}

/// Process id and secret of a BackendKeyData that we gave a client. The secret is always ours, whoever's the process
/// id is: two clients may have had the same one, one after the other.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CancelKey {
    pid: u32,
    /// Zeros behind the secret's length.
    secret: [u8; LONG_KEY],
    length: u8,
}

impl fmt::Debug for CancelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelKey").field("pid", &self.pid).finish_non_exhaustive()
    }
}

impl CancelKey {
    /// A new one: 4 bytes of secret in protocol 3.0, 32 from 3.2 on. `pid`: the server's, if the client is to know
    /// it; else one is made up, positive, because some drivers keep it in a signed integer. `peer`: our `peer_id`, which
    /// peers find in it.
    pub fn draw(minor: u16, pid: Option<u32>, peer: u16) -> Self {
        let length = if minor >= 2 { LONG_KEY } else { 4 };
        let mut rng = rand::rng();
        let mut secret = [0; LONG_KEY];
        if let Some(front) = secret.get_mut(..length) {
            rng.fill_bytes(front);
        }
        let pid = pid.unwrap_or_else(|| (rng.next_u32() & 0x7FFF_FFFF).max(1));
        let key = Self { pid, secret, length: length as u8 };
        if peer == 0 { key } else { key.with_peer(peer).with_hops(MAX_HOPS) }
    }

    /// The key in pgbouncer's layout for peers: the `peer_id` in the middle bytes of the process id, low byte first.
    fn with_peer(self, peer: u16) -> Self {
        let [first, _, _, last] = self.pid.to_be_bytes();
        let [low, high] = peer.to_le_bytes();
        Self { pid: u32::from_be_bytes([first, low, high, last]), ..self }
    }

    /// Whose client has this key, where there are peers.
    pub fn peer(&self) -> u16 {
        let [_, low, high, _] = self.pid.to_be_bytes();
        u16::from_le_bytes([low, high])
    }

    /// How often a cancel request with this key may yet be passed on: two bits at the end of the first 8 bytes.
    pub fn hops(&self) -> u8 {
        self.secret.get(HOPS_AT).copied().unwrap_or_default() & MAX_HOPS
    }

    /// The same key with another count.
    #[must_use]
    pub fn with_hops(mut self, hops: u8) -> Self {
        if let Some(byte) = self.secret.get_mut(HOPS_AT) {
            *byte = *byte & !MAX_HOPS | hops & MAX_HOPS;
        }
        self
    }

    /// As it is sent.
    pub fn request(&self) -> CancelRequest {
        CancelRequest { pid: self.pid, key: Bytes::copy_from_slice(self.secret()) }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The secret.
    pub fn secret(&self) -> &[u8] {
        self.secret.get(..usize::from(self.length)).unwrap_or_default()
    }

    /// From what a client sends; `None` if it cannot be one of ours.
    pub fn of(pid: u32, key: &[u8]) -> Option<Self> {
        let mut secret = [0; LONG_KEY];
        secret.get_mut(..key.len())?.copy_from_slice(key);
        Some(Self { pid, secret, length: u8::try_from(key.len()).ok()? })
    }
}

/// The count that a cancel key is given out with: all bits that there are for it.
pub const MAX_HOPS: u8 = 3;

/// The byte of the secret that has the count.
const HOPS_AT: usize = 3;

/// Where a client comes from, for the log: `ADDRESS:PORT`, or `unix(PID)`.
pub fn far_end(remote: Option<SocketAddr>, peer_pid: Option<u32>) -> String {
    match (remote, peer_pid) {
        (Some(address), _) => address.to_string(),
        (None, Some(pid)) => format!("unix({pid})"),
        (None, None) => "unix".to_owned(),
    }
}

/// A client as it is found by its cancel key, which is not kept a second time for that.
#[derive(Debug)]
pub struct Keyed(pub Arc<ClientInfo>);

impl Deref for Keyed {
    type Target = Arc<ClientInfo>;

    fn deref(&self) -> &Arc<ClientInfo> {
        &self.0
    }
}

impl Borrow<CancelKey> for Keyed {
    fn borrow(&self) -> &CancelKey {
        &self.0.key
    }
}

impl Hash for Keyed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.key.hash(state);
    }
}

impl PartialEq for Keyed {
    fn eq(&self, other: &Self) -> bool {
        self.0.key == other.0.key
    }
}

impl Eq for Keyed {}

impl ClientInfo {
    /// A client that has just logged in.
    pub fn new(identity: Identity, application_name: &[u8]) -> Self {
        Self {
            application_name: Mutex::new(String::from_utf8_lossy(application_name).into()),
            identity,
            clock: Clock::default(),
            prepared: AtomicU32::new(0),
            needs: AtomicU64::new(0),
            worker: AtomicU32::new(0),
        }
    }

    /// For how long it has been here; what its clock counts in.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.accepted)
    }

    /// When the last request came.
    pub fn last_request(&self) -> Duration {
        self.clock.last_request()
    }

    /// Notes that it is about something else.
    pub fn enter(&self, phase: Phase, now: Instant) {
        self.clock.enter(phase, self.age(now));
    }

    /// Whether it waits for a server.
    pub fn is_waiting(&self) -> bool {
        self.clock.phase() == Phase::Waiting
    }

    /// What it calls itself now.
    pub fn application_name(&self) -> String {
        self.application_name.lock().unwrap_or_else(PoisonError::into_inner).to_string()
    }

    /// It has given itself another name.
    pub fn rename(&self, application_name: &[u8]) {
        *self.application_name.lock().unwrap_or_else(PoisonError::into_inner) =
            String::from_utf8_lossy(application_name).into();
    }

    /// How it stands in the log.
    pub fn label(&self) -> String {
        let far_end = far_end(self.remote, self.peer_pid);
        format!("C-{:#x}: {}/{}@{far_end}", self.holder.id, self.service.database, self.user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_again_by_what_the_client_was_told_and_by_nothing_else() {
        for (minor, length) in [(0, 4), (2, 32)] {
            let key = CancelKey::draw(minor, None, 0);
            assert_eq!(key.secret().len(), length);
            assert!((1..=i32::MAX as u32).contains(&key.pid()));
            assert_eq!(CancelKey::of(key.pid(), key.secret()), Some(key));
            let padded = [key.secret(), &[0; 28][..32 - length]].concat();
            assert_eq!(CancelKey::of(key.pid(), &padded) == Some(key), length == 32);
            assert_ne!(CancelKey::of(key.pid() ^ 1, key.secret()), Some(key));
            assert_ne!(CancelKey::of(key.pid(), &key.secret()[1..]), Some(key));
        }
        for length in [33, 256, 257] {
            assert_eq!(CancelKey::of(1, &vec![1; length]), None, "ours are no longer than 32");
        }
    }

    #[test]
    fn two_clients_with_one_process_id_have_different_keys() {
        assert_ne!(CancelKey::draw(2, Some(7), 0), CancelKey::draw(2, Some(7), 0));
        assert!(!format!("{:?}", CancelKey::draw(2, Some(7), 0)).contains("secret"));
    }

    #[test]
    fn a_key_among_peers_has_pgbouncers_layout() {
        for peer in [1, 0x0123, 0x3FFF] {
            let key = CancelKey::draw(0, None, peer);
            let bytes = [&key.pid().to_be_bytes()[..], key.secret()].concat();
            assert_eq!(bytes.len(), 8);
            assert_eq!(bytes[0] & 0x80, 0);
            assert_eq!(bytes[1..3], peer.to_le_bytes());
            assert_eq!((bytes[7] & 3, key.hops(), key.peer()), (3, 3, peer));
            let passed_on = key.with_hops(2);
            assert_ne!(passed_on, key);
            assert_eq!((passed_on.hops(), passed_on.with_hops(3)), (2, key));
        }
    }
}
