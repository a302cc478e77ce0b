//! What the session machine says to do with a message, and why a session cannot go on.

use std::fmt;

use pgweir_codec::backend::{ErrorResponse, Severity};
use pgweir_codec::error::DecodeError;
use pgweir_codec::sqlstate::SqlState;

use super::elsewhere::Elsewhere;
use crate::routing::Intent;

/// What to do with the message from the client at hand.
#[derive(Debug, PartialEq, Eq)]
pub enum FromClient {
    /// Not enough of it has arrived to decide: this many bytes (head included) would do.
    NeedMore(usize),
    /// Not now: offer it again once the attached server has said more.
    Wait,
    /// It wants a server. Attach one, then offer the message again.
    Attach(Intent),
    /// It asks where the primary is. Say so ([`Session::locate`](super::Session::locate)) by what was asked for from now
    /// on, then offer the message again.
    Locate,
    /// Drop the first `skip` bytes of it and forward the rest, as it arrives.
    Forward {
        /// Bytes, counted from the tag, that the outbox already stands for.
        skip: usize,
    },
    /// Drop all of it, as it arrives.
    Swallow,
    /// The client takes its leave.
    Terminate,
    /// It breaks the rules: tell the client and close it.
    Refuse(Refusal),
}

/// What to do with the message from the server at hand.
#[derive(Debug, PartialEq, Eq)]
pub enum FromServer {
    /// Not enough of it has arrived to decide: this many bytes (head included) would do.
    NeedMore(usize),
    /// Pass it on, as it arrives.
    Forward(Then),
    /// Drop all of it, as it arrives.
    Swallow(Then),
    /// The server says good-bye (FATAL). It is to be closed; these are its words.
    LastWords(ErrorResponse),
    /// The server refuses to begin the transaction whose BEGIN the client was answered already: it is to be closed; these
    /// are its words.
    CannotBegin(ErrorResponse),
    /// Another host is to run the request, of whose answer nothing has left for the client: drop what was to, close the
    /// server, take all back ([`Session::take_back`](super::Session::take_back)), and offer it again.
    Elsewhere(Elsewhere),
    /// It breaks the rules: close server and client.
    Refuse(Refusal),
}

/// What follows once the message was passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Nothing special.
    GoOn,
    /// A request was answered in full (ReadyForQuery reached the client), the transaction goes on.
    Ready,
    /// The same messages are to be offered again, with the same server; what was to leave for the client is dropped.
    Replay,
    /// The transaction is over and nothing is unanswered: the server can be given back.
    Release,
}

/// Why a session cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The client's bytes make no sense.
    Client(DecodeError),
    /// A tag that no frontend sends.
    UnknownClientMessage(u8),
    /// The server's bytes make no sense.
    Server(DecodeError),
    /// A reply that belongs to no request, or of unknown type.
    UnexpectedServerMessage(u8),
    /// A transaction was begun in statement mode.
    TransactionInStatementMode,
    /// A server refused the client's settings; the server's own words.
    InvalidParameter(String),
}

impl Refusal {
    /// What the client is told before it is closed. Texts are pgbouncer's where it has one.
    pub fn response(&self) -> ErrorResponse {
        let fatal = |code, text: &str| ErrorResponse::new(Severity::Fatal, code, text);
        match self {
            Self::Client(error) => {
                fatal(SqlState::PROTOCOL_VIOLATION, "bad packet").detail(&error.to_string())
            }
            Self::UnknownClientMessage(tag) => fatal(SqlState::PROTOCOL_VIOLATION, "unknown pkt")
                .detail(&format!("Message type 0x{tag:02x} is not part of the protocol.")),
            Self::Server(_) | Self::UnexpectedServerMessage(_) => {
                fatal(SqlState::CONNECTION_FAILURE, "server conn crashed?")
                    .detail("The server sent a message that makes no sense here.")
            }
            Self::TransactionInStatementMode => fatal(
                SqlState::FEATURE_NOT_SUPPORTED,
                "transaction blocks not allowed in statement pooling mode",
            )
            .hint("Use pool_mode=transaction for this database."),
            Self::InvalidParameter(words) => {
                fatal(SqlState::INVALID_PARAMETER_VALUE, "invalid server parameter").detail(words)
            }
        }
    }
}

/// For the operator.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(error) => write!(f, "bad packet: {error}"),
            Self::UnknownClientMessage(tag) => write!(f, "unknown pkt, type 0x{tag:02x}"),
            Self::Server(error) => write!(f, "its message makes no sense: {error}"),
            Self::UnexpectedServerMessage(tag) => {
                write!(f, "its message of type 0x{tag:02x} answers no request")
            }
            Self::TransactionInStatementMode => {
                f.write_str("transaction blocks not allowed in statement pooling mode")
            }
            Self::InvalidParameter(words) => write!(f, "invalid server parameter: {words}"),
        }
    }
}

/// Whether a client goes on after its server died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterLoss {
    /// It was told what is known; it goes on without a server.
    GoesOn,
    /// Its state went with the server: close it.
    Close,
}
