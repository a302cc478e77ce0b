//! `ErrorResponse` and `NoticeResponse`: fields of one letter and a text each.

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::DecodeError;
use crate::read::Reader;
use crate::sqlstate::SqlState;
use crate::write;

/// How bad it is (fields `S` and `V`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The statement failed.
    Error,
    /// The connection ends.
    Fatal,
    /// The server ends.
    Panic,
    /// Only worth knowing.
    Notice,
    /// Probably a mistake.
    Warning,
}

impl Severity {
    /// As the fields have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
            Self::Panic => "PANIC",
            Self::Notice => "NOTICE",
            Self::Warning => "WARNING",
        }
    }
}

/// Field letters (manual, "Error and Notice Message Fields").
mod letter {
    pub(super) const SEVERITY: u8 = b'S';
    pub(super) const SEVERITY_NOT_LOCALIZED: u8 = b'V';
    pub(super) const CODE: u8 = b'C';
    pub(super) const MESSAGE: u8 = b'M';
    pub(super) const DETAIL: u8 = b'D';
    pub(super) const HINT: u8 = b'H';
}

macro_rules! report {
    ($($(#[$doc:meta])* $name:ident = $tag:literal;)*) => { $(
        $(#[$doc])*
        ///
        /// Body: fields of a letter and a text each, then a zero byte. Manual, "Message Formats".
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            /// Letters and texts in order.
            fields: Vec<(u8, Bytes)>,
        }

        impl $name {
            /// The message's type.
            pub const TAG: u8 = $tag;

            /// One of our own.
            pub fn new(severity: Severity, code: SqlState, message: impl AsRef<[u8]>) -> Self {
                let copy = Bytes::copy_from_slice;
                let fields = vec![
                    (letter::SEVERITY, Bytes::from_static(severity.as_str().as_bytes())),
                    (letter::SEVERITY_NOT_LOCALIZED, Bytes::from_static(severity.as_str().as_bytes())),
                    (letter::CODE, copy(code.as_str().as_bytes())),
                    (letter::MESSAGE, copy(message.as_ref())),
                ];
                Self { fields }
            }

            /// With this as its detail.
            #[must_use]
            pub fn detail(self, text: &str) -> Self {
                self.with(letter::DETAIL, text)
            }

            /// With this as its hint.
            #[must_use]
            pub fn hint(self, text: &str) -> Self {
                self.with(letter::HINT, text)
            }

            /// With another severity.
            #[must_use]
            pub fn with_severity(self, severity: Severity) -> Self {
                let text = severity.as_str();
                self.with(letter::SEVERITY, text).with(letter::SEVERITY_NOT_LOCALIZED, text)
            }

            fn with(mut self, letter: u8, text: &str) -> Self {
                let text = Bytes::copy_from_slice(text.as_bytes());
                match self.fields.iter_mut().find(|(known, _)| *known == letter) {
                    Some((_, value)) => *value = text,
                    None => self.fields.push((letter, text)),
                }
                self
            }

            /// The text of a field.
            pub fn field(&self, letter: u8) -> Option<&Bytes> {
                self.fields.iter().find(|(known, _)| *known == letter).map(|(_, text)| text)
            }

            /// The SQLSTATE; `XX000` if there is none (CVE-2025-6666: an error without a code must not upset us).
            pub fn code(&self) -> SqlState {
                self.field(letter::CODE).map_or(SqlState::INTERNAL_ERROR, |code| SqlState::from_bytes(code))
            }

            /// The severity, in the server's language.
            pub fn severity(&self) -> String {
                self.field(letter::SEVERITY).map_or_else(String::new, |text| String::from_utf8_lossy(text).into_owned())
            }

            /// The primary message, in the server's encoding.
            pub fn message_bytes(&self) -> &[u8] {
                self.field(letter::MESSAGE).map_or(&[], |text| text)
            }

            /// The primary message for a log.
            pub fn message(&self) -> String {
                String::from_utf8_lossy(self.message_bytes()).into_owned()
            }

            /// Whether the connection ends with it.
            pub fn is_fatal(&self) -> bool {
                let severity = self.field(letter::SEVERITY_NOT_LOCALIZED).or_else(|| self.field(letter::SEVERITY));
                severity.is_some_and(|severity| matches!(&severity[..], b"FATAL" | b"PANIC"))
            }

            /// Reads the body.
            ///
            /// # Errors
            /// A [`DecodeError`] naming the field.
            pub fn decode(body: Bytes) -> Result<Self, DecodeError> {
                let mut body = Reader::new(Self::TAG, body);
                let mut fields = Vec::new();
                loop {
                    match body.u8("field letter")? {
                        0 => break,
                        letter => fields.push((letter, body.text("field")?)),
                    }
                }
                body.finish()?;
                Ok(Self { fields })
            }

            /// Appends the message.
            pub fn encode(&self, out: &mut BytesMut) {
                write::message(out, Self::TAG, |body| {
                    for (letter, text) in &self.fields {
                        body.put_u8(*letter);
                        write::text(body, text);
                    }
                    body.put_u8(0);
                });
            }
        }
    )* };
}

report! {
    /// `ErrorResponse` (`E`, backend).
    ErrorResponse = b'E';
    /// `NoticeResponse` (`N`, backend). Comes at any time.
    NoticeResponse = b'N';
}
