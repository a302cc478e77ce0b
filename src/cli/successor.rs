//! The control side of handing over: what is neither a listening socket nor a client.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::pidfile::PidFile;
use crate::worker::handover::Stage;

/// What goes with the listening sockets. Given up when they are; taken back if the successor dies.
pub(super) struct Belongings {
    pub(super) pidfile_path: Option<PathBuf>,
    pub(super) pidfile: Mutex<Option<PidFile>>,
    /// Ends the HTTP listeners of the moment.
    pub(super) webs: Mutex<CancellationToken>,
    /// Begins them anew.
    pub(super) open_webs: Box<dyn Fn(CancellationToken) + Send + Sync>,
}

impl Belongings {
    /// Follows the stages until told to end.
    pub(super) async fn follow(
        self: Arc<Self>,
        mut stage: watch::Receiver<Stage>,
        stop: CancellationToken,
    ) {
        let mut ours = true;
        loop {
            tokio::select! {
                _ = stage.changed() => {}
                () = stop.cancelled() => return,
            }
            let now = stage.borrow_and_update().clone();
            match now {
                Stage::Showing(to) => drop(to.send(None)),
                Stage::Over(to) => {
                    ours = false;
                    self.webs.lock().unwrap_or_else(PoisonError::into_inner).cancel();
                    drop(self.take_pidfile());
                    let _ = to.send(());
                }
                Stage::Own if !ours => {
                    ours = true;
                    let token = stop.child_token();
                    *self.webs.lock().unwrap_or_else(PoisonError::into_inner) = token.clone();
                    (self.open_webs)(token);
                    self.write_pidfile();
                }
                Stage::Own => {}
            }
        }
    }

    fn take_pidfile(&self) -> Option<PidFile> {
        self.pidfile.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn write_pidfile(&self) {
        let Some(path) = &self.pidfile_path else { return };
        match PidFile::write(path) {
            Ok(file) => {
                *self.pidfile.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
            }
            Err(error) => tracing::error!("{error}"),
        }
    }
}
