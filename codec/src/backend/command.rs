//! What a server says when something is done.

use bytes::{Bytes, BytesMut};

use crate::error::DecodeError;
use crate::frontend::sync::empty;
use crate::read::Reader;
use crate::write;

empty! {
    /// `ParseComplete` (`1`, backend).
    ParseComplete = b'1';
    /// `BindComplete` (`2`, backend).
    BindComplete = b'2';
    /// `CloseComplete` (`3`, backend).
    CloseComplete = b'3';
    /// `NoData` (`n`, backend): what was described returns no rows.
    NoData = b'n';
    /// `PortalSuspended` (`s`, backend): the row limit of an Execute was reached.
    PortalSuspended = b's';
    /// `EmptyQueryResponse` (`I`, backend): instead of CommandComplete after an empty text.
    EmptyQueryResponse = b'I';
}

/// A whole `ParseComplete`.
pub const PARSE_COMPLETE: &[u8] = b"1\0\0\0\x04";
/// A whole `BindComplete`.
pub const BIND_COMPLETE: &[u8] = b"2\0\0\0\x04";
/// A whole `CloseComplete`.
pub const CLOSE_COMPLETE: &[u8] = b"3\0\0\0\x04";
/// A whole `NoData`.
pub const NO_DATA: &[u8] = b"n\0\0\0\x04";

/// `CommandComplete` (`C`, backend): a statement is done.
///
/// Body: the tag, e.g. `INSERT 0 1`. Manual, "Message Formats".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandComplete {
    /// What was done, and to how many rows.
    pub tag: Bytes,
}

impl CommandComplete {
    /// The message's type.
    pub const TAG: u8 = b'C';

    /// Reads the body.
    ///
    /// # Errors
    /// A [`DecodeError`] naming the field.
    pub fn decode(body: Bytes) -> Result<Self, DecodeError> {
        let mut body = Reader::new(Self::TAG, body);
        let tag = body.text("tag")?;
        body.finish()?;
        Ok(Self { tag })
    }

    /// Appends the message.
    pub fn encode(&self, out: &mut BytesMut) {
        write::message(out, Self::TAG, |body| write::text(body, &self.tag));
    }
}

/// `FunctionCallResponse` (`V`, backend): what a FunctionCall returned.
///
/// Body: the value with its length in front. Manual, "Message Formats".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionCallResponse {
    /// `None` is NULL.
    pub value: Option<Bytes>,
}

impl FunctionCallResponse {
    /// The message's type.
    pub const TAG: u8 = b'V';

    /// Reads the body.
    ///
    /// # Errors
    /// A [`DecodeError`] naming the field.
    pub fn decode(body: Bytes) -> Result<Self, DecodeError> {
        let mut body = Reader::new(Self::TAG, body);
        let value = body.value("value")?;
        body.finish()?;
        Ok(Self { value })
    }

    /// Appends the message.
    pub fn encode(&self, out: &mut BytesMut) {
        write::message(out, Self::TAG, |body| write::value(body, self.value.as_ref()));
    }
}
