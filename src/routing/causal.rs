//! Reading one's own writes (`causal_reads = session`): which replicas have what a client has written. PURE.
//!
//! It costs no question on the client's way. The monitor samples the primary's position anyway: the first sample that it
//! *asked for* after the client's commit is at or beyond that. A replica on the same timeline that has replayed up to it
//! has what the client wrote. Until there is such a sample, and such a replica, the primary serves.
//!
//! Positions are compared on one timeline only. After a failover an old one means nothing; the first sample of the new
//! primary is beyond all that it has of the old one's.

use std::time::Instant;

/// Where a primary was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When the monitor asked: what was committed before is in it.
    pub asked: Instant,
    /// On which timeline.
    pub timeline: u32,
    /// Where WAL would go next.
    pub lsn: u64,
}

/// What a client needs to see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// When its last write was known to be done.
    wrote: Option<Instant>,
    /// A position at or beyond it.
    position: Option<(u32, u64)>,
}

impl Need {
    /// It has written, or may have.
    pub fn wrote(&mut self, now: Instant) {
        *self = Self { wrote: Some(now), position: None };
    }

    /// Takes in where the primary was last.
    pub fn learn(&mut self, sample: Option<Sample>) {
        let (Some(wrote), Some(sample)) = (self.wrote, sample) else { return };
        let known = self.position.is_some_and(|(timeline, _)| timeline == sample.timeline);
        if !known {
            let beyond = sample.asked > wrote;
            self.position = beyond.then_some((sample.timeline, sample.lsn));
        }
    }

    /// Whether a replica that follows this timeline and has replayed so far has it all.
    pub fn is_met(&self, timeline: Option<u32>, replayed: Option<u64>) -> bool {
        if self.wrote.is_none() {
            return true;
        }
        match (self.position, timeline, replayed) {
            (Some((needed, lsn)), Some(timeline), Some(replayed)) => {
                timeline == needed && replayed >= lsn
            }
            _ => false,
        }
    }

    /// The position it waits for, if that is known.
    pub fn position(&self) -> Option<u64> {
        self.position.map(|(_, lsn)| lsn)
    }

    /// Whether anything is needed at all.
    pub fn is_some(&self) -> bool {
        self.wrote.is_some()
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test's story begins at any moment")]
mod tests {
    use super::*;
    use std::time::Duration;

    fn sample(asked: Instant, timeline: u32, lsn: u64) -> Option<Sample> {
        Some(Sample { asked, timeline, lsn })
    }

    #[test]
    fn who_has_written_nothing_reads_anywhere() {
        let mut need = Need::default();
        need.learn(sample(Instant::now(), 1, 100));
        assert!(need.is_met(None, None));
    }

    #[test]
    fn only_a_sample_that_was_asked_for_after_the_write_counts_and_the_first_one_does() {
        let now = Instant::now();
        let later = |ms| now + Duration::from_millis(ms);
        let mut need = Need::default();
        need.wrote(later(10));
        need.learn(sample(later(10), 1, 500));
        assert!(!need.is_met(Some(1), Some(u64::MAX)), "it may have been asked before the commit");
        need.learn(sample(later(20), 1, 600));
        assert!(!need.is_met(Some(1), Some(599)));
        need.learn(sample(later(30), 1, 900));
        assert!(need.is_met(Some(1), Some(600)));
        need.wrote(later(40));
        assert!(!need.is_met(Some(1), Some(u64::MAX)), "the next write begins anew");
    }

    #[test]
    fn positions_are_compared_on_one_timeline_only() {
        let now = Instant::now();
        let mut need = Need::default();
        need.wrote(now);
        need.learn(sample(now + Duration::from_millis(1), 1, 600));
        assert!(!need.is_met(Some(2), Some(u64::MAX)));
        assert!(!need.is_met(None, Some(u64::MAX)), "a replica that does not tell its timeline");
        need.learn(sample(now + Duration::from_millis(2), 2, 300));
        assert!(need.is_met(Some(2), Some(300)));
        assert!(!need.is_met(Some(1), Some(u64::MAX)), "left behind");
    }
}
