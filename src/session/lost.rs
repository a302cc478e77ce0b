//! A client whose server died inside a transaction.
//!
//! Such a client keeps its connection, but its transaction is gone. Until it ends that transaction it is answered as
//! PostgreSQL answers inside a failed transaction block: everything but the end is refused with 25P02, and the end
//! reports `ROLLBACK`. Without that, the statements that were meant for the transaction would run one by one,
//! each for good, on the next server.

use std::sync::Arc;

use bytes::BytesMut;
use pgweir_codec::backend::{self, CommandComplete, ErrorResponse, Severity, TransactionStatus};
use pgweir_codec::error::DecodeError;
use pgweir_codec::frontend;
use pgweir_codec::head::Head;
use pgweir_codec::sqlstate::SqlState;

use super::Outbox;
use super::prepared::{ClientStatements, StatementCache};
use super::verdict::{FromClient, Refusal};
use crate::routing::{self, TransactionEnd};

/// Longest message that is read whole: what only ends a transaction is short.
const LIMIT: usize = 4096;

/// See the module's words.
#[derive(Debug)]
pub struct Lost {
    /// A transaction block was open, so the client owes its end. Otherwise only a Sync is owed.
    in_transaction: bool,
    /// Requests are dropped until Sync.
    skipping: bool,
    /// The error that the client has not been told yet.
    untold: Option<ErrorResponse>,
    /// What the unnamed statement would do, if it ends a transaction.
    unnamed: Option<TransactionEnd>,
    /// What the bound portal would do.
    bound: Option<TransactionEnd>,
    over: bool,
}

impl Lost {
    /// A client that was just told (`untold` is `None`) or has still to be told that its server died.
    pub fn new(in_transaction: bool, skipping: bool, untold: Option<ErrorResponse>) -> Self {
        Self { in_transaction, skipping, untold, unnamed: None, bound: None, over: false }
    }

    /// Whether the client is back in order: its next request may run on any server.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Answers one message from the client; nothing goes to any server.
    pub fn client_message(
        &mut self,
        head: Head,
        have: &[u8],
        statements: &mut ClientStatements,
        cache: &Arc<StatementCache>,
        out: &mut Outbox,
    ) -> FromClient {
        let to_client = &mut out.to_client;
        match head.tag {
            frontend::Terminate::TAG => return FromClient::Terminate,
            frontend::Sync::TAG => {
                self.ready(to_client);
                return FromClient::Swallow;
            }
            _ if self.skipping => return FromClient::Swallow,
            _ => {}
        }
        // A longer message cannot end a transaction: it is refused by its head.
        let whole = head.len <= LIMIT;
        if whole && have.len() < head.len {
            return FromClient::NeedMore(head.len);
        }
        let body = if whole { have.get(5..).unwrap_or_default() } else { &[] };
        match head.tag {
            frontend::Query::TAG => {
                match routing::ends_transaction(frontend::query::text(body)) {
                    Some(end) => self.end(end, to_client),
                    None => self.refuse(to_client),
                }
                self.ready(to_client);
            }
            frontend::FunctionCall::TAG => {
                self.refuse(to_client);
                self.ready(to_client);
            }
            frontend::Parse::TAG => self.parse(body, statements, cache, to_client),
            frontend::Bind::TAG => self.bind(body, statements, to_client),
            frontend::Describe::TAG => match frontend::target_name(head.tag, body) {
                Ok((frontend::Target::Statement, _)) => {
                    backend::ParameterDescription { types: Vec::new() }.encode(to_client);
                    to_client.extend_from_slice(backend::NO_DATA);
                }
                Ok((frontend::Target::Portal, _)) => to_client.extend_from_slice(backend::NO_DATA),
                Err(error) => return FromClient::Refuse(Refusal::Client(error)),
            },
            frontend::Execute::TAG => match self.bound.take() {
                Some(end) => self.end(end, to_client),
                None => self.refuse_and_skip(to_client),
            },
            frontend::Close::TAG => match frontend::target_name(head.tag, body) {
                Ok((target, name)) => {
                    if target == frontend::Target::Statement {
                        statements.remove(name);
                    }
                    to_client.extend_from_slice(backend::CLOSE_COMPLETE);
                }
                Err(error) => return FromClient::Refuse(Refusal::Client(error)),
            },
            // Left over from a COPY that the client did not know had failed.
            frontend::CopyData::TAG
            | frontend::CopyDone::TAG
            | frontend::CopyFail::TAG
            | frontend::Flush::TAG => {}
            tag => return FromClient::Refuse(Refusal::UnknownClientMessage(tag)),
        }
        FromClient::Swallow
    }

    fn parse(
        &mut self,
        body: &[u8],
        statements: &mut ClientStatements,
        cache: &Arc<StatementCache>,
        to_client: &mut BytesMut,
    ) {
        let Ok(view) = frontend::parse::peek(body) else { return self.refuse_and_skip(to_client) };
        let Some(end) = routing::ends_transaction(view.query) else {
            return self.refuse_and_skip(to_client);
        };
        if view.name.is_empty() {
            self.unnamed = Some(end);
        } else {
            let definition = body.get(view.name.len() + 1..).unwrap_or_default();
            statements.insert(view.name, cache.intern(definition));
        }
        to_client.extend_from_slice(backend::PARSE_COMPLETE);
    }

    fn bind(&mut self, body: &[u8], statements: &ClientStatements, to_client: &mut BytesMut) {
        let end = match frontend::bind::peek_names(body) {
            Ok(Some(names)) if names.statement.is_empty() => self.unnamed,
            Ok(Some(names)) => statements
                .find(names.statement)
                .and_then(|known| routing::ends_transaction(known.text())),
            Ok(None) | Err(DecodeError { .. }) => None,
        };
        match end {
            Some(end) => {
                self.bound = Some(end);
                to_client.extend_from_slice(backend::BIND_COMPLETE);
            }
            None => self.refuse_and_skip(to_client),
        }
    }

    /// The client ends its transaction. A COMMIT that was not yet told of the loss must not look like a success.
    fn end(&mut self, end: TransactionEnd, to_client: &mut BytesMut) {
        match (end, self.untold.take()) {
            (TransactionEnd::Commit, Some(error)) => error.encode(to_client),
            _ => CommandComplete { tag: bytes::Bytes::from_static(b"ROLLBACK") }.encode(to_client),
        }
        self.in_transaction = false;
    }

    fn refuse(&mut self, to_client: &mut BytesMut) {
        match self.untold.take() {
            Some(error) => error.encode(to_client),
            None => ErrorResponse::new(
                Severity::Error,
                SqlState::IN_FAILED_SQL_TRANSACTION,
                "current transaction is aborted, commands ignored until end of transaction block",
            )
            .encode(to_client),
        }
    }

    fn refuse_and_skip(&mut self, to_client: &mut BytesMut) {
        self.refuse(to_client);
        self.skipping = true;
    }

    fn ready(&mut self, to_client: &mut BytesMut) {
        self.skipping = false;
        self.over = !self.in_transaction;
        let status = if self.over { TransactionStatus::Idle } else { TransactionStatus::Failed };
        backend::ready_for_query::write(to_client, status);
    }
}
