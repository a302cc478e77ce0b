//! `NegotiateProtocolVersion`.

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::DecodeError;
use crate::read::Reader;
use crate::write;

/// `NegotiateProtocolVersion` (`v`, backend): the server speaks less than the client asked for.
///
/// Body: Int32 newest version (the whole number, 196608 for 3.0), Int32 count of options that it does not know, their
/// names. Manual, "Message Formats".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NegotiateProtocolVersion {
    /// The version, e.g. 196608.
    pub version: u32,
    /// Names that begin with `_pq_.`.
    pub unknown_options: Vec<Bytes>,
}

impl NegotiateProtocolVersion {
    /// The message's type.
    pub const TAG: u8 = b'v';

    /// Reads the body.
    ///
    /// # Errors
    /// A [`DecodeError`] naming the field.
    pub fn decode(body: Bytes) -> Result<Self, DecodeError> {
        let mut body = Reader::new(Self::TAG, body);
        let version = body.u32("version")?;
        let count = body.u32("option count")? as usize;
        let mut unknown_options = Vec::new();
        // Not reserved in advance: the count may be false, the texts cannot.
        for _ in 0..count {
            unknown_options.push(body.text("option")?);
        }
        body.finish()?;
        Ok(Self { version, unknown_options })
    }

    /// Appends the message.
    pub fn encode(&self, out: &mut BytesMut) {
        write::message(out, Self::TAG, |body| {
            body.put_u32(self.version);
            body.put_u32(u32::try_from(self.unknown_options.len()).unwrap_or(u32::MAX));
            for option in &self.unknown_options {
                write::text(body, option);
            }
        });
    }
}
