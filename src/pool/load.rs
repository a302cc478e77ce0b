//! How busy a pool is, for whoever chooses among several: read without a lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::Pool;
use crate::routing::balance::ALL_FAIL;

/// See the module's words.
#[derive(Debug)]
pub struct PoolLoad {
    outstanding: AtomicU32,
    /// How many it can run at a time; 0: no limit.
    size: AtomicU32,
    /// The average latency in microseconds, and above it when that was, in milliseconds since `born`.
    latency: AtomicU64,
    /// The share of failures, of [`SCALE`], and above it when that was, as in `latency`; 0: none for long.
    failing: AtomicU64,
    /// How many answers there were then.
    answers: AtomicU64,
    born: Instant,
}

impl PoolLoad {
    pub(super) fn new(born: Instant) -> Self {
        let (outstanding, size) = (AtomicU32::new(0), AtomicU32::new(0));
        let (latency, failing) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { outstanding, size, latency, failing, answers: AtomicU64::new(0), born }
    }

    /// Transactions that run on it or wait for it, as far as they are counted ([`Outstanding`]).
    pub fn outstanding(&self) -> u32 {
        self.outstanding.load(Ordering::Relaxed)
    }

    /// How many it can run at a time; 0: no limit.
    pub fn size(&self) -> u32 {
        self.size.load(Ordering::Relaxed)
    }

    pub(super) fn set_size(&self, size: Option<u32>) {
        self.size.store(size.unwrap_or(0), Ordering::Relaxed);
    }

    /// The average time of a query, microseconds.
    pub fn latency(&self, now: Instant) -> u32 {
        let (average, since) = self.read(now);
        faded(average, since, HALF_LIFE)
    }

    /// A query took so long. Two at the same time may count as one.
    pub fn answered(&self, took: Duration, now: Instant) {
        let (average, since) = self.read(now);
        let sample = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        let average = self::average(average, since, sample);
        let word = self.millis(now) << 32 | u64::from(average);
        self.latency.store(word, Ordering::Relaxed);
    }

    /// How much of what it answers of late are failures, of [`ALL_FAIL`]. `answers`: how many there have been, asked for
    /// only if there were failures.
    pub fn failing(&self, answers: impl FnOnce() -> u64, now: Instant) -> u32 {
        let share = self.failing_still(now);
        if share == 0 {
            return 0;
        }
        let share = self.less_answers(share, answers());
        if share == 0 {
            // Nobody is to count its answers any more.
            self.failing.store(0, Ordering::Relaxed);
        }
        share * ALL_FAIL / SCALE
    }

    /// It has failed, which raises that share a quarter of the way to all. Two at the same time may count as one.
    pub fn failed(&self, answers: u64, now: Instant) {
        let share = self.less_answers(self.failing_still(now), answers);
        let word = self.millis(now) << 32 | u64::from(share + (SCALE - share) / 4);
        self.failing.store(word, Ordering::Relaxed);
        self.answers.store(answers, Ordering::Relaxed);
    }

    /// Its host has come back: what it did before counts no more.
    pub(super) fn forgive(&self) {
        self.failing.store(0, Ordering::Relaxed);
    }

    /// What time has left of the share of failures: who is hardly asked must come back as well.
    fn failing_still(&self, now: Instant) -> u32 {
        let word = self.failing.load(Ordering::Relaxed);
        if word == 0 {
            return 0;
        }
        let since = self.millis(now).saturating_sub(word >> 32);
        faded((word & 0xFFFF_FFFF) as u32, since, FORGIVEN_AFTER)
    }

    /// What the answers since the last failure leave of it.
    fn less_answers(&self, share: u32, answers: u64) -> u32 {
        let since = answers.saturating_sub(self.answers.load(Ordering::Relaxed));
        faded(share, since, FORGIVEN_BY)
    }

    /// The average, and how long ago it was made, milliseconds.
    fn read(&self, now: Instant) -> (u32, u64) {
        let word = self.latency.load(Ordering::Relaxed);
        let since = (self.millis(now)).saturating_sub(word >> 32);
        ((word & 0xFFFF_FFFF) as u32, since)
    }

    /// 49 days in 32 bits; then averages start anew.
    fn millis(&self, now: Instant) -> u64 {
        let millis = now.saturating_duration_since(self.born).as_millis();
        (millis & 0xFFFF_FFFF) as u64
    }
}

/// A transaction that runs on a pool or waits for it, counted for as long as this lives.
#[derive(Debug)]
pub struct Outstanding(Arc<Pool>);

impl Outstanding {
    /// It begins.
    pub fn on(pool: &Arc<Pool>) -> Self {
        pool.load().outstanding.fetch_add(1, Ordering::Relaxed);
        Self(pool.clone())
    }
}

impl Drop for Outstanding {
    fn drop(&mut self) {
        self.0.load().outstanding.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The average after one more sample, microseconds. It rises half way to a higher one at once, and falls by half in
/// [`HALF_LIFE`] milliseconds.
fn average(old: u32, since_ms: u64, sample: u32) -> u32 {
    let old = faded(old, since_ms, HALF_LIFE);
    if sample >= old {
        return old + (sample - old) / 2;
    }
    // Falls no faster than with time, and not below what was measured.
    old.max(sample)
}

/// What is left of an average since then, if it falls by half in so much.
fn faded(average: u32, since: u64, half_life: u64) -> u32 {
    let halves = u32::try_from(since / half_life).unwrap_or(u32::MAX);
    let within = (since % half_life) as u32;
    let halved = average.checked_shr(halves).unwrap_or(0);
    // Straight between two halvings.
    halved - (u64::from(halved / 2) * u64::from(within) / half_life) as u32
}

/// Milliseconds in which an average falls by half.
const HALF_LIFE: u64 = 4000;

/// A share of failures while it is averaged: finer than it is told.
const SCALE: u32 = 1 << 16;

/// Milliseconds in which a share of failures falls by half.
const FORGIVEN_AFTER: u64 = 10_000;

/// Answers with which it falls by half. A transaction that fails has up to three.
const FORGIVEN_BY: u64 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_average_rises_at_once_and_falls_with_time() {
        assert_eq!(average(1000, 0, 9000), 5000);
        assert_eq!(average(5000, 0, 1000), 5000);
        assert_eq!(average(5000, HALF_LIFE, 1000), 2500);
        assert_eq!(average(5000, 100 * HALF_LIFE, 1000), 500, "as from nothing");
        assert_eq!(faded(4000, HALF_LIFE / 2, HALF_LIFE), 3000);
        assert_eq!(faded(u32::MAX, u64::MAX, HALF_LIFE), 0);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test's story begins at any moment")]
    fn a_few_failures_in_a_row_are_a_large_share_and_answers_or_time_take_it_away() {
        let born = Instant::now();
        let load = PoolLoad::new(born);
        let share = |answers, now| load.failing(|| answers, now);
        assert_eq!(load.failing(|| unreachable!("nothing has failed"), born), 0);
        // Transactions of three answers, one of them an error.
        for failure in 1..=4 {
            load.failed(3 * failure, born);
        }
        let failing = share(12, born);
        assert!(failing > ALL_FAIL / 2, "{failing}");
        assert!((failing / 2).abs_diff(share(12 + 16, born)) <= 1);
        assert!((failing / 2).abs_diff(share(12, born + Duration::from_secs(10))) <= 1);
        assert_eq!(share(12 + 200, born), 0);
        assert_eq!(share(12, born + Duration::from_secs(200)), 0);
        // One in a hundred is no large share, however many they are.
        for failure in 1..=1000 {
            load.failed(12 + 100 * failure, born);
        }
        let failing = share(12 + 100_000, born);
        assert!(failing < ALL_FAIL / 3, "{failing}");
        // Nothing but failures, of connections that are not even opened.
        (0..50).for_each(|_| load.failed(200_000, born));
        assert!(share(200_000, born) >= ALL_FAIL - 1);
    }
}
