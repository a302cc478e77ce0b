//! The session machine: which message goes where, and when a server may be given back.
//!
//! One machine serves one client. It is *detached* (no server) or *attached*; in transaction mode it detaches at the
//! ReadyForQuery that says idle while nothing is unanswered. Two flags refine that:
//!
//! - `skipping`: an error made the server skip requests until Sync, so requests that arrive until then are dropped;
//! - `copy_in`: the server reads COPY data, and ignores Sync and Flush (manual, "COPY Operations").
//!
//! A client whose server died inside a transaction is *lost* until it ends the transaction; see [`super::lost`].

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use pgweir_codec::backend::{self, ErrorResponse, Severity, TransactionStatus};
use pgweir_codec::error::DecodeError;
use pgweir_codec::frontend;
use pgweir_codec::head::Head;
use pgweir_codec::sqlstate::SqlState;

use super::Outbox;
use super::lost::Lost;
use super::parameters::{Parameters, Tracked};
use super::pipeline::{Expect, Local, Parse, Pipeline};
use super::prepared::{ClientStatements, ServerStatements, Statement, StatementCache};
use crate::config::PoolMode;
use crate::routing::{self, Intent};

/// How much of a text is looked at to decide where it may run. A hint or a BEGIN stands at the front.
const PEEK: usize = 4096;

/// Longest message that is read whole to see whether it ends a transaction: what only does that is short.
const END_LIMIT: usize = 128;

/// Longest Describe or Close that is taken apart: a name this long is no name (NAMEDATALEN is 64).
const NAME_MESSAGE_LIMIT: usize = 64 * 1024;

/// Largest ErrorResponse that is read whole; a longer one is passed on as it streams.
const ERROR_LIMIT: usize = 64 * 1024;

/// What does not change during a session.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Setting `pool_mode`.
    pub mode: PoolMode,
    /// Whether named statements follow the client (`max_prepared_statements` > 0, not in session mode).
    pub follow_statements: bool,
    /// Whether the client outlives its server: the entry follows a primary (`target_session_attrs`).
    pub outlives_server: bool,
}

/// What pgweir knows of the session on one server connection. Lives as long as the connection.
#[derive(Debug)]
pub struct ServerState {
    /// The statements it holds.
    pub statements: ServerStatements,
    /// Its reported settings.
    pub parameters: Parameters,
}

impl ServerState {
    /// A fresh server session.
    pub fn new(tracked: Arc<Tracked>, max_prepared_statements: u32) -> Self {
        let statements = ServerStatements::new(max_prepared_statements);
        Self { statements, parameters: Parameters::new(tracked) }
    }
}

/// What to do with the message from the client at hand.
#[derive(Debug, PartialEq, Eq)]
pub enum FromClient {
    /// Not enough of it has arrived to decide: this many bytes (head included) would do.
    NeedMore(usize),
    /// It wants a server. Attach one, then offer the message again.
    Attach(Intent),
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

/// Whether a client goes on after its server died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterLoss {
    /// It was told what is known; it goes on without a server.
    GoesOn,
    /// Its state went with the server: close it.
    Close,
}

/// What happened since the last look, for the statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Parses that clients sent with a name.
    pub client_parses: u64,
    /// Parses that servers were sent for named statements.
    pub server_parses: u64,
    /// Binds of named statements.
    pub binds: u64,
    /// Statements closed on a server to make room.
    pub evictions: u64,
    /// Requests answered up to ReadyForQuery.
    pub queries: u64,
}

/// One client's session. See the module's words.
#[derive(Debug)]
pub struct Session {
    rules: Rules,
    cache: Arc<StatementCache>,
    pending: Pipeline,
    /// Extended-protocol requests went out since the last Sync.
    unsynced: bool,
    skipping: bool,
    copy_in: bool,
    flush_wanted: bool,
    /// Whether the unnamed statement, and the statement bound last, do nothing but end a transaction.
    unnamed_ends: bool,
    bound_ends: bool,
    /// Nothing that was done since the attachment has left for either side.
    untouched: bool,
    /// The transaction status that the client was last told.
    status: TransactionStatus,
    statements: ClientStatements,
    parameters: Parameters,
    lost: Option<Box<Lost>>,
    tally: Tally,
}

impl Session {
    /// A session after login: idle, detached. `parameters` are the values the client was told at login.
    pub fn new(rules: Rules, cache: Arc<StatementCache>, parameters: Parameters) -> Self {
        Self {
            rules,
            cache,
            pending: Pipeline::default(),
            unsynced: false,
            skipping: false,
            copy_in: false,
            flush_wanted: false,
            unnamed_ends: false,
            bound_ends: false,
            untouched: false,
            status: TransactionStatus::Idle,
            statements: ClientStatements::default(),
            parameters,
            lost: None,
            tally: Tally::default(),
        }
    }

    /// The client's reported settings.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// How many named statements the client holds.
    pub fn prepared_statements(&self) -> usize {
        self.statements.len()
    }

    /// Whether the client is inside a transaction block, as far as it was told.
    pub fn in_transaction(&self) -> bool {
        self.status != TransactionStatus::Idle
    }

    /// Whether a server could be given back now with nothing in flight on it.
    pub fn is_quiet(&self) -> bool {
        self.pending.is_empty() && !self.unsynced && !self.copy_in && !self.in_transaction()
    }

    /// The counts since the last call.
    pub fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// A server was attached: brings it to the client's settings.
    pub fn attached(&mut self, server: &mut ServerState, out: &mut Outbox) {
        self.untouched = self.pending.is_empty();
        let mut sql = BytesMut::new();
        if self.parameters.write_changes(&server.parameters, &mut sql) {
            frontend::query::write(&mut out.to_server, &sql);
            self.pending.push(Expect::Parameters);
        }
    }

    /// Bytes have left for the server: from now on nothing can be taken back.
    pub fn committed(&mut self) {
        self.untouched = false;
    }

    /// The server failed before a byte reached it: undoes all since the attachment, so that the same messages can be
    /// offered again with another server. `false` if something has already left; then see [`Self::server_lost`].
    pub fn rewind(&mut self) -> bool {
        if !self.untouched {
            return false;
        }
        while let Some(entry) = self.pending.pop() {
            self.forget(entry, None);
        }
        self.unsynced = false;
        self.skipping = false;
        self.copy_in = false;
        true
    }

    // ---------------------------------------------------------------- client

    /// Looks at one message from the client. `have` is what has arrived of it, from its tag on, and never more than
    /// it; `server` is the attached one.
    pub fn client_message(
        &mut self,
        head: Head,
        have: &[u8],
        server: Option<&mut ServerState>,
        out: &mut Outbox,
    ) -> FromClient {
        if let Some(lost) = &mut self.lost {
            let verdict = lost.client_message(head, have, &mut self.statements, &self.cache, out);
            if lost.is_over() {
                self.lost = None;
                self.status = TransactionStatus::Idle;
            }
            return verdict;
        }
        if self.skipping && !matches!(head.tag, frontend::Sync::TAG | frontend::Terminate::TAG) {
            return FromClient::Swallow;
        }
        match head.tag {
            frontend::Terminate::TAG => FromClient::Terminate,
            frontend::CopyData::TAG => Self::copy_data(server.is_some()),
            frontend::CopyDone::TAG | frontend::CopyFail::TAG => {
                self.copy_in = false;
                Self::copy_data(server.is_some())
            }
            frontend::Flush::TAG => self.flush(server.is_some(), out),
            frontend::Sync::TAG => self.sync(server.is_some(), out),
            // Anything else ends COPY FROM STDIN with an error, and is consumed by it.
            _ if self.copy_in => {
                self.copy_in = false;
                FromClient::Forward { skip: 0 }
            }
            frontend::Query::TAG => self.query(head, have, server.is_some()),
            frontend::FunctionCall::TAG => match server {
                None => FromClient::Attach(Intent::Unstated),
                Some(_) => self.forward(Expect::FunctionCall),
            },
            frontend::Parse::TAG => self.parse(head, have, server, out),
            frontend::Bind::TAG => self.bind(head, have, server, out),
            frontend::Describe::TAG | frontend::Close::TAG => {
                self.describe_or_close(head, have, server, out)
            }
            frontend::Execute::TAG => match server {
                None => FromClient::Attach(Intent::Unstated),
                Some(_) => self.forward_extended(Expect::Execute { ends: self.bound_ends }),
            },
            tag => FromClient::Refuse(Refusal::UnknownClientMessage(tag)),
        }
    }

    /// Copy messages outside COPY are ignored, as PostgreSQL does: the client had not yet seen the error.
    fn copy_data(attached: bool) -> FromClient {
        if attached { FromClient::Forward { skip: 0 } } else { FromClient::Swallow }
    }

    fn forward(&mut self, expect: Expect) -> FromClient {
        self.pending.push(expect);
        FromClient::Forward { skip: 0 }
    }

    fn forward_extended(&mut self, expect: Expect) -> FromClient {
        self.unsynced = true;
        self.forward(expect)
    }

    fn query(&mut self, head: Head, have: &[u8], attached: bool) -> FromClient {
        if attached {
            if head.len <= END_LIMIT && have.len() < head.len {
                return FromClient::NeedMore(head.len);
            }
            let ends =
                have.len() == head.len && ends_transaction(frontend::query::text(body(have)));
            return self.forward(Expect::Query { ends });
        }
        let enough = head.len.min(PEEK);
        if have.len() < enough {
            return FromClient::NeedMore(enough);
        }
        FromClient::Attach(routing::intent(frontend::query::text(body(have))))
    }

    fn flush(&mut self, attached: bool, out: &mut Outbox) -> FromClient {
        self.flush_wanted = true;
        self.end_of_batch(out);
        if attached && !self.copy_in {
            FromClient::Forward { skip: 0 }
        } else {
            FromClient::Swallow
        }
    }

    fn sync(&mut self, attached: bool, out: &mut Outbox) -> FromClient {
        if self.copy_in {
            return FromClient::Swallow;
        }
        self.skipping = false;
        self.unsynced = false;
        if attached {
            return self.forward(Expect::Sync);
        }
        // Nothing for a server to do: all before it was answered by us.
        self.pending.write_due(&mut out.to_client);
        backend::ready_for_query::write(&mut out.to_client, TransactionStatus::Idle);
        FromClient::Swallow
    }

    fn parse(
        &mut self,
        head: Head,
        have: &[u8],
        server: Option<&mut ServerState>,
        out: &mut Outbox,
    ) -> FromClient {
        let named = match have.get(5) {
            None if head.len > Head::SIZE => return FromClient::NeedMore(Head::SIZE + 1),
            None => {
                return FromClient::Refuse(Refusal::Client(DecodeError::missing(head.tag, "name")));
            }
            Some(first) => *first != 0,
        };
        let follow = named && self.rules.follow_statements;
        let enough = if follow { head.len } else { head.len.min(PEEK) };
        let Some(server) = server else {
            if have.len() < enough {
                return FromClient::NeedMore(enough);
            }
            return match name_end(body(have)) {
                Some(end) => {
                    let text = body(have).get(end + 1..).unwrap_or_default();
                    FromClient::Attach(routing::intent(up_to_nul(text)))
                }
                None if have.len() < head.len => {
                    FromClient::NeedMore((have.len() + PEEK).min(head.len))
                }
                None => FromClient::Attach(Intent::Unstated),
            };
        };
        if !named {
            if head.len <= END_LIMIT && have.len() < head.len {
                return FromClient::NeedMore(head.len);
            }
            let text = up_to_nul(body(have).get(1..).unwrap_or_default());
            self.unnamed_ends = have.len() == head.len && ends_transaction(text);
        }
        if !follow {
            let parse = if named { Parse::Untouched } else { Parse::Unnamed };
            return self.forward_extended(Expect::Parse(parse));
        }
        if have.len() < enough {
            return FromClient::NeedMore(enough);
        }
        let name = match frontend::parse::peek(body(have)) {
            Ok(view) => view.name,
            Err(error) => return FromClient::Refuse(Refusal::Client(error)),
        };
        self.unsynced = true;
        self.tally.client_parses += 1;
        if let Some(known) = self.statements.find(name).cloned() {
            self.ensure(&known, server, out);
            known.write_parse(&mut out.to_server);
            self.pending.push(Expect::Parse(Parse::Duplicate { name: name.into() }));
            return FromClient::Swallow;
        }
        let definition = body(have).get(name.len() + 1..).unwrap_or_default();
        let statement = self.cache.intern(definition);
        self.statements.insert(name, statement.clone());
        let expect = if server.statements.touch(statement.id()) {
            Expect::Local(Local::Parsed { name: name.into() })
        } else {
            self.send_parse(&statement, server, out);
            Expect::Parse(Parse::Named { name: name.into(), statement })
        };
        self.pending.push(expect);
        FromClient::Swallow
    }

    /// Sends a Parse, making room on the server first; the caller notes whose ParseComplete it is.
    fn send_parse(
        &mut self,
        statement: &Arc<Statement>,
        server: &mut ServerState,
        out: &mut Outbox,
    ) {
        if let Some(evicted) = server.statements.insert(statement.clone()) {
            frontend::close::write(
                &mut out.to_server,
                frontend::Target::Statement,
                evicted.server_name(),
            );
            self.pending.push(Expect::Evict(evicted));
            self.tally.evictions += 1;
        }
        statement.write_parse(&mut out.to_server);
        self.tally.server_parses += 1;
    }

    /// Makes sure the server holds the statement, unseen by the client.
    fn ensure(&mut self, statement: &Arc<Statement>, server: &mut ServerState, out: &mut Outbox) {
        if !server.statements.touch(statement.id()) {
            self.send_parse(statement, server, out);
            self.pending.push(Expect::Parse(Parse::Hidden(statement.clone())));
        }
    }

    fn bind(
        &mut self,
        head: Head,
        have: &[u8],
        server: Option<&mut ServerState>,
        out: &mut Outbox,
    ) -> FromClient {
        if !self.rules.follow_statements {
            return match server {
                None => FromClient::Attach(Intent::Unstated),
                Some(_) => {
                    let names = frontend::bind::peek_names(body(have));
                    let unnamed = matches!(names, Ok(Some(names)) if names.statement.is_empty());
                    self.bound_ends = unnamed && self.unnamed_ends;
                    self.forward_extended(Expect::Bind)
                }
            };
        }
        let names = match frontend::bind::peek_names(body(have)) {
            Ok(Some(names)) => names,
            Ok(None) if have.len() < head.len && have.len() < NAME_MESSAGE_LIMIT => {
                return FromClient::NeedMore((have.len() + PEEK).min(head.len));
            }
            Ok(None) => {
                return FromClient::Refuse(Refusal::Client(DecodeError::missing(
                    head.tag,
                    "statement",
                )));
            }
            Err(error) => return FromClient::Refuse(Refusal::Client(error)),
        };
        let statement = self.statements.find(names.statement).cloned();
        let Some(server) = server else {
            return FromClient::Attach(statement.map_or(Intent::Unstated, |known| known.intent()));
        };
        self.bound_ends = match &statement {
            Some(known) => known.ends_transaction(),
            None => names.statement.is_empty() && self.unnamed_ends,
        };
        // An unknown name goes on as it is: the server then says so in its own words (26000).
        let Some(statement) = statement else { return self.forward_extended(Expect::Bind) };
        self.ensure(&statement, server, out);
        let skip = 5 + names.rest_at;
        frontend::bind::write_renamed_head(
            &mut out.to_server,
            head.len,
            names.portal,
            statement.server_name(),
            names.rest_at,
        );
        self.tally.binds += 1;
        self.unsynced = true;
        self.pending.push(Expect::Bind);
        FromClient::Forward { skip }
    }

    fn describe_or_close(
        &mut self,
        head: Head,
        have: &[u8],
        server: Option<&mut ServerState>,
        out: &mut Outbox,
    ) -> FromClient {
        if head.len > NAME_MESSAGE_LIMIT {
            return FromClient::Refuse(Refusal::Client(DecodeError::too_long(head.tag, head.len)));
        }
        if have.len() < head.len {
            return FromClient::NeedMore(head.len);
        }
        let (target, name) = match frontend::target_name(head.tag, body(have)) {
            Ok(found) => found,
            Err(error) => return FromClient::Refuse(Refusal::Client(error)),
        };
        let ours = self.rules.follow_statements
            && target == frontend::Target::Statement
            && !name.is_empty();
        if head.tag == frontend::Close::TAG {
            if ours || server.is_none() {
                self.unsynced = true;
                let known = if ours { self.statements.remove(name) } else { None };
                let undo = known.map(|statement| (name.into(), statement));
                self.pending.push(Expect::Local(Local::Closed(undo)));
                return FromClient::Swallow;
            }
            return self.forward_extended(Expect::Close);
        }
        let statement = if ours { self.statements.find(name).cloned() } else { None };
        match (server, statement) {
            (None, statement) => {
                FromClient::Attach(statement.map_or(Intent::Unstated, |known| known.intent()))
            }
            (Some(_), None) => self.forward_extended(Expect::Describe),
            (Some(server), Some(statement)) => {
                self.ensure(&statement, server, out);
                frontend::describe::write(&mut out.to_server, target, statement.server_name());
                self.unsynced = true;
                self.pending.push(Expect::Describe);
                FromClient::Swallow
            }
        }
    }

    /// To be called when all that arrived was looked at: replies of our own that a Flush asked for go out now.
    pub fn end_of_batch(&mut self, out: &mut Outbox) {
        if self.flush_wanted && self.pending.write_due(&mut out.to_client) {
            self.untouched = false;
        }
        if self.pending.is_empty() {
            self.flush_wanted = false;
        }
    }

    // ---------------------------------------------------------------- server

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
    fn forget(&mut self, entry: Expect, server: Option<&mut ServerState>) {
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

    // ---------------------------------------------------------------- loss

    /// The attached server died. Tells the client, in `out`, what became of each request, and says whether it goes on.
    ///
    /// `mid_message`: a reply was cut in the middle, so nothing sensible can follow it.
    pub fn server_lost(
        &mut self,
        error: &ErrorResponse,
        mid_message: bool,
        out: &mut Outbox,
    ) -> AfterLoss {
        if !self.rules.outlives_server || self.rules.mode == PoolMode::Session || mid_message {
            return AfterLoss::Close;
        }
        let told = self.answer_all_with(error, out);
        let in_transaction = self.in_transaction();
        let skipping = self.skipping || (self.unsynced && told.midway);
        if self.unsynced && !told.any && !self.skipping {
            error.encode(&mut out.to_client);
        }
        self.copy_in = false;
        self.skipping = false;
        if in_transaction || skipping || self.unsynced {
            let skipping = skipping || self.unsynced;
            let untold = !told.any && !self.unsynced;
            self.lost =
                Some(Box::new(Lost::new(in_transaction, skipping, untold.then(|| error.clone()))));
        }
        self.unsynced = false;
        AfterLoss::GoesOn
    }

    /// Answers every pending request with the error, as PostgreSQL would: once per request up to its ReadyForQuery.
    /// After a COMMIT no transaction is left, however it went: drivers do not roll back when it fails.
    fn answer_all_with(&mut self, error: &ErrorResponse, out: &mut Outbox) -> Told {
        let mut told = Told::default();
        // A request whose error was already told (a skipping server) only lacks its ReadyForQuery.
        while let Some(entry) = self.pending.pop() {
            if let Expect::Query { ends: true } | Expect::Execute { ends: true } = entry {
                self.status = TransactionStatus::Idle;
            }
            match entry {
                Expect::Parameters | Expect::Evict(_) | Expect::Parse(Parse::Hidden(_)) => {}
                Expect::Local(_) if !told.midway => {
                    self.pending.push_front(entry);
                    self.pending.write_due(&mut out.to_client);
                }
                Expect::Query { .. } | Expect::FunctionCall | Expect::Sync => {
                    if !told.midway {
                        error.encode(&mut out.to_client);
                    }
                    if self.in_transaction() {
                        self.status = TransactionStatus::Failed;
                    }
                    backend::ready_for_query::write(&mut out.to_client, self.status);
                    told = Told { any: true, midway: false };
                }
                extended => {
                    if !told.midway {
                        error.encode(&mut out.to_client);
                    }
                    told = Told { any: true, midway: true };
                    self.forget(extended, None);
                }
            }
        }
        told
    }
}

/// What a client was told of a lost server.
#[derive(Default)]
struct Told {
    /// An error was sent.
    any: bool,
    /// The last error stands in a pipeline that has no Sync yet.
    midway: bool,
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

fn ends_transaction(text: &[u8]) -> bool {
    routing::ends_transaction(text).is_some()
}

/// The body of a message that begins at its tag.
fn body(message: &[u8]) -> &[u8] {
    message.get(5..).unwrap_or_default()
}

fn name_end(body: &[u8]) -> Option<usize> {
    memchr::memchr(0, body)
}

fn up_to_nul(text: &[u8]) -> &[u8] {
    text.get(..name_end(text).unwrap_or(text.len())).unwrap_or_default()
}
