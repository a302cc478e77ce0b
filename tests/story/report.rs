//! From what was seen to what it means.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use super::fault::{Failover, Fault, Restart};
use super::load::{BenchSeen, Read, Seen};

/// All that was seen.
#[derive(Debug)]
pub struct Facts {
    /// Start of the load.
    pub start: Instant,
    /// The failover.
    pub failover: Failover,
    /// pgweir was started anew in the middle of it.
    pub restart: Option<Restart>,
    /// By our own connections.
    pub seen: Seen,
    /// By pgbench, where it ran: writers, readers.
    pub pgbench: Option<[BenchSeen; 2]>,
    /// Writer and number of every row in the new primary.
    pub on_new: Vec<(usize, i64)>,
    /// The same of the old primary, if it came back.
    pub on_old: Vec<(usize, i64)>,
    /// The pulses in the new primary.
    pub pulses: Vec<i64>,
    /// Address with port, and name, of each server.
    pub nodes: Vec<(String, String)>,
}

/// How long clients were without an answer.
#[derive(Clone, Copy, Debug)]
pub struct Outage {
    /// The client that waited longest.
    pub worst: Duration,
    /// Half of them waited no longer.
    pub median: Duration,
}

/// The text for a person, and the promises that were broken.
#[derive(Debug)]
pub struct Report {
    lines: Vec<(String, String)>,
    /// Of the writers.
    pub writers: Outage,
    /// Of the readers.
    pub readers: Outage,
    /// From the fault until the promoted host took writes.
    pub promotion: Duration,
    /// When the old primary last took a write that was acknowledged and is not on the new one, from the promotion on.
    pub stray: Option<Duration>,
    /// For how long the data that a reader did not see had been acknowledged, at most.
    pub oldest: Duration,
    /// Writes that were answered by an error.
    pub errors: usize,
    /// One sentence each.
    pub broken: Vec<String>,
}

impl Report {
    /// Compares what was seen with what is promised.
    pub fn new(facts: &Facts) -> Self {
        let Failover { struck, promoted, .. } = facts.failover;
        let writes = facts.seen.acknowledged.iter().map(|write| (write.0, write.2));
        let reads = facts.seen.reads.iter().map(|read| (read.reader, read.at));
        let mut report = Self {
            lines: Vec::new(),
            writers: outage(writes, facts.start, struck),
            readers: outage(reads, facts.start, struck),
            promotion: promoted - struck,
            stray: None,
            oldest: oldest(&facts.seen.reads, &surviving(facts)),
            errors: facts.seen.uncertain.len(),
            broken: Vec::new(),
        };
        report.outages(facts);
        report.errors(facts);
        report.connections(facts);
        report.writes(facts);
        report.reads(facts);
        report.staleness(facts);
        report
    }

    fn line(&mut self, name: &str, text: String) {
        self.lines.push((name.to_owned(), text));
    }

    fn promise(&mut self, kept: bool, otherwise: String) {
        if !kept {
            self.broken.push(otherwise);
        }
    }

    fn outages(&mut self, facts: &Facts) {
        let Failover { fault, struck, asked, promoted, .. } = facts.failover;
        self.line(
            "what happened",
            format!(
                "{}, {} into the load; promotion asked for {} later, done after {}",
                fault.words(),
                ms(struck - facts.start),
                ms(asked - struck),
                ms(promoted - asked)
            ),
        );
        let Outage { worst, median } = self.writers;
        let beyond = worst.saturating_sub(self.promotion);
        self.line(
            "outage for writers",
            format!(
                "worst client {}, median {}; that is {} more than until the promotion",
                ms(worst),
                ms(median),
                ms(beyond)
            ),
        );
        let Outage { worst, median } = self.readers;
        self.line(
            "outage for readers",
            format!("worst client {}, median {}", ms(worst), ms(median)),
        );
        let after = |at: &Instant| *at > promoted;
        let written = facts.seen.acknowledged.iter().any(|write| after(&write.2));
        self.promise(written, "nothing was written after the failover".to_owned());
        let read = facts.seen.reads.iter().any(|read| after(&read.at));
        self.promise(read, "nothing was read after the failover".to_owned());
    }

    fn errors(&mut self, facts: &Facts) {
        let ours = facts.seen.errors.iter().map(|error| ("errors, ours", error));
        let theirs = facts.pgbench.iter().flatten().flat_map(|seen| &seen.errors);
        let all: Vec<_> = ours.chain(theirs.map(|error| ("errors, pgbench", error))).collect();
        if all.is_empty() {
            self.line("errors", "none".to_owned());
        }
        for (name, (text, count)) in all {
            self.line(name, format!("{count} x {text}"));
        }
        if facts.seen.hung > 0 {
            self.line("hanging requests", facts.seen.hung.to_string());
        }
        self.promise(facts.seen.hung == 0, "a request was never answered".to_owned());
        let writers = facts.seen.acknowledged.iter().map(|write| write.0).collect::<BTreeSet<_>>();
        // Whoever is killed cannot say that something was in flight: the connection breaks, once more.
        let most = match (facts.failover.fault, facts.restart) {
            (Fault::Announced, None | Some(Restart::Takeover)) => 0,
            (_, None | Some(Restart::Takeover)) => writers.len(),
            (_, Some(Restart::Crash)) => writers.len() * 2,
        };
        let uncertain = facts.seen.uncertain.len();
        self.promise(
            uncertain <= most,
            format!("{uncertain} writes got an error, at most {most} were in flight"),
        );
    }

    fn connections(&mut self, facts: &Facts) {
        let ours = facts.seen.dropped.len();
        let bench: Option<u64> =
            facts.pgbench.as_ref().map(|seen| seen.iter().map(|seen| seen.dropped).sum());
        let theirs = bench.map_or(String::new(), |dropped| format!(", {dropped} of pgbench's"));
        self.line("client connections", format!("{ours} of ours dropped{theirs}"));
        let examples: BTreeSet<_> = facts.seen.dropped.iter().collect();
        for example in examples.into_iter().take(3) {
            self.line("  for example", example.clone());
        }
        let none = ours == 0 && bench.unwrap_or(0) == 0;
        self.promise(
            none || facts.restart == Some(Restart::Crash),
            "client connections were dropped".to_owned(),
        );
    }

    fn writes(&mut self, facts: &Facts) {
        let mut found: BTreeMap<(usize, i64), u64> = BTreeMap::new();
        for write in &facts.on_new {
            *found.entry(*write).or_default() += 1;
        }
        let on_old: BTreeSet<_> = facts.on_old.iter().copied().collect();
        let acknowledged = &facts.seen.acknowledged;
        let missing: Vec<_> = acknowledged
            .iter()
            .filter(|(writer, seq, _)| !found.contains_key(&(*writer, *seq)))
            .collect();
        // A promotion behind the back of a primary that lives: what that one acknowledged until pgweir could know is
        // on it alone. Nobody in between can help that.
        let split = facts.failover.fault == Fault::SplitBrain;
        let (strays, lost): (Vec<_>, Vec<_>) = missing
            .into_iter()
            .partition(|(writer, seq, _)| split && on_old.contains(&(*writer, *seq)));
        let (strays, lost) = (strays, lost.len());
        let doubled = found.values().filter(|count| **count > 1).count();
        let uncertain = &facts.seen.uncertain;
        let done = uncertain.iter().filter(|write| found.contains_key(write)).count();
        self.line(
            "writes",
            format!(
                "{} acknowledged: {lost} lost, {doubled} doubled; {} answered by an error, {done} of these done",
                acknowledged.len(),
                uncertain.len(),
            ),
        );
        self.promise(lost == 0, format!("{lost} acknowledged writes were lost"));
        self.promise(doubled == 0, format!("{doubled} writes were done twice"));
        self.stray = strays
            .iter()
            .map(|(_, _, at)| at.saturating_duration_since(facts.failover.promoted))
            .max();
        if split {
            let last = self.stray.map_or(String::new(), |last| {
                format!(", the last one {} after the promotion", ms(last))
            });
            self.line(
                "on the old primary",
                format!("{} acknowledged writes after it was overtaken{last}", strays.len()),
            );
        }
    }

    fn reads(&mut self, facts: &Facts) {
        let Failover { struck, promoted, old, new, .. } = facts.failover;
        for (number, (host, name)) in facts.nodes.iter().enumerate() {
            let count = |in_time: &dyn Fn(Instant) -> bool| {
                facts
                    .seen
                    .reads
                    .iter()
                    .filter(|read| read.host == *host && in_time(read.at))
                    .count()
            };
            let role = match number {
                number if number == old => "the old primary",
                number if number == new => "replica, then primary",
                _ => "replica",
            };
            self.line(
                &format!("{name} ({host})"),
                format!(
                    "{role}: {} of our reads before, {} after",
                    count(&|at| at < struck),
                    count(&|at| at > promoted)
                ),
            );
        }
        if let Some([writers, readers]) = &facts.pgbench {
            self.line(
                "pgbench",
                format!(
                    "{} writing and {} reading transactions",
                    writers.transactions, readers.transactions
                ),
            );
        }
        let primary = facts.nodes.get(old).map(|node| node.0.as_str()).unwrap_or_default();
        let before = || facts.seen.reads.iter().filter(|read| read.at < struck);
        let (all, by_replicas) =
            (before().count(), before().filter(|read| read.host != primary).count());
        self.promise(
            all > 0 && by_replicas == all,
            format!("only {by_replicas} of {all} reads went to replicas while both were healthy"),
        );
    }

    /// What readers did not see although it was acknowledged before they asked.
    fn staleness(&mut self, facts: &Facts) {
        let on_new: BTreeSet<_> = facts.on_new.iter().copied().collect();
        let read_back = &facts.seen.read_back;
        // What a deposed primary acknowledged to the last is nowhere else, see `writes`.
        let unseen = read_back.iter().filter(|read| !read.seen);
        let stale = unseen.filter(|read| on_new.contains(&(read.writer, read.wrote))).count();
        self.line(
            "stale reads",
            format!(
                "{stale} of {} reads of own writes; others at most {} old, {} are allowed (max_replica_lag)",
                read_back.len(),
                ms(self.oldest),
                ms(MAX_REPLICA_LAG)
            ),
        );
        self.promise(!read_back.is_empty(), "nobody has read its own writes".to_owned());
        self.promise(stale == 0, format!("{stale} times a writer did not see its own write"));
        let fresh = self.oldest <= MAX_REPLICA_LAG;
        self.promise(fresh, format!("somebody read what was {} old", ms(self.oldest)));
    }
}

/// The default of `max_replica_lag`.
const MAX_REPLICA_LAG: Duration = Duration::from_secs(10);

/// Acknowledged pulses that were not lost with a deposed primary, in their order.
fn surviving(facts: &Facts) -> Vec<(i64, Instant)> {
    let survived = |(number, _): &&(i64, Instant)| facts.pulses.binary_search(number).is_ok();
    facts.seen.pulses.iter().filter(survived).copied().collect()
}

/// For how long the next pulse after the one that a read saw had been acknowledged when it was asked; the longest of all.
pub fn oldest(reads: &[Read], pulses: &[(i64, Instant)]) -> Duration {
    let age = |read: &Read| {
        let next = pulses.partition_point(|(number, _)| *number <= read.pulse);
        let acknowledged = pulses.get(next).map(|(_, at)| *at);
        acknowledged.map_or(Duration::ZERO, |at| read.asked.saturating_duration_since(at))
    };
    reads.iter().map(age).max().unwrap_or_default()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, text) in &self.lines {
            writeln!(f, "{name:<24} {text}")?;
        }
        match self.broken.as_slice() {
            [] => write!(f, "{:<24} all kept", "promises"),
            broken => write!(f, "{:<24} {} BROKEN", "promises", broken.len()),
        }
    }
}

/// The longest time that each client was without an answer around the fault; the start counts as an answer.
pub fn outage(
    answers: impl Iterator<Item = (usize, Instant)>,
    start: Instant,
    struck: Instant,
) -> Outage {
    let mut of_client: BTreeMap<usize, Vec<Instant>> = BTreeMap::new();
    for (client, at) in answers {
        of_client.entry(client).or_insert_with(|| vec![start]).push(at);
    }
    let mut longest: Vec<Duration> = of_client
        .values_mut()
        .map(|answers| {
            answers.sort_unstable();
            let gaps = answers.windows(2).filter(|pair| pair[1] > struck);
            gaps.map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
        })
        .collect();
    longest.sort_unstable();
    let median = longest.get(longest.len() / 2).copied().unwrap_or_default();
    Outage { worst: longest.last().copied().unwrap_or_default(), median }
}

/// For a person.
pub fn ms(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}
