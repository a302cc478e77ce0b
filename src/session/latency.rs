//! Times in buckets that grow with them: two for each doubling, so that what is read is off by a quarter at most.
//!
//! Finer than the histograms of `/metrics`, whose buckets are few because each is a series.

use std::sync::atomic::{AtomicU64, Ordering};

/// Up to 2^32 microseconds, 71 minutes; what took longer counts as that.
const BUCKETS: usize = 64;

/// How many calls took how long.
#[derive(Debug)]
pub(super) struct Latency([AtomicU64; BUCKETS]);

impl Default for Latency {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; BUCKETS])
    }
}

impl Latency {
    /// One took so long, microseconds.
    pub(super) fn record(&self, us: u64) {
        if let Some(bucket) = self.0.get(bucket_of(us)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn clear(&self) {
        self.0.iter().for_each(|bucket| bucket.store(0, Ordering::Relaxed));
    }

    /// What so many of a hundred did not exceed, microseconds; 0 if there were none.
    pub(super) fn percentiles<const N: usize>(&self, wanted: [u64; N]) -> [u64; N] {
        let counts = self.0.each_ref().map(|bucket| bucket.load(Ordering::Relaxed));
        let total: u64 = counts.iter().sum();
        wanted.map(|percent| {
            let rank = (total * percent).div_ceil(100).max(1);
            let mut before = 0;
            for (bucket, count) in counts.iter().enumerate() {
                if before + count >= rank {
                    // As if they were spread evenly.
                    let (from, to) = (begin_of(bucket), begin_of(bucket + 1) - 1);
                    return from + (to - from) * (rank - before) / count;
                }
                before += count;
            }
            0
        })
    }
}

/// 0, 1, 2, 3, 4 and 5, 6 and 7, 8 to 11, 12 to 15 …
fn bucket_of(us: u64) -> usize {
    let us = us.min(u32::MAX.into());
    match us.checked_ilog2() {
        Some(octave @ 1..) => octave as usize * 2 + (us >> (octave - 1) & 1) as usize,
        _ => us as usize,
    }
}

fn begin_of(bucket: usize) -> u64 {
    match bucket / 2 {
        0 => bucket as u64,
        octave => (2 + (bucket % 2) as u64) << (octave - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_without_a_gap() {
        for bucket in 0..BUCKETS {
            assert_eq!(bucket_of(begin_of(bucket)), bucket);
            assert_eq!(bucket_of(begin_of(bucket + 1) - 1), bucket);
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_right_to_a_quarter() {
        let latency = Latency::default();
        assert_eq!(latency.percentiles([50, 99]), [0, 0]);
        for us in 1..=10_000 {
            latency.record(us);
        }
        for (percent, exact) in [50, 90, 99].into_iter().zip([5000, 9000, 9900]) {
            let [found] = latency.percentiles([percent]);
            assert!(found.abs_diff(exact) * 4 <= exact, "{percent}: {found}");
        }
        latency.clear();
        (0..99).for_each(|_| latency.record(0));
        latency.record(5_000_000);
        let [half, most, all] = latency.percentiles([50, 99, 100]);
        assert_eq!((half, most), (0, 0));
        assert!((4_000_000..6_300_000).contains(&all), "{all}");
    }
}
