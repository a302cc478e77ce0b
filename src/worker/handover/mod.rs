//! Handing over to a successor: a new process takes the listening sockets, and each client as soon as it is at rest, with
//! its session and, where it holds one, its server (`-R`, the online restart).
//!
//! Nobody is suspended and nothing under way is touched: who is inside a query is served here to its end and goes then;
//! who has TLS, whose keys cannot be taken along, stays here until it leaves. Idle servers go too, with what they have
//! prepared. When nobody is left the old process ends. If the new one dies before, the old one goes on.
//!
//! ```text
//!     old                                     new
//!      │ ◄── console: HANDOVER ───────────────│
//!      │ ─── Hello, listening sockets ───────►│
//!      │ ◄── Ready ───────────────────────────│  all is built, nothing accepted yet
//!      │ ─── Over ───────────────────────────►│  nothing is accepted any more; the pidfile is gone
//!      │ ◄── Serving ─────────────────────────│
//!      │ ─── Client, Server (sockets) ───────►│  as they come to rest
//!      │ ◄── Taken, Refused ──────────────────│
//!      │ ◄── Cancel ──────────────────────────│  for clients that are still here
//!      │ ─── Done ───────────────────────────►│
//! ```
//!
//! A socket is kept here until the other side has said that it took it, and is not touched meanwhile.
//!
//! - `wire` — the messages
//! - `give` — the old process's side
//! - `take` — the new one's
//! - `carried` — a client and a server connection, as they are written down

pub mod carried;
mod give;
pub mod take;
pub mod wire;

use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, mpsc};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::give::Event;
use self::wire::ToOld;
use super::client::CancelKey;
use super::thread::{Client, Worker};

pub use self::give::begin;

/// How far it has come. Whoever has something to give follows this, and answers each change but the one to `Own` once.
#[derive(Clone, Debug, Default)]
pub enum Stage {
    /// We serve.
    #[default]
    Own,
    /// A successor is there: show it your listening socket, if you have one, and go on.
    Showing(mpsc::Sender<Option<OwnedFd>>),
    /// Let go of what the successor is to have; another `Own` takes it back.
    Over(mpsc::Sender<()>),
}

/// The parts of it that others reach. One for each process.
pub struct Handover {
    stage: watch::Sender<Stage>,
    done: CancellationToken,
    giver: Mutex<Option<mpsc::Sender<Event>>>,
    /// To the process whose clients we take over.
    old: Mutex<Option<mpsc::Sender<ToOld>>>,
    pub(super) workers: OnceLock<Vec<Worker>>,
    /// Where cancel requests run that the successor passes back.
    pub control: OnceLock<tokio::runtime::Handle>,
}

impl Default for Handover {
    fn default() -> Self {
        Self {
            stage: watch::Sender::default(),
            done: CancellationToken::new(),
            giver: Mutex::default(),
            old: Mutex::default(),
            workers: OnceLock::new(),
            control: OnceLock::new(),
        }
    }
}

impl Handover {
    /// For somebody who has something to give: see [`Stage`].
    pub fn follow(&self) -> watch::Receiver<Stage> {
        self.stage.subscribe()
    }

    /// Whether it is under way, or done.
    pub fn is_under_way(&self) -> bool {
        lock(&self.giver).is_some()
    }

    /// Waits until the successor has everything.
    pub async fn done(&self) {
        self.done.cancelled().await;
    }

    /// A client that has come to rest; it comes back if there is nobody to take it any more.
    pub(super) fn give(&self, client: Box<Client>) -> Result<(), Box<Client>> {
        // Sent under the lock: who takes it away finds all that was sent.
        let giver = lock(&self.giver);
        let Some(giver) = &*giver else { return Err(client) };
        giver.send(Event::Client(client)).map_err(|unsent| match unsent.0 {
            Event::Client(client) => client,
            Event::Said(_) | Event::Lost(_) => unreachable!("that is not what was sent"),
        })
    }

    /// Passes a cancel request on to the process that we take over from; `false` if there is none.
    pub(super) fn ask_old(&self, key: &CancelKey) -> bool {
        let request = ToOld::Cancel { pid: key.pid(), secret: key.secret().to_vec() };
        lock(&self.old).as_ref().is_some_and(|old| old.send(request).is_ok())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
