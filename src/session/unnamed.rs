//! Unnamed statements that are kept under a name on the servers (setting `prepare_unnamed`).
//!
//! Most drivers never name their statements: the server parses and plans the same text at each use. A text that is
//! seen often is therefore prepared once per server under the shared name of its [`Statement`], and the client's
//! unnamed statement stands for that. What differs for the client is plan caching only (manual, `plan_cache_mode`).
//! Some texts are never kept; see [`fit_to_keep`]. One that PostgreSQL refuses to run from its stored form
//! (`cached plan must not change result type`) is not kept from then on, and is run again as it was sent where nothing
//! but the refusal has happened.
//!
//! [`Statement`]: super::prepared::Statement

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::routing;

/// Longest definition that is kept, bytes. Longer texts are made by programs, and seldom twice.
pub const LONGEST_KEPT: usize = 16 * 1024;

/// How often a text must be seen until it is kept.
const OFTEN: u64 = 3;

/// How many texts are counted at a time (16 bytes would be two cache lines for eight); a power of two.
const SLOTS: usize = 8192;

/// Bits of a slot that count; the rest tell texts apart.
const COUNT_BITS: u64 = 0b111;

/// How often texts were seen of late. A text shares its slot with others; the last one seen has it.
#[derive(Debug, Default)]
pub struct Sightings {
    hasher: RandomState,
    slots: OnceLock<Box<[AtomicU64]>>,
}

impl Sightings {
    /// Counts one more sight of a definition in the pools of `realm`, and says whether it was seen often.
    pub fn often(&self, realm: u64, definition: &[u8]) -> bool {
        let hash = self.hasher.hash_one((realm, definition));
        let slots = self.slots.get_or_init(|| (0..SLOTS).map(|_| AtomicU64::new(0)).collect());
        let place = usize::try_from(hash >> 32).unwrap_or_default() & (SLOTS - 1);
        let Some(slot) = slots.get(place) else { return false };
        let seen = slot.load(Ordering::Relaxed);
        let same = (seen ^ hash) & !COUNT_BITS == 0;
        let count = if same { (seen & COUNT_BITS) + 1 } else { 1 };
        if count >= OFTEN {
            return true;
        }
        // A count lost between two workers only means one more sight.
        slot.store((hash & !COUNT_BITS) | count, Ordering::Relaxed);
        false
    }
}

/// Whether a text means the same each time it is run from its stored form, whoever runs it.
///
/// Not utility commands: nothing is gained. Not texts with string constants: PostgreSQL reads them when it *parses* the
/// text, by the settings of whoever parses it. `'today'` would stand still, `'2024-01-01'::timestamptz` would keep the
/// first client's TimeZone, `'01/02/2024'` its DateStyle. Nor texts beyond ASCII, which depend on client_encoding. Drivers
/// put values into parameters; texts with constants are seldom the same twice anyway.
pub fn fit_to_keep(text: &[u8]) -> bool {
    // `$1` is a parameter, any other `$` may begin a string constant.
    let begins_constant = |dollar: usize| !text.get(dollar + 1).is_some_and(u8::is_ascii_digit);
    routing::is_plannable(text)
        && text.is_ascii()
        && memchr::memchr(b'\'', text).is_none()
        && !memchr::memchr_iter(b'$', text).any(begins_constant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_seen_often_in_its_own_pool_at_the_third_time() {
        let sightings = Sightings::default();
        assert!(!sightings.often(1, b"select 1"));
        assert!(!sightings.often(1, b"select 1"));
        assert!(!sightings.often(2, b"select 1"), "another pool");
        assert!(sightings.often(1, b"select 1"));
        assert!(sightings.often(1, b"select 1"));
    }

    #[test]
    fn a_flood_of_single_texts_is_never_seen_often() {
        let sightings = Sightings::default();
        let often = (0..100_000).filter(|n| sightings.often(7, format!("select {n}").as_bytes()));
        assert_eq!(often.count(), 0);
    }

    #[test]
    fn texts_that_change_their_meaning_and_utility_commands_are_not_kept() {
        for text in
            ["select 1", "/* x */ with a as (select 1) table a", "INSERT INTO t VALUES ($1,$22)"]
        {
            assert!(fit_to_keep(text.as_bytes()), "{text}");
        }
        for text in [
            "begin",
            "",
            "select 'today'::date",
            "select * from t where at >= '2024-01-01'",
            "select $$tomorrow$$::date",
            "select $a$tomorrow$a$::date",
            "select \u{fc} from t",
        ] {
            assert!(!fit_to_keep(text.as_bytes()), "{text}");
        }
    }
}
