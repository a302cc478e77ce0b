//! Why a host is not what somebody needs: plain values with their words. PURE.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::{Role, Snapshot};
use crate::config::{HostAddr, ReplicaLag};

/// Why reads are not sent to a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It was not asked yet what it is.
    Unasked,
    /// It could not be asked.
    Down(Failure),
    /// It belongs to another cluster.
    Foreign,
    /// It is another address of this host.
    Double(HostAddr),
    /// It says that it is a primary, and not every host was asked yet.
    Undecided,
    /// It is the primary: that is no replica.
    Primary,
    /// It says that it is a primary and must not be used as one.
    Deposed,
    /// It follows a timeline that the cluster has left.
    LeftBehind {
        /// What it follows.
        follows: u32,
        /// The highest that was seen.
        cluster: u32,
    },
    /// It is further behind than it may be.
    Behind {
        /// WAL.
        bytes: u64,
        /// How long ago the primary was where it is; `None`: before the first look at it.
        time: Option<Duration>,
        /// `max_replica_lag`.
        limit: ReplicaLag,
        /// Whether it receives anything from anybody.
        streaming: bool,
    },
}

/// How a monitor has failed to ask a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection, or it broke.
    Unreachable,
    /// No answer in time.
    Silent,
    /// It takes nobody in for now: it starts, stops or recovers.
    Closed,
    /// The login was refused; the SQLSTATE, where the server has told one.
    Login(Option<String>),
    /// It answers, and not what it was asked.
    NoAnswer,
}

/// What a host became, and what it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Role, or why it has none.
    pub to: &'static str,
    /// The same before.
    pub from: &'static str,
}

/// Why there is no primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPrimary {
    /// Not every host was asked yet.
    TooEarly,
    /// A switchover was announced.
    SwitchingOver,
    /// Several say that they are, and nothing tells which of them is right.
    SplitBrain,
    /// Whoever says so must not be used as one.
    Deposed,
    /// Each host that can be used says that it is a replica.
    Replicas {
        /// And none is missing.
        all: bool,
    },
    /// No host can be used.
    NoHost,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unasked => f.write_str("not asked yet"),
            Self::Down(failure) => write!(f, "down: {failure}"),
            Self::Foreign => f.write_str("of another cluster"),
            Self::Double(first) => write!(f, "the same server as {first}"),
            Self::Undecided => f.write_str("not every host was asked yet"),
            Self::Primary => f.write_str("the primary"),
            Self::Deposed => f.write_str("deposed"),
            Self::LeftBehind { follows, cluster } => {
                write!(f, "follows timeline {follows}, the cluster is on {cluster}")
            }
            Self::Behind { bytes, time, limit, streaming } => {
                match (limit, time) {
                    (ReplicaLag::Time(limit), Some(time)) => {
                        write!(f, "{} behind, max_replica_lag is {}", seconds(*time), brief(*limit))
                    }
                    (ReplicaLag::Time(limit), None) => {
                        let limit = brief(*limit);
                        let bytes = megabytes(*bytes);
                        write!(
                            f,
                            "{bytes} behind, how long is not known yet, max_replica_lag is {limit}"
                        )
                    }
                    (ReplicaLag::Bytes(limit), _) => {
                        let limit = megabytes(*limit);
                        write!(f, "{} behind, max_replica_lag is {limit}", megabytes(*bytes))
                    }
                }?;
                f.write_str(if *streaming { "" } else { ", streams from nobody" })
            }
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable => f.write_str("not reached"),
            Self::Silent => f.write_str("no answer in time"),
            Self::Closed => f.write_str("starting up or shutting down"),
            Self::Login(None) => f.write_str("no login for topology_user"),
            Self::Login(Some(code)) => write!(f, "refuses topology_user ({code})"),
            Self::NoAnswer => f.write_str("cannot say what it is"),
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, was {}", self.to, self.from)
    }
}

impl Unfit {
    /// The same for a client: behind a number of hosts, and naming none.
    fn for_a_client(&self) -> String {
        match self {
            Self::Down(Failure::Login(Some(code))) => format!("refusing topology_user ({code})"),
            Self::Down(Failure::NoAnswer) => "answering nothing that makes sense".to_owned(),
            Self::Down(failure) => failure.to_string(),
            Self::Double(_) => "named twice".to_owned(),
            Self::Undecided => "not decided on yet".to_owned(),
            Self::Primary => "the primary".to_owned(),
            Self::Deposed => "deposed as primary".to_owned(),
            Self::LeftBehind { .. } => "on an old timeline".to_owned(),
            Self::Behind { .. } => "too far behind (max_replica_lag)".to_owned(),
            Self::Unasked | Self::Foreign => self.to_string(),
        }
    }
}

impl Snapshot {
    /// Why there is no primary; `None`: there is one.
    pub fn no_primary(&self) -> Option<NoPrimary> {
        if self.primary.is_some() {
            return None;
        }
        let has = |role| self.hosts.iter().any(|host| host.role == role);
        let early =
            |unfit: &Option<Unfit>| matches!(unfit, Some(Unfit::Unasked | Unfit::Undecided));
        Some(match () {
            () if self.switching_over.is_some() => NoPrimary::SwitchingOver,
            () if self.split_brain => NoPrimary::SplitBrain,
            () if self.hosts.iter().any(|host| early(&host.unfit)) => NoPrimary::TooEarly,
            () if has(Role::Deposed) => NoPrimary::Deposed,
            () if has(Role::Replica) => NoPrimary::Replicas {
                all: self.hosts.iter().all(|host| host.role == Role::Replica),
            },
            () => NoPrimary::NoHost,
        })
    }

    /// What the hosts are, for a client that waited in vain for one: how many of each kind, no names.
    pub fn census(&self) -> String {
        let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
        for host in &self.hosts {
            let words = match (host.role, &host.unfit) {
                (Role::Replica, Some(unfit)) => format!("{REPLICA}, {}", unfit.for_a_client()),
                (_, Some(unfit)) => unfit.for_a_client(),
                (_, None) => REPLICA.to_owned(),
            };
            *kinds.entry(words).or_default() += 1;
        }
        let count = |(words, count): (String, usize)| match words.strip_prefix(REPLICA) {
            Some(rest) if count > 1 => format!("{count} {REPLICA}s{rest}"),
            _ => format!("{count} {words}"),
        };
        let kinds: Vec<_> = kinds.into_iter().map(count).collect();
        let hosts = if self.hosts.len() == 1 { "host" } else { "hosts" };
        format!("Of {} {hosts}: {}.", self.hosts.len(), kinds.join("; "))
    }

    /// In a sentence for the operator: why there is no primary, which hosts say what, and what to do. Nothing where other
    /// words were found already, or will be.
    pub fn tell_no_primary(&self) -> Option<String> {
        let whose = |wanted: fn(&Role) -> bool| -> String {
            let those = self.hosts.iter().filter(|host| wanted(&host.role));
            let mut names: Vec<_> = those.map(|host| host.addr.to_string()).collect();
            let more = names.len().saturating_sub(NAMED);
            names.truncate(NAMED);
            if more > 0 {
                names.push(format!("{more} more"));
            }
            names.join(", ")
        };
        let replicas = || whose(|role| *role == Role::Replica);
        match self.no_primary()? {
            NoPrimary::TooEarly | NoPrimary::SwitchingOver | NoPrimary::SplitBrain => None,
            NoPrimary::Deposed => Some(format!(
                "who says that it is the primary must not be used as one: {}; bring the newer primary back, or see what is \
                 said of the host",
                whose(|role| *role == Role::Deposed)
            )),
            NoPrimary::Replicas { all: true } => Some(format!(
                "every host says that it is a replica: {}; promote one, or add the primary to host=, or set \
                 target_session_attrs=read-only if the entry is for reads alone",
                replicas()
            )),
            NoPrimary::Replicas { all: false } => Some(format!(
                "only replicas are left: {}; not to be used: {}; promote one, or bring the primary back",
                replicas(),
                whose(|role| *role != Role::Replica)
            )),
            NoPrimary::NoHost => Some(format!(
                "none of its hosts can be used: {}; mend what is said of each",
                whose(|_| true)
            )),
        }
    }

    /// What a client may do about it that waited in vain, or whom it may ask what.
    pub fn advice(&self, primary: bool) -> &'static str {
        let all = |is: fn(&Unfit) -> bool| {
            !self.hosts.is_empty()
                && self.hosts.iter().all(|host| host.unfit.as_ref().is_some_and(is))
        };
        if all(|unfit| matches!(unfit, Unfit::Down(Failure::Login(_)))) {
            return "Ask the administrator: pgweir's own login (topology_user) is refused.";
        }
        if all(|unfit| matches!(unfit, Unfit::Down(_))) {
            return "Retry later, or ask the administrator whether the servers are up.";
        }
        if self.hosts.iter().any(|host| host.unfit == Some(Unfit::Foreign)) {
            return "Ask the administrator: host= names servers of different clusters.";
        }
        if primary && self.no_primary() == Some(NoPrimary::Replicas { all: true }) {
            return "Retry later, or ask the administrator: a replica is to be promoted, or host= lacks the primary.";
        }
        "Retry later, or ask the administrator: SHOW TOPOLOGY and the log name the hosts."
    }
}

const REPLICA: &str = "replica";

/// How many hosts a sentence names.
const NAMED: usize = 8;

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// A limit as it was set: without needless digits.
fn brief(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / (1024.0 * 1024.0))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{addr, host};
    use super::super::{HostView, Role};
    use super::*;

    fn snapshot(hosts: Vec<HostView>) -> Snapshot {
        Snapshot {
            hosts,
            primary: None,
            samples: crate::routing::causal::Samples::default(),
            needs_primary: true,
            switching_over: None,
            split_brain: false,
            primary_missing_since: None,
        }
    }

    fn down(number: u16, failure: Failure) -> HostView {
        HostView { up: false, unfit: Some(Unfit::Down(failure)), ..host(number, Role::Unknown) }
    }

    #[test]
    fn each_reason_is_told_in_few_words() {
        let second = Duration::from_secs(1);
        let behind =
            |limit, time, streaming| Unfit::Behind { bytes: 5 << 20, time, limit, streaming };
        for (unfit, words) in [
            (Unfit::Primary, "the primary"),
            (Unfit::Unasked, "not asked yet"),
            (Unfit::Down(Failure::Unreachable), "down: not reached"),
            (
                Unfit::Down(Failure::Login(Some("28P01".to_owned()))),
                "down: refuses topology_user (28P01)",
            ),
            (Unfit::Double(addr(1)), "the same server as pg:1"),
            (
                Unfit::LeftBehind { follows: 3, cluster: 4 },
                "follows timeline 3, the cluster is on 4",
            ),
            (
                behind(ReplicaLag::Time(10 * second), Some(second * 123 / 10), true),
                "12.3 s behind, max_replica_lag is 10 s",
            ),
            (
                behind(ReplicaLag::Time(second / 2), None, false),
                "5.0 MB behind, how long is not known yet, max_replica_lag is 0.5 s, streams from nobody",
            ),
            (
                behind(ReplicaLag::Bytes(1 << 20), Some(second), true),
                "5.0 MB behind, max_replica_lag is 1.0 MB",
            ),
        ] {
            assert_eq!(unfit.to_string(), words);
        }
    }

    #[test]
    fn a_client_is_told_how_many_hosts_are_what_and_no_names() {
        let all = snapshot(vec![
            host(1, Role::Replica),
            down(2, Failure::Unreachable),
            host(3, Role::Replica),
        ]);
        assert_eq!(all.census(), "Of 3 hosts: 1 not reached; 2 replicas.");
        let refused = down(1, Failure::Login(Some("28000".to_owned())));
        let one = snapshot(vec![refused]);
        assert_eq!(one.census(), "Of 1 host: 1 refusing topology_user (28000).");
        assert!(one.advice(true).contains("topology_user"));
    }

    #[test]
    fn why_there_is_no_primary_is_told_with_the_hosts_and_what_to_do() {
        let replicas = snapshot(vec![host(1, Role::Replica), host(2, Role::Replica)]);
        assert_eq!(replicas.no_primary(), Some(NoPrimary::Replicas { all: true }));
        let told = replicas.tell_no_primary().unwrap_or_default();
        assert!(
            told.starts_with("every host says that it is a replica: pg:1, pg:2; promote"),
            "{told}"
        );
        let lost = snapshot(vec![down(1, Failure::Silent), host(2, Role::Replica)]);
        let told = lost.tell_no_primary().unwrap_or_default();
        assert!(told.contains("left: pg:2; not to be used: pg:1; promote one"), "{told}");
        let dark = snapshot(vec![down(1, Failure::Silent)]);
        assert_eq!(dark.no_primary(), Some(NoPrimary::NoHost));
        let early = HostView { unfit: Some(Unfit::Unasked), ..down(1, Failure::Silent) };
        assert_eq!(snapshot(vec![early]).tell_no_primary(), None);
    }
}
