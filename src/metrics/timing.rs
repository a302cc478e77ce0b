//! Durations counted by bucket, cheaply enough for every query.
//!
//! A [`Timing`] is a fixed row of integers: recording is a search among a few bounds and two relaxed additions, and it
//! can be read at any time.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use metrics::HistogramFn;

/// Upper bounds of the buckets in microseconds: 100 µs (a query over loopback takes about as long)
/// to 60 s (beyond it only timeouts matter), three to a decade. A further bucket takes the rest.
pub const BOUNDS_US: [u64; 18] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

/// The same in seconds, and that of the rest, as they are shown.
const BOUNDS: [&str; BUCKETS] = [
    "0.0001", "0.00025", "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1",
    "0.25", "0.5", "1", "2.5", "5", "10", "30", "60", "+Inf",
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

    pub(super) fn read(&self) -> Reading {
        let mut reading = Reading { sum_us: self.sum_us(), buckets: [0; BUCKETS] };
        for (to, from) in reading.buckets.iter_mut().zip(&self.buckets) {
            *to = from.load(Ordering::Relaxed);
        }
        reading
    }
}

/// Values are seconds, as that crate has them. What is no duration (negative, NaN, infinite) is not counted.
impl HistogramFn for Timing {
    fn record(&self, seconds: f64) {
        if let Ok(duration) = Duration::try_from_secs_f64(seconds) {
            Timing::record(self, duration);
        }
    }
}

/// The numbers of a timing at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    buckets: [u64; BUCKETS],
    sum_us: u64,
}

impl Reading {
    pub(super) fn plus(mut self, other: &Self) -> Self {
        for (to, from) in self.buckets.iter_mut().zip(&other.buckets) {
            *to += from;
        }
        self.sum_us += other.sum_us;
        self
    }

    /// Appends the samples of a histogram.
    pub(super) fn render(&self, out: &mut String, name: &str, labels: &str) {
        let comma = if labels.is_empty() { "" } else { "," };
        let mut count = 0;
        for (bucket, bound) in self.buckets.iter().zip(BOUNDS) {
            count += bucket;
            for part in [name, "_bucket{", labels, comma, "le=\"", bound, "\"} "] {
                out.push_str(part);
            }
            // Writing to a String cannot fail.
            let _ = writeln!(out, "{count}");
        }
        let (open, close) = if labels.is_empty() { ("", "") } else { ("{", "}") };
        let sum = Duration::from_micros(self.sum_us).as_secs_f64();
        let _ = writeln!(out, "{name}_sum{open}{labels}{close} {sum}");
        let _ = writeln!(out, "{name}_count{open}{labels}{close} {count}");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_duration_counts_in_the_bucket_that_holds_it_and_in_all_above() {
        let timing = Timing::default();
        timing.record(Duration::from_micros(250)); // a bound belongs to its bucket
        timing.record(Duration::from_micros(251));
        timing.record(Duration::from_secs(3600));
        assert_eq!((timing.count(), timing.sum_us()), (3, 3_600_000_501));

        let mut text = String::new();
        timing.read().render(&mut text, "wait_seconds", "user=\"alice\"");
        for (le, count) in
            [("0.0001", 0), ("0.00025", 1), ("0.0005", 2), ("1", 2), ("60", 2), ("+Inf", 3)]
        {
            let line = format!("wait_seconds_bucket{{user=\"alice\",le=\"{le}\"}} {count}\n");
            assert!(text.contains(&line), "{line} in\n{text}");
        }
        assert!(text.contains("wait_seconds_sum{user=\"alice\"} 3600.000501\n"));
        assert!(text.contains("wait_seconds_count{user=\"alice\"} 3\n"));
    }

    #[test]
    fn seconds_of_the_facade_are_counted_as_the_same_durations() {
        let timing = Arc::new(Timing::default());
        let facade = metrics::Histogram::from_arc(timing.clone());
        for us in BOUNDS_US {
            facade.record(Duration::from_micros(us));
        }
        for no_duration in [-1.0, f64::NAN, f64::INFINITY] {
            facade.record(no_duration);
        }
        let buckets = timing.buckets();
        let (rest, bounded) = buckets.split_last().expect("it has buckets");
        assert!(bounded.iter().all(|count| *count == 1) && *rest == 0, "{buckets:?}");
        assert_eq!(timing.sum_us(), BOUNDS_US.iter().sum::<u64>());
    }

    #[test]
    fn a_histogram_without_labels_has_but_its_bounds() {
        let mut text = String::new();
        Timing::default().read().render(&mut text, "x", "");
        assert!(text.starts_with("x_bucket{le=\"0.0001\"} 0\n"), "{text}");
        assert!(text.ends_with("x_sum 0\nx_count 0\n"), "{text}");
    }

    #[test]
    fn the_bounds_are_shown_in_seconds() {
        for (us, shown) in BOUNDS_US.iter().zip(BOUNDS) {
            assert_eq!(Duration::from_micros(*us).as_secs_f64().to_string(), shown);
        }
    }
}
