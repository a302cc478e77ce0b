//! What the console's commands and the process's signals do.
//!
//! - `pausing` — databases and their clients: PAUSE, RESUME, KILL, RECONNECT, DISABLE
//! - `reloading` — another configuration: RELOAD, SET
//! - `ending` — SHUTDOWN, and a successor that takes over
//! - `plan` — what a configuration means to those who act by it
//! - `refused` — why a command is not carried out

mod ending;
mod pausing;
mod plan;
mod refused;
mod reloading;

use std::fmt;
use std::sync::{Arc, PoisonError};

pub(super) use plan::monitor_login;
pub use plan::{ReloadError, entries, pace, state_file, with_tls};
pub use refused::Refused;
use tokio::sync::{Mutex, MutexGuard, mpsc, watch};

use super::discovery::{Base, Findings};
pub use super::parse::ShutdownMode;
use crate::config::{KnownHosts, Settings};
use crate::topology::Topology;
use crate::topology::discover::Finding;
use crate::worker::shared::Shared;

/// Carries out commands. One reload at a time.
#[derive(Debug)]
pub struct Control {
    /// What the workers share.
    pub shared: Arc<Shared>,
    topology: Topology,
    /// One change of the configuration at a time.
    base: Mutex<Base>,
    findings: Findings,
    shutdown: watch::Sender<Option<ShutdownMode>>,
    after_reload: Box<dyn Reopen>,
}

/// What else is to be done at a reload: reopening the log.
pub trait Reopen: Send + Sync + fmt::Debug {
    /// Does it, for these settings.
    fn reopen(&self, settings: &Settings);
}

impl Control {
    /// Over these.
    pub fn new(
        shared: Arc<Shared>,
        topology: Topology,
        shutdown: watch::Sender<Option<ShutdownMode>>,
        after_reload: Box<dyn Reopen>,
    ) -> Arc<Self> {
        let base = Base { config: shared.live().config.clone(), known: KnownHosts::default() };
        let (base, findings) = (Mutex::new(base), Findings::default());
        Arc::new(Self { shared, topology, base, findings, shutdown, after_reload })
    }

    /// The configuration as the files have it; nobody else changes it meanwhile.
    pub(super) async fn base(&self) -> MutexGuard<'_, Base> {
        self.base.lock().await
    }

    /// Where those who ask for hosts send what they find.
    pub(super) fn findings(&self) -> &mpsc::Sender<Finding> {
        &self.findings.sender
    }

    /// What they have found; for one only.
    pub(super) fn take_findings(&self) -> Option<mpsc::Receiver<Finding>> {
        self.findings.receiver.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// What the monitors know.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }
}
