//! SHOW STATS: totals and averages per database. Also the figures themselves, which
//! STATS_TOTALS, STATS_AVERAGES and TOTALS show in other arrangements.

use std::ops::AddAssign;
use std::time::Duration;

use super::super::table::{Column, ColumnType, Table, Value};
use crate::metrics::PoolMetrics;

/// The eleven figures, either as totals or as averages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Times a server was given to a client.
    pub server_assignments: u64,
    /// Transactions.
    pub transactions: u64,
    /// Queries.
    pub queries: u64,
    /// Bytes from clients.
    pub received_bytes: u64,
    /// Bytes to clients.
    pub sent_bytes: u64,
    /// Time in transactions.
    pub transaction_us: u64,
    /// Time in queries.
    pub query_us: u64,
    /// Time waiting for a server.
    pub wait_us: u64,
    /// Named statements prepared by clients.
    pub client_parses: u64,
    /// Statements prepared on servers.
    pub server_parses: u64,
    /// Binds of named statements.
    pub binds: u64,
    /// Logins of clients; pgbouncer shows them from 1.26 on.
    pub client_logins: u64,
}

impl Stats {
    /// What a pool has counted so far: the same numbers that `/metrics` exports. Logins are no pool's.
    pub fn of(pool: &PoolMetrics) -> Self {
        Self {
            server_assignments: pool.assignments.value(),
            transactions: pool.transaction_time.count(),
            queries: pool.query_time.count(),
            received_bytes: pool.received_bytes.value(),
            sent_bytes: pool.sent_bytes.value(),
            transaction_us: pool.transaction_time.sum_us(),
            query_us: pool.query_time.sum_us(),
            wait_us: pool.wait_time.sum_us(),
            client_parses: pool.client_parses.value(),
            server_parses: pool.server_parses.value(),
            binds: pool.binds.value(),
            client_logins: 0,
        }
    }

    /// The figures in the order of all the SHOWs, but the logins, which stand behind all.
    pub(super) fn values(&self) -> [u64; 11] {
        [
            self.server_assignments,
            self.transactions,
            self.queries,
            self.received_bytes,
            self.sent_bytes,
            self.transaction_us,
            self.query_us,
            self.wait_us,
            self.client_parses,
            self.server_parses,
            self.binds,
        ]
    }
}

impl AddAssign for Stats {
    fn add_assign(&mut self, other: Self) {
        self.server_assignments += other.server_assignments;
        self.transactions += other.transactions;
        self.queries += other.queries;
        self.received_bytes += other.received_bytes;
        self.sent_bytes += other.sent_bytes;
        self.transaction_us += other.transaction_us;
        self.query_us += other.query_us;
        self.wait_us += other.wait_us;
        self.client_parses += other.client_parses;
        self.server_parses += other.server_parses;
        self.binds += other.binds;
        self.client_logins += other.client_logins;
    }
}

/// Two readings of the totals and the time between them, from which averages come.
///
/// pgbouncer keeps two marks that move every stats_period, and reckons from the older one until
/// now: an average covers between one and two periods, so there is never a moment without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// The totals at its beginning.
    pub previous: Stats,
    /// The totals at its end.
    pub current: Stats,
    /// The time between.
    pub elapsed: Duration,
}

impl Period {
    /// Counts and bytes per second; time per transaction, query and assignment. What did not
    /// happen, or had no time to, is 0.
    pub fn averages(&self) -> Stats {
        // A total falls when a pool was removed: nothing sensible can be said then but 0.
        let grown =
            |field: fn(&Stats) -> u64| field(&self.current).saturating_sub(field(&self.previous));
        let rate = |field: fn(&Stats) -> u64| {
            // 128 bits: a petabyte times a million is beyond 64.
            let per_second = (u128::from(grown(field)) * 1_000_000)
                .checked_div(self.elapsed.as_micros())
                .unwrap_or(0);
            u64::try_from(per_second).unwrap_or(u64::MAX)
        };
        let each = |time: fn(&Stats) -> u64, count: fn(&Stats) -> u64| {
            // Without any time gone by nothing is averaged at all.
            if self.elapsed.is_zero() {
                0
            } else {
                grown(time).checked_div(grown(count)).unwrap_or(0)
            }
        };
        Stats {
            server_assignments: rate(|stats| stats.server_assignments),
            transactions: rate(|stats| stats.transactions),
            queries: rate(|stats| stats.queries),
            received_bytes: rate(|stats| stats.received_bytes),
            sent_bytes: rate(|stats| stats.sent_bytes),
            transaction_us: each(|stats| stats.transaction_us, |stats| stats.transactions),
            query_us: each(|stats| stats.query_us, |stats| stats.queries),
            wait_us: each(|stats| stats.wait_us, |stats| stats.server_assignments),
            client_parses: rate(|stats| stats.client_parses),
            server_parses: rate(|stats| stats.server_parses),
            binds: rate(|stats| stats.binds),
            client_logins: rate(|stats| stats.client_logins),
        }
    }
}

/// A database's figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatsRow {
    /// The entry of `[databases]`.
    pub database: String,
    /// Since the start; averages reach from `previous` to it.
    pub period: Period,
}

const COLUMNS: &[Column] = &[
    ("database", ColumnType::Text),
    ("total_server_assignment_count", ColumnType::Numeric),
    ("total_xact_count", ColumnType::Numeric),
    ("total_query_count", ColumnType::Numeric),
    ("total_received", ColumnType::Numeric),
    ("total_sent", ColumnType::Numeric),
    ("total_xact_time", ColumnType::Numeric),
    ("total_query_time", ColumnType::Numeric),
    ("total_wait_time", ColumnType::Numeric),
    ("total_client_parse_count", ColumnType::Numeric),
    ("total_server_parse_count", ColumnType::Numeric),
    ("total_bind_count", ColumnType::Numeric),
    ("avg_server_assignment_count", ColumnType::Numeric),
    ("avg_xact_count", ColumnType::Numeric),
    ("avg_query_count", ColumnType::Numeric),
    ("avg_recv", ColumnType::Numeric),
    ("avg_sent", ColumnType::Numeric),
    ("avg_xact_time", ColumnType::Numeric),
    ("avg_query_time", ColumnType::Numeric),
    ("avg_wait_time", ColumnType::Numeric),
    ("avg_client_parse_count", ColumnType::Numeric),
    ("avg_server_parse_count", ColumnType::Numeric),
    ("avg_bind_count", ColumnType::Numeric),
    ("total_client_login_count", ColumnType::Numeric),
    ("avg_client_login_count", ColumnType::Numeric),
];

/// The table.
pub fn table(rows: Vec<StatsRow>) -> Table {
    let rows = rows.into_iter().map(|row| {
        let figures = [row.period.current, row.period.averages()];
        let logins = figures.map(|stats| stats.client_logins);
        named(row.database, figures.iter().flat_map(Stats::values).chain(logins))
    });
    Table::new(COLUMNS, rows)
}

/// A row of a database's name and figures.
pub(super) fn named(database: String, figures: impl IntoIterator<Item = u64>) -> Vec<Value> {
    [database.into()].into_iter().chain(figures.into_iter().map(Value::Numeric)).collect()
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// Each figure its own: 1 to 11 at first, 1000 times as much two seconds later.
    pub(in super::super) fn example() -> StatsRow {
        let times = |n| Stats {
            server_assignments: n,
            transactions: 2 * n,
            queries: 3 * n,
            received_bytes: 4 * n,
            sent_bytes: 5 * n,
            transaction_us: 60 * n,
            query_us: 70 * n,
            wait_us: 80 * n,
            client_parses: 9 * n,
            server_parses: 10 * n,
            binds: 11 * n,
            client_logins: 12 * n,
        };
        let elapsed = Duration::from_secs(2);
        let period = Period { previous: times(1), current: times(1001), elapsed };
        StatsRow { database: "app".to_owned(), period }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_columns, assert_row};
    use super::testing::example;
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn columns_and_values_are_pgbouncers() {
        let table = table(vec![example()]);
        assert_columns(
            &table,
            "database t, total_server_assignment_count N, total_xact_count N, total_query_count N, \
             total_received N, total_sent N, total_xact_time N, total_query_time N, \
             total_wait_time N, total_client_parse_count N, total_server_parse_count N, \
             total_bind_count N, avg_server_assignment_count N, avg_xact_count N, \
             avg_query_count N, avg_recv N, avg_sent N, avg_xact_time N, avg_query_time N, \
             avg_wait_time N, avg_client_parse_count N, avg_server_parse_count N, avg_bind_count N, \
             total_client_login_count N, avg_client_login_count N",
        );
        assert_row(
            &table,
            0,
            &[
                "database=app",
                "total_server_assignment_count=1001",
                "total_xact_count=2002",
                "total_query_count=3003",
                "total_received=4004",
                "total_sent=5005",
                "total_xact_time=60060",
                "total_query_time=70070",
                "total_wait_time=80080",
                "total_client_parse_count=9009",
                "total_server_parse_count=10010",
                "total_bind_count=11011",
                "avg_server_assignment_count=500",
                "avg_xact_count=1000",
                "avg_query_count=1500",
                "avg_recv=2000",
                "avg_sent=2500",
                "avg_xact_time=30",
                "avg_query_time=23",
                "avg_wait_time=80",
                "avg_client_parse_count=4500",
                "avg_server_parse_count=5000",
                "avg_bind_count=5500",
                "total_client_login_count=12012",
                "avg_client_login_count=6000",
            ],
        );
    }

    #[test]
    fn nothing_is_averaged_without_time_or_events_or_after_a_pool_was_removed() {
        let StatsRow { period, .. } = example();
        let zero = Stats::default();
        assert_eq!(Period { elapsed: Duration::ZERO, ..period }.averages(), zero);
        assert_eq!(Period { current: period.previous, ..period }.averages(), zero);
        assert_eq!(Period { current: zero, ..period }.averages(), zero);
    }

    #[test]
    fn a_rate_of_petabytes_does_not_overflow() {
        let sent_bytes = 1 << 60;
        let current = Stats { sent_bytes, ..Stats::default() };
        let elapsed = Duration::from_secs(2);
        let period = Period { previous: Stats::default(), current, elapsed };
        assert_eq!(period.averages().sent_bytes, sent_bytes / 2);
    }

    #[test]
    fn the_totals_are_what_the_pool_counted() {
        let pool = Metrics::new("1.0").pool("app", "alice", "pg1:5432");
        pool.assignments.increment(1);
        pool.transaction_time.record(Duration::from_micros(600));
        pool.query_time.record(Duration::from_micros(300));
        pool.query_time.record(Duration::from_micros(200));
        pool.wait_ended(Duration::from_micros(40));
        pool.received_bytes.increment(5);
        pool.sent_bytes.increment(6);
        pool.client_parses.increment(7);
        pool.server_parses.increment(8);
        pool.binds.increment(9);
        let mut sum = Stats::of(&pool);
        assert_eq!(sum.values(), [1, 1, 2, 5, 6, 600, 500, 40, 7, 8, 9]);
        sum += Stats::of(&pool);
        assert_eq!(sum.values(), [2, 2, 4, 10, 12, 1200, 1000, 80, 14, 16, 18]);
    }
}
