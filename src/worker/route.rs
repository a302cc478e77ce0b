//! From what a transaction wants and what the monitors know to a pool.

use std::sync::Arc;

use super::service::{Choice, Tracking};
use crate::metrics::{RouteReason, RouteTarget};
use crate::pool::Pool;
use crate::routing::{self, Intent, Load, Reason, Wanted};
use crate::session::Place;
use crate::topology::snapshot::Snapshot;

/// Chooses, and counts the choice. `random`: 64 even bits.
pub fn choose(
    tracking: &Tracking,
    pools: &[Arc<Pool>],
    snapshot: &Snapshot,
    intent: Intent,
    random: u64,
) -> (Choice, Place) {
    let decision = routing::decide(intent, tracking.attrs, tracking.route_reads);
    let reason = label(decision.reason);
    let at = |index: usize, target, reason| match pools.get(index) {
        Some(pool) => {
            tracking.routing.decided(target, reason);
            (Choice::Pool(pool.clone()), place(target, reason))
        }
        None => hold(true),
    };
    let primary = |reason| match snapshot.primary {
        Some(index) => at(index, RouteTarget::Primary, reason),
        None => hold(true),
    };
    match decision.target {
        Wanted::Primary => primary(reason),
        Wanted::Replica { or_primary } => {
            let replicas = snapshot.replicas().map(|(index, _)| index);
            match least_busy(pools, replicas, random) {
                Some(index) => at(index, RouteTarget::Replica, reason),
                None if or_primary => primary(RouteReason::Fallback),
                None => hold(false),
            }
        }
        Wanted::Any => {
            let hosts = snapshot.usable().map(|(index, _)| index);
            match least_busy(pools, hosts, random) {
                Some(index) if snapshot.primary == Some(index) => {
                    at(index, RouteTarget::Primary, reason)
                }
                Some(index) => at(index, RouteTarget::Replica, reason),
                None => hold(true),
            }
        }
    }
}

fn hold(primary: bool) -> (Choice, Place) {
    (Choice::Hold { primary }, Place::Unknown)
}

fn place(target: RouteTarget, reason: RouteReason) -> Place {
    match (target, reason) {
        (RouteTarget::Primary, _) => Place::Primary,
        (RouteTarget::Replica, RouteReason::LooksReadOnly) => Place::Guessed,
        (RouteTarget::Replica, _) => Place::Replica,
    }
}

fn least_busy(
    pools: &[Arc<Pool>],
    hosts: impl Iterator<Item = usize>,
    random: u64,
) -> Option<usize> {
    let hosts: Vec<usize> = hosts.collect();
    let load = |index: &usize| Load {
        outstanding: pools.get(*index).map_or(u32::MAX, |pool| pool.outstanding()),
    };
    let loads: Vec<Load> = hosts.iter().map(load).collect();
    hosts.get(routing::pick(&loads, random)?).copied()
}

fn label(reason: Reason) -> RouteReason {
    match reason {
        Reason::Hint => RouteReason::Hint,
        Reason::ReadOnly => RouteReason::ReadOnly,
        Reason::LooksReadOnly => RouteReason::LooksReadOnly,
        Reason::Attrs => RouteReason::Attrs,
        Reason::Default => RouteReason::Default,
    }
}
