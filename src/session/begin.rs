//! A BEGIN that is held back: answered here, and told to a server together with the transaction's first statement.
//!
//! A bare `BEGIN` does not say where its transaction may run; its first statement may (`SET TRANSACTION READ ONLY`, a
//! hint). So where that matters the client is told BEGIN at once, and no server is attached. The first statement places
//! the transaction; BEGIN goes out in front of it, in the same write, and what the server says of it is not passed on. A
//! transaction that ends before it has asked for anything needs no server at all. And a failover between BEGIN and the
//! first statement is nobody's business.
//!
//! BEGIN goes out in the extended protocol, without a Sync: should the server refuse it, it skips what follows up to a Sync,
//! a simple query as well (manual, "Extended Query"), so that the statement cannot run outside of a transaction. Such a
//! server is closed, and the client told in its words ([`FromServer::CannotBegin`](super::FromServer::CannotBegin)).
//!
//! In the extended protocol BEGIN is held back where named statements follow their clients: drivers name it.

use bytes::{Bytes, BytesMut};
use pgweir_codec::backend::{self, CommandComplete, TransactionStatus};
use pgweir_codec::frontend;

use super::Outbox;
use super::machine::Session;
use super::own::Portal;
use super::pipeline::{Expect, Local};
use super::prepared::Statement;
use crate::config::PoolMode;
use crate::routing::causal::Token;
use crate::routing::own::Value;
use crate::routing::{self, BareBegin, Intent, Target, TransactionEnd};

/// A BEGIN that the server at hand was not told of, or that may have to be told to another one.
#[derive(Clone, Debug)]
pub(super) struct Held {
    /// As the client was answered.
    tag: &'static str,
    /// As it was said, if it says more than the tag.
    text: Option<Box<[u8]>>,
    /// Where this transaction alone is to run (`SET LOCAL pgweir.route`).
    route: Option<Option<Target>>,
    /// What its reads have to see at least (`SET LOCAL pgweir.min_lsn`).
    min_lsn: Option<Option<Token>>,
    /// The server has answered it.
    acknowledged: bool,
}

impl Held {
    fn new(begin: BareBegin, text: &[u8]) -> Self {
        let text = begin.has_modes.then(|| text.into());
        Self { tag: begin.tag, text, route: None, min_lsn: None, acknowledged: false }
    }

    /// What holds for this transaction alone.
    pub(super) fn place(&mut self, value: Value) {
        match value {
            Value::Route(route) => self.route = Some(route),
            Value::MinLsn(token) => self.min_lsn = Some(token),
        }
    }

    #[expect(
        clippy::option_option,
        reason = "the outer one: whether it was said for this transaction"
    )]
    pub(super) fn min_lsn(&self) -> Option<Option<Token>> {
        self.min_lsn
    }

    fn text(&self) -> &[u8] {
        self.text.as_deref().unwrap_or(self.tag.as_bytes())
    }
}

impl Session {
    /// A simple query without a server: answered here if it is a bare BEGIN that is worth holding back, or ends one that
    /// is held.
    pub(super) fn hold_begin(&mut self, text: &[u8], out: &mut Outbox) -> bool {
        let to_client = &mut out.to_client;
        if self.held.is_some() {
            let Some(end) = routing::ends_transaction(text) else { return false };
            let tag: &'static [u8] = match end {
                TransactionEnd::Commit => b"COMMIT",
                TransactionEnd::Rollback => b"ROLLBACK",
            };
            self.pending.write_due(to_client);
            self.held = None;
            self.status = TransactionStatus::Idle;
            CommandComplete { tag: Bytes::from_static(tag) }.encode(to_client);
        } else {
            if !self.can_hold() || !self.pending.is_empty() {
                return false;
            }
            let Some(begin) = routing::bare_begin(text) else { return false };
            to_client.extend_from_slice(self.hold(Held::new(begin, text)));
        }
        backend::ready_for_query::write(to_client, self.status);
        true
    }

    /// Whether a BEGIN that comes now, without a server, is to be held back.
    fn can_hold(&self) -> bool {
        let holds = self.rules.holds_begin && self.rules.mode == PoolMode::Transaction;
        holds && self.held.is_none() && !self.in_transaction()
    }

    /// A transaction begins here. The CommandComplete that its BEGIN is answered by.
    pub(super) fn hold(&mut self, held: Held) -> &'static [u8] {
        let complete: &[u8] = match held.tag {
            "BEGIN" => b"C\0\0\0\x0aBEGIN\0",
            _ => b"C\0\0\0\x16START TRANSACTION\0",
        };
        self.held = Some(held);
        self.status = TransactionStatus::Active;
        complete
    }

    /// The body of a Parse without a server: answered here if it is of a BEGIN that may have to be held back. A server that
    /// has to know it after all is told when it is bound. What makes no sense is left to the server.
    pub(super) fn hold_parse(&mut self, body: &[u8]) -> bool {
        if !self.rules.follow_statements || !self.can_hold() {
            return false;
        }
        let Ok(view) = frontend::parse::peek(body) else { return false };
        let name = view.name;
        let known = !name.is_empty() && self.statements.find(name).is_some();
        if known || routing::bare_begin(view.query).is_none() {
            return false;
        }
        let definition = body.get(name.len() + 1..).unwrap_or_default();
        self.unsynced = true;
        self.tally.client_parses += u64::from(!name.is_empty());
        self.statements.insert(name, self.cache.intern(definition));
        self.batches.change_name(name);
        self.pending.push(Expect::Local(Local::Parsed { name: name.into() }));
        true
    }

    /// A Bind without a server: answered here if it is of a BEGIN that is to be held back.
    pub(super) fn hold_bind(&mut self, portal: &[u8], statement: &Statement) -> bool {
        let Some(begin) = self.begins(statement) else { return false };
        self.bind_here(portal, Portal::Begin(Held::new(begin, statement.text())));
        true
    }

    /// A Describe without a server: answered here if it is of a BEGIN that is to be held back.
    pub(super) fn hold_describe(&mut self, statement: &Statement) -> bool {
        if self.begins(statement).is_none() {
            return false;
        }
        let mut out = BytesMut::new();
        backend::ParameterDescription { types: Vec::new() }.encode(&mut out);
        out.extend_from_slice(backend::NO_DATA);
        self.reply(out.freeze());
        true
    }

    fn begins(&self, statement: &Statement) -> Option<BareBegin> {
        statement.bare_begin().filter(|_| self.can_hold())
    }

    /// The intent of a transaction by the text at hand, its first that a server is needed for.
    pub(super) fn intent_of(&self, text: &[u8]) -> Intent {
        self.placed(match self.held {
            Some(_) => routing::first_statement(text),
            None => routing::intent(text),
        })
    }

    /// As [`Self::intent_of`], of a statement that the client has prepared, if it is known.
    pub(super) fn intent_of_statement(&self, statement: Option<&Statement>) -> Intent {
        match (statement, &self.held) {
            (None, _) => self.placed(Intent::Unstated),
            (Some(known), None) => self.placed(known.intent()),
            (Some(known), Some(_)) => self.intent_of(known.text()),
        }
    }

    /// The intent, with what holds for the whole session.
    pub(super) fn placed(&self, said: Intent) -> Intent {
        let local = self.held.as_ref().and_then(|held| held.route);
        self.read_only_intent(self.wishes.intent(said, local))
    }

    /// A server was attached: it is told BEGIN if one is held. Until the first statement is answered another server may be
    /// told so as well.
    pub(super) fn send_begin(&mut self, to_server: &mut BytesMut) {
        let Some(held) = self.held.as_ref().filter(|held| !held.acknowledged) else { return };
        frontend::parse::write(to_server, b"", held.text(), &[0, 0]);
        let bind = frontend::Bind {
            portal: Bytes::new(),
            statement: Bytes::new(),
            parameter_formats: Vec::new(),
            parameters: Vec::new(),
            result_formats: Vec::new(),
        };
        bind.encode(to_server);
        frontend::execute::write(to_server, b"", 0);
        self.pending.push(Expect::Begin);
    }

    /// The server has begun.
    pub(super) fn begun(&mut self) {
        self.pending.pop();
        if let Some(held) = &mut self.held {
            held.acknowledged = true;
        }
    }

    /// Another server is to be told.
    pub(super) fn begin_again(&mut self) {
        if let Some(held) = &mut self.held {
            held.acknowledged = false;
        }
    }
}
