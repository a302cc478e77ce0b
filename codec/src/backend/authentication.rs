//! `Authentication…`: all that a server asks for or says while a client logs in.

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::{DecodeError, Kind};
use crate::read::Reader;
use crate::write;

/// `Authentication…` (`R`, backend).
///
/// Body: Int32 kind, then what belongs to it. Manual, "Message Formats", AuthenticationOk and following.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// The client is in.
    Ok,
    /// Asks for the password in the clear.
    CleartextPassword,
    /// Asks for an md5 of the password.
    Md5Password {
        /// To be mixed in.
        salt: [u8; 4],
    },
    /// Offers SASL mechanisms.
    Sasl {
        /// Their names, the preferred one first.
        mechanisms: Vec<Bytes>,
    },
    /// Goes on with the mechanism.
    SaslContinue {
        /// The mechanism's message.
        data: Bytes,
    },
    /// Ends the mechanism with success.
    SaslFinal {
        /// The mechanism's message.
        data: Bytes,
    },
    /// Kinds that pgweir does not take part in: Kerberos, GSSAPI, SSPI.
    Other {
        /// The kind.
        code: u32,
        /// What belongs to it: only GSSAPI and SSPI, going on (8), have any.
        data: Bytes,
    },
}

impl Authentication {
    /// The message's type.
    pub const TAG: u8 = b'R';

    /// Reads the body.
    ///
    /// # Errors
    /// A [`DecodeError`] naming the field.
    pub fn decode(body: Bytes) -> Result<Self, DecodeError> {
        let mut body = Reader::new(Self::TAG, body);
        Ok(match body.u32("kind")? {
            0 => body.finish().map(|()| Self::Ok)?,
            3 => body.finish().map(|()| Self::CleartextPassword)?,
            5 => {
                let salt = body.u32("salt")?.to_be_bytes();
                body.finish()?;
                Self::Md5Password { salt }
            }
            10 => {
                let mut mechanisms = Vec::new();
                loop {
                    let name = body.text("mechanism")?;
                    if name.is_empty() {
                        break;
                    }
                    mechanisms.push(name);
                }
                body.finish()?;
                Self::Sasl { mechanisms }
            }
            11 => Self::SaslContinue { data: body.rest() },
            12 => Self::SaslFinal { data: body.rest() },
            code @ (2 | 6 | 7 | 9) => {
                body.finish()?;
                Self::Other { code, data: Bytes::new() }
            }
            code @ 8 => Self::Other { code, data: body.rest() },
            code => return Err(DecodeError::new(Self::TAG, "kind", Kind::Unknown(code))),
        })
    }

    /// Appends the message.
    pub fn encode(&self, out: &mut BytesMut) {
        write::message(out, Self::TAG, |body| match self {
            Self::Ok => body.put_u32(0),
            Self::CleartextPassword => body.put_u32(3),
            Self::Md5Password { salt } => {
                body.put_u32(5);
                body.put_slice(salt);
            }
            Self::Sasl { mechanisms } => {
                body.put_u32(10);
                for name in mechanisms {
                    write::text(body, name);
                }
                body.put_u8(0);
            }
            Self::SaslContinue { data } => {
                body.put_u32(11);
                body.put_slice(data);
            }
            Self::SaslFinal { data } => {
                body.put_u32(12);
                body.put_slice(data);
            }
            Self::Other { code, data } => {
                body.put_u32(*code);
                body.put_slice(data);
            }
        });
    }
}
