//! Answers to authentication requests. All have the tag `p`; which it is follows from what was asked.

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::{DecodeError, Kind};
use crate::read::Reader;
use crate::write;

/// `PasswordMessage` (`p`, frontend), or any other answer with its body as it is.
///
/// Body of a password: the password, or the md5 of it, and a zero byte. Manual, "Message Formats".
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordMessage {
    /// The whole body, for a password its zero byte included.
    pub data: Bytes,
}

impl std::fmt::Debug for PasswordMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PasswordMessage({} bytes)", self.data.len())
    }
}

impl PasswordMessage {
    /// The message's type.
    pub const TAG: u8 = b'p';

    /// Takes the body.
    ///
    /// # Errors
    /// None: any body will do.
    pub fn decode(body: Bytes) -> Result<Self, DecodeError> {
        Ok(Self { data: body })
    }

    /// Appends the message.
    pub fn encode(&self, out: &mut BytesMut) {
        write::message(out, Self::TAG, |body| body.put_slice(&self.data));
    }
}

/// `SASLInitialResponse` (`p`, frontend): chooses a mechanism.
///
/// Body: mechanism, Int32 length of the data (-1: none), the data. Manual, "Message Formats".
#[derive(Clone, PartialEq, Eq)]
pub struct SaslInitialResponse {
    /// Its name.
    pub mechanism: Bytes,
    /// The mechanism's first message.
    pub data: Option<Bytes>,
}

impl std::fmt::Debug for SaslInitialResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bytes = self.data.as_ref().map(Bytes::len);
        write!(f, "SaslInitialResponse({:?}, {bytes:?} bytes)", self.mechanism)
    }
}

impl SaslInitialResponse {
    /// The message's type.
    pub const TAG: u8 = b'p';

    /// Reads the body.
    ///
    /// # Errors
    /// A [`DecodeError`] naming the field.
    pub fn decode(body: Bytes) -> Result<Self, DecodeError> {
        let mut body = Reader::new(Self::TAG, body);
        let (mechanism, data) = (body.text("mechanism")?, body.value("initial response")?);
        if mechanism.is_empty() {
            return Err(DecodeError::new(Self::TAG, "mechanism", Kind::TooShort(0)));
        }
        body.finish()?;
        Ok(Self { mechanism, data })
    }

    /// Appends the message.
    pub fn encode(&self, out: &mut BytesMut) {
        write::message(out, Self::TAG, |body| {
            write::text(body, &self.mechanism);
            write::value(body, self.data.as_ref());
        });
    }
}

/// `SASLResponse` (`p`, frontend): goes on with the mechanism.
///
/// Body: the mechanism's message. Manual, "Message Formats".
#[derive(Clone, PartialEq, Eq)]
pub struct SaslResponse {
    /// The mechanism's message.
    pub data: Bytes,
}

impl std::fmt::Debug for SaslResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SaslResponse({} bytes)", self.data.len())
    }
}

impl SaslResponse {
    /// The message's type.
    pub const TAG: u8 = b'p';

    /// Takes the body.
    ///
    /// # Errors
    /// None: any body will do.
    pub fn decode(body: Bytes) -> Result<Self, DecodeError> {
        Ok(Self { data: body })
    }

    /// Appends the message.
    pub fn encode(&self, out: &mut BytesMut) {
        write::message(out, Self::TAG, |body| body.put_slice(&self.data));
    }
}
