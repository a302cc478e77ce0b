//! The rules, one story each.
#![expect(clippy::disallowed_methods, reason = "a test's story begins at any moment")]

use std::time::Duration;

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
        insert_lsn: Some(lsn),
        streaming: false,
        started: None,
        proven: None,
    }
}

fn replica(timeline: u32, lsn: u64) -> Answer {
    Answer {
        in_recovery: true,
        system_id: Some(7),
        timeline: Some(timeline),
        lsn: Some(lsn),
        insert_lsn: None,
        streaming: true,
        started: None,
        proven: None,
    }
}

impl Story {
    const RULES: Rules = Rules {
        split_brain: SplitBrain::Refuse,
        max_replica_lag: Some(ReplicaLag::Time(Duration::from_secs(10))),
        hosts_are_configured: true,
        needs_primary: true,
    };

    fn new() -> Self {
        let (now, hosts) = (Instant::now(), (1..=3).map(addr));
        Self { cluster: Cluster::new(hosts, Self::RULES, now, SystemTime::UNIX_EPOCH), now }
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
        let asked = self.now;
        self.sees(number, Observation::Answered(answer, asked))
    }

    fn fails(&mut self, number: usize) -> &mut Self {
        self.sees(
            number,
            Observation::Failed {
                error: "connection refused".into(),
                failure: Failure::Unreachable,
            },
        )
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

    /// `reads` of SHOW TOPOLOGY.
    fn reads(&self, number: usize) -> String {
        let unfit = &self.cluster.snapshot().hosts[number - 1].unfit;
        unfit.as_ref().map_or_else(|| "yes".to_owned(), ToString::to_string)
    }

    /// `last_change` of SHOW TOPOLOGY.
    fn last_change(&self, number: usize) -> String {
        let change = self.cluster.snapshot().hosts[number - 1].last_change;
        change.map(|change| change.to_string()).unwrap_or_default()
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
fn a_replica_that_follows_a_higher_timeline_deposes_a_primary_whose_successor_is_out_of_sight() {
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
fn a_successor_that_a_cluster_manager_names_no_more_is_not_given_up() {
    let mut story = Story::in_order();
    story.fails(1).says(2, primary(2, 120)).fails(2).says(1, primary(1, 110));
    let rules = Rules { hosts_are_configured: false, ..story.cluster.rules };
    story.cluster.reconfigure([addr(3), addr(1)], rules, story.now, SystemTime::UNIX_EPOCH);
    assert_eq!(story.roles(), "replica deposed");
    let fence = story.cluster.fence();
    let mut restarted = Cluster::new([1, 3].map(addr), rules, story.now, SystemTime::UNIX_EPOCH);
    restarted.remember(fence.clone().unwrap());
    assert_eq!(restarted.fence(), fence, "nor over a restart");
}

#[test]
fn a_successor_whose_address_is_taken_off_its_name_is_not_given_up() {
    let at = |last: u8| HostAddr::Resolved {
        name: "pg".to_owned(),
        ip: std::net::IpAddr::from([10, 0, 0, last]),
        port: 5432,
    };
    let mut story = Story::new();
    let rules = story.cluster.rules;
    let reconfigure = |story: &mut Story, hosts: &[HostAddr]| {
        story.cluster.reconfigure(hosts.to_vec(), rules, story.now, SystemTime::UNIX_EPOCH);
    };
    reconfigure(&mut story, &[at(1), at(2)]);
    let answered = |story: &mut Story, addr: HostAddr, answer: Answer| {
        let seen = Observation::Answered(answer, story.now);
        story.cluster.observe(&addr, &seen, story.now, SystemTime::UNIX_EPOCH);
    };
    answered(&mut story, at(1), primary(1, 100));
    answered(&mut story, at(2), primary(2, 120));
    assert_eq!(story.roles(), "deposed primary");
    for left in [&[at(1), at(3)][..], &[at(1)], &[HostAddr::new("pg", 5432), at(1)]] {
        reconfigure(&mut story, left);
        answered(&mut story, at(1), primary(1, 130));
        assert_eq!(story.cluster.fence_timeline(), Some(2), "{left:?}");
    }
    reconfigure(&mut story, &[HostAddr::new("other", 5432), HostAddr::new("pg", 5433)]);
    assert_eq!(story.cluster.fence_timeline(), None, "that the operator has written");
}

#[test]
fn two_addresses_of_one_server_are_no_split_brain_and_either_will_do() {
    let mut story = Story::new();
    let server = Answer { started: Some(5), ..primary(1, 100) };
    let other = Answer { started: Some(6), ..replica(1, 100) };
    story.says(1, server).says(2, server).says(3, other);
    assert_eq!(story.roles(), "primary unknown replica");
    assert!(story.error(2).contains("same server as pg1:5432"), "{}", story.error(2));
    assert!(!story.cluster.snapshot().split_brain);
    story.fails(1).says(2, server);
    assert_eq!(story.roles(), "unknown primary replica", "the way by the first is cut");
    // Started in another moment, it is another server.
    story.says(1, Answer { started: Some(7), ..server }).says(2, server);
    assert_eq!(story.roles(), "deposed deposed replica");
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
fn of_two_on_one_timeline_the_newest_is_believed_if_that_is_asked_for() {
    let mut story = Story::in_order();
    story.cluster.rules.split_brain = SplitBrain::Newest;
    story.fails(1).says(2, primary(2, 120)).says(3, primary(2, 110));
    assert_eq!(story.roles(), "unknown deposed primary", "pg3 came last");
    assert!(!story.cluster.snapshot().split_brain, "one is believed: there is nothing to wait for");
    story.says(2, primary(2, 900)).fails(3).says(3, primary(2, 130));
    assert_eq!(
        story.roles(),
        "unknown deposed primary",
        "that it was away for a while does not count"
    );
    // Found so at the first look: who has written most.
    let mut story = Story::new();
    story.cluster.rules.split_brain = SplitBrain::Newest;
    story.says(1, primary(2, 100)).says(2, primary(2, 120)).fails(3);
    assert_eq!(story.roles(), "deposed primary unknown");
}

#[test]
fn what_an_earlier_run_has_seen_keeps_an_old_primary_out() {
    let remembered = Fence { timeline: 2, by: addr(2), system_id: Some(7) };
    let mut story = Story::new();
    story.cluster.remember(remembered.clone());
    story.says(1, primary(1, 110)).fails(2).fails(3);
    assert_eq!(story.roles(), "deposed unknown unknown");
    assert_eq!(story.cluster.fence(), Some(remembered.clone()));
    story.says(2, primary(2, 120));
    assert_eq!(story.roles(), "deposed primary unknown");
    // A host that is not named any more was given up by the operator.
    let mut story = Story::new();
    story.cluster.remember(Fence { by: addr(9), ..remembered });
    story.says(1, primary(1, 110)).fails(2).fails(3);
    assert_eq!(story.roles(), "primary unknown unknown");
}

#[test]
fn an_announced_switchover_keeps_new_transactions_back_until_another_host_is_the_primary() {
    let mut story = Story::in_order();
    let wall = SystemTime::UNIX_EPOCH;
    let until = story.now + 10 * SECOND;
    let from = story.cluster.announce_switchover(until, story.now, wall);
    assert_eq!(from, Some(addr(1)));
    let snapshot = story.cluster.snapshot();
    assert_eq!((snapshot.primary, snapshot.switching_over), (None, Some(until)));
    assert_eq!(story.roles(), "primary replica replica", "what is under way goes on");
    story.fails(1).says(2, primary(2, 120));
    let snapshot = story.cluster.snapshot();
    assert_eq!((snapshot.primary, snapshot.switching_over), (Some(1), None));
    // It can be called off, and is over by itself when it takes too long.
    let now = story.now;
    story.cluster.announce_switchover(now + SECOND, now, wall);
    assert!(story.cluster.end_switchover(now, wall));
    assert_eq!(story.cluster.snapshot().primary, Some(1));
    story.cluster.announce_switchover(now + SECOND, now, wall);
    story.says(2, primary(2, 130));
    assert_eq!(story.cluster.snapshot().primary, None);
    story.says(2, primary(2, 140));
    assert_eq!(story.cluster.snapshot().primary, Some(1));
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
fn a_stranger_that_answers_first_puts_up_no_fence() {
    for stranger in [replica(9, 5000), primary(9, 5000)] {
        let mut story = Story::new();
        story.says(1, Answer { system_id: Some(8), ..stranger });
        story.says(2, primary(1, 100)).says(3, replica(1, 100));
        assert_eq!(story.roles(), "unknown primary replica");
    }
}

#[test]
fn what_was_seen_during_the_first_look_counts() {
    let mut story = Story::new();
    story.says(1, primary(2, 100)).fails(1).says(2, primary(1, 100)).fails(3);
    assert_eq!(story.roles(), "unknown deposed unknown");
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
fn a_replica_of_which_nothing_more_is_heard_is_too_old_when_what_it_had_is() {
    let mut story = Story::in_order();
    let start = story.now;
    story.says(1, primary(1, 200)).says(2, replica(1, 200));
    let host = |story: &Story| story.cluster.snapshot().hosts[1].clone();
    let until = host(&story).fresh_until.unwrap();
    assert!(until <= story.now + 10 * SECOND && until > start + 9 * SECOND, "{:?}", until - start);
    assert!(host(&story).is_fresh(until) && !host(&story).is_fresh(until + SECOND));
    assert!(story.cluster.snapshot().is_outdated(until + SECOND));
    // Nobody falls further behind a primary that is not there.
    story.fails(1);
    assert!(host(&story).is_fresh(until + 100 * SECOND));
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
fn why_a_host_gets_no_reads_and_what_it_was_before_is_told_for_each() {
    let mut story = Story::new();
    assert_eq!((story.reads(1), story.last_change(1)), ("not asked yet".into(), String::new()));
    story.says(1, primary(1, 100)).says(2, replica(1, 100));
    assert_eq!(story.reads(1), "not every host was asked yet");
    story.says(3, Answer { system_id: Some(8), ..primary(1, 100) });
    assert_eq!(
        [1, 2, 3].map(|host| story.reads(host)),
        ["the primary", "yes", "of another cluster"]
    );
    assert_eq!(
        [1, 2, 3].map(|host| story.last_change(host)),
        ["primary, was unknown", "replica, was unknown", "of another cluster, was unknown"]
    );
    story.fails(1);
    assert_eq!(story.reads(1), "down: not reached");
    assert_eq!(story.last_change(1), "down, was primary");
    story.says(1, primary(1, 200)).says(3, replica(1, 100));
    for second in 1..=30 {
        story.says(1, primary(1, 200 + second * 1000));
        story.says(3, Answer { streaming: false, ..replica(1, 100) });
    }
    assert_eq!(story.reads(3), "32.0 s behind, max_replica_lag is 10 s, streams from nobody");
    story.says(2, primary(2, 50_000));
    assert_eq!(story.reads(1), "deposed");
    assert_eq!(story.reads(3), "follows timeline 1, the cluster is on 2");
    assert_eq!(story.last_change(2), "primary, was replica");
}

#[test]
fn a_stranger_is_told_of_once_and_nobody_else_is_taken_for_one_during_the_first_look() {
    let mut story = Story::new();
    story.says(1, Answer { system_id: Some(8), ..primary(9, 5000) }).says(2, primary(1, 100));
    assert_eq!([1, 2].map(|host| story.error(host)), ["", ""], "it is not known yet");
    story.says(3, replica(1, 100));
    assert!(story.error(1).contains("another cluster"), "{}", story.error(1));
    assert_eq!(story.error(2), "");
}

#[test]
fn standbys_without_any_primary_in_the_list_serve_reads() {
    let mut story = Story::new();
    story.says(1, replica(1, 100)).says(2, replica(1, 90)).fails(3);
    assert_eq!(story.fit(), [1, 2]);
    assert_eq!(story.cluster.snapshot().hosts[0].lag_bytes, None);
}

/// What happens to a primary that writes and a replica that replays: `(kind, amount)`.
fn writing() -> impl Strategy<Value = (u8, u64)> {
    (0..5_u8, 0..3000_u64)
}

proptest! {
    /// Whatever is written, replayed and asked when: what is read on a replica that may be read now was the state of the primary
    /// within `max_replica_lag`.
    #[test]
    fn nothing_is_read_that_is_older_than_max_replica_lag(
        events in proptest::collection::vec(writing(), 1..200),
        limit in 1..5_u32,
    ) {
        let limit = SECOND * limit;
        let rules = Rules { max_replica_lag: Some(ReplicaLag::Time(limit)), ..Story::RULES };
        let mut story = Story::new();
        story.cluster = Cluster::new((1..=2).map(addr), rules, story.now, SystemTime::UNIX_EPOCH);
        let mut commits = vec![(story.now, 100)];
        let mut replayed = 100;
        for (kind, amount) in events {
            let written = commits.last().unwrap().1;
            match kind {
                0 => commits.push((story.now, written + 1 + amount)),
                1 => replayed += (written - replayed) * amount.min(2000) / 2000,
                2 => story.now += Duration::from_millis(amount),
                3 => drop(story.says(1, primary(1, written))),
                _ => drop(story.says(2, replica(1, replayed))),
            }
            let host = &story.cluster.snapshot().hosts[1];
            let first_unseen = commits.iter().find(|(_, lsn)| *lsn > replayed);
            let age = first_unseen.map_or(Duration::ZERO, |(at, _)| story.now - *at);
            if story.cluster.snapshot().primary.is_some() && host.is_fresh(story.now) {
                prop_assert!(age <= limit, "{age:?} old, {limit:?} allowed");
            }
        }
    }
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
            insert_lsn: None,
            streaming: in_recovery,
            started: None,
            proven: None,
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
                prop_assert!(!host.is_fit() || host.role == Role::Replica);
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
