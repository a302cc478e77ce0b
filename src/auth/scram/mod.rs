//! SCRAM-SHA-256 (RFC 5802, RFC 7677), both sides, as PostgreSQL speaks it.
//!
//! One parser of attributes serves both. It is strict: an attribute that is missing, out of order, empty where it may
//! not be, or followed by anything unexpected is a [`ScramError`], never skipped (pgbouncer's CVE-2025-6664 and -6665
//! were slips of exactly this kind). Nothing is allocated from a length that a peer claims.
//!
//! postgres-protocol has the client's side for passwords. Ours exists because it must also work from keys that were
//! learnt from a client's proof ([`Keys`]), and two clients would be one too many.
//!
//! - `attributes` — what messages are made of
//! - `keys` — what a password comes to
//! - `server`, `client` — the two sides

mod attributes;
mod client;
mod keys;
mod server;
#[cfg(test)]
mod tests;

use std::fmt;

pub(super) use self::attributes::iterations;
pub use self::client::{Binding, Proof, ScramClient};
pub use self::keys::{Keys, ScramKeys};
pub use self::server::{Channel, ScramServer, salt_of};
pub(super) use self::server::{hmac_of, number_of};

/// The mechanism without channel binding.
pub const SCRAM_SHA_256: &str = "SCRAM-SHA-256";
/// The mechanism with channel binding.
pub const SCRAM_SHA_256_PLUS: &str = "SCRAM-SHA-256-PLUS";
/// Iterations of secrets that we make from plain passwords (PostgreSQL's and pgbouncer's default).
pub const ITERATIONS: u32 = 4096;
/// Longest message that is looked at (PostgreSQL's PG_MAX_SASL_MESSAGE_LENGTH for SCRAM).
pub const MAX_MESSAGE_BYTES: usize = 1024;
/// Most iterations we do because a server says so: about half a second. PostgreSQL allows two thousand million.
pub const MAX_ITERATIONS: u32 = 1_000_000;

/// Why an exchange cannot go on or failed. Says nothing secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScramError {
    /// A message is not as the RFC has it.
    Malformed(&'static str),
    /// Longer than [`MAX_MESSAGE_BYTES`].
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Well-formed, but not allowed here.
    Refused(&'static str),
    /// The peer does not know the secret.
    WrongProof,
    /// The server reported an error (`e=`).
    ServerSays(String),
    /// The server wants more than [`MAX_ITERATIONS`].
    TooManyIterations(u32),
    /// The server's secret has another salt or iteration count than the one the keys belong to.
    OtherSecret,
}

impl fmt::Display for ScramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(what) => write!(f, "malformed SCRAM message: {what}"),
            Self::TooLong { bytes } => {
                write!(f, "SCRAM message of {bytes} bytes; at most {MAX_MESSAGE_BYTES} are read")
            }
            Self::Refused(what) => f.write_str(what),
            Self::WrongProof => f.write_str("the proof does not fit the stored secret"),
            Self::ServerSays(error) => write!(f, "the server says {error:?}"),
            Self::TooManyIterations(asked) => {
                write!(f, "the server's secret has {asked} iterations; at most {MAX_ITERATIONS} are computed")
            }
            Self::OtherSecret => f.write_str(
                "the server stores another SCRAM secret than pgweir does (salt or iterations differ); \
                 copy rolpassword from pg_authid, or use auth_query",
            ),
        }
    }
}

impl std::error::Error for ScramError {}
