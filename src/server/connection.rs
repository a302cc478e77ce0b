//! A server connection that is logged in.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use bytes::Bytes;

use crate::config::HostAddr;
use crate::net::stream::Stream;
use crate::session::ServerState;

/// What others may know of a server connection while somebody uses it.
#[derive(Debug)]
pub struct ServerInfo {
    /// Number of the connection in this process.
    pub id: u64,
    /// The host as the entry names it.
    pub host: HostAddr,
    /// The peer's address, for TCP.
    pub remote: Option<std::net::SocketAddr>,
    /// Our end's address, for TCP.
    pub local: Option<std::net::SocketAddr>,
    /// Process id of the backend (BackendKeyData).
    pub pid: u32,
    /// Its cancel key (BackendKeyData).
    pub key: Bytes,
    /// TLS protocol and cipher; empty without TLS.
    pub tls: String,
    /// When it was opened.
    pub opened: Instant,
    /// The same for people.
    pub opened_wall: SystemTime,
    /// Id of the client that holds it; 0 when none does.
    pub client: AtomicU64,
    /// Cancel requests to it that are on their way: until they have arrived it must not serve another client.
    cancels: AtomicU32,
}

impl ServerInfo {
    /// How many cancel requests are on their way to it.
    pub fn cancels(&self) -> u32 {
        self.cancels.load(Ordering::Acquire)
    }

    /// Notes that a cancel request is about to be sent, until the returned value is dropped.
    pub fn cancel_begins(self: &Arc<Self>) -> CancelUnderWay {
        self.cancels.fetch_add(1, Ordering::AcqRel);
        CancelUnderWay(self.clone())
    }
}

/// A cancel request on its way.
#[derive(Debug)]
pub struct CancelUnderWay(Arc<ServerInfo>);

impl Drop for CancelUnderWay {
    fn drop(&mut self) {
        self.0.cancels.fetch_sub(1, Ordering::AcqRel);
    }
}

/// See the module's words.
#[derive(Debug)]
pub struct Connection {
    /// Its socket.
    pub stream: Stream,
    /// What its session is known to hold.
    pub state: ServerState,
    /// What others may know of it.
    pub info: Arc<ServerInfo>,
}
