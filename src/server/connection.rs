//! A server connection that is logged in.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use pgweir_codec::backend::ErrorResponse;
use pgweir_codec::frontend;
use pgweir_codec::head::Head;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use crate::config::HostAddr;
use crate::net::reactor::Reactor;
use crate::net::stream::{Socket, Stream};
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
    client: AtomicU64,
    /// It must serve no further transaction.
    close_needed: AtomicBool,
    /// It must not be used at all: its host is dead or deposed.
    doomed: AtomicBool,
    /// Cancel requests to it that are on their way: until they have arrived it must not serve another client.
    cancels: AtomicU32,
    /// It is being checked or reset, for no client.
    tested: AtomicBool,
    /// Woken when a cancel request has arrived.
    cancelled: Notify,
    /// How many prepared statements it holds.
    prepared: AtomicU32,
}

/// What [`ServerInfo`] is made of.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) id: u64,
    pub(super) host: HostAddr,
    pub(super) remote: Option<std::net::SocketAddr>,
    pub(super) local: Option<std::net::SocketAddr>,
    pub(super) pid: u32,
    pub(super) key: Bytes,
    pub(super) tls: String,
    pub(super) opened: Instant,
    pub(super) opened_wall: SystemTime,
}

/// Holder and cancel count guard each other: a release clears the holder and then looks at the count, a cancel
/// raises the count and then looks at the holder. Sequential consistency makes sure that one of them sees the other.
const ORDER: Ordering = Ordering::SeqCst;

impl ServerInfo {
    pub(super) fn new(identity: Identity) -> Self {
        let Identity { id, host, remote, local, pid, key, tls, opened, opened_wall } = identity;
        Self {
            id,
            host,
            remote,
            local,
            pid,
            key,
            tls,
            opened,
            opened_wall,
            client: AtomicU64::new(0),
            close_needed: AtomicBool::new(false),
            doomed: AtomicBool::new(false),
            tested: AtomicBool::new(false),
            cancels: AtomicU32::new(0),
            cancelled: Notify::new(),
            prepared: AtomicU32::new(0),
        }
    }

    /// Id of the client that holds it; 0 when none does.
    pub fn client(&self) -> u64 {
        self.client.load(ORDER)
    }

    /// Notes who holds it; 0 for nobody.
    pub fn set_client(&self, id: u64) {
        self.client.store(id, ORDER);
    }

    /// Whether it is to be closed when its holder gives it back.
    pub fn close_needed(&self) -> bool {
        self.close_needed.load(Ordering::Relaxed)
    }

    /// Asks for that (`RECONNECT`, a changed configuration).
    pub fn need_close(&self) {
        self.close_needed.store(true, Ordering::Relaxed);
    }

    /// Whether it must not be used any more at all.
    pub fn is_doomed(&self) -> bool {
        self.doomed.load(ORDER)
    }

    /// Its host is dead or deposed: nobody may use it any more, not even to end a transaction.
    pub fn doom(&self) {
        self.doomed.store(true, ORDER);
    }

    /// Whether it is being checked or reset, for no client.
    pub fn is_tested(&self) -> bool {
        self.tested.load(Ordering::Relaxed)
    }

    /// Notes that such a query begins or is over.
    pub fn set_tested(&self, tested: bool) {
        self.tested.store(tested, Ordering::Relaxed);
    }

    /// How many prepared statements it holds, as of its last release.
    pub fn prepared(&self) -> u32 {
        self.prepared.load(Ordering::Relaxed)
    }

    /// Notes how many prepared statements it holds.
    pub fn set_prepared(&self, count: usize) {
        self.prepared.store(u32::try_from(count).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// How many cancel requests are on their way to it.
    pub fn cancels(&self) -> u32 {
        self.cancels.load(ORDER)
    }

    /// Waits until no cancel request is on its way.
    pub async fn cancels_arrived(&self) {
        loop {
            let arrival = self.cancelled.notified();
            if self.cancels() == 0 {
                return;
            }
            arrival.await;
        }
    }

    /// Notes that a cancel request is about to be sent, until the returned value is dropped.
    pub fn cancel_begins(self: &Arc<Self>) -> CancelUnderWay {
        self.cancels.fetch_add(1, ORDER);
        CancelUnderWay(self.clone())
    }
}

/// A cancel request on its way.
#[derive(Debug)]
pub struct CancelUnderWay(Arc<ServerInfo>);

impl Drop for CancelUnderWay {
    fn drop(&mut self) {
        self.0.cancels.fetch_sub(1, ORDER);
        self.0.cancelled.notify_waiters();
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
    /// Where its socket is registered.
    pub(super) home: Reactor,
    /// What [`Self::is_silent`] has heard.
    pub(super) heard: Vec<u8>,
}

/// How much of what a server says while it is idle is listened to. Its last words are a few hundred bytes.
const WORDS_LIMIT: usize = 16 * 1024;

/// What another process knew of a connection that it hands over.
#[derive(Debug)]
pub struct Origin {
    /// Number of the connection in this process.
    pub id: u64,
    /// The host as the entry names it.
    pub host: HostAddr,
    /// See [`ServerInfo::pid`].
    pub pid: u32,
    /// See [`ServerInfo::key`].
    pub key: Bytes,
    /// When it was opened, as far as this machine's clock can tell.
    pub opened: Instant,
    /// The same for people.
    pub opened_wall: SystemTime,
}

impl Connection {
    /// A connection that another process has opened; its socket is registered with the calling thread's reactor.
    pub fn adopt(socket: Socket, state: ServerState, origin: Origin) -> Self {
        let Origin { id, host, pid, key, opened, opened_wall } = origin;
        let (remote, local) = (socket.peer_addr(), socket.local_addr());
        let tls = String::new();
        let identity = Identity { id, host, remote, local, pid, key, tls, opened, opened_wall };
        let info = Arc::new(ServerInfo::new(identity));
        info.set_prepared(state.statements.len());
        let stream = Stream::Plain(socket);
        Self { stream, state, info, home: Reactor::here(), heard: Vec::new() }
    }

    /// The reactor its socket is registered with.
    pub fn home(&self) -> Reactor {
        self.home
    }

    /// Registers the socket with the calling thread's reactor, if it is not there already.
    ///
    /// # Errors
    /// The system's; the connection is then of no use.
    pub fn bring_here(&mut self) -> io::Result<()> {
        let here = Reactor::here();
        if self.home != here {
            self.stream.move_here()?;
            self.home = here;
        }
        Ok(())
    }

    /// Whether nothing came from the server since it was last used. An idle server has nothing to say: whatever it
    /// does say, its end included, makes it unfit. Costs no system call unless something came.
    pub fn is_silent(&mut self) -> bool {
        let mut byte = [0];
        self.heard.is_empty() && self.hear(&mut byte).is_pending()
    }

    /// What an idle server has said before it ended: its ErrorResponse, if that is fatal.
    pub fn last_words(&mut self) -> Option<ErrorResponse> {
        let mut space = [0; 1024];
        while self.heard.len() < WORDS_LIMIT
            && let Poll::Ready(Ok(1..)) = self.hear(&mut space)
        {}
        let mut heard = Bytes::copy_from_slice(&self.heard);
        while let Ok(Some(head)) = Head::peek(&heard)
            && head.len <= heard.len()
        {
            let message = heard.split_to(head.len);
            if head.tag == ErrorResponse::TAG {
                let words = ErrorResponse::decode(message.slice(Head::SIZE..)).ok();
                return words.filter(ErrorResponse::is_fatal);
            }
        }
        None
    }

    /// Reads what has come, without waiting.
    fn hear(&mut self, space: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(space);
        let mut cx = Context::from_waker(Waker::noop());
        let heard = Pin::new(&mut self.stream).poll_read(&mut cx, &mut buf);
        self.heard.extend_from_slice(buf.filled());
        heard.map_ok(|()| buf.filled().len())
    }

    /// Takes leave (Terminate) as far as that is possible without waiting, and closes.
    pub fn close(mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        let stream = &mut self.stream;
        if let Poll::Ready(Ok(_)) = Pin::new(&mut *stream).poll_write(&mut cx, frontend::TERMINATE)
        {
            let _ = Pin::new(stream).poll_flush(&mut cx);
        }
    }
}
