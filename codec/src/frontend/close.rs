//! `Close`.

use bytes::{BufMut, Bytes, BytesMut};

use super::Target;
use crate::error::DecodeError;
use crate::read::Reader;
use crate::write;

/// `Close` (`C`, frontend): forgets a statement or a portal.
///
/// Body: one byte `S` or `P`, then the name. Manual, "Message Formats".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// Which of the two.
    pub target: Target,
    /// Empty for the unnamed one. Raw bytes: the client chooses the encoding.
    pub name: Bytes,
}

impl Close {
    /// The message's type.
    pub const TAG: u8 = b'C';

    /// Reads the body.
    ///
    /// # Errors
    /// A [`DecodeError`] naming the field.
    pub fn decode(body: Bytes) -> Result<Self, DecodeError> {
        let mut body = Reader::new(Self::TAG, body);
        let target = Target::from_byte(Self::TAG, body.u8("target")?)?;
        let name = body.text("name")?;
        body.finish()?;
        Ok(Self { target, name })
    }

    /// Appends the message.
    pub fn encode(&self, out: &mut BytesMut) {
        write(out, self.target, &self.name);
    }
}

/// Appends a `Close` of this target.
pub fn write(out: &mut BytesMut, target: Target, name: &[u8]) {
    write::message(out, Close::TAG, |body| {
        body.put_u8(target.byte());
        write::text(body, name);
    });
}
