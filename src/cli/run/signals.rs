//! Signals: pgbouncer's.

use std::io;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::admin::control::{Control, ShutdownMode};
use crate::cli::systemd;

/// The signals, caught from the beginning.
pub(super) struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    user1: Signal,
    user2: Signal,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
        })
    }

    /// Does what pgbouncer does at each.
    pub(super) async fn obey(mut self, control: Arc<Control>, stop: CancellationToken) {
        loop {
            tokio::select! {
                _ = self.hangup.recv() => {
                    tracing::info!("got SIGHUP, re-reading config");
                    systemd::reloading();
                    // What was wrong is in the log.
                    let _ = control.reload().await;
                    systemd::ready();
                }
                _ = self.terminate.recv() => {
                    if control.is_ending() {
                        tracing::info!("got SIGTERM while shutting down, fast exit");
                    } else {
                        tracing::info!("got SIGTERM, shutting down, waiting for all clients disconnect");
                    }
                    control.shutdown(ShutdownMode::WaitForClients);
                }
                _ = self.interrupt.recv() => {
                    if control.is_ending() {
                        tracing::info!("got SIGINT while shutting down, fast exit");
                    } else {
                        tracing::info!(
                            "got SIGINT, shutting down, waiting for all servers connections to be released"
                        );
                    }
                    control.shutdown(ShutdownMode::WaitForServers);
                }
                _ = self.quit.recv() => {
                    tracing::info!("got SIGQUIT, fast exit");
                    control.shutdown(ShutdownMode::Immediate);
                }
                _ = self.user1.recv() => {
                    tracing::info!("got SIGUSR1, pausing all activity");
                    if let Err(refused) = control.begin_pause(None) {
                        tracing::warn!("{refused}");
                    }
                }
                _ = self.user2.recv() => {
                    if control.is_ending() {
                        tracing::info!("got SIGUSR2 while shutting down, ignoring");
                    } else {
                        tracing::info!("got SIGUSR2, continuing from PAUSE");
                        if let Err(refused) = control.resume(None) {
                            tracing::warn!("{refused}");
                        }
                    }
                }
                () = stop.cancelled() => return,
            }
        }
    }
}
