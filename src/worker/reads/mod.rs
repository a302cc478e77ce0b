//! Which texts only read: what `route_reads = auto` and `shadow` go by. One for each database entry that asks for it.
//!
//! A text is looked at once for all that differ from it in constants only (`routing::shape`); what came of it is kept in
//! a table of numbers, read without a lock. What functions do is asked of the primary's catalog, in the background: until
//! it has answered nothing is a read. `shadow` has what is counted, and tried, where nothing is routed yet.

mod shadow;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::RandomState;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use self::shadow::Shadow;
use super::access::Access;
use super::startups;
use crate::net::clock;
use crate::routing::catalog::{Catalog, Doubt, QUESTION};
use crate::routing::grammar::{self, NotARead};
use crate::routing::shape::shape;
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

/// A name that a replica does not know may be a temporary table's, and then it never will; or one that was made just now.
const LACKING: Duration = Duration::from_secs(120);
/// Most texts of which that is noted at a time.
const MOST_DOUBTED: usize = 1000;

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

/// See the module's words.
#[derive(Debug, Default)]
pub struct Reads {
    hasher: RandomState,
    places: OnceLock<Box<[AtomicU64]>>,
    learnt: Mutex<Learnt>,
    /// Rises whenever the catalog is another.
    generation: AtomicU64,
    shadow: Shadow,
}

#[derive(Debug, Default)]
struct Learnt {
    catalog: Option<Arc<Catalog>>,
    /// When somebody last set out to read it.
    asked: Option<Instant>,
    /// Somebody is about it.
    asking: bool,
    /// Shapes of texts that a replica has refused for a reason that may pass: when they are to be judged anew.
    doubted: BinaryHeap<Reverse<(Instant, u64)>>,
}

impl Reads {
    /// Whether a text only reads, as far as is known; `false` for what has to be looked at but cannot be yet.
    pub fn only_reads(&self, text: &[u8]) -> bool {
        let Some(hash) = shape(text, &self.hasher) else { return false };
        if let Some(known) = self.verdict(hash) {
            return known == READS;
        }
        let verdict = match self.look(text) {
            Ok(()) if self.would_refuse(hash).is_some() => DOES_NOT,
            Ok(()) => READS,
            Err(Why::NotYet) => return false,
            Err(_) => DOES_NOT,
        };
        self.believe(hash, verdict);
        verdict == READS
    }

    /// A replica has refused a text: it is none, nor are those that differ in constants only.
    pub fn was_refused(&self, text: &[u8]) {
        if let Some(hash) = shape(text, &self.hasher) {
            self.believe(hash, REFUSED);
        }
    }

    /// A replica did not know a name in a text: for a while it gets none of its shape.
    pub fn was_unknown(&self, text: &[u8], now: Instant) {
        let Some(hash) = shape(text, &self.hasher) else { return };
        // Many may have tried it at the same time.
        if self.verdict(hash) != Some(REFUSED) && self.judge_anew_at(now + LACKING, hash) {
            self.believe(hash, REFUSED);
        }
    }

    /// What is believed of a shape counts until then; `false`: that of too many does already.
    fn judge_anew_at(&self, until: Instant, hash: u64) -> bool {
        let doubted = &mut self.learnt().doubted;
        let room = doubted.len() < MOST_DOUBTED;
        if room {
            doubted.push(Reverse((until, hash)));
        }
        room
    }

    /// As [`Self::only_reads`], looking anew, with the reason.
    ///
    /// # Errors
    /// Why it is none.
    pub fn explain(&self, text: &[u8]) -> Result<(), Why> {
        let hash = shape(text, &self.hasher);
        if hash.and_then(|hash| self.verdict(hash)) == Some(REFUSED) {
            return Err(Why::Refused);
        }
        self.look(text)?;
        match hash.and_then(|hash| self.would_refuse(hash)) {
            Some(words) => Err(Why::WouldRefuse(words)),
            None => Ok(()),
        }
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    fn look(&self, text: &[u8]) -> Result<(), Why> {
        let calls = grammar::look(text).map_err(Why::Grammar)?;
        let catalog = self.learnt().catalog.clone().ok_or(Why::NotYet)?;
        catalog.vouch(&calls).map_err(Why::Calls)
    }

    /// Whether the catalog is to be read now; the caller then sees to it ([`Self::learn`]).
    pub fn wants_catalog(&self, now: Instant) -> bool {
        let mut learnt = self.learnt();
        while let Some(Reverse((until, hash))) = learnt.doubted.peek().copied()
            && until <= now
        {
            learnt.doubted.pop();
            self.forget(hash);
        }
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

    /// What came of a shape, if that is known.
    fn verdict(&self, hash: u64) -> Option<u64> {
        let known = self.place(hash)?.load(Ordering::Relaxed);
        let same = (known ^ hash) & !VERDICT == 0;
        Some(known & VERDICT).filter(|verdict| same && *verdict != 0)
    }

    /// What is known of a shape is to be found out anew.
    fn forget(&self, hash: u64) {
        if let (Some(place), Some(_)) = (self.place(hash), self.verdict(hash)) {
            place.store(0, Ordering::Relaxed);
        }
    }

    fn believe(&self, hash: u64, verdict: u64) {
        if let Some(place) = self.place(hash) {
            place.store((hash & !VERDICT) | verdict, Ordering::Relaxed);
        }
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

    pub(super) fn learnt() -> Reads {
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
    fn the_catalog_is_read_by_one_at_a_time_and_not_too_often() {
        let reads = Reads::default();
        let now = clock::now();
        assert!(reads.wants_catalog(now));
        assert!(!reads.wants_catalog(now + AGAIN));
        reads.learnt().asking = false;
        assert!(!reads.wants_catalog(now + RETRY / 2));
        assert!(reads.wants_catalog(now + RETRY));
    }

    #[test]
    fn a_name_that_a_replica_does_not_know_keeps_a_text_away_for_a_while() {
        let reads = learnt();
        let now = clock::now();
        assert!(reads.only_reads(b"select lower('a') from mine"));
        reads.was_unknown(b"select lower('a') from mine", now);
        assert!(!reads.only_reads(b"select lower('b') from mine"));
        reads.wants_catalog(now + LACKING / 2);
        assert!(!reads.only_reads(b"select lower('b') from mine"));
        reads.wants_catalog(now + LACKING);
        assert!(reads.only_reads(b"select lower('b') from mine"));
    }
}
