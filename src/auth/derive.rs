//! The slow part of SCRAM, apart from the rest, so that it is done seldom and not where others wait.
//!
//! PBKDF2 takes a millisecond with 4096 iterations: many times what the rest of a login takes. An exchange that needs
//! it says so (a [`Derivation`]), and goes on once it has the [`Keys`]. [`Derived`] keeps them per user.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::scram::Keys;

/// Most users whose keys are kept; about 200 bytes each. Beyond that they are computed each time.
const MAX_KEPT: usize = 65_536;

/// A password that has to be made into keys.
#[derive(Clone, PartialEq, Eq)]
pub struct Derivation {
    /// Whose it is, or is said to be.
    pub user: String,
    /// The password.
    pub password: Vec<u8>,
    /// The salt.
    pub salt: Vec<u8>,
    /// Rounds of PBKDF2.
    pub iterations: u32,
    /// Whether it is a stored password; else a client sent it, and it may be wrong.
    pub stored: bool,
}

impl Derivation {
    /// Does the work: about a quarter of a microsecond per iteration.
    pub fn run(&self) -> Keys {
        Keys::derive(&self.password, &self.salt, self.iterations)
    }
}

impl fmt::Debug for Derivation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Derivation")
            .field("user", &self.user)
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

/// Keys that were computed before: one set per user.
#[derive(Default)]
pub struct Derived {
    by_user: Mutex<HashMap<String, Kept>>,
}

struct Kept {
    /// Of the password: there is no need for yet another copy of that.
    hash: [u8; 32],
    salt: Vec<u8>,
    iterations: u32,
    keys: Keys,
}

impl fmt::Debug for Derived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Derived(..)")
    }
}

impl Derived {
    /// The keys, if they were computed from exactly this before.
    pub fn find(&self, wanted: &Derivation) -> Option<Keys> {
        let hash: [u8; 32] = Sha256::digest(&wanted.password).into();
        let by_user = self.by_user.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = by_user.get(&wanted.user)?;
        let same = kept.salt == wanted.salt
            && kept.iterations == wanted.iterations
            && bool::from(kept.hash.ct_eq(&hash));
        same.then(|| kept.keys.clone())
    }

    /// Keeps the keys of a user. Only for passwords that are right: others would push the right one out.
    pub fn keep(&self, made: &Derivation, keys: &Keys) {
        let mut by_user = self.by_user.lock().unwrap_or_else(PoisonError::into_inner);
        if by_user.len() >= MAX_KEPT && !by_user.contains_key(&made.user) {
            return;
        }
        let kept = Kept {
            hash: Sha256::digest(&made.password).into(),
            salt: made.salt.clone(),
            iterations: made.iterations,
            keys: keys.clone(),
        };
        by_user.insert(made.user.clone(), kept);
    }

    /// Forgets the users for whom `stays` says no.
    pub fn retain(&self, stays: impl Fn(&str) -> bool) {
        let mut by_user = self.by_user.lock().unwrap_or_else(PoisonError::into_inner);
        by_user.retain(|user, _| stays(user));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derivation(user: &str, password: &str) -> Derivation {
        Derivation {
            user: user.to_owned(),
            password: password.as_bytes().to_vec(),
            salt: b"salt".to_vec(),
            iterations: 2,
            stored: true,
        }
    }

    #[test]
    fn keys_are_found_again_for_the_same_and_for_nothing_else() {
        let derived = Derived::default();
        let ann = derivation("ann", "pencil");
        assert!(derived.find(&ann).is_none());
        derived.keep(&ann, &ann.run());
        assert_eq!(derived.find(&ann), Some(ann.run()));
        let others = [
            derivation("bob", "pencil"),
            derivation("ann", "pencils"),
            Derivation { salt: b"pepper".to_vec(), ..ann.clone() },
            Derivation { iterations: 3, ..ann.clone() },
        ];
        assert!(others.iter().all(|other| derived.find(other).is_none()));

        let changed = derivation("ann", "pencils");
        derived.keep(&changed, &changed.run());
        assert!(derived.find(&ann).is_none() && derived.find(&changed).is_some());
        derived.retain(|user| user != "ann");
        assert!(derived.find(&changed).is_none());
    }

    #[test]
    fn no_more_are_kept_than_the_limit_and_known_users_may_still_change() {
        let derived = Derived::default();
        let keys = derivation("", "pencil").run();
        for index in 0..=MAX_KEPT {
            derived.keep(&derivation(&index.to_string(), "pencil"), &keys);
        }
        assert!(derived.find(&derivation(&MAX_KEPT.to_string(), "pencil")).is_none());
        let first = derivation("0", "other");
        derived.keep(&first, &keys);
        assert!(derived.find(&first).is_some());
    }

    #[test]
    fn what_is_shown_holds_no_password() {
        assert!(!format!("{:?}", derivation("ann", "hunter2")).contains("hunter2"));
    }
}
