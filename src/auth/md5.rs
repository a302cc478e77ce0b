//! PostgreSQL's md5 scheme (manual, "Password Authentication"; protocol, `AuthenticationMD5Password`).
//!
//! Stored is `md5` + hex(md5(password ‖ user)); sent is `md5` + hex(md5(that hex ‖ salt)). Who knows what is stored can
//! log in: it is as good as the password, and both sides of this file need no more than it.

use md5::{Digest, Md5};
use subtle::ConstantTimeEq;

/// The 32 hex digits that are stored for a password.
pub fn stored(password: &[u8], user: &str) -> [u8; 32] {
    hex_of(&[password, user.as_bytes()])
}

/// The 35 characters that answer a request with `salt`, without the final NUL.
pub fn response(stored: &[u8; 32], salt: [u8; 4]) -> [u8; 35] {
    let mut response = *b"md5................................";
    let (_, digits) = response.split_at_mut(3);
    digits.copy_from_slice(&hex_of(&[stored, &salt]));
    response
}

/// Whether `answer` is the right one. Takes the same time wherever it differs.
pub fn verify(answer: &[u8], stored: &[u8; 32], salt: [u8; 4]) -> bool {
    response(stored, salt).ct_eq(answer).into()
}

fn hex_of(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Md5::new();
    for part in parts {
        hash.update(part);
    }
    let digit = |value: u8| if value < 10 { b'0' + value } else { b'a' + value - 10 };
    let mut hex = [0; 32];
    for (pair, byte) in hex.chunks_exact_mut(2).zip(hash.finalize()) {
        pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_form_is_what_postgresql_stores() {
        // select md5('password' || 'md5_user')
        assert_eq!(&stored(b"password", "md5_user"), b"7cd2b9a92689eab2e58caf2da80afa15");
    }

    #[test]
    fn the_answer_agrees_with_the_crate_postgres_protocol() {
        let theirs = postgres_protocol::authentication::md5_hash(
            b"md5_user",
            b"password",
            [0x2a, 0x3d, 0x8f, 0xe0],
        );
        let ours = response(&stored(b"password", "md5_user"), [0x2a, 0x3d, 0x8f, 0xe0]);
        assert_eq!(ours, theirs.as_bytes());
        // The vector of postgres-protocol's own test.
        assert_eq!(&ours, b"md562af4dd09bbb41884907a838a3233294");
    }

    #[test]
    fn only_the_right_answer_to_this_salt_is_taken() {
        let stored = stored(b"secret", "joe");
        let right = response(&stored, [1, 2, 3, 4]);
        assert!(verify(&right, &stored, [1, 2, 3, 4]));
        assert!(!verify(&right, &stored, [1, 2, 3, 5]));
        assert!(!verify(&right[..34], &stored, [1, 2, 3, 4]));
        assert!(!verify(b"", &stored, [1, 2, 3, 4]));
    }
}
