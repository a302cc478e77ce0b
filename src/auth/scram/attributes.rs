//! The attributes that messages are made of.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{MAX_MESSAGE_BYTES, ScramError};

/// An iteration count in its text form: decimal digits, from 1 to what PostgreSQL's int holds.
pub(in crate::auth) fn iterations(text: &[u8]) -> Option<u32> {
    if text.is_empty() || text.len() > 10 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let count = std::str::from_utf8(text).ok()?.parse::<u32>().ok()?;
    (1..=i32::MAX as u32).contains(&count).then_some(count)
}

/// The attributes of a message, one after the other.
pub(super) struct Attributes<'a> {
    /// What is still to be read; `None` once the last attribute was.
    pub(super) rest: Option<&'a [u8]>,
}

impl<'a> Attributes<'a> {
    pub(super) fn new(message: &'a [u8]) -> Result<Self, ScramError> {
        if message.len() > MAX_MESSAGE_BYTES {
            return Err(ScramError::TooLong { bytes: message.len() });
        }
        if message.contains(&0) {
            return Err(ScramError::Malformed("a NUL byte"));
        }
        Ok(Self { rest: Some(message) })
    }

    /// What stands before the next comma, which must be there.
    pub(super) fn until_comma(&mut self) -> Result<&'a [u8], ScramError> {
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
    pub(super) fn next(&mut self) -> Result<(u8, &'a [u8]), ScramError> {
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
    pub(super) fn expect(&mut self, name: u8, what: &'static str) -> Result<&'a [u8], ScramError> {
        match self.next()? {
            (found, value) if found == name => Ok(value),
            (b'm', _) => {
                Err(ScramError::Refused("it demands a SCRAM extension that is not supported"))
            }
            _ => Err(ScramError::Malformed(what)),
        }
    }

    /// Reads attributes that nobody knows, up to the end: they may be there, if they look like attributes.
    pub(super) fn skip_extensions(&mut self) -> Result<(), ScramError> {
        while self.rest.is_some() {
            self.next()?;
        }
        Ok(())
    }
}

/// A nonce is printable ASCII without comma, and not empty.
pub(super) fn nonce(value: &[u8]) -> Result<&[u8], ScramError> {
    if !value.is_empty() && value.iter().all(|byte| matches!(byte, 0x21..=0x7e) && *byte != b',') {
        Ok(value)
    } else {
        Err(ScramError::Malformed("not a nonce"))
    }
}

pub(super) fn base64_of<const N: usize>(
    value: &[u8],
    what: &'static str,
) -> Result<[u8; N], ScramError> {
    let bytes = STANDARD.decode(value).map_err(|_| ScramError::Malformed(what))?;
    <[u8; N]>::try_from(bytes).map_err(|_| ScramError::Malformed(what))
}
