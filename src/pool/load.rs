//! How busy a pool is, for whoever chooses among several: read without a lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::Pool;

/// See the module's words.
#[derive(Debug)]
pub struct PoolLoad {
    outstanding: AtomicU32,
    /// How many it can run at a time; 0: no limit.
    size: AtomicU32,
    /// The average latency in microseconds, and above it when that was, in milliseconds since `born`.
    latency: AtomicU64,
    born: Instant,
}

impl PoolLoad {
    pub(super) fn new(born: Instant) -> Self {
        let (outstanding, size) = (AtomicU32::new(0), AtomicU32::new(0));
        Self { outstanding, size, latency: AtomicU64::new(0), born }
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
        faded(average, since)
    }

    /// A query took so long. Two at the same time may count as one.
    pub fn answered(&self, took: Duration, now: Instant) {
        let (average, since) = self.read(now);
        let sample = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        let average = self::average(average, since, sample);
        let word = self.millis(now) << 32 | u64::from(average);
        self.latency.store(word, Ordering::Relaxed);
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
    let old = faded(old, since_ms);
    if sample >= old {
        return old + (sample - old) / 2;
    }
    // Falls no faster than with time, and not below what was measured.
    old.max(sample)
}

/// What is left of an average after this time, milliseconds.
fn faded(average: u32, since_ms: u64) -> u32 {
    let halves = u32::try_from(since_ms / HALF_LIFE).unwrap_or(u32::MAX);
    let within = (since_ms % HALF_LIFE) as u32;
    let halved = average.checked_shr(halves).unwrap_or(0);
    // Straight between two halvings.
    halved - (u64::from(halved / 2) * u64::from(within) / HALF_LIFE) as u32
}

/// Milliseconds in which an average falls by half.
const HALF_LIFE: u64 = 4000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_average_rises_at_once_and_falls_with_time() {
        assert_eq!(average(1000, 0, 9000), 5000);
        assert_eq!(average(5000, 0, 1000), 5000);
        assert_eq!(average(5000, HALF_LIFE, 1000), 2500);
        assert_eq!(average(5000, 100 * HALF_LIFE, 1000), 500, "as from nothing");
        assert_eq!(faded(4000, HALF_LIFE / 2), 3000);
        assert_eq!(faded(u32::MAX, u64::MAX), 0);
    }
}
