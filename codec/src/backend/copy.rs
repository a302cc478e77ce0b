//! COPY: its beginning, its data, its end.

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::DecodeError;
use crate::frontend::sync::empty;
use crate::read::Reader;
use crate::write;

empty! {
    /// `CopyDone` (`c`, both ways): the COPY data is complete.
    CopyDone = b'c';
}

/// `CopyData` (`d`, both ways): a piece of a COPY stream.
///
/// Body: any bytes; a server sends one row in each. Manual, "Message Formats".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyData {
    /// The piece.
    pub data: Bytes,
}

impl CopyData {
    /// The message's type.
    pub const TAG: u8 = b'd';

    /// Takes the body.
    ///
    /// # Errors
    /// None: any body will do.
    pub fn decode(body: Bytes) -> Result<Self, DecodeError> {
        Ok(Self { data: body })
    }

    /// Appends the message.
    pub fn encode(&self, out: &mut BytesMut) {
        write::message(out, Self::TAG, |body| body.put_slice(&self.data));
    }
}

macro_rules! begin {
    ($($(#[$doc:meta])* $name:ident = $tag:literal;)*) => { $(
        $(#[$doc])*
        ///
        /// Body: Int8 overall format, Int16 count of columns, Int16 format of each. Manual, "Message Formats".
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            /// 0 is text, 1 binary.
            pub format: u8,
            /// The same for each column.
            pub column_formats: Vec<i16>,
        }

        impl $name {
            /// The message's type.
            pub const TAG: u8 = $tag;

            /// Reads the body.
            ///
            /// # Errors
            /// A [`DecodeError`] naming the field.
            pub fn decode(body: Bytes) -> Result<Self, DecodeError> {
                let mut body = Reader::new(Self::TAG, body);
                let format = body.u8("format")?;
                let column_formats = body.list("column formats", 2, |body| body.i16("column format"))?;
                body.finish()?;
                Ok(Self { format, column_formats })
            }

            /// Appends the message.
            pub fn encode(&self, out: &mut BytesMut) {
                write::message(out, Self::TAG, |body| {
                    body.put_u8(self.format);
                    write::list(body, &self.column_formats, |body, format| body.put_i16(*format));
                });
            }
        }
    )* };
}

begin! {
    /// `CopyInResponse` (`G`, backend): the client is to send COPY data.
    CopyInResponse = b'G';
    /// `CopyOutResponse` (`H`, backend): COPY data follows.
    CopyOutResponse = b'H';
    /// `CopyBothResponse` (`W`, backend): COPY data goes both ways (streaming replication).
    CopyBothResponse = b'W';
}
