//! `Parse`.

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::{DecodeError, Kind};
use crate::read::{Reader, split_text};
use crate::write;

/// `Parse` (`P`, frontend): prepares a statement.
///
/// Body: name, query, Int16 count of parameter types, Int32 each. Manual, "Message Formats".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parse {
    /// Empty for the unnamed statement.
    pub name: Bytes,
    /// The text, in the client's encoding.
    pub query: Bytes,
    /// OIDs of the parameters' types; 0 leaves one to the server.
    pub types: Vec<u32>,
}

impl Parse {
    /// The message's type.
    pub const TAG: u8 = b'P';

    /// Reads the body.
    ///
    /// # Errors
    /// A [`DecodeError`] naming the field.
    pub fn decode(body: Bytes) -> Result<Self, DecodeError> {
        let mut body = Reader::new(Self::TAG, body);
        let (name, query) = (body.text("name")?, body.text("query")?);
        let types = body.list("parameter types", 4, |body| body.u32("parameter type"))?;
        body.finish()?;
        Ok(Self { name, query, types })
    }

    /// Appends the message.
    pub fn encode(&self, out: &mut BytesMut) {
        write::message(out, Self::TAG, |body| {
            write::text(body, &self.name);
            write::text(body, &self.query);
            write::list(body, &self.types, |body, oid| body.put_u32(*oid));
        });
    }
}

/// A `Parse` read in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View<'a> {
    /// The statement's name.
    pub name: &'a [u8],
    /// The text.
    pub query: &'a [u8],
    /// The parameter types as they stand in the message: their count, then the types.
    pub types: &'a [u8],
}

/// Reads a whole body in place.
///
/// # Errors
/// As [`Parse::decode`].
pub fn peek(body: &[u8]) -> Result<View<'_>, DecodeError> {
    let unterminated = |field| DecodeError::new(Parse::TAG, field, Kind::Unterminated);
    let (name, rest) = split_text(body).ok_or(unterminated("name"))?;
    let (query, types) = split_text(rest).ok_or(unterminated("query"))?;
    let Some((count, list)) = types.split_first_chunk() else {
        return Err(DecodeError::missing(Parse::TAG, "parameter types"));
    };
    let expected = usize::from(u16::from_be_bytes(*count)) * 4;
    if list.len() < expected {
        return Err(DecodeError::missing(Parse::TAG, "parameter types"));
    }
    if list.len() > expected {
        return Err(DecodeError::new(Parse::TAG, "end", Kind::Trailing(list.len() - expected)));
    }
    Ok(View { name, query, types })
}

/// Appends a `Parse`; `types` as in [`View::types`].
pub fn write(out: &mut BytesMut, name: &[u8], query: &[u8], types: &[u8]) {
    write::message(out, Parse::TAG, |body| {
        write::text(body, name);
        write::text(body, query);
        body.put_slice(types);
    });
}
