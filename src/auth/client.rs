//! Letting a client in: which messages it is asked with, and what its answers are worth.
//!
//! ```text
//! start() ── any, trust ───────────────────────────────────────▶ Accepted | Refused
//!   ├── plain, md5 ──▶ Password ── message() ──────────────────▶ Accepted | Refused
//!   └── SCRAM ──▶ ScramFirst ── message() ──▶ ScramFinal ── message() ──▶ Accepted | Refused
//! ```
//! A user that does not exist, or could not log in like this, is asked as one that does and refused in the same words
//! at the same place. The one exception is `trust`, which has nothing to ask (as in pgbouncer).
//! `AuthenticationOk` is not sent from here: it begins the welcome, which is another room's business.

use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use pgweir_codec::backend::Authentication;
use pgweir_codec::frontend::SaslInitialResponse;

use super::md5;
use super::random::{Draws, MockKey};
use super::scram::{
    Channel, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramError, ScramKeys, ScramServer,
};
use super::secret::Secret;
use crate::config::SecretText;
use crate::metrics::AuthFailure;

/// Longest password that is looked at, bytes (pgbouncer 1.26's limit).
pub const MAX_PASSWORD_BYTES: usize = 65_535;

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

/// Why a client was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthError {
    /// The user name it gave.
    pub user: String,
    /// How it was asked.
    pub method: Method,
    /// What is wrong. The client is told less.
    pub reason: Reason,
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

/// How a client is asked: follows from the [`Exchange`] and from what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Not at all.
    Trust,
    /// For the password in the clear.
    Plain,
    /// For an md5 hash.
    Md5,
    /// For a SCRAM proof.
    Scram,
    /// Not at all: its certificate tells.
    Cert,
    /// Not at all: the operating system tells.
    Peer,
}

impl Method {
    /// As `auth_type` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trust => "trust",
            Self::Plain => "plain",
            Self::Md5 => "md5",
            Self::Scram => "scram-sha-256",
            Self::Cert => "cert",
            Self::Peer => "peer",
        }
    }
}

/// See [`AuthError`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Neither `auth_file` nor auth_query knows the user.
    UnknownUser,
    /// The user has no password.
    NoPassword,
    /// What is stored (its kind) cannot serve this method.
    WrongKind {
        /// See [`Secret::kind`].
        stored: &'static str,
    },
    /// The password is wrong.
    WrongPassword,
    /// The client sent an empty password.
    EmptyPassword,
    /// Longer than [`MAX_PASSWORD_BYTES`].
    PasswordTooLong {
        /// Its length.
        bytes: usize,
    },
    /// The SCRAM exchange failed, other than by a wrong proof.
    Scram(ScramError),
    /// The client chose a SASL mechanism that was not offered.
    Mechanism {
        /// Its name.
        chosen: String,
    },
    /// A message that cannot be read.
    Malformed(String),
    /// A message although none was asked for.
    OutOfPlace,
    /// `cert` without TLS.
    NoTls,
    /// `cert` without a checked certificate.
    NoCertificate,
    /// `cert`: the certificate has not exactly one common name.
    NoCommonName,
    /// `peer`: the system has no name for who is at the other end, or there is no Unix-domain socket.
    NoOwner,
    /// `cert`, `peer`: the name is not the user's.
    OtherName {
        /// The name.
        name: String,
    },
    /// `cert`, `peer`: the ident map does not lead from the name to the user.
    NotMapped {
        /// The map.
        map: String,
        /// The name.
        name: String,
    },
}

impl AuthError {
    /// What the client is told: pgbouncer's texts.
    pub fn client_message(&self) -> &'static str {
        match (&self.reason, self.method) {
            (Reason::EmptyPassword, _) => "empty password returned by client",
            (Reason::PasswordTooLong { .. }, _) => "password too long",
            (_, Method::Trust) => "\"trust\" authentication failed",
            (_, Method::Plain | Method::Md5) => "password authentication failed",
            (_, Method::Scram) => "SASL authentication failed",
            (_, Method::Cert) => "certificate authentication failed",
            (_, Method::Peer) => "unix socket login rejected",
        }
    }

    /// PostgreSQL's code for it: `invalid_password`, `protocol_violation`, or, where no password was asked for,
    /// `invalid_authorization_specification`. (pgbouncer says 08P01 to all of it.)
    pub fn sqlstate(&self) -> &'static str {
        match (self.failure(), self.method) {
            (AuthFailure::Protocol, _) => "08P01",
            (_, Method::Trust | Method::Cert | Method::Peer) => "28000",
            _ => "28P01",
        }
    }

    /// How it is counted.
    pub fn failure(&self) -> AuthFailure {
        match self.reason {
            Reason::UnknownUser => AuthFailure::UnknownUser,
            Reason::NoPassword
            | Reason::WrongKind { .. }
            | Reason::WrongPassword
            | Reason::EmptyPassword
            | Reason::PasswordTooLong { .. } => AuthFailure::Password,
            Reason::Scram(_)
            | Reason::Mechanism { .. }
            | Reason::Malformed(_)
            | Reason::OutOfPlace => AuthFailure::Protocol,
            Reason::NoTls => AuthFailure::TlsRequired,
            Reason::NoCertificate | Reason::NoCommonName => AuthFailure::Certificate,
            Reason::NoOwner => AuthFailure::Peer,
            Reason::OtherName { .. } | Reason::NotMapped { .. } => match self.method {
                Method::Peer => AuthFailure::Peer,
                _ => AuthFailure::Certificate,
            },
        }
    }
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "user {:?} ({}): ", self.user, self.method.name())?;
        match &self.reason {
            Reason::UnknownUser => f.write_str(
                "no such user in auth_file, nor through auth_query (which needs auth_user)",
            ),
            Reason::NoPassword => {
                f.write_str("the user has no password stored (or it is past VALID UNTIL)")
            }
            Reason::WrongKind { stored } => {
                write!(
                    f,
                    "{stored} is stored, which cannot serve this auth_type; store the password anew with \
                           password_encryption = scram-sha-256, or set auth_type = md5"
                )
            }
            Reason::WrongPassword => f.write_str("wrong password"),
            Reason::EmptyPassword => f.write_str("the client sent an empty password"),
            Reason::PasswordTooLong { bytes } => {
                write!(
                    f,
                    "the client sent a password of {bytes} bytes; at most {MAX_PASSWORD_BYTES} are read"
                )
            }
            Reason::Scram(error) => write!(f, "the client broke the exchange: {error}"),
            Reason::Mechanism { chosen } => {
                write!(
                    f,
                    "the client chose SASL mechanism {chosen:?}, which was not offered; there is {SCRAM_SHA_256}, \
                     and over TLS {SCRAM_SHA_256_PLUS}"
                )
            }
            Reason::Malformed(what) => {
                write!(f, "the client sent a message that makes no sense: {what}")
            }
            Reason::OutOfPlace => {
                f.write_str("the client sent a password although none was asked for")
            }
            // pgbouncer's words come first.
            Reason::NoTls => f.write_str("TLS connection required"),
            Reason::NoCertificate => f.write_str("TLS client certificate required"),
            Reason::NoCommonName => f.write_str(
                "TLS certificate name mismatch: the certificate has not exactly one common name",
            ),
            Reason::NoOwner => f.write_str(
                "peer needs a Unix-domain socket, and a name for the user id at its other end",
            ),
            Reason::OtherName { name } if self.method == Method::Cert => {
                write!(f, "TLS certificate name mismatch: it names {name:?}")
            }
            Reason::OtherName { name } => write!(f, "the process belongs to {name:?}"),
            Reason::NotMapped { map, name } if self.method == Method::Cert => {
                write!(f, "ident map: {map} does not have a match for {name:?}")
            }
            Reason::NotMapped { map, name } => {
                write!(f, "ident map {map} cannot be matched for {name:?}")
            }
        }
    }
}

impl std::error::Error for AuthError {}

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
    ScramFirst(ScramServer, Result<(), Reason>),
    /// client-final-message is awaited.
    ScramFinal(ScramServer, Result<(), Reason>),
    /// Accepted or refused.
    Over,
}

/// What decides in the end.
enum Check {
    /// Nobody asks.
    Open,
    /// Whatever the answer, the client is refused; the reason is the operator's.
    Never(Reason),
    /// The password in the clear.
    Plain(Secret),
    /// The hash of what is stored with this salt.
    Md5 { stored: [u8; 32], salt: [u8; 4] },
    /// As `Never`, but asked with this salt.
    MockMd5 { reason: Reason, salt: [u8; 4] },
    /// The SCRAM exchange; `Err`: it is a mock, and why.
    Scram(ScramServer, Result<(), Reason>),
}

impl ClientLogin {
    /// Before anything was sent. `secret` is `None` for a user that is not known. With [`Exchange::Any`] the caller has
    /// checked that the database entry forces a user.
    pub fn new(
        exchange: Exchange,
        user: &str,
        secret: Option<Secret>,
        draws: &Draws,
        key: &MockKey,
    ) -> Self {
        let (method, check) = plan(exchange, user, secret, draws, key);
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
            State::Start(Check::Open) => {
                ClientStep::Accepted { send: None, proven: Proven::Nothing }
            }
            State::Start(Check::Never(reason)) if self.method == Method::Trust => {
                self.refuse(reason)
            }
            State::Start(check @ (Check::Never(_) | Check::Plain(_))) => {
                self.state = State::Password(check);
                send(&Authentication::CleartextPassword)
            }
            State::Start(check @ (Check::Md5 { salt, .. } | Check::MockMd5 { salt, .. })) => {
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
            State::Password(_) | State::ScramFirst(..) | State::ScramFinal(..) | State::Over => {
                self.refuse(Reason::OutOfPlace)
            }
        }
    }

    /// Takes the body of a `p` message.
    pub fn message(&mut self, body: Bytes) -> ClientStep {
        let outcome = match std::mem::replace(&mut self.state, State::Over) {
            State::Password(check) => self.password(check, &body),
            State::ScramFirst(scram, verdict) => self.scram_first(scram, verdict, body),
            State::ScramFinal(scram, verdict) => scram_final(scram, verdict, &body),
            State::Start(_) | State::Over => Err(Reason::OutOfPlace),
        };
        outcome.unwrap_or_else(|reason| self.refuse(reason))
    }

    fn password(&self, check: Check, body: &[u8]) -> Result<ClientStep, Reason> {
        let answer = match body.split_last() {
            Some((0, answer)) if !answer.contains(&0) => answer,
            _ => {
                return Err(Reason::Malformed(
                    "a password must end with its only NUL byte".to_owned(),
                ));
            }
        };
        if answer.is_empty() {
            return Err(Reason::EmptyPassword);
        }
        if answer.len() > MAX_PASSWORD_BYTES {
            return Err(Reason::PasswordTooLong { bytes: answer.len() });
        }
        let proven = match check {
            Check::Plain(secret) if secret.accepts(&self.user, answer) => {
                // Passwords that are no UTF-8 can be right, but not be used further.
                let text = std::str::from_utf8(answer).ok();
                text.map_or(Proven::Nothing, |text| {
                    Proven::Password(SecretText::new(text.to_owned()))
                })
            }
            Check::Md5 { stored, salt } if md5::verify(answer, &stored, salt) => Proven::Md5,
            Check::Plain(_) | Check::Md5 { .. } => return Err(Reason::WrongPassword),
            Check::Never(reason) | Check::MockMd5 { reason, .. } => return Err(reason),
            Check::Open | Check::Scram(..) => return Err(Reason::OutOfPlace),
        };
        Ok(ClientStep::Accepted { send: None, proven })
    }

    fn scram_first(
        &mut self,
        mut scram: ScramServer,
        verdict: Result<(), Reason>,
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

fn scram_final(
    mut scram: ScramServer,
    verdict: Result<(), Reason>,
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

/// How to ask a client, and what to hold its answer against.
fn plan(
    exchange: Exchange,
    user: &str,
    secret: Option<Secret>,
    draws: &Draws,
    key: &MockKey,
) -> (Method, Check) {
    let scram = |server, verdict| (Method::Scram, Check::Scram(server, verdict));
    let mock_scram = |reason| scram(ScramServer::mock(user, key, draws.nonce), Err(reason));
    let mock_md5 = |reason| (Method::Md5, Check::MockMd5 { reason, salt: draws.md5_salt });
    let md5 = |stored| (Method::Md5, Check::Md5 { stored, salt: draws.md5_salt });
    match (exchange, secret) {
        (Exchange::Any, _) | (Exchange::Trust, Some(_)) => (Method::Trust, Check::Open),
        (Exchange::Trust, None) => (Method::Trust, Check::Never(Reason::UnknownUser)),

        (Exchange::Plain, None) => (Method::Plain, Check::Never(Reason::UnknownUser)),
        (Exchange::Plain, Some(Secret::Plain(password))) if password.is_empty() => {
            (Method::Plain, Check::Never(Reason::NoPassword))
        }
        (Exchange::Plain, Some(secret)) => (Method::Plain, Check::Plain(secret)),

        // A SCRAM secret is of no use to md5: PostgreSQL and pgbouncer both change to SCRAM then.
        (Exchange::Md5 | Exchange::ScramSha256, Some(Secret::Scram(verifier))) => {
            scram(ScramServer::with_verifier(verifier, draws.nonce), Ok(()))
        }
        (Exchange::Md5, None) => mock_md5(Reason::UnknownUser),
        (Exchange::Md5, Some(Secret::Plain(password))) if password.is_empty() => {
            mock_md5(Reason::NoPassword)
        }
        (Exchange::Md5, Some(Secret::Plain(password))) => {
            md5(md5::stored(password.as_bytes(), user))
        }
        (Exchange::Md5, Some(Secret::Md5(stored))) => md5(stored),

        (Exchange::ScramSha256, None) => mock_scram(Reason::UnknownUser),
        (Exchange::ScramSha256, Some(Secret::Plain(password))) if password.is_empty() => {
            mock_scram(Reason::NoPassword)
        }
        (Exchange::ScramSha256, Some(Secret::Plain(password))) => {
            scram(ScramServer::with_password(user, password, key, draws.nonce), Ok(()))
        }
        (Exchange::ScramSha256, Some(secret @ Secret::Md5(_))) => {
            mock_scram(Reason::WrongKind { stored: secret.kind() })
        }
    }
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
mod tests {
    use postgres_protocol::authentication::{md5_hash, sasl};

    use super::*;

    const DRAWS: Draws = Draws { nonce: [4; 18], md5_salt: [1, 2, 3, 4] };

    fn login(auth_type: Exchange, secret: Option<&str>) -> ClientLogin {
        ClientLogin::new(
            auth_type,
            "joe",
            secret.map(Secret::parse),
            &DRAWS,
            &MockKey::from_bytes([6; 32]),
        )
    }

    /// What a client answers to what it was sent, as libpq does.
    struct Peer {
        password: &'static str,
        scram: Option<sasl::ScramSha256>,
    }

    impl Peer {
        fn new(password: &'static str) -> Self {
            Self { password, scram: None }
        }

        fn answer(&mut self, message: &Bytes) -> Bytes {
            match Authentication::decode(message.slice(5..)).unwrap() {
                Authentication::CleartextPassword => format!("{}\0", self.password).into(),
                Authentication::Md5Password { salt } => {
                    format!("{}\0", md5_hash(b"joe", self.password.as_bytes(), salt)).into()
                }
                Authentication::Sasl { mechanisms } => {
                    assert_eq!(mechanisms, ["SCRAM-SHA-256"]);
                    let binding = sasl::ChannelBinding::unrequested();
                    let scram = self
                        .scram
                        .insert(sasl::ScramSha256::new(self.password.as_bytes(), binding));
                    initial("SCRAM-SHA-256", scram.message())
                }
                Authentication::SaslContinue { data } => {
                    let scram = self.scram.as_mut().unwrap();
                    scram.update(&data).unwrap();
                    Bytes::copy_from_slice(scram.message())
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn initial(mechanism: &str, data: &[u8]) -> Bytes {
        [mechanism.as_bytes(), &[0], &(data.len() as u32).to_be_bytes(), data].concat().into()
    }

    /// Runs a login to its end; also which messages were sent (their codes and lengths).
    fn run(mut login: ClientLogin, password: &'static str) -> (ClientStep, Vec<(u8, usize)>) {
        let mut peer = Peer::new(password);
        let mut sent = Vec::new();
        let mut step = login.start();
        while let ClientStep::Send(message) = &step {
            sent.push((message[8], message.len()));
            step = login.message(peer.answer(message));
        }
        if let (ClientStep::Accepted { send: Some(send), .. }, Some(scram)) =
            (&step, &mut peer.scram)
        {
            let Ok(Authentication::SaslFinal { data }) = Authentication::decode(send.slice(5..))
            else {
                panic!()
            };
            scram.finish(&data).unwrap();
        }
        (step, sent)
    }

    fn accepted(step: &ClientStep) -> bool {
        matches!(step, ClientStep::Accepted { .. })
    }

    fn refused(step: ClientStep) -> AuthError {
        let ClientStep::Refused(error) = step else { panic!("{step:?}") };
        error
    }

    fn scram_secret() -> String {
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:\
         wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
            .to_owned()
    }

    fn md5_secret() -> String {
        format!("md5{}", String::from_utf8(md5::stored(b"pencil", "joe").to_vec()).unwrap())
    }

    #[test]
    fn the_right_password_gets_in_with_every_method_and_kind_of_secret_that_fit() {
        let (scram, md5) = (scram_secret(), md5_secret());
        for (auth_type, secret) in [
            (Exchange::Plain, "pencil"),
            (Exchange::Plain, &md5),
            (Exchange::Plain, &scram),
            (Exchange::Md5, "pencil"),
            (Exchange::Md5, &md5),
            (Exchange::Md5, &scram),
            (Exchange::ScramSha256, "pencil"),
            (Exchange::ScramSha256, &scram),
        ] {
            let (step, _) = run(login(auth_type, Some(secret)), "pencil");
            assert!(accepted(&step), "{auth_type:?} {secret} {step:?}");
            let (step, _) = run(login(auth_type, Some(secret)), "pen");
            assert_eq!(refused(step).reason, Reason::WrongPassword, "{auth_type:?} {secret}");
        }
    }

    #[test]
    fn trust_wants_a_user_that_exists_and_any_wants_nothing() {
        assert!(accepted(&login(Exchange::Any, None).start()));
        assert!(accepted(&login(Exchange::Trust, Some("")).start()));
        let error = refused(login(Exchange::Trust, None).start());
        assert_eq!(error.client_message(), "\"trust\" authentication failed");
        assert_eq!(error.sqlstate(), "28000");
        assert_eq!(error.failure(), AuthFailure::UnknownUser);
    }

    #[test]
    fn an_unknown_user_is_asked_and_refused_as_one_with_a_wrong_password() {
        for auth_type in [Exchange::Plain, Exchange::Md5, Exchange::ScramSha256] {
            let (known, known_sent) = run(login(auth_type, Some("pencil")), "wrong");
            let (unknown, unknown_sent) = run(login(auth_type, None), "wrong");
            let (none, none_sent) = run(login(auth_type, Some("")), "wrong");
            assert_eq!(known_sent, unknown_sent);
            assert_eq!(known_sent, none_sent);
            let (known, unknown, none) = (refused(known), refused(unknown), refused(none));
            assert_eq!(known.client_message(), unknown.client_message());
            assert_eq!(known.sqlstate(), unknown.sqlstate());
            assert_eq!(unknown.failure(), AuthFailure::UnknownUser);
            assert_eq!(none.reason, Reason::NoPassword);
            assert_eq!(none.client_message(), known.client_message());
        }
    }

    #[test]
    fn refusals_read_as_pgbouncers() {
        let of = |auth_type, secret, password| {
            let error = refused(run(login(auth_type, secret), password).0);
            (error.client_message(), error.sqlstate())
        };
        assert_eq!(
            of(Exchange::Plain, Some("a"), "b"),
            ("password authentication failed", "28P01")
        );
        assert_eq!(of(Exchange::Md5, Some("a"), "b"), ("password authentication failed", "28P01"));
        assert_eq!(
            of(Exchange::ScramSha256, Some("a"), "b"),
            ("SASL authentication failed", "28P01")
        );
        assert_eq!(
            of(Exchange::Plain, Some("a"), ""),
            ("empty password returned by client", "28P01")
        );
    }

    #[test]
    fn an_md5_secret_does_not_serve_scram_and_the_operator_learns_it() {
        let (step, _) = run(login(Exchange::ScramSha256, Some(&md5_secret())), "pencil");
        let error = refused(step);
        assert_eq!(error.client_message(), "SASL authentication failed");
        let shown = error.to_string();
        assert!(shown.contains("\"joe\"") && shown.contains("an md5 secret"), "{shown}");
    }

    #[test]
    fn a_scram_login_gives_away_keys_and_a_plain_one_the_password() {
        let (step, _) = run(login(Exchange::Md5, Some(&scram_secret())), "pencil");
        let ClientStep::Accepted { proven: Proven::Scram(keys), send: Some(_) } = step else {
            panic!("{step:?}")
        };
        assert_eq!(keys.iterations, 4096);
        let (step, _) = run(login(Exchange::Plain, Some(&scram_secret())), "pencil");
        let ClientStep::Accepted { proven: Proven::Password(password), send: None } = step else {
            panic!()
        };
        assert_eq!(password.reveal(), "pencil");
    }

    #[test]
    fn password_messages_that_are_no_string_are_refused() {
        for body in [&b""[..], b"pencil", b"pencil\0\0", b"pen\0cil\0"] {
            let mut login = login(Exchange::Plain, Some("pencil"));
            login.start();
            let error = refused(login.message(Bytes::copy_from_slice(body)));
            assert_eq!(
                (error.failure(), error.sqlstate()),
                (AuthFailure::Protocol, "08P01"),
                "{body:?}"
            );
        }
        let mut login = login(Exchange::Plain, Some("pencil"));
        login.start();
        let error =
            refused(login.message([vec![b'x'; MAX_PASSWORD_BYTES + 1], vec![0]].concat().into()));
        assert_eq!(error.client_message(), "password too long");
    }

    #[test]
    fn sasl_messages_that_do_not_fit_are_refused() {
        for body in [
            Bytes::new(),
            initial("SCRAM-SHA-256-PLUS", b"p=tls-server-end-point,,n=,r=abc"),
            initial("SCRAM-SHA-1", b"n,,n=,r=abc"),
            initial("SCRAM-SHA-256", b""),
            initial("SCRAM-SHA-256", b"n,,n=,r="),
            Bytes::from_static(b"SCRAM-SHA-256\0\xff\xff\xff\xff"),
            Bytes::from_static(b"SCRAM-SHA-256\0\x7f\xff\xff\xffn,,n=,r=abc"),
        ] {
            for secret in [Some("pencil"), None] {
                let mut login = login(Exchange::ScramSha256, secret);
                login.start();
                let error = refused(login.message(body.clone()));
                assert_eq!(error.client_message(), "SASL authentication failed");
                assert_eq!(error.failure(), AuthFailure::Protocol, "{body:?}");
            }
        }
    }

    #[test]
    fn over_tls_channel_binding_is_offered_to_everybody_and_checked() {
        let binding = |hash: [u8; 32]| sasl::ChannelBinding::tls_server_end_point(hash.to_vec());
        let attempt = |secret, mechanism: &str, binding| {
            let mut login =
                login(Exchange::ScramSha256, secret).bound_to(Some(Arc::from([9; 32].as_slice())));
            let ClientStep::Send(offer) = login.start() else { panic!("nothing was offered") };
            assert_eq!(
                Authentication::decode(offer.slice(5..)),
                Ok(Authentication::Sasl {
                    mechanisms: vec!["SCRAM-SHA-256-PLUS".into(), "SCRAM-SHA-256".into()]
                })
            );
            let mut scram = sasl::ScramSha256::new(b"pencil", binding);
            let first = match login.message(initial(mechanism, scram.message())) {
                ClientStep::Send(first) => first,
                step => return step,
            };
            let Ok(Authentication::SaslContinue { data }) =
                Authentication::decode(first.slice(5..))
            else {
                panic!("no server-first-message")
            };
            scram.update(&data).unwrap();
            login.message(Bytes::copy_from_slice(scram.message()))
        };
        let (plus, without) = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256");
        let joe = Some("pencil");
        assert!(accepted(&attempt(joe, plus, binding([9; 32]))));
        assert!(accepted(&attempt(joe, without, sasl::ChannelBinding::unsupported())));
        for (secret, mechanism, binding, failure) in [
            (joe, plus, binding([8; 32]), AuthFailure::Protocol),
            (joe, plus, sasl::ChannelBinding::unsupported(), AuthFailure::Protocol),
            (joe, plus, sasl::ChannelBinding::unrequested(), AuthFailure::Protocol),
            (joe, without, binding([9; 32]), AuthFailure::Protocol),
            // `y`: the client could bind and was made to believe that we cannot.
            (joe, without, sasl::ChannelBinding::unrequested(), AuthFailure::Protocol),
            (None, plus, binding([9; 32]), AuthFailure::UnknownUser),
            (None, plus, binding([8; 32]), AuthFailure::Protocol),
        ] {
            let error = refused(attempt(secret, mechanism, binding));
            assert_eq!(error.client_message(), "SASL authentication failed");
            assert_eq!(error.failure(), failure, "{mechanism} {error}");
        }
    }

    #[test]
    fn nothing_can_follow_a_verdict_or_come_before_the_question() {
        let mut early = login(Exchange::Plain, Some("pencil"));
        assert_eq!(
            refused(early.message(Bytes::from_static(b"pencil\0"))).reason,
            Reason::OutOfPlace
        );
        assert_eq!(refused(early.start()).reason, Reason::OutOfPlace);

        let mut late = login(Exchange::Plain, Some("pencil"));
        late.start();
        assert_eq!(
            refused(late.message(Bytes::from_static(b"pen\0"))).reason,
            Reason::WrongPassword
        );
        assert_eq!(
            refused(late.message(Bytes::from_static(b"pencil\0"))).reason,
            Reason::OutOfPlace
        );
    }

    #[test]
    fn what_is_shown_of_a_login_holds_no_secret() {
        for auth_type in [Exchange::Plain, Exchange::Md5, Exchange::ScramSha256] {
            let mut login = login(auth_type, Some("hunter2"));
            assert!(!format!("{login:?}").contains("hunter2"));
            login.start();
            assert!(!format!("{login:?}").contains("hunter2"));
        }
        let (step, _) = run(login(Exchange::Plain, Some("hunter2")), "hunter2");
        assert!(!format!("{step:?}").contains("hunter2"));
    }
}
