//! Durations counted by bucket, cheaply enough for every query.
//!
//! The exporter's own histogram keeps each sample with the time of its arrival in an allocated
//! list until the next scrape. That would cost an allocation and a clock read on the hot path and
//! memory in proportion to the load. A [`Timing`] is a fixed row of integers instead: recording is
//! a search among a few bounds and two relaxed additions, and it can be read at any time.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::names::Metric;

/// Upper bounds of the buckets in microseconds: 100 µs (a query over loopback takes about as long)
/// to 60 s (beyond it only timeouts matter), three to a decade. A further bucket takes the rest.
pub const BOUNDS_US: [u64; 18] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

/// The buckets of [`BOUNDS_US`] and the one without a bound.
const BUCKETS: usize = BOUNDS_US.len() + 1;

/// A histogram of durations that any number of threads add to.
#[derive(Debug, Default)]
pub struct Timing {
    buckets: [AtomicU64; BUCKETS],
    /// Microseconds, because a `u64` of nanoseconds would overflow within weeks of ten thousand
    /// transactions lying open.
    sum_us: AtomicU64,
}

impl Timing {
    /// Counts one duration.
    pub fn record(&self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let index = BOUNDS_US.partition_point(|bound| *bound < us);
        if let Some(bucket) = self.buckets.get(index) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// How many durations fell into each bucket of [`BOUNDS_US`], and behind them how many were longer.
    pub fn buckets(&self) -> [u64; BUCKETS] {
        self.read().buckets
    }

    /// How many durations were recorded.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }

    /// The sum of all durations in microseconds, the unit of SHOW STATS.
    pub fn sum_us(&self) -> u64 {
        self.sum_us.load(Ordering::Relaxed)
    }

    fn read(&self) -> Reading {
        let mut reading = Reading { sum_us: self.sum_us(), ..Reading::default() };
        for (to, from) in reading.buckets.iter_mut().zip(&self.buckets) {
            *to = from.load(Ordering::Relaxed);
        }
        reading
    }
}

/// The numbers of a timing at one moment.
#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    buckets: [u64; BUCKETS],
    sum_us: u64,
}

impl Reading {
    fn add(&mut self, other: &Self) {
        for (to, from) in self.buckets.iter_mut().zip(&other.buckets) {
            *to += from;
        }
        self.sum_us += other.sum_us;
    }
}

/// All timings by metric and label values, to be rendered.
#[derive(Debug, Default)]
pub(super) struct Timings {
    families: Mutex<BTreeMap<&'static str, Family>>,
}

#[derive(Debug)]
struct Family {
    metric: Metric,
    series: BTreeMap<Vec<String>, Series>,
}

/// One set of label values. Several owners may count for it (one per worker, or a pool that went
/// and came back): their numbers are added.
#[derive(Debug, Default)]
struct Series {
    owned: Vec<Arc<Timing>>,
    /// What the owners that are gone had counted: a histogram never goes back.
    retired: Reading,
    /// Nobody owned it the last time it was rendered; the next time it is forgotten.
    ownerless: bool,
}

impl Series {
    fn read(&mut self) -> Reading {
        let mut sum = self.retired;
        let retired = &mut self.retired;
        self.owned.retain(|timing| {
            let reading = timing.read();
            sum.add(&reading);
            // The registry's own reference is the last one, and nobody can get another.
            let gone = Arc::strong_count(timing) == 1;
            if gone {
                // Read again, after all the owner did: it may have recorded until its end.
                fence(Ordering::Acquire);
                let last = timing.read();
                retired.add(&last);
            }
            !gone
        });
        sum
    }
}

impl Timings {
    /// A new timing that is rendered under this metric and these label values.
    pub(super) fn register(&self, metric: &Metric, values: &[&str]) -> Arc<Timing> {
        let timing = Arc::new(Timing::default());
        let mut families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        let family = families
            .entry(metric.name)
            .or_insert_with(|| Family { metric: *metric, series: BTreeMap::new() });
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        let series = family.series.entry(values).or_default();
        series.ownerless = false;
        series.owned.push(Arc::clone(&timing));
        timing
    }

    /// Appends all series in the Prometheus text format, and forgets those that nobody has owned
    /// since the last rendering: their final numbers have been shown once.
    pub(super) fn render(&self, out: &mut String) {
        let mut families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        for family in families.values_mut() {
            family.series.retain(|_, series| !(series.ownerless && series.owned.is_empty()));
            if family.series.is_empty() {
                continue;
            }
            let Metric { name, help, labels: label_names, .. } = family.metric;
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} histogram");
            for (values, series) in &mut family.series {
                let reading = series.read();
                series.ownerless = series.owned.is_empty();
                write_series(out, name, &label_text(label_names, values), &reading);
            }
            out.push('\n');
        }
    }
}

fn write_series(out: &mut String, name: &str, labels: &str, reading: &Reading) {
    let comma = if labels.is_empty() { "" } else { "," };
    let mut count = 0;
    let bounds = BOUNDS_US.iter().map(Some).chain([None]);
    for (bucket, bound) in reading.buckets.iter().zip(bounds) {
        count += bucket;
        // Writing to a String cannot fail.
        let _ = match bound {
            Some(us) => writeln!(
                out,
                "{name}_bucket{{{labels}{comma}le=\"{}\"}} {count}",
                Duration::from_micros(*us).as_secs_f64()
            ),
            None => writeln!(out, "{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {count}"),
        };
    }
    let sum = Duration::from_micros(reading.sum_us).as_secs_f64();
    let braced = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
    let _ = writeln!(out, "{name}_sum{braced} {sum}\n{name}_count{braced} {count}");
}

fn label_text(names: &[&str], values: &[String]) -> String {
    let mut text = String::new();
    for (name, value) in names.iter().zip(values) {
        if !text.is_empty() {
            text.push(',');
        }
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = write!(text, "{name}=\"{value}\"");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::names;
    use super::*;

    const LABELS: [&str; 3] = ["app", "alice", "pg1:5432"];

    fn rendered(timings: &Timings) -> String {
        let mut out = String::new();
        timings.render(&mut out);
        out
    }

    #[test]
    fn a_duration_counts_in_the_bucket_that_holds_it_and_in_all_above() {
        let timings = Timings::default();
        let timing = timings.register(&names::POOL_WAIT_SECONDS, &LABELS);
        timing.record(Duration::from_micros(250)); // a bound belongs to its bucket
        timing.record(Duration::from_micros(251));
        timing.record(Duration::from_secs(3600));
        assert_eq!((timing.count(), timing.sum_us()), (3, 3_600_000_501));

        let text = rendered(&timings);
        let labels = r#"database="app",user="alice",host="pg1:5432""#;
        for (le, count) in
            [("0.0001", 0), ("0.00025", 1), ("0.0005", 2), ("1", 2), ("60", 2), ("+Inf", 3)]
        {
            let line = format!("pgweir_pool_wait_seconds_bucket{{{labels},le=\"{le}\"}} {count}\n");
            assert!(text.contains(&line), "{line} in\n{text}");
        }
        assert!(text.contains(&format!("pgweir_pool_wait_seconds_sum{{{labels}}} 3600.000501\n")));
        assert!(text.contains(&format!("pgweir_pool_wait_seconds_count{{{labels}}} 3\n")));
        assert!(text.starts_with("# HELP pgweir_pool_wait_seconds Time a client spent"));
        assert!(text.contains("\n# TYPE pgweir_pool_wait_seconds histogram\n"));
    }

    #[test]
    fn the_owners_of_a_series_are_added_up_and_its_past_is_kept() {
        let timings = Timings::default();
        let first = timings.register(&names::POOL_WAIT_SECONDS, &LABELS);
        let second = timings.register(&names::POOL_WAIT_SECONDS, &LABELS);
        first.record(Duration::from_millis(1));
        second.record(Duration::from_millis(2));
        drop(first);
        for _ in 0..3 {
            let text = rendered(&timings);
            assert!(text.contains("_count{database=\"app\",user=\"alice\",host=\"pg1:5432\"} 2\n"));
            assert!(
                text.contains("_sum{database=\"app\",user=\"alice\",host=\"pg1:5432\"} 0.003\n")
            );
        }
    }

    #[test]
    fn a_series_without_an_owner_is_shown_once_more_and_then_forgotten() {
        let timings = Timings::default();
        let timing = timings.register(&names::POOL_WAIT_SECONDS, &LABELS);
        timing.record(Duration::from_millis(1));
        drop(timing);
        assert!(rendered(&timings).contains("_count{database=\"app\""));
        assert_eq!(rendered(&timings), "");
    }

    #[test]
    fn label_values_are_escaped() {
        let text = label_text(&["database"], &["a\\b\"c\nd".to_owned()]);
        assert_eq!(text, r#"database="a\\b\"c\nd""#);
    }
}
