//! Messages from clients to servers.
//!
//! One file per message or family. Beside the full types there are functions that look at, or write, just what a
//! pooler needs, without an allocation: `peek`, `write`.

pub mod bind;
pub mod close;
pub mod copy;
pub mod describe;
pub mod execute;
pub mod function_call;
pub mod parse;
pub mod password;
pub mod query;
pub mod sync;
mod target;

pub use bind::Bind;
pub use close::Close;
pub use copy::{CopyData, CopyDone, CopyFail};
pub use describe::Describe;
pub use execute::Execute;
pub use function_call::FunctionCall;
pub use parse::Parse;
pub use password::{PasswordMessage, SaslInitialResponse, SaslResponse};
pub use query::Query;
pub use sync::{Flush, Sync, TERMINATE, Terminate};
pub use target::{Target, target_name};

use bytes::{Bytes, BytesMut};

use crate::error::{DecodeError, Kind};

/// Any message of a logged-in client; of those with tag `p` only the layout that is sure, [`PasswordMessage`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is the message of that name")]
pub enum Message {
    Bind(Bind),
    Close(Close),
    CopyData(CopyData),
    CopyDone(CopyDone),
    CopyFail(CopyFail),
    Describe(Describe),
    Execute(Execute),
    Flush(Flush),
    FunctionCall(FunctionCall),
    Parse(Parse),
    Password(PasswordMessage),
    Query(Query),
    Sync(Sync),
    Terminate(Terminate),
}

impl Message {
    /// Reads a message of the given tag from its body.
    ///
    /// # Errors
    /// An unknown tag, or what is wrong with the body.
    pub fn decode(tag: u8, body: Bytes) -> Result<Self, DecodeError> {
        Ok(match tag {
            Bind::TAG => Self::Bind(Bind::decode(body)?),
            Close::TAG => Self::Close(Close::decode(body)?),
            CopyData::TAG => Self::CopyData(CopyData::decode(body)?),
            CopyDone::TAG => Self::CopyDone(CopyDone::decode(body)?),
            CopyFail::TAG => Self::CopyFail(CopyFail::decode(body)?),
            Describe::TAG => Self::Describe(Describe::decode(body)?),
            Execute::TAG => Self::Execute(Execute::decode(body)?),
            Flush::TAG => Self::Flush(Flush::decode(body)?),
            FunctionCall::TAG => Self::FunctionCall(FunctionCall::decode(body)?),
            Parse::TAG => Self::Parse(Parse::decode(body)?),
            PasswordMessage::TAG => Self::Password(PasswordMessage::decode(body)?),
            Query::TAG => Self::Query(Query::decode(body)?),
            Sync::TAG => Self::Sync(Sync::decode(body)?),
            Terminate::TAG => Self::Terminate(Terminate::decode(body)?),
            _ => return Err(DecodeError::new(tag, "tag", Kind::Unknown(u32::from(tag)))),
        })
    }

    /// Appends the message.
    pub fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Bind(message) => message.encode(out),
            Self::Close(message) => message.encode(out),
            Self::CopyData(message) => message.encode(out),
            Self::CopyDone(message) => message.encode(out),
            Self::CopyFail(message) => message.encode(out),
            Self::Describe(message) => message.encode(out),
            Self::Execute(message) => message.encode(out),
            Self::Flush(message) => message.encode(out),
            Self::FunctionCall(message) => message.encode(out),
            Self::Parse(message) => message.encode(out),
            Self::Password(message) => message.encode(out),
            Self::Query(message) => message.encode(out),
            Self::Sync(message) => message.encode(out),
            Self::Terminate(message) => message.encode(out),
        }
    }
}
