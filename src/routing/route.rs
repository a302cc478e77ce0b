//! From intent and database entry to what is wanted.

use super::classify::Intent;
use super::hint::Target;
use crate::config::TargetSessionAttrs;

/// The kind of host that a transaction is to run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The primary; without one the client is held.
    Primary,
    /// A replica that is fit.
    Replica {
        /// Whether the primary serves if no replica is fit.
        or_primary: bool,
    },
    /// Any host that is up.
    Any,
}

/// What decided. "No replica was fit" is not known yet here: who falls back counts that himself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A comment.
    Hint,
    /// The transaction says that it is read-only.
    ReadOnly,
    /// `target_session_attrs` of the database entry.
    Attrs,
    /// Nothing said anything: the primary.
    Default,
}

/// What is wanted, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The kind of host.
    pub target: Wanted,
    /// What decided.
    pub reason: Reason,
}

/// Decides for one transaction of a client of an entry with these `target_session_attrs`.
///
/// A hint comes first, then the entry. An entry for the primary is where `READ ONLY` counts: it is the one through
/// which an application both reads and writes. An entry for standbys never falls back to the primary, whoever asks:
/// that is what it is for.
pub fn decide(intent: Intent, attrs: TargetSessionAttrs) -> Decision {
    let or_primary = !matches!(attrs, TargetSessionAttrs::Standby | TargetSessionAttrs::ReadOnly);
    let replica = Wanted::Replica { or_primary };
    let (target, reason) = match (intent, attrs) {
        (Intent::Hint(Target::Primary), _) => (Wanted::Primary, Reason::Hint),
        (Intent::Hint(Target::Replica), _) => (replica, Reason::Hint),
        (
            Intent::Unstated | Intent::ReadOnly,
            TargetSessionAttrs::Standby
            | TargetSessionAttrs::ReadOnly
            | TargetSessionAttrs::PreferStandby,
        ) => (replica, Reason::Attrs),
        (Intent::Unstated | Intent::ReadOnly, TargetSessionAttrs::Any) => {
            (Wanted::Any, Reason::Attrs)
        }
        (Intent::ReadOnly, TargetSessionAttrs::Primary | TargetSessionAttrs::ReadWrite) => {
            (replica, Reason::ReadOnly)
        }
        (Intent::Unstated, TargetSessionAttrs::Primary | TargetSessionAttrs::ReadWrite) => {
            (Wanted::Primary, Reason::Default)
        }
    };
    Decision { target, reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use TargetSessionAttrs::{Any, PreferStandby, Primary, ReadOnly, ReadWrite, Standby};

    const FIT_OR_PRIMARY: Wanted = Wanted::Replica { or_primary: true };
    const FIT: Wanted = Wanted::Replica { or_primary: false };

    #[test]
    fn an_entry_for_the_primary_sends_what_says_read_only_to_a_replica() {
        for attrs in [ReadWrite, Primary] {
            let unstated = Decision { target: Wanted::Primary, reason: Reason::Default };
            assert_eq!(decide(Intent::Unstated, attrs), unstated);
            let read_only = Decision { target: FIT_OR_PRIMARY, reason: Reason::ReadOnly };
            assert_eq!(decide(Intent::ReadOnly, attrs), read_only);
        }
    }

    #[test]
    fn an_entry_for_standbys_never_falls_back_to_the_primary() {
        for attrs in [Standby, ReadOnly] {
            for intent in [Intent::Unstated, Intent::ReadOnly] {
                assert_eq!(decide(intent, attrs), Decision { target: FIT, reason: Reason::Attrs });
            }
            assert_eq!(decide(Intent::Hint(Target::Replica), attrs).target, FIT);
        }
    }

    #[test]
    fn prefer_standby_and_any_take_what_there_is() {
        for intent in [Intent::Unstated, Intent::ReadOnly] {
            assert_eq!(
                decide(intent, PreferStandby),
                Decision { target: FIT_OR_PRIMARY, reason: Reason::Attrs }
            );
            assert_eq!(
                decide(intent, Any),
                Decision { target: Wanted::Any, reason: Reason::Attrs }
            );
        }
    }

    #[test]
    fn a_hint_decides_before_the_entry() {
        for attrs in [ReadWrite, Primary, Standby, ReadOnly, PreferStandby, Any] {
            let primary = Decision { target: Wanted::Primary, reason: Reason::Hint };
            assert_eq!(decide(Intent::Hint(Target::Primary), attrs), primary);
            assert_eq!(decide(Intent::Hint(Target::Replica), attrs).reason, Reason::Hint);
        }
    }
}
