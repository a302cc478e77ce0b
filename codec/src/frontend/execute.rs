//! `Execute`.

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::DecodeError;
use crate::read::Reader;
use crate::write;

/// `Execute` (`E`, frontend): runs a portal.
///
/// Body: portal, Int32 most rows. Manual, "Message Formats".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execute {
    /// Empty for the unnamed portal.
    pub portal: Bytes,
    /// 0 or less: all.
    pub max_rows: i32,
}

impl Execute {
    /// The message's type.
    pub const TAG: u8 = b'E';

    /// Reads the body.
    ///
    /// # Errors
    /// A [`DecodeError`] naming the field.
    pub fn decode(body: Bytes) -> Result<Self, DecodeError> {
        let mut body = Reader::new(Self::TAG, body);
        let (portal, max_rows) = (body.text("portal")?, body.i32("max rows")?);
        body.finish()?;
        Ok(Self { portal, max_rows })
    }

    /// Appends the message.
    pub fn encode(&self, out: &mut BytesMut) {
        write(out, &self.portal, self.max_rows);
    }
}

/// The portal and the most rows in a body; `None` if that is not what it has.
pub fn peek(body: &[u8]) -> Option<(&[u8], i32)> {
    let (portal, rest) = body.split_at_checked(memchr::memchr(0, body)?)?;
    let most = rest.get(1..)?.try_into().ok()?;
    Some((portal, i32::from_be_bytes(most)))
}

/// Appends an `Execute` of this portal.
pub fn write(out: &mut BytesMut, portal: &[u8], max_rows: i32) {
    write::message(out, Execute::TAG, |body| {
        write::text(body, portal);
        body.put_i32(max_rows);
    });
}
