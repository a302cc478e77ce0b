//! Where the slow part of SCRAM is done: on threads of its own, once per user where that is possible.
//!
//! Users of `auth_file` with a plain password have theirs done ahead, after start and after a reload: then a first login
//! takes no longer than a later one, nor than that of a user who does not exist.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Semaphore;

use crate::auth::MockKey;
use crate::auth::derive::{Derivation, Derived};
use crate::auth::mock::SALT_BYTES;
use crate::auth::scram::{Keys, salt_of};
use crate::auth::secret::Secret;
use crate::config::hba::HbaMethod;
use crate::config::{AuthType, Config};

/// See the module's words.
#[derive(Debug)]
pub struct Derivations {
    derived: Arc<Derived>,
    /// Wrong passwords must not take all cores: so many are computed at once.
    room: Arc<Semaphore>,
    /// Which configuration is being worked off ahead; a later one ends it.
    round: Arc<AtomicU64>,
}

impl Default for Derivations {
    /// Nothing is known yet; half of the cores may be used.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            derived: Arc::default(),
            room: Arc::new(Semaphore::new((cores / 2).max(1))),
            round: Arc::default(),
        }
    }
}

impl Derivations {
    /// The keys, at once if they are known. `None`: the process ends.
    pub async fn keys(&self, derivation: &Derivation) -> Option<Keys> {
        if let Some(keys) = self.derived.find(derivation) {
            return Some(keys);
        }
        let room = self.room.clone().acquire_owned().await.ok()?;
        // Another login of the same user may have been first.
        if let Some(keys) = self.derived.find(derivation) {
            return Some(keys);
        }
        let (derivation, derived) = (derivation.clone(), self.derived.clone());
        let work = tokio::task::spawn_blocking(move || {
            let keys = derivation.run();
            if derivation.stored {
                derived.keep(&derivation, &keys);
            }
            drop(room);
            keys
        });
        work.await.ok()
    }

    /// A client sent this password, and it was right.
    pub fn was_right(&self, derivation: &Derivation, keys: &Keys) {
        if !derivation.stored {
            self.derived.keep(derivation, keys);
        }
    }

    /// Begins to work off the plain passwords of a configuration, where logins will need it, and forgets who is not in
    /// `auth_file`. Returns at once.
    pub fn prepare(&self, config: &Arc<Config>, key: &MockKey) {
        let round = self.round.fetch_add(1, Ordering::AcqRel) + 1;
        self.derived.retain(|user| config.userlist.users.contains_key(user));
        if !asks_for_scram(config) {
            return;
        }
        let (config, key) = (config.clone(), *key);
        let (derived, rounds) = (self.derived.clone(), self.round.clone());
        tokio::task::spawn_blocking(move || {
            let iterations = config.settings.scram_iterations;
            for (user, secret) in &config.userlist.users {
                if rounds.load(Ordering::Acquire) != round {
                    return;
                }
                if let Secret::Plain(password) = Secret::parse(secret.reveal())
                    && !password.is_empty()
                {
                    let derivation = Derivation {
                        user: user.clone(),
                        password: password.into_bytes(),
                        salt: salt_of(user, &key, SALT_BYTES),
                        iterations,
                        stored: true,
                    };
                    if derived.find(&derivation).is_none() {
                        derived.keep(&derivation, &derivation.run());
                    }
                }
            }
        });
    }

    /// Ends what is worked off ahead; the process ends.
    pub fn stop(&self) {
        self.round.fetch_add(1, Ordering::AcqRel);
        self.room.close();
    }
}

fn asks_for_scram(config: &Config) -> bool {
    match config.settings.auth_type {
        AuthType::ScramSha256 => true,
        AuthType::Hba => config.hba.rules.iter().any(|rule| rule.method == HbaMethod::ScramSha256),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{SecretText, Userlist, parse_text};

    fn config(auth_type: &str, users: &[(&str, &str)]) -> Arc<Config> {
        let text = format!("[pgbouncer]\nauth_type={auth_type}\nscram_iterations=2");
        let mut config = parse_text(&text).expect("is well formed");
        let entry = |(user, secret): &(&str, &str)| {
            ((*user).to_owned(), SecretText::new((*secret).to_owned()))
        };
        config.userlist = Arc::new(Userlist { users: users.iter().map(entry).collect() });
        Arc::new(config)
    }

    fn wanted(user: &str, password: &str, stored: bool) -> Derivation {
        Derivation {
            user: user.to_owned(),
            password: password.as_bytes().to_vec(),
            salt: salt_of(user, &KEY, SALT_BYTES),
            iterations: 2,
            stored,
        }
    }

    const KEY: MockKey = MockKey::from_bytes([3; 32]);

    /// Until what was begun ahead is done.
    async fn settle(derivations: &Derivations, wanted: &Derivation) {
        while derivations.derived.find(wanted).is_none() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn plain_passwords_of_the_file_are_worked_off_ahead_and_forgotten_with_their_users() {
        let derivations = Derivations::default();
        let users = [("ann", "pencil"), ("bob", ""), ("zoe", "pen")];
        derivations.prepare(&config("md5", &users), &KEY);
        derivations.prepare(&config("scram-sha-256", &users), &KEY);
        // The last in order: then all are done.
        settle(&derivations, &wanted("zoe", "pen", true)).await;
        assert!(derivations.derived.find(&wanted("ann", "pencil", true)).is_some());
        assert!(derivations.derived.find(&wanted("bob", "", true)).is_none());
        derivations.prepare(&config("md5", &[("zoe", "pen")]), &KEY);
        assert!(derivations.derived.find(&wanted("ann", "pencil", true)).is_none());
        assert!(derivations.derived.find(&wanted("zoe", "pen", true)).is_some());
    }

    #[tokio::test]
    async fn a_stored_password_is_kept_at_once_and_a_sent_one_when_it_was_right() {
        let derivations = Derivations::default();
        let (stored, sent) = (wanted("ann", "pencil", true), wanted("bob", "guess", false));
        assert_eq!(derivations.keys(&stored).await, Some(stored.run()));
        assert!(derivations.derived.find(&stored).is_some());
        let keys = derivations.keys(&sent).await.expect("is computed");
        assert!(derivations.derived.find(&sent).is_none(), "it may be wrong");
        derivations.was_right(&sent, &keys);
        assert_eq!(derivations.keys(&sent).await, Some(keys));
        derivations.stop();
        assert!(derivations.keys(&wanted("new", "pencil", true)).await.is_none());
    }
}
