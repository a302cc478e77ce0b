//! `FunctionCall`.

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::DecodeError;
use crate::read::Reader;
use crate::write;

/// `FunctionCall` (`F`, frontend): calls a function by its OID, a way kept for old clients (large objects in libpq).
///
/// Body: Int32 OID, Int16 count of formats, Int16 each, Int16 count of arguments, each with its length in front,
/// Int16 result format. Manual, "Message Formats".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionCall {
    /// The function.
    pub function: u32,
    /// As in Bind.
    pub argument_formats: Vec<i16>,
    /// `None` is NULL.
    pub arguments: Vec<Option<Bytes>>,
    /// 0 is text, 1 binary.
    pub result_format: i16,
}

impl FunctionCall {
    /// The message's type.
    pub const TAG: u8 = b'F';

    /// Reads the body.
    ///
    /// # Errors
    /// A [`DecodeError`] naming the field.
    pub fn decode(body: Bytes) -> Result<Self, DecodeError> {
        let mut body = Reader::new(Self::TAG, body);
        let function = body.u32("function")?;
        let argument_formats =
            body.list("argument formats", 2, |body| body.i16("argument format"))?;
        let arguments = body.list("arguments", 4, |body| body.value("argument"))?;
        let result_format = body.i16("result format")?;
        body.finish()?;
        Ok(Self { function, argument_formats, arguments, result_format })
    }

    /// Appends the message.
    pub fn encode(&self, out: &mut BytesMut) {
        write::message(out, Self::TAG, |body| {
            body.put_u32(self.function);
            write::list(body, &self.argument_formats, |body, format| body.put_i16(*format));
            write::list(body, &self.arguments, |body, value| write::value(body, value.as_ref()));
            body.put_i16(self.result_format);
        });
    }
}
