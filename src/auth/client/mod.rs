//! Letting a client in: which messages it is asked with, and what its answers are worth.
//!
//! ```text
//! start() ── any, trust ───────────────────────────────────────▶ Accepted | Refused
//!   ├── plain, md5 ──▶ Password ── message() ──────────────────▶ Accepted | Refused
//!   └── SCRAM ──▶ ScramFirst ── message() ──▶ ScramFinal ── message() ──▶ Accepted | Refused
//! ```
//! Where PBKDF2 is needed to tell, the last `message()` gives `Derive`, and `derived()` the verdict.
//! A user that does not exist, or could not log in like this, is asked as one that does and refused in the same words
//! at the same place. The one exception is `trust`, which has nothing to ask (as in pgbouncer).
//! `AuthenticationOk` is not sent from here: it begins the welcome, which is another room's business.

use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use pgweir_codec::backend::Authentication;
use pgweir_codec::frontend::SaslInitialResponse;

use super::derive::Derivation;
use super::md5;
use super::mock::Looks;
use super::plan::{Check, Verdict, plan};
use super::random::Draws;
use super::refusal::{AuthError, MAX_PASSWORD_BYTES, Method, Reason};
use super::scram::{
    Channel, Keys, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramError, ScramKeys, ScramServer,
};
use super::secret::{Secret, Verifier};
use crate::config::SecretText;

/// What a client's login has shown, beyond that it may come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proven {
    /// Nothing: it was trusted.
    Nothing,
    /// It sent its password in the clear; this is it.
    Password(SecretText),
    /// It knows the password, or what is stored for md5.
    Md5,
    /// It knows the password, and its proof gave these keys away.
    Scram(ScramKeys),
}

/// What to do next with a client that logs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientStep {
    /// Send these bytes (one whole message) and hand the next `p` message to [`ClientLogin::message`].
    Send(Bytes),
    /// Do this, which takes long, and hand what comes out to [`ClientLogin::derived`].
    Derive(Derivation),
    /// It is in.
    Accepted {
        /// Bytes that must go out before AuthenticationOk.
        send: Option<Bytes>,
        /// What was learnt on the way.
        proven: Proven,
    },
    /// It is not; tell it [`AuthError::client_message`] and close.
    Refused(AuthError),
}

/// An `auth_type`, or a method of `auth_hba_file`, that is an exchange of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// Any user name, no password.
    Any,
    /// The user must exist; no password.
    Trust,
    /// The password in the clear.
    Plain,
    /// MD5, or SCRAM where the stored secret is a SCRAM secret.
    Md5,
    /// SCRAM-SHA-256.
    ScramSha256,
}

/// One client's login.
pub struct ClientLogin {
    user: String,
    method: Method,
    /// The hash of the certificate that the client was shown, which it may bind to.
    end_point: Option<Arc<[u8]>>,
    state: State,
}

impl fmt::Debug for ClientLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, method, .. } = self;
        f.debug_struct("ClientLogin")
            .field("user", user)
            .field("method", method)
            .finish_non_exhaustive()
    }
}

/// See the head of this file for the transitions.
enum State {
    /// Nothing was said yet.
    Start(Check),
    /// A password or its hash is awaited.
    Password(Check),
    /// SASLInitialResponse is awaited.
    ScramFirst(ScramServer, Verdict),
    /// client-final-message is awaited.
    ScramFinal(ScramServer, Verdict),
    /// Keys are awaited: those of the stored password, for this client-final-message.
    ScramDerive(ScramServer, Verdict, Bytes),
    /// Keys are awaited: those of the password that was sent, to be held against this.
    PlainDerive(Verifier, Verdict, Vec<u8>),
    /// Accepted or refused.
    Over,
}

impl ClientLogin {
    /// Before anything was sent. `secret` is `None` for a user that is not known. With [`Exchange::Any`] the caller has
    /// checked that the database entry forces a user.
    pub fn new(
        exchange: Exchange,
        user: &str,
        secret: Option<Secret>,
        draws: &Draws,
        looks: &Looks,
    ) -> Self {
        let (method, check) = plan(exchange, user, secret, draws, looks);
        Self { user: user.to_owned(), method, end_point: None, state: State::Start(check) }
    }

    /// Offers channel binding too (SCRAM-SHA-256-PLUS), where the client is asked with SCRAM. `end_point` is the hash
    /// of the certificate that it was shown ([`crate::net::tls::server_end_point`]); `None` without TLS.
    #[must_use]
    pub fn bound_to(mut self, end_point: Option<Arc<[u8]>>) -> Self {
        self.end_point = end_point;
        self
    }

    /// How the client is asked.
    pub fn method(&self) -> Method {
        self.method
    }

    /// Begins. To be called once, first.
    pub fn start(&mut self) -> ClientStep {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Start(Check::Asked(Ok(()))) => {
                ClientStep::Accepted { send: None, proven: Proven::Nothing }
            }
            State::Start(Check::Asked(Err(reason))) => self.refuse(reason),
            State::Start(check @ Check::Plain(..)) => {
                self.state = State::Password(check);
                send(&Authentication::CleartextPassword)
            }
            State::Start(check @ Check::Md5 { salt, .. }) => {
                self.state = State::Password(check);
                send(&Authentication::Md5Password { salt })
            }
            State::Start(Check::Scram(scram, verdict)) => {
                self.state = State::ScramFirst(scram, verdict);
                // The stronger first, as PostgreSQL has it.
                let plus = self.end_point.is_some().then_some(SCRAM_SHA_256_PLUS);
                let mechanisms = plus.into_iter().chain([SCRAM_SHA_256]);
                let mechanisms = mechanisms.map(|name| Bytes::from_static(name.as_bytes()));
                send(&Authentication::Sasl { mechanisms: mechanisms.collect() })
            }
            _ => self.refuse(Reason::OutOfPlace),
        }
    }

    /// Takes the body of a `p` message.
    pub fn message(&mut self, body: Bytes) -> ClientStep {
        let outcome = match std::mem::replace(&mut self.state, State::Over) {
            State::Password(check) => self.password(check, &body),
            State::ScramFirst(scram, verdict) => self.scram_first(scram, verdict, body),
            State::ScramFinal(scram, verdict) => match self.scram_derivation(&scram) {
                Some(derivation) => {
                    self.state = State::ScramDerive(scram, verdict, body);
                    Ok(ClientStep::Derive(derivation))
                }
                None => scram_final(scram, verdict, &body),
            },
            _ => Err(Reason::OutOfPlace),
        };
        outcome.unwrap_or_else(|reason| self.refuse(reason))
    }

    /// Takes what a [`ClientStep::Derive`] came to.
    pub fn derived(&mut self, keys: &Keys) -> ClientStep {
        let outcome = match std::mem::replace(&mut self.state, State::Over) {
            State::ScramDerive(mut scram, verdict, body) => {
                scram.provide(keys);
                scram_final(scram, verdict, &body)
            }
            State::PlainDerive(verifier, verdict, password) => {
                decide(verifier.matches(keys), verdict).map(|()| has_password(&password))
            }
            _ => Err(Reason::OutOfPlace),
        };
        outcome.unwrap_or_else(|reason| self.refuse(reason))
    }

    fn scram_derivation(&self, scram: &ScramServer) -> Option<Derivation> {
        let (password, salt, iterations) = scram.lacks()?;
        Some(Derivation {
            user: self.user.clone(),
            password: password.as_bytes().to_vec(),
            salt: salt.to_vec(),
            iterations,
            stored: true,
        })
    }

    fn password(&mut self, check: Check, body: &[u8]) -> Result<ClientStep, Reason> {
        let answer = password_in(body)?;
        match check {
            Check::Plain(Secret::Scram(verifier), verdict) => {
                let derivation = Derivation {
                    user: self.user.clone(),
                    password: answer.to_vec(),
                    salt: verifier.salt.clone(),
                    iterations: verifier.iterations,
                    stored: false,
                };
                self.state = State::PlainDerive(verifier, verdict, answer.to_vec());
                Ok(ClientStep::Derive(derivation))
            }
            Check::Plain(secret, verdict) => {
                decide(secret.accepts(&self.user, answer), verdict).map(|()| has_password(answer))
            }
            Check::Md5 { stored, salt, verdict } => {
                decide(md5::verify(answer, &stored, salt), verdict)
                    .map(|()| ClientStep::Accepted { send: None, proven: Proven::Md5 })
            }
            Check::Asked(_) | Check::Scram(..) => Err(Reason::OutOfPlace),
        }
    }

    fn scram_first(
        &mut self,
        mut scram: ScramServer,
        verdict: Verdict,
        body: Bytes,
    ) -> Result<ClientStep, Reason> {
        let SaslInitialResponse { mechanism, data } = SaslInitialResponse::decode(body)
            .map_err(|error| Reason::Malformed(error.to_string()))?;
        let channel = match (&self.end_point, &*mechanism) {
            (None, name) if name == SCRAM_SHA_256.as_bytes() => Channel::NotOffered,
            (Some(_), name) if name == SCRAM_SHA_256.as_bytes() => Channel::Declined,
            (Some(hash), name) if name == SCRAM_SHA_256_PLUS.as_bytes() => Channel::EndPoint(hash),
            (_, name) => {
                // Cut short: the name goes to the log.
                let chosen = String::from_utf8_lossy(name).chars().take(64).collect();
                return Err(Reason::Mechanism { chosen });
            }
        };
        let data =
            data.ok_or_else(|| Reason::Malformed("SASLInitialResponse without data".to_owned()))?;
        let server_first = scram.client_first(&data, channel).map_err(Reason::Scram)?;
        self.state = State::ScramFinal(scram, verdict);
        Ok(send(&Authentication::SaslContinue { data: server_first.into() }))
    }

    fn refuse(&self, reason: Reason) -> ClientStep {
        ClientStep::Refused(AuthError { user: self.user.clone(), method: self.method, reason })
    }
}

/// What a PasswordMessage carries: not empty, and not too long.
pub(super) fn password_in(body: &[u8]) -> Result<&[u8], Reason> {
    match body.split_last() {
        Some((0, [])) => Err(Reason::EmptyPassword),
        Some((0, answer)) if answer.contains(&0) => Err(malformed()),
        Some((0, answer)) if answer.len() > MAX_PASSWORD_BYTES => {
            Err(Reason::PasswordTooLong { bytes: answer.len() })
        }
        Some((0, answer)) => Ok(answer),
        _ => Err(malformed()),
    }
}

fn malformed() -> Reason {
    Reason::Malformed("a password must end with its only NUL byte".to_owned())
}

fn scram_final(
    mut scram: ScramServer,
    verdict: Verdict,
    body: &[u8],
) -> Result<ClientStep, Reason> {
    let checked = scram.client_final(body);
    match (checked, verdict) {
        // What broke the protocol is told as that, whoever the user is.
        (Err(error), _) if error != ScramError::WrongProof => Err(Reason::Scram(error)),
        (_, Err(reason)) => Err(reason),
        (Err(_), Ok(())) => Err(Reason::WrongPassword),
        (Ok((server_final, keys)), Ok(())) => {
            let send = Some(encoded(&Authentication::SaslFinal { data: server_final.into() }));
            Ok(ClientStep::Accepted { send, proven: Proven::Scram(keys) })
        }
    }
}

/// An answer was right or not; whether that matters was known before.
fn decide(right: bool, verdict: Verdict) -> Verdict {
    verdict.and(if right { Ok(()) } else { Err(Reason::WrongPassword) })
}

/// It sent the right password.
fn has_password(password: &[u8]) -> ClientStep {
    // Passwords that are no UTF-8 can be right, but not be used further.
    let proven = match std::str::from_utf8(password) {
        Ok(text) => Proven::Password(SecretText::new(text.to_owned())),
        Err(_) => Proven::Nothing,
    };
    ClientStep::Accepted { send: None, proven }
}

fn send(message: &Authentication) -> ClientStep {
    ClientStep::Send(encoded(message))
}

fn encoded(message: &Authentication) -> Bytes {
    let mut out = BytesMut::new();
    message.encode(&mut out);
    out.freeze()
}

#[cfg(test)]
mod tests;
