//! Who is the primary: from what each host says of itself to what is believed. PURE: no clock, no I/O.
//!
//! One [`Cluster`] per database entry is told what was seen of each host and answers with a [`Snapshot`]. The rules:
//!
//! 1. **First look.** No host is up before its first answer, and no first primary is named before every host was
//!    asked once: the host that answers first may be an old primary, and the next answer would say so.
//! 2. **One cluster.** Hosts whose system identifier differs from that of most are not used at all. Of equally many,
//!    the identifier counts that counted before, then the one whose host alone says that it is a primary. If that does
//!    not decide either, there is no primary (split brain).
//!    A host that is another address of one before it in the list is not used either.
//! 3. **The highest timeline.** Of several primaries the one on the highest timeline is believed, the others are
//!    deposed. Twice the same highest timeline: no primary (split brain), all that claim it are deposed. With
//!    `split_brain = newest` the one is believed that came last to say so, of two that were found so the one that has
//!    written most.
//! 4. **The fence.** The highest timeline on which a host was ever seen, be it as a primary or as a replica that follows
//!    it, is remembered. A primary below it is deposed even when it is the only one that can be reached: its successor may
//!    be alive behind a broken network, or have taken writes that this one does not know. The fence falls when
//!    - a host says that it is a primary on the fence's timeline or a higher one (it then is the new fence),
//!    - the host that put it up is taken out of the entry (`host=`, then RELOAD): so the operator says
//!      that it is lost; that a cluster manager does not name it any more (`discover`) says nothing,
//!    - the cluster is another one (system identifier).
//!
//!    A restart does not lift it: it is remembered in a file ([`super::memory`]).
//! 5. **A switchover that was announced.** From then on the present primary gets no new transactions, until another host
//!    is the primary, the operator says that it is over, or it has taken too long.
//!
//! - `fitness` — what others see of a host: its lag, and why reads are not sent to it
//! - `reason` — the words for why a host that answers is not used

mod fitness;
mod reason;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::lag::Positions;
use super::snapshot::{Change, Failure, HostView, Role, Snapshot, Unfit};
use crate::config::{HostAddr, ReplicaLag, SplitBrain};
use crate::routing::causal::{Sample, Samples};

/// What was seen of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// It answered what it was asked at this moment.
    Answered(Answer, Instant),
    /// It could not be asked, or did not answer in time.
    Failed {
        /// For the operator.
        error: Arc<str>,
        /// Of what kind that is.
        failure: Failure,
    },
}

/// What a host says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// `pg_is_in_recovery()`.
    pub in_recovery: bool,
    /// `pg_control_system().system_identifier`; `None` without the right to ask.
    pub system_id: Option<u64>,
    /// A primary's own; that of the WAL which a replica receives (`None` if it receives none, or without rights).
    pub timeline: Option<u32>,
    /// Written (a primary) or replayed (a replica).
    pub lsn: Option<u64>,
    /// Where a primary would write next: what was committed before is in front of it.
    pub insert_lsn: Option<u64>,
    /// Whether a replica has a WAL receiver.
    pub streaming: bool,
    /// When it was started, microseconds since 1970 by its own clock.
    pub started: Option<i64>,
    /// What a replica has replayed for certain, timeline and position: asked of one that does not tell its timeline. It says
    /// nothing of where it is now.
    pub proven: Option<(u32, u64)>,
}

impl Answer {
    fn sample(&self, asked: Instant) -> Option<Sample> {
        let timeline = self.timeline.filter(|_| !self.in_recovery)?;
        Some(Sample { asked, timeline, lsn: self.insert_lsn? })
    }
}

/// Limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Of several primaries on one timeline.
    pub split_brain: SplitBrain,
    /// Replicas further behind get no reads; `None`: no limit.
    pub max_replica_lag: Option<ReplicaLag>,
    /// Whether the list of hosts is the operator's own. One that a cluster manager names lacks who is down for a while.
    pub hosts_are_configured: bool,
    /// Whether somebody waits while there is no primary. A list of standbys may well name none at all.
    pub needs_primary: bool,
}

/// What is known of the hosts of one database entry.
#[derive(Clone, Debug)]
pub struct Cluster {
    hosts: Vec<Host>,
    rules: Rules,
    /// The identifier that counted last.
    system_id: Option<u64>,
    fence: Option<Fence>,
    /// Every host was asked once.
    looked: bool,
    primary: Option<usize>,
    split_brain: bool,
    missing_since: Option<Instant>,
    /// A switchover that was announced, until when it counts, and from which primary.
    announced: Option<Announced>,
    positions: Positions,
    /// The same for who needs to see what it has written.
    samples: Samples,
    /// Whose positions they are: host and timeline.
    positions_of: Option<(HostAddr, Option<u32>)>,
}

/// See the module's words. Kept over a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The highest timeline seen.
    pub timeline: u32,
    /// Who was seen on it.
    pub by: HostAddr,
    /// Of which cluster, if that was known.
    pub system_id: Option<u64>,
}

#[derive(Clone, Debug)]
struct Announced {
    from: HostAddr,
    until: Instant,
}

#[derive(Clone, Debug)]
struct Host {
    addr: HostAddr,
    /// Whether anything was seen of it.
    asked: bool,
    /// The last answer, while it is up.
    answer: Option<Answer>,
    /// The identifier it had last, up or not.
    system_id: Option<u64>,
    /// The timeline that it last said it is the primary on, unless it was a replica since.
    claimed: Option<u32>,
    /// Since when; `None`: it did when it was first seen.
    claimed_since: Option<Instant>,
    /// Since when it has been fit for reads.
    fit_since: Option<Instant>,
    /// Where it was last, as a primary.
    sample: Option<Sample>,
    /// When it was asked what it answered last.
    asked_at: Option<Instant>,
    /// How it could not be asked the last time, while that is so.
    failure: Option<Failure>,
    verdict: Verdict,
    since: SystemTime,
    /// What changed then.
    last_change: Option<Change>,
    last_error: Option<Arc<str>>,
    /// The host before it in the list that is the same server.
    double_of: Option<HostAddr>,
}

/// What is believed of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Unasked,
    Down,
    /// It answers, but belongs to another cluster.
    Foreign,
    /// It answers, but is another address of a server that we have already.
    Double,
    /// It says that it is a primary, and the first look is not over.
    Undecided,
    Primary,
    Replica,
    Deposed,
}

impl Cluster {
    /// Hosts of which nothing is known yet. A host that is named twice counts once.
    pub fn new(
        hosts: impl IntoIterator<Item = HostAddr>,
        rules: Rules,
        now: Instant,
        wall: SystemTime,
    ) -> Self {
        Self {
            hosts: distinct(hosts).into_iter().map(|addr| Host::new(addr, wall)).collect(),
            rules,
            system_id: None,
            fence: None,
            looked: false,
            primary: None,
            split_brain: false,
            missing_since: Some(now),
            announced: None,
            positions: Positions::default(),
            samples: Samples::default(),
            positions_of: None,
        }
    }

    /// What an earlier run has seen. Before the first observation.
    pub fn remember(&mut self, fence: Fence) {
        if !self.is_given_up(&fence.by) {
            self.system_id = fence.system_id;
            self.fence = Some(fence);
        }
    }

    /// Whether the operator says that a host is lost: by naming it no more. That its name has lost an address says nothing:
    /// orchestrators take away those of hosts that are down for a while.
    fn is_given_up(&self, addr: &HostAddr) -> bool {
        let named =
            |host: &Host| host.addr.port() == addr.port() && host.addr.name() == addr.name();
        self.rules.hosts_are_configured && !self.hosts.iter().any(named)
    }

    /// Replicas further behind get no reads.
    pub fn max_replica_lag(&self) -> Option<ReplicaLag> {
        self.rules.max_replica_lag
    }

    /// Whether the first look is over.
    pub fn has_looked(&self) -> bool {
        self.looked
    }

    /// The fence alone.
    pub fn fence_timeline(&self) -> Option<u32> {
        self.fence.as_ref().map(|fence| fence.timeline)
    }

    /// What is to be remembered.
    pub fn fence(&self) -> Option<Fence> {
        self.fence.clone()
    }

    /// A switchover is about to begin: the present primary gets no new transactions, up to `until`. `None`: there is no
    /// primary.
    pub fn announce_switchover(
        &mut self,
        until: Instant,
        now: Instant,
        wall: SystemTime,
    ) -> Option<HostAddr> {
        let from = self.primary.and_then(|primary| self.hosts.get(primary))?.addr.clone();
        self.announced = Some(Announced { from: from.clone(), until });
        self.decide(now, wall);
        Some(from)
    }

    /// The switchover is over; tells whether there was one.
    pub fn end_switchover(&mut self, now: Instant, wall: SystemTime) -> bool {
        let was = self.announced.take().is_some();
        self.decide(now, wall);
        was
    }

    /// The entry was changed: hosts that stay keep what is known of them.
    pub fn reconfigure(
        &mut self,
        hosts: impl IntoIterator<Item = HostAddr>,
        rules: Rules,
        now: Instant,
        wall: SystemTime,
    ) {
        let mut old = std::mem::take(&mut self.hosts);
        let mut keep = |addr: HostAddr| match old.iter().position(|host| host.addr == addr) {
            Some(index) => old.swap_remove(index),
            None => Host::new(addr, wall),
        };
        self.hosts = distinct(hosts).into_iter().map(&mut keep).collect();
        self.rules = rules;
        // Nothing but new hosts: a first look at them.
        self.looked = self.looked && self.hosts.iter().any(|host| host.asked);
        if self.fence.as_ref().is_some_and(|fence| self.is_given_up(&fence.by)) {
            self.fence = None;
        }
        self.decide(now, wall);
    }

    /// Takes in what was seen of a host. Does nothing for a host that is not of this entry.
    pub fn observe(
        &mut self,
        addr: &HostAddr,
        observation: &Observation,
        now: Instant,
        wall: SystemTime,
    ) {
        let Some(host) = self.index(addr).and_then(|index| self.hosts.get_mut(index)) else {
            return;
        };
        host.asked = true;
        match observation {
            Observation::Answered(answer, asked) => {
                host.sample = answer.sample(*asked);
                host.asked_at = Some(*asked);
                host.note_claim(answer, self.looked.then_some(now));
                host.answer = Some(*answer);
                host.failure = None;
                host.system_id = answer.system_id.or(host.system_id);
            }
            Observation::Failed { error, failure } => {
                host.answer = None;
                host.failure = Some(failure.clone());
                host.last_error = Some(error.clone());
            }
        }
        self.decide(now, wall);
        self.note_position();
        self.note_fitness(now);
    }

    /// What is believed.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            hosts: self.hosts.iter().map(|host| self.view(host)).collect(),
            primary: self.primary.filter(|_| self.announced.is_none()),
            samples: self.primary.map(|_| self.samples.clone()).unwrap_or_default(),
            needs_primary: self.rules.needs_primary,
            switching_over: self.announced.as_ref().map(|announced| announced.until),
            split_brain: self.split_brain,
            primary_missing_since: self.missing_since,
        }
    }

    fn index(&self, addr: &HostAddr) -> Option<usize> {
        self.hosts.iter().position(|host| host.addr == *addr)
    }

    fn decide(&mut self, now: Instant, wall: SystemTime) {
        self.looked = self.looked || self.hosts.iter().all(|host| host.asked);
        self.find_doubles();
        let chosen = self.choose_system();
        // Not during the first look: the host that answers first must not count for more than the others.
        if let (Chosen::One(id), true) = (chosen, self.looked) {
            if self.system_id.is_some_and(|old| old != id) {
                self.fence = None;
            }
            self.system_id = Some(id);
        }
        // Put up by what turned out to be another cluster.
        if let (Chosen::One(id), Some(Fence { system_id: Some(other), .. })) = (chosen, &self.fence)
            && id != *other
        {
            self.fence = None;
        }
        self.raise_fence_by_answers(chosen);
        let top = self.hosts.iter().filter_map(|host| host.claim(chosen)).max();
        let fence = self.fence_now(chosen);
        let at_top = |host: &&Host| top.is_some() && host.claim(chosen) == top;
        let claimants = self.hosts.iter().filter(at_top).count();
        let one = match self.rules.split_brain {
            SplitBrain::Refuse => claimants == 1,
            SplitBrain::Newest => claimants > 0,
        };
        let believed = chosen != Chosen::Undecidable && self.looked && one && top >= fence;
        let newest = self.hosts.iter().filter(at_top).max_by_key(|host| host.newness());
        let newest = newest.map(|host| host.addr.clone()).filter(|_| believed);

        let verdicts: Vec<Verdict> = self
            .hosts
            .iter()
            .map(|host| match (host.answer, host.claim(chosen)) {
                (None, _) if !host.asked => Verdict::Unasked,
                (None, _) => Verdict::Down,
                (Some(_), _) if host.double_of.is_some() => Verdict::Double,
                (Some(_), _) if host.is_foreign(chosen) => Verdict::Foreign,
                (Some(_), None) => Verdict::Replica,
                (Some(_), Some(_)) if !self.looked => Verdict::Undecided,
                (Some(_), Some(_)) if newest.as_ref() == Some(&host.addr) => Verdict::Primary,
                (Some(_), Some(_)) => Verdict::Deposed,
            })
            .collect();
        self.primary = verdicts.iter().position(|verdict| *verdict == Verdict::Primary);
        // With `split_brain = newest` one of several may be believed.
        self.split_brain = self.looked
            && self.primary.is_none()
            && (claimants > 1 && top >= fence || self.several_undecidable(chosen));
        let served = self.primary.and_then(|primary| self.hosts.get(primary));
        if self.announced.as_ref().is_some_and(|announced| {
            now >= announced.until || served.is_some_and(|host| host.addr != announced.from)
        }) {
            self.announced = None;
        }
        let served = self.primary.filter(|_| self.announced.is_none());
        self.missing_since = match (served, self.missing_since) {
            (Some(_), _) => None,
            (None, since) => since.or(Some(now)),
        };
        self.pass(&verdicts, chosen, top, wall);
        self.raise_fence_by_primary();
    }

    /// The identifier that counts (rule 2).
    fn choose_system(&self) -> Chosen {
        let votes = |id: u64| self.hosts.iter().filter(|host| host.system_id == Some(id)).count();
        let known = || self.hosts.iter().filter_map(|host| host.system_id);
        let Some(most) = known().map(votes).max() else { return Chosen::NoneKnown };
        let leads = |id: &u64| votes(*id) == most;
        let Some(first) = known().find(leads) else { return Chosen::NoneKnown };
        if known().filter(leads).all(|id| id == first) {
            return Chosen::One(first);
        }
        if let Some(before) = self.system_id.filter(leads) {
            return Chosen::One(before);
        }
        let mut with_primary =
            self.hosts.iter().filter(|host| host.says_primary()).filter_map(|host| host.system_id);
        match (with_primary.next(), with_primary.next()) {
            (Some(id), None) if leads(&id) => Chosen::One(id),
            _ => Chosen::Undecidable,
        }
    }

    /// Which hosts are another address of one before them. Servers of one cluster that were started in the same microsecond
    /// are one.
    fn find_doubles(&mut self) {
        let identity = |host: &Host| {
            let answer = host.answer?;
            Some((answer.system_id?, answer.started?))
        };
        let all: Vec<_> = self.hosts.iter().map(identity).collect();
        let before = |index: usize| {
            let own = all.get(index).copied().flatten()?;
            let first = all.iter().take(index).position(|other| *other == Some(own))?;
            self.hosts.get(first).map(|host| host.addr.clone())
        };
        let doubles: Vec<_> = (0..all.len()).map(before).collect();
        for (host, double_of) in self.hosts.iter_mut().zip(doubles) {
            host.double_of = double_of;
        }
    }

    fn several_undecidable(&self, chosen: Chosen) -> bool {
        chosen == Chosen::Undecidable
            && self.hosts.iter().filter(|host| host.says_primary()).count() > 1
    }

    /// A host on a timeline shows that there is, or was, a primary on it: whoever claims it, a replica that receives its WAL,
    /// and be it during the first look. Only if it is known to belong to this cluster: a fence stays.
    fn raise_fence_by_answers(&mut self, chosen: Chosen) {
        let system_id = match chosen {
            Chosen::One(id) => Some(id),
            Chosen::NoneKnown => None,
            Chosen::Undecidable => return,
        };
        for host in &self.hosts {
            let ours = host.answer.filter(|answer| answer.system_id == system_id);
            if let Some(timeline) = ours.and_then(|answer| answer.timeline) {
                raise(&mut self.fence, timeline, &host.addr, system_id);
            }
        }
    }

    fn raise_fence_by_primary(&mut self) {
        let Some(host) = self.primary.and_then(|primary| self.hosts.get(primary)) else { return };
        if let Some(timeline) = host.answer.and_then(|answer| answer.timeline) {
            // The primary itself, rather than a replica that told us of it.
            if self.fence.as_ref().is_some_and(|fence| fence.timeline == timeline) {
                self.fence = None;
            }
            raise(&mut self.fence, timeline, &host.addr, host.system_id);
        }
    }

    /// The lowest claim that may be believed: the fence's timeline, or that of a replica whose cluster is not known.
    fn fence_now(&self, chosen: Chosen) -> Option<Claim> {
        let remembered = self.fence.as_ref().map(|fence| fence.timeline);
        let seen = self.hosts.iter().filter(|host| !host.is_foreign(chosen)).filter_map(|host| {
            host.answer.filter(|answer| answer.in_recovery).and_then(|answer| answer.timeline)
        });
        remembered.into_iter().chain(seen).max().map(|timeline| Claim(Some(timeline)))
    }

    /// Writes the verdicts down, with when and why.
    fn pass(&mut self, verdicts: &[Verdict], chosen: Chosen, top: Option<Claim>, wall: SystemTime) {
        let reasons: Vec<_> = self
            .hosts
            .iter()
            .zip(verdicts)
            .map(|(host, verdict)| self.reason(host, *verdict, chosen, top))
            .collect();
        for ((host, verdict), reason) in self.hosts.iter_mut().zip(verdicts).zip(reasons) {
            if host.verdict != *verdict {
                host.since = wall;
                host.last_change = Some(Change { to: verdict.name(), from: host.verdict.name() });
                host.verdict = *verdict;
            }
            if let Some(reason) =
                reason.filter(|reason| host.last_error.as_deref() != Some(reason.as_str()))
            {
                host.last_error = Some(reason.into());
            }
        }
    }

    /// Keeps the primary's position for the replicas' lag.
    fn note_position(&mut self) {
        let Some(host) = self.primary.and_then(|primary| self.hosts.get(primary)) else { return };
        let (Some(answer), Some(asked)) = (host.answer, host.asked_at) else { return };
        let same = self
            .positions_of
            .as_ref()
            .is_some_and(|(addr, timeline)| *addr == host.addr && *timeline == answer.timeline);
        if !same {
            self.positions.clear();
            self.samples = Samples::default();
            self.positions_of = Some((host.addr.clone(), answer.timeline));
        }
        if let Some(lsn) = answer.lsn {
            let limit = match self.rules.max_replica_lag {
                Some(ReplicaLag::Time(limit)) => Some(limit),
                Some(ReplicaLag::Bytes(_)) | None => None,
            };
            self.positions.note(asked, lsn, limit);
        }
        if let Some(sample) = host.sample {
            self.samples.note(sample);
        }
    }
}

/// The system identifier that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chosen {
    /// No host tells its own.
    NoneKnown,
    One(u64),
    /// As many hosts are for one as for another.
    Undecidable,
}

/// Somebody's claim to be the primary, worth as much as its timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Claim(Option<u32>);

fn distinct(hosts: impl IntoIterator<Item = HostAddr>) -> Vec<HostAddr> {
    let mut distinct = Vec::new();
    for host in hosts {
        if !distinct.contains(&host) {
            distinct.push(host);
        }
    }
    distinct
}

fn raise(fence: &mut Option<Fence>, timeline: u32, by: &HostAddr, system_id: Option<u64>) {
    if fence.as_ref().is_none_or(|fence| fence.timeline < timeline) {
        *fence = Some(Fence { timeline, by: by.clone(), system_id });
    }
}

impl Host {
    fn new(addr: HostAddr, wall: SystemTime) -> Self {
        Self {
            addr,
            asked: false,
            answer: None,
            system_id: None,
            claimed: None,
            claimed_since: None,
            fit_since: None,
            sample: None,
            asked_at: None,
            failure: None,
            verdict: Verdict::Unasked,
            since: wall,
            last_change: None,
            last_error: None,
            double_of: None,
        }
    }

    /// Notes since when it has claimed what it claims. `now`: `None` during the first look.
    fn note_claim(&mut self, answer: &Answer, now: Option<Instant>) {
        let claims = answer.timeline.filter(|_| !answer.in_recovery);
        if self.claimed != claims {
            (self.claimed, self.claimed_since) = (claims, now);
        }
    }

    /// Of several that claim the same timeline: who came last, else who has written most.
    fn newness(&self) -> (Option<Instant>, Option<u64>) {
        (self.claimed_since, self.answer.and_then(|answer| answer.lsn))
    }

    fn says_primary(&self) -> bool {
        self.answer.is_some_and(|answer| !answer.in_recovery)
    }

    /// Whether its identifier is known and is not the one that counts.
    fn is_foreign(&self, chosen: Chosen) -> bool {
        match chosen {
            Chosen::NoneKnown => false,
            Chosen::One(id) => self.system_id.is_some_and(|own| own != id),
            Chosen::Undecidable => self.system_id.is_some(),
        }
    }

    /// Its claim to be the primary, if it makes one that counts.
    fn claim(&self, chosen: Chosen) -> Option<Claim> {
        if self.is_foreign(chosen) || self.double_of.is_some() || !self.says_primary() {
            return None;
        }
        Some(Claim(self.answer?.timeline))
    }
}
