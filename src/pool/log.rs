//! What the log says of server connections, in pgbouncer's words: monitoring looks for them.

use std::fmt;
use std::net::SocketAddr;

use super::PoolName;
use crate::config::{HostAddr, Settings};
use crate::server::{OpenError, ServerInfo};

/// Which lines are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lines {
    /// Setting `log_connections`.
    pub connections: bool,
    /// Setting `log_disconnections`.
    pub disconnections: bool,
}

impl Lines {
    /// As the settings have it.
    pub fn of(settings: &Settings) -> Self {
        Self { connections: settings.log_connections, disconnections: settings.log_disconnections }
    }
}

/// How a server connection stands in the log: `S-0x1f: DATABASE/USER@ADDRESS:PORT`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Label<'a> {
    id: u64,
    pool: &'a PoolName,
    host: &'a HostAddr,
    remote: Option<SocketAddr>,
}

impl<'a> Label<'a> {
    pub(super) fn new(
        id: u64,
        pool: &'a PoolName,
        host: &'a HostAddr,
        remote: Option<SocketAddr>,
    ) -> Self {
        Self { id, pool, host, remote }
    }

    pub(super) fn of(pool: &'a PoolName, info: &'a ServerInfo) -> Self {
        Self::new(info.id, pool, &info.host, info.remote)
    }

    pub(super) fn opened(&self, local: Option<SocketAddr>) {
        let from = local.map_or_else(String::new, |local| format!(" (from {local})"));
        tracing::info!(of = %self, "new connection to server{from}");
    }

    pub(super) fn closed(&self, reason: &str, age: std::time::Duration) {
        tracing::info!(of = %self, "closing because: {reason} (age={}s)", age.as_secs());
    }

    /// Why it never served.
    pub(super) fn failed(&self, error: &OpenError) {
        match error {
            OpenError::Refused { response, .. } => {
                let severity = response.severity();
                tracing::warn!(of = %self, "server login failed: {severity} {}", response.message());
            }
            _ => tracing::warn!(of = %self, "cannot open a server connection: {error}"),
        }
    }
}

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PoolName { database, user, .. } = self.pool;
        write!(f, "S-{:#x}: {database}/{user}@", self.id)?;
        match (self.remote, self.host) {
            (Some(remote), _) => remote.fmt(f),
            (None, HostAddr::Unix { port, .. }) => write!(f, "unix:{port}"),
            (None, host) => host.fmt(f),
        }
    }
}
