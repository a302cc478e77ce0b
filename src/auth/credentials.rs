//! What pgweir can prove to a server with.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::client::Proven;
use super::scram::{Keys, ScramKeys};
use super::secret::Secret;

/// What we can prove to a server with.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Nothing: only a server that trusts us lets us in.
    Nothing,
    /// The password: answers every request.
    Password(Password),
    /// What PostgreSQL stores for md5 (32 hex digits): answers md5 requests only.
    Md5([u8; 32]),
    /// Keys that a client's SCRAM login gave away: answer SCRAM requests of servers that store the same secret.
    ScramKeys(ScramKeys),
    /// A SCRAM secret alone: answers nothing.
    ScramSecret,
}

/// A password, and what it came to at the last login with SCRAM. Clones share that: a server's salt seldom changes, and
/// computing the keys anew takes many times as long as the rest of a login.
#[derive(Clone)]
pub struct Password {
    pub(super) text: String,
    keys: Arc<Mutex<Option<ScramKeys>>>,
}

impl Password {
    /// Nothing was computed yet.
    pub fn new(text: String) -> Self {
        Self { text, keys: Arc::default() }
    }

    /// What it came to at the last login with SCRAM.
    pub(super) fn known(&self) -> MutexGuard<'_, Option<ScramKeys>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartialEq for Password {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Password {}

impl Credentials {
    /// A password.
    pub fn password(text: &str) -> Self {
        Self::Password(Password::new(text.to_owned()))
    }

    /// What a stored secret is good for by itself (a forced user, `auth_user`, the monitor's user).
    pub fn from_secret(secret: Option<&Secret>) -> Self {
        match secret {
            None => Self::Nothing,
            Some(Secret::Plain(password)) if password.is_empty() => Self::Nothing,
            Some(Secret::Plain(password)) => Self::password(password),
            Some(Secret::Md5(stored)) => Self::Md5(*stored),
            Some(Secret::Scram(_)) => Self::ScramSecret,
        }
    }

    /// What a stored secret and a client's login are good for together, when the server login is as that same user.
    /// What the client gave away counts only where the stored secret alone does not do.
    pub fn from_login(secret: Option<&Secret>, proven: &Proven) -> Self {
        match (Self::from_secret(secret), proven) {
            (Self::Md5(_) | Self::ScramSecret, Proven::Password(password)) => {
                Self::password(password.reveal())
            }
            (Self::ScramSecret, Proven::Scram(keys)) => Self::ScramKeys(keys.clone()),
            (stored, _) => stored,
        }
    }

    /// For messages to the operator.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Nothing => "no password",
            Self::Password(_) => "a password",
            Self::Md5(_) => "an md5 secret",
            Self::ScramKeys(_) => "SCRAM keys",
            Self::ScramSecret => "a SCRAM secret",
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({})", self.kind())
    }
}

/// As they are written down for the process that takes over from this one, which runs as the same user.
#[derive(Clone, Serialize, Deserialize)]
pub enum CarriedCredentials {
    /// [`Credentials::Nothing`].
    Nothing,
    /// [`Credentials::Password`].
    Password(String),
    /// [`Credentials::Md5`].
    Md5([u8; 32]),
    /// [`Credentials::ScramKeys`].
    ScramKeys {
        /// See [`Keys::client_key`].
        client_key: [u8; 32],
        /// See [`Keys::server_key`].
        server_key: [u8; 32],
        /// See [`ScramKeys::salt`].
        salt: Vec<u8>,
        /// See [`ScramKeys::iterations`].
        iterations: u32,
    },
    /// [`Credentials::ScramSecret`].
    ScramSecret,
}

impl fmt::Debug for CarriedCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.clone().revive().fmt(f)
    }
}

impl Credentials {
    /// As they are written down.
    pub fn carry(&self) -> CarriedCredentials {
        match self {
            Self::Nothing => CarriedCredentials::Nothing,
            Self::Password(password) => CarriedCredentials::Password(password.text.clone()),
            Self::Md5(stored) => CarriedCredentials::Md5(*stored),
            Self::ScramKeys(ScramKeys { keys, salt, iterations }) => {
                CarriedCredentials::ScramKeys {
                    client_key: keys.client_key,
                    server_key: keys.server_key,
                    salt: salt.clone(),
                    iterations: *iterations,
                }
            }
            Self::ScramSecret => CarriedCredentials::ScramSecret,
        }
    }
}

impl CarriedCredentials {
    /// Made anew.
    pub fn revive(self) -> Credentials {
        match self {
            Self::Nothing => Credentials::Nothing,
            Self::Password(text) => Credentials::Password(Password::new(text)),
            Self::Md5(stored) => Credentials::Md5(stored),
            Self::ScramKeys { client_key, server_key, salt, iterations } => {
                let keys = Keys { client_key, server_key };
                Credentials::ScramKeys(ScramKeys { keys, salt, iterations })
            }
            Self::ScramSecret => Credentials::ScramSecret,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_the_same_when_written_down_and_read_again_and_are_never_shown() {
        let keys = Keys { client_key: [1; 32], server_key: [2; 32] };
        for credentials in [
            Credentials::Nothing,
            Credentials::password("secret"),
            Credentials::Md5([b'a'; 32]),
            Credentials::ScramKeys(ScramKeys { keys, salt: vec![3; 16], iterations: 4096 }),
            Credentials::ScramSecret,
        ] {
            let carried = credentials.carry();
            assert!(!format!("{carried:?}").contains("secret\""), "{carried:?}");
            assert_eq!(carried.revive(), credentials);
        }
    }
}
