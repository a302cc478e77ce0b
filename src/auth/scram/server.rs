//! The server's side, for one client.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::ScramError;
use super::attributes::{Attributes, base64_of, nonce};
use super::keys::{Keys, ScramKeys, hmac, xor};
use crate::auth::random::MockKey;
use crate::auth::secret::Verifier;

/// The server's side, for one client.
pub struct ScramServer {
    known: Known,
    pub(super) nonce: String,
    /// Set by client-first; taken by client-final.
    sent: Option<Sent>,
}

/// What the client's proof is held against.
enum Known {
    Verifier(Verifier),
    /// Made into a verifier only when the proof is there: whoever only knocks costs no PBKDF2.
    Password {
        password: String,
        salt: Vec<u8>,
        iterations: u32,
    },
    /// No such user, or none that could log in like this. Runs to the end and fails.
    Nobody(Verifier),
}

/// How an exchange stands to the TLS session that it runs in (RFC 5929, `tls-server-end-point`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel<'a> {
    /// There is nothing to bind to: no TLS, or a certificate whose signature has no hash.
    NotOffered,
    /// Binding was offered, and the client chose the mechanism without.
    Declined,
    /// The client chose to bind to the certificate with this hash.
    EndPoint(&'a [u8]),
}

struct Sent {
    /// What the client's `c=` must say: its first header, then the hash that it bound to.
    binding: Vec<u8>,
    nonce: Vec<u8>,
    /// client-first-bare, comma, server-first.
    so_far: Vec<u8>,
}

impl fmt::Debug for ScramServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScramServer(..)")
    }
}

impl ScramServer {
    /// For a stored SCRAM secret.
    pub fn with_verifier(verifier: Verifier, nonce: [u8; 18]) -> Self {
        Self::new(Known::Verifier(verifier), nonce)
    }

    /// For a plain password. The salt belongs to the name as long as the key lives, as for a user that is unknown.
    pub fn with_password(
        password: String,
        salt: Vec<u8>,
        iterations: u32,
        nonce: [u8; 18],
    ) -> Self {
        Self::new(Known::Password { password, salt, iterations }, nonce)
    }

    /// For a user that must not get in: same messages, and an end that is always [`ScramError::WrongProof`]. Where
    /// there is no secret, `lookalike` has any keys.
    pub fn mock(lookalike: Verifier, nonce: [u8; 18]) -> Self {
        Self::new(Known::Nobody(lookalike), nonce)
    }

    /// The password, salt and iterations that the verifier must be made from before the proof can be looked at;
    /// `None` if it is there.
    pub fn lacks(&self) -> Option<(&str, &[u8], u32)> {
        match &self.known {
            Known::Password { password, salt, iterations } => Some((password, salt, *iterations)),
            Known::Verifier(_) | Known::Nobody(_) => None,
        }
    }

    /// Takes the keys that [`Self::lacks`] asked for.
    pub fn provide(&mut self, keys: &Keys) {
        if let Known::Password { salt, iterations, .. } = &mut self.known {
            let salt = std::mem::take(salt);
            self.known = Known::Verifier(Verifier::from_keys(keys, salt, *iterations));
        }
    }

    fn new(known: Known, nonce: [u8; 18]) -> Self {
        Self { known, nonce: STANDARD.encode(nonce), sent: None }
    }

    /// Takes client-first-message, gives server-first-message.
    ///
    /// # Errors
    /// The message is malformed, does not fit `channel`, or asks for another identity, which is not supported.
    pub fn client_first(
        &mut self,
        message: &[u8],
        channel: Channel<'_>,
    ) -> Result<Vec<u8>, ScramError> {
        let mut fields = Attributes::new(message)?;
        channel.admits(fields.until_comma()?)?;
        if !fields.until_comma()?.is_empty() {
            return Err(ScramError::Refused(
                "it names an authorization identity, which is not supported",
            ));
        }
        let bare = fields.rest.unwrap_or_default();
        // The name counts for nothing: it is the startup packet's that logs in (as in PostgreSQL).
        fields.expect(b'n', "no user name (n=)")?;
        let client_nonce = nonce(fields.expect(b'r', "no nonce (r=)")?)?;
        fields.skip_extensions()?;

        let (salt, iterations) = match &self.known {
            Known::Verifier(verifier) | Known::Nobody(verifier) => {
                (verifier.salt.as_slice(), verifier.iterations)
            }
            Known::Password { salt, iterations, .. } => (salt.as_slice(), *iterations),
        };
        let nonce = [client_nonce, self.nonce.as_bytes()].concat();
        let rest = format!(",s={},i={iterations}", STANDARD.encode(salt));
        let server_first = [b"r=", nonce.as_slice(), rest.as_bytes()].concat();
        let header = message.len() - bare.len();
        self.sent = Some(Sent {
            binding: message.iter().take(header).chain(channel.end_point()).copied().collect(),
            nonce,
            so_far: [bare, b",", &server_first].concat(),
        });
        Ok(server_first)
    }

    /// Takes client-final-message, gives server-final-message, and the keys that the client's proof gave away.
    /// Computes PBKDF2 if it still [lacks](Self::lacks) the verifier.
    ///
    /// # Errors
    /// Malformed, not the answer to what was sent, or [`ScramError::WrongProof`].
    pub fn client_final(&mut self, message: &[u8]) -> Result<(Vec<u8>, ScramKeys), ScramError> {
        let sent = self
            .sent
            .take()
            .ok_or(ScramError::Refused("it is not the time for client-final-message"))?;
        let mut fields = Attributes::new(message)?;
        let binding = fields.expect(b'c', "no channel binding (c=)")?;
        if binding != STANDARD.encode(&sent.binding).as_bytes() {
            return Err(ScramError::Malformed(
                "the channel binding (c=) is not that of the first message, or not to our certificate",
            ));
        }
        let nonce = fields.expect(b'r', "no nonce (r=)")?;
        if !bool::from(nonce.ct_eq(&sent.nonce)) {
            return Err(ScramError::Malformed("the nonce is not ours"));
        }
        let proof = loop {
            if let (b'p', value) = fields.next()? {
                break value;
            }
        };
        if fields.rest.is_some() {
            return Err(ScramError::Malformed("something follows the proof (p=)"));
        }
        let without_proof = message.len() - proof.len() - ",p=".len();
        let without_proof =
            message.split_at_checked(without_proof).map_or(message, |(before, _)| before);
        let proof = base64_of::<32>(proof, "not a proof (p=)")?;

        let (verifier, genuine) = self.verifier();
        let auth_message = [&sent.so_far, b",".as_slice(), without_proof].concat();
        let client_key = xor(proof, &hmac(&verifier.stored_key, &[&auth_message]));
        let stored_key: [u8; 32] = Sha256::digest(client_key).into();
        let right = bool::from(stored_key.ct_eq(&verifier.stored_key));
        // `&`, not `&&`: an unknown user takes the same way.
        if !(right & genuine) {
            return Err(ScramError::WrongProof);
        }
        let signature = hmac(&verifier.server_key, &[&auth_message]);
        let server_final = format!("v={}", STANDARD.encode(signature)).into_bytes();
        let keys = Keys { client_key, server_key: verifier.server_key };
        Ok((server_final, ScramKeys { keys, salt: verifier.salt, iterations: verifier.iterations }))
    }

    /// What to hold the proof against, and whether it may succeed at all.
    pub(super) fn verifier(&self) -> (Verifier, bool) {
        match &self.known {
            Known::Verifier(verifier) => (verifier.clone(), true),
            Known::Password { password, salt, iterations } => {
                (Verifier::from_password(password.as_bytes(), salt, *iterations), true)
            }
            Known::Nobody(lookalike) => (lookalike.clone(), false),
        }
    }
}

impl<'a> Channel<'a> {
    /// Whether a client may say this of channel binding: `n` (it cannot), `y` (it could, and believes that we cannot),
    /// or `p=` and the kind of binding. PostgreSQL's rules.
    fn admits(self, flag: &[u8]) -> Result<(), ScramError> {
        match (flag, self) {
            (b"n", Self::NotOffered | Self::Declined) | (b"y", Self::NotOffered) => Ok(()),
            // It could have bound and saw no offer: somebody between us took the offer away.
            (b"y", Self::Declined) => Err(ScramError::Refused(
                "it supports channel binding and believes that it was not offered, but it was: \
                 somebody may stand in between",
            )),
            (b"n" | b"y", Self::EndPoint(_)) => Err(ScramError::Refused(
                "it chose the mechanism with channel binding and then does not bind",
            )),
            (b"p=tls-server-end-point", Self::EndPoint(_)) => Ok(()),
            ([b'p', b'=', ..], Self::EndPoint(_)) => {
                Err(ScramError::Refused("its kind of channel binding is not tls-server-end-point"))
            }
            ([b'p', b'=', ..], Self::NotOffered | Self::Declined) => Err(ScramError::Refused(
                "it binds to a channel, but chose the mechanism without channel binding",
            )),
            _ => Err(ScramError::Malformed("not a channel-binding flag")),
        }
    }

    fn end_point(self) -> &'a [u8] {
        match self {
            Self::EndPoint(hash) => hash,
            Self::NotOffered | Self::Declined => &[],
        }
    }
}

/// What belongs to a name and a purpose as long as the key lives.
pub(in crate::auth) fn hmac_of(key: &MockKey, parts: &[&[u8]]) -> [u8; 32] {
    hmac(&key.0, parts)
}

/// A salt of that length that belongs to a name as long as the key lives.
pub fn salt_of(user: &str, key: &MockKey, bytes: usize) -> Vec<u8> {
    let block = |number: u32| hmac_of(key, &[b"salt", &number.to_be_bytes(), user.as_bytes()]);
    (0..).flat_map(block).take(bytes).collect()
}

/// A number that belongs to a name as long as the key lives.
pub(in crate::auth) fn number_of(user: &str, key: &MockKey) -> u64 {
    let hash = hmac_of(key, &[b"number", user.as_bytes()]);
    hash.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}
