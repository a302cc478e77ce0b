//! Message heads: tag and length, read in place. Payloads are not touched.

use crate::error::{DecodeError, Kind};

/// The first five bytes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The type.
    pub tag: u8,
    /// Length of the whole message in bytes, tag and length word included: at least [`Head::SIZE`].
    pub len: usize,
}

impl Head {
    /// Tag and length word.
    pub const SIZE: usize = 5;

    /// Longest message: the length word is a signed 32-bit integer.
    const LIMIT: u32 = i32::MAX as u32;

    /// Reads the head at the front of `bytes`; `None` while fewer than five have arrived.
    ///
    /// # Errors
    /// A length that cannot be: below 4 (it counts itself), or negative.
    #[inline]
    pub fn peek(bytes: &[u8]) -> Result<Option<Self>, DecodeError> {
        let Some([tag, a, b, c, d]) = bytes.first_chunk() else { return Ok(None) };
        let length = u32::from_be_bytes([*a, *b, *c, *d]);
        if length < 4 {
            return Err(DecodeError::new(*tag, "length", Kind::TooShort(i64::from(length))));
        }
        if length > Self::LIMIT {
            return Err(DecodeError::too_long(*tag, length as usize));
        }
        Ok(Some(Self { tag: *tag, len: length as usize + 1 }))
    }

    /// How many bytes of messages with this tag stand whole at the front of `bytes`, one behind the other: rows and
    /// COPY data come in runs, of which each message means the same.
    #[inline]
    pub fn run(bytes: &[u8], tag: u8) -> usize {
        let mut end = 0;
        while let Some(rest) = bytes.get(end..)
            && let Ok(Some(next)) = Self::peek(rest)
            && next.tag == tag
            && next.len <= rest.len()
        {
            end += next.len;
        }
        end
    }
}
