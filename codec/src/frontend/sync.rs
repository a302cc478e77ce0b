//! The messages without a body.

use bytes::{Bytes, BytesMut};

use crate::error::DecodeError;
use crate::read::Reader;

macro_rules! empty {
    ($($(#[$doc:meta])* $name:ident = $tag:literal;)*) => { $(
        $(#[$doc])*
        ///
        /// No body. Manual, "Message Formats".
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name;

        impl $name {
            /// The message's type.
            pub const TAG: u8 = $tag;

            /// Makes sure that there is no body.
            ///
            /// # Errors
            /// A [`DecodeError`] if there is one.
            pub fn decode(body: Bytes) -> Result<Self, DecodeError> {
                Reader::new(Self::TAG, body).finish().map(|()| Self)
            }

            /// Appends the message.
            pub fn encode(&self, out: &mut BytesMut) {
                out.extend_from_slice(&[Self::TAG, 0, 0, 0, 4]);
            }
        }
    )* };
}
pub(crate) use empty;

empty! {
    /// `Sync` (`S`, frontend): ends a batch of the extended protocol; ReadyForQuery answers it.
    Sync = b'S';
    /// `Flush` (`H`, frontend): asks for the answers so far.
    Flush = b'H';
    /// `Terminate` (`X`, frontend): good-bye.
    Terminate = b'X';
}

/// A whole `Terminate`.
pub const TERMINATE: &[u8] = b"X\0\0\0\x04";

/// Appends a `Sync`.
pub fn write(out: &mut BytesMut) {
    Sync.encode(out);
}
