//! Marks in time, from which SHOW STATS reckons its averages.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::show::stats::{Period, Stats};
use crate::worker::service::Services;

/// Totals per database at one moment.
#[derive(Clone, Debug)]
struct Mark {
    at: Instant,
    totals: BTreeMap<String, Stats>,
}

/// Two marks that move every `stats_period`, as pgbouncer keeps them: averages reach from the older one until now.
#[derive(Debug)]
pub struct Marks {
    marks: Mutex<(Mark, Mark)>,
    /// Commands that the console was given: pgbouncer counts them as transactions of the database `pgbouncer`.
    commands: AtomicU64,
}

/// The totals of each database that is in use.
fn totals(services: &Services) -> BTreeMap<String, Stats> {
    let mut totals: BTreeMap<String, Stats> = BTreeMap::new();
    for pool in services.pools() {
        *totals.entry(pool.name().database.clone()).or_default() += Stats::of(pool.metrics());
    }
    for service in services.all() {
        totals.entry(service.database.clone()).or_default().client_logins += service.logins();
    }
    totals
}

impl Marks {
    /// Both at the beginning.
    pub fn new(now: Instant) -> Self {
        let mark = Mark { at: now, totals: BTreeMap::new() };
        Self { marks: Mutex::new((mark.clone(), mark)), commands: AtomicU64::new(0) }
    }

    /// The console was given a command.
    pub fn command(&self) {
        self.commands.fetch_add(1, Ordering::Relaxed);
    }

    fn totals(&self, services: &Services) -> BTreeMap<String, Stats> {
        let mut totals = totals(services);
        let commands = self.commands.load(Ordering::Relaxed);
        if commands > 0 {
            let of_console =
                Stats { transactions: commands, queries: commands, ..Stats::default() };
            totals.insert("pgbouncer".to_owned(), of_console);
        }
        totals
    }

    /// A `stats_period` is over: the newer mark becomes the older one. What the period was like, over all databases.
    pub fn advance(&self, services: &Services, now: Instant) -> Period {
        let totals = self.totals(services);
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = |totals: &BTreeMap<String, Stats>| {
            let mut all = Stats::default();
            totals.values().for_each(|stats| all += *stats);
            all
        };
        let elapsed = now.saturating_duration_since(marks.1.at);
        let period = Period { previous: sum(&marks.1.totals), current: sum(&totals), elapsed };
        marks.0 = std::mem::replace(&mut marks.1, Mark { at: now, totals });
        period
    }

    /// From the older mark until now, for each database.
    pub fn periods(&self, services: &Services, now: Instant) -> Vec<(String, Period)> {
        let totals = self.totals(services);
        let marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = now.saturating_duration_since(marks.0.at);
        totals
            .into_iter()
            .map(|(database, current)| {
                let previous = marks.0.totals.get(&database).copied().unwrap_or_default();
                (database, Period { previous, current, elapsed })
            })
            .collect()
    }
}
