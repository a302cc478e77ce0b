//! What pgweir can prove to a server with.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::client::Proven;
use super::scram::ScramKeys;
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
