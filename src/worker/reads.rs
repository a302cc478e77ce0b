//! Which texts only read: what `route_reads = auto` and `shadow` go by. One for each database entry that asks for it.
//!
//! A text is looked at once for all that differ from it in constants only (`routing::shape`); what came of it is kept in
//! a table of numbers, read without a lock. What functions do is asked of the primary's catalog, in the background: until
//! it has answered nothing is a read. With `shadow` a replica is asked, too, what it would say of each ([`super::trials`]).

use std::collections::VecDeque;
use std::hash::RandomState;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use dashmap::DashMap;

use super::access::Access;
use super::startups;
use super::trials::{self, Outcome, Ran, Wish};
use crate::net::clock;
use crate::routing::catalog::{Catalog, Doubt, QUESTION};
use crate::routing::grammar::{self, NotARead};
use crate::routing::shape::{shape, without_constants};
use crate::server::query;

/// How many texts are remembered; a power of two. Two with one place push each other out.
const PLACES: usize = 16 * 1024;

/// Bits of a place that say what came of it; the rest tell texts apart.
const VERDICT: u64 = 0b11;
const READS: u64 = 0b01;
const DOES_NOT: u64 = 0b10;
const REFUSED: u64 = 0b11;

/// Least time between two looks at the catalog after one that failed.
const RETRY: Duration = Duration::from_secs(2);
/// The same, when a text calls what the catalog did not have: it may be new.
const AGAIN: Duration = Duration::from_secs(60);

/// Why a text is none that a replica gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// By its grammar.
    Grammar(NotARead),
    /// By what it calls.
    Calls(Doubt),
    /// A replica has refused it before.
    Refused,
    /// A replica would refuse it: its code and words.
    WouldRefuse(Arc<str>),
    /// The catalog was not asked yet.
    NotYet,
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Grammar(why) => why.fmt(f),
            Self::Calls(why) => why.fmt(f),
            Self::Refused => f.write_str("a replica has refused it"),
            Self::WouldRefuse(words) => write!(f, "a replica would refuse it: {words}"),
            Self::NotYet => f.write_str("the database's catalog was not read yet"),
        }
    }
}

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
    wished: bool,
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
    /// Whether it is to be held again.
    fn is_old(&self, generation: u64, now: Instant) -> bool {
        let holds = match &self.outcome {
            Outcome::Fits => TRIAL_HOLDS,
            Outcome::Refused(words) if !words.starts_with("42") => TRIAL_HOLDS,
            // A name that was made just now is on its way.
            Outcome::Refused(_) | Outcome::Untold(_) => TRIAL_DOUBTED,
        };
        self.generation != generation || now.saturating_duration_since(self.at) >= holds
    }
}

/// Texts that wait to be tried.
#[derive(Debug, Default)]
struct Trials {
    wishes: VecDeque<Wish>,
    /// Somebody is about them.
    under_way: bool,
    not_before: Option<Instant>,
}

/// See the module's words.
#[derive(Debug, Default)]
pub struct Reads {
    hasher: RandomState,
    places: OnceLock<Box<[AtomicU64]>>,
    learnt: Mutex<Learnt>,
    /// Rises whenever the catalog is another.
    generation: AtomicU64,
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

#[derive(Debug, Default)]
struct Learnt {
    catalog: Option<Arc<Catalog>>,
    /// When somebody last set out to read it.
    asked: Option<Instant>,
    /// Somebody is about it.
    asking: bool,
}

impl Reads {
    /// Whether a text only reads, as far as is known; `false` for what has to be looked at but cannot be yet.
    pub fn only_reads(&self, text: &[u8]) -> bool {
        let Some(hash) = shape(text, &self.hasher) else { return false };
        let Some(place) = self.place(hash) else { return false };
        let known = place.load(Ordering::Relaxed);
        if (known ^ hash) & !VERDICT == 0 && known & VERDICT != 0 {
            return known & VERDICT == READS;
        }
        let verdict = match self.look(text) {
            Ok(()) if self.would_refuse(hash).is_some() => DOES_NOT,
            Ok(()) => READS,
            Err(Why::NotYet) => return false,
            Err(_) => DOES_NOT,
        };
        place.store((hash & !VERDICT) | verdict, Ordering::Relaxed);
        verdict == READS
    }

    /// A replica has refused a text: it is none, nor are those that differ in constants only.
    pub fn was_refused(&self, text: &[u8]) {
        let hash = shape(text, &self.hasher);
        if let Some((hash, place)) = hash.and_then(|hash| Some((hash, self.place(hash)?))) {
            place.store((hash & !VERDICT) | REFUSED, Ordering::Relaxed);
        }
    }

    /// As [`Self::only_reads`], looking anew, with the reason.
    ///
    /// # Errors
    /// Why it is none.
    pub fn explain(&self, text: &[u8]) -> Result<(), Why> {
        let hash = shape(text, &self.hasher);
        let known = hash.and_then(|hash| {
            let known = self.place(hash)?.load(Ordering::Relaxed);
            Some((known ^ hash) & !VERDICT == 0 && known & VERDICT == REFUSED)
        });
        if known == Some(true) {
            return Err(Why::Refused);
        }
        self.look(text)?;
        match hash.and_then(|hash| self.would_refuse(hash)) {
            Some(words) => Err(Why::WouldRefuse(words)),
            None => Ok(()),
        }
    }

    /// What a replica has said that would refuse a text of this shape.
    fn would_refuse(&self, hash: u64) -> Option<Arc<str>> {
        let counted = self.seen.get(&hash)?;
        let tried = counted.tried.as_ref()?;
        match &tried.outcome {
            Outcome::Refused(words) if tried.generation == self.generation() => Some(words.clone()),
            _ => None,
        }
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// Counts a text; its number if a replica is to be asked for it ([`Self::wish`]). `is_read`: auto would send it there.
    pub fn see(&self, text: &[u8], is_read: bool, now: Instant) -> Option<u64> {
        let hash = shape(text, &self.hasher)?;
        let wanted = match self.seen.get_mut(&hash) {
            Some(mut counted) => {
                counted.count += 1;
                let due = match &counted.tried {
                    // Of one that was refused a replica may think otherwise by now.
                    Some(tried) => tried.is_old(self.generation(), now),
                    None => is_read,
                };
                due && !std::mem::replace(&mut counted.wished, due)
            }
            None if self.seen.len() < COUNTED => {
                let counted = Counted { count: 1, text: text.into(), tried: None, wished: is_read };
                self.seen.insert(hash, counted);
                is_read
            }
            None => false,
        };
        wanted.then_some(hash)
    }

    /// A text is to be tried.
    pub fn wish(&self, wish: Wish) {
        self.trials().wishes.push_back(wish);
    }

    /// Whether somebody is to begin with what waits to be tried; the caller then sees to it ([`Self::try_all`]).
    pub fn begins_trials(&self, now: Instant) -> bool {
        // Whoever looks at it has the same question.
        let Ok(mut trials) = self.trials.try_lock() else { return false };
        let early = trials.not_before.is_some_and(|at| now < at);
        if trials.under_way || trials.wishes.is_empty() || early {
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
            let (wish, left) = {
                let mut trials = self.trials();
                (trials.wishes.pop_front(), trials.wishes.len())
            };
            let Some(wish) = wish else { break };
            match trials::run(&wish).await {
                Ran::Told(outcome) => {
                    in_vain = 0;
                    let tried = Tried { outcome, at: clock::now(), generation };
                    self.note_trial(wish.number, tried);
                }
                Ran::Gone => self.drop_wish(wish.number),
                Ran::NoServer => {
                    in_vain += 1;
                    self.trials().wishes.push_back(wish);
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
        if let Some(mut counted) = self.seen.get_mut(&hash) {
            counted.wished = false;
            counted.tried = Some(tried);
        }
        // To be judged anew. What a replica has refused in earnest stays refused.
        if let Some(place) = self.place(hash) {
            let known = place.load(Ordering::Relaxed);
            if (known ^ hash) & !VERDICT == 0 && known & VERDICT != REFUSED {
                place.store(0, Ordering::Relaxed);
            }
        }
    }

    fn drop_wish(&self, hash: u64) {
        if let Some(mut counted) = self.seen.get_mut(&hash) {
            counted.wished = false;
        }
    }

    fn trials(&self) -> MutexGuard<'_, Trials> {
        self.trials.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that were counted.
    pub fn seen(&self) -> Vec<Seen> {
        let seen = self.seen.iter().map(|entry| {
            let Counted { count, text, tried, .. } = entry.value();
            (*count, text.clone(), tried.clone())
        });
        // Not while a part of the map is locked: the verdict looks at it.
        let seen: Vec<_> = seen.collect();
        let seen = seen.into_iter().map(|(count, text, tried)| {
            let verdict = self.explain(&text);
            let tried = tried.filter(|tried| tried.generation == self.generation());
            let trial = match &verdict {
                Ok(()) | Err(Why::WouldRefuse(_)) => {
                    let told = tried.map(|tried| tried.outcome.to_string());
                    Some(told.unwrap_or_else(|| "not yet".to_owned()))
                }
                Err(_) => None,
            };
            Seen { text: without_constants(&text), count, verdict, trial }
        });
        seen.collect()
    }

    fn look(&self, text: &[u8]) -> Result<(), Why> {
        let calls = grammar::look(text).map_err(Why::Grammar)?;
        let catalog = self.learnt().catalog.clone().ok_or(Why::NotYet)?;
        catalog.vouch(&calls).map_err(Why::Calls)
    }

    /// Whether the catalog is to be read now; the caller then sees to it ([`Self::learn`]).
    pub fn wants_catalog(&self, now: Instant) -> bool {
        let mut learnt = self.learnt();
        let wait = if learnt.catalog.is_some() { AGAIN } else { RETRY };
        let due = learnt.asked.is_none_or(|asked| now.saturating_duration_since(asked) >= wait);
        let wanted = due && !learnt.asking;
        if wanted {
            (learnt.asking, learnt.asked) = (true, Some(now));
        }
        wanted
    }

    /// Reads the catalog through one of the entry's own servers.
    pub async fn learn(self: Arc<Self>, mut access: Access) {
        let outcome = Self::read(&mut access).await;
        let mut learnt = self.learnt();
        learnt.asking = false;
        match outcome {
            Ok(catalog) if learnt.catalog.as_deref() == Some(&catalog) => {}
            Ok(catalog) => {
                learnt.catalog = Some(Arc::new(catalog));
                self.generation.fetch_add(1, Ordering::Relaxed);
                for place in self.places.get().into_iter().flatten() {
                    // What a replica has refused stays refused.
                    let known = place.load(Ordering::Relaxed);
                    if known & VERDICT != REFUSED {
                        place.store(0, Ordering::Relaxed);
                    }
                }
            }
            Err(words) => tracing::warn!(
                "route_reads: cannot read the catalog of database {}, reads stay where they are: {words}",
                access.offer().database.name
            ),
        }
    }

    async fn read(access: &mut Access) -> Result<Catalog, String> {
        let mut lease = access.attach(clock::now()).await.map_err(|error| error.to_string())?;
        startups::clean(lease.connection()).await.map_err(|error| error.to_string())?;
        let rows = query::simple(lease.connection(), QUESTION).await;
        let rows = rows.map_err(|error| error.to_string())?;
        lease.give_back(clock::now());
        Ok(Catalog::new(&rows))
    }

    fn place(&self, hash: u64) -> Option<&AtomicU64> {
        let places = self.places.get_or_init(|| (0..PLACES).map(|_| AtomicU64::new(0)).collect());
        places.get(usize::try_from(hash >> 40).unwrap_or_default() & (PLACES - 1))
    }

    fn learnt(&self) -> MutexGuard<'_, Learnt> {
        self.learnt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learnt() -> Reads {
        let reads = Reads::default();
        let row = |name: &str, volatile: &str| {
            ["f", "pg_catalog", name, volatile].map(|value| Some(value.to_owned())).to_vec()
        };
        let catalog = Catalog::new(&[row("lower", "f"), row("random", "t")]);
        reads.learnt().catalog = Some(Arc::new(catalog));
        reads
    }

    #[test]
    fn nothing_is_a_read_before_the_catalog_was_read() {
        let reads = Reads::default();
        assert!(!reads.only_reads(b"select 1"));
        assert_eq!(reads.explain(b"select 1"), Err(Why::NotYet));
        reads.learnt().catalog = Some(Arc::default());
        assert!(reads.only_reads(b"select 1"), "that was not remembered");
    }

    #[test]
    fn a_look_serves_for_all_texts_of_its_shape_and_a_refusal_too() {
        let reads = learnt();
        assert!(reads.only_reads(b"select lower('a')"));
        assert!(!reads.only_reads(b"select random()"));
        assert!(!reads.only_reads(b"delete from t"));
        reads.was_refused(b"select lower('b')");
        assert!(!reads.only_reads(b"select lower('c')"));
        assert_eq!(reads.explain(b"select lower('d')"), Err(Why::Refused));
        assert!(reads.only_reads(b"select lower(a)"));
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
        reads.generation.store(1, Ordering::Relaxed);
        assert_eq!(trial(&reads), Some("not yet".to_owned()));
        assert_eq!(reads.see(other, true, now), Some(number));
    }

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
        reads.wish(Wish {
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
    fn the_catalog_is_read_by_one_at_a_time_and_not_too_often() {
        let reads = Reads::default();
        let now = clock::now();
        assert!(reads.wants_catalog(now));
        assert!(!reads.wants_catalog(now + AGAIN));
        reads.learnt().asking = false;
        assert!(!reads.wants_catalog(now + RETRY / 2));
        assert!(reads.wants_catalog(now + RETRY));
    }
}
