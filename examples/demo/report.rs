//! From what was seen to what it means.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use crate::Failover;
use crate::common::weir::sum_of;
use crate::load::{BenchSeen, Seen};

/// All that was seen.
#[derive(Debug)]
pub(crate) struct Facts {
    /// Start of the load.
    pub start: Instant,
    /// The failover.
    pub failover: Failover,
    /// By our own connections.
    pub seen: Seen,
    /// By pgbench's writers.
    pub pgbench_writers: BenchSeen,
    /// By pgbench's readers.
    pub pgbench_readers: BenchSeen,
    /// Writer and number of every row in the new primary.
    pub found: Vec<(usize, i64)>,
    /// Port and name of each server.
    pub nodes: Vec<(u16, String)>,
    /// The text of /metrics at the end.
    pub metrics: String,
}

/// The text for a person, and the promises that were broken.
#[derive(Debug)]
pub(crate) struct Report {
    lines: Vec<(String, String)>,
    /// One sentence each.
    pub(crate) broken: Vec<String>,
}

impl Report {
    /// Compares what was seen with what is promised.
    pub(crate) fn new(facts: &Facts) -> Self {
        let mut report = Self { lines: Vec::new(), broken: Vec::new() };
        report.outage(facts);
        report.errors(facts);
        report.connections(facts);
        report.writes(facts);
        report.reads(facts);
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

    fn outage(&mut self, facts: &Facts) {
        let Failover { killed, asked, promoted, .. } = facts.failover;
        self.line(
            "primary killed",
            format!(
                "{} into the load; promotion asked for {} later, done after {}",
                ms(killed - facts.start),
                ms(asked - killed),
                ms(promoted - asked)
            ),
        );
        let writes: Vec<_> = facts.seen.acknowledged.iter().map(|write| write.2).collect();
        let first = writes.iter().filter(|at| **at > promoted).min();
        let writes_gap = longest_gap(&writes, facts.start);
        self.line(
            "outage for writers",
            format!(
                "{} without any acknowledged write{}",
                ms(writes_gap),
                first.map_or(String::new(), |at| format!(
                    "; the first one {} after the promotion",
                    ms(*at - promoted)
                ))
            ),
        );
        self.promise(first.is_some(), "nothing was written after the failover".to_owned());

        let reads: Vec<_> = facts.seen.reads.iter().map(|read| read.1).collect();
        let reads_gap = longest_gap(&reads, facts.start);
        self.line("outage for readers", format!("{} without any answered read", ms(reads_gap)));
        let late = reads.iter().any(|at| *at > promoted);
        self.promise(late, "nothing was read after the failover".to_owned());
    }

    fn errors(&mut self, facts: &Facts) {
        let mut none = true;
        let bench = [&facts.pgbench_writers.errors, &facts.pgbench_readers.errors];
        let sources =
            [("errors, ours", vec![&facts.seen.errors]), ("errors, pgbench", bench.into())];
        for (name, errors) in sources {
            for (text, count) in errors.into_iter().flatten() {
                none = false;
                self.line(name, format!("{count} x {text}"));
            }
        }
        if none {
            self.line("errors", "none".to_owned());
        }
        if facts.seen.hung > 0 {
            self.line("hanging requests", facts.seen.hung.to_string());
        }
        self.promise(facts.seen.hung == 0, "a request was never answered".to_owned());
    }

    fn connections(&mut self, facts: &Facts) {
        let ours = facts.seen.dropped.len();
        let bench = facts.pgbench_writers.dropped + facts.pgbench_readers.dropped;
        self.line("client connections", format!("{ours} of ours dropped, {bench} of pgbench's"));
        let examples: BTreeSet<_> = facts.seen.dropped.iter().collect();
        for example in examples.into_iter().take(3) {
            self.line("  for example", example.clone());
        }
        self.promise(ours == 0 && bench == 0, "client connections were dropped".to_owned());
    }

    fn writes(&mut self, facts: &Facts) {
        let mut found: BTreeMap<(usize, i64), u64> = BTreeMap::new();
        for write in &facts.found {
            *found.entry(*write).or_default() += 1;
        }
        let acknowledged = &facts.seen.acknowledged;
        let lost = acknowledged.iter().filter(|w| !found.contains_key(&(w.0, w.1))).count();
        let doubled = found.values().filter(|count| **count > 1).count();
        let uncertain = &facts.seen.uncertain;
        let done = uncertain.iter().filter(|write| found.contains_key(write)).count();
        self.line(
            "writes",
            format!(
                "{} acknowledged: {lost} lost, {doubled} doubled; {} answered by an error, \
                 {done} of these done",
                acknowledged.len(),
                uncertain.len(),
            ),
        );
        self.promise(lost == 0, format!("{lost} acknowledged writes were lost"));
        self.promise(doubled == 0, format!("{doubled} writes were done twice"));
    }

    fn reads(&mut self, facts: &Facts) {
        let promoted = facts.failover.promoted;
        let killed = facts.failover.killed;
        let old_primary = facts.nodes.first().map_or(0, |node| node.0);
        let count = |port: u16, in_time: &dyn Fn(Instant) -> bool| {
            facts.seen.reads.iter().filter(|read| read.0 == port && in_time(read.1)).count()
        };
        for (port, name) in &facts.nodes {
            let before = count(*port, &|at| at < killed);
            let after = count(*port, &|at| at > promoted);
            let host = format!("127.0.0.1:{port}");
            let labels = [("database", "app"), ("host", host.as_str())];
            let all = sum_of(&facts.metrics, "pgweir_pool_transactions_total", &labels);
            let role = match *port {
                port if port == old_primary => "primary, killed",
                port if port == facts.failover.new_primary => "replica, then primary",
                _ => "replica",
            };
            self.line(
                &format!("{name} ({port})"),
                format!(
                    "{role}: {before} of our reads before, {after} after; {} transactions in all",
                    all.map_or("unknown".to_owned(), |all| all.to_string())
                ),
            );
        }
        self.line(
            "pgbench",
            format!(
                "{} writing and {} reading transactions",
                facts.pgbench_writers.transactions, facts.pgbench_readers.transactions
            ),
        );
        let by_replicas = facts.seen.reads.iter().filter(|r| r.1 < killed && r.0 != old_primary);
        let all = facts.seen.reads.iter().filter(|read| read.1 < killed).count();
        let by_replicas = by_replicas.count();
        self.promise(
            all > 0 && by_replicas == all,
            format!("only {by_replicas} of {all} reads went to replicas while both were healthy"),
        );
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, text) in &self.lines {
            writeln!(f, "{name:<20} {text}")?;
        }
        match self.broken.as_slice() {
            [] => write!(f, "{:<20} all kept", "promises"),
            broken => write!(f, "{:<20} {} BROKEN", "promises", broken.len()),
        }
    }
}

/// The longest time between two events that follow each other, the start counting as one.
fn longest_gap(events: &[Instant], start: Instant) -> Duration {
    let mut events = events.to_vec();
    events.push(start);
    events.sort_unstable();
    events.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

fn ms(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}
