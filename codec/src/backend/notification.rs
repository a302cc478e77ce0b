//! `NotificationResponse`.

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::DecodeError;
use crate::read::Reader;
use crate::write;

/// `NotificationResponse` (`A`, backend): somebody said NOTIFY. Comes at any time.
///
/// Body: Int32 process id of the notifier, channel, payload. Manual, "Message Formats".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotificationResponse {
    /// Who.
    pub pid: u32,
    /// Where.
    pub channel: Bytes,
    /// What.
    pub payload: Bytes,
}

impl NotificationResponse {
    /// The message's type.
    pub const TAG: u8 = b'A';

    /// Reads the body.
    ///
    /// # Errors
    /// A [`DecodeError`] naming the field.
    pub fn decode(body: Bytes) -> Result<Self, DecodeError> {
        let mut body = Reader::new(Self::TAG, body);
        let (pid, channel, payload) =
            (body.u32("pid")?, body.text("channel")?, body.text("payload")?);
        body.finish()?;
        Ok(Self { pid, channel, payload })
    }

    /// Appends the message.
    pub fn encode(&self, out: &mut BytesMut) {
        write::message(out, Self::TAG, |body| {
            body.put_u32(self.pid);
            write::text(body, &self.channel);
            write::text(body, &self.payload);
        });
    }
}
