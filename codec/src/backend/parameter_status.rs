//! `ParameterStatus`.

use bytes::{Bytes, BytesMut};

use crate::error::{DecodeError, Kind};
use crate::read::{Reader, split_text};
use crate::write;

/// `ParameterStatus` (`S`, backend): the present value of a setting that is reported. Comes at any time.
///
/// Body: name, value. Manual, "Message Formats".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterStatus {
    /// The setting.
    pub name: Bytes,
    /// Its value.
    pub value: Bytes,
}

impl ParameterStatus {
    /// The message's type.
    pub const TAG: u8 = b'S';

    /// Reads the body.
    ///
    /// # Errors
    /// A [`DecodeError`] naming the field.
    pub fn decode(body: Bytes) -> Result<Self, DecodeError> {
        let mut body = Reader::new(Self::TAG, body);
        let (name, value) = (body.text("name")?, body.text("value")?);
        body.finish()?;
        Ok(Self { name, value })
    }

    /// Appends the message.
    pub fn encode(&self, out: &mut BytesMut) {
        write(out, &self.name, &self.value);
    }
}

/// Appends a `ParameterStatus` of this setting.
pub fn write(out: &mut BytesMut, name: &[u8], value: &[u8]) {
    write::message(out, ParameterStatus::TAG, |body| {
        write::text(body, name);
        write::text(body, value);
    });
}

/// Reads a whole body in place: name and value.
///
/// # Errors
/// As [`ParameterStatus::decode`].
pub fn peek(body: &[u8]) -> Result<(&[u8], &[u8]), DecodeError> {
    let unterminated = |field| DecodeError::new(ParameterStatus::TAG, field, Kind::Unterminated);
    let (name, rest) = split_text(body).ok_or(unterminated("name"))?;
    let (value, rest) = split_text(rest).ok_or(unterminated("value"))?;
    if !rest.is_empty() {
        return Err(DecodeError::new(ParameterStatus::TAG, "end", Kind::Trailing(rest.len())));
    }
    Ok((name, value))
}
