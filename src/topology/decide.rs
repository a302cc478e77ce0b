//! Who is the primary: from what each host says of itself to what is believed. PURE: no clock, no I/O.
//!
//! One [`Cluster`] per database entry is told what was seen of each host and answers with a [`Snapshot`]. The rules:
//!
//! 1. **First look.** No host is up before its first answer, and no first primary is named before every host was
//!    asked once: the host that answers first may be an old primary, and the next answer would say so.
//! 2. **One cluster.** Hosts whose system identifier differs from that of most are not used at all. Of equally many,
//!    the identifier counts that counted before, then the one whose host alone says that it is a primary. If that does
//!    not decide either, there is no primary (split brain).
//! 3. **The highest timeline.** Of several primaries the one on the highest timeline is believed, the others are
//!    deposed. Twice the same highest timeline: no primary (split brain), all that claim it are deposed.
//! 4. **The fence.** The highest timeline on which a primary was ever believed, or that a replica was seen to follow,
//!    is remembered. A primary below it is deposed even when it is the only one that can be reached: its successor may
//!    be alive behind a broken network, or have taken writes that this one does not know. The fence falls when
//!    - a host says that it is a primary on the fence's timeline or a higher one (it then is the new fence),
//!    - the host that put it up is taken out of the entry (`host=`, then RELOAD): so the operator says
//!      that it is lost,
//!    - the cluster is another one (system identifier), or pgweir is started anew.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::lag::Positions;
use super::snapshot::{HostView, Role, Snapshot};
use crate::config::HostAddr;

/// While samples do not reach back far enough to tell a replica's lag, being behind by no more than this counts as
/// current: one WAL segment.
const CURRENT_WITHIN: u64 = 16 * 1024 * 1024;

/// What was seen of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// It answered.
    Answered(Answer),
    /// It could not be asked, or did not answer in time.
    Failed {
        /// For the operator.
        error: Arc<str>,
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
    /// Whether a replica has a WAL receiver.
    pub streaming: bool,
}

/// Limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Replicas further behind get no reads; `None`: no limit.
    pub max_replica_lag: Option<Duration>,
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
    positions: Positions,
    /// Whose positions they are: host and timeline.
    positions_of: Option<(HostAddr, Option<u32>)>,
}

/// See the module's words.
#[derive(Clone, Debug)]
struct Fence {
    timeline: u32,
    /// Who was seen on it.
    by: HostAddr,
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
    verdict: Verdict,
    since: SystemTime,
    last_error: Option<Arc<str>>,
}

/// What is believed of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Down,
    /// It answers, but belongs to another cluster.
    Foreign,
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
            positions: Positions::default(),
            positions_of: None,
        }
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
        if self.fence.as_ref().is_some_and(|fence| self.index(&fence.by).is_none()) {
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
            Observation::Answered(answer) => {
                host.answer = Some(*answer);
                host.system_id = answer.system_id.or(host.system_id);
            }
            Observation::Failed { error } => {
                host.answer = None;
                host.last_error = Some(error.clone());
            }
        }
        self.decide(now, wall);
        if self
            .primary
            .is_some_and(|primary| self.hosts.get(primary).is_some_and(|host| host.addr == *addr))
        {
            self.note_position(now);
        }
    }

    /// What is believed.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            hosts: self.hosts.iter().map(|host| self.view(host)).collect(),
            primary: self.primary,
            split_brain: self.split_brain,
            primary_missing_since: self.missing_since,
        }
    }

    fn index(&self, addr: &HostAddr) -> Option<usize> {
        self.hosts.iter().position(|host| host.addr == *addr)
    }

    fn decide(&mut self, now: Instant, wall: SystemTime) {
        self.looked = self.looked || self.hosts.iter().all(|host| host.asked);
        let chosen = self.choose_system();
        // Not during the first look: the host that answers first must not count for more than the others.
        if let (Chosen::One(id), true) = (chosen, self.looked) {
            if self.system_id.is_some_and(|old| old != id) {
                self.fence = None;
            }
            self.system_id = Some(id);
        }
        self.raise_fence_by_replicas(chosen);
        let top = self.hosts.iter().filter_map(|host| host.claim(chosen)).max();
        let fence = self.fence_now(chosen);
        let claimants =
            self.hosts.iter().filter(|host| top.is_some() && host.claim(chosen) == top).count();
        let believed =
            chosen != Chosen::Undecidable && self.looked && claimants == 1 && top >= fence;

        let verdicts: Vec<Verdict> = self
            .hosts
            .iter()
            .map(|host| match (host.answer, host.claim(chosen)) {
                (None, _) => Verdict::Down,
                (Some(_), _) if host.is_foreign(chosen) => Verdict::Foreign,
                (Some(_), None) => Verdict::Replica,
                (Some(_), Some(_)) if !self.looked => Verdict::Undecided,
                (Some(_), claim) if believed && claim == top => Verdict::Primary,
                (Some(_), Some(_)) => Verdict::Deposed,
            })
            .collect();
        self.primary = verdicts.iter().position(|verdict| *verdict == Verdict::Primary);
        self.split_brain =
            self.looked && (claimants > 1 && top >= fence || self.several_undecidable(chosen));
        self.missing_since = match (self.primary, self.missing_since) {
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

    fn several_undecidable(&self, chosen: Chosen) -> bool {
        chosen == Chosen::Undecidable
            && self.hosts.iter().filter(|host| host.says_primary()).count() > 1
    }

    /// A replica that receives WAL of a timeline shows that there is, or was, a primary on it. Only if it is known to
    /// belong to this cluster: a fence stays.
    fn raise_fence_by_replicas(&mut self, chosen: Chosen) {
        let Chosen::One(id) = chosen else { return };
        for host in &self.hosts {
            let follows =
                host.answer.filter(|answer| answer.in_recovery && answer.system_id == Some(id));
            if let Some(timeline) = follows.and_then(|answer| answer.timeline) {
                raise(&mut self.fence, timeline, &host.addr);
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
            raise(&mut self.fence, timeline, &host.addr);
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
                host.verdict = *verdict;
            }
            if let Some(reason) =
                reason.filter(|reason| host.last_error.as_deref() != Some(reason.as_str()))
            {
                host.last_error = Some(reason.into());
            }
        }
    }

    /// Why a host that answers is not used.
    fn reason(
        &self,
        host: &Host,
        verdict: Verdict,
        chosen: Chosen,
        top: Option<Claim>,
    ) -> Option<String> {
        let timeline = |claim: Option<Claim>| match claim {
            Some(Claim(Some(timeline))) => format!("timeline {timeline}"),
            _ => "an unknown timeline".to_owned(),
        };
        match (verdict, chosen) {
            (Verdict::Foreign, Chosen::One(id)) => Some(format!(
                "belongs to another cluster: its system identifier is {}, that of the others is {id}; it is not used",
                host.system_id.unwrap_or_default()
            )),
            (Verdict::Foreign, _) => Some(format!(
                "its system identifier {} is not that of the other hosts, and it cannot be told which cluster is meant; \
                 no primary until host= names the hosts of one cluster",
                host.system_id.unwrap_or_default()
            )),
            (Verdict::Deposed, _) => {
                let own = host.claim(chosen);
                let rival = self
                    .hosts
                    .iter()
                    .find(|rival| rival.addr != host.addr && rival.claim(chosen) == top);
                match (rival, &self.fence) {
                    (Some(rival), _) if own == top => Some(format!(
                        "says that it is the primary on {}, and so does {}; no writes until one of them stops (are they \
                         two names of one server?)",
                        timeline(own),
                        rival.addr
                    )),
                    (Some(rival), _) if own < top => Some(format!(
                        "was deposed: it says that it is the primary on {}, but {} is on {}",
                        timeline(own),
                        rival.addr,
                        timeline(top)
                    )),
                    (_, Some(fence)) => Some(format!(
                        "was deposed: it says that it is the primary on {}, but {} was seen on timeline {}; if that host \
                         is lost for good, take it out of host= and RELOAD",
                        timeline(own),
                        fence.by,
                        fence.timeline
                    )),
                    (_, None) => Some(format!(
                        "was deposed: it says that it is the primary on {}, but a replica follows a higher one",
                        timeline(own)
                    )),
                }
            }
            (Verdict::Down | Verdict::Undecided | Verdict::Primary | Verdict::Replica, _) => None,
        }
    }

    /// Keeps the primary's position for the replicas' lag.
    fn note_position(&mut self, now: Instant) {
        let Some(host) = self.primary.and_then(|primary| self.hosts.get(primary)) else { return };
        let Some(answer) = host.answer else { return };
        let same = self
            .positions_of
            .as_ref()
            .is_some_and(|(addr, timeline)| *addr == host.addr && *timeline == answer.timeline);
        if !same {
            self.positions.clear();
            self.positions_of = Some((host.addr.clone(), answer.timeline));
        }
        if let Some(lsn) = answer.lsn {
            self.positions.note(now, lsn);
        }
    }

    fn view(&self, host: &Host) -> HostView {
        let role = match host.verdict {
            Verdict::Down | Verdict::Foreign | Verdict::Undecided => Role::Unknown,
            Verdict::Primary => Role::Primary,
            Verdict::Replica => Role::Replica,
            Verdict::Deposed => Role::Deposed,
        };
        let lag = host.answer.and_then(|answer| answer.lsn).and_then(|lsn| self.positions.lag(lsn));
        let (lag_bytes, lag_time, fit) = match role {
            Role::Primary => (Some(0), Some(Duration::ZERO), false),
            Role::Replica => {
                let limit = self.rules.max_replica_lag;
                let time = lag.and_then(|lag| match limit {
                    // Cannot be told, but it is too late in any case.
                    Some(limit) if lag.time.is_none() && lag.at_least > limit => Some(lag.at_least),
                    _ => lag.time,
                });
                let fresh = match (limit, lag, time) {
                    // No limit; or no primary was ever seen (an entry of standbys only): nothing to compare with.
                    (None, _, _) | (_, None, _) => true,
                    (Some(limit), _, Some(time)) => time <= limit,
                    (Some(_), Some(lag), None) => lag.bytes <= CURRENT_WITHIN,
                };
                (lag.map(|lag| lag.bytes), time, fresh && !self.left_behind(host))
            }
            Role::Unknown | Role::Deposed => (None, None, false),
        };
        HostView {
            addr: host.addr.clone(),
            role,
            up: !matches!(host.verdict, Verdict::Down | Verdict::Foreign),
            system_id: host.system_id,
            timeline: host.answer.and_then(|answer| answer.timeline),
            lsn: host.answer.and_then(|answer| answer.lsn),
            lag_bytes,
            lag: lag_time,
            since: host.since,
            last_error: host.last_error.clone(),
            usable_as_replica: fit,
        }
    }

    /// Whether a replica still follows a timeline below the fence: what it receives, the cluster has left behind.
    fn left_behind(&self, host: &Host) -> bool {
        let follows = host.answer.and_then(|answer| answer.timeline);
        matches!((follows, &self.fence), (Some(timeline), Some(fence)) if timeline < fence.timeline)
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

fn raise(fence: &mut Option<Fence>, timeline: u32, by: &HostAddr) {
    if fence.as_ref().is_none_or(|fence| fence.timeline < timeline) {
        *fence = Some(Fence { timeline, by: by.clone() });
    }
}

impl Host {
    fn new(addr: HostAddr, wall: SystemTime) -> Self {
        Self {
            addr,
            asked: false,
            answer: None,
            system_id: None,
            verdict: Verdict::Down,
            since: wall,
            last_error: None,
        }
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
        if self.is_foreign(chosen) || !self.says_primary() {
            return None;
        }
        Some(Claim(self.answer?.timeline))
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test's story begins at any moment")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Three hosts, pg1 to pg3, asked one after the other.
    struct Story {
        cluster: Cluster,
        now: Instant,
    }

    fn addr(number: usize) -> HostAddr {
        HostAddr::Tcp { host: format!("pg{number}"), port: 5432 }
    }

    fn primary(timeline: u32, lsn: u64) -> Answer {
        Answer {
            in_recovery: false,
            system_id: Some(7),
            timeline: Some(timeline),
            lsn: Some(lsn),
            streaming: false,
        }
    }

    fn replica(timeline: u32, lsn: u64) -> Answer {
        Answer {
            in_recovery: true,
            system_id: Some(7),
            timeline: Some(timeline),
            lsn: Some(lsn),
            streaming: true,
        }
    }

    impl Story {
        fn new() -> Self {
            let rules = Rules { max_replica_lag: Some(10 * SECOND) };
            let now = Instant::now();
            Self {
                cluster: Cluster::new((1..=3).map(addr), rules, now, SystemTime::UNIX_EPOCH),
                now,
            }
        }

        /// pg1 is the primary on timeline 1, the others follow it.
        fn in_order() -> Self {
            let mut story = Self::new();
            story.says(1, primary(1, 100)).says(2, replica(1, 100)).says(3, replica(1, 100));
            assert_eq!(story.roles(), "primary replica replica");
            story
        }

        fn sees(&mut self, number: usize, observation: Observation) -> &mut Self {
            self.now += Duration::from_millis(500);
            let wall = SystemTime::UNIX_EPOCH + self.now.elapsed();
            self.cluster.observe(&addr(number), &observation, self.now, wall);
            self
        }

        fn says(&mut self, number: usize, answer: Answer) -> &mut Self {
            self.sees(number, Observation::Answered(answer))
        }

        fn fails(&mut self, number: usize) -> &mut Self {
            self.sees(number, Observation::Failed { error: "connection refused".into() })
        }

        fn roles(&self) -> String {
            self.cluster
                .snapshot()
                .hosts
                .iter()
                .map(|host| host.role.name())
                .collect::<Vec<_>>()
                .join(" ")
        }

        fn error(&self, number: usize) -> String {
            self.cluster.snapshot().hosts[number - 1]
                .last_error
                .as_deref()
                .unwrap_or_default()
                .to_owned()
        }

        fn fit(&self) -> Vec<usize> {
            self.cluster.snapshot().replicas().map(|(index, _)| index + 1).collect()
        }
    }

    #[test]
    fn no_host_is_up_before_its_first_answer_and_no_primary_is_named_before_all_were_asked() {
        let mut story = Story::new();
        let snapshot = story.cluster.snapshot();
        assert!(snapshot.hosts.iter().all(|host| !host.up && host.role == Role::Unknown));
        assert_eq!(snapshot.primary_missing_since, Some(story.now));

        story.says(1, primary(1, 100)).says(2, replica(1, 90));
        assert_eq!(story.roles(), "unknown replica unknown", "pg3 may be on a higher timeline");
        story.fails(3);
        assert_eq!(story.roles(), "primary replica unknown");
        assert_eq!(story.cluster.snapshot().primary_missing_since, None);
    }

    #[test]
    fn after_a_promotion_the_new_primary_is_followed() {
        let mut story = Story::in_order();
        story.fails(1);
        assert_eq!(story.roles(), "unknown replica replica");
        assert_eq!(story.cluster.snapshot().primary_missing_since, Some(story.now));
        assert_eq!(story.fit(), [2, 3], "reads go on while there is no primary");
        story.says(2, primary(2, 120)).says(3, replica(2, 120));
        assert_eq!(story.roles(), "unknown primary replica");
        assert_eq!(story.cluster.snapshot().primary_missing_since, None);
    }

    #[test]
    fn an_old_primary_that_is_still_there_after_a_promotion_is_deposed_at_once() {
        let mut story = Story::in_order();
        story.says(2, primary(2, 120));
        assert_eq!(story.roles(), "deposed primary replica");
        assert!(
            story.error(1).contains("timeline 1, but pg2:5432 is on timeline 2"),
            "{}",
            story.error(1)
        );
    }

    #[test]
    fn an_old_primary_that_comes_back_alone_gets_no_writes() {
        let mut story = Story::in_order();
        story.fails(1).says(2, primary(2, 120)).says(3, replica(2, 120));
        story.fails(2).fails(3).says(1, primary(1, 110));
        assert_eq!(story.roles(), "deposed unknown unknown");
        assert!(story.error(1).contains("pg2:5432 was seen on timeline 2"), "{}", story.error(1));
        assert!(!story.cluster.snapshot().split_brain);
        // It stays so until its successor is back, or itself is promoted beyond it.
        story.says(1, primary(1, 140)).says(2, primary(2, 130));
        assert_eq!(story.roles(), "deposed primary unknown");
        story.fails(2).says(1, primary(3, 150));
        assert_eq!(story.roles(), "primary unknown unknown");
    }

    #[test]
    fn a_replica_that_follows_a_higher_timeline_deposes_a_primary_whose_successor_is_out_of_sight()
    {
        let mut story = Story::in_order();
        story.fails(2).says(3, replica(2, 120));
        assert_eq!(story.roles(), "deposed unknown replica");
        story.fails(3).says(1, primary(1, 130));
        assert_eq!(story.roles(), "deposed unknown unknown", "what was seen is remembered");
    }

    #[test]
    fn taking_the_lost_successor_out_of_the_entry_gives_the_old_primary_back() {
        let mut story = Story::in_order();
        story.fails(1).says(2, primary(2, 120)).fails(2).says(1, primary(1, 110));
        assert_eq!(story.roles(), "deposed unknown replica");
        let rules = story.cluster.rules;
        story.cluster.reconfigure([addr(3), addr(1)], rules, story.now, SystemTime::UNIX_EPOCH);
        assert_eq!(story.roles(), "replica primary");
    }

    #[test]
    fn twice_the_same_timeline_is_a_split_brain_without_any_primary_until_one_stops() {
        let mut story = Story::in_order();
        story.says(2, primary(1, 120));
        assert_eq!(story.roles(), "deposed deposed replica");
        assert!(story.cluster.snapshot().split_brain);
        assert!(story.error(2).contains("so does pg1:5432"), "{}", story.error(2));
        story.fails(1);
        assert_eq!(story.roles(), "unknown primary replica");
        assert!(!story.cluster.snapshot().split_brain);
    }

    #[test]
    fn a_host_of_another_cluster_is_not_used_and_the_operator_is_told_why() {
        let stranger = Answer { system_id: Some(8), ..primary(9, 5000) };
        let mut story = Story::new();
        story.says(1, stranger).says(2, primary(1, 100)).says(3, replica(1, 100));
        assert_eq!(story.roles(), "unknown primary replica");
        assert!(!story.cluster.snapshot().hosts[0].up);
        assert!(
            story.error(1).contains("identifier is 8, that of the others is 7"),
            "{}",
            story.error(1)
        );
        let stranger = Answer { system_id: Some(8), ..replica(9, 5000) };
        story.says(1, stranger);
        assert_eq!(story.roles(), "unknown primary replica", "its timeline is no fence here");
    }

    #[test]
    fn of_two_clusters_with_a_primary_each_none_is_believed() {
        let mut story = Story::new();
        story
            .says(1, primary(1, 100))
            .says(2, Answer { system_id: Some(8), ..primary(1, 100) })
            .fails(3);
        assert_eq!(story.roles(), "unknown unknown unknown");
        assert!(story.cluster.snapshot().split_brain);
        story.says(3, replica(1, 100));
        assert_eq!(story.roles(), "primary unknown replica");
        story.fails(1).fails(3);
        assert_eq!(
            story.roles(),
            "unknown unknown unknown",
            "most hosts had the other identifier last"
        );
    }

    #[test]
    fn a_cluster_that_was_made_anew_is_followed_once_most_hosts_are_of_it() {
        let mut story = Story::in_order();
        let anew = |answer| Answer { system_id: Some(8), ..answer };
        story.fails(2).fails(3).says(1, anew(primary(1, 50)));
        assert_eq!(story.roles(), "unknown unknown unknown");
        story.says(2, anew(replica(1, 50)));
        assert_eq!(story.roles(), "primary replica unknown");
    }

    #[test]
    fn without_the_right_to_ask_for_identifiers_all_hosts_count() {
        let anonymous = |answer| Answer { system_id: None, ..answer };
        let mut story = Story::new();
        story.says(1, anonymous(primary(1, 100))).says(2, anonymous(replica(1, 100))).fails(3);
        assert_eq!(story.roles(), "primary replica unknown");
        story.says(2, anonymous(primary(2, 110)));
        assert_eq!(story.roles(), "deposed primary unknown");
    }

    #[test]
    fn a_replica_that_falls_behind_gets_no_reads_until_it_has_caught_up() {
        let mut story = Story::in_order();
        for second in 1..=30 {
            story.says(1, primary(1, 100 + second * 1000)).says(2, replica(1, 100 + second * 1000));
            story.says(3, replica(1, 100));
        }
        assert_eq!(story.fit(), [2]);
        let snapshot = story.cluster.snapshot();
        assert_eq!(snapshot.hosts[2].lag_bytes, Some(30_000));
        assert!(snapshot.hosts[2].lag.unwrap() > 10 * SECOND);
        assert!(snapshot.hosts[1].lag.unwrap() <= SECOND);
        story.says(3, replica(1, 30_000));
        assert_eq!(story.fit(), [2, 3]);
    }

    #[test]
    fn a_replica_that_goes_on_following_a_deposed_primary_gets_no_reads() {
        let mut story = Story::in_order();
        story.says(2, primary(2, 120)).says(3, replica(1, 200));
        assert_eq!(story.roles(), "deposed primary replica");
        assert_eq!(story.fit(), [] as [usize; 0]);
        story.says(3, replica(2, 120));
        assert_eq!(story.fit(), [3]);
    }

    #[test]
    fn standbys_without_any_primary_in_the_list_serve_reads() {
        let mut story = Story::new();
        story.says(1, replica(1, 100)).says(2, replica(1, 90)).fails(3);
        assert_eq!(story.fit(), [1, 2]);
        assert_eq!(story.cluster.snapshot().hosts[0].lag_bytes, None);
    }

    fn event() -> impl Strategy<Value = (usize, Option<Answer>)> {
        let system = prop_oneof![8 => Just(Some(7)), 1 => Just(None)];
        let answer = (
            any::<bool>(),
            system,
            prop_oneof![9 => (1_u32..5).prop_map(Some), 1 => Just(None)],
            0_u64..50,
        )
            .prop_map(|(in_recovery, system_id, timeline, lsn)| Answer {
                in_recovery,
                system_id,
                timeline,
                lsn: Some(lsn * 1_000_000),
                streaming: in_recovery,
            });
        (1_usize..4, prop_oneof![3 => answer.prop_map(Some), 1 => Just(None)])
    }

    proptest! {
        #[test]
        fn whatever_is_seen_there_is_at_most_one_primary_and_never_one_that_was_overtaken(
            events in proptest::collection::vec(event(), 1..60)
        ) {
            let mut story = Story::new();
            let mut last: [Option<Answer>; 3] = [None; 3];
            let mut highest = None;
            for (number, answer) in events {
                match answer {
                    Some(answer) => { story.says(number, answer); }
                    None => { story.fails(number); }
                }
                last[number - 1] = answer;
                let snapshot = story.cluster.snapshot();

                let primaries: Vec<usize> = snapshot.hosts.iter().enumerate()
                    .filter(|(_, host)| host.role == Role::Primary).map(|(index, _)| index).collect();
                prop_assert!(primaries.len() <= 1);
                prop_assert_eq!(primaries.first().copied(), snapshot.primary);
                prop_assert_eq!(snapshot.primary.is_none(), snapshot.primary_missing_since.is_some());
                prop_assert!(!(snapshot.split_brain && snapshot.primary.is_some()));
                for (host, answer) in snapshot.hosts.iter().zip(&last) {
                    prop_assert_eq!(host.up, answer.is_some());
                    prop_assert!(!host.usable_as_replica || host.role == Role::Replica);
                    prop_assert_eq!(host.role == Role::Replica, answer.is_some_and(|answer| answer.in_recovery));
                }
                if let Some(index) = snapshot.primary {
                    let own = last[index].unwrap();
                    prop_assert!(!own.in_recovery);
                    for (other, answer) in last.iter().enumerate() {
                        let rival = answer.filter(|answer| other != index && !answer.in_recovery);
                        prop_assert!(rival.is_none_or(|rival| rival.timeline < own.timeline));
                    }
                    prop_assert!(own.timeline >= highest, "{:?} after {:?}", own.timeline, highest);
                    highest = own.timeline;
                }
            }
        }

        #[test]
        fn once_a_host_is_known_as_the_only_highest_primary_it_is_believed(
            events in proptest::collection::vec(event(), 0..30)
        ) {
            let mut story = Story::new();
            for (number, answer) in events {
                match answer {
                    Some(answer) => { story.says(number, answer); }
                    None => { story.fails(number); }
                }
            }
            story.says(1, primary(6, 1)).says(2, replica(6, 1)).fails(3);
            prop_assert_eq!(story.roles(), "primary replica unknown");
        }
    }
}
