//! `Query`.

use bytes::{Bytes, BytesMut};

use crate::error::DecodeError;
use crate::read::Reader;
use crate::write;

/// `Query` (`Q`, frontend): one or more statements by the simple protocol.
///
/// Body: the text. Manual, "Message Formats".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The text, in the client's encoding.
    pub text: Bytes,
}

impl Query {
    /// The message's type.
    pub const TAG: u8 = b'Q';

    /// Reads the body.
    ///
    /// # Errors
    /// A [`DecodeError`] naming the field.
    pub fn decode(body: Bytes) -> Result<Self, DecodeError> {
        let mut body = Reader::new(Self::TAG, body);
        let text = body.text("text")?;
        body.finish()?;
        Ok(Self { text })
    }

    /// Appends the message.
    pub fn encode(&self, out: &mut BytesMut) {
        write(out, &self.text);
    }
}

/// Appends a `Query` of this text.
pub fn write(out: &mut BytesMut, text: &[u8]) {
    write::message(out, Query::TAG, |body| write::text(body, text));
}

/// The text in a body of which perhaps only the front has arrived.
pub fn text(body: &[u8]) -> &[u8] {
    let end = memchr::memchr(0, body).unwrap_or(body.len());
    body.get(..end).unwrap_or_default()
}
