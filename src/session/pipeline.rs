//! What was asked and is not yet answered, in the order of asking.
//!
//! PostgreSQL answers strictly in order, so the reply at hand always belongs to the first entry. Entries that pgweir
//! answers itself stand in the same queue, so that their replies reach the client in their turn.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use pgweir_codec::backend;

use super::own::Wishes;
use super::prepared::Statement;
use super::queries::Mark;

/// A request that waits for its answer.
#[derive(Debug)]
pub enum Expect {
    /// `Query`: anything, until ReadyForQuery.
    Query {
        /// It does nothing but end a transaction.
        ends: bool,
        /// Where it is counted.
        mark: Option<Mark>,
    },
    /// `FunctionCall`: FunctionCallResponse, then ReadyForQuery.
    FunctionCall,
    /// `Sync`: ReadyForQuery.
    Sync,
    /// `Parse`: ParseComplete.
    Parse(Parse),
    /// `Bind`: BindComplete.
    Bind {
        /// The statement that the client's unnamed one stands for.
        kept: Option<Arc<Statement>>,
    },
    /// `Describe`: RowDescription or NoData (after ParameterDescription for a statement).
    Describe {
        /// The statement that the client's unnamed one stands for.
        kept: Option<Arc<Statement>>,
    },
    /// `Execute`: rows or COPY data, then CommandComplete, EmptyQueryResponse or PortalSuspended.
    Execute {
        /// It does nothing but end a transaction.
        ends: bool,
        /// Where it is counted.
        mark: Option<Mark>,
        /// How many rows it wants at most; 0: all, or nobody counts them.
        most: u32,
    },
    /// `Close` as the client sent it: CloseComplete.
    Close,
    /// Our own `Close` of a statement that had to make room; its CloseComplete is hidden.
    Evict(Arc<Statement>),
    /// `CopyDone` or `CopyFail` sent before the server asked for data. Never answered; gone with what stands before it.
    CopyEnd,
    /// Our own `SET`s before the client's first request; all of it is hidden.
    Parameters,
    /// A BEGIN that the client was answered already: ParseComplete, BindComplete, CommandComplete, all hidden.
    Begin,
    /// Answered by us, in its turn.
    Local(Local),
}

impl Expect {
    /// Whether a transaction may end with it.
    pub fn may_commit(&self) -> bool {
        matches!(self, Self::Query { .. } | Self::FunctionCall | Self::Sync)
    }

    /// Whether a transaction ends with it of which nobody is told before the Sync.
    pub fn commits_unsaid(&self) -> bool {
        matches!(self, Self::Execute { ends: true, .. })
    }
}

/// How a Parse came about, and what has to be undone if it fails.
#[derive(Debug)]
pub enum Parse {
    /// The client's unnamed statement, as it sent it.
    Unnamed,
    /// A name of the client's while statements are passed through untouched.
    Untouched,
    /// The client's named statement, sent under its server name.
    Named {
        /// The client's own name.
        name: Box<[u8]>,
        /// What it stands for.
        statement: Arc<Statement>,
    },
    /// Sent by us because this server lacked the statement; the ParseComplete is hidden.
    Hidden(Arc<Statement>),
    /// The client used a name twice: the server refuses it, and we tell the client in its own words.
    Duplicate {
        /// The client's own name.
        name: Box<[u8]>,
    },
}

/// A reply that we make ourselves.
#[derive(Debug)]
pub enum Local {
    /// ParseComplete for a statement that the server already holds.
    Parsed {
        /// The client's name for it, forgotten again if an earlier request of the pipeline fails.
        name: Box<[u8]>,
    },
    /// CloseComplete: a client's Close of a name only forgets the name.
    Closed(Option<(Box<[u8]>, Arc<Statement>)>),
    /// To a request that no server is asked for.
    Reply {
        /// The whole answer.
        message: Bytes,
        /// What the session's wishes were before, if it has changed them and an earlier request of the pipeline fails.
        undo: Option<Box<Wishes>>,
    },
}

impl Local {
    fn message(&self) -> &[u8] {
        match self {
            Self::Parsed { .. } => backend::PARSE_COMPLETE,
            Self::Closed(_) => backend::CLOSE_COMPLETE,
            Self::Reply { message, .. } => message,
        }
    }
}

/// The queue of unanswered requests.
#[derive(Debug, Default)]
pub struct Pipeline {
    entries: VecDeque<Expect>,
}

impl Pipeline {
    /// Notes a request.
    pub fn push(&mut self, expect: Expect) {
        self.entries.push_back(expect);
    }

    /// Puts a request back to the head.
    pub fn push_front(&mut self, expect: Expect) {
        self.entries.push_front(expect);
    }

    /// The request whose answer comes next.
    pub fn front(&self) -> Option<&Expect> {
        self.entries.front()
    }

    /// The request that was noted last.
    pub fn back(&self) -> Option<&Expect> {
        self.entries.back()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Expect> {
        self.entries.iter()
    }

    /// Whether there is one like this.
    pub fn any(&self, like: impl Fn(&Expect) -> bool) -> bool {
        self.entries.iter().any(like)
    }

    /// Takes the answered request off.
    pub fn pop(&mut self) -> Option<Expect> {
        let answered = self.entries.pop_front();
        while let Some(Expect::CopyEnd) = self.entries.front() {
            self.entries.pop_front();
        }
        answered
    }

    /// Gives up the memory of a queue that is empty, and is not going to be used soon.
    pub fn rest(&mut self) {
        if self.entries.is_empty() {
            self.entries = VecDeque::new();
        }
    }

    /// Takes the request off that was noted last.
    pub fn pop_last(&mut self) -> Option<Expect> {
        self.entries.pop_back()
    }

    /// Whether everything was answered.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many requests are unanswered.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether a reply of our own is due before the server says anything more.
    pub fn local_is_due(&self) -> bool {
        matches!(self.entries.front(), Some(Expect::Local(_)))
    }

    /// Writes the replies of our own that are due; `true` if there were any.
    pub fn write_due(&mut self, to_client: &mut BytesMut) -> bool {
        let mut any = false;
        while let Some(Expect::Local(local)) = self.entries.front() {
            to_client.extend_from_slice(local.message());
            self.pop();
            any = true;
        }
        any
    }

    /// Takes off all up to the next Sync: an error made the server skip them. `Sync` itself stays.
    pub fn take_skipped(&mut self) -> impl Iterator<Item = Expect> + '_ {
        let sync = self.entries.iter().position(|entry| matches!(entry, Expect::Sync));
        let end = sync.unwrap_or(self.entries.len());
        self.entries.drain(..end)
    }

    /// Whether a Sync is among the unanswered.
    pub fn has_sync(&self) -> bool {
        self.entries.iter().any(|entry| matches!(entry, Expect::Sync))
    }

    /// The first entry has begun COPY FROM STDIN: takes off what was sent behind it that the copy consumes. The server
    /// ignores Sync and Flush until the end of the data; anything that is no part of a copy ends it with an error
    /// (manual, "COPY Operations"). Answers with the number of Syncs, and with what ends the copy, if that was sent
    /// already.
    pub fn begin_copy(&mut self) -> (usize, Option<Expect>) {
        let (mut index, mut syncs) = (1, 0);
        loop {
            match self.entries.get(index) {
                Some(Expect::Local(_)) => index += 1,
                Some(Expect::Sync) => {
                    self.entries.remove(index);
                    syncs += 1;
                }
                _ => return (syncs, self.entries.remove(index)),
            }
        }
    }

    /// Whether nothing is unanswered but our own `SET`s and BEGIN.
    pub fn is_only_ours(&self) -> bool {
        self.entries.iter().all(|entry| matches!(entry, Expect::Parameters | Expect::Begin))
    }
}
