//! What is stored to recognise a user by.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{md5, scram};

/// A user's secret, from `auth_file`, from `auth_query`, or from a database entry's `password=`.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// The password itself. Empty: the user has none, and no password is right.
    Plain(String),
    /// The 32 hex digits after `md5`.
    Md5([u8; 32]),
    /// A SCRAM-SHA-256 secret.
    Scram(Verifier),
}

/// A SCRAM secret (RFC 5803): enough to recognise who knows the password, not enough to log in elsewhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    /// Rounds of PBKDF2, at least 1.
    pub iterations: u32,
    /// Not empty.
    pub salt: Vec<u8>,
    /// H(ClientKey).
    pub stored_key: [u8; 32],
    /// With it the server proves that it holds the secret.
    pub server_key: [u8; 32],
}

impl Secret {
    /// Reads the text form. As in PostgreSQL, what is neither exactly an md5 nor exactly a SCRAM secret is a password.
    pub fn parse(text: &str) -> Self {
        let hex =
            text.strip_prefix("md5").and_then(|hex| <[u8; 32]>::try_from(hex.as_bytes()).ok());
        match hex {
            Some(hex) if hex.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) => {
                Self::Md5(hex)
            }
            _ => Verifier::parse(text).map_or_else(|| Self::Plain(text.to_owned()), Self::Scram),
        }
    }

    /// The secret of a user that exists and has no password (auth_query gave NULL): nothing matches it.
    pub fn none() -> Self {
        Self::Plain(String::new())
    }

    /// Whether `password` is this user's. The empty password never is.
    ///
    /// Computes PBKDF2 for a SCRAM secret: milliseconds, more if the secret was made with many iterations.
    pub fn accepts(&self, user: &str, password: &[u8]) -> bool {
        if password.is_empty() {
            return false;
        }
        match self {
            // Hashed first: comparing takes the same time whatever the lengths.
            Self::Plain(stored) => {
                let [stored, offered] = [stored.as_bytes(), password]
                    .map(|text| <[u8; 32]>::from(Sha256::digest(text)));
                stored.ct_eq(&offered).into()
            }
            Self::Md5(stored) => stored.ct_eq(&md5::stored(password, user)).into(),
            Self::Scram(verifier) => verifier.matches(&scram::Keys::derive(
                password,
                &verifier.salt,
                verifier.iterations,
            )),
        }
    }

    /// What kind it is, for messages to the operator.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Plain(text) if text.is_empty() => "no password",
            Self::Plain(_) => "a plain password",
            Self::Md5(_) => "an md5 secret",
            Self::Scram(_) => "a SCRAM secret",
        }
    }
}

impl Verifier {
    /// Reads `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`; `None` if the text is anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (head, keys) = text.strip_prefix("SCRAM-SHA-256$")?.split_once('$')?;
        let (iterations, salt) = head.split_once(':')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        let key = |text: &str| <[u8; 32]>::try_from(STANDARD.decode(text).ok()?).ok();
        let salt = STANDARD.decode(salt).ok().filter(|salt| !salt.is_empty())?;
        Some(Self {
            iterations: scram::iterations(iterations.as_bytes())?,
            salt,
            stored_key: key(stored_key)?,
            server_key: key(server_key)?,
        })
    }

    /// Whether these keys open it. Takes the same time wherever they differ.
    pub fn matches(&self, keys: &scram::Keys) -> bool {
        self.stored_key.ct_eq(&keys.stored_key()).into()
    }

    /// Makes the secret of a password (RFC 5802, section 3), prepared as PostgreSQL does.
    pub fn from_password(password: &[u8], salt: &[u8], iterations: u32) -> Self {
        Self::from_keys(&scram::Keys::derive(password, salt, iterations), salt.to_vec(), iterations)
    }

    /// The same from what is kept of a password.
    pub fn from_keys(keys: &scram::Keys, salt: Vec<u8>, iterations: u32) -> Self {
        Self { iterations, salt, stored_key: keys.stored_key(), server_key: keys.server_key }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.kind())
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7677's example (user `user`, password `pencil`) in PostgreSQL's form.
    const PENCIL: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$\
        WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

    #[test]
    fn a_secret_is_of_the_kind_its_text_has() {
        assert_eq!(Secret::parse("md5d41d8cd98f00b204e9800998ecf8427e").kind(), "an md5 secret");
        assert_eq!(Secret::parse(PENCIL).kind(), "a SCRAM secret");
        for plain in [
            "md5",
            "md5d41d8cd98f00b204e9800998ecf8427",
            "md5d41d8cd98f00b204e9800998ecf8427ee",
            "md5D41D8CD98F00B204E9800998ECF8427E",
            "SCRAM-SHA-256$",
            "SCRAM-SHA-256$4096:$a:b",
            "SCRAM-SHA-256$0:W22ZaJ0SNY7soEsUEjb6gQ==$\
             WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
            &PENCIL[..PENCIL.len() - 4],
        ] {
            assert_eq!(Secret::parse(plain), Secret::Plain(plain.to_owned()));
        }
        assert_eq!(Secret::parse("").kind(), "no password");
    }

    #[test]
    fn every_kind_of_secret_accepts_its_password_and_no_other() {
        for secret in [
            Secret::Plain("pencil".to_owned()),
            Secret::Md5(md5::stored(b"pencil", "user")),
            Secret::parse(PENCIL),
        ] {
            assert!(secret.accepts("user", b"pencil"), "{secret:?}");
            assert!(!secret.accepts("user", b"pencils"), "{secret:?}");
            assert!(!secret.accepts("user", b""), "{secret:?}");
        }
    }

    #[test]
    fn a_user_without_a_password_matches_nothing_not_even_the_empty_one() {
        assert!(!Secret::none().accepts("user", b""));
        assert!(!Secret::none().accepts("user", b"x"));
        // md5 of the empty password is stored by nobody on purpose.
        assert!(!Secret::Md5(md5::stored(b"", "user")).accepts("user", b""));
    }

    #[test]
    fn what_is_shown_of_a_secret_is_only_its_kind() {
        let shown =
            format!("{:?} {:?}", Secret::Plain("hunter2".to_owned()), Secret::parse(PENCIL));
        assert_eq!(shown, "Secret(a plain password) Secret(a SCRAM secret)");
    }
}
