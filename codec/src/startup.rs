//! The packets that open a connection. They have no tag: a length word, then a code that tells them apart.
//!
//! Manual, "Message Formats": StartupMessage, SSLRequest, GSSENCRequest, CancelRequest. They come from peers that
//! have proven nothing yet, so [`peek_len`] refuses a length before a byte of the packet is kept.

use bytes::{BufMut, Bytes, BytesMut};

use crate::backend::NegotiateProtocolVersion;
use crate::error::{DecodeError, Kind};
use crate::read::Reader;
use crate::write;

/// Longest packet, length word included: PostgreSQL's MAX_STARTUP_PACKET_LENGTH of 10,000, which does not count the
/// length word.
pub const LIMIT: usize = 4 + 10_000;

/// Length of a cancel key that pgweir and PostgreSQL 18 make for protocol 3.2, bytes.
pub const LONG_KEY: usize = 32;

/// Names of protocol options begin so.
const OPTION_PREFIX: &[u8] = b"_pq_.";

const CANCEL: u32 = 80_877_102;
const SSL: u32 = 80_877_103;
const GSSENC: u32 = 80_877_104;

/// Any of the packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartupPacket {
    /// SSLRequest: the client would like TLS.
    Ssl,
    /// GSSENCRequest: the client would like GSSAPI encryption.
    GssEnc,
    /// CancelRequest.
    Cancel(CancelRequest),
    /// StartupMessage.
    Startup(StartupMessage),
}

/// `StartupMessage`: the protocol version, then pairs of texts, then a zero byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartupMessage {
    /// 3.
    pub major: u16,
    /// 0, or 2 for long cancel keys.
    pub minor: u16,
    /// Names and values in order; names are not empty.
    pub parameters: Vec<(Bytes, Bytes)>,
}

/// `CancelRequest`: what BackendKeyData told the client.
#[derive(Clone, PartialEq, Eq)]
pub struct CancelRequest {
    /// Process id.
    pub pid: u32,
    /// Secret: 4 bytes in protocol 3.0, up to 256 from 3.2 on.
    pub key: Bytes,
}

impl std::fmt::Debug for CancelRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CancelRequest").field("pid", &self.pid).finish_non_exhaustive()
    }
}

/// Length of the packet at the front of `bytes`; `None` while its length word has not arrived.
///
/// # Errors
/// A length that no packet has.
pub fn peek_len(bytes: &[u8]) -> Result<Option<usize>, DecodeError> {
    let Some(word) = bytes.first_chunk() else { return Ok(None) };
    let length = u32::from_be_bytes(*word) as usize;
    match length {
        0..8 => Err(DecodeError::new(0, "length", Kind::TooShort(length as i64))),
        8..=LIMIT => Ok(Some(length)),
        _ => Err(DecodeError::new(0, "length", Kind::TooLong(length))),
    }
}

impl StartupPacket {
    /// Reads one whole packet, length word included.
    ///
    /// # Errors
    /// [`Kind::ProtocolTwo`] for clients from before 2003. Field `terminator` whenever the parameters do not end, with
    /// an empty name, exactly at the last byte: a text without its end, a name without a value, bytes behind the end.
    /// PostgreSQL has one message for all of that too ("expected terminator as last byte").
    pub fn decode(packet: Bytes) -> Result<Self, DecodeError> {
        let length = peek_len(&packet)?;
        if length != Some(packet.len()) {
            return Err(DecodeError::missing(0, "packet"));
        }
        let mut body = Reader::new(0, packet);
        body.u32("length")?;
        match body.u32("code")? {
            SSL => body.finish().map(|()| Self::Ssl),
            GSSENC => body.finish().map(|()| Self::GssEnc),
            CANCEL => {
                let pid = body.u32("pid")?;
                let key = body.rest();
                match key.len() {
                    4..=256 => Ok(Self::Cancel(CancelRequest { pid, key })),
                    short @ 0..4 => Err(DecodeError::new(0, "key", Kind::TooShort(short as i64))),
                    long => Err(DecodeError::new(0, "key", Kind::TooLong(long))),
                }
            }
            version => Self::startup(version, body),
        }
    }

    fn startup(version: u32, mut body: Reader) -> Result<Self, DecodeError> {
        let [a, b, c, d] = version.to_be_bytes();
        let (major, minor) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        match major {
            3 => {}
            2 => return Err(DecodeError::new(0, "version", Kind::ProtocolTwo)),
            _ => return Err(DecodeError::new(0, "version", Kind::Unknown(version))),
        }
        let mut parameters = Vec::new();
        loop {
            let name = body.text("terminator")?;
            if name.is_empty() {
                break;
            }
            parameters.push((name, body.text("terminator")?));
        }
        match body.left() {
            0 => Ok(Self::Startup(StartupMessage { major, minor, parameters })),
            left => Err(DecodeError::new(0, "terminator", Kind::Trailing(left))),
        }
    }

    /// Appends the packet.
    pub fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Ssl => write::untagged(out, |body| body.put_u32(SSL)),
            Self::GssEnc => write::untagged(out, |body| body.put_u32(GSSENC)),
            Self::Cancel(cancel) => cancel.encode(out),
            Self::Startup(startup) => startup.encode(out),
        }
    }
}

impl StartupMessage {
    /// The minor version that the connection goes on with: 2 for clients that ask for it or for more, else 0.
    ///
    /// 3.1 never existed: PostgreSQL reserves the number because old pgbouncers took it for 3.0, and 3.0 it is here.
    pub fn spoken_minor(&self) -> u16 {
        if self.minor >= 2 { 2 } else { 0 }
    }

    /// Names of protocol options asked for (`_pq_.…`). There are none that we know.
    pub fn protocol_options(&self) -> impl Iterator<Item = &Bytes> {
        self.parameters.iter().map(|(name, _)| name).filter(|name| is_protocol_option(name))
    }

    /// What the client has to be told if it asked for a version or for options that we do not speak; `None` if it
    /// gets what it asked for. Manual, "Message Flow", Start-up: the version is what the connection goes on with,
    /// and options that are not named in the answer are in force.
    pub fn negotiate(&self) -> Option<NegotiateProtocolVersion> {
        let spoken = self.spoken_minor();
        let unknown_options: Vec<_> = self.protocol_options().cloned().collect();
        let version = u32::from(self.major) << 16 | u32::from(spoken);
        (spoken != self.minor || !unknown_options.is_empty())
            .then_some(NegotiateProtocolVersion { version, unknown_options })
    }

    /// Appends the packet.
    pub fn encode(&self, out: &mut BytesMut) {
        write::untagged(out, |body| {
            body.put_u16(self.major);
            body.put_u16(self.minor);
            for (name, value) in &self.parameters {
                write::text(body, name);
                write::text(body, value);
            }
            body.put_u8(0);
        });
    }
}

/// Whether a startup parameter of this name is a protocol option and no setting.
pub fn is_protocol_option(name: &[u8]) -> bool {
    name.starts_with(OPTION_PREFIX)
}

impl CancelRequest {
    /// Appends the packet.
    pub fn encode(&self, out: &mut BytesMut) {
        write::untagged(out, |body| {
            body.put_u32(CANCEL);
            body.put_u32(self.pid);
            body.put_slice(&self.key);
        });
    }
}
