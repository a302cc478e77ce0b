//! Requests that the server at hand refuses because of what kind of host it is, and that another one can serve.
//!
//! The first request of a transaction outside of a block, a *lone* one, may be run again as it was sent if nothing of its
//! answer has reached the client and the server has done nothing that lasts:
//!
//! - A host that was the primary a moment ago refuses to write (25006) and says that it is in hot standby: nothing was
//!   done, the next primary is to do it.
//! - A replica does nothing that lasts. What it refuses, cancels because of a conflict with recovery, or cannot finish
//!   because it ends, another host may answer.
//!
//! Only one request, or one batch up to its Sync: what a second one has done meanwhile is not known.

use pgweir_codec::backend::ErrorResponse;
use pgweir_codec::frontend;
use pgweir_codec::sqlstate::SqlState;

use super::machine::{Replay, ServerState, Session};
use super::pipeline::Expect;

/// What kind of host the attached server is on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// Of an entry that does not follow roles: nobody knows.
    #[default]
    Unknown,
    /// The primary, as far as is known.
    Primary,
    /// A replica: what begins there ends there, and the next transaction is placed anew.
    Replica,
    /// A replica, because what the client sent looks as if it only read. It has not asked for one.
    Guessed,
}

impl Place {
    fn is_replica(self) -> bool {
        matches!(self, Self::Replica | Self::Guessed)
    }
}

/// Why a request is to be run elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elsewhere {
    /// The host is no primary any more.
    Demoted,
    /// The replica refuses it: it is none that a replica can run.
    Refused,
    /// The replica does not know a name in it: a temporary table, or one made just now.
    Unknown,
    /// The replica cancelled it: it stood in the way of recovery.
    Conflict,
}

impl Elsewhere {
    /// For the log.
    pub fn words(self) -> &'static str {
        match self {
            Self::Demoted => "its host is no primary any more",
            Self::Refused => "a replica cannot run what it was sent",
            Self::Unknown => "the replica does not know a name in its query",
            Self::Conflict => "recovery cancelled its query",
        }
    }
}

impl Session {
    /// A message begins a request while a server is attached: whether that is one that may be run again elsewhere.
    pub(super) fn note_request(&mut self, tag: u8) {
        if self.place == Place::Unknown || !begins_request(tag) {
            return;
        }
        let first = self.untouched
            && (!self.in_transaction() || self.held.is_some())
            && self.pending.is_only_ours();
        match self.replay {
            Replay::No if first && self.fresh => self.replay = Replay::Possible,
            Replay::Possible if !first && self.request_is_complete() => self.replay = Replay::No,
            _ => {}
        }
    }

    /// Whether the server attached is a replica, as far as is known.
    pub(super) fn is_on_replica(&self) -> bool {
        self.place.is_replica()
    }

    /// Whether a message has to wait until the replica has answered all: it may begin another transaction, which is to
    /// be placed by what it says of itself.
    pub(super) fn waits_for_placing(&self, tag: u8) -> bool {
        self.place.is_replica() && begins_request(tag) && self.request_is_complete()
    }

    /// Whether the client has ended the request that it sent last.
    fn request_is_complete(&self) -> bool {
        matches!(
            self.pending.back(),
            Some(Expect::Query { .. } | Expect::Sync | Expect::FunctionCall)
        )
    }

    /// Why this error says that another host is to run the lone request.
    pub(super) fn belongs_elsewhere(
        &self,
        error: &ErrorResponse,
        server: &ServerState,
    ) -> Option<Elsewhere> {
        if self.replay != Replay::Possible {
            return None;
        }
        let read_only = error.code() == SqlState::READ_ONLY_SQL_TRANSACTION;
        match self.place {
            Place::Primary if read_only => {
                (server.in_hot_standby() == Some(true)).then_some(Elsewhere::Demoted)
            }
            place if place.is_replica() && is_conflict(error) => Some(Elsewhere::Conflict),
            // Also what it cannot even read: unlogged tables.
            Place::Guessed if read_only || error.code() == SqlState::FEATURE_NOT_SUPPORTED => {
                Some(Elsewhere::Refused)
            }
            Place::Guessed if is_of_names(error) => Some(Elsewhere::Unknown),
            _ => None,
        }
    }

    /// The text of a named statement of the client's, or of the unnamed one if that is kept, and what the client has said
    /// of its parameters ([`frontend::parse::View::types`]).
    pub fn statement_parts(&self, name: &[u8]) -> Option<(&[u8], &[u8])> {
        self.statements.find(name).map(|statement| statement.parts())
    }

    /// What kind of host the attached server is on.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Whether the request under way can be run again on another host because this one, a replica, has ended.
    pub fn may_leave_replica(&self) -> bool {
        self.place.is_replica() && self.replay == Replay::Possible
    }

    /// Undoes all since the attachment, as [`Session::rewind`], although it has left: see [`Elsewhere`].
    pub fn take_back(&mut self) {
        self.untouched = true;
        self.rewind();
    }

    /// Bytes of an answer go to the client: what it was told cannot be taken back.
    pub fn told(&mut self) {
        if self.replay == Replay::Possible {
            self.replay = Replay::No;
        }
    }
}

/// Whether a replica that answers so to a read refuses it as such: a primary might run it.
pub fn is_refusal(error: &ErrorResponse) -> bool {
    let code = error.code();
    code == SqlState::READ_ONLY_SQL_TRANSACTION
        || code == SqlState::FEATURE_NOT_SUPPORTED
        || is_of_names(error)
}

/// Whether a message asks for something, as opposed to going on with what was asked.
fn begins_request(tag: u8) -> bool {
    use frontend::{Bind, Close, Describe, Execute, FunctionCall, Parse, Query};
    matches!(
        tag,
        Query::TAG
            | FunctionCall::TAG
            | Parse::TAG
            | Bind::TAG
            | Describe::TAG
            | Close::TAG
            | Execute::TAG
    )
}

/// Class 42, "syntax error or access rule violation": most of it is names that are not there.
fn is_of_names(error: &ErrorResponse) -> bool {
    error.code().as_str().starts_with("42")
}

/// "canceling statement due to conflict with recovery", in whatever language. A replica has no other failures with these
/// codes: it runs nothing in SERIALIZABLE, and locks nothing that others wait for.
fn is_conflict(error: &ErrorResponse) -> bool {
    error.code() == SqlState::SERIALIZATION_FAILURE || error.code() == SqlState::DEADLOCK_DETECTED
}
