//! `ReadyForQuery`.

use bytes::{Bytes, BytesMut};

use crate::error::{DecodeError, Kind};

/// Where the server stands between requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionStatus {
    /// `I`: in no transaction block.
    Idle,
    /// `T`: in one.
    Active,
    /// `E`: in one that has failed; it waits for its end.
    Failed,
}

/// `ReadyForQuery` (`Z`, backend): the next request may come.
///
/// Body: one byte, the transaction status. Manual, "Message Formats".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadyForQuery {
    /// The status.
    pub status: TransactionStatus,
}

impl ReadyForQuery {
    /// The message's type.
    pub const TAG: u8 = b'Z';

    /// Reads the body.
    ///
    /// # Errors
    /// A [`DecodeError`] naming the field.
    pub fn decode(body: Bytes) -> Result<Self, DecodeError> {
        peek(&body).map(|status| Self { status })
    }

    /// Appends the message.
    pub fn encode(&self, out: &mut BytesMut) {
        write(out, self.status);
    }
}

/// Reads a whole body in place.
///
/// # Errors
/// As [`ReadyForQuery::decode`].
pub fn peek(body: &[u8]) -> Result<TransactionStatus, DecodeError> {
    match body {
        [b'I'] => Ok(TransactionStatus::Idle),
        [b'T'] => Ok(TransactionStatus::Active),
        [b'E'] => Ok(TransactionStatus::Failed),
        [] => Err(DecodeError::missing(ReadyForQuery::TAG, "status")),
        [other] => {
            Err(DecodeError::new(ReadyForQuery::TAG, "status", Kind::Unknown(u32::from(*other))))
        }
        [_, rest @ ..] => {
            Err(DecodeError::new(ReadyForQuery::TAG, "end", Kind::Trailing(rest.len())))
        }
    }
}

/// Appends a `ReadyForQuery` of this status.
pub fn write(out: &mut BytesMut, status: TransactionStatus) {
    let byte = match status {
        TransactionStatus::Idle => b'I',
        TransactionStatus::Active => b'T',
        TransactionStatus::Failed => b'E',
    };
    out.extend_from_slice(&[ReadyForQuery::TAG, 0, 0, 0, 5, byte]);
}
