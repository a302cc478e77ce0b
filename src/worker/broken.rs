//! How a message that cannot be one is told of, to clients and in the log.

use std::fmt::Write;

/// How many bytes of its front are shown, as by pgbouncer.
const SHOWN: usize = 8;

/// Type and length of a message.
const HEAD: usize = 5;

/// `bad packet header: 'HEX'`. Of a password nothing but type and length is shown.
pub(super) fn bad_header(message: &[u8]) -> String {
    let shown = if message.first() == Some(&b'p') { HEAD } else { SHOWN };
    let mut text = "bad packet header: '".to_owned();
    for byte in message.iter().take(shown) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text.push('\'');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_is_shown_and_nothing_of_a_password() {
        assert_eq!(bad_header(b"Q\0\0\0\x03SELECT 1"), "bad packet header: '510000000353454c'");
        assert_eq!(bad_header(b"p\0\0\0\x03hush"), "bad packet header: '7000000003'");
        assert_eq!(bad_header(b""), "bad packet header: ''");
    }
}
