//! What happens to a replica, and what the readers see of it.

use std::fmt;
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use super::load::{CLIENTS, Load, Read, Seen};
use super::report::{Outage, ms, oldest, outage};
use super::{Scene, pulses, weir};
use crate::common::{Cluster, Signal, Weir, wait};

/// What happens to a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// SIGKILL to all its processes.
    Kill,
    /// SIGSTOP to all its processes.
    Hang,
    /// Its answers vanish on the way.
    BlackHole,
    /// It replays what is five seconds old.
    Late,
    /// It replays nothing.
    Paused,
}

impl Trouble {
    /// All of them, with their names.
    pub const ALL: [(&'static str, Self); 5] = [
        ("replica-kill", Self::Kill),
        ("replica-hang", Self::Hang),
        ("replica-blackhole", Self::BlackHole),
        ("replica-late", Self::Late),
        ("replica-paused", Self::Paused),
    ];

    /// As it is given on the command line.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, trouble)| *trouble == self).map_or("", |(name, _)| name)
    }

    fn begin(self, cluster: &mut Cluster) {
        let node = &mut cluster.nodes[ILL];
        match self {
            Self::Kill => node.kill(Signal::KILL),
            Self::Hang => node.kill(Signal::STOP),
            Self::BlackHole => node.vanish(),
            Self::Late => node.set("recovery_min_apply_delay", "5s"),
            Self::Paused => drop(node.query("SELECT pg_wal_replay_pause()")),
        }
    }

    fn end(self, cluster: &mut Cluster) {
        let node = &mut cluster.nodes[ILL];
        match self {
            Self::Kill => node.start(),
            Self::Hang => node.kill(Signal::CONT),
            Self::BlackHole => node.reappear(),
            Self::Late => node.set("recovery_min_apply_delay", "0"),
            Self::Paused => drop(node.query("SELECT pg_wal_replay_resume()")),
        }
    }

    /// Whether it can be seen in SHOW TOPOLOGY.
    fn is_noticed(self, weir: &Weir, host: &str) -> bool {
        let why = shown(weir, host, "reads");
        match self {
            Self::Kill | Self::Hang | Self::BlackHole => {
                why.starts_with("down: ") && shown(weir, host, "last_change") == "down, was replica"
            }
            Self::Late | Self::Paused => why.contains(" s behind, max_replica_lag is 2 s"),
        }
    }
}

impl FromStr for Trouble {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = Self::ALL.iter().find(|(own, _)| *own == name).map(|(_, trouble)| *trouble);
        known.ok_or_else(|| format!("there is no trouble \"{name}\""))
    }
}

/// Number of the node that it happens to.
const ILL: usize = 1;

/// Setting `max_replica_lag` of these stories.
pub const MAX_REPLICA_LAG: Duration = Duration::from_secs(2);

/// What the worst reader may wait for.
pub const BOUND: Duration = Duration::from_millis(1500);

/// How long each part of a story lasts at least.
const PART: Duration = Duration::from_secs(1);

/// Of so many reads one after the other shares are told.
const SAMPLE: u64 = 200;

/// What of them is an even share of two hosts.
const EVEN: std::ops::Range<f64> = 0.2..0.8;

/// What the readers saw.
#[derive(Debug)]
pub struct Troubled {
    /// How long readers were without an answer.
    pub readers: Outage,
    /// How long it took until SHOW TOPOLOGY had it.
    pub noticed: Duration,
    /// How long it took from the end of the trouble until it had its share of the reads again.
    pub back: Duration,
    /// For how long the data that a reader did not see had been acknowledged, at most.
    pub oldest: Duration,
    /// Reads that were answered by an error.
    pub errors: u64,
    /// Share of the reads that the replica had before, while it was known to be in trouble, and afterwards.
    pub shares: [f64; 3],
    /// Promises, one sentence each.
    pub broken: Vec<String>,
}

/// Tells one story; `None` where it cannot be told.
pub fn tell(trouble: Trouble) -> Option<Troubled> {
    let mut scene = Scene::with(trouble == Trouble::BlackHole)?;
    let cluster = &mut scene.cluster;
    let weir = weir(cluster)
        .setting("max_replica_lag", MAX_REPLICA_LAG.as_secs())
        .setting("slow_start", 0)
        .start();
    let hosts = cluster.hosts();
    let host = hosts[ILL].0.clone();
    for (replica, _) in &hosts[1..] {
        wait::until(&format!("{replica} to be fit for reads"), wait::DEADLINE, || {
            shown(&weir, replica, "reads") == "yes"
        });
    }
    let load = Load::start(weir.port());
    load.wait_answers(20, "before the trouble");
    // Not waits for a condition: shares take their time to be measured.
    thread::sleep(PART);
    let struck = Instant::now();
    trouble.begin(cluster);
    wait::until("the trouble to be noticed", wait::DEADLINE, || trouble.is_noticed(&weir, &host));
    let noticed = Instant::now();
    thread::sleep(PART);
    let ended = Instant::now();
    trouble.end(cluster);
    let back = wait_even_share(&weir, &load, &host);
    let began = load.begun;
    let seen = load.finish();
    let pulses = pulses(cluster.primary());
    weir.stop();

    let share = |from: Instant, to: Option<Instant>| {
        let within = |read: &&Read| read.asked > from && to.is_none_or(|to| read.asked < to);
        let all = || seen.reads.iter().filter(within);
        let there = all().filter(|read| read.host == host).count();
        there as f64 / (all().count() as f64).max(1.0)
    };
    let survived = |(number, _): &&(i64, Instant)| pulses.binary_search(number).is_ok();
    let acknowledged: Vec<_> = seen.pulses.iter().filter(survived).copied().collect();
    let answers = seen.reads.iter().map(|read| (read.reader, read.at));
    let mut told = Troubled {
        readers: outage(answers, began, struck),
        noticed: noticed - struck,
        back: back - ended,
        oldest: oldest(&seen.reads, &acknowledged),
        errors: seen.errors.values().sum(),
        shares: [share(began, Some(struck)), share(noticed, Some(ended)), share(back, None)],
        broken: Vec::new(),
    };
    let by_primary = seen.reads.iter().filter(|read| read.host == hosts[0].0).count();
    told.judge(trouble, &seen, by_primary as f64 / seen.reads.len() as f64);
    Some(told)
}

/// Waits until the host has an even share of the reads; the moment when that began.
fn wait_even_share(weir: &Weir, load: &Load, host: &str) -> Instant {
    let count = || shown(weir, host, "xact_count").parse::<u64>().unwrap();
    let mut began = Instant::now();
    wait::until("an even share of the reads", 3 * wait::DEADLINE, || {
        began = Instant::now();
        let (there, all) = (count(), load.reads());
        wait::until("more reads", wait::DEADLINE, || load.reads() >= all + SAMPLE);
        let share = (count() - there) as f64 / (load.reads() - all) as f64;
        EVEN.contains(&share)
    });
    began
}

/// A host's column in SHOW TOPOLOGY.
fn shown(weir: &Weir, host: &str, column: &str) -> String {
    let rows = weir.console("SHOW TOPOLOGY");
    let place = |row: usize| format!("{}:{}", rows.get(row, "host"), rows.get(row, "port"));
    let row = (0..rows.rows.len()).find(|row| place(*row) == host).expect("it is shown");
    rows.get(row, column).to_owned()
}

impl Troubled {
    fn judge(&mut self, trouble: Trouble, seen: &Seen, by_primary: f64) {
        let mut promise = |kept: bool, otherwise: String| {
            if !kept {
                self.broken.push(otherwise);
            }
        };
        promise(seen.dropped.is_empty(), format!("connections were dropped: {:?}", seen.dropped));
        promise(seen.hung == 0, "a request was never answered".to_owned());
        let [before, during, after] = self.shares;
        // Shares scatter on a busy machine; the bench tells them.
        promise(before > 0.05, format!("the replica had {before:.2} of the reads before"));
        promise(during == 0.0, format!("it had {during:.2} of the reads while it was in trouble"));
        promise(after > 0.05, format!("it has {after:.2} of the reads afterwards"));
        // A monitor that is late itself takes a replica for too old.
        promise(by_primary < 0.1, format!("the primary had {by_primary:.2} of the reads"));
        let most = match trouble {
            Trouble::Kill | Trouble::Hang | Trouble::BlackHole => CLIENTS as u64,
            Trouble::Late | Trouble::Paused => 0,
        };
        let errors = self.errors;
        promise(errors <= most, format!("{errors} errors, at most {most} were in flight"));
        let fresh = self.oldest <= MAX_REPLICA_LAG;
        promise(fresh, format!("somebody read what was {} old", ms(self.oldest)));
    }
}

impl fmt::Display for Troubled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [before, during, after] = self.shares.map(|share| share * 100.0);
        write!(
            f,
            "worst reader {}, noticed after {}, back after {}, {} errors, reads at most {} old, share {before:.0} % before, \
             {during:.0} % meanwhile, {after:.0} % afterwards",
            ms(self.readers.worst),
            ms(self.noticed),
            ms(self.back),
            self.errors,
            ms(self.oldest)
        )
    }
}
