//! What batches that are not answered yet are to change.
//!
//! A batch is all up to a Sync. When a request fails PostgreSQL skips the rest of its batch, and runs the next one as if
//! nothing had been. So a batch may count on what stands before it in the same batch, with which it is run or skipped;
//! it may not count on what an earlier one, unanswered as yet, does to the client's names and the server's statements.
//! A message that needs to know waits for that answer. Who does not send several batches at once never waits.

use std::collections::HashMap;
use std::hash::Hash;

/// Room for this many changes is kept once there were more.
const USUAL: usize = 16;

/// The batches of one client, by number, and what the unanswered ones change.
#[derive(Debug, Default)]
pub struct Batches {
    /// How many the client has ended: the number of the one that it is sending.
    ended: u64,
    /// How many the server has answered: the number of the one that it is at.
    answered: u64,
    /// Which one changed the unnamed statement last.
    unnamed: u64,
    /// Which one changed a name of the client's.
    names: HashMap<Box<[u8]>, u64>,
    /// Which one prepared or closed a statement on the server, by the statement's number.
    statements: HashMap<u64, u64>,
}

impl Batches {
    /// The client has ended its batch.
    pub fn end(&mut self) {
        self.ended += 1;
    }

    /// The server has answered the first of the unanswered ones.
    pub fn answer(&mut self) {
        self.answered += 1;
        drop_answered(&mut self.names, self.answered);
        drop_answered(&mut self.statements, self.answered);
    }

    /// Nothing is unanswered any more.
    pub fn settle(&mut self) {
        *self = Self { ended: self.ended, answered: self.ended, ..Self::default() };
    }

    /// The batch under way changes what a name of the client's stands for.
    pub fn change_name(&mut self, name: &[u8]) {
        if name.is_empty() {
            self.unnamed = self.ended;
        } else {
            self.names.insert(name.into(), self.ended);
        }
    }

    /// The batch under way prepares or closes a statement on the server.
    pub fn change_statement(&mut self, id: u64) {
        self.statements.insert(id, self.ended);
    }

    /// Whether it depends on an earlier batch what the name stands for.
    pub fn name_is_open(&self, name: &[u8]) -> bool {
        self.several() && self.changed_by(name).is_some_and(|batch| self.is_earlier(batch))
    }

    /// Whether it depends on an earlier batch if the server holds the statement.
    pub fn statement_is_open(&self, id: u64) -> bool {
        self.several() && self.statements.get(&id).is_some_and(|batch| self.is_earlier(*batch))
    }

    /// Whether a later batch than the one that the server is at has changed the name.
    pub fn name_was_changed_since(&self, name: &[u8]) -> bool {
        self.changed_by(name).is_some_and(|batch| batch > self.answered)
    }

    /// Whether more than the batch under way is unanswered.
    pub fn several(&self) -> bool {
        self.answered < self.ended
    }

    fn is_earlier(&self, batch: u64) -> bool {
        (self.answered..self.ended).contains(&batch)
    }

    fn changed_by(&self, name: &[u8]) -> Option<u64> {
        if name.is_empty() { Some(self.unnamed) } else { self.names.get(name).copied() }
    }
}

fn drop_answered<K: Eq + Hash>(changes: &mut HashMap<K, u64>, answered: u64) {
    if !changes.is_empty() {
        changes.retain(|_, batch| *batch >= answered);
        changes.shrink_to(USUAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_open_to_later_batches_until_its_own_is_answered() {
        let mut batches = Batches::default();
        batches.change_name(b"a");
        batches.change_statement(7);
        assert!(!batches.name_is_open(b"a") && !batches.statement_is_open(7), "the same batch");
        batches.end();
        assert!(batches.name_is_open(b"a") && batches.statement_is_open(7));
        assert!(!batches.name_is_open(b"b") && !batches.statement_is_open(8));
        batches.change_name(b"b");
        batches.answer();
        assert!(!batches.name_is_open(b"a") && !batches.statement_is_open(7));
        batches.end();
        assert!(batches.name_is_open(b"b"));
        batches.settle();
        assert!(!batches.name_is_open(b"b") && !batches.several());
    }

    #[test]
    fn an_earlier_batch_does_not_undo_a_later_change() {
        let mut batches = Batches::default();
        batches.change_name(b"");
        batches.end();
        assert!(!batches.name_was_changed_since(b""));
        batches.change_name(b"");
        assert!(batches.name_was_changed_since(b""));
    }
}
