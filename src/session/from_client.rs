//! Messages from the client: which want a server, which go on, which are answered here.

use pgweir_codec::backend::{self, TransactionStatus};
use pgweir_codec::frontend;
use pgweir_codec::head::Head;

use super::Outbox;
use super::machine::{Replay, ServerState, Session, body, up_to_nul};
use super::pipeline::Expect;
use super::verdict::{FromClient, Refusal};
use crate::routing::{self, Intent};

/// How much of a text is looked at to decide where it may run. A hint or a BEGIN stands at the front.
pub(super) const PEEK: usize = 4096;

/// Longest message that is read whole to see whether it ends a transaction: what only does that is short.
pub(super) const END_LIMIT: usize = 128;

/// Longest Describe or Close that is taken apart: a name this long is no name (NAMEDATALEN is 64).
pub(super) const NAME_MESSAGE_LIMIT: usize = 64 * 1024;

impl Session {
    /// Looks at one message from the client. `have` is what has arrived of it, from its tag on, and never more than
    /// it; `server` is the attached one.
    pub fn client_message(
        &mut self,
        head: Head,
        have: &[u8],
        server: Option<&mut ServerState>,
        out: &mut Outbox,
    ) -> FromClient {
        if self.restore
            && let Some(server) = &server
            && self.is_quiet()
        {
            self.restore_startup(server, out);
        }
        if let Some(lost) = &mut self.lost {
            let verdict = lost.client_message(head, have, &mut self.statements, &self.cache, out);
            if lost.is_over() {
                self.lost = None;
                self.status = TransactionStatus::Idle;
            }
            return verdict;
        }
        match self.replay {
            Replay::No => {}
            // Not now: what was sent is about to be offered again.
            Replay::Due => return FromClient::Wait,
            // More than one batch is under way.
            Replay::Possible if self.pending.has_sync() => self.replay = Replay::No,
            Replay::Possible => {}
        }
        if server.is_some() {
            if self.waits_for_placing(head.tag) {
                return FromClient::Wait;
            }
            self.note_request(head.tag);
        }
        if self.skipping && !matches!(head.tag, frontend::Sync::TAG | frontend::Terminate::TAG) {
            return FromClient::Swallow;
        }
        match head.tag {
            frontend::Terminate::TAG => FromClient::Terminate,
            frontend::CopyData::TAG => self.copy_data(server.is_some()),
            frontend::CopyDone::TAG | frontend::CopyFail::TAG => {
                if !std::mem::take(&mut self.copy_in) && !self.pending.is_empty() {
                    // Sent before the server has said that it wants data, as a pipeline may.
                    self.pending.push(Expect::CopyEnd);
                }
                self.copy_data(server.is_some())
            }
            frontend::Flush::TAG => self.flush(server.is_some(), out),
            frontend::Sync::TAG => self.sync(server.is_some(), out),
            // Anything else ends COPY FROM STDIN with an error, and is consumed by it.
            _ if self.copy_in => {
                self.copy_in = false;
                FromClient::Forward { skip: 0 }
            }
            frontend::Query::TAG => self.query(head, have, server.as_deref(), out),
            frontend::FunctionCall::TAG => match server {
                None => FromClient::Attach(self.placed(Intent::Unstated)),
                Some(_) => self.forward(Expect::FunctionCall),
            },
            frontend::Parse::TAG => self.parse(head, have, server, out),
            frontend::Bind::TAG => self.bind(head, have, server, out),
            frontend::Describe::TAG | frontend::Close::TAG => {
                self.describe_or_close(head, have, server, out)
            }
            frontend::Execute::TAG => self.execute(head, have, server.is_some()),
            tag => FromClient::Refuse(Refusal::UnknownClientMessage(tag)),
        }
    }

    /// Copy messages outside COPY are ignored, as PostgreSQL does: the client had not yet seen the error.
    /// Such a message must not keep a server that is about to go back.
    fn copy_data(&self, attached: bool) -> FromClient {
        if attached && !self.is_quiet() {
            FromClient::Forward { skip: 0 }
        } else {
            FromClient::Swallow
        }
    }

    fn forward(&mut self, expect: Expect) -> FromClient {
        self.pending.push(expect);
        FromClient::Forward { skip: 0 }
    }

    pub(super) fn forward_extended(&mut self, expect: Expect) -> FromClient {
        self.unsynced = true;
        self.forward(expect)
    }

    fn query(
        &mut self,
        head: Head,
        have: &[u8],
        server: Option<&ServerState>,
        out: &mut Outbox,
    ) -> FromClient {
        let (attached, tracks) = (server.is_some(), self.tracks());
        let enough = match attached {
            true if head.len <= END_LIMIT => head.len,
            true if !tracks => 0,
            _ => head.len.min(PEEK),
        };
        if have.len() < enough {
            return FromClient::NeedMore(enough);
        }
        let text = frontend::query::text(body(have));
        let whole = have.len() == head.len;
        if whole && let Some(verdict) = self.answered_here(text, attached, out) {
            return verdict;
        }
        let Some(server) = server else {
            return FromClient::Attach(self.intent_of(text));
        };
        // As in PostgreSQL, a simple query does away with the unnamed statement.
        self.unnamed_is_gone();
        self.reset_all_seen |= whole && routing::own::resets_all(text);
        let mark = if tracks { self.track_query(text, server) } else { None };
        self.forward(Expect::Query { ends: whole && ends_transaction(text), mark })
    }

    /// A simple query, all of it: what becomes of it if no server is needed to answer it.
    fn answered_here(
        &mut self,
        text: &[u8],
        attached: bool,
        out: &mut Outbox,
    ) -> Option<FromClient> {
        if let Some(verdict) = self.own_query(text, attached, out) {
            return Some(verdict);
        }
        (!attached && self.hold_begin(text, out)).then_some(FromClient::Swallow)
    }

    fn execute(&mut self, head: Head, have: &[u8], attached: bool) -> FromClient {
        let tracks = self.tracks();
        if tracks || self.has_own_portal() {
            if have.len() < head.len && head.len <= NAME_MESSAGE_LIMIT {
                return FromClient::NeedMore(head.len);
            }
            if self.has_own_portal()
                && let Some(verdict) = self.own_execute(up_to_nul(body(have)), attached)
            {
                return verdict;
            }
        }
        if attached {
            let (mark, most) = if tracks { self.track_execute(body(have)) } else { (None, 0) };
            self.forward_extended(Expect::Execute { ends: self.bound_ends, mark, most })
        } else {
            FromClient::Attach(self.placed(Intent::Unstated))
        }
    }

    fn flush(&mut self, attached: bool, out: &mut Outbox) -> FromClient {
        self.flush_wanted = true;
        self.replay = Replay::No;
        self.end_of_batch(out);
        if attached && !self.copy_in && !self.is_quiet() {
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
        self.end_own_portal();
        if attached {
            self.batches.end();
            return self.forward(Expect::Sync);
        }
        // Nothing for a server to do: all before it was answered by us.
        self.pending.write_due(&mut out.to_client);
        backend::ready_for_query::write(&mut out.to_client, self.status);
        FromClient::Swallow
    }

    /// To be called when all that arrived was looked at: replies of our own that a Flush asked for go out now, and those
    /// that have become too many to wait for it.
    pub fn end_of_batch(&mut self, out: &mut Outbox) {
        if (self.flush_wanted || self.is_full()) && self.pending.write_due(&mut out.to_client) {
            self.untouched = false;
            self.replay = Replay::No;
        }
        if self.pending.is_empty() {
            self.flush_wanted = false;
        }
    }
}

pub(super) fn ends_transaction(text: &[u8]) -> bool {
    routing::ends_transaction(text).is_some()
}
