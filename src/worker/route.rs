//! From what a transaction wants and what the monitors know to a pool.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::access::Choice;
use super::offer::{Balance, Tracking};
use crate::config::ReplicaFallback;
use crate::metrics::{RouteReason, RouteTarget};
use crate::pool::Pool;
use crate::routing::balance::{Candidate, FULL, pick};
use crate::routing::causal::Need;
use crate::routing::{self, Intent, Reason, Wanted};
use crate::session::Place;
use crate::topology::snapshot::{HostView, Snapshot};

/// Chooses, and counts the choice. `random`: 64 even bits.
pub fn choose(
    tracking: &Tracking,
    pools: &[Arc<Pool>],
    snapshot: &Snapshot,
    intent: Intent,
    need: &mut Need,
    now: Instant,
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
            learn(need, tracking, snapshot, now);
            let seen = |host: &HostView| has_seen(need, host);
            let fit = |_, host: &HostView| host.is_fresh(now) && seen(host);
            match best(&tracking.balance, pools, snapshot, fit, now, random) {
                Some(index) => at(index, RouteTarget::Replica, reason),
                None if need.is_some() && snapshot.replicas().next().is_some() => {
                    tracking.wanted.want(now);
                    if or_primary { primary(RouteReason::OwnWrites) } else { hold(false) }
                }
                None if tracking.balance.fallback == ReplicaFallback::Error
                    && (snapshot.replicas_in_doubt() || snapshot.is_outdated(now)) =>
                {
                    hold(false)
                }
                None if tracking.balance.fallback == ReplicaFallback::Error => {
                    (Choice::NoReplica, Place::Unknown)
                }
                None if or_primary => primary(RouteReason::Fallback),
                None => hold(false),
            }
        }
        Wanted::Any => {
            learn(need, tracking, snapshot, now);
            let seen = |host: &HostView| has_seen(need, host);
            let fit = |index, host: &HostView| {
                host.is_fresh(now) && seen(host) || snapshot.primary == Some(index)
            };
            match best(&tracking.balance, pools, snapshot, fit, now, random) {
                Some(index) if snapshot.primary == Some(index) => {
                    at(index, RouteTarget::Primary, reason)
                }
                Some(index) => at(index, RouteTarget::Replica, reason),
                None => hold(true),
            }
        }
    }
}

/// Brings what the client needs to see up to where the primary was last.
fn learn(need: &mut Need, tracking: &Tracking, snapshot: &Snapshot, now: Instant) {
    if need.is_some() {
        need.learn(&snapshot.samples);
        if need.is_open() {
            tracking.wanted.want(now);
        }
    }
}

/// Whether a replica has all that the client needs to see: by where it is now, or by what it has replayed for certain.
fn has_seen(need: &Need, host: &HostView) -> bool {
    need.is_met(host.timeline, host.lsn)
        || host.proven.is_some_and(|(timeline, lsn)| need.is_met(Some(timeline), Some(lsn)))
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

/// The best of the hosts that would do.
fn best(
    balance: &Balance,
    pools: &[Arc<Pool>],
    snapshot: &Snapshot,
    fit: impl Fn(usize, &HostView) -> bool,
    now: Instant,
    random: u64,
) -> Option<usize> {
    let candidate = |index: usize| {
        let (host, pool) = (snapshot.hosts.get(index)?, pools.get(index)?);
        if !fit(index, host) {
            return None;
        }
        let rule = balance.hosts.get(index).copied().unwrap_or_default();
        let load = pool.load();
        Some(Candidate {
            outstanding: load.outstanding(),
            size: load.size(),
            latency: load.latency(now),
            failing: pool.failing(now),
            weight: rule.weight,
            share: share(host, balance.slow_start, now),
            near: rule.near,
        })
    };
    pick(snapshot.hosts.len(), candidate, random)
}

/// How much of its full share a host gets: a tenth at first, all when it has been fit for the whole slow start.
fn share(host: &HostView, slow_start: Option<Duration>, now: Instant) -> u32 {
    let (Some(ramp), Some(since)) = (slow_start, host.fit_since) else { return FULL };
    let there = now.saturating_duration_since(since);
    if there >= ramp {
        return FULL;
    }
    let part = there.as_secs_f32() / ramp.as_secs_f32();
    ((0.1 + 0.9 * part) * FULL as f32) as u32
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
