//! Messages from servers to clients.
//!
//! One file per message or family. Beside the full types there are functions that look at, or write, just what a
//! pooler needs, without an allocation: `peek`, `write`.

pub mod authentication;
pub mod command;
pub mod copy;
pub mod error;
pub mod key_data;
pub mod negotiate;
pub mod notification;
pub mod parameter_description;
pub mod parameter_status;
pub mod ready_for_query;
pub mod row;

pub use authentication::Authentication;
pub use command::{
    BIND_COMPLETE, BindComplete, CLOSE_COMPLETE, CloseComplete, CommandComplete,
    EmptyQueryResponse, FunctionCallResponse, NO_DATA, NoData, PARSE_COMPLETE, ParseComplete,
    PortalSuspended,
};
pub use copy::{CopyBothResponse, CopyData, CopyDone, CopyInResponse, CopyOutResponse};
pub use error::{ErrorResponse, NoticeResponse, Severity};
pub use key_data::BackendKeyData;
pub use negotiate::NegotiateProtocolVersion;
pub use notification::NotificationResponse;
pub use parameter_description::ParameterDescription;
pub use parameter_status::ParameterStatus;
pub use ready_for_query::{ReadyForQuery, TransactionStatus};
pub use row::{DataRow, FieldDescription, RowDescription};

use bytes::{Bytes, BytesMut};

use crate::error::{DecodeError, Kind};

macro_rules! messages {
    ($($name:ident),* $(,)?) => {
        /// Any message of a server.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each variant is the message of that name")]
        pub enum Message {
            $($name($name)),*
        }

        impl Message {
            /// Reads a message of the given tag from its body.
            ///
            /// # Errors
            /// An unknown tag, or what is wrong with the body.
            pub fn decode(tag: u8, body: Bytes) -> Result<Self, DecodeError> {
                match tag {
                    $($name::TAG => $name::decode(body).map(Self::$name),)*
                    _ => Err(DecodeError::new(tag, "tag", Kind::Unknown(u32::from(tag)))),
                }
            }

            /// Appends the message.
            pub fn encode(&self, out: &mut BytesMut) {
                match self {
                    $(Self::$name(message) => message.encode(out)),*
                }
            }
        }
    };
}

messages! {
    Authentication, BackendKeyData, BindComplete, CloseComplete, CommandComplete, CopyBothResponse, CopyData, CopyDone,
    CopyInResponse, CopyOutResponse, DataRow, EmptyQueryResponse, ErrorResponse, FunctionCallResponse,
    NegotiateProtocolVersion, NoData, NoticeResponse, NotificationResponse, ParameterDescription, ParameterStatus,
    ParseComplete, PortalSuspended, ReadyForQuery, RowDescription,
}
