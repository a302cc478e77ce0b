//! A BEGIN that is held back: answered here, and told to a server once the transaction's first statement has come.
//!
//! A bare `BEGIN` does not say where its transaction may run; its first statement may (`SET TRANSACTION READ ONLY`, a
//! hint). So where that matters the client is told BEGIN at once, and no server is attached. The first statement places
//! the transaction; BEGIN goes out in front of it, and what the server says of it is not passed on. The statement waits
//! for that: should BEGIN fail, it must not run outside of a transaction. Then it is answered by BEGIN's error. A
//! transaction that ends before it has asked for anything needs no server at all. And a failover between BEGIN and the
//! first statement is nobody's business.

use bytes::{Bytes, BytesMut};
use pgweir_codec::backend::{self, CommandComplete, ErrorResponse, TransactionStatus};
use pgweir_codec::frontend;

use super::Outbox;
use super::elsewhere::Place;
use super::lost::Lost;
use super::machine::{Replay, Session};
use super::pipeline::Expect;
use super::verdict::Then;
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

    /// A server was attached: it is told BEGIN if one is held. Until the first statement is answered another server may be
    /// told so as well.
    pub(super) fn send_begin(&mut self, to_server: &mut BytesMut) {
        if let Some(held) = &mut self.held
            && !held.acknowledged
        {
            frontend::query::write(to_server, &held.text);
            self.pending.push(Expect::Begin);
            if self.fresh && self.place != Place::Unknown {
                self.replay = Replay::Possible;
            }
        }
    }

    /// Whether the server has still to say whether it has begun.
    pub(super) fn is_beginning(&self) -> bool {
        matches!(self.pending.back(), Some(Expect::Begin))
    }

    /// The server refuses to begin: the client's first statement, and all up to the end of its transaction, is answered as
    /// in a failed one.
    pub(super) fn cannot_begin(&mut self, error: ErrorResponse) {
        self.held = None;
        self.lost = Some(Box::new(Lost::new(true, false, Some(error))));
    }

    /// The server has answered BEGIN.
    pub(super) fn begun(&mut self) -> Then {
        match &mut self.held {
            Some(held) => {
                held.acknowledged = true;
                Then::GoOn
            }
            None => {
                self.status = TransactionStatus::Idle;
                Then::Release
            }
        }
    }

    /// Another server is to be told.
    pub(super) fn begin_again(&mut self) {
        if let Some(held) = &mut self.held {
            held.acknowledged = false;
        }
    }
}
