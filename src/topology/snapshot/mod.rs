//! What is known of a database entry's hosts at one moment: plain values, for whoever routes, shows or measures.
//!
//! - `unfit` — why a host is not what somebody needs, and the words for it

mod unfit;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::config::{HostAddr, ReplicaLag};
use crate::routing::causal::Samples;

pub use unfit::{Change, Failure, NoPrimary, Unfit};

/// What a host is to us, which need not be what it says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It did not answer yet, does not answer any more, or belongs to another cluster.
    Unknown,
    /// The one host that may be written to.
    Primary,
    /// In recovery.
    Replica,
    /// It says that it is a primary and must not be used as one. Connections to it are to be closed.
    Deposed,
}

impl Role {
    /// As SHOW TOPOLOGY has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Primary => "primary",
            Self::Replica => "replica",
            Self::Deposed => "deposed",
        }
    }
}

/// One host as one database entry sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostView {
    /// Where it is.
    pub addr: HostAddr,
    /// What it is to us.
    pub role: Role,
    /// Whether it answers its monitor and belongs to this cluster. Nobody dials a host that is not up.
    pub up: bool,
    /// The cluster's identifier; `None` without the right to ask.
    pub system_id: Option<u64>,
    /// A primary's own, a replica's while it streams.
    pub timeline: Option<u32>,
    /// How far it has written (a primary) or replayed (a replica).
    pub lsn: Option<u64>,
    /// What a replica has replayed for certain, timeline and position, if it does not tell its timeline.
    pub proven: Option<(u32, u64)>,
    /// WAL between it and the primary; 0 on the primary, `None` while that is not known.
    pub lag_bytes: Option<u64>,
    /// How long before the last look at the primary that one was where this host is now. At most one
    /// `topology_interval` too much, never too little.
    pub lag: Option<Duration>,
    /// When `role` or `up` last changed.
    pub since: SystemTime,
    /// What changed then; `None`: nothing yet.
    pub last_change: Option<Change>,
    /// The last thing that was wrong with it; stays when it is mended.
    pub last_error: Option<Arc<str>>,
    /// Why reads are not sent to it; `None`: it is up, a replica, not left behind on an old timeline, within
    /// `max_replica_lag`.
    pub unfit: Option<Unfit>,
    /// If it is fit, until when, unless something newer is heard of it: what it has replayed is older than `max_replica_lag`
    /// then.
    pub fresh_until: Option<Instant>,
    /// Since when it is fit.
    pub fit_since: Option<Instant>,
}

impl HostView {
    /// A host of which nothing is known.
    fn unknown(addr: &HostAddr) -> Self {
        Self {
            addr: addr.clone(),
            role: Role::Unknown,
            up: false,
            system_id: None,
            timeline: None,
            lsn: None,
            proven: None,
            lag_bytes: None,
            lag: None,
            since: SystemTime::UNIX_EPOCH,
            last_change: None,
            last_error: None,
            unfit: Some(Unfit::Unasked),
            fresh_until: None,
            fit_since: None,
        }
    }

    /// Whether reads may be sent to it, by what was last heard of it.
    pub fn is_fit(&self) -> bool {
        self.unfit.is_none()
    }

    /// Whether reads may be sent to it now.
    pub fn is_fresh(&self, now: Instant) -> bool {
        self.is_fit() && self.fresh_until.is_none_or(|until| now <= until)
    }
}

/// All hosts of one database entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// In the entry's order.
    pub hosts: Vec<HostView>,
    /// Index of the one host whose role is [`Role::Primary`]; `None` also while a switchover is under way.
    pub primary: Option<usize>,
    /// Where the primary was last.
    pub samples: Samples,
    /// Whether somebody waits while there is no primary.
    pub needs_primary: bool,
    /// A switchover was announced: the host whose role is [`Role::Primary`] gets no new transactions, up to this moment at most.
    pub switching_over: Option<Instant>,
    /// Several reachable hosts say that they are the primary, and nothing tells which of them is right.
    pub split_brain: bool,
    /// Since when there has been no primary; `None` while there is one.
    pub primary_missing_since: Option<Instant>,
}

impl Snapshot {
    /// The primary.
    pub fn primary(&self) -> Option<&HostView> {
        self.hosts.get(self.primary?)
    }

    /// The replicas that are fit for reads, with their indices.
    pub fn replicas(&self) -> impl Iterator<Item = (usize, &HostView)> {
        self.hosts.iter().enumerate().filter(|(_, host)| host.is_fit())
    }

    /// The hosts that serve a client who takes any: the primary and the fit replicas, with their indices.
    pub fn usable(&self) -> impl Iterator<Item = (usize, &HostView)> {
        let fit = |host: &HostView| host.is_fit() || host.role == Role::Primary;
        self.hosts.iter().enumerate().filter(move |(_, host)| fit(host))
    }

    /// The same for these hosts, in this order: what is known of them, by their addresses. One that is not among the
    /// entry's (any more, or yet) is unknown and not up.
    pub fn of(self: &Arc<Self>, hosts: &[HostAddr]) -> Arc<Self> {
        if self.hosts.iter().map(|host| &host.addr).eq(hosts) {
            return self.clone();
        }
        let known = |addr| self.host(addr).cloned().unwrap_or_else(|| HostView::unknown(addr));
        let views: Vec<_> = hosts.iter().map(known).collect();
        let primary = views.iter().position(|host| host.role == Role::Primary);
        let primary = primary.filter(|_| self.primary.is_some());
        Arc::new(Self { hosts: views, primary, ..(**self).clone() })
    }

    /// The host with this address.
    pub fn host(&self, addr: &HostAddr) -> Option<&HostView> {
        self.hosts.iter().find(|host| host.addr == *addr)
    }

    /// Whether there are replicas whose lag will be known in a moment, or found to be too much.
    pub fn replicas_in_doubt(&self) -> bool {
        let doubt = |host: &HostView| {
            matches!(host.unfit, Some(Unfit::Behind { time: None, limit: ReplicaLag::Time(_), .. }))
        };
        self.hosts.iter().any(doubt)
    }

    /// Whether something newer may be known: a replica that was fit is so no longer by what is known here.
    pub fn is_outdated(&self, now: Instant) -> bool {
        self.hosts.iter().any(|host| host.is_fit() && !host.is_fresh(now))
    }

    /// Whether something differs that a waiting client or an open connection must learn of: not mere positions.
    pub fn differs_in_use(&self, other: &Self) -> bool {
        let in_use = |host: &HostView| (host.role, host.up, host.is_fit());
        self.primary != other.primary
            || self.switching_over.is_some() != other.switching_over.is_some()
            || self.split_brain != other.split_brain
            || self.hosts.len() != other.hosts.len()
            || self
                .hosts
                .iter()
                .zip(&other.hosts)
                .any(|(a, b)| in_use(a) != in_use(b) || a.addr != b.addr)
    }
}

#[cfg(test)]
mod testing {
    use super::*;

    pub(super) fn addr(number: u16) -> HostAddr {
        HostAddr::Tcp { host: "pg".to_owned(), port: number }
    }

    /// One that is up, and fit if it is a replica.
    pub(super) fn host(number: u16, role: Role) -> HostView {
        let unfit = match role {
            Role::Replica => None,
            Role::Primary => Some(Unfit::Primary),
            Role::Deposed => Some(Unfit::Deposed),
            Role::Unknown => Some(Unfit::Undecided),
        };
        HostView { role, up: true, unfit, ..HostView::unknown(&addr(number)) }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{addr, host};
    use super::*;

    fn snapshot() -> Arc<Snapshot> {
        let hosts = vec![host(1, Role::Deposed), host(2, Role::Primary), host(3, Role::Replica)];
        Arc::new(Snapshot {
            hosts,
            primary: Some(1),
            samples: Samples::default(),
            needs_primary: true,
            switching_over: None,
            split_brain: false,
            primary_missing_since: None,
        })
    }

    #[test]
    fn hosts_are_found_by_their_addresses_whatever_their_order() {
        let snapshot = snapshot();
        assert!(Arc::ptr_eq(&snapshot.of(&[1, 2, 3].map(addr)), &snapshot), "nothing to arrange");
        for order in [[2, 1, 3], [3, 2, 1], [2, 3, 1]] {
            let arranged = snapshot.of(&order.map(addr));
            assert_eq!(arranged.primary().map(|host| host.addr.port()), Some(2), "{order:?}");
            assert!(order.iter().zip(&arranged.hosts).all(|(port, host)| host.addr == addr(*port)));
            assert_eq!(arranged.host(&addr(1)).map(|host| host.role), Some(Role::Deposed));
        }
    }

    #[test]
    fn a_host_that_is_not_among_them_is_neither_up_nor_the_primary() {
        let arranged = snapshot().of(&[4, 3].map(addr));
        assert_eq!(arranged.primary, None);
        assert_eq!(arranged.hosts.iter().map(|host| host.up).collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn while_a_switchover_is_under_way_there_is_no_primary_in_any_order() {
        let until = Some(crate::net::clock::now());
        let announced = Snapshot { primary: None, switching_over: until, ..(*snapshot()).clone() };
        assert_eq!(Arc::new(announced).of(&[3, 2, 1].map(addr)).primary, None);
    }
}
