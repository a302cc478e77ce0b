//! `Bind`.

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::DecodeError;
use crate::head::Head;
use crate::read::{Reader, split_text};
use crate::write;

/// `Bind` (`B`, frontend): makes a portal of a statement and its parameters.
///
/// Body: portal, statement, Int16 count of formats, Int16 each, Int16 count of parameters, each with its length in
/// front (-1: NULL), Int16 count of result formats, Int16 each. Manual, "Message Formats".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// Empty for the unnamed portal.
    pub portal: Bytes,
    /// Empty for the unnamed statement.
    pub statement: Bytes,
    /// 0 is text, 1 binary; none: all text; one: for all.
    pub parameter_formats: Vec<i16>,
    /// `None` is NULL.
    pub parameters: Vec<Option<Bytes>>,
    /// As `parameter_formats`, for the result's columns.
    pub result_formats: Vec<i16>,
}

impl Bind {
    /// The message's type.
    pub const TAG: u8 = b'B';

    /// Reads the body.
    ///
    /// # Errors
    /// A [`DecodeError`] naming the field.
    pub fn decode(body: Bytes) -> Result<Self, DecodeError> {
        let mut body = Reader::new(Self::TAG, body);
        let (portal, statement) = (body.text("portal")?, body.text("statement")?);
        let parameter_formats =
            body.list("parameter formats", 2, |body| body.i16("parameter format"))?;
        let parameters = body.list("parameters", 4, |body| body.value("parameter"))?;
        let result_formats = body.list("result formats", 2, |body| body.i16("result format"))?;
        body.finish()?;
        Ok(Self { portal, statement, parameter_formats, parameters, result_formats })
    }

    /// Appends the message.
    pub fn encode(&self, out: &mut BytesMut) {
        write::message(out, Self::TAG, |body| {
            write::text(body, &self.portal);
            write::text(body, &self.statement);
            write::list(body, &self.parameter_formats, |body, format| body.put_i16(*format));
            write::list(body, &self.parameters, |body, value| write::value(body, value.as_ref()));
            write::list(body, &self.result_formats, |body, format| body.put_i16(*format));
        });
    }
}

/// The names at the front of a `Bind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names<'a> {
    /// The portal.
    pub portal: &'a [u8],
    /// The statement.
    pub statement: &'a [u8],
    /// Where in the body the rest begins.
    pub rest_at: usize,
}

/// Reads the names off a body of which perhaps only the front has arrived; `None` if they are not all there.
///
/// # Errors
/// None at present: a body without the two zero bytes is for the caller to judge, who knows how long it will be.
pub fn peek_names(body: &[u8]) -> Result<Option<Names<'_>>, DecodeError> {
    let Some((portal, rest)) = split_text(body) else { return Ok(None) };
    let Some((statement, rest)) = split_text(rest) else { return Ok(None) };
    Ok(Some(Names { portal, statement, rest_at: body.len() - rest.len() }))
}

/// Appends the front of a `Bind` that names another statement; what stood from `rest_at` on in the body of the
/// original, whose whole length was `len`, has to follow.
pub fn write_renamed_head(
    out: &mut BytesMut,
    len: usize,
    portal: &[u8],
    statement: &[u8],
    rest_at: usize,
) {
    let rest = len.saturating_sub(Head::SIZE + rest_at);
    out.reserve(Head::SIZE + portal.len() + statement.len() + 2);
    write::message_followed_by(out, Bind::TAG, rest, |body| {
        write::text(body, portal);
        write::text(body, statement);
    });
}
