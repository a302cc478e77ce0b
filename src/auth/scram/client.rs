//! The client's side, towards one server.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;

use super::attributes::{Attributes, base64_of, iterations, nonce};
use super::keys::{Keys, ScramKeys, hmac, xor};
use super::{MAX_ITERATIONS, ScramError};

/// What the client's side proves itself with.
#[derive(Clone)]
pub enum Proof {
    /// The password.
    Password(Vec<u8>),
    /// Keys learnt from somebody who knew it.
    Keys(ScramKeys),
}

/// How the exchange is bound to the TLS session it runs in (RFC 5929).
#[derive(Clone, PartialEq, Eq)]
pub enum Binding {
    /// We could not bind (`n`): no TLS.
    Unable,
    /// We could, but the server did not offer it (`y`). A server that did knows then that somebody cut its offer.
    NotOffered,
    /// Bound to the hash of the server's certificate (`p=tls-server-end-point`).
    EndPoint(Vec<u8>),
}

impl Binding {
    fn header(&self) -> &'static str {
        match self {
            Self::Unable => "n,,",
            Self::NotOffered => "y,,",
            Self::EndPoint(_) => "p=tls-server-end-point,,",
        }
    }
}

/// What a server-first-message says.
struct ServerFirst<'m> {
    nonce: &'m [u8],
    salt: Vec<u8>,
    iterations: u32,
}

/// The client's side, towards one server.
pub struct ScramClient {
    proof: Proof,
    binding: Binding,
    pub(super) nonce: String,
    /// Set by server-first: the signature that only who holds the secret can send.
    expected: Option<[u8; 32]>,
}

impl fmt::Debug for ScramClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScramClient(..)")
    }
}

impl ScramClient {
    /// Begins. `nonce` must never have been used before.
    pub fn new(proof: Proof, binding: Binding, nonce: [u8; 18]) -> Self {
        Self { proof, binding, nonce: STANDARD.encode(nonce), expected: None }
    }

    /// client-first-message. PostgreSQL takes the name from the startup packet, so none is sent here.
    pub fn client_first(&self) -> Vec<u8> {
        format!("{}{}", self.binding.header(), self.client_first_bare()).into_bytes()
    }

    fn client_first_bare(&self) -> String {
        format!("n=,r={}", self.nonce)
    }

    /// Salt and iterations of server-first-message, if keys must be made from them and the password before it can be
    /// answered; `None` if the keys are there.
    ///
    /// # Errors
    /// Malformed, a nonce that does not extend ours, or too many iterations.
    pub fn lacks(&self, message: &[u8]) -> Result<Option<(Vec<u8>, u32)>, ScramError> {
        let ServerFirst { salt, iterations, .. } = self.read_server_first(message)?;
        Ok(match &self.proof {
            Proof::Password(_) => Some((salt, iterations)),
            Proof::Keys(_) => None,
        })
    }

    /// Takes the keys that [`Self::lacks`] asked for.
    pub fn provide(&mut self, keys: ScramKeys) {
        self.proof = Proof::Keys(keys);
    }

    fn read_server_first<'m>(&self, message: &'m [u8]) -> Result<ServerFirst<'m>, ScramError> {
        let mut fields = Attributes::new(message)?;
        let nonce = nonce(fields.expect(b'r', "no nonce (r=)")?)?;
        if !nonce.starts_with(self.nonce.as_bytes()) || nonce.len() == self.nonce.len() {
            return Err(ScramError::Malformed("the nonce does not extend ours"));
        }
        let salt = STANDARD
            .decode(fields.expect(b's', "no salt (s=)")?)
            .ok()
            .filter(|salt| !salt.is_empty())
            .ok_or(ScramError::Malformed("not a salt (s=)"))?;
        let iterations = iterations(fields.expect(b'i', "no iteration count (i=)")?)
            .ok_or(ScramError::Malformed("not an iteration count (i=)"))?;
        fields.skip_extensions()?;
        match &self.proof {
            Proof::Password(_) if iterations > MAX_ITERATIONS => {
                Err(ScramError::TooManyIterations(iterations))
            }
            _ => Ok(ServerFirst { nonce, salt, iterations }),
        }
    }

    /// Takes server-first-message, gives client-final-message. Computes PBKDF2 if it still [lacks](Self::lacks) keys.
    ///
    /// # Errors
    /// Malformed, a nonce that does not extend ours, too many iterations, or not the secret that our keys belong to.
    pub fn server_first(&mut self, message: &[u8]) -> Result<Vec<u8>, ScramError> {
        let ServerFirst { nonce, salt, iterations } = self.read_server_first(message)?;
        let keys = match &self.proof {
            Proof::Password(password) => Keys::derive(password, &salt, iterations),
            Proof::Keys(known) if known.salt == salt && known.iterations == iterations => {
                known.keys.clone()
            }
            Proof::Keys(_) => return Err(ScramError::OtherSecret),
        };
        let mut binding = self.binding.header().as_bytes().to_vec();
        if let Binding::EndPoint(hash) = &self.binding {
            binding.extend_from_slice(hash);
        }
        let mut answer = format!("c={},r=", STANDARD.encode(binding)).into_bytes();
        answer.extend_from_slice(nonce);
        let auth_message =
            [self.client_first_bare().as_bytes(), b",", message, b",", &answer].concat();
        let proof = xor(keys.client_key, &hmac(&keys.stored_key(), &[&auth_message]));
        self.expected = Some(hmac(&keys.server_key, &[&auth_message]));
        answer.extend_from_slice(format!(",p={}", STANDARD.encode(proof)).as_bytes());
        Ok(answer)
    }

    /// Takes server-final-message. Only if it gives `Ok` has the server shown that it knows the secret too.
    ///
    /// # Errors
    /// Malformed, the server's refusal, or [`ScramError::WrongProof`].
    pub fn server_final(&mut self, message: &[u8]) -> Result<(), ScramError> {
        let expected = self
            .expected
            .take()
            .ok_or(ScramError::Refused("it is not the time for server-final-message"))?;
        let mut fields = Attributes::new(message)?;
        let signature = match fields.next()? {
            (b'v', value) => base64_of::<32>(value, "not a signature (v=)")?,
            (b'e', value) => {
                return Err(ScramError::ServerSays(String::from_utf8_lossy(value).into_owned()));
            }
            _ => return Err(ScramError::Malformed("neither signature (v=) nor error (e=)")),
        };
        fields.skip_extensions()?;
        if bool::from(signature.ct_eq(&expected)) { Ok(()) } else { Err(ScramError::WrongProof) }
    }
}
