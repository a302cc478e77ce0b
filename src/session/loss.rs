//! The attached server died: what the client is told of each request, and whether it goes on.

use pgweir_codec::backend::{self, ErrorResponse, TransactionStatus};

use super::Outbox;
use super::lost::Lost;
use super::machine::{Replay, Session};
use super::pipeline::{Expect, Parse};
use super::verdict::AfterLoss;
use crate::config::PoolMode;

/// What is known, after the loss of a server, of what the client had under way there. For a HINT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It ran on a replica: nothing was changed.
    Read,
    /// A transaction block was open and nothing had been sent that could end it.
    RolledBack,
    /// A transaction block was open; a request under way may have held its end, among others.
    Open,
    /// The end of a transaction block was under way.
    Committing,
    /// A request outside of a transaction block was under way.
    Alone,
}

impl Fate {
    /// The words.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Read => "It ran on a standby, so nothing was changed: it can be run again.",
            Self::RolledBack => {
                "The transaction was not committed: all of it can be run again, from its BEGIN."
            }
            Self::Open => {
                "The transaction was not committed, unless the request under way itself ended it: all of it can be run \
                 again, from its BEGIN."
            }
            Self::Committing => {
                "Whether the COMMIT was carried out is not known: look for what the transaction wrote before you run it \
                 again."
            }
            Self::Alone => {
                "Whether the request was carried out is not known: look for what it wrote before you run it again."
            }
        }
    }
}

impl Session {
    /// What is known of what is under way, in case its server is lost. Before [`Self::server_lost`].
    pub fn fate(&self) -> Fate {
        let ends = |entry: &Expect| {
            matches!(entry, Expect::Query { ends: true, .. } | Expect::Execute { ends: true, .. })
        };
        let runs = |entry: &Expect| {
            matches!(entry, Expect::Query { .. } | Expect::Execute { .. } | Expect::FunctionCall)
        };
        if self.is_on_replica() {
            Fate::Read
        } else if !self.in_transaction() {
            Fate::Alone
        } else if self.pending.any(ends) {
            Fate::Committing
        } else if self.pending.any(runs) {
            Fate::Open
        } else {
            Fate::RolledBack
        }
    }

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
        self.held = None;
        let told = self.answer_all_with(error, out);
        let in_transaction = self.in_transaction();
        let skipping = self.skipping || (self.unsynced && told.midway);
        if self.unsynced && !told.any && !self.skipping {
            error.encode(&mut out.to_client);
        }
        self.copy_in = false;
        self.replay = Replay::No;
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
            if let Expect::Query { ends: true, .. } | Expect::Execute { ends: true, .. } = entry {
                self.status = TransactionStatus::Idle;
            }
            match entry {
                Expect::Parameters
                | Expect::Begin
                | Expect::CopyEnd
                | Expect::Evict(_)
                | Expect::Parse(Parse::Hidden(_)) => {}
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
                    if matches!(entry, Expect::Sync) {
                        self.batches.answer();
                    }
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
