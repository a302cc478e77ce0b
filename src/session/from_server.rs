//! Messages from the server: whose answer each is, what the client sees of it, and when the server is free.

use bytes::{BufMut, Bytes, BytesMut};
use pgweir_codec::backend::{self, ErrorResponse, Severity, TransactionStatus};
use pgweir_codec::head::Head;
use pgweir_codec::sqlstate::SqlState;

use super::Outbox;
use super::machine::{ServerState, Session, body, up_to_nul};
use super::pipeline::{Expect, Local, Parse};
use super::verdict::{FromServer, Refusal, Then};
use crate::config::PoolMode;

/// Largest ErrorResponse that is read whole; a longer one is passed on as it streams.
const ERROR_LIMIT: usize = 64 * 1024;

impl Session {
    /// Looks at one message from the attached server. `have` is what has arrived of it, from its tag on.
    pub fn server_message(
        &mut self,
        head: Head,
        have: &[u8],
        server: &mut ServerState,
        out: &mut Outbox,
    ) -> FromServer {
        // At any time, not part of the pipeline (manual, "Asynchronous Operations").
        match head.tag {
            backend::NoticeResponse::TAG | backend::NotificationResponse::TAG => {
                return self.visible();
            }
            backend::ParameterStatus::TAG => return self.parameter_status(head, have, server),
            _ => {}
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
            | backend::FunctionCallResponse::TAG
            | backend::ParameterDescription::TAG => self.middle(head.tag),
            backend::ReadyForQuery::TAG => self.ready_for_query(head, have, server),
            backend::CommandComplete::TAG => self.command_complete(head, have, server),
            ErrorResponse::TAG => self.error(head, have, server, out),
            backend::CopyInResponse::TAG => self.copy_in_response(head.tag),
            backend::RowDescription::TAG => match self.pending.front() {
                Some(Expect::Describe) => self.complete(),
                _ => self.middle(head.tag),
            },
            backend::EmptyQueryResponse::TAG => match self.pending.front() {
                Some(Expect::Execute { .. }) => self.complete(),
                _ => self.middle(head.tag),
            },
            backend::ParseComplete::TAG => match self.pending.front() {
                Some(Expect::Parse(Parse::Hidden(_))) => self.complete_hidden(),
                Some(Expect::Parse(_)) => self.complete(),
                _ => unexpected(head.tag),
            },
            backend::CloseComplete::TAG => match self.pending.front() {
                Some(Expect::Evict(_)) => self.complete_hidden(),
                Some(Expect::Close) => self.complete(),
                _ => unexpected(head.tag),
            },
            backend::BindComplete::TAG => {
                self.complete_if(matches!(self.pending.front(), Some(Expect::Bind)), head)
            }
            backend::NoData::TAG => {
                self.complete_if(matches!(self.pending.front(), Some(Expect::Describe)), head)
            }
            backend::PortalSuspended::TAG => {
                self.complete_if(matches!(self.pending.front(), Some(Expect::Execute { .. })), head)
            }
            tag => unexpected(tag),
        }
    }

    /// A message in the middle of an answer.
    fn middle(&self, tag: u8) -> FromServer {
        match self.pending.front() {
            Some(Expect::Parameters) => FromServer::Swallow(Then::GoOn),
            Some(_) => FromServer::Forward(Then::GoOn),
            None => unexpected(tag),
        }
    }

    fn visible(&self) -> FromServer {
        match self.pending.front() {
            Some(Expect::Parameters) => FromServer::Swallow(Then::GoOn),
            _ => FromServer::Forward(Then::GoOn),
        }
    }

    fn complete(&mut self) -> FromServer {
        self.pending.pop();
        FromServer::Forward(Then::GoOn)
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
                server.parameters.note(name, value);
                if !matches!(self.pending.front(), Some(Expect::Parameters)) {
                    self.parameters.note(name, value);
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
        if self.rules.follow_statements {
            let enough = head.len.min(32);
            if have.len() < enough {
                return FromServer::NeedMore(enough);
            }
            if matches!(up_to_nul(body(have)), b"DISCARD ALL" | b"DEALLOCATE ALL") {
                self.statements.clear();
                server.statements.clear();
            }
        }
        match self.pending.front() {
            Some(Expect::Execute { .. }) => self.complete(),
            _ => self.middle(head.tag),
        }
    }

    fn copy_in_response(&mut self, tag: u8) -> FromServer {
        match self.pending.front() {
            Some(Expect::Execute { .. }) => self.pending.drop_syncs_behind_front(),
            Some(Expect::Query { .. }) => {}
            _ => return unexpected(tag),
        }
        self.copy_in = true;
        FromServer::Forward(Then::GoOn)
    }

    fn ready_for_query(&mut self, head: Head, have: &[u8], server: &mut ServerState) -> FromServer {
        if have.len() < head.len {
            return FromServer::NeedMore(head.len);
        }
        let status = match backend::ready_for_query::peek(body(have)) {
            Ok(status) => status,
            Err(error) => return FromServer::Refuse(Refusal::Server(error)),
        };
        match self.pending.pop() {
            Some(Expect::Parameters) => {
                self.parameters.adopt(&server.parameters);
                return FromServer::Swallow(Then::GoOn);
            }
            Some(Expect::Query { .. } | Expect::Sync | Expect::FunctionCall) => {}
            _ => return unexpected(head.tag),
        }
        self.tally.queries += 1;
        self.copy_in = false;
        self.status = status;
        if self.rules.mode == PoolMode::Statement && status != TransactionStatus::Idle {
            return FromServer::Refuse(Refusal::TransactionInStatementMode);
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
        if have.len() < head.len && head.len <= ERROR_LIMIT {
            return FromServer::NeedMore(head.len);
        }
        self.copy_in = false;
        if head.len <= ERROR_LIMIT {
            let error = match ErrorResponse::decode(Bytes::copy_from_slice(body(have))) {
                Ok(error) => error,
                Err(error) => return FromServer::Refuse(Refusal::Server(error)),
            };
            if error.is_fatal() {
                return FromServer::LastWords(error);
            }
            if matches!(self.pending.front(), Some(Expect::Parameters)) {
                let words = error.message();
                return FromServer::Refuse(Refusal::InvalidParameter(words));
            }
        }
        let replaced = match self.pending.front() {
            None => return unexpected(head.tag),
            // The answer goes on until ReadyForQuery.
            Some(
                Expect::Query { .. } | Expect::FunctionCall | Expect::Sync | Expect::Parameters,
            ) => {
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
        for entry in skipped {
            self.forget(entry, Some(server));
        }
        if replaced { FromServer::Swallow(Then::GoOn) } else { FromServer::Forward(Then::GoOn) }
    }

    /// Undoes what a request that was not carried out had been counted on to do.
    pub(super) fn forget(&mut self, entry: Expect, server: Option<&mut ServerState>) {
        match entry {
            Expect::Parse(Parse::Named { name, statement }) => {
                self.statements.remove(&name);
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
            Expect::Local(Local::Parsed { name }) => {
                self.statements.remove(&name);
            }
            Expect::Local(Local::Closed(Some((name, statement)))) => {
                self.statements.insert(&name, statement)
            }
            _ => {}
        }
    }
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
