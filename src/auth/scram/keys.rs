//! What a password comes to, and the arithmetic of the proofs.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

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

pub(super) fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
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

pub(super) fn xor(mut a: [u8; 32], b: &[u8; 32]) -> [u8; 32] {
    for (a, b) in a.iter_mut().zip(b) {
        *a ^= b;
    }
    a
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
