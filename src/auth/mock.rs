//! What users that do not exist look like: as those who do.
//!
//! From the outside one sees of a user which exchange is asked for, and, with SCRAM, how long the salt is and how many
//! iterations there are. A name that nobody has gets what a known user might have, in the proportions of the known
//! users, and always the same for one name.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::random::MockKey;
use super::scram::{self, ITERATIONS, MAX_ITERATIONS};
use super::secret::Secret;
use crate::config::Userlist;

/// Bytes of PostgreSQL's SCRAM salts, and of ours.
pub const SALT_BYTES: usize = 16;

/// What one sees of a user's stored secret from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Likeness {
    /// A plain password, or none.
    Plain,
    /// An md5 secret.
    Md5,
    /// A SCRAM secret.
    Scram {
        /// Of its salt.
        salt_bytes: usize,
        /// Its iterations.
        iterations: u32,
    },
}

impl Likeness {
    /// What PostgreSQL makes of a password, unless it is told otherwise.
    pub const POSTGRESQL: Self = Self::Scram { salt_bytes: SALT_BYTES, iterations: ITERATIONS };

    /// That of a secret. One that somebody gave more iterations than anybody computes is no example to follow: what
    /// strangers look like is computed for them, too.
    pub fn of(secret: &Secret) -> Self {
        match secret {
            Secret::Scram(verifier) if verifier.iterations > MAX_ITERATIONS => Self::POSTGRESQL,
            Secret::Plain(_) => Self::Plain,
            Secret::Md5(_) => Self::Md5,
            Secret::Scram(verifier) => {
                Self::Scram { salt_bytes: verifier.salt.len(), iterations: verifier.iterations }
            }
        }
    }
}

/// How the users of `auth_file` look, and how many of them in each way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Crowd {
    counts: BTreeMap<Likeness, u64>,
}

impl Crowd {
    /// Looks at all of them.
    pub fn of(list: &Userlist) -> Self {
        let mut counts = BTreeMap::new();
        for secret in list.users.values() {
            *counts.entry(Likeness::of(&Secret::parse(secret.reveal()))).or_default() += 1;
        }
        Self { counts }
    }

    /// The likeness that a stranger of this name is given. Users that come or go change it for few names only.
    pub fn pick(&self, user: &str, key: &MockKey) -> Likeness {
        let total: u64 = self.counts.values().sum();
        // A point on the line on which each likeness has a stretch as long as its share.
        let point = (u128::from(scram::number_of(user, key)) * u128::from(total)) >> 64;
        let mut end = 0;
        for (likeness, count) in &self.counts {
            end += u128::from(*count);
            if point < end {
                return *likeness;
            }
        }
        Likeness::POSTGRESQL
    }
}

/// How users look whom auth_query knows: as the first one that it gave, until then as PostgreSQL makes them.
#[derive(Debug, Default)]
pub struct Asked(OnceLock<Likeness>);

impl Asked {
    /// auth_query gave this secret.
    pub fn learn(&self, secret: &Secret) {
        // A user without a password shows nothing of how passwords are stored there.
        if *secret != Secret::none() {
            self.0.get_or_init(|| Likeness::of(secret));
        }
    }

    /// The likeness of a stranger that auth_query did not find.
    pub fn likeness(&self) -> Likeness {
        self.0.get().copied().unwrap_or(Likeness::POSTGRESQL)
    }
}

/// What an exchange needs to know to treat everybody alike.
#[derive(Clone, Copy, Debug)]
pub struct Looks {
    /// Makes salts.
    pub key: MockKey,
    /// How the user looks if there is no such user.
    pub stranger: Likeness,
    /// Setting `scram_iterations`.
    pub scram_iterations: u32,
}

impl Looks {
    /// Salt length and iterations that a stranger is asked with.
    pub(super) fn scram(&self) -> (usize, u32) {
        match self.stranger {
            Likeness::Scram { salt_bytes, iterations } => (salt_bytes, iterations),
            Likeness::Plain | Likeness::Md5 => (SALT_BYTES, self.scram_iterations),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::secret::Verifier;
    use crate::config::SecretText;

    const KEY: MockKey = MockKey([7; 32]);

    fn scram(salt_bytes: usize, iterations: u32) -> Secret {
        let (stored_key, server_key) = ([1; 32], [2; 32]);
        Secret::Scram(Verifier { iterations, salt: vec![3; salt_bytes], stored_key, server_key })
    }

    fn crowd(secrets: &[(usize, &str)]) -> Crowd {
        let texts = secrets.iter().flat_map(|(count, text)| std::iter::repeat_n(text, *count));
        let users = texts
            .enumerate()
            .map(|(index, text)| (format!("user{index}"), SecretText::new((*text).to_owned())));
        Crowd::of(&Userlist { users: users.collect() })
    }

    /// `SCRAM-SHA-256$4096:` with a salt of 3 bytes.
    const SCRAM: &str = "SCRAM-SHA-256$4096:AAAA$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:\
        wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    const MD5: &str = "md5d41d8cd98f00b204e9800998ecf8427e";

    #[test]
    fn strangers_look_as_the_known_users_do_and_in_the_same_proportions() {
        let crowd = crowd(&[(60, "plain"), (10, MD5), (30, SCRAM)]);
        let mut found = BTreeMap::<_, u32>::new();
        for index in 0..10_000 {
            *found.entry(crowd.pick(&format!("stranger{index}"), &KEY)).or_default() += 1;
        }
        let share = |likeness| found[&likeness] / 100;
        assert!((58..=62).contains(&share(Likeness::Plain)), "{found:?}");
        assert!((8..=12).contains(&share(Likeness::Md5)), "{found:?}");
        let scram = Likeness::Scram { salt_bytes: 3, iterations: 4096 };
        assert!((28..=32).contains(&share(scram)), "{found:?}");
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn a_name_keeps_its_likeness_and_a_new_user_changes_that_of_few() {
        let before = crowd(&[(60, "plain"), (40, SCRAM)]);
        let after = crowd(&[(61, "plain"), (40, SCRAM)]);
        let names: Vec<_> = (0..1000).map(|index| format!("stranger{index}")).collect();
        assert!(names.iter().all(|name| before.pick(name, &KEY) == before.pick(name, &KEY)));
        let moved = names.iter().filter(|name| before.pick(name, &KEY) != after.pick(name, &KEY));
        assert!(moved.count() < 15);
        let other = MockKey([8; 32]);
        assert!(names.iter().any(|name| before.pick(name, &KEY) != before.pick(name, &other)));
    }

    #[test]
    fn strangers_of_auth_query_look_as_the_first_that_it_found() {
        let asked = Asked::default();
        assert_eq!(asked.likeness(), Likeness::POSTGRESQL);
        asked.learn(&Secret::none());
        assert_eq!(asked.likeness(), Likeness::POSTGRESQL);
        asked.learn(&scram(20, 10_000));
        asked.learn(&Secret::parse(MD5));
        assert_eq!(asked.likeness(), Likeness::Scram { salt_bytes: 20, iterations: 10_000 });
        assert_eq!(Crowd::default().pick("x", &KEY), Likeness::POSTGRESQL);
    }
}
