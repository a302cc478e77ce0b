//! `BackendKeyData`.

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::{DecodeError, Kind};
use crate::read::Reader;
use crate::write;

/// `BackendKeyData` (`K`, backend): what a CancelRequest needs.
///
/// Body: Int32 process id, then the secret: 4 bytes in protocol 3.0, up to 256 from 3.2 on. Manual, "Message Formats".
#[derive(Clone, PartialEq, Eq)]
pub struct BackendKeyData {
    /// Process id.
    pub pid: u32,
    /// The secret.
    pub key: Bytes,
}

impl std::fmt::Debug for BackendKeyData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackendKeyData").field("pid", &self.pid).finish_non_exhaustive()
    }
}

impl BackendKeyData {
    /// The message's type.
    pub const TAG: u8 = b'K';

    /// Reads the body.
    ///
    /// # Errors
    /// A [`DecodeError`] naming the field.
    pub fn decode(body: Bytes) -> Result<Self, DecodeError> {
        let mut body = Reader::new(Self::TAG, body);
        let pid = body.u32("pid")?;
        let key = body.rest();
        match key.len() {
            4..=256 => Ok(Self { pid, key }),
            short @ 0..4 => Err(DecodeError::new(Self::TAG, "key", Kind::TooShort(short as i64))),
            long => Err(DecodeError::new(Self::TAG, "key", Kind::TooLong(long))),
        }
    }

    /// Appends the message.
    pub fn encode(&self, out: &mut BytesMut) {
        write::message(out, Self::TAG, |body| {
            body.put_u32(self.pid);
            body.put_slice(&self.key);
        });
    }
}
