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
mod tests {
    use postgres_protocol::authentication::{md5_hash, sasl};

    use super::*;
    use crate::auth::mock::Likeness;
    use crate::auth::random::MockKey;
    use crate::metrics::AuthFailure;

    const DRAWS: Draws = Draws { nonce: [4; 18], md5_salt: [1, 2, 3, 4] };

    /// Of a user among others that look like this one, if he exists, else like `stranger`.
    fn login_among(
        auth_type: Exchange,
        secret: Option<&str>,
        stranger: Option<Likeness>,
    ) -> ClientLogin {
        let secret = secret.map(Secret::parse);
        let own = secret.as_ref().map_or(Likeness::Plain, Likeness::of);
        let looks = Looks {
            key: MockKey::from_bytes([6; 32]),
            stranger: stranger.unwrap_or(own),
            scram_iterations: 8,
        };
        ClientLogin::new(auth_type, "joe", secret, &DRAWS, &looks)
    }

    fn login(auth_type: Exchange, secret: Option<&str>) -> ClientLogin {
        login_among(auth_type, secret, None)
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
        loop {
            step = match &step {
                ClientStep::Send(message) => {
                    sent.push((message[8], message.len()));
                    login.message(peer.answer(message))
                }
                ClientStep::Derive(derivation) => {
                    sent.push((b'D', derivation.iterations as usize));
                    login.derived(&derivation.run())
                }
                ClientStep::Accepted { .. } | ClientStep::Refused(_) => break,
            };
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

    #[test]
    fn nobody_can_make_us_compute_what_his_secret_asks_for() {
        let secret = scram_secret().replacen("4096", "2147483647", 1);
        let (step, _) = run(login(Exchange::Plain, Some(&secret)), "pencil");
        assert!(matches!(refused(step).reason, Reason::WrongKind { .. }));
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
        let (scram, md5) = (scram_secret(), md5_secret());
        for auth_type in [Exchange::Plain, Exchange::Md5, Exchange::ScramSha256] {
            for secret in ["pencil", &md5, &scram] {
                let likeness = Some(Likeness::of(&Secret::parse(secret)));
                let (known, known_sent) = run(login(auth_type, Some(secret)), "wrong");
                let (unknown, unknown_sent) = run(login_among(auth_type, None, likeness), "wrong");
                let (none, none_sent) = run(login_among(auth_type, Some(""), likeness), "wrong");
                // Keys from a stored password are computed once in the life of a process, and at its start.
                let known_sent: Vec<_> = match (auth_type, secret) {
                    (Exchange::ScramSha256, "pencil") => {
                        known_sent.into_iter().filter(|(code, _)| *code != b'D').collect()
                    }
                    _ => known_sent,
                };
                assert_eq!(known_sent, unknown_sent, "{auth_type:?} {secret}");
                assert_eq!(known_sent, none_sent);
                let (known, unknown, none) = (refused(known), refused(unknown), refused(none));
                assert_eq!(known.client_message(), unknown.client_message());
                assert_eq!(known.sqlstate(), unknown.sqlstate());
                assert_eq!(unknown.failure(), AuthFailure::UnknownUser);
                assert_eq!(none.reason, Reason::NoPassword);
                assert_eq!(none.client_message(), known.client_message());
            }
        }
    }

    #[test]
    fn a_stranger_does_not_get_in_with_any_password_that_his_lookalike_might_have() {
        for likeness in [Likeness::Plain, Likeness::Md5, Likeness::POSTGRESQL] {
            for auth_type in [Exchange::Plain, Exchange::Md5, Exchange::ScramSha256] {
                for password in ["nobody's", "", "x"] {
                    if password.is_empty() && auth_type == Exchange::ScramSha256 {
                        continue; // the client refuses to send that
                    }
                    let (step, _) = run(login_among(auth_type, None, Some(likeness)), password);
                    refused(step);
                }
            }
        }
    }

    #[test]
    fn the_salt_and_the_iterations_of_a_name_stay_and_are_those_of_its_likeness() {
        let first = |secret, stranger| {
            let mut login = login_among(Exchange::ScramSha256, secret, stranger);
            login.start();
            let scram = sasl::ScramSha256::new(b"x", sasl::ChannelBinding::unrequested());
            let ClientStep::Send(message) =
                login.message(initial("SCRAM-SHA-256", scram.message()))
            else {
                panic!("no server-first-message")
            };
            let text = String::from_utf8_lossy(&message[9..]).into_owned();
            text.split_once(",s=").map(|(_, rest)| rest.to_owned()).expect("a salt")
        };
        let plain = first(Some("pencil"), None);
        assert!(plain.ends_with("==,i=8"), "{plain}");
        assert_eq!(first(None, Some(Likeness::Plain)), plain);
        let likeness = Likeness::Scram { salt_bytes: 33, iterations: 10_000 };
        let other = first(None, Some(likeness));
        assert!(other.len() == 44 + ",i=10000".len() && other.ends_with(",i=10000"), "{other}");
        assert_eq!(first(None, Some(likeness)), other);
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
                let not_offered =
                    body.starts_with(b"SCRAM-SHA-1\0") || body.starts_with(b"SCRAM-SHA-256-PLUS\0");
                let words = match not_offered {
                    true => "client selected an invalid SASL authentication mechanism",
                    false => "SASL authentication failed",
                };
                assert_eq!(error.client_message(), words);
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
            match login.message(Bytes::copy_from_slice(scram.message())) {
                ClientStep::Derive(derivation) => login.derived(&derivation.run()),
                step => step,
            }
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
