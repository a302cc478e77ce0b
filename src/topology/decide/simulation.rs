//! Thousands of simulated histories: a cluster that fails and is repaired in every way, seen late, in part and out of
//! order, by a pgweir that is restarted now and then. Whatever happens, the rules must hold; the seed of a history that
//! breaks one is in the message.
#![expect(clippy::disallowed_methods, reason = "virtual time begins at any moment")]

use std::time::Duration;

use super::*;

/// How many histories, and how long each is.
const HISTORIES: u64 = 3000;
const STEPS: usize = 120;

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % sides as u64).unwrap()
    }

    fn often(&mut self, percent: usize) -> bool {
        self.roll(100) < percent
    }
}

/// A server as it really is.
#[derive(Clone, Copy, Debug)]
struct Server {
    up: bool,
    /// Whether pgweir's questions reach it and its answers come back.
    reached: bool,
    in_recovery: bool,
    timeline: u32,
    lsn: u64,
    /// Whether it tells a replica's timeline (it does to members of pg_monitor).
    tells: bool,
}

/// An answer on its way.
struct Late {
    host: usize,
    observation: Observation,
    due: usize,
}

struct World {
    dice: Dice,
    servers: Vec<Server>,
    /// Highest timeline that was given out: the timeline history file says which is taken.
    highest: u32,
    cluster: Cluster,
    now: Instant,
    wall: SystemTime,
    late: Vec<Late>,
    /// The highest timeline that an answer has proved to exist.
    proved: Option<u32>,
    /// Whether pgweir was restarted without what it had remembered by then being in its file.
    step: usize,
}

fn addr(number: usize) -> HostAddr {
    HostAddr::Tcp { host: format!("pg{number}"), port: 5432 }
}

const RULES: Rules = Rules {
    split_brain: SplitBrain::Refuse,
    max_replica_lag: None,
    hosts_are_configured: true,
    needs_primary: true,
};

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let count = 2 + dice.roll(4);
        let server = |number: usize, tells| Server {
            up: true,
            reached: true,
            in_recovery: number > 0,
            timeline: 1,
            lsn: 100,
            tells,
        };
        let tells = dice.often(70);
        let (now, wall) = (Instant::now(), SystemTime::UNIX_EPOCH);
        Self {
            servers: (0..count).map(|number| server(number, tells)).collect(),
            highest: 1,
            cluster: Cluster::new((0..count).map(addr), RULES, now, wall),
            dice,
            now,
            wall,
            late: Vec::new(),
            proved: None,
            step: 0,
        }
    }

    fn any(&mut self) -> usize {
        let count = self.servers.len();
        self.dice.roll(count)
    }

    /// The writer that the cluster manager knows of: the live primary on the highest timeline.
    fn true_primary(&self) -> Option<usize> {
        let primaries = self.servers.iter().enumerate().filter(|(_, s)| s.up && !s.in_recovery);
        primaries.max_by_key(|(_, server)| server.timeline).map(|(number, _)| number)
    }

    /// Something happens to the cluster.
    fn event(&mut self) {
        let number = self.any();
        match self.dice.roll(12) {
            0 | 1 => self.servers[number].up = false,
            // It comes back as it was: perhaps read-write.
            2..=4 => self.servers[number].up = true,
            5 => self.servers[number].reached = false,
            6 | 7 => self.servers[number].reached = true,
            // The cluster manager promotes the replica that has most, whether the old primary is gone or not.
            8 => {
                let best = self.servers.iter().enumerate().filter(|(_, s)| s.up && s.in_recovery);
                let best = best.max_by_key(|(_, s)| (s.timeline, s.lsn)).map(|(number, _)| number);
                if let Some(best) = best {
                    self.highest += 1;
                    let server = &mut self.servers[best];
                    (server.in_recovery, server.timeline) = (false, self.highest);
                }
            }
            // A replica follows the present primary; an old primary is rewound to follow it.
            9 | 10 => {
                if let Some(primary) = self.true_primary().filter(|primary| *primary != number) {
                    let (timeline, lsn) =
                        (self.servers[primary].timeline, self.servers[primary].lsn);
                    let server = &mut self.servers[number];
                    (server.in_recovery, server.timeline, server.lsn) = (true, timeline, lsn);
                }
            }
            _ => {
                let more = self.dice.roll(50) as u64;
                for server in self.servers.iter_mut().filter(|server| server.up) {
                    server.lsn += more;
                }
            }
        }
    }

    /// A monitor asks; the answer comes now, late, or never.
    fn ask(&mut self, host: usize) {
        let server = self.servers[host];
        let observation = if server.up && server.reached {
            Observation::Answered(
                Answer {
                    in_recovery: server.in_recovery,
                    system_id: Some(7),
                    timeline: (!server.in_recovery || server.tells).then_some(server.timeline),
                    lsn: Some(server.lsn),
                    insert_lsn: None,
                    streaming: server.in_recovery,
                    started: None,
                    proven: None,
                },
                self.now,
            )
        } else {
            Observation::Failed { error: "no answer".into(), failure: Failure::Silent }
        };
        // One monitor asks one question at a time: what it sees of its host comes in order.
        let after = self.late.iter().filter(|late| late.host == host).map(|late| late.due).max();
        let due = (self.step + self.dice.roll(6)).max(after.unwrap_or(0));
        self.late.push(Late { host, observation, due });
    }

    fn deliver(&mut self, seed: u64) {
        let (due, late) =
            std::mem::take(&mut self.late).into_iter().partition(|l| l.due <= self.step);
        self.late = late;
        let due: Vec<Late> = due;
        for Late { host, observation, .. } in due {
            self.now += Duration::from_millis(self.dice.roll(200) as u64);
            // The wall clock jumps.
            self.wall = SystemTime::UNIX_EPOCH + Duration::from_secs(self.dice.roll(10_000) as u64);
            if let Observation::Answered(answer, _) = &observation {
                self.proved = self.proved.max(answer.timeline);
            }
            self.cluster.observe(&addr(host), &observation, self.now, self.wall);
            self.check(seed);
        }
    }

    fn check(&self, seed: u64) {
        let snapshot = self.cluster.snapshot();
        let primaries = snapshot.hosts.iter().filter(|host| host.role == Role::Primary);
        assert!(primaries.count() <= 1, "seed {seed}: two primaries");
        if let Some(primary) = snapshot.primary() {
            assert!(primary.up, "seed {seed}: a primary that is down");
            assert!(
                primary.timeline >= self.proved,
                "seed {seed}: {} on timeline {:?} is believed after {:?} was proved",
                primary.addr,
                primary.timeline,
                self.proved
            );
        }
        for host in snapshot.hosts.iter().filter(|host| host.is_fit()) {
            assert_eq!(host.role, Role::Replica, "seed {seed}");
        }
    }

    /// pgweir is started anew, and knows what is in its file.
    fn restart(&mut self) {
        let remembered = self.cluster.fence();
        let hosts = (0..self.servers.len()).map(addr);
        self.cluster = Cluster::new(hosts, RULES, self.now, self.wall);
        if let Some(remembered) = remembered {
            self.cluster.remember(remembered);
        }
        // What it had asked died with it.
        self.late.clear();
    }

    /// All that can be repaired is, and everybody is asked: whoever is the only primary on the highest timeline is found.
    fn settle(&mut self, seed: u64) {
        let primary = self.true_primary();
        for number in 0..self.servers.len() {
            self.servers[number].reached = true;
            if Some(number) != primary && !self.servers[number].in_recovery {
                self.servers[number].up = false;
            }
        }
        for round in 0..2 {
            for number in 0..self.servers.len() {
                self.ask(number);
                self.step += 10;
                self.deliver(seed);
            }
            let known = self.cluster.snapshot().primary;
            if round == 1 {
                let exists = primary.filter(|number| {
                    // Nothing higher was ever proved: else it is an old one, and rightly kept out.
                    Some(self.servers[*number].timeline) >= self.proved
                });
                assert_eq!(known, exists, "seed {seed}: {:#?}", self.cluster.snapshot());
            }
        }
    }
}

#[test]
fn whatever_happens_nobody_writes_to_an_old_primary_and_in_the_end_the_right_one_is_found() {
    let (mut believed, mut promotions) = (0, 0);
    for seed in 0..HISTORIES {
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step += 1;
            if world.dice.often(25) {
                world.event();
            }
            if world.dice.often(60) {
                let host = world.any();
                world.ask(host);
            }
            world.deliver(seed);
            believed += usize::from(world.cluster.snapshot().primary.is_some());
            if world.dice.often(2) {
                world.restart();
            }
        }
        promotions += world.highest - 1;
        world.settle(seed);
    }
    // Histories in which nothing happens show nothing.
    assert!(u64::from(promotions) > HISTORIES, "{promotions} promotions");
    assert!(believed > HISTORIES as usize * STEPS / 4, "{believed} steps with a primary");
}
