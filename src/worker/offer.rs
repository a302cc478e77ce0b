//! What a service offers at present, as the configuration has it.

use std::sync::Arc;
use std::time::Duration;

use pgweir_codec::frontend;
use pgweir_codec::head::Head;

use super::reads::Reads;
use super::view::View;
use crate::config::{
    Config, Database, PoolMode, PrepareUnnamed, ReplicaFallback, RouteReads, TargetSessionAttrs,
};
use crate::metrics::{RoutingMetrics, TopologyMetrics};
use crate::pool::Pool;
use crate::session::Rules;
use crate::topology::wanted::Wanted;

/// What a service offers at present. Replaced as a whole by a reload.
#[derive(Debug)]
pub struct Offer {
    /// The entry.
    pub database: Arc<Database>,
    /// How long clients keep their servers.
    pub mode: PoolMode,
    /// Setting `max_prepared_statements`.
    pub max_prepared_statements: u32,
    /// Setting `prepare_unnamed`.
    pub prepare_unnamed: PrepareUnnamed,
    /// See [`Rules::realm`].
    pub realm: u64,
    /// Setting `failover_timeout`.
    pub failover_timeout: Duration,
    /// What clients may send.
    pub bounds: Bounds,
    /// Setting `server_reset_query_always`: servers are reset after each transaction too.
    pub reset_always: bool,
    /// In the order of the entry's hosts, or just one.
    pub pools: Vec<Arc<Pool>>,
    /// With an entry that follows roles.
    pub tracking: Option<Tracking>,
    /// Its database entry is gone.
    pub removed: bool,
}

/// What messages are let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Setting `max_packet_size`, bytes, of either side.
    pub(super) longest: u32,
    /// Whether the simple query protocol may be used (`disable_pqexec`).
    pub(super) simple: bool,
}

impl Bounds {
    /// Whether a message of this length may pass.
    pub fn fits(self, head: Head) -> bool {
        head.len <= self.longest as usize
    }

    /// Whether lengths are worth a look at each of many messages: without a limit of its own the protocol's holds.
    pub fn are_wide(self) -> bool {
        self.longest >= i32::MAX as u32
    }

    /// Whether the client may use this kind of message.
    pub fn allow(self, head: Head) -> bool {
        self.simple || head.tag != frontend::Query::TAG
    }
}

/// What only entries that follow roles have.
#[derive(Debug)]
pub struct Tracking {
    /// What the entry is for.
    pub attrs: TargetSessionAttrs,
    /// Setting `route_reads`.
    pub route_reads: RouteReads,
    /// Which texts are reads, with `route_reads = auto` or `shadow`.
    pub reads: Option<Arc<Reads>>,
    /// What is known of its hosts.
    pub view: View,
    /// Whether clients read their own writes (`causal_reads = session`).
    pub causal: bool,
    /// By which the monitors are told what clients want to know.
    pub wanted: Arc<Wanted>,
    /// How reads are spread.
    pub balance: Balance,
    /// Decisions, counted.
    pub routing: RoutingMetrics,
    /// Holds, counted.
    pub topology: TopologyMetrics,
}

/// How an entry's reads are spread over its hosts.
#[derive(Clone, Debug, Default)]
pub struct Balance {
    /// In the order of the entry's hosts.
    pub hosts: Vec<HostRule>,
    /// Setting `slow_start`.
    pub slow_start: Option<Duration>,
    /// Setting `replica_fallback`.
    pub fallback: ReplicaFallback,
}

/// What the configuration says of one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostRule {
    /// How much it is to get, beside the others.
    pub weight: u32,
    /// Whether it is in our zone, or no zones are given.
    pub near: bool,
}

impl Default for HostRule {
    fn default() -> Self {
        Self { weight: 1, near: true }
    }
}

impl Balance {
    /// As the configuration has it.
    pub(super) fn of(config: &Config, database: &Database) -> Self {
        let settings = &config.settings;
        let near = |zone: Option<&String>| match (&settings.zone, zone) {
            (Some(own), Some(zone)) => zone.is_empty() || own == zone,
            _ => true,
        };
        let rule = |index| HostRule {
            weight: database.weights.get(index).copied().unwrap_or(1),
            near: near(database.zones.get(index)),
        };
        let hosts = (0..database.hosts.len()).map(rule).collect();
        let fallback = database.replica_fallback.unwrap_or(settings.replica_fallback);
        Self { hosts, slow_start: settings.slow_start, fallback }
    }
}

impl Offer {
    /// How sessions go by.
    pub fn rules(&self) -> Rules {
        Rules {
            mode: self.mode,
            follow_statements: self.max_prepared_statements > 0 && self.mode != PoolMode::Session,
            prepare_unnamed: self.prepare_unnamed,
            realm: self.realm,
            outlives_server: self.tracking.is_some(),
            holds_begin: self.tracking.as_ref().is_some_and(|tracking| {
                tracking.attrs.wants_primary() && tracking.route_reads != RouteReads::Off
            }),
        }
    }
}
