//! How far a replica is behind, from our own samples of where the primary was when. PURE.
//!
//! PostgreSQL's own `now() - pg_last_xact_replay_timestamp()` grows on a primary that has nothing to do, and is
//! measured by two clocks. Our samples are taken by one.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Samples that are kept: at one a second, the last 17 minutes.
const SAMPLES: u32 = 1024;

/// Least time between two samples; while the monitors ask fast the history must not get short.
const SPACING: Duration = Duration::from_millis(100);

/// The primary's position at some moments, oldest first, both rising.
#[derive(Clone, Debug, Default)]
pub(super) struct Positions {
    samples: VecDeque<Sample>,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    /// The first time that it was there.
    since: Instant,
    /// The last time that it was asked and was there: what was committed before is in front of it.
    at: Instant,
    lsn: u64,
}

/// How far behind a position is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lag {
    pub(super) bytes: u64,
    /// `None`: it is older than the oldest sample, which was taken [`Lag::at_least`] ago.
    pub(super) time: Option<Duration>,
    pub(super) at_least: Duration,
    /// What was committed before this moment has been replayed; `None` as [`Lag::time`].
    pub(super) current_at: Option<Instant>,
}

impl Positions {
    /// The primary was at `lsn` when it was asked at this moment. `limit`: the samples must reach back further than that.
    pub(super) fn note(&mut self, at: Instant, lsn: u64, limit: Option<Duration>) {
        let spacing = SPACING.max(limit.unwrap_or_default() * 2 / SAMPLES);
        match self.samples.back_mut() {
            Some(last) if last.lsn == lsn => last.at = last.at.max(at),
            // Answers that overtook each other.
            Some(last) if last.at >= at => {}
            // It has lost what it had not made safe when its system went down.
            Some(last) if last.lsn > lsn => {
                self.clear();
                self.note(at, lsn, limit);
            }
            // The first sample is kept: positions before it cannot be told.
            Some(last) if at.duration_since(last.at) < spacing => {}
            _ => {
                if self.samples.len() == SAMPLES as usize {
                    self.samples.pop_front();
                }
                self.samples.push_back(Sample { since: at, at, lsn });
            }
        }
    }

    /// Another primary: its positions have nothing to do with those of the old one.
    pub(super) fn clear(&mut self) {
        self.samples.clear();
    }

    /// How far `lsn` is behind. `None` before the first sample.
    ///
    /// Counted up to the last sample, not up to now: while there is no primary nobody falls further behind it.
    pub(super) fn lag(&self, lsn: u64) -> Option<Lag> {
        let (oldest, newest) = (self.samples.front()?, self.samples.back()?);
        let reached = self.samples.partition_point(|sample| sample.lsn <= lsn);
        let reached = reached.checked_sub(1).and_then(|index| self.samples.get(index));
        Some(Lag {
            bytes: newest.lsn.saturating_sub(lsn),
            time: reached.map(|sample| newest.at.duration_since(sample.at)),
            at_least: newest.at.duration_since(oldest.since),
            current_at: reached.map(|sample| sample.at),
        })
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test's story begins at any moment")]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn writing_a_hundred_bytes_a_second(start: Instant) -> Positions {
        let mut positions = Positions::default();
        for second in 0..10 {
            positions.note(start + SECOND * second, 1000 + 100 * u64::from(second), None);
        }
        positions
    }

    #[test]
    fn lag_is_counted_from_when_the_primary_was_there() {
        let start = Instant::now();
        let positions = writing_a_hundred_bytes_a_second(start);
        let lag = positions.lag(1450).unwrap();
        assert_eq!(
            (lag.bytes, lag.time),
            (450, Some(SECOND * 5)),
            "it was past 1400 five seconds before the last look"
        );
        assert_eq!(lag.current_at, Some(start + SECOND * 4));
        assert_eq!(positions.lag(1900).unwrap().time, Some(Duration::ZERO));
        let ahead = positions.lag(2000).unwrap();
        assert_eq!((ahead.bytes, ahead.time), (0, Some(Duration::ZERO)));
    }

    #[test]
    fn a_position_older_than_all_samples_is_at_least_as_late_as_they_reach_back() {
        let positions = writing_a_hundred_bytes_a_second(Instant::now());
        let lag = Lag { bytes: 901, time: None, at_least: SECOND * 9, current_at: None };
        assert_eq!(positions.lag(999), Some(lag));
        assert_eq!(Positions::default().lag(999), None);
    }

    #[test]
    fn an_idle_primary_makes_nobody_late() {
        let start = Instant::now();
        let mut positions = writing_a_hundred_bytes_a_second(start);
        positions.note(start + SECOND * 3600, 1900, None);
        positions.note(start + SECOND * 3601, 2000, None);
        assert_eq!(
            positions.lag(1900).unwrap().time,
            Some(SECOND),
            "an hour without WAL is not an hour of lag"
        );
    }

    #[test]
    fn the_history_is_bounded_and_fast_samples_do_not_shorten_it() {
        let start = Instant::now();
        let mut positions = Positions::default();
        for tick in 0..10_000_u32 {
            positions.note(start + Duration::from_millis(50) * tick, u64::from(tick), None);
        }
        assert!(positions.samples.len() == SAMPLES as usize);
        assert!(positions.lag(0).unwrap().at_least >= Duration::from_secs(100));
    }

    #[test]
    fn an_idle_primary_tells_in_the_end_that_who_is_behind_its_first_position_is_too_late() {
        let start = Instant::now();
        let mut positions = Positions::default();
        for second in 0..10 {
            positions.note(start + SECOND * second, 1000, None);
        }
        let lag = positions.lag(999).unwrap();
        assert_eq!((lag.time, lag.at_least), (None, SECOND * 9));
    }

    #[test]
    fn the_history_reaches_back_further_than_the_limit_however_fast_it_is_asked() {
        let (start, limit) = (Instant::now(), SECOND * 3600);
        let mut positions = Positions::default();
        for tick in 0..80_000_u32 {
            positions.note(start + SECOND / 10 * tick, u64::from(tick), Some(limit));
        }
        assert!(positions.lag(0).unwrap().at_least > limit);
    }

    #[test]
    fn a_primary_that_lost_what_was_not_safe_begins_anew() {
        let start = Instant::now();
        let mut positions = writing_a_hundred_bytes_a_second(start);
        positions.note(start + SECOND * 8, 1850, None);
        assert_eq!(positions.lag(1900).unwrap().bytes, 0, "that answer came late");
        positions.note(start + SECOND * 20, 1850, None);
        let lag = positions.lag(1850).unwrap();
        assert_eq!((lag.bytes, lag.current_at), (0, Some(start + SECOND * 20)));
    }
}
