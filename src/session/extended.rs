//! Messages of the extended protocol from the client: what they do to its statements, and which of them a server is sent.

use std::sync::Arc;

use pgweir_codec::error::DecodeError;
use pgweir_codec::frontend;
use pgweir_codec::head::Head;

use super::Outbox;
use super::from_client::{END_LIMIT, NAME_MESSAGE_LIMIT, PEEK, ends_transaction};
use super::machine::{Replay, ServerState, Session, body, name_end, up_to_nul};
use super::pipeline::{Expect, Local, Parse};
use super::prepared::Statement;
use super::unnamed::LONGEST_KEPT;
use super::verdict::{FromClient, Refusal};
use crate::config::PrepareUnnamed;
use crate::routing::{self, Intent};

/// Longest Parse of a named statement: it is kept, to be prepared on other servers.
const PARSE_LIMIT: usize = 16 << 20;

impl Session {
    pub(super) fn parse(
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
        let follow = self.rules.follow_statements
            && (named
                || self.rules.prepare_unnamed != PrepareUnnamed::Off && head.len <= LONGEST_KEPT);
        if follow && head.len > PARSE_LIMIT {
            return FromClient::Refuse(Refusal::Client(DecodeError::too_long(head.tag, head.len)));
        }
        let whole = have.len() == head.len;
        if !whole && head.len <= END_LIMIT {
            return FromClient::NeedMore(head.len);
        }
        if whole && self.own_parse(body(have)) {
            return FromClient::Swallow;
        }
        let enough = if follow { head.len } else { head.len.min(PEEK) };
        let Some(server) = server else {
            if have.len() < enough {
                return FromClient::NeedMore(enough);
            }
            return match name_end(body(have)) {
                Some(end) => {
                    if whole && self.hold_parse(body(have)) {
                        return FromClient::Swallow;
                    }
                    let definition = body(have).get(end + 1..).unwrap_or_default();
                    FromClient::Attach(self.intent_of(up_to_nul(definition)))
                }
                None if have.len() < head.len => {
                    FromClient::NeedMore((have.len() + PEEK).min(head.len))
                }
                None => FromClient::Attach(self.placed(Intent::Unstated)),
            };
        };
        let tracks = self.tracks();
        if tracks && have.len() < head.len.min(PEEK) {
            return FromClient::NeedMore(head.len.min(PEEK));
        }
        if !named {
            if follow && !whole {
                return FromClient::NeedMore(head.len);
            }
            if follow && let Some(kept) = self.kept_unnamed(body(have)) {
                if self.statement_is_open(&kept, server) {
                    return FromClient::Wait;
                }
                return self.parse_kept(kept, server, out);
            }
            self.unnamed_is_gone();
            let text = up_to_nul(body(have).get(1..).unwrap_or_default());
            if tracks {
                self.track_parse(b"", text, server);
            }
            self.unnamed_ends = whole && ends_transaction(text);
            self.reset_all_seen |= whole && routing::own::resets_all(text);
            return self.forward_extended(Expect::Parse(Parse::Unnamed));
        }
        if !follow {
            let name = up_to_nul(body(have));
            if tracks && let Some(definition) = body(have).get(name.len() + 1..) {
                self.track_parse(name, up_to_nul(definition), server);
            }
            return self.forward_extended(Expect::Parse(Parse::Untouched));
        }
        if have.len() < enough {
            return FromClient::NeedMore(enough);
        }
        let name = match frontend::parse::peek(body(have)) {
            Ok(view) => view.name,
            Err(error) => return FromClient::Refuse(Refusal::Client(error)),
        };
        let known = self.statements.find(name).cloned();
        let statement = known.clone().unwrap_or_else(|| {
            self.cache.intern(body(have).get(name.len() + 1..).unwrap_or_default())
        });
        if self.name_is_open(name) || self.statement_is_open(&statement, server) {
            return FromClient::Wait;
        }
        self.unsynced = true;
        self.tally.client_parses += 1;
        if let Some(known) = known {
            self.ensure(&known, server, out);
            known.write_parse(&mut out.to_server);
            self.pending.push(Expect::Parse(Parse::Duplicate { name: name.into() }));
            return FromClient::Swallow;
        }
        self.prepare(name, statement, server, out)
    }

    /// The unnamed statement does not stand for a kept one any more.
    pub(super) fn unnamed_is_gone(&mut self) {
        self.statements.remove(b"");
        self.batches.change_name(b"");
    }

    /// Whether it depends on an earlier batch, unanswered as yet, what the name stands for. An unnamed statement that
    /// is not kept is the server's business.
    fn name_is_open(&self, name: &[u8]) -> bool {
        self.batches.name_is_open(name)
            && (!name.is_empty() || self.statements.find(name).is_some())
    }

    /// Whether it depends on an earlier batch, unanswered as yet, if the server holds the statement, or the one that
    /// would have to make room for it.
    fn statement_is_open(&self, statement: &Statement, server: &ServerState) -> bool {
        let makes_room = || {
            let held = server.statements.holds(statement.id());
            let next = if held { None } else { server.statements.next_to_go() };
            next.is_some_and(|id| self.batches.statement_is_open(id))
        };
        self.batches.several() && (self.batches.statement_is_open(statement.id()) || makes_room())
    }

    /// What the unnamed statement with this Parse body is to stand for, if it is to be kept.
    fn kept_unnamed(&mut self, body: &[u8]) -> Option<Arc<Statement>> {
        if std::mem::take(&mut self.as_sent) {
            return None;
        }
        let definition = body.get(1..).unwrap_or_default();
        if let Some(same) = self.statements.unnamed_is(definition) {
            return Some(same.clone());
        }
        // A Parse that makes no sense goes on as it is: the server then says so in its own words.
        frontend::parse::peek(body).ok()?;
        self.cache.keep(self.rules.prepare_unnamed, self.rules.realm, definition)
    }

    fn parse_kept(
        &mut self,
        kept: Arc<Statement>,
        server: &mut ServerState,
        out: &mut Outbox,
    ) -> FromClient {
        self.unnamed_ends = false;
        self.unsynced = true;
        let first = self.untouched && !self.in_transaction() && self.pending.is_only_ours();
        if first && server.statements.holds(kept.id()) {
            self.replay = Replay::Possible;
        }
        self.prepare(b"", kept, server, out)
    }

    /// The client's `name` stands for the statement from now on; the server is sent its Parse if it lacks it.
    fn prepare(
        &mut self,
        name: &[u8],
        statement: Arc<Statement>,
        server: &mut ServerState,
        out: &mut Outbox,
    ) -> FromClient {
        if !name.is_empty() {
            // Once it was answered it cannot be undone.
            self.replay = Replay::No;
        }
        self.statements.insert(name, statement.clone());
        self.batches.change_name(name);
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
        while let Some(evicted) = server.statements.evict() {
            frontend::close::write(
                &mut out.to_server,
                frontend::Target::Statement,
                evicted.server_name(),
            );
            self.batches.change_statement(evicted.id());
            self.pending.push(Expect::Evict(evicted));
            self.tally.evictions += 1;
        }
        server.statements.insert(statement.clone());
        self.batches.change_statement(statement.id());
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

    pub(super) fn bind(
        &mut self,
        head: Head,
        have: &[u8],
        server: Option<&mut ServerState>,
        out: &mut Outbox,
    ) -> FromClient {
        let tracks = self.tracks();
        match frontend::bind::peek_names(body(have)) {
            Ok(Some(names)) if self.own_bind(names.portal, names.statement) => {
                return FromClient::Swallow;
            }
            Ok(None)
                if (tracks || self.own.is_some())
                    && have.len() < head.len.min(NAME_MESSAGE_LIMIT) =>
            {
                return FromClient::NeedMore((have.len() + PEEK).min(head.len));
            }
            _ => {}
        }
        if !self.rules.follow_statements {
            let Some(server) = server else {
                return FromClient::Attach(self.placed(Intent::Unstated));
            };
            let names = frontend::bind::peek_names(body(have));
            if tracks && let Ok(Some(names)) = names {
                self.track_bind(names.portal, names.statement, None, server);
            }
            let unnamed = matches!(names, Ok(Some(names)) if names.statement.is_empty());
            self.bound_ends = unnamed && self.unnamed_ends;
            return self.forward_extended(Expect::Bind { kept: None });
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
            if let Some(known) = &statement
                && self.hold_bind(names.portal, known)
            {
                return FromClient::Swallow;
            }
            return FromClient::Attach(self.intent_of_statement(statement.as_deref()));
        };
        if self.name_is_open(names.statement)
            || statement.as_ref().is_some_and(|known| self.statement_is_open(known, server))
        {
            return FromClient::Wait;
        }
        self.bound_ends = match &statement {
            Some(known) => known.ends_transaction(),
            None => names.statement.is_empty() && self.unnamed_ends,
        };
        if tracks {
            self.track_bind(names.portal, names.statement, statement.as_deref(), server);
        }
        // An unknown name goes on as it is: the server then says so in its own words (26000).
        let Some(statement) = statement else {
            return self.forward_extended(Expect::Bind { kept: None });
        };
        self.ensure(&statement, server, out);
        let skip = 5 + names.rest_at;
        frontend::bind::write_renamed_head(
            &mut out.to_server,
            head.len,
            names.portal,
            statement.server_name(),
            names.rest_at,
        );
        self.tally.binds += u64::from(!names.statement.is_empty());
        self.unsynced = true;
        let kept = names.statement.is_empty().then(|| statement.clone());
        self.pending.push(Expect::Bind { kept });
        FromClient::Forward { skip }
    }

    pub(super) fn describe_or_close(
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
        let answered = match head.tag {
            frontend::Close::TAG => self.own_close(target, name),
            _ => self.own_describe(target, name),
        };
        if answered {
            return FromClient::Swallow;
        }
        let ours = self.rules.follow_statements
            && target == frontend::Target::Statement
            && (!name.is_empty() || self.statements.find(name).is_some());
        if ours && self.name_is_open(name) {
            return FromClient::Wait;
        }
        if head.tag == frontend::Close::TAG {
            self.replay = Replay::No;
            if ours || server.is_none() {
                self.unsynced = true;
                let known = if ours { self.statements.remove(name) } else { None };
                if known.is_some() {
                    self.batches.change_name(name);
                }
                let undo = known.map(|statement| (name.into(), statement));
                self.pending.push(Expect::Local(Local::Closed(undo)));
                return FromClient::Swallow;
            }
            return self.forward_extended(Expect::Close);
        }
        let statement = if ours { self.statements.find(name).cloned() } else { None };
        match (server, statement) {
            (None, Some(statement)) if self.hold_describe(&statement) => FromClient::Swallow,
            (None, statement) => FromClient::Attach(self.intent_of_statement(statement.as_deref())),
            (Some(_), None) => self.forward_extended(Expect::Describe { kept: None }),
            (Some(server), Some(statement)) if self.statement_is_open(&statement, server) => {
                FromClient::Wait
            }
            (Some(server), Some(statement)) => {
                self.ensure(&statement, server, out);
                frontend::describe::write(&mut out.to_server, target, statement.server_name());
                self.unsynced = true;
                let kept = name.is_empty().then_some(statement);
                self.pending.push(Expect::Describe { kept });
                FromClient::Swallow
            }
        }
    }
}
