//! The one place of this room that rolls dice. Everywhere else what was drawn is an argument.

use std::fmt;

use rand::Rng;

/// What one exchange needs of chance. Drawn afresh for every login: a nonce or salt used twice can be replayed.
#[derive(Clone, Copy)]
pub struct Draws {
    /// Our half of a SCRAM nonce, before base64 (18 bytes as in PostgreSQL, i.e. 24 characters).
    pub nonce: [u8; 18],
    /// The salt of an md5 request.
    pub md5_salt: [u8; 4],
}

impl Draws {
    /// Draws from the thread's generator, which is cryptographic and seeded by the system.
    pub fn draw() -> Self {
        let mut draws = Self { nonce: [0; 18], md5_salt: [0; 4] };
        let mut source = rand::rng();
        source.fill_bytes(&mut draws.nonce);
        source.fill_bytes(&mut draws.md5_salt);
        draws
    }
}

impl fmt::Debug for Draws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Draws(..)")
    }
}

/// The key from which SCRAM salts are made for users that have none stored: those with a plain password, and those
/// that do not exist. One per process: the salt of a name stays the same while we run, whether there is such a user
/// or not, so that asking twice tells nothing.
#[derive(Clone, Copy)]
pub struct MockKey(pub(super) [u8; 32]);

impl MockKey {
    /// Draws a key, once at the start of the process.
    pub fn draw() -> Self {
        let mut key = [0; 32];
        rand::rng().fill_bytes(&mut key);
        Self(key)
    }

    /// A given key, so that a test replays.
    pub const fn from_bytes(key: [u8; 32]) -> Self {
        Self(key)
    }
}

impl fmt::Debug for MockKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MockKey(..)")
    }
}
