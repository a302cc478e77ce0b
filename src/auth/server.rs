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

use std::fmt;

use bytes::Bytes;
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

/// Why we cannot log in, as far as it is not the server that refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerLoginError {
    /// The server asks for what our credentials cannot give.
    CannotAnswer {
        /// What it asks for.
        asked: &'static str,
        /// What we have.
        have: &'static str,
    },
    /// Only a SCRAM secret is at hand, and no client has logged in with SCRAM.
    NoScramKeys,
    /// The server asks for a method that is not implemented.
    Unsupported {
        /// Its code.
        code: u32,
    },
    /// The server offers SASL, but no mechanism we know.
    NoMechanism {
        /// Those it offers.
        offered: String,
    },
    /// The SCRAM exchange failed.
    Scram(ScramError),
    /// The server said AuthenticationOk before it proved that it knows our secret.
    Unproven,
    /// A message that has no place at this point.
    OutOfPlace {
        /// Its name.
        message: &'static str,
    },
    /// A message that cannot be read.
    Malformed(String),
}

impl fmt::Display for ServerLoginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CannotAnswer { asked, have: "no password" } => write!(
                f,
                "the server asks for {asked}, and pgweir has no password for this user; add it to auth_file, or \
                 password= in [databases]"
            ),
            Self::CannotAnswer { asked, have } => write!(
                f,
                "the server asks for {asked}, which {have} cannot answer; store the plain password in auth_file, or \
                 password= in [databases], or store the same kind of secret as the server does"
            ),
            Self::NoScramKeys => f.write_str(
                "cannot do SCRAM authentication: password is SCRAM secret but client authentication did not provide \
                 SCRAM keys; store the plain password for this user, or let clients log in as this user with SCRAM",
            ),
            Self::Unsupported { code } => write!(
                f,
                "the server asks for authentication method {code}{}, which pgweir does not have; allow scram-sha-256 \
                 for this host in pg_hba.conf",
                match code {
                    2 => " (Kerberos V5)",
                    7 | 8 => " (GSSAPI)",
                    9 => " (SSPI)",
                    _ => "",
                }
            ),
            Self::NoMechanism { offered } => {
                write!(f, "the server offers only SASL mechanisms pgweir does not have: {offered}")
            }
            Self::Scram(ScramError::WrongProof) => f.write_str(
                "the server could not prove that it knows this user's secret; is it the server it should be?",
            ),
            Self::Scram(error) => write!(f, "SCRAM with the server failed: {error}"),
            Self::Unproven => f.write_str(
                "the server broke off a SCRAM exchange with AuthenticationOk, without proof that it knows this user's \
                 secret; is it the server it should be?",
            ),
            Self::OutOfPlace { message } => write!(f, "the server sent {message} where it has no place"),
            Self::Malformed(what) => write!(f, "the server sent an Authentication message that makes no sense: {what}"),
        }
    }
}

impl std::error::Error for ServerLoginError {}

impl From<ScramError> for ServerLoginError {
    fn from(error: ScramError) -> Self {
        Self::Scram(error)
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
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::auth::client::Proven;
    use crate::auth::scram::{Channel, ScramServer};
    use crate::auth::secret::{Secret, Verifier};

    const DRAWS: Draws = Draws { nonce: [2; 18], md5_salt: [0; 4] };

    fn login(credentials: Credentials) -> ServerLogin {
        ServerLogin::with_draws("joe", credentials, &DRAWS)
    }

    fn body(message: &Authentication) -> Bytes {
        let mut out = BytesMut::new();
        message.encode(&mut out);
        out.freeze().slice(5..)
    }

    fn sasl(names: &[&'static str]) -> Authentication {
        Authentication::Sasl {
            mechanisms: names.iter().map(|name| Bytes::from_static(name.as_bytes())).collect(),
        }
    }

    fn ask(
        login: &mut ServerLogin,
        message: &Authentication,
    ) -> Result<ServerStep, ServerLoginError> {
        login.request(&body(message), None)
    }

    /// The answer to a message, and whether keys had to be computed for it.
    fn answered(
        login: &mut ServerLogin,
        message: &Authentication,
    ) -> Result<(Bytes, bool), ServerLoginError> {
        match ask(login, message)? {
            ServerStep::Send(body) => Ok((body, false)),
            ServerStep::Derive(derivation) => {
                let keys = derivation.run();
                Ok((login.derived(derivation, keys)?, true))
            }
            step => panic!("{step:?}"),
        }
    }

    fn sent(step: Result<ServerStep, ServerLoginError>) -> Bytes {
        let Ok(ServerStep::Send(body)) = step else { panic!("{step:?}") };
        body
    }

    fn password(text: &str) -> Credentials {
        Credentials::password(text)
    }

    fn verifier() -> Verifier {
        Verifier::from_password(b"pencil", b"salt", 16)
    }

    /// SASLInitialResponse's data.
    fn data_of(initial: &Bytes, mechanism: &str) -> Bytes {
        assert_eq!(&initial[..mechanism.len()], mechanism.as_bytes());
        let rest = initial.slice(mechanism.len()..);
        assert_eq!(rest[0], 0);
        assert_eq!(rest[1..5], (rest.len() as u32 - 5).to_be_bytes());
        rest.slice(5..)
    }

    /// A SCRAM login at our own server side.
    fn scram(
        credentials: Credentials,
        mut server: ScramServer,
    ) -> Result<ServerStep, ServerLoginError> {
        let mut login = login(credentials);
        let initial = sent(ask(&mut login, &sasl(&["SCRAM-SHA-256"])));
        let data = server
            .client_first(&data_of(&initial, "SCRAM-SHA-256"), Channel::NotOffered)
            .unwrap()
            .into();
        let last = answered(&mut login, &Authentication::SaslContinue { data })?.0;
        let data = server.client_final(&last).map_err(ServerLoginError::Scram)?.0.into();
        assert_eq!(ask(&mut login, &Authentication::SaslFinal { data })?, ServerStep::Wait);
        ask(&mut login, &Authentication::Ok)
    }

    #[test]
    fn a_server_that_trusts_us_lets_us_in_at_once() {
        assert_eq!(
            ask(&mut login(Credentials::Nothing), &Authentication::Ok),
            Ok(ServerStep::Done)
        );
    }

    #[test]
    fn a_password_answers_every_request() {
        let mut cleartext = login(password("pencil"));
        assert_eq!(sent(ask(&mut cleartext, &Authentication::CleartextPassword)), "pencil\0");
        assert_eq!(ask(&mut cleartext, &Authentication::Ok), Ok(ServerStep::Done));

        let salt = [9, 8, 7, 6];
        let mut md5 = login(password("pencil"));
        let answer = sent(ask(&mut md5, &Authentication::Md5Password { salt }));
        let theirs = postgres_protocol::authentication::md5_hash(b"joe", b"pencil", salt);
        assert_eq!(answer, format!("{theirs}\0"));
        assert_eq!(ask(&mut md5, &Authentication::Ok), Ok(ServerStep::Done));

        let server = ScramServer::with_verifier(verifier(), [1; 18]);
        assert_eq!(scram(password("pencil"), server), Ok(ServerStep::Done));
        let server = ScramServer::with_verifier(verifier(), [1; 18]);
        assert_eq!(
            scram(password("wrong"), server),
            Err(ServerLoginError::Scram(ScramError::WrongProof))
        );
    }

    #[test]
    fn keys_learnt_from_a_client_log_in_at_a_server_with_the_same_secret() {
        // A client proves itself to us...
        let mut learning = ScramServer::with_verifier(verifier(), [1; 18]);
        let mut client =
            ScramClient::new(Proof::Password(b"pencil".to_vec()), Binding::Unable, [7; 18]);
        let first = learning.client_first(&client.client_first(), Channel::NotOffered).unwrap();
        let (_, keys) = learning.client_final(&client.server_first(&first).unwrap()).unwrap();
        let stored = Secret::Scram(verifier());
        // ...and we to the server.
        let credentials = Credentials::from_login(Some(&stored), &Proven::Scram(keys));
        let server = ScramServer::with_verifier(verifier(), [3; 18]);
        assert_eq!(scram(credentials.clone(), server), Ok(ServerStep::Done));

        let other =
            ScramServer::with_verifier(Verifier::from_password(b"pencil", b"other", 16), [3; 18]);
        let error = scram(credentials, other).unwrap_err();
        assert_eq!(error, ServerLoginError::Scram(ScramError::OtherSecret));
        assert!(error.to_string().contains("pg_authid"));
    }

    #[test]
    fn keys_are_computed_once_for_credentials_and_again_when_the_server_stores_another_secret() {
        let credentials = password("pencil");
        let computed = |salt: &[u8]| {
            let verifier = Verifier::from_password(b"pencil", salt, 16);
            let mut server = ScramServer::with_verifier(verifier, [1; 18]);
            let mut login = login(credentials.clone());
            let initial = sent(ask(&mut login, &sasl(&["SCRAM-SHA-256"])));
            let data = server
                .client_first(&data_of(&initial, "SCRAM-SHA-256"), Channel::NotOffered)
                .unwrap()
                .into();
            let (last, computed) =
                answered(&mut login, &Authentication::SaslContinue { data }).unwrap();
            server.client_final(&last).expect("the proof is right");
            computed
        };
        assert_eq!(
            [b"salt", b"salt", b"salz", b"salz"].map(|salt| computed(salt)),
            [true, false, true, false]
        );
        assert_eq!(credentials, password("pencil"), "what was computed makes no difference");
    }

    #[test]
    fn keys_that_nobody_asked_for_are_refused() {
        let derivation = Derivation {
            user: "joe".to_owned(),
            password: b"pencil".to_vec(),
            salt: b"salt".to_vec(),
            iterations: 1,
            stored: true,
        };
        let keys = derivation.run();
        assert!(login(password("pencil")).derived(derivation, keys).is_err());
    }

    #[test]
    fn secrets_answer_only_what_they_can_and_the_operator_learns_what_to_do() {
        let md5 = || Credentials::from_secret(Some(&Secret::Md5(md5::stored(b"pencil", "joe"))));
        assert!(ask(&mut login(md5()), &Authentication::Md5Password { salt: [0; 4] }).is_ok());
        for message in [Authentication::CleartextPassword, sasl(&["SCRAM-SHA-256"])] {
            let error = ask(&mut login(md5()), &message).unwrap_err();
            assert!(error.to_string().contains("store the plain password"), "{error}");
        }
        let secret = Secret::Scram(verifier());
        let error =
            ask(&mut login(Credentials::from_secret(Some(&secret))), &sasl(&["SCRAM-SHA-256"]))
                .unwrap_err();
        assert_eq!(error, ServerLoginError::NoScramKeys);
        assert!(
            error
                .to_string()
                .contains("password is SCRAM secret but client authentication did not provide")
        );
        let error =
            ask(&mut login(Credentials::Nothing), &Authentication::CleartextPassword).unwrap_err();
        assert!(error.to_string().contains("no password for this user"), "{error}");
    }

    #[test]
    fn a_server_that_does_not_finish_its_proof_is_not_believed() {
        let mut hasty = login(password("pencil"));
        sent(ask(&mut hasty, &sasl(&["SCRAM-SHA-256"])));
        assert_eq!(ask(&mut hasty, &Authentication::Ok), Err(ServerLoginError::Unproven));
        // And it gets no second try.
        assert!(ask(&mut hasty, &Authentication::Ok).is_err());

        let mut server = ScramServer::with_verifier(verifier(), [1; 18]);
        let mut login = login(password("pencil"));
        let initial = sent(ask(&mut login, &sasl(&["SCRAM-SHA-256"])));
        let data = server
            .client_first(&data_of(&initial, "SCRAM-SHA-256"), Channel::NotOffered)
            .unwrap()
            .into();
        answered(&mut login, &Authentication::SaslContinue { data }).unwrap();
        assert_eq!(ask(&mut login, &Authentication::Ok), Err(ServerLoginError::Unproven));
    }

    #[test]
    fn a_server_cannot_ask_for_the_password_in_the_clear_after_scram_began() {
        let mut login = login(password("pencil"));
        sent(ask(&mut login, &sasl(&["SCRAM-SHA-256"])));
        let step = ask(&mut login, &Authentication::CleartextPassword);
        assert_eq!(
            step,
            Err(ServerLoginError::OutOfPlace { message: "AuthenticationCleartextPassword" })
        );
    }

    #[test]
    fn the_channel_is_bound_when_both_sides_can() {
        let both = body(&sasl(&["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]));
        let plain = body(&sasl(&["SCRAM-SHA-256"]));
        let plus = body(&sasl(&["SCRAM-SHA-256-PLUS"]));
        let first = |offer: &[u8], hash: Option<&[u8]>| {
            sent(login(password("pencil")).request(offer, hash.map(<[u8]>::to_vec)))
        };
        let bound = first(&both, Some(b"hash"));
        assert!(data_of(&bound, "SCRAM-SHA-256-PLUS").starts_with(b"p=tls-server-end-point,,"));
        assert!(data_of(&first(&plain, Some(b"hash")), "SCRAM-SHA-256").starts_with(b"y,,"));
        assert!(data_of(&first(&both, None), "SCRAM-SHA-256").starts_with(b"n,,"));
        let error = login(password("pencil")).request(&plus, None).unwrap_err();
        assert_eq!(
            error,
            ServerLoginError::NoMechanism { offered: "SCRAM-SHA-256-PLUS".to_owned() }
        );
    }

    #[test]
    fn what_cannot_be_read_or_done_is_named() {
        assert!(matches!(
            login(Credentials::Nothing).request(b"", None),
            Err(ServerLoginError::Malformed(_))
        ));
        let gss = [0, 0, 0, 7];
        let error = login(Credentials::Nothing).request(&gss, None).unwrap_err();
        assert!(error.to_string().contains("GSSAPI"), "{error}");
    }

    #[test]
    fn what_is_shown_of_credentials_is_only_their_kind() {
        assert_eq!(format!("{:?}", password("hunter2")), "Credentials(a password)");
        assert!(!format!("{:?}", login(password("hunter2"))).contains("hunter2"));
    }
}
