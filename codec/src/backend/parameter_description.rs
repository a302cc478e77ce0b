//! `ParameterDescription`.

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::DecodeError;
use crate::read::Reader;
use crate::write;

/// `ParameterDescription` (`t`, backend): the parameters of a statement that was described.
///
/// Body: Int16 count, Int32 OID each. Manual, "Message Formats".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterDescription {
    /// OIDs of their types.
    pub types: Vec<u32>,
}

impl ParameterDescription {
    /// The message's type.
    pub const TAG: u8 = b't';

    /// Reads the body.
    ///
    /// # Errors
    /// A [`DecodeError`] naming the field.
    pub fn decode(body: Bytes) -> Result<Self, DecodeError> {
        let mut body = Reader::new(Self::TAG, body);
        let types = body.list("types", 4, |body| body.u32("type"))?;
        body.finish()?;
        Ok(Self { types })
    }

    /// Appends the message.
    pub fn encode(&self, out: &mut BytesMut) {
        write::message(out, Self::TAG, |body| {
            write::list(body, &self.types, |body, oid| body.put_u32(*oid))
        });
    }
}
