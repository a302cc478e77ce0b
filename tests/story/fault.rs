//! What happens to the primary, and what the cluster manager does about it.

use std::str::FromStr;
use std::time::Instant;

use crate::common::home::Process;
use crate::common::{Cluster, Signal, Weir};

/// What happens to the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL to all its processes, as if the power went.
    Kill,
    /// SIGSTOP to all its processes: connections stay, and nothing answers.
    Hang,
    /// Its answers vanish on the way.
    BlackHole,
    /// A clean one: it is shut down, and comes back as a replica of its successor.
    Switchover,
    /// As `Switchover`, and pgweir was told beforehand (`SWITCHOVER PREPARE`).
    Announced,
    /// A replica is promoted while the primary is alive and well.
    SplitBrain,
}

impl Fault {
    /// All of them, with their names.
    pub const ALL: [(&'static str, Self); 6] = [
        ("kill", Self::Kill),
        ("hang", Self::Hang),
        ("blackhole", Self::BlackHole),
        ("switchover", Self::Switchover),
        ("announced", Self::Announced),
        ("splitbrain", Self::SplitBrain),
    ];

    /// As it is given on the command line.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, fault)| *fault == self).map_or("", |(name, _)| name)
    }

    /// For a person.
    pub fn words(self) -> &'static str {
        match self {
            Self::Kill => "SIGKILL to the primary",
            Self::Hang => "SIGSTOP to the primary: it hangs",
            Self::BlackHole => "the primary is behind a black hole: its answers vanish",
            Self::Switchover => "a switchover: the primary is shut down",
            Self::Announced => "a switchover that was announced: the primary is shut down",
            Self::SplitBrain => "a replica is promoted while the primary is alive",
        }
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = Self::ALL.iter().find(|(own, _)| *own == name).map(|(_, fault)| *fault);
        let names = Self::ALL.map(|(name, _)| name).join(", ");
        known.ok_or_else(|| format!("there is no fault \"{name}\"; there are: {names}"))
    }
}

/// How pgweir is started anew in the middle of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// A successor takes over (`-R`).
    Takeover,
    /// It is killed, and started again.
    Crash,
}

impl Restart {
    /// Starts it anew. The process before comes back if it is still there: it ends when its clients have gone over.
    pub fn carry_out(self, weir: &mut Weir) -> Option<Process> {
        match self {
            Self::Takeover => Some(weir.reboot()),
            Self::Crash => {
                weir.signal(Signal::KILL);
                weir.wait_end();
                weir.start_again();
                None
            }
        }
    }
}

/// When what happened.
#[derive(Clone, Copy, Debug)]
pub struct Failover {
    /// What it was.
    pub fault: Fault,
    /// When.
    pub struck: Instant,
    /// A replica was asked to become the primary.
    pub asked: Instant,
    /// It took writes.
    pub promoted: Instant,
    /// Number of the node that was the primary.
    pub old: usize,
    /// Number of the node that is the primary now.
    pub new: usize,
}

/// Strikes, and promotes a replica at once, as a cluster manager without any doubts would.
pub fn strike(fault: Fault, cluster: &mut Cluster, weir: &mut Weir) -> Failover {
    strike_and(fault, cluster, weir, |_| ())
}

/// As [`strike`]; something else happens where it hurts most: after the fault and before the promotion, between an announcement
/// and what was announced, and while there are two primaries.
pub fn strike_and(
    fault: Fault,
    cluster: &mut Cluster,
    weir: &mut Weir,
    meanwhile: impl FnOnce(&mut Weir),
) -> Failover {
    let old = cluster.primary_number();
    let struck = Instant::now();
    let mut meanwhile = Some(meanwhile);
    let mut now = |weir: &mut Weir| meanwhile.take().into_iter().for_each(|happens| happens(weir));
    match fault {
        Fault::Kill => cluster.primary_mut().kill(Signal::KILL),
        Fault::Hang => cluster.primary_mut().kill(Signal::STOP),
        Fault::BlackHole => cluster.primary().vanish(),
        Fault::Switchover => cluster.primary_mut().stop(),
        Fault::Announced => {
            weir.console("SWITCHOVER PREPARE");
            now(weir);
            cluster.primary_mut().stop();
        }
        Fault::SplitBrain => {}
    }
    if fault != Fault::SplitBrain {
        now(weir);
    }
    let new = most_advanced(cluster, old);
    let asked = Instant::now();
    cluster.nodes[new].promote();
    let promoted = Instant::now();
    now(weir);
    cluster.adopt(new);
    Failover { fault, struck, asked, promoted, old, new }
}

/// The old primary comes back, as it was: able to take writes. After a switchover, as a replica.
pub fn come_back(failover: &Failover, cluster: &mut Cluster) {
    let old = failover.old;
    match failover.fault {
        Fault::Kill => cluster.nodes[old].start(),
        Fault::Hang => cluster.nodes[old].kill(Signal::CONT),
        Fault::BlackHole => cluster.nodes[old].reappear(),
        Fault::Switchover | Fault::Announced => cluster.rejoin(old),
        Fault::SplitBrain => {}
    }
}

/// With ANY 1, an acknowledged write is on one replica at least, not on a certain one: the one that has received most
/// has them all.
fn most_advanced(cluster: &Cluster, old: usize) -> usize {
    let received = |number: &usize| {
        let sql = "SELECT pg_last_wal_receive_lsn() - '0/0'::pg_lsn";
        cluster.nodes[*number].query(sql).one().parse::<u128>().expect("a number of bytes")
    };
    // Of equals the first.
    let replicas = (0..cluster.nodes.len()).filter(|number| *number != old).rev();
    replicas.max_by_key(received).expect("there are replicas")
}
