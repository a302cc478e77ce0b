//! The pooler as a source of answers.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Source;
use crate::config::SecretText;
use crate::net::clock;
use crate::report::connections::ClientRow;
use crate::report::events::EventRow;
use crate::report::overview::Overview;
use crate::report::pools::PoolReport;
use crate::report::queries::QueryReport;
use crate::report::topology::ClusterRow;
use crate::report::{connections, events, overview, pools, queries, topology};
use crate::topology::Topology;
use crate::worker::shared::Shared;

/// This process.
pub struct Pooler {
    shared: Arc<Shared>,
    topology: Topology,
    version: &'static str,
    begun: Instant,
}

impl fmt::Debug for Pooler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pooler").finish_non_exhaustive()
    }
}

impl Pooler {
    /// Over what the workers share and what the monitors know; it begins now.
    pub fn new(shared: Arc<Shared>, topology: Topology, version: &'static str) -> Self {
        Self { shared, topology, version, begun: clock::now() }
    }
}

impl Source for Pooler {
    fn readiness(&self) -> Result<(), String> {
        if self.shared.closing.load(Ordering::Acquire) {
            return Err("shutting down".to_owned());
        }
        if self.shared.all_paused.load(Ordering::Acquire) {
            return Err("paused".to_owned());
        }
        Ok(())
    }

    fn token(&self) -> Option<SecretText> {
        self.shared.live().config.http_token.clone()
    }

    fn tls(&self) -> Option<Arc<rustls::ServerConfig>> {
        self.shared.live().http_tls.clone()
    }

    fn version(&self) -> &'static str {
        self.version
    }

    fn uptime(&self) -> Duration {
        clock::now().saturating_duration_since(self.begun)
    }

    fn overview(&self) -> Overview {
        overview::overview(&self.shared)
    }

    fn clusters(&self) -> Vec<ClusterRow> {
        topology::clusters(&self.topology, &self.shared.services.pools(), clock::now())
    }

    fn pools(&self) -> Vec<PoolReport> {
        pools::with_hosts(&self.shared, clock::now())
    }

    fn clients(&self) -> Vec<ClientRow> {
        connections::clients(&self.shared, clock::now())
    }

    fn events(&self) -> Vec<EventRow> {
        events::events(&self.topology)
    }

    fn queries(&self) -> QueryReport {
        queries::queries(&self.shared)
    }
}
