//! Host lists and hosts.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram};

use super::super::names;
use super::{Lease, Resolver, flag};

/// The host list of one database entry as a whole.
#[derive(Debug)]
pub struct TopologyMetrics {
    /// Times another host became the primary.
    pub primary_changes: Counter,
    /// Clients held until a primary is known: set before a scrape.
    pub held_clients: Gauge,
    /// How long clients were held.
    pub hold_time: Histogram,
    /// How long there was no primary.
    pub failover_time: Histogram,
    primary_known: Gauge,
    primary_missing: Gauge,
    split_brain: Gauge,
    _lease: Lease,
}

impl TopologyMetrics {
    pub(in super::super) fn resolve(mut with: Resolver<'_>, database: &str) -> Self {
        let database = [database];
        Self {
            primary_changes: with.counter(&names::TOPOLOGY_PRIMARY_CHANGES, &database),
            held_clients: with.gauge(&names::TOPOLOGY_HELD_CLIENTS, &database),
            hold_time: with.histogram(&names::TOPOLOGY_HOLD_SECONDS, &database),
            failover_time: with.histogram(&names::TOPOLOGY_FAILOVER_SECONDS, &database),
            primary_known: with.gauge(&names::TOPOLOGY_PRIMARY_KNOWN, &database),
            primary_missing: with.gauge(&names::TOPOLOGY_PRIMARY_MISSING_SECONDS, &database),
            split_brain: with.gauge(&names::TOPOLOGY_SPLIT_BRAIN, &database),
            _lease: with.lease(),
        }
    }

    /// Sets for how long there has been no primary (`None`: there is one), and whether several
    /// hosts claim to be it.
    pub fn set_primary(&self, missing_for: Option<Duration>, split_brain: bool) {
        self.primary_known.set(flag(missing_for.is_none()));
        self.primary_missing.set(missing_for.unwrap_or_default().as_secs_f64());
        self.split_brain.set(flag(split_brain));
    }
}

/// What a host may be to us; as SHOW TOPOLOGY has it.
const ROLES: [&str; 4] = ["primary", "replica", "deposed", "unknown"];

/// One host, whatever database entries name it.
#[derive(Debug)]
pub struct HostMetrics {
    up: Gauge,
    primary: Gauge,
    roles: [(&'static str, Gauge); ROLES.len()],
    timeline: Gauge,
    lag_bytes: Gauge,
    lag_seconds: Gauge,
    _lease: Lease,
}

impl HostMetrics {
    pub(in super::super) fn resolve(mut with: Resolver<'_>, host: &str) -> Self {
        let roles = ROLES.map(|role| (role, with.gauge(&names::HOST_ROLE, &[host, role])));
        let host = [host];
        Self {
            up: with.gauge(&names::HOST_UP, &host),
            primary: with.gauge(&names::HOST_PRIMARY, &host),
            roles,
            timeline: with.gauge(&names::HOST_TIMELINE, &host),
            lag_bytes: with.gauge(&names::HOST_LAG_BYTES, &host),
            lag_seconds: with.gauge(&names::HOST_LAG_SECONDS, &host),
            _lease: with.lease(),
        }
    }

    /// Sets whether the host answers its monitor, whether it says that it is a primary, and its
    /// timeline (0 while unknown).
    pub fn set_state(&self, up: bool, primary: bool, timeline: u32) {
        self.up.set(flag(up));
        self.primary.set(flag(primary));
        self.timeline.set(timeline);
    }

    /// Sets what the host is to us: one of the words of SHOW TOPOLOGY.
    pub fn set_role(&self, is: &str) {
        for (role, level) in &self.roles {
            level.set(flag(*role == is));
        }
    }

    /// Sets how far the host is behind the primary. `None`, not known, is exported as NaN:
    /// an alert on lag stays silent then, and the one on the host being down speaks.
    pub fn set_lag(&self, bytes: Option<u64>, time: Option<Duration>) {
        // A gauge is a float: exact up to 2^53, eight petabytes.
        self.lag_bytes.set(bytes.map_or(f64::NAN, |bytes| bytes as f64));
        self.lag_seconds.set(time.map_or(f64::NAN, |time| time.as_secs_f64()));
    }
}
