//! How a login ends without a client for the relay, and what it is told.

use std::io;

use pgweir_codec::backend::{ErrorResponse, Severity};
use pgweir_codec::error::{DecodeError, Kind};
use pgweir_codec::sqlstate::SqlState;

use crate::auth::hba::TurnedAway;
use crate::auth::refusal::AuthError;
use crate::metrics::AuthFailure;
use crate::worker::broken;

/// Why a login ended without a client for the relay.
pub(super) enum End {
    /// It left, or its socket broke.
    Left,
    /// It is closed without a word: it would not understand one. The reason is the operator's.
    Closed(String),
    /// It is told this and closed.
    Refused(Box<ErrorResponse>),
    /// It failed to prove who it is.
    Denied(Box<ErrorResponse>, AuthFailure, String),
    /// Nothing more to do: a cancel request.
    Done,
    /// It is closed without a word: a console session that is over, or who takes leave instead of proving who it is.
    Over(&'static str),
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Left
    }
}

pub(super) fn fatal(code: SqlState, text: &str) -> ErrorResponse {
    ErrorResponse::new(Severity::Fatal, code, text)
}

pub(super) fn refused(code: SqlState, text: &str) -> End {
    End::Refused(Box::new(fatal(code, text)))
}

/// What becomes of who has sent this packet, which makes no sense.
pub(super) fn refused_packet(packet: &[u8], error: DecodeError) -> End {
    let text = match (error.field, error.kind) {
        // Cancel requests are never answered.
        ("key", _) => return End::Closed(format!("failed cancel request: {error}")),
        (_, Kind::ProtocolTwo) => "old V2 protocol not supported".to_owned(),
        ("terminator", _) => {
            "invalid startup packet layout: expected terminator as last byte".to_owned()
        }
        _ => broken::bad_header(packet),
    };
    End::Refused(Box::new(fatal(SqlState::PROTOCOL_VIOLATION, &text).detail(&error.to_string())))
}

pub(super) fn denied(error: &AuthError) -> End {
    let code = SqlState::from_bytes(error.sqlstate().as_bytes());
    End::Denied(Box::new(fatal(code, error.client_message())), error.failure(), error.to_string())
}

pub(super) fn turned_away(away: &TurnedAway) -> End {
    let code = SqlState::from_bytes(away.sqlstate().as_bytes());
    End::Denied(Box::new(fatal(code, away.client_message())), away.failure(), away.to_string())
}
