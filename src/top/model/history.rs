//! Rates: what has grown from one look to the next, and how that went lately.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use super::look::{CONSOLE, Look, Show};
use super::table::Row;

/// How many intervals are remembered: as many as the widest chart has columns.
const KEPT: usize = 240;

/// What has happened in one interval.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// Transactions per second.
    pub transactions: f64,
    /// Queries per second.
    pub queries: f64,
    /// Bytes from clients per second.
    pub received: f64,
    /// Bytes to clients per second.
    pub sent: f64,
    /// Microseconds per transaction; `None`: there was none.
    pub transaction_us: Option<f64>,
    /// Microseconds per query.
    pub query_us: Option<f64>,
    /// Microseconds that a client has waited for a server, on average.
    pub wait_us: Option<f64>,
}

/// The counters of SHOW STATS.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    transactions: f64,
    queries: f64,
    received: f64,
    sent: f64,
    transaction_us: f64,
    query_us: f64,
    wait_us: f64,
    assignments: f64,
}

impl Totals {
    fn of(row: Row<'_>) -> Self {
        let number = |column| row.number(column).unwrap_or(0.0);
        let transactions = number("total_xact_count");
        Self {
            transactions,
            queries: number("total_query_count"),
            received: number("total_received"),
            sent: number("total_sent"),
            transaction_us: number("total_xact_time"),
            query_us: number("total_query_time"),
            wait_us: number("total_wait_time"),
            // Before pgbouncer 1.23 there is no such column.
            assignments: row.number("total_server_assignment_count").unwrap_or(transactions),
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            transactions: self.transactions + other.transactions,
            queries: self.queries + other.queries,
            received: self.received + other.received,
            sent: self.sent + other.sent,
            transaction_us: self.transaction_us + other.transaction_us,
            query_us: self.query_us + other.query_us,
            wait_us: self.wait_us + other.wait_us,
            assignments: self.assignments + other.assignments,
        }
    }

    /// A total falls when a pool has gone: what had grown cannot be said then.
    fn rates(self, before: Self, seconds: f64) -> Rates {
        let grown = |now: f64, then: f64| (now - then).max(0.0);
        let each = |time: f64, count: f64| (count > 0.0).then_some(time / count);
        let transactions = grown(self.transactions, before.transactions);
        let queries = grown(self.queries, before.queries);
        Rates {
            transactions: transactions / seconds,
            queries: queries / seconds,
            received: grown(self.received, before.received) / seconds,
            sent: grown(self.sent, before.sent) / seconds,
            transaction_us: each(grown(self.transaction_us, before.transaction_us), transactions),
            query_us: each(grown(self.query_us, before.query_us), queries),
            wait_us: each(
                grown(self.wait_us, before.wait_us),
                grown(self.assignments, before.assignments),
            ),
        }
    }
}

/// A host of a database entry: entry, host, port.
type HostName = (String, String, String);

/// Counters of one look.
#[derive(Debug)]
struct Mark {
    at: Instant,
    databases: BTreeMap<String, Totals>,
    hosts: BTreeMap<HostName, f64>,
}

/// See the module's words.
#[derive(Debug, Default)]
pub struct History {
    last: Option<Mark>,
    all: VecDeque<Rates>,
    databases: BTreeMap<String, Rates>,
    hosts: BTreeMap<HostName, f64>,
    /// The hosts of each entry together.
    entries: BTreeMap<String, f64>,
}

impl History {
    /// Another look, taken just now.
    pub fn add(&mut self, look: &Look, now: Instant) {
        let mark = Mark::of(look, now);
        let Some(last) = self.last.replace(mark) else { return };
        let Some(mark) = &self.last else { return };
        let seconds = now.saturating_duration_since(last.at).as_secs_f64();
        if seconds <= 0.0 {
            return;
        }
        let none = Totals::default();
        // One that was not there before has counted from nothing.
        let rates = mark.databases.iter().map(|(name, totals)| {
            let before = last.databases.get(name).copied().unwrap_or(none);
            (name.clone(), totals.rates(before, seconds))
        });
        self.databases = rates.collect();
        let grown = mark.hosts.iter().map(|(name, count)| {
            let before = last.hosts.get(name).copied().unwrap_or(*count);
            (name.clone(), (count - before).max(0.0) / seconds)
        });
        self.hosts = grown.collect();
        self.entries.clear();
        for ((entry, ..), rate) in &self.hosts {
            *self.entries.entry(entry.clone()).or_default() += rate;
        }
        let sum = |all: &BTreeMap<String, Totals>| all.values().copied().fold(none, Totals::plus);
        self.all.push_back(sum(&mark.databases).rates(sum(&last.databases), seconds));
        if self.all.len() > KEPT {
            self.all.pop_front();
        }
    }

    /// The console was away: what it counted meanwhile, or before it began anew, belongs to no interval.
    pub fn interrupted(&mut self) {
        self.last = None;
    }

    /// All databases together, oldest interval first.
    pub fn all(&self) -> impl DoubleEndedIterator<Item = &Rates> {
        self.all.iter()
    }

    /// All databases together in the last interval.
    pub fn latest(&self) -> Option<&Rates> {
        self.all.back()
    }

    /// A database in the last interval.
    pub fn database(&self, name: &str) -> Option<&Rates> {
        self.databases.get(name)
    }

    /// The part of all transactions that ended on replicas (0 to 1) in the last interval; `None`: there were none, or it is
    /// not known.
    pub fn on_replicas(&self, look: &Look) -> Option<f64> {
        let rate = |row: Row<'_>| self.hosts.get(&host_name(row)).copied();
        let all: f64 = look.rows(Show::Topology).filter_map(rate).sum();
        let replicas = look.rows(Show::Topology).filter(|row| row.word("role") == "replica");
        (all > 0.0).then(|| replicas.filter_map(rate).sum::<f64>() / all)
    }

    /// Transactions per second that ended on the host of this row of SHOW TOPOLOGY, and their part of all of the entry's
    /// (0 to 1; `None`: there were none).
    pub fn host(&self, row: Row<'_>) -> Option<(f64, Option<f64>)> {
        let name = host_name(row);
        let rate = *self.hosts.get(&name)?;
        let all = self.entries.get(&name.0).copied().unwrap_or(0.0);
        Some((rate, (all > 0.0).then_some(rate / all)))
    }
}

impl Mark {
    fn of(look: &Look, at: Instant) -> Self {
        let stats = look.rows(Show::Stats).filter(|row| row.word("database") != CONSOLE);
        let databases = stats.map(|row| (row.word("database").to_owned(), Totals::of(row)));
        let hosts = look.rows(Show::Topology);
        let hosts = hosts.filter_map(|row| Some((host_name(row), row.number("xact_count")?)));
        Self { at, databases: databases.collect(), hosts: hosts.collect() }
    }
}

fn host_name(row: Row<'_>) -> HostName {
    let own = |column| row.word(column).to_owned();
    (own("database"), own("host"), own("port"))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test begins at some time")]
mod tests {
    use std::time::Duration;

    use super::super::testing::look;
    use super::*;

    const COLUMNS: &str = "database total_server_assignment_count total_xact_count total_query_count \
        total_received total_sent total_xact_time total_query_time total_wait_time";

    fn stats(rows: &str) -> Look {
        look(&[(Show::Stats, &format!("{COLUMNS}\n{rows}"))])
    }

    #[test]
    fn rates_are_per_second_and_times_per_what_happened() {
        let start = Instant::now();
        let mut history = History::default();
        history.add(&stats("app 0 100 200 10 20 1000 1000 0\npgbouncer 9 9 9 9 9 9 9 9"), start);
        assert!(history.latest().is_none(), "one look is no interval");
        let later = start + Duration::from_secs(2);
        history
            .add(&stats("app 10 140 260 30 80 9000 7000 500\npgbouncer 99 99 9 9 9 9 9 9"), later);
        let expected = Rates {
            transactions: 20.0,
            queries: 30.0,
            received: 10.0,
            sent: 30.0,
            transaction_us: Some(200.0),
            query_us: Some(100.0),
            wait_us: Some(50.0),
        };
        assert_eq!(history.latest(), Some(&expected), "the console's own is not counted");
        assert_eq!(history.database("app"), Some(&expected));
        assert_eq!(history.database("pgbouncer"), None);
    }

    #[test]
    fn nothing_is_said_of_an_interruption_and_what_fell_has_not_grown() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut history = History::default();
        history.add(&stats("app 0 100 0 0 0 0 0 0"), at(0));
        history.interrupted();
        history.add(&stats("app 0 900 0 0 0 0 0 0"), at(1));
        assert!(history.latest().is_none());
        history.add(&stats("app 0 5 0 0 0 0 0 0"), at(2));
        assert_eq!(history.latest(), Some(&Rates::default()));
        history.add(&stats("app 0 7 0 0 0 0 0 0"), at(3));
        assert_eq!(history.latest().map(|rates| rates.transactions), Some(2.0));
    }

    #[test]
    fn hosts_share_the_transactions_of_their_entry() {
        let start = Instant::now();
        let topology = |first: u32, second: u32| {
            let rows =
                format!("app a 1 primary {first}\napp b 1 replica {second}\nother a 1 replica 5");
            look(&[(Show::Topology, &format!("database host port role xact_count\n{rows}"))])
        };
        let mut history = History::default();
        history.add(&topology(0, 0), start);
        let last = topology(30, 10);
        history.add(&last, start + Duration::from_secs(2));
        let hosts: Vec<_> = last.rows(Show::Topology).map(|row| history.host(row)).collect();
        let expected = [Some((15.0, Some(0.75))), Some((5.0, Some(0.25))), Some((0.0, None))];
        assert_eq!(hosts, expected);
        assert_eq!(history.on_replicas(&last), Some(0.25));
        assert_eq!(history.on_replicas(&Look::default()), None);
    }

    #[test]
    fn memory_is_bounded() {
        let start = Instant::now();
        let mut history = History::default();
        for second in 0..1000 {
            history.add(&stats("app 0 0 0 0 0 0 0 0"), start + Duration::from_secs(second));
        }
        assert_eq!(history.all().count(), KEPT);
    }
}
