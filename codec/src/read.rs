//! A checked reader over a message's body. Never panics; never takes a length at its word.

use bytes::{Buf, Bytes};

use crate::error::{DecodeError, Kind};

/// Reads fields off the front of a body.
#[derive(Debug)]
pub(crate) struct Reader {
    tag: u8,
    body: Bytes,
}

impl Reader {
    pub(crate) fn new(tag: u8, body: Bytes) -> Self {
        Self { tag, body }
    }

    pub(crate) fn error(&self, field: &'static str, kind: Kind) -> DecodeError {
        DecodeError::new(self.tag, field, kind)
    }

    fn need(&self, field: &'static str, count: usize) -> Result<(), DecodeError> {
        if self.body.len() < count { Err(self.error(field, Kind::Truncated)) } else { Ok(()) }
    }

    pub(crate) fn left(&self) -> usize {
        self.body.len()
    }

    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        self.need(field, 1)?;
        Ok(self.body.get_u8())
    }

    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        self.need(field, 2)?;
        Ok(self.body.get_u16())
    }

    pub(crate) fn i16(&mut self, field: &'static str) -> Result<i16, DecodeError> {
        self.need(field, 2)?;
        Ok(self.body.get_i16())
    }

    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.need(field, 4)?;
        Ok(self.body.get_u32())
    }

    pub(crate) fn i32(&mut self, field: &'static str) -> Result<i32, DecodeError> {
        self.need(field, 4)?;
        Ok(self.body.get_i32())
    }

    /// A text up to its zero byte, which is taken off too.
    pub(crate) fn text(&mut self, field: &'static str) -> Result<Bytes, DecodeError> {
        let Some(end) = memchr::memchr(0, &self.body) else {
            return Err(self.error(field, Kind::Unterminated));
        };
        let text = self.body.split_to(end);
        self.body.advance(1);
        Ok(text)
    }

    pub(crate) fn bytes(
        &mut self,
        field: &'static str,
        count: usize,
    ) -> Result<Bytes, DecodeError> {
        self.need(field, count)?;
        Ok(self.body.split_to(count))
    }

    /// A value with its length in front; -1 stands for NULL.
    pub(crate) fn value(&mut self, field: &'static str) -> Result<Option<Bytes>, DecodeError> {
        match self.i32(field)? {
            -1 => Ok(None),
            length => match usize::try_from(length) {
                Ok(length) => Ok(Some(self.bytes(field, length)?)),
                Err(_) => Err(self.error(field, Kind::TooShort(i64::from(length)))),
            },
        }
    }

    /// A list with its count in front (Int16, unsigned as PostgreSQL takes it); each entry is at least `least` bytes,
    /// so that a false count cannot make us reserve memory.
    pub(crate) fn list<T>(
        &mut self,
        field: &'static str,
        least: usize,
        mut entry: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let count = usize::from(self.u16(field)?);
        self.need(field, count.saturating_mul(least))?;
        let mut list = Vec::with_capacity(count);
        for _ in 0..count {
            list.push(entry(self)?);
        }
        Ok(list)
    }

    /// All that is left.
    pub(crate) fn rest(self) -> Bytes {
        self.body
    }

    /// Makes sure that nothing is left.
    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        match self.body.len() {
            0 => Ok(()),
            left => Err(DecodeError::new(self.tag, "end", Kind::Trailing(left))),
        }
    }
}

/// Splits a text off the front of a slice; `None` without a zero byte.
pub(crate) fn split_text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(0, bytes)?;
    let (text, rest) = bytes.split_at_checked(end)?;
    Some((text, rest.get(1..)?))
}
