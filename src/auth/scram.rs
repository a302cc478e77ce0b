//! SCRAM-SHA-256 (RFC 5802, RFC 7677), both sides, as PostgreSQL speaks it.
//!
//! One parser of attributes serves both. It is strict: an attribute that is missing, out of order, empty where it may
//! not be, or followed by anything unexpected is a [`ScramError`], never skipped (pgbouncer's CVE-2025-6664 and -6665
//! were slips of exactly this kind). Nothing is allocated from a length that a peer claims.
//!
//! postgres-protocol has the client's side for passwords. Ours exists because it must also work from keys that were
//! learnt from a client's proof ([`Keys`]), and two clients would be one too many.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::random::MockKey;
use super::secret::Verifier;

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

/// What a password comes to under one salt and iteration count. With it one can log in: as good as the password
/// towards every server that stores the same secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// HMAC(SaltedPassword, "Client Key").
    pub client_key: [u8; 32],
    /// HMAC(SaltedPassword, "Server Key").
    pub server_key: [u8; 32],
}

impl Keys {
    /// Computes them: `iterations` rounds of PBKDF2.
    pub fn derive(password: &[u8], salt: &[u8], iterations: u32) -> Self {
        let salted = salted_password(&prepared(password), salt, iterations);
        Self {
            client_key: hmac(&salted, &[b"Client Key"]),
            server_key: hmac(&salted, &[b"Server Key"]),
        }
    }

    /// H(ClientKey), what a server stores.
    pub fn stored_key(&self) -> [u8; 32] {
        Sha256::digest(self.client_key).into()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(..)")
    }
}

/// SASLprep (RFC 4013) where it applies, else the bytes as they are: PostgreSQL's rule, which knows no bad password.
fn prepared(password: &[u8]) -> Vec<u8> {
    let prepared =
        std::str::from_utf8(password).ok().and_then(|text| stringprep::saslprep(text).ok());
    match prepared {
        Some(text) if !text.is_empty() => text.as_bytes().to_vec(),
        _ => password.to_vec(),
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of every length")
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = keyed(key);
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Hi() of RFC 5802: PBKDF2 with one block of output. The keyed state is cloned, which halves the work.
fn salted_password(password: &[u8], salt: &[u8], iterations: u32) -> [u8; 32] {
    let mac = keyed(password);
    let mut first = mac.clone();
    first.update(salt);
    first.update(&[0, 0, 0, 1]);
    let mut last: [u8; 32] = first.finalize().into_bytes().into();
    let mut sum = last;
    for _ in 1..iterations {
        let mut round = mac.clone();
        round.update(&last);
        last = round.finalize().into_bytes().into();
        sum = xor(sum, &last);
    }
    sum
}

fn xor(mut a: [u8; 32], b: &[u8; 32]) -> [u8; 32] {
    for (a, b) in a.iter_mut().zip(b) {
        *a ^= b;
    }
    a
}

/// An iteration count in its text form: decimal digits, from 1 to what PostgreSQL's int holds.
pub(super) fn iterations(text: &[u8]) -> Option<u32> {
    if text.is_empty() || text.len() > 10 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let count = std::str::from_utf8(text).ok()?.parse::<u32>().ok()?;
    (1..=i32::MAX as u32).contains(&count).then_some(count)
}

/// The attributes of a message, one after the other.
struct Attributes<'a> {
    /// What is still to be read; `None` once the last attribute was.
    rest: Option<&'a [u8]>,
}

impl<'a> Attributes<'a> {
    fn new(message: &'a [u8]) -> Result<Self, ScramError> {
        if message.len() > MAX_MESSAGE_BYTES {
            return Err(ScramError::TooLong { bytes: message.len() });
        }
        if message.contains(&0) {
            return Err(ScramError::Malformed("a NUL byte"));
        }
        Ok(Self { rest: Some(message) })
    }

    /// What stands before the next comma, which must be there.
    fn until_comma(&mut self) -> Result<&'a [u8], ScramError> {
        let rest = self.rest.unwrap_or_default();
        let comma = rest
            .iter()
            .position(|byte| *byte == b',')
            .ok_or(ScramError::Malformed("it ends too early"))?;
        let (field, rest) = rest.split_at(comma);
        self.rest = rest.split_first().map(|(_, rest)| rest);
        Ok(field)
    }

    /// The next attribute: its letter, and its value.
    fn next(&mut self) -> Result<(u8, &'a [u8]), ScramError> {
        let rest = self.rest.take().ok_or(ScramError::Malformed("it ends too early"))?;
        let field = match rest.iter().position(|byte| *byte == b',') {
            Some(comma) => {
                let (field, rest) = rest.split_at(comma);
                self.rest = rest.split_first().map(|(_, rest)| rest);
                field
            }
            None => rest,
        };
        match field {
            [name, b'=', value @ ..] if name.is_ascii_alphabetic() => Ok((*name, value)),
            _ => Err(ScramError::Malformed("not an attribute")),
        }
    }

    /// The value of the next attribute, which must be `name`.
    fn expect(&mut self, name: u8, what: &'static str) -> Result<&'a [u8], ScramError> {
        match self.next()? {
            (found, value) if found == name => Ok(value),
            (b'm', _) => {
                Err(ScramError::Refused("it demands a SCRAM extension that is not supported"))
            }
            _ => Err(ScramError::Malformed(what)),
        }
    }

    /// Reads attributes that nobody knows, up to the end: they may be there, if they look like attributes.
    fn skip_extensions(&mut self) -> Result<(), ScramError> {
        while self.rest.is_some() {
            self.next()?;
        }
        Ok(())
    }
}

/// A nonce is printable ASCII without comma, and not empty.
fn nonce(value: &[u8]) -> Result<&[u8], ScramError> {
    if !value.is_empty() && value.iter().all(|byte| matches!(byte, 0x21..=0x7e) && *byte != b',') {
        Ok(value)
    } else {
        Err(ScramError::Malformed("not a nonce"))
    }
}

fn base64_of<const N: usize>(value: &[u8], what: &'static str) -> Result<[u8; N], ScramError> {
    let bytes = STANDARD.decode(value).map_err(|_| ScramError::Malformed(what))?;
    <[u8; N]>::try_from(bytes).map_err(|_| ScramError::Malformed(what))
}

/// The server's side, for one client.
pub struct ScramServer {
    known: Known,
    nonce: String,
    /// Set by client-first; taken by client-final.
    sent: Option<Sent>,
}

/// What the client's proof is held against.
enum Known {
    Verifier(Verifier),
    /// Made into a verifier only when the proof is there: whoever only knocks costs no PBKDF2.
    Password {
        password: String,
        salt: [u8; 16],
    },
    /// Nothing: no such user, or none that could log in like this. Runs to the end and fails.
    Nothing {
        salt: [u8; 16],
    },
}

struct Sent {
    gs2_header: Vec<u8>,
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
    pub fn with_password(user: &str, password: String, key: &MockKey, nonce: [u8; 18]) -> Self {
        Self::new(Known::Password { password, salt: salt_of(user, key) }, nonce)
    }

    /// For a user that must not get in: same messages, and an end that is always [`ScramError::WrongProof`].
    pub fn mock(user: &str, key: &MockKey, nonce: [u8; 18]) -> Self {
        Self::new(Known::Nothing { salt: salt_of(user, key) }, nonce)
    }

    fn new(known: Known, nonce: [u8; 18]) -> Self {
        Self { known, nonce: STANDARD.encode(nonce), sent: None }
    }

    /// Takes client-first-message, gives server-first-message.
    ///
    /// # Errors
    /// The message is malformed, or asks for channel binding or another identity, which are not offered.
    pub fn client_first(&mut self, message: &[u8]) -> Result<Vec<u8>, ScramError> {
        let mut fields = Attributes::new(message)?;
        match fields.until_comma()? {
            b"n" | b"y" => {}
            [b'p', b'=', ..] => {
                return Err(ScramError::Refused("it binds to a channel, which was not offered"));
            }
            _ => return Err(ScramError::Malformed("not a channel-binding flag")),
        }
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
            Known::Verifier(verifier) => (verifier.salt.as_slice(), verifier.iterations),
            Known::Password { salt, .. } | Known::Nothing { salt } => (salt.as_slice(), ITERATIONS),
        };
        let nonce = [client_nonce, self.nonce.as_bytes()].concat();
        let rest = format!(",s={},i={iterations}", STANDARD.encode(salt));
        let server_first = [b"r=", nonce.as_slice(), rest.as_bytes()].concat();
        let header = message.len() - bare.len();
        self.sent = Some(Sent {
            gs2_header: message.iter().copied().take(header).collect(),
            nonce,
            so_far: [bare, b",", &server_first].concat(),
        });
        Ok(server_first)
    }

    /// Takes client-final-message, gives server-final-message, and the keys that the client's proof gave away.
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
        if binding != STANDARD.encode(&sent.gs2_header).as_bytes() {
            return Err(ScramError::Malformed(
                "the channel binding (c=) is not that of the first message",
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
    fn verifier(&self) -> (Verifier, bool) {
        match &self.known {
            Known::Verifier(verifier) => (verifier.clone(), true),
            Known::Password { password, salt } => {
                (Verifier::from_password(password.as_bytes(), salt, ITERATIONS), true)
            }
            Known::Nothing { salt } => {
                let nobody = Verifier {
                    iterations: ITERATIONS,
                    salt: salt.to_vec(),
                    stored_key: hmac(self.nonce.as_bytes(), &[salt]),
                    server_key: hmac(salt, &[self.nonce.as_bytes()]),
                };
                (nobody, false)
            }
        }
    }
}

fn salt_of(user: &str, key: &MockKey) -> [u8; 16] {
    let mut salt = [0; 16];
    for (to, from) in salt.iter_mut().zip(hmac(&key.0, &[b"salt", user.as_bytes()])) {
        *to = from;
    }
    salt
}

/// Keys, and which secret they open: a server that stores another salt or iteration count stores another secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScramKeys {
    /// The keys.
    pub keys: Keys,
    /// The secret's salt.
    pub salt: Vec<u8>,
    /// The secret's iterations.
    pub iterations: u32,
}

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

/// The client's side, towards one server.
pub struct ScramClient {
    proof: Proof,
    binding: Binding,
    nonce: String,
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

    /// Takes server-first-message, gives client-final-message. Computes PBKDF2 if it has a password.
    ///
    /// # Errors
    /// Malformed, a nonce that does not extend ours, too many iterations, or not the secret that our keys belong to.
    pub fn server_first(&mut self, message: &[u8]) -> Result<Vec<u8>, ScramError> {
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

        let keys = match &self.proof {
            Proof::Password(_) if iterations > MAX_ITERATIONS => {
                return Err(ScramError::TooManyIterations(iterations));
            }
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

#[cfg(test)]
mod tests {
    use postgres_protocol::authentication::sasl;
    use proptest::prelude::*;

    use super::*;

    const KEY: MockKey = MockKey([7; 32]);
    const NONCE: [u8; 18] = [3; 18];

    fn pencil() -> Verifier {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        Verifier::from_password(b"pencil", &salt, 4096)
    }

    fn server(password: &str) -> ScramServer {
        ScramServer::with_password("joe", password.to_owned(), &KEY, NONCE)
    }

    fn client(password: &str) -> ScramClient {
        ScramClient::new(Proof::Password(password.as_bytes().to_vec()), Binding::Unable, [5; 18])
    }

    /// Both client messages of a login that succeeds against a few iterations.
    fn good_login() -> (ScramServer, Vec<u8>, Vec<u8>) {
        let verifier = || Verifier::from_password(b"pencil", b"salt", 2);
        let mut server = ScramServer::with_verifier(verifier(), NONCE);
        let mut client = client("pencil");
        let client_first = client.client_first();
        let client_final =
            client.server_first(&server.client_first(&client_first).unwrap()).unwrap();
        (ScramServer::with_verifier(verifier(), NONCE), client_first, client_final)
    }

    #[test]
    fn the_example_of_rfc_7677_comes_out_to_the_letter() {
        let mut server = ScramServer::with_verifier(pencil(), NONCE);
        "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".clone_into(&mut server.nonce);
        let server_first = server.client_first(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO").unwrap();
        assert_eq!(
            String::from_utf8(server_first).unwrap(),
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        );
        let (server_final, keys) = server
            .client_final(
                b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                  p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            )
            .unwrap();
        assert_eq!(server_final, b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        assert_eq!(keys.keys, Keys::derive(b"pencil", &keys.salt, 4096));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn the_client_of_postgres_protocol_gets_in_with_any_password(password in "\\PC{1,40}") {
            let mut server = server(&password);
            let mut theirs = sasl::ScramSha256::new(password.as_bytes(), sasl::ChannelBinding::unsupported());
            let server_first = server.client_first(theirs.message()).unwrap();
            theirs.update(&server_first).unwrap();
            let (server_final, keys) = server.client_final(theirs.message()).unwrap();
            theirs.finish(&server_final).unwrap();
            prop_assert_eq!(&keys.keys, &Keys::derive(password.as_bytes(), &keys.salt, keys.iterations));
        }

        #[test]
        fn our_client_gets_in_with_any_password(password in "\\PC{1,40}") {
            let (mut server, mut client) = (server(&password), client(&password));
            let server_first = server.client_first(&client.client_first()).unwrap();
            let (server_final, _) = server.client_final(&client.server_first(&server_first).unwrap()).unwrap();
            client.server_final(&server_final).unwrap();
        }

        #[test]
        fn nothing_a_client_sends_makes_us_panic(first in ".{0,200}", last in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut server = ScramServer::with_verifier(Verifier::from_password(b"x", b"salt", 1), NONCE);
            let _ = server.client_first(first.as_bytes());
            let _ = server.client_first(b"n,,n=,r=abc").unwrap();
            prop_assert!(server.client_final(&last).is_err());
        }

        #[test]
        fn nothing_a_server_sends_makes_us_panic(first in prop::collection::vec(any::<u8>(), 0..200), tail in "[ -~]{0,60}") {
            let _ = client("x").server_first(&first);
            let mut client = client("x");
            let _ = client.server_first(format!("r={}{tail},s=c2FsdA==,i=1", client.nonce).as_bytes());
            prop_assert!(client.server_final(&first).is_err());
        }
    }

    #[test]
    fn keys_learnt_from_a_proof_open_a_server_with_the_same_secret_and_no_other() {
        let (mut server, first, last) = good_login();
        server.client_first(&first).unwrap();
        let (_, keys) = server.client_final(&last).unwrap();

        let same = Verifier::from_password(b"pencil", b"salt", 2);
        let mut server = ScramServer::with_verifier(same, [9; 18]);
        let mut client = ScramClient::new(Proof::Keys(keys.clone()), Binding::NotOffered, [8; 18]);
        let server_first = server.client_first(&client.client_first()).unwrap();
        let (server_final, _) =
            server.client_final(&client.server_first(&server_first).unwrap()).unwrap();
        client.server_final(&server_final).unwrap();

        let other = Verifier::from_password(b"pencil", b"pepper", 2);
        let mut server = ScramServer::with_verifier(other, [9; 18]);
        let mut client = ScramClient::new(Proof::Keys(keys), Binding::Unable, [8; 18]);
        let server_first = server.client_first(&client.client_first()).unwrap();
        assert_eq!(client.server_first(&server_first), Err(ScramError::OtherSecret));
    }

    #[test]
    fn a_wrong_password_is_a_wrong_proof() {
        let (mut server, mut client) = (server("right"), client("wrong"));
        let server_first = server.client_first(&client.client_first()).unwrap();
        let last = client.server_first(&server_first).unwrap();
        assert_eq!(server.client_final(&last), Err(ScramError::WrongProof));
    }

    #[test]
    fn a_mock_runs_to_its_end_and_refuses() {
        let mut mock = ScramServer::mock("joe", &KEY, NONCE);
        let mut client = client("pencil");
        let server_first = mock.client_first(&client.client_first()).unwrap();
        let last = client.server_first(&server_first).unwrap();
        assert!(!mock.verifier().1);
        assert_eq!(mock.client_final(&last), Err(ScramError::WrongProof));
    }

    #[test]
    fn asking_twice_does_not_tell_whether_a_user_exists() {
        let salt_sent = |mut server: ScramServer| {
            let first = String::from_utf8(server.client_first(b"n,,n=,r=abc").unwrap()).unwrap();
            first.split_once(",s=").unwrap().1.to_owned()
        };
        let unknown = salt_sent(ScramServer::mock("joe", &KEY, [1; 18]));
        assert_eq!(unknown, salt_sent(ScramServer::mock("joe", &KEY, [2; 18])));
        assert_eq!(unknown, salt_sent(server("pencil")), "nor does the salt of one that does");
        assert_ne!(unknown, salt_sent(ScramServer::mock("jim", &KEY, [1; 18])));
        assert_ne!(unknown, salt_sent(ScramServer::mock("joe", &MockKey([8; 32]), [1; 18])));
    }

    #[test]
    fn every_truncation_of_a_client_message_is_an_error() {
        let (_, first, last) = good_login();
        // Up to `r=`: a shorter nonce is still a nonce, and then the proof is over something else.
        for length in 0..=first.len() {
            let (mut server, ..) = good_login();
            let done = server.client_first(&first[..length]);
            assert_eq!(done.is_err(), length <= "n,,n=,r=".len(), "{length}");
            if length < first.len() && done.is_ok() {
                assert!(server.client_final(&last).is_err(), "{length}");
            }
        }
        for length in 0..last.len() {
            let (mut server, ..) = good_login();
            server.client_first(&first).unwrap();
            assert!(server.client_final(&last[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn every_changed_byte_of_a_client_message_is_an_error() {
        let (_, first, last) = good_login();
        for at in 0..last.len() {
            for flip in [0x01, 0x02, 0x20, 0x80, last[at]] {
                let mut changed = last.clone();
                changed[at] ^= flip;
                let (mut server, ..) = good_login();
                server.client_first(&first).unwrap();
                assert!(server.client_final(&changed).is_err(), "byte {at} ^ {flip}");
            }
        }
        for at in 0..first.len() {
            for flip in [0x01, 0x02, 0x20, 0x80, first[at]] {
                let mut changed = first.clone();
                changed[at] ^= flip;
                let (mut server, ..) = good_login();
                // Refused at once, or else the proof, which covers this message, does not fit.
                let refused =
                    server.client_first(&changed).is_err() || server.client_final(&last).is_err();
                assert!(refused, "byte {at} ^ {flip}");
            }
        }
    }

    #[test]
    fn malformed_first_messages_are_refused() {
        let long = format!("n,,n=,r={}", "a".repeat(MAX_MESSAGE_BYTES));
        for message in [
            "",
            ",",
            "n",
            "n,",
            "n,,",
            "n,,n",
            "n,,n=",
            "n,,n=,",
            "n,,n=,r",
            "n,,n=,r=",
            "n,,r=abc",
            "n,,r=abc,n=",
            "x,,n=,r=abc",
            "nn,,n=,r=abc",
            ",,n=,r=abc",
            "p=tls-server-end-point,,n=,r=abc",
            "p,,n=,r=abc",
            "n,a=joe,n=,r=abc",
            "n,joe,n=,r=abc",
            "n,,m=x,n=,r=abc",
            "n,,n=,m=x,r=abc",
            "n,,n=,r=a c",
            "n,,n=,r=abc,",
            "n,,n=,r=abc,x",
            "n,,n=,r=abc,=x",
            "n,,n=,r=abc,1=x",
            "n,,n=,r=\u{e9}",
            "n,,n=,r=a\0",
            long.as_str(),
        ] {
            let (mut server, ..) = good_login();
            assert!(server.client_first(message.as_bytes()).is_err(), "{message:?}");
            // And the exchange is over: no final message can follow.
            assert!(server.client_final(b"c=biws,r=abc,p=").is_err());
        }
        for message in ["n,,n=,r=abc", "y,,n=joe,r=abc", "n,,n=*,r=abc,x=more,y="] {
            let (mut server, ..) = good_login();
            assert!(server.client_first(message.as_bytes()).is_ok(), "{message:?}");
        }
    }

    #[test]
    fn malformed_final_messages_are_refused() {
        let (server, first, last) = good_login();
        let last = String::from_utf8(last).unwrap();
        let nonce = server.nonce;
        let proof = last.split_once(",p=").unwrap().1;
        for message in [
            last.replace("c=biws", "c=eSws"),
            last.replace("c=biws", "c="),
            last.replace("c=biws,", ""),
            last.replace(&nonce, ""),
            last.replace(",p=", ",m=x,p="),
            last.replace(",p=", ",junk,p="),
            last.replace(proof, &proof[4..]),
            last.replace('=', ""),
            format!("{last},x=y"),
            format!("{last},"),
            format!("{last}{last}"),
            format!("{last}{}", ",x=y".repeat(400)),
        ] {
            let (mut server, ..) = good_login();
            server.client_first(&first).unwrap();
            assert!(server.client_final(message.as_bytes()).is_err(), "{message:?}");
        }
    }

    #[test]
    fn a_proof_cannot_be_used_twice() {
        let (mut server, first, last) = good_login();
        server.client_first(&first).unwrap();
        assert!(server.client_final(&last).is_ok());
        assert!(server.client_final(&last).is_err());
    }

    #[test]
    fn a_server_that_does_not_know_the_secret_is_found_out() {
        let (mut impostor, mut client) = (server("guess"), client("pencil"));
        let server_first = impostor.client_first(&client.client_first()).unwrap();
        client.server_first(&server_first).unwrap();
        let forged = format!("v={}", STANDARD.encode([1; 32]));
        assert_eq!(client.server_final(forged.as_bytes()), Err(ScramError::WrongProof));
    }

    #[test]
    fn a_server_cannot_make_us_count_for_ever() {
        let mut client = client("pencil");
        let message = format!("r={}x,s=c2FsdA==,i=2000000000", client.nonce);
        assert_eq!(
            client.server_first(message.as_bytes()),
            Err(ScramError::TooManyIterations(2_000_000_000))
        );
    }

    #[test]
    fn an_iteration_count_is_a_plain_positive_number() {
        for bad in
            ["", "0", "+1", "-1", " 1", "1 ", "0x10", "4294967296", "2147483648", "99999999999"]
        {
            assert_eq!(iterations(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(iterations(b"4096"), Some(4096));
    }
}
