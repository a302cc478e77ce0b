//! From intent and database entry to what is wanted.

use super::classify::Intent;
use super::hint::Target;
use crate::config::{RouteReads, TargetSessionAttrs};

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
    /// It looks as if it only reads.
    LooksReadOnly,
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
pub fn decide(intent: Intent, attrs: TargetSessionAttrs, reads: RouteReads) -> Decision {
    let intent = match (intent, reads) {
        (Intent::ReadOnly | Intent::LooksReadOnly, RouteReads::Off) => Intent::Unstated,
        _ => intent,
    };
    let replica = Wanted::Replica { or_primary: !attrs.wants_standby() };
    let (target, reason) = match intent {
        Intent::Hint(Target::Primary) => (Wanted::Primary, Reason::Hint),
        Intent::Hint(Target::Replica) => (replica, Reason::Hint),
        _ if attrs == TargetSessionAttrs::Any => (Wanted::Any, Reason::Attrs),
        _ if !attrs.wants_primary() => (replica, Reason::Attrs),
        Intent::ReadOnly => (replica, Reason::ReadOnly),
        Intent::LooksReadOnly => (replica, Reason::LooksReadOnly),
        Intent::Unstated | Intent::ReadWrite => (Wanted::Primary, Reason::Default),
    };
    Decision { target, reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use RouteReads::Explicit;
    use TargetSessionAttrs::{Any, PreferStandby, Primary, ReadOnly, ReadWrite, Standby};

    const FIT_OR_PRIMARY: Wanted = Wanted::Replica { or_primary: true };
    const FIT: Wanted = Wanted::Replica { or_primary: false };

    #[test]
    fn an_entry_for_the_primary_sends_what_says_read_only_to_a_replica() {
        for attrs in [ReadWrite, Primary] {
            let unstated = Decision { target: Wanted::Primary, reason: Reason::Default };
            assert_eq!(decide(Intent::Unstated, attrs, Explicit), unstated);
            let read_only = Decision { target: FIT_OR_PRIMARY, reason: Reason::ReadOnly };
            assert_eq!(decide(Intent::ReadOnly, attrs, Explicit), read_only);
        }
    }

    #[test]
    fn an_entry_for_standbys_never_falls_back_to_the_primary() {
        for attrs in [Standby, ReadOnly] {
            for intent in [Intent::Unstated, Intent::ReadOnly] {
                assert_eq!(
                    decide(intent, attrs, Explicit),
                    Decision { target: FIT, reason: Reason::Attrs }
                );
            }
            assert_eq!(decide(Intent::Hint(Target::Replica), attrs, Explicit).target, FIT);
        }
    }

    #[test]
    fn prefer_standby_and_any_take_what_there_is() {
        for intent in [Intent::Unstated, Intent::ReadOnly] {
            assert_eq!(
                decide(intent, PreferStandby, Explicit),
                Decision { target: FIT_OR_PRIMARY, reason: Reason::Attrs }
            );
            assert_eq!(
                decide(intent, Any, Explicit),
                Decision { target: Wanted::Any, reason: Reason::Attrs }
            );
        }
    }

    #[test]
    fn what_looks_like_a_read_goes_as_what_says_so_and_off_sends_neither() {
        for intent in [Intent::ReadOnly, Intent::LooksReadOnly] {
            assert_eq!(decide(intent, ReadWrite, RouteReads::Auto).target, FIT_OR_PRIMARY);
            assert_eq!(decide(intent, ReadWrite, RouteReads::Off).target, Wanted::Primary);
            assert_eq!(decide(intent, Standby, RouteReads::Off).target, FIT, "the entry says so");
        }
        let hint = Intent::Hint(Target::Replica);
        assert_eq!(decide(hint, ReadWrite, RouteReads::Off).target, FIT_OR_PRIMARY);
    }

    #[test]
    fn a_hint_decides_before_the_entry() {
        for attrs in [ReadWrite, Primary, Standby, ReadOnly, PreferStandby, Any] {
            let primary = Decision { target: Wanted::Primary, reason: Reason::Hint };
            assert_eq!(decide(Intent::Hint(Target::Primary), attrs, Explicit), primary);
            assert_eq!(decide(Intent::Hint(Target::Replica), attrs, Explicit).reason, Reason::Hint);
        }
    }
}
