//! What the threads share, and the monitors: built once, from the configuration.

use std::sync::Arc;

use dashmap::DashMap;

use crate::admin::control;
use crate::cli::VERSION;
use crate::config::HostAddr;
use crate::metrics::Metrics;
use crate::session::parameters::Tracked;
use crate::topology::Topology;
use crate::topology::wanted::Wanted;
use crate::worker::service::{self, Services};
use crate::worker::shared::{Live, Shared};
use crate::worker::view::Snapshots;

/// Builds it; the monitors begin at once.
pub(super) fn build(live: Live) -> (Arc<Shared>, Topology) {
    let settings = &live.config.settings;
    let metrics = Metrics::new(VERSION);
    metrics.record_globally();
    let tracked = Tracked::new(&settings.track_extra_parameters);
    let holders = Arc::new(DashMap::new());
    let topology = Topology::start(
        control::entries(&live, &tracked),
        control::pace(settings),
        metrics.clone(),
        control::state_file(&live.config),
    );
    let monitors = Arc::new(Monitors(topology.clone()));
    let services = Services::new(metrics.clone(), holders.clone(), monitors, tracked.clone());
    (Shared::new(live, metrics, holders, services, tracked), topology)
}

/// The monitors, as workers see them.
struct Monitors(Topology);

impl service::Topology for Monitors {
    fn watch(&self, database: &str) -> Option<Snapshots> {
        self.0.watch(database)
    }

    fn wanted(&self, database: &str) -> Option<Arc<Wanted>> {
        self.0.wanted(database)
    }

    fn suspect(&self, host: &HostAddr) {
        self.0.suspect(host);
    }
}
