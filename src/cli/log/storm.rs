//! Storms: when one kind of complaint comes more often than anybody reads, the rest is counted. PURE.
//!
//! A kind is a place in the source. In each second so many of it are written; of the others one line says how many
//! there were. Lines that record what happened (logins, ends of connections) are no complaints: each is written.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Counts by kind.
#[derive(Debug)]
pub(super) struct Storm<K> {
    kinds: HashMap<K, Second>,
}

#[derive(Debug)]
struct Second {
    begun: Instant,
    written: u32,
    more: u64,
    /// The first that was not written.
    example: String,
}

/// What was not written in one second.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Swallowed {
    pub(super) more: u64,
    pub(super) example: String,
}

const SECOND: Duration = Duration::from_secs(1);

impl<K: Eq + Hash> Storm<K> {
    pub(super) fn new() -> Self {
        Self { kinds: HashMap::new() }
    }

    /// Whether one more of this kind is to be written; 0: there is no limit.
    pub(super) fn admits(
        &mut self,
        kind: K,
        limit: u32,
        now: Instant,
        text: impl FnOnce() -> String,
    ) -> bool {
        if limit == 0 {
            return true;
        }
        let fresh = Second { begun: now, written: 0, more: 0, example: String::new() };
        let second = self.kinds.entry(kind).or_insert(fresh);
        if second.more == 0 && now.saturating_duration_since(second.begun) >= SECOND {
            (second.begun, second.written) = (now, 0);
        }
        if second.written < limit {
            second.written += 1;
            return true;
        }
        if second.more == 0 {
            second.example = text();
        }
        second.more += 1;
        false
    }

    /// What was swallowed in seconds that are over; these begin anew. `all`: in those that are not, too.
    pub(super) fn over(&mut self, now: Instant, all: bool) -> Vec<Swallowed> {
        let mut swallowed = Vec::new();
        self.kinds.retain(|_, second| {
            if !all && now.saturating_duration_since(second.begun) < SECOND {
                return true;
            }
            if second.more > 0 {
                let example = std::mem::take(&mut second.example);
                swallowed.push(Swallowed { more: second.more, example });
            }
            false
        });
        swallowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::clock;

    #[test]
    fn of_a_storm_some_are_written_and_the_rest_is_counted_once() {
        let (mut storm, now) = (Storm::new(), clock::now());
        let written = (0..1000).filter(|n| storm.admits("a", 3, now, || n.to_string())).count();
        assert_eq!(written, 3);
        assert!(storm.admits("b", 3, now, String::new), "another kind");
        assert_eq!(storm.over(now, false), []);
        let later = now + SECOND;
        let expected = Swallowed { more: 997, example: "3".to_owned() };
        assert_eq!(storm.over(later, false), [expected]);
        assert!(storm.admits("a", 3, later, String::new));
        assert_eq!(storm.over(later + SECOND, false), [], "no storm any more");
        assert!((0..1000).all(|_| storm.admits("a", 0, later, String::new)), "no limit");
    }

    #[test]
    fn nothing_is_forgotten_while_nobody_looks_and_at_the_end() {
        let (mut storm, now) = (Storm::new(), clock::now());
        assert!(storm.admits("a", 1, now, String::new));
        assert!(!storm.admits("a", 1, now, || "second".to_owned()));
        assert!(!storm.admits("a", 1, now + 5 * SECOND, String::new));
        let expected = Swallowed { more: 2, example: "second".to_owned() };
        assert_eq!(storm.over(now, true), [expected]);
    }
}
