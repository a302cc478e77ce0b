//! A BEGIN that is held back: answered here, and sent ahead of the transaction's first statement.
//!
//! A bare `BEGIN` does not say where its transaction may run; its first statement may (`SET TRANSACTION READ ONLY`, a
//! hint). So where that matters the client is told BEGIN at once, and no server is attached. The first statement places
//! the transaction; BEGIN goes out in front of it, in the same write, and what the server says of it is not passed on. A
//! transaction that ends before it has asked for anything needs no server at all. And a failover between BEGIN and the
//! first statement is nobody's business.

use bytes::{Bytes, BytesMut};
use pgweir_codec::backend::{self, CommandComplete, TransactionStatus};
use pgweir_codec::frontend;

use super::Outbox;
use super::machine::Session;
use super::pipeline::Expect;
use crate::config::PoolMode;
use crate::routing::{self, Intent, TransactionEnd};

/// A BEGIN that the server at hand was not told of, or that may have to be told to another one.
#[derive(Clone, Debug)]
pub(super) struct Held {
    text: Box<[u8]>,
    /// The server has answered it.
    acknowledged: bool,
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
            self.held = None;
            self.status = TransactionStatus::Idle;
            CommandComplete { tag: Bytes::from_static(tag) }.encode(to_client);
        } else {
            let holds = self.rules.holds_begin && self.rules.mode == PoolMode::Transaction;
            if !holds || !self.pending.is_empty() || self.in_transaction() {
                return false;
            }
            let Some(begin) = routing::bare_begin(text) else { return false };
            self.held = Some(Held { text: text.into(), acknowledged: false });
            self.status = TransactionStatus::Active;
            CommandComplete { tag: Bytes::from_static(begin.as_bytes()) }.encode(to_client);
        }
        backend::ready_for_query::write(to_client, self.status);
        true
    }

    /// The intent of a transaction by the text at hand, its first that a server is needed for.
    pub(super) fn intent_of(&self, text: &[u8]) -> Intent {
        self.placed(match self.held {
            Some(_) => routing::first_statement(text),
            None => routing::intent(text),
        })
    }

    /// The intent, with what holds for the whole session.
    pub(super) fn placed(&self, said: Intent) -> Intent {
        self.read_only_intent(self.route.intent(said))
    }

    /// A server was attached: it is told BEGIN if one is held.
    pub(super) fn send_begin(&mut self, to_server: &mut BytesMut) {
        if let Some(held) = &mut self.held
            && !held.acknowledged
        {
            frontend::query::write(to_server, &held.text);
            self.pending.push(Expect::Begin);
        }
    }

    /// The server has begun.
    pub(super) fn begun(&mut self) {
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
