//! What can be wrong with bytes.

use std::fmt;

/// Bytes that are not a message. Names the message by its tag and the field that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// The message's tag; 0 for the untagged packets of the startup.
    pub tag: u8,
    /// The field, as the manual or this crate names it.
    pub field: &'static str,
    /// What is wrong with it.
    pub kind: Kind,
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The message ends before the field does.
    Truncated,
    /// Bytes are left over behind the last field.
    Trailing(usize),
    /// A length below the least possible, or a negative one that is not allowed.
    TooShort(i64),
    /// A length beyond the limit.
    TooLong(usize),
    /// A value that is not in the protocol.
    Unknown(u32),
    /// A text without its terminating zero byte.
    Unterminated,
    /// Protocol version 2, which PostgreSQL itself gave up in version 14.
    ProtocolTwo,
}

impl DecodeError {
    pub(crate) fn new(tag: u8, field: &'static str, kind: Kind) -> Self {
        Self { tag, field, kind }
    }

    /// A message of `len` bytes, where so many are not allowed.
    pub fn too_long(tag: u8, len: usize) -> Self {
        Self::new(tag, "length", Kind::TooLong(len))
    }

    /// A message that ends before `field` does.
    pub fn missing(tag: u8, field: &'static str) -> Self {
        Self::new(tag, field, Kind::Truncated)
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tag {
            0 => write!(f, "startup packet, {}: ", self.field)?,
            tag if tag.is_ascii_graphic() => {
                write!(f, "message '{}', {}: ", char::from(tag), self.field)?
            }
            tag => write!(f, "message 0x{tag:02x}, {}: ", self.field)?,
        }
        match self.kind {
            Kind::Truncated => f.write_str("the message ends before it"),
            Kind::Trailing(count) => write!(f, "{count} bytes follow the last field"),
            Kind::TooShort(found) => write!(f, "{found} is too small"),
            Kind::TooLong(found) => write!(f, "{found} bytes are too many"),
            Kind::Unknown(found) => write!(f, "value {found} is not in the protocol"),
            Kind::Unterminated => f.write_str("no terminating zero byte"),
            Kind::ProtocolTwo => f.write_str("protocol version 2 is not supported"),
        }
    }
}

impl std::error::Error for DecodeError {}
