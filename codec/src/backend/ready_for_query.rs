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

impl TransactionStatus {
    /// As it is on the wire.
    pub fn byte(self) -> u8 {
        match self {
            Self::Idle => b'I',
            Self::Active => b'T',
            Self::Failed => b'E',
        }
    }

    /// From the wire; `None` if there is no such status.
    pub fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            b'I' => Some(Self::Idle),
            b'T' => Some(Self::Active),
            b'E' => Some(Self::Failed),
            _ => None,
        }
    }
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
        [] => Err(DecodeError::missing(ReadyForQuery::TAG, "status")),
        [byte] => TransactionStatus::from_byte(*byte).ok_or_else(|| {
            DecodeError::new(ReadyForQuery::TAG, "status", Kind::Unknown(u32::from(*byte)))
        }),
        [_, rest @ ..] => {
            Err(DecodeError::new(ReadyForQuery::TAG, "end", Kind::Trailing(rest.len())))
        }
    }
}

/// Appends a `ReadyForQuery` of this status.
pub fn write(out: &mut BytesMut, status: TransactionStatus) {
    out.extend_from_slice(&[ReadyForQuery::TAG, 0, 0, 0, 5, status.byte()]);
}
