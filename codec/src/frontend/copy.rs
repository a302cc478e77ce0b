//! COPY data from a client.

use bytes::{Bytes, BytesMut};

use crate::error::DecodeError;
use crate::read::Reader;
use crate::write;

pub use crate::backend::{CopyData, CopyDone};

/// `CopyFail` (`f`, frontend): ends a COPY with an error.
///
/// Body: the reason. Manual, "Message Formats".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyFail {
    /// Why.
    pub reason: Bytes,
}

impl CopyFail {
    /// The message's type.
    pub const TAG: u8 = b'f';

    /// Reads the body.
    ///
    /// # Errors
    /// A [`DecodeError`] naming the field.
    pub fn decode(body: Bytes) -> Result<Self, DecodeError> {
        let mut body = Reader::new(Self::TAG, body);
        let reason = body.text("reason")?;
        body.finish()?;
        Ok(Self { reason })
    }

    /// Appends the message.
    pub fn encode(&self, out: &mut BytesMut) {
        write::message(out, Self::TAG, |body| write::text(body, &self.reason));
    }
}
