//! What others see of a host: its lag, and why reads are not sent to it.

use std::time::{Duration, Instant};

use super::{Cluster, Failure, Host, HostView, Role, Unfit, Verdict};
use crate::config::{HostAddr, ReplicaLag};
use crate::topology::lag::Lag;

impl Verdict {
    /// As `last_change` in SHOW TOPOLOGY has it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Unasked | Self::Undecided => "unknown",
            Self::Down => "down",
            Self::Foreign => "of another cluster",
            Self::Double => "another name of a host",
            Self::Primary => "primary",
            Self::Replica => "replica",
            Self::Deposed => "deposed",
        }
    }

    fn role(self) -> Role {
        match self {
            Self::Unasked | Self::Down | Self::Foreign | Self::Double | Self::Undecided => {
                Role::Unknown
            }
            Self::Primary => Role::Primary,
            Self::Replica => Role::Replica,
            Self::Deposed => Role::Deposed,
        }
    }

    fn is_up(self) -> bool {
        !matches!(self, Self::Unasked | Self::Down | Self::Foreign | Self::Double)
    }
}

impl Cluster {
    /// Notes since when each host has been fit for reads.
    pub(super) fn note_fitness(&mut self, now: Instant) {
        let fit: Vec<_> = self.hosts.iter().map(|host| self.unfit(host).is_none()).collect();
        for (host, fit) in self.hosts.iter_mut().zip(fit) {
            host.fit_since = host.fit_since.filter(|_| fit).or(fit.then_some(now));
        }
    }

    pub(super) fn view(&self, host: &Host) -> HostView {
        let role = host.verdict.role();
        let lag = self.lag(host);
        let (lag_bytes, lag_time) = match role {
            Role::Primary => (Some(0), Some(Duration::ZERO)),
            Role::Replica => (lag.map(|lag| lag.bytes), lag.and_then(|lag| self.late(lag))),
            Role::Unknown | Role::Deposed => (None, None),
        };
        HostView {
            addr: host.addr.clone(),
            role,
            up: host.verdict.is_up(),
            system_id: host.system_id,
            timeline: host.answer.and_then(|answer| answer.timeline),
            lsn: host.answer.and_then(|answer| answer.lsn),
            proven: host.answer.and_then(|answer| answer.proven),
            lag_bytes,
            lag: lag_time,
            since: host.since,
            last_change: host.last_change,
            last_error: host.last_error.clone(),
            unfit: self.unfit(host),
            fresh_until: lag.and_then(|lag| self.fresh_until(lag)),
            fit_since: host.fit_since,
        }
    }

    fn lag(&self, host: &Host) -> Option<Lag> {
        self.positions.lag(host.answer?.lsn?)
    }

    /// How long ago the primary was there, as far as it is known.
    fn late(&self, lag: Lag) -> Option<Duration> {
        match self.rules.max_replica_lag {
            // Cannot be told, but it is too late in any case.
            Some(ReplicaLag::Time(limit)) if lag.time.is_none() && lag.at_least > limit => {
                Some(lag.at_least)
            }
            _ => lag.time,
        }
    }

    /// Until when what a replica has replayed may be read, if nothing more is heard of it. While there is no primary nobody falls
    /// further behind.
    fn fresh_until(&self, lag: Lag) -> Option<Instant> {
        let Some(ReplicaLag::Time(limit)) = self.rules.max_replica_lag else { return None };
        self.primary?;
        Some(lag.current_at? + limit)
    }

    /// Whether a replica's lag could be told if it was asked once more: the samples of the primary have just begun.
    pub fn wants_positions(&self, addr: &HostAddr) -> bool {
        let Some(ReplicaLag::Time(limit)) = self.rules.max_replica_lag else { return false };
        let Some(host) = self.index(addr).and_then(|index| self.hosts.get(index)) else {
            return false;
        };
        host.verdict == Verdict::Replica
            && self.lag(host).is_some_and(|lag| lag.time.is_none() && lag.at_least <= limit)
    }

    /// Why reads are not sent to a host.
    fn unfit(&self, host: &Host) -> Option<Unfit> {
        match host.verdict {
            Verdict::Unasked => Some(Unfit::Unasked),
            Verdict::Down => {
                Some(Unfit::Down(host.failure.clone().unwrap_or(Failure::Unreachable)))
            }
            Verdict::Foreign => Some(Unfit::Foreign),
            Verdict::Double => Some(host.double_of.clone().map_or(Unfit::Undecided, Unfit::Double)),
            Verdict::Undecided => Some(Unfit::Undecided),
            Verdict::Primary => Some(Unfit::Primary),
            Verdict::Deposed => Some(Unfit::Deposed),
            Verdict::Replica => self.left_behind(host).or_else(|| self.behind(host)),
        }
    }

    /// A replica that still follows a timeline below the fence: what it receives, the cluster has left behind.
    fn left_behind(&self, host: &Host) -> Option<Unfit> {
        let follows = host.answer?.timeline?;
        let cluster = self.fence.as_ref()?.timeline;
        (follows < cluster).then_some(Unfit::LeftBehind { follows, cluster })
    }

    /// A replica beyond `max_replica_lag`.
    fn behind(&self, host: &Host) -> Option<Unfit> {
        // No limit; or no primary was ever seen (an entry of standbys only): nothing to compare with.
        let limit = self.rules.max_replica_lag?;
        let lag = self.lag(host)?;
        let time = self.late(lag);
        let fresh = match (limit, time) {
            (ReplicaLag::Bytes(limit), _) => lag.bytes <= limit,
            (ReplicaLag::Time(limit), Some(time)) => time <= limit,
            // It has not reached the first sample yet: how old it is cannot be told.
            (ReplicaLag::Time(_), None) => false,
        };
        let streaming = host.answer.is_some_and(|answer| answer.streaming);
        (!fresh).then_some(Unfit::Behind { bytes: lag.bytes, time, limit, streaming })
    }
}
