//! Messages from the server: whose answer each is, what the client sees of it, and when the server is free.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use pgweir_codec::backend::{self, ErrorResponse, Severity, TransactionStatus};
use pgweir_codec::error::DecodeError;
use pgweir_codec::head::Head;
use pgweir_codec::sqlstate::SqlState;

use super::Outbox;
use super::machine::{Replay, ServerState, Session, body, up_to_nul};
use super::pipeline::{Expect, Local, Parse};
use super::prepared::Statement;
use super::verdict::{FromServer, Refusal, Then};
use crate::config::PoolMode;
use crate::routing::balance::blames_host;

/// Largest ErrorResponse that is read whole; a longer one is passed on as it streams.
const ERROR_LIMIT: usize = 64 * 1024;

/// Longest message of a type that is never long. A length beyond it means that the stream is garbage: without the
/// check a client would wait for gigabytes that never come. The same limit as libpq's.
const SHORT_LIMIT: usize = 30_000;

impl Session {
    /// Looks at one message from the attached server. `have` is what has arrived of it, from its tag on.
    pub fn server_message(
        &mut self,
        head: Head,
        have: &[u8],
        server: &mut ServerState,
        out: &mut Outbox,
    ) -> FromServer {
        if head.len > SHORT_LIMIT && !may_be_long(head.tag) {
            return FromServer::Refuse(Refusal::Server(DecodeError::too_long(head.tag, head.len)));
        }
        // At any time, not part of the pipeline (manual, "Asynchronous Operations").
        match head.tag {
            backend::NoticeResponse::TAG | backend::NotificationResponse::TAG => {
                return self.visible();
            }
            backend::ParameterStatus::TAG => return self.parameter_status(head, have, server),
            _ => {}
        }
        if head.tag == ErrorResponse::TAG && have.len() < head.len && head.len <= ERROR_LIMIT {
            return FromServer::NeedMore(head.len);
        }
        if self.pending.local_is_due() {
            self.pending.write_due(&mut out.to_client);
        }
        match head.tag {
            backend::DataRow::TAG
            | backend::CopyData::TAG
            | backend::CopyDone::TAG
            | backend::CopyOutResponse::TAG
            | backend::CopyBothResponse::TAG
            | backend::FunctionCallResponse::TAG => self.middle(head.tag),
            backend::ParameterDescription::TAG => self.announce(head.tag),
            backend::ReadyForQuery::TAG => self.ready_for_query(head, have, server, out),
            backend::CommandComplete::TAG => self.command_complete(head, have, server),
            ErrorResponse::TAG => self.error(head, have, server, out),
            backend::CopyInResponse::TAG => self.copy_in_response(head.tag, server),
            backend::RowDescription::TAG => match self.pending.front() {
                Some(Expect::Describe { .. }) => self.complete(),
                _ => self.announce(head.tag),
            },
            backend::EmptyQueryResponse::TAG => match self.pending.front() {
                Some(Expect::Execute { .. }) => {
                    self.track_suspended(false);
                    self.complete_result()
                }
                _ => self.middle(head.tag),
            },
            backend::ParseComplete::TAG => match self.pending.front() {
                Some(Expect::Begin) => FromServer::Swallow(Then::GoOn),
                Some(Expect::Parse(Parse::Hidden(_))) => self.complete_hidden(),
                Some(Expect::Parse(_)) => self.complete(),
                _ => unexpected(head.tag),
            },
            backend::CloseComplete::TAG => match self.pending.front() {
                Some(Expect::Evict(_)) => self.complete_hidden(),
                Some(Expect::Close) => self.complete(),
                _ => unexpected(head.tag),
            },
            backend::BindComplete::TAG => match self.pending.front() {
                Some(Expect::Begin) => FromServer::Swallow(Then::GoOn),
                Some(Expect::Bind { .. }) => self.complete(),
                _ => unexpected(head.tag),
            },
            backend::NoData::TAG => self
                .complete_if(matches!(self.pending.front(), Some(Expect::Describe { .. })), head),
            backend::PortalSuspended::TAG => match self.pending.front() {
                Some(Expect::Execute { .. }) => {
                    self.track_suspended(true);
                    self.complete_result()
                }
                _ => unexpected(head.tag),
            },
            tag => unexpected(tag),
        }
    }

    /// A message in the middle of an answer.
    fn middle(&mut self, tag: u8) -> FromServer {
        if !matches!(self.pending.front(), Some(Expect::Parameters | Expect::Begin)) {
            self.replay = Replay::No;
        }
        self.announce(tag)
    }

    /// What only says what would come: it can be taken back while it has not left for the client.
    fn announce(&mut self, tag: u8) -> FromServer {
        match self.pending.front() {
            Some(Expect::Parameters | Expect::Begin) => FromServer::Swallow(Then::GoOn),
            Some(_) => FromServer::Forward(Then::GoOn),
            None => unexpected(tag),
        }
    }

    fn visible(&self) -> FromServer {
        match self.pending.front() {
            Some(Expect::Parameters | Expect::Begin) => FromServer::Swallow(Then::GoOn),
            _ => FromServer::Forward(Then::GoOn),
        }
    }

    /// As [`Self::announce`], and the answer is complete.
    fn complete(&mut self) -> FromServer {
        self.pending.pop();
        FromServer::Forward(Then::GoOn)
    }

    /// What was asked for was done.
    fn complete_result(&mut self) -> FromServer {
        self.replay = Replay::No;
        self.complete()
    }

    fn complete_hidden(&mut self) -> FromServer {
        self.pending.pop();
        FromServer::Swallow(Then::GoOn)
    }

    fn complete_if(&mut self, fits: bool, head: Head) -> FromServer {
        if fits { self.complete() } else { unexpected(head.tag) }
    }

    fn parameter_status(
        &mut self,
        head: Head,
        have: &[u8],
        server: &mut ServerState,
    ) -> FromServer {
        if have.len() < head.len {
            return FromServer::NeedMore(head.len);
        }
        match backend::parameter_status::peek(body(have)) {
            Ok((name, value)) => {
                server.note(name, value);
                if !matches!(self.pending.front(), Some(Expect::Parameters | Expect::Begin)) {
                    self.replay = Replay::No;
                    self.parameters.note(name, value);
                    self.read_only.note(name, value);
                    self.renamed |= name == b"application_name";
                }
                self.visible()
            }
            Err(error) => FromServer::Refuse(Refusal::Server(error)),
        }
    }

    fn command_complete(
        &mut self,
        head: Head,
        have: &[u8],
        server: &mut ServerState,
    ) -> FromServer {
        let enough = head.len.min(32);
        if have.len() < enough {
            return FromServer::NeedMore(enough);
        }
        let tag = body(have);
        // Most commands begin otherwise: SELECT, INSERT, UPDATE, BEGIN, COMMIT.
        if let [b'D' | b'R', ..] = tag {
            self.heed_command(up_to_nul(tag), server);
        }
        if self.tracker.is_some()
            && !matches!(self.pending.front(), Some(Expect::Parameters | Expect::Begin))
        {
            self.track_complete(up_to_nul(tag));
        }
        match self.pending.front() {
            Some(Expect::Execute { .. }) => self.complete_result(),
            Some(Expect::Begin) => {
                self.begun();
                FromServer::Swallow(Then::GoOn)
            }
            _ => self.middle(head.tag),
        }
    }

    /// Commands that change what the session on the server holds.
    fn heed_command(&mut self, tag: &[u8], server: &mut ServerState) {
        if matches!(self.pending.front(), Some(Expect::Parameters | Expect::Begin)) {
            return;
        }
        if matches!(tag, b"DISCARD ALL" | b"DEALLOCATE ALL") && self.rules.follow_statements {
            self.own = None;
            self.statements.clear();
            server.statements.clear();
        }
        if matches!(tag, b"DISCARD ALL" | b"RESET") {
            server.in_force.disturb();
            self.reset_seen = true;
        }
        if tag == b"DISCARD ALL" || tag == b"RESET" && self.reset_all_seen {
            self.wishes.reset();
        }
    }

    fn copy_in_response(&mut self, tag: u8, server: &mut ServerState) -> FromServer {
        match self.pending.front() {
            Some(Expect::Execute { .. } | Expect::Query { .. }) => {
                let (syncs, end) = self.pending.begin_copy();
                (0..syncs).for_each(|_| self.batches.answer());
                self.copy_in = end.is_none();
                if let Some(end) = end {
                    self.forget(end, Some(server));
                }
                FromServer::Forward(Then::GoOn)
            }
            _ => unexpected(tag),
        }
    }

    fn ready_for_query(
        &mut self,
        head: Head,
        have: &[u8],
        server: &mut ServerState,
        out: &mut Outbox,
    ) -> FromServer {
        if have.len() < head.len {
            return FromServer::NeedMore(head.len);
        }
        let status = match backend::ready_for_query::peek(body(have)) {
            Ok(status) => status,
            Err(error) => return FromServer::Refuse(Refusal::Server(error)),
        };
        let answered = self.pending.pop();
        if matches!(answered, Some(Expect::Sync)) {
            self.batches.answer();
        }
        match answered {
            Some(Expect::Parameters) => {
                self.parameters.adopt(&server.parameters);
                return FromServer::Swallow(Then::GoOn);
            }
            Some(Expect::Sync) if self.replay == Replay::Due => {
                self.replay = Replay::No;
                self.track_again();
                return FromServer::Swallow(Then::Replay);
            }
            Some(Expect::Query { .. } | Expect::Sync | Expect::FunctionCall) => {}
            _ => return unexpected(head.tag),
        }
        if self.tracker.is_some() {
            self.track_ready(answered.as_ref(), status == TransactionStatus::Idle);
        }
        self.replay = Replay::No;
        self.held = None;
        self.reset_all_seen = false;
        self.tally.queries += 1;
        self.copy_in = false;
        self.status = status;
        if self.rules.mode == PoolMode::Statement && status != TransactionStatus::Idle {
            return FromServer::Refuse(Refusal::TransactionInStatementMode);
        }
        if self.reset_seen && status == TransactionStatus::Idle {
            self.reset_seen = false;
            self.after_reset(server, out);
        }
        let over = self.rules.mode != PoolMode::Session && self.is_quiet();
        FromServer::Forward(if over { Then::Release } else { Then::Ready })
    }

    fn error(
        &mut self,
        head: Head,
        have: &[u8],
        server: &mut ServerState,
        out: &mut Outbox,
    ) -> FromServer {
        self.copy_in = false;
        // A longer one is passed on as it streams, and changes nothing but what every error does.
        if head.len <= ERROR_LIMIT {
            let error = match ErrorResponse::decode(Bytes::copy_from_slice(body(have))) {
                Ok(error) => error,
                Err(error) => return FromServer::Refuse(Refusal::Server(error)),
            };
            if error.is_fatal() {
                return FromServer::LastWords(error);
            }
            if matches!(self.pending.front(), Some(Expect::Begin)) {
                self.replay = Replay::No;
                return FromServer::CannotBegin(error);
            }
            if matches!(self.pending.front(), Some(Expect::Parameters)) {
                if let Some(startup) = &self.startup {
                    startup.doubt();
                }
                return FromServer::Refuse(Refusal::InvalidParameter(error.message()));
            }
            if self.stored_form_refused(&error, server, out) {
                return FromServer::Swallow(Then::GoOn);
            }
            if let Some(why) = self.belongs_elsewhere(&error, server) {
                return FromServer::Elsewhere(why);
            }
            self.host_error |= blames_host(error.code().as_str());
        }
        self.replay = Replay::No;
        let replaced = match self.pending.front() {
            None | Some(Expect::Begin) => return unexpected(head.tag),
            // The answer goes on until ReadyForQuery.
            Some(
                Expect::Query { .. } | Expect::FunctionCall | Expect::Sync | Expect::Parameters,
            ) => {
                self.track_error([].into_iter());
                return FromServer::Forward(Then::GoOn);
            }
            Some(Expect::Parse(Parse::Duplicate { name })) => {
                duplicate_statement(name).encode(&mut out.to_client);
                true
            }
            Some(_) => false,
        };
        self.skipping = !self.pending.has_sync();
        let skipped: Vec<Expect> = self.pending.take_skipped().collect();
        self.track_error(skipped.iter());
        self.forget_all(skipped, server);
        if replaced { FromServer::Swallow(Then::GoOn) } else { FromServer::Forward(Then::GoOn) }
    }

    /// Whether the error may come only of a kept unnamed statement's stored form, and nothing but that has happened. Then
    /// its whole batch is dropped, to be run again as it was sent.
    ///
    /// Besides the stale plan that is what a Bind says of its values: types that the stored form has inferred are those
    /// of the day it was parsed. A stale statement is not kept from then on, whether the batch can be run again or not.
    fn stored_form_refused(
        &mut self,
        error: &ErrorResponse,
        server: &mut ServerState,
        out: &mut Outbox,
    ) -> bool {
        let (kept, bound) = match self.pending.front() {
            Some(Expect::Bind { kept: Some(kept) }) => (kept.clone(), true),
            Some(Expect::Describe { kept: Some(kept) }) => (kept.clone(), false),
            _ => return false,
        };
        let stale = is_stale_plan(error);
        if stale {
            self.keep_no_more(&kept);
        }
        // In a transaction block, also one that was just begun, nothing can be run again.
        let possible = bound
            && self.replay == Replay::Possible
            && self.pending.has_sync()
            && !self.in_transaction();
        if !possible || !(stale || is_of_values(error)) {
            return false;
        }
        self.as_sent = true;
        self.replay = Replay::Due;
        // The ParseComplete that was due.
        out.to_client.clear();
        let skipped: Vec<Expect> = self.pending.take_skipped().collect();
        self.forget_all(skipped, server);
        true
    }

    /// A kept unnamed statement cannot be run from its stored form.
    fn keep_no_more(&mut self, kept: &Statement) {
        kept.mark_unfit();
        if self.statements.find(b"").is_some_and(|now| now.id() == kept.id()) {
            self.statements.remove(b"");
        }
    }

    /// Undoes what requests that were not carried out had been counted on to do, the last one first.
    fn forget_all(&mut self, skipped: Vec<Expect>, server: &mut ServerState) {
        for entry in skipped.into_iter().rev() {
            self.forget(entry, Some(server));
        }
    }

    /// Undoes what a request that was not carried out had been counted on to do.
    pub(super) fn forget(&mut self, entry: Expect, server: Option<&mut ServerState>) {
        match entry {
            Expect::Parse(Parse::Named { name, statement }) => {
                self.forget_name(&name, None);
                if let Some(server) = server {
                    server.statements.remove(statement.id());
                }
            }
            Expect::Parse(Parse::Hidden(statement)) => {
                if let Some(server) = server {
                    server.statements.remove(statement.id());
                }
            }
            Expect::Evict(statement) => {
                if let Some(server) = server {
                    server.statements.restore(statement);
                }
            }
            Expect::Local(Local::Parsed { name }) => self.forget_name(&name, None),
            Expect::Local(Local::Closed(Some((name, statement)))) => {
                self.forget_name(&name, Some(statement));
            }
            Expect::Local(Local::Reply { undo: Some(before), .. }) => self.wishes = *before,
            _ => {}
        }
    }

    /// A name stands for what it stood for before, unless a later batch has given it a new meaning: that one runs.
    fn forget_name(&mut self, name: &[u8], before: Option<Arc<Statement>>) {
        if self.batches.name_was_changed_since(name) {
            return;
        }
        match before {
            Some(statement) => self.statements.insert(name, statement),
            None => drop(self.statements.remove(name)),
        }
    }
}

/// Whether it says "cached plan must not change result type", in whatever language.
fn is_stale_plan(error: &ErrorResponse) -> bool {
    error.code() == SqlState::FEATURE_NOT_SUPPORTED
        && error.field(b'R').is_some_and(|routine| &routine[..] == b"RevalidateCachedQuery")
}

/// Whether it is about values or types: class 22 or 42.
fn is_of_values(error: &ErrorResponse) -> bool {
    matches!(error.code().as_str().get(..2), Some("22" | "42"))
}

/// Rows, COPY data, descriptions and texts have no bound of their own.
fn may_be_long(tag: u8) -> bool {
    matches!(
        tag,
        backend::DataRow::TAG
            | backend::CopyData::TAG
            | backend::RowDescription::TAG
            | backend::ParameterDescription::TAG
            | backend::FunctionCallResponse::TAG
            | backend::NoticeResponse::TAG
            | backend::NotificationResponse::TAG
            | ErrorResponse::TAG
    )
}

fn unexpected(tag: u8) -> FromServer {
    FromServer::Refuse(Refusal::UnexpectedServerMessage(tag))
}

fn duplicate_statement(name: &[u8]) -> ErrorResponse {
    let mut text = BytesMut::from(&b"prepared statement \""[..]);
    text.put_slice(name);
    text.put_slice(b"\" already exists");
    ErrorResponse::new(Severity::Error, SqlState::DUPLICATE_PREPARED_STATEMENT, text)
}
