//! The doors: the listening sockets. The first worker accepts for all.
//!
//! The dealer gives new clients to the first worker as long as that is not busy, and a client that stays where it was
//! accepted costs no hand-over between threads and no second registration.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;

use super::handover::Stage;
use super::login::Arrival;
use super::thread::Context;
use crate::metrics::LoginResult;
use crate::net::clock;
use crate::net::listen::{SocketFile, UnixSocket};
use crate::net::options::{TcpOptions, defer_accept};
use crate::net::stream::Socket;

/// A listening socket, not registered with any reactor.
#[derive(Debug)]
pub enum Door {
    /// TCP.
    Tcp(std::net::TcpListener),
    /// A Unix-domain socket.
    Unix(UnixSocket),
}

/// How long to wait before accepting again after the system refused: out of descriptors or memory.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts on the calling worker, until told to close.
pub(super) async fn keep(door: Door, context: Arc<Context>, until: CancellationToken) {
    let mut open = match Open::register(door) {
        Ok(open) => open,
        Err(error) => {
            tracing::error!("cannot accept clients: {error}");
            return;
        }
    };
    let mut stage = context.shared.handover.follow();
    let mut ours = true;
    loop {
        open.tune(context.shared.live().config.settings.tcp_defer_accept > 0);
        let accepted = tokio::select! {
            accepted = open.accept(), if ours => accepted,
            () = until.cancelled() => {
                if !ours {
                    open.leave_file();
                }
                return;
            }
            _ = stage.changed() => {
                ours = open.follow(&stage.borrow_and_update(), ours);
                continue;
            }
        };
        match accepted {
            Ok((socket, peer)) => {
                if let Some(tcp) = socket.tcp() {
                    let options = TcpOptions::of(&context.shared.live().config.settings);
                    if let Err(error) = options.apply(tcp) {
                        // It may be gone again; whoever reads from it will see.
                        tracing::debug!("cannot set options of a client's socket: {error}");
                    }
                }
                let arrival =
                    Arrival { socket, peer, accepted: clock::now(), accepted_wall: clock::wall() };
                context.deal(arrival).await;
            }
            Err(error) => {
                tracing::warn!("cannot accept a client: {error}");
                context.shared.metrics.process().login(LoginResult::Refused);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// A door on this thread's reactor.
enum Open {
    /// And whether it defers.
    Tcp(TcpListener, Option<bool>),
    /// The file of the socket goes when this is dropped.
    Unix(UnixListener, SocketFile),
}

impl Open {
    fn register(door: Door) -> io::Result<Self> {
        Ok(match door {
            Door::Tcp(listener) => Self::Tcp(TcpListener::from_std(listener)?, None),
            Door::Unix(socket) => Self::Unix(UnixListener::from_std(socket.listener)?, socket.file),
        })
    }

    /// Does its part in handing over to a successor; whether it is still for us to accept.
    fn follow(&self, stage: &Stage, ours: bool) -> bool {
        match stage {
            Stage::Own => true,
            Stage::Showing(to) => {
                let socket = match self {
                    Self::Tcp(listener, _) => listener.as_fd(),
                    Self::Unix(listener, _) => listener.as_fd(),
                };
                let _ = to.send(socket.try_clone_to_owned().ok());
                ours
            }
            Stage::Over(to) => {
                let _ = to.send(());
                false
            }
        }
    }

    /// Its file is another process's.
    fn leave_file(&mut self) {
        if let Self::Unix(_, file) = self {
            file.leave();
        }
    }

    /// Follows `tcp_defer_accept`; a change takes effect with the client after the next.
    fn tune(&mut self, defer: bool) {
        let Self::Tcp(listener, defers) = self else { return };
        if *defers == Some(defer) {
            return;
        }
        *defers = Some(defer);
        if let Err(error) = defer_accept(listener.as_fd(), defer) {
            tracing::warn!("tcp_defer_accept: {error}");
        }
    }

    /// The next client, and where it comes from.
    async fn accept(&self) -> io::Result<(Socket, Option<SocketAddr>)> {
        Ok(match self {
            Self::Tcp(listener, _) => {
                let (stream, peer) = listener.accept().await?;
                (stream.into(), Some(peer))
            }
            Self::Unix(listener, _) => (listener.accept().await?.0.into(), None),
        })
    }
}
