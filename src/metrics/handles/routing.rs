//! Where transactions went, and why.

use metrics::Counter;

use super::super::names;
use super::{Lease, Resolver};

/// Where a transaction was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteTarget {
    /// To the primary.
    Primary,
    /// To a replica.
    Replica,
}

/// What decided where a transaction was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteReason {
    /// A comment.
    Hint,
    /// The transaction says that it is read-only.
    ReadOnly,
    /// It looks as if it only reads.
    LooksReadOnly,
    /// `target_session_attrs` of the database entry.
    Attrs,
    /// Nothing said anything: the primary.
    Default,
    /// It asked for a replica, but none was fit.
    Fallback,
    /// It asked for a replica, but none has yet what its client wrote.
    OwnWrites,
}

/// Why a request was run again on another host, unseen by its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveReason {
    /// The host was no primary any more.
    Demoted,
    /// A replica cannot run it.
    Refused,
    /// Recovery cancelled it on a replica.
    Conflict,
    /// The replica ended.
    Lost,
}

/// Routing decisions of one database entry.
#[derive(Debug)]
pub struct RoutingMetrics {
    primary: ByReason,
    replica: ByReason,
    demoted: Counter,
    refused: Counter,
    conflict: Counter,
    lost: Counter,
    _lease: Lease,
}

#[derive(Debug)]
struct ByReason {
    hint: Counter,
    read_only: Counter,
    looks_read_only: Counter,
    attrs: Counter,
    default: Counter,
    fallback: Counter,
    own_writes: Counter,
}

impl RoutingMetrics {
    pub(in super::super) fn resolve(mut with: Resolver<'_>, database: &str) -> Self {
        let mut by_reason = |target| {
            let mut total =
                |reason| with.counter(&names::ROUTING_DECISIONS, &[database, target, reason]);
            ByReason {
                hint: total("hint"),
                read_only: total("read_only"),
                looks_read_only: total("looks_read_only"),
                attrs: total("attrs"),
                default: total("default"),
                fallback: total("fallback"),
                own_writes: total("own_writes"),
            }
        };
        let (primary, replica) = (by_reason("primary"), by_reason("replica"));
        let mut moved = |reason| with.counter(&names::ROUTING_MOVED, &[database, reason]);
        Self {
            primary,
            replica,
            demoted: moved("demoted"),
            refused: moved("refused"),
            conflict: moved("conflict"),
            lost: moved("lost"),
            _lease: with.lease(),
        }
    }

    /// Counts one request that was run again on another host.
    pub fn moved(&self, reason: MoveReason) {
        let total = match reason {
            MoveReason::Demoted => &self.demoted,
            MoveReason::Refused => &self.refused,
            MoveReason::Conflict => &self.conflict,
            MoveReason::Lost => &self.lost,
        };
        total.increment(1);
    }

    /// Counts one decision.
    pub fn decided(&self, target: RouteTarget, reason: RouteReason) {
        let by_reason = match target {
            RouteTarget::Primary => &self.primary,
            RouteTarget::Replica => &self.replica,
        };
        let total = match reason {
            RouteReason::Hint => &by_reason.hint,
            RouteReason::ReadOnly => &by_reason.read_only,
            RouteReason::LooksReadOnly => &by_reason.looks_read_only,
            RouteReason::Attrs => &by_reason.attrs,
            RouteReason::Default => &by_reason.default,
            RouteReason::Fallback => &by_reason.fallback,
            RouteReason::OwnWrites => &by_reason.own_writes,
        };
        total.increment(1);
    }
}
