//! Reading what was written (`causal_reads = session`, `pgweir.min_lsn`): which replicas have it. PURE.
//!
//! A client's own writes cost no question on its way. The monitor samples the primary's position anyway: the first sample
//! that it *asked for* after the client's commit is at or beyond that. A replica on the same timeline that has replayed up
//! to it has what the client wrote. Until there is such a sample, and such a replica, the primary serves.
//!
//! What another client wrote is named by a [`Token`]: a position, which an application passes on.
//!
//! Positions are compared on one timeline only. After a failover an old one means nothing; any sample of the new primary
//! is beyond all that it has of the old one's.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

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

/// Where the primary was of late, on one timeline, oldest first. Shared by all who look.
///
/// More than the last: a client looks when it reads next. What it needs is the first sample after its write; by then that may be
/// long past, and a late replica have passed it, which the newest one is far from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Samples(Arc<[Sample]>);

impl Samples {
    /// How many are kept.
    const KEPT: usize = 64;
    /// Least time between two that are kept, but for the last.
    const SPACING: Duration = Duration::from_millis(100);

    /// The newest.
    pub fn last(&self) -> Option<Sample> {
        self.0.last().copied()
    }

    /// The oldest: on another timeline than before, the first that there was as long as all are kept.
    fn first(&self) -> Option<Sample> {
        self.0.first().copied()
    }

    /// One more. On another timeline it is the first of its kind.
    pub fn note(&mut self, sample: Sample) {
        match &*self.0 {
            [.., last] if last.timeline != sample.timeline => self.0 = Arc::new([sample]),
            [.., last] if last.asked >= sample.asked => {}
            [.., before, _] if sample.asked.duration_since(before.asked) < Self::SPACING => {
                let older = self.0.iter().take(self.0.len() - 1);
                self.0 = older.copied().chain([sample]).collect();
            }
            all => {
                let older = all.iter().skip((all.len() + 1).saturating_sub(Self::KEPT));
                self.0 = older.copied().chain([sample]).collect();
            }
        }
    }

    /// The first that was asked for after this moment.
    fn after(&self, moment: Instant) -> Option<Sample> {
        let first = self.0.partition_point(|sample| sample.asked <= moment);
        self.0.get(first).copied()
    }
}

/// A position that one client hands to another: `3/16/B374D848` (timeline, in decimal digits, and the position as
/// PostgreSQL writes it), or without the timeline, as PostgreSQL's functions give it: `16/B374D848`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// The timeline; `None`: that of the primary, whichever it is when a read is placed.
    pub timeline: Option<NonZeroU32>,
    /// The position on it.
    pub lsn: u64,
}

impl Token {
    /// Reads it; `None` if it is none.
    pub fn read(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let (rest, low) = text.rsplit_once('/')?;
        let (timeline, high) = match rest.split_once('/') {
            Some((timeline, high)) => (Some(timeline), high),
            None => (None, rest),
        };
        let timeline = match timeline {
            Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => {
                Some(digits.parse().ok()?)
            }
            Some(_) => return None,
            None => None,
        };
        Some(Self { timeline, lsn: half(high)? << 32 | half(low)? })
    }
}

/// Half of a position: one to eight hexadecimal digits.
fn half(digits: &str) -> Option<u64> {
    let hexadecimal = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    u32::from_str_radix(digits, 16).ok().filter(|_| hexadecimal).map(u64::from)
}

impl From<Sample> for Token {
    fn from(sample: Sample) -> Self {
        Self { timeline: NonZeroU32::new(sample.timeline), lsn: sample.lsn }
    }
}

/// As [`Token::read`] takes it.
impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(timeline) = self.timeline {
            write!(f, "{timeline}/")?;
        }
        write!(f, "{:X}/{:X}", self.lsn >> 32, self.lsn & 0xFFFF_FFFF)
    }
}

/// A timeline and a position on it.
type Position = (u32, u64);

/// What a client needs to see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// When its last write was known to be done.
    wrote: Option<Instant>,
    /// A position at or beyond it.
    position: Option<Position>,
    /// What it was told to see at least. Few are.
    told: Option<Box<Told>>,
}

/// What a client was told to see at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    least: Token,
    /// A position at or beyond that, on the primary's timeline if that is known.
    beyond: Option<Position>,
}

impl Need {
    /// It has written, or may have.
    pub fn wrote(&mut self, now: Instant) {
        (self.wrote, self.position) = (Some(now), None);
    }

    /// It is to see at least this, besides what it has written itself.
    pub fn at_least(&mut self, token: Option<Token>) {
        if self.told.as_ref().map(|told| told.least) != token {
            self.told = token.map(|least| Box::new(Told { least, beyond: None }));
        }
    }

    /// Takes in where the primary was of late.
    pub fn learn(&mut self, samples: &Samples) {
        let sample = samples.last();
        if let (Some(wrote), Some(sample)) = (self.wrote, sample) {
            let known = self.position.is_some_and(|(timeline, _)| timeline == sample.timeline);
            if !known {
                let first = samples.after(wrote);
                self.position = first.map(|first| (first.timeline, first.lsn));
            }
        }
        if let Some(told) = &mut self.told {
            told.beyond = beyond(told.least, samples.first(), told.beyond);
        }
    }

    /// Whether a replica that follows this timeline and has replayed so far has it all.
    pub fn is_met(&self, timeline: Option<u32>, replayed: Option<u64>) -> bool {
        let has = |needed: Option<Position>| match (needed, timeline, replayed) {
            (Some((needed, lsn)), Some(timeline), Some(replayed)) => {
                timeline == needed && replayed >= lsn
            }
            _ => false,
        };
        let written = self.wrote.is_none() || has(self.position);
        written && self.told.as_ref().is_none_or(|told| has(told.beyond))
    }

    /// The position it waits for, if that is known.
    pub fn position(&self) -> Option<u64> {
        let told = self.told.as_ref().map(|told| {
            let Token { timeline, lsn } = told.least;
            told.beyond.unwrap_or((timeline.map_or(0, NonZeroU32::get), lsn))
        });
        let (_, lsn) = self.position.max(told)?;
        Some(lsn)
    }

    /// Whether it wrote something of which no position is known yet.
    pub fn is_open(&self) -> bool {
        self.wrote.is_some() && self.position.is_none()
    }

    /// Whether it has written anything.
    pub fn has_written(&self) -> bool {
        self.wrote.is_some()
    }

    /// Whether anything is needed at all.
    pub fn is_some(&self) -> bool {
        self.wrote.is_some() || self.told.is_some()
    }
}

/// What a replica must have replayed to have all that the token stands for. `before`: what that came to last.
fn beyond(token: Token, sample: Option<Sample>, before: Option<Position>) -> Option<Position> {
    let own = token.timeline.map(NonZeroU32::get);
    match (own, sample) {
        (Some(own), Some(sample)) if own < sample.timeline => {
            // All that there is of the token's timeline is in front of any sample of a later one: the first will do.
            let known = before.filter(|(timeline, _)| *timeline == sample.timeline);
            known.or(Some((sample.timeline, sample.lsn)))
        }
        // No primary just now: what was known of it last.
        (_, None) if before.is_some() => before,
        // On the token's own timeline, be it one on which no primary is known yet.
        (Some(own), _) => Some((own, token.lsn)),
        (None, Some(sample)) => Some((sample.timeline, token.lsn)),
        (None, None) => None,
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test's story begins at any moment")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample(asked: Instant, timeline: u32, lsn: u64) -> Samples {
        let mut samples = Samples::default();
        samples.note(Sample { asked, timeline, lsn });
        samples
    }

    #[test]
    fn who_looks_late_needs_the_first_sample_after_its_write_and_no_later_one() {
        let now = Instant::now();
        let mut samples = Samples::default();
        for second in 1..=1000_u32 {
            samples.note(Sample {
                asked: now + Duration::from_secs(1) * second,
                timeline: 1,
                lsn: u64::from(second) * 100,
            });
        }
        let mut need = Need::default();
        need.wrote(now + Duration::from_millis(998_500));
        need.learn(&samples);
        assert_eq!(need.position(), Some(99_900));
        need.wrote(now);
        need.learn(&samples);
        assert_eq!(need.position(), Some((1000 - Samples::KEPT as u64 + 1) * 100), "the oldest");
        samples.note(Sample { asked: now + Duration::from_secs(2000), timeline: 2, lsn: 7 });
        need.learn(&samples);
        assert_eq!(need.position(), Some(7), "nothing of before counts any more");
    }

    #[test]
    fn samples_in_quick_succession_do_not_push_the_older_ones_out() {
        let now = Instant::now();
        let mut samples = Samples::default();
        for tick in 0..1000_u32 {
            let asked = now + Duration::from_millis(10) * tick;
            samples.note(Sample { asked, timeline: 1, lsn: u64::from(tick) });
        }
        assert_eq!(samples.last().map(|sample| sample.lsn), Some(999));
        assert_eq!(samples.0.len(), Samples::KEPT);
        let reach = Duration::from_millis(5500);
        assert!(samples.0[0].asked <= now + Duration::from_millis(9990) - reach);
        assert!(samples.0.is_sorted_by_key(|sample| (sample.asked, sample.lsn)));
    }

    #[test]
    fn who_has_written_nothing_reads_anywhere() {
        let mut need = Need::default();
        need.learn(&sample(Instant::now(), 1, 100));
        assert!(need.is_met(None, None));
    }

    #[test]
    fn only_a_sample_that_was_asked_for_after_the_write_counts_and_the_first_one_does() {
        let now = Instant::now();
        let later = |ms| now + Duration::from_millis(ms);
        let mut need = Need::default();
        need.wrote(later(10));
        need.learn(&sample(later(10), 1, 500));
        assert!(!need.is_met(Some(1), Some(u64::MAX)), "it may have been asked before the commit");
        need.learn(&sample(later(20), 1, 600));
        assert!(!need.is_met(Some(1), Some(599)));
        need.learn(&sample(later(30), 1, 900));
        assert!(need.is_met(Some(1), Some(600)));
        need.wrote(later(40));
        assert!(!need.is_met(Some(1), Some(u64::MAX)), "the next write begins anew");
    }

    #[test]
    fn positions_are_compared_on_one_timeline_only() {
        let now = Instant::now();
        let mut need = Need::default();
        need.wrote(now);
        need.learn(&sample(now + Duration::from_millis(1), 1, 600));
        assert!(!need.is_met(Some(2), Some(u64::MAX)));
        assert!(!need.is_met(None, Some(u64::MAX)), "a replica that does not tell its timeline");
        need.learn(&sample(now + Duration::from_millis(2), 2, 300));
        assert!(need.is_met(Some(2), Some(300)));
        assert!(!need.is_met(Some(1), Some(u64::MAX)), "left behind");
    }

    fn token(text: &str) -> Token {
        Token::read(text.as_bytes()).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn a_token_is_written_as_it_is_read() {
        let full = Token { timeline: NonZeroU32::new(3), lsn: 0x16_B374_D848 };
        assert_eq!(token("3/16/B374D848"), full);
        assert_eq!(token("3/16/b374d848"), full);
        assert_eq!(token("16/B374D848"), Token { timeline: None, ..full });
        for text in ["3/16/B374D848", "16/B374D848", "0/0", "4294967295/FFFFFFFF/FFFFFFFF"] {
            assert_eq!(token(text).to_string(), text);
        }
        for text in [
            "",
            "/",
            "16",
            "16/",
            "/16",
            "x/1",
            "1/x",
            "0/1/1",
            "+1/1/1",
            "1/+1/1",
            "1//1",
            "1/1/",
            "1/1/1/1",
            " 1/1",
            "1/1 ",
            "123456789/1",
            "1/123456789",
            "4294967296/1/1",
            "-1/1/1",
            "1/1/\u{e4}",
        ] {
            assert_eq!(Token::read(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Token::read(b"1/\xff"), None);
    }

    #[test]
    fn what_another_client_wrote_is_on_whoever_has_replayed_so_far_on_its_timeline() {
        let now = Instant::now();
        let mut need = Need::default();
        need.at_least(Some(token("1/0/64")));
        assert!(need.is_some() && !need.has_written() && !need.is_open());
        assert_eq!(need.position(), Some(100));
        for samples in [Samples::default(), sample(now, 1, 500)] {
            need.learn(&samples);
            assert!(need.is_met(Some(1), Some(100)));
            assert!(!need.is_met(Some(1), Some(99)));
            assert!(!need.is_met(Some(1), None) && !need.is_met(None, Some(u64::MAX)));
            assert!(!need.is_met(Some(2), Some(u64::MAX)), "that may have left timeline 1 before");
        }
        need.at_least(None);
        assert!(need.is_met(None, None) && !need.is_some());
    }

    #[test]
    fn on_a_later_timeline_the_first_sample_of_its_primary_is_beyond_a_token() {
        let now = Instant::now();
        let mut need = Need::default();
        need.at_least(Some(token("1/0/64")));
        need.learn(&sample(now, 2, 80));
        assert!(need.is_met(Some(2), Some(80)) && !need.is_met(Some(2), Some(79)));
        assert!(!need.is_met(Some(1), Some(u64::MAX)), "left behind");
        need.learn(&sample(now, 2, 900));
        need.learn(&Samples::default());
        assert!(need.is_met(Some(2), Some(80)), "nor is it chased");
        need.learn(&sample(now, 3, 950));
        assert!(!need.is_met(Some(2), Some(900)) && need.is_met(Some(3), Some(950)));
        // The same token again is no other one.
        need.at_least(Some(token("1/0/64")));
        assert_eq!(need.position(), Some(950));
    }

    #[test]
    fn a_token_of_a_timeline_that_nobody_knows_yet_is_met_by_none_that_is_on_an_older_one() {
        let mut need = Need::default();
        need.at_least(Some(token("4/0/64")));
        need.learn(&sample(Instant::now(), 3, 900));
        assert!(!need.is_met(Some(3), Some(u64::MAX)));
        assert!(need.is_met(Some(4), Some(100)), "who follows it already has it");
    }

    #[test]
    fn a_token_without_a_timeline_counts_on_the_primarys() {
        let now = Instant::now();
        let mut need = Need::default();
        need.at_least(Some(token("0/64")));
        need.learn(&Samples::default());
        assert!(!need.is_met(Some(1), Some(u64::MAX)), "which nobody knows");
        need.learn(&sample(now, 1, 500));
        assert!(need.is_met(Some(1), Some(100)) && !need.is_met(Some(1), Some(99)));
        need.learn(&sample(now, 2, 500));
        assert!(need.is_met(Some(2), Some(100)) && !need.is_met(Some(1), Some(100)));
    }

    #[test]
    fn own_writes_and_a_token_must_both_be_there() {
        let now = Instant::now();
        let later = now + Duration::from_millis(1);
        for (least, needed) in [("1/0/64", 600), ("1/0/3E8", 1000)] {
            let mut need = Need::default();
            need.at_least(Some(token(least)));
            need.wrote(now);
            assert!(need.is_open());
            need.learn(&sample(now, 1, 500));
            assert!(!need.is_met(Some(1), Some(u64::MAX)), "no sample is beyond the write");
            need.learn(&sample(later, 1, 600));
            assert_eq!(need.position(), Some(needed));
            assert!(need.is_met(Some(1), Some(needed)) && !need.is_met(Some(1), Some(needed - 1)));
        }
    }

    proptest! {
        /// A history: writes on timelines that fork from one another, replicas anywhere. Whoever meets a token has the
        /// write that it was taken after.
        #[test]
        fn who_meets_a_token_has_what_was_written_before_it_was_taken(
            forks in proptest::collection::vec((1_u64..1000, 1_u64..1000), 1..5),
            taken in any::<(u8, u8)>(),
            sampled in any::<(u8, u8)>(),
            replica in any::<(u8, u16)>(),
        ) {
            // Timeline n + 1 begins at `starts[n]`, and its primary had written up to `ends[n]` when it was lost.
            let (mut starts, mut ends) = (vec![0], Vec::new());
            for (length, kept) in &forks {
                let start = starts[starts.len() - 1];
                ends.push(start + length);
                // What was written behind the fork is lost.
                starts.push(start + kept % (length + 1));
            }
            ends.push(starts[starts.len() - 1] + 1000);
            let at = |(timeline, part): (u8, u8)| {
                let timeline = usize::from(timeline) % starts.len();
                let length = ends[timeline] - starts[timeline];
                (timeline, starts[timeline] + length * u64::from(part) / 255)
            };
            let ((token_on, token_at), (sample_on, sample_at)) = (at(taken), at(sampled));
            let replica_on = usize::from(replica.0) % starts.len();
            let replayed = u64::from(replica.1) % (ends[replica_on] + 1);
            let mut need = Need::default();
            let timeline = NonZeroU32::new(token_on as u32 + 1);
            need.at_least(Some(Token { timeline, lsn: token_at }));
            need.learn(&sample(Instant::now(), sample_on as u32 + 1, sample_at));
            if need.is_met(Some(replica_on as u32 + 1), Some(replayed)) {
                // Of the token's timeline the replica's history has all up to the first fork behind it.
                let fork = (token_on + 1..=replica_on).map(|later| starts[later]).min();
                let kept = fork.map_or(token_at, |fork| token_at.min(fork));
                prop_assert!(replica_on >= token_on && replayed >= kept);
            }
        }
    }
}
