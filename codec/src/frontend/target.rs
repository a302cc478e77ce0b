//! What Describe and Close are about.

use crate::error::{DecodeError, Kind};
use crate::read::split_text;

/// A prepared statement or a portal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// `S`.
    Statement,
    /// `P`.
    Portal,
}

impl Target {
    pub(super) fn from_byte(tag: u8, byte: u8) -> Result<Self, DecodeError> {
        match byte {
            b'S' => Ok(Self::Statement),
            b'P' => Ok(Self::Portal),
            other => Err(DecodeError::new(tag, "target", Kind::Unknown(u32::from(other)))),
        }
    }

    pub(super) fn byte(self) -> u8 {
        match self {
            Self::Statement => b'S',
            Self::Portal => b'P',
        }
    }
}

/// Reads the body of a Describe or Close in place.
///
/// # Errors
/// As the full decoders.
pub fn target_name(tag: u8, body: &[u8]) -> Result<(Target, &[u8]), DecodeError> {
    let (byte, rest) = body.split_first().ok_or(DecodeError::missing(tag, "target"))?;
    let target = Target::from_byte(tag, *byte)?;
    let (name, rest) = split_text(rest).ok_or(DecodeError::new(tag, "name", Kind::Unterminated))?;
    if !rest.is_empty() {
        return Err(DecodeError::new(tag, "end", Kind::Trailing(rest.len())));
    }
    Ok((target, name))
}
