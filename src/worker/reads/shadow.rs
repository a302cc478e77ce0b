//! `route_reads = shadow`: each text is counted, and a replica is asked what it would say of it ([`trials`]), once for all that
//! differ from it in constants only, and again after a while.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dashmap::DashMap;

use super::{REFUSED, Reads, Why};
use crate::net::clock;
use crate::routing::is_explain;
use crate::routing::shape::{shape, without_constants};
use crate::worker::trials::{self, Outcome, Ran, Request};

/// Most texts that are counted (`route_reads = shadow`), and so wait to be tried.
const COUNTED: usize = 1000;

/// Least time between two trials of one entry's texts.
const TRIAL_EVERY: Duration = Duration::from_millis(250);
/// The same, after no replica had a connection to spare.
const TRIAL_PAUSE: Duration = Duration::from_secs(2);
/// A trial holds for so long.
const TRIAL_HOLDS: Duration = Duration::from_secs(600);
/// The same, if what was missing may be there soon, or if it said nothing.
const TRIAL_DOUBTED: Duration = Duration::from_secs(120);

/// A text that was counted, with all that differ from it in constants only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Without its constants.
    pub text: String,
    /// How often.
    pub count: u64,
    /// Whether it only reads and a replica would run it, as far as is known now; else why not.
    pub verdict: Result<(), Why>,
    /// What a replica has said of it: `ok`, `not yet`, or its code and words. `None`: none is asked.
    pub trial: Option<String>,
}

/// A text that is counted.
#[derive(Debug)]
struct Counted {
    count: u64,
    /// One of its shape.
    text: Box<[u8]>,
    tried: Option<Tried>,
    /// It waits to be tried.
    requested: bool,
}

/// A trial that was held.
#[derive(Clone, Debug)]
struct Tried {
    outcome: Outcome,
    at: Instant,
    /// Of the catalog.
    generation: u64,
}

impl Tried {
    /// How long it counts.
    fn holds(&self) -> Duration {
        match &self.outcome {
            Outcome::Fits => TRIAL_HOLDS,
            Outcome::Refused(words) if !words.starts_with("42") => TRIAL_HOLDS,
            // A name that was made just now is on its way.
            Outcome::Refused(_) | Outcome::Untold(_) => TRIAL_DOUBTED,
        }
    }

    /// Whether it is to be held again.
    fn is_old(&self, generation: u64, now: Instant) -> bool {
        self.generation != generation || now.saturating_duration_since(self.at) >= self.holds()
    }
}

/// Texts that wait to be tried.
#[derive(Debug, Default)]
struct Trials {
    requests: VecDeque<Request>,
    /// Somebody is about them.
    under_way: bool,
    not_before: Option<Instant>,
}

/// What is counted, and what waits to be tried.
#[derive(Debug, Default)]
pub(super) struct Shadow {
    /// By shape.
    seen: DashMap<u64, Counted>,
    trials: Mutex<Trials>,
}

/// Somebody is about what waits to be tried, until this goes.
struct UnderWay<'a>(&'a Reads);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.trials().under_way = false;
    }
}

impl Reads {
    /// What a replica has said that would refuse a text of this shape.
    pub(super) fn would_refuse(&self, hash: u64) -> Option<Arc<str>> {
        let counted = self.shadow.seen.get(&hash)?;
        let tried = counted.tried.as_ref()?;
        match &tried.outcome {
            Outcome::Refused(words) if !tried.is_old(self.generation(), clock::now()) => {
                Some(words.clone())
            }
            _ => None,
        }
    }

    /// Counts a text; its number if a replica is to be asked for it ([`Self::request`]). `is_read`: auto would send it there.
    pub fn see(&self, text: &[u8], is_read: bool, now: Instant) -> Option<u64> {
        let hash = shape(text, &self.hasher)?;
        // A plan of a plan there is not.
        let is_read = is_read && !is_explain(text);
        let wanted = match self.shadow.seen.get_mut(&hash) {
            Some(mut counted) => {
                counted.count += 1;
                let due = match &counted.tried {
                    // Of one that was refused a replica may think otherwise by now.
                    Some(tried) => tried.is_old(self.generation(), now),
                    None => is_read,
                };
                due && !std::mem::replace(&mut counted.requested, due)
            }
            None if self.shadow.seen.len() < COUNTED => {
                let counted =
                    Counted { count: 1, text: text.into(), tried: None, requested: is_read };
                self.shadow.seen.insert(hash, counted);
                is_read
            }
            None => false,
        };
        wanted.then_some(hash)
    }

    /// A text is to be tried.
    pub fn request(&self, request: Request) {
        self.trials().requests.push_back(request);
    }

    /// Whether somebody is to begin with what waits to be tried; the caller then sees to it ([`Self::try_all`]).
    pub fn begins_trials(&self, now: Instant) -> bool {
        // Whoever looks at it has the same question.
        let Ok(mut trials) = self.shadow.trials.try_lock() else { return false };
        let early = trials.not_before.is_some_and(|at| now < at);
        if trials.under_way || trials.requests.is_empty() || early {
            return false;
        }
        trials.under_way = true;
        true
    }

    /// Tries what waits for it, one text after the other, until all were tried or no replica has a connection to spare.
    pub async fn try_all(self: Arc<Self>) {
        let _under_way = UnderWay(&self);
        // How many in a row found no connection to spare.
        let mut in_vain = 0;
        loop {
            let generation = self.generation();
            let (request, left) = {
                let mut trials = self.trials();
                (trials.requests.pop_front(), trials.requests.len())
            };
            let Some(request) = request else { break };
            match trials::run(&request).await {
                Ran::Told(outcome) => {
                    in_vain = 0;
                    let tried = Tried { outcome, at: clock::now(), generation };
                    self.note_trial(request.number, tried);
                }
                Ran::Gone => self.drop_request(request.number),
                Ran::NoServer => {
                    in_vain += 1;
                    self.trials().requests.push_back(request);
                }
            }
            if in_vain > left {
                break;
            }
            tokio::time::sleep(TRIAL_EVERY).await;
        }
        let pause = if in_vain > 0 { TRIAL_PAUSE } else { TRIAL_EVERY };
        self.trials().not_before = Some(clock::now() + pause);
    }

    fn note_trial(&self, hash: u64, tried: Tried) {
        if matches!(tried.outcome, Outcome::Refused(_)) {
            self.judge_anew_at(tried.at + tried.holds(), hash);
        }
        if let Some(mut counted) = self.shadow.seen.get_mut(&hash) {
            counted.requested = false;
            counted.tried = Some(tried);
        }
        // To be judged anew. What a replica has refused in earnest stays refused.
        if self.verdict(hash) != Some(REFUSED) {
            self.forget(hash);
        }
    }

    fn drop_request(&self, hash: u64) {
        if let Some(mut counted) = self.shadow.seen.get_mut(&hash) {
            counted.requested = false;
        }
    }

    fn trials(&self) -> MutexGuard<'_, Trials> {
        self.shadow.trials.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that were counted.
    pub fn seen(&self) -> Vec<Seen> {
        let seen = self.shadow.seen.iter().map(|entry| {
            let Counted { count, text, tried, .. } = entry.value();
            (*count, text.clone(), tried.clone())
        });
        // Not while a part of the map is locked: the verdict looks at it.
        let seen: Vec<_> = seen.collect();
        let now = clock::now();
        let seen = seen.into_iter().map(|(count, text, tried)| {
            let verdict = self.explain(&text);
            let tried = tried.filter(|tried| !tried.is_old(self.generation(), now));
            let trial = match &verdict {
                Ok(()) | Err(Why::WouldRefuse(_)) if !is_explain(&text) => {
                    let told = tried.map(|tried| tried.outcome.to_string());
                    Some(told.unwrap_or_else(|| "not yet".to_owned()))
                }
                _ => None,
            };
            Seen { text: without_constants(&text), count, verdict, trial }
        });
        seen.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::learnt;
    use super::*;

    #[test]
    fn what_a_replica_would_refuse_is_no_read_until_it_thinks_otherwise() {
        let reads = learnt();
        let now = clock::now();
        let text = b"select lower(x) from t";
        assert!(reads.only_reads(text));
        let number = reads.see(text, true, now).expect("the first of its shape");
        let tried = |outcome| Tried { outcome, at: now, generation: 0 };
        let words = "42P01 relation \"t\" does not exist";
        reads.note_trial(number, tried(Outcome::Refused(words.into())));
        assert!(!reads.only_reads(text));
        assert_eq!(reads.explain(text), Err(Why::WouldRefuse(words.into())));
        assert_eq!(reads.seen()[0].trial, Some(words.to_owned()));
        // The table may have been made just now.
        assert_eq!(reads.see(text, false, now + TRIAL_DOUBTED / 2), None);
        assert_eq!(reads.see(text, false, now + TRIAL_DOUBTED), Some(number));
        reads.note_trial(number, tried(Outcome::Fits));
        assert!(reads.only_reads(text));
        // But not what it has refused in earnest.
        reads.was_refused(text);
        reads.note_trial(number, tried(Outcome::Fits));
        assert!(!reads.only_reads(text));
    }

    #[test]
    fn trials_are_held_by_one_at_a_time_and_only_if_something_waits() {
        let reads = learnt();
        let now = clock::now();
        assert!(!reads.begins_trials(now));
        reads.request(Request {
            number: 1,
            text: (*b"select 1").into(),
            types: [0, 0].into(),
            service: std::sync::Weak::new(),
            parameters: crate::session::parameters::Parameters::new(
                crate::session::parameters::Tracked::new(&[]),
            ),
            startup: None,
        });
        reads.trials().not_before = Some(now + TRIAL_PAUSE);
        assert!(!reads.begins_trials(now));
        assert!(reads.begins_trials(now + TRIAL_PAUSE));
        assert!(!reads.begins_trials(now + TRIAL_PAUSE), "somebody is about it");
    }

    #[test]
    fn a_text_is_to_be_tried_once_and_again_when_that_is_long_ago_or_the_catalog_is_another() {
        let reads = learnt();
        let now = clock::now();
        let (text, other) = (b"select lower('a')", b"select lower('b')");
        assert_eq!(reads.see(b"delete from t", false, now), None);
        let number = reads.see(text, true, now).expect("the first of its shape");
        assert_eq!(reads.see(other, true, now), None, "it waits already");
        let trial = |reads: &Reads| {
            reads.seen().into_iter().find(|seen| seen.text == "select lower ( ? )").unwrap().trial
        };
        assert_eq!(trial(&reads), Some("not yet".to_owned()));
        let tried = |outcome, generation| Tried { outcome, at: now, generation };
        reads.note_trial(number, tried(Outcome::Fits, 0));
        assert_eq!(trial(&reads), Some("ok".to_owned()));
        assert_eq!(reads.see(other, true, now + TRIAL_HOLDS / 2), None);
        assert_eq!(reads.see(other, true, now + TRIAL_HOLDS), Some(number));
        reads.note_trial(number, tried(Outcome::Fits, 0));
        reads.generation.store(1, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(trial(&reads), Some("not yet".to_owned()));
        assert_eq!(reads.see(other, true, now), Some(number));
    }
}
