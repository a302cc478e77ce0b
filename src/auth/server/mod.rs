//! Logging in at a server: which answer each of its requests gets.
//!
//! ```text
//! Start ── Ok ──────────────────────────────────────────────▶ Done   (trust, peer, certificate)
//!   ├── Cleartext, MD5 ──▶ PasswordSent ── Ok ──────────────▶ Done
//!   └── SASL ──▶ ScramFirst ── Continue ──▶ ScramFinal ── Final ──▶ Proven ── Ok ──▶ Done
//! ```
//! Where keys must be computed first, `Continue` gives `Derive`, and `derived()` the answer.
//! Everything else has no transition. In particular a server that was asked to prove itself (SCRAM proves both sides)
//! and says Ok before it did is not believed.

mod error;

use std::fmt;

use bytes::Bytes;
pub use error::ServerLoginError;
use pgweir_codec::backend::Authentication;

use super::credentials::Credentials;
use super::derive::Derivation;
use super::md5;
use super::random::Draws;
use super::scram::{
    Binding, Keys, Proof, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramClient, ScramError, ScramKeys,
};

/// What to do after a server's Authentication message.
#[derive(Clone, PartialEq, Eq)]
pub enum ServerStep {
    /// Logged in.
    Done,
    /// Read on.
    Wait,
    /// Send a message of type `p` with this body.
    Send(Bytes),
    /// Do this, which takes long, and hand what comes out to [`ServerLogin::derived`].
    Derive(Derivation),
}

impl fmt::Debug for ServerStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "Done",
            Self::Wait => "Wait",
            Self::Send(_) => "Send(..)",
            Self::Derive(_) => "Derive(..)",
        })
    }
}

/// One login at a server.
#[derive(Debug)]
pub struct ServerLogin {
    user: String,
    credentials: Credentials,
    nonce: [u8; 18],
    state: State,
}

/// See the head of this file for the transitions.
#[derive(Debug)]
enum State {
    /// Nothing was asked yet.
    Start,
    /// A password or its hash is sent.
    PasswordSent,
    /// client-first-message is sent.
    ScramFirst(ScramClient),
    /// Keys are awaited, for this server-first-message.
    ScramDerive(ScramClient, Bytes),
    /// client-final-message is sent; the server has still to prove itself.
    ScramFinal(ScramClient),
    /// The server has proved itself.
    Proven,
    /// Over, by success or by error.
    Over,
}

impl ServerLogin {
    /// Before the server's first Authentication message.
    pub fn new(user: &str, credentials: Credentials) -> Self {
        Self::with_draws(user, credentials, &Draws::draw())
    }

    /// With given randomness, so that a failure replays.
    pub fn with_draws(user: &str, credentials: Credentials, draws: &Draws) -> Self {
        Self { user: user.to_owned(), credentials, nonce: draws.nonce, state: State::Start }
    }

    /// Takes the body of an Authentication message. `channel_binding` is the hash of the server's certificate if there
    /// is TLS ([`crate::net::tls::server_end_point`]); it must be the same at every call.
    ///
    /// # Errors
    /// See [`ServerLoginError`]; the connection is then to be closed.
    pub fn request(
        &mut self,
        body: &[u8],
        channel_binding: Option<Vec<u8>>,
    ) -> Result<ServerStep, ServerLoginError> {
        let message = Authentication::decode(Bytes::copy_from_slice(body))
            .map_err(|error| ServerLoginError::Malformed(error.to_string()))?;
        // An error leaves `Over` behind: nothing can follow it.
        let (next, step) = match (std::mem::replace(&mut self.state, State::Over), message) {
            (State::Start | State::PasswordSent | State::Proven, Authentication::Ok) => {
                (State::Over, ServerStep::Done)
            }
            (State::ScramFirst(_) | State::ScramFinal(_), Authentication::Ok) => {
                return Err(ServerLoginError::Unproven);
            }
            (State::Start, Authentication::CleartextPassword) => {
                let Credentials::Password(password) = &self.credentials else {
                    return Err(self.cannot_answer("a password in the clear"));
                };
                (State::PasswordSent, ServerStep::Send(terminated(password.text.as_bytes())))
            }
            (State::Start, Authentication::Md5Password { salt }) => {
                let stored = match &self.credentials {
                    Credentials::Password(password) => {
                        md5::stored(password.text.as_bytes(), &self.user)
                    }
                    Credentials::Md5(stored) => *stored,
                    _ => return Err(self.cannot_answer("an md5 password")),
                };
                (State::PasswordSent, ServerStep::Send(terminated(&md5::response(&stored, salt))))
            }
            (State::Start, Authentication::Sasl { mechanisms }) => {
                self.begin_scram(&mechanisms, channel_binding)?
            }
            (State::ScramFirst(mut scram), Authentication::SaslContinue { data }) => {
                match self.derivation(&mut scram, &data)? {
                    Some(derivation) => {
                        (State::ScramDerive(scram, data), ServerStep::Derive(derivation))
                    }
                    None => {
                        let answer = scram.server_first(&data)?;
                        (State::ScramFinal(scram), ServerStep::Send(answer.into()))
                    }
                }
            }
            (State::ScramFinal(mut scram), Authentication::SaslFinal { data }) => {
                scram.server_final(&data)?;
                (State::Proven, ServerStep::Wait)
            }
            (State::Start, Authentication::Other { code, .. }) => {
                return Err(ServerLoginError::Unsupported { code });
            }
            (_, message) => {
                return Err(ServerLoginError::OutOfPlace { message: name_of(&message) });
            }
        };
        self.state = next;
        Ok(step)
    }

    /// Takes what a [`ServerStep::Derive`] came to; gives the body of the message of type `p` to send.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub fn derived(
        &mut self,
        derivation: Derivation,
        keys: Keys,
    ) -> Result<Bytes, ServerLoginError> {
        let State::ScramDerive(mut scram, server_first) =
            std::mem::replace(&mut self.state, State::Over)
        else {
            return Err(ServerLoginError::OutOfPlace { message: "keys that nobody asked for" });
        };
        let Derivation { salt, iterations, .. } = derivation;
        let keys = ScramKeys { keys, salt, iterations };
        if let Credentials::Password(password) = &self.credentials {
            *password.known() = Some(keys.clone());
        }
        scram.provide(keys);
        let answer = scram.server_first(&server_first)?;
        self.state = State::ScramFinal(scram);
        Ok(answer.into())
    }

    /// What must be computed before this server-first-message can be answered. Keys of an earlier login do if the
    /// server's secret is still the same.
    fn derivation(
        &self,
        scram: &mut ScramClient,
        server_first: &[u8],
    ) -> Result<Option<Derivation>, ScramError> {
        let (Some((salt, iterations)), Credentials::Password(password)) =
            (scram.lacks(server_first)?, &self.credentials)
        else {
            return Ok(None);
        };
        let known = password.known().clone();
        match known.filter(|keys| keys.salt == salt && keys.iterations == iterations) {
            Some(keys) => {
                scram.provide(keys);
                Ok(None)
            }
            None => Ok(Some(Derivation {
                user: self.user.clone(),
                password: password.text.as_bytes().to_vec(),
                salt,
                iterations,
                stored: true,
            })),
        }
    }

    fn begin_scram(
        &self,
        mechanisms: &[Bytes],
        channel_binding: Option<Vec<u8>>,
    ) -> Result<(State, ServerStep), ServerLoginError> {
        let offers = |name: &str| mechanisms.iter().any(|offered| offered == name.as_bytes());
        let (mechanism, binding) = match channel_binding {
            Some(hash) if offers(SCRAM_SHA_256_PLUS) => {
                (SCRAM_SHA_256_PLUS, Binding::EndPoint(hash))
            }
            // `y`: a server that did offer PLUS learns from it that somebody took the offer away.
            Some(_) if offers(SCRAM_SHA_256) => (SCRAM_SHA_256, Binding::NotOffered),
            None if offers(SCRAM_SHA_256) => (SCRAM_SHA_256, Binding::Unable),
            _ => {
                let offered =
                    mechanisms.iter().map(|name| String::from_utf8_lossy(name)).collect::<Vec<_>>();
                return Err(ServerLoginError::NoMechanism { offered: offered.join(", ") });
            }
        };
        let proof = match &self.credentials {
            Credentials::Password(password) => Proof::Password(password.text.as_bytes().to_vec()),
            Credentials::ScramKeys(keys) => Proof::Keys(keys.clone()),
            Credentials::Nothing | Credentials::Md5(_) | Credentials::ScramSecret => {
                return Err(self.cannot_answer("SCRAM-SHA-256"));
            }
        };
        let scram = ScramClient::new(proof, binding, self.nonce);
        let first = scram.client_first();
        // SASLInitialResponse: mechanism, NUL, length, data.
        let length = i32::try_from(first.len()).expect("client-first-message is short");
        let body = [mechanism.as_bytes(), &[0], &length.to_be_bytes(), &first].concat();
        Ok((State::ScramFirst(scram), ServerStep::Send(body.into())))
    }

    fn cannot_answer(&self, asked: &'static str) -> ServerLoginError {
        match &self.credentials {
            Credentials::ScramSecret => ServerLoginError::NoScramKeys,
            other => ServerLoginError::CannotAnswer { asked, have: other.kind() },
        }
    }
}

/// A string as the protocol has it.
fn terminated(text: &[u8]) -> Bytes {
    [text, &[0]].concat().into()
}

fn name_of(message: &Authentication) -> &'static str {
    match message {
        Authentication::Ok => "AuthenticationOk",
        Authentication::CleartextPassword => "AuthenticationCleartextPassword",
        Authentication::Md5Password { .. } => "AuthenticationMD5Password",
        Authentication::Sasl { .. } => "AuthenticationSASL",
        Authentication::SaslContinue { .. } => "AuthenticationSASLContinue",
        Authentication::SaslFinal { .. } => "AuthenticationSASLFinal",
        Authentication::Other { .. } => "an Authentication message of another method",
    }
}

#[cfg(test)]
mod tests;
