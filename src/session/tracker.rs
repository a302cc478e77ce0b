//! Which statement each request of one client is, and what came of it: for [`super::queries`].
//!
//! A simple query counts as one text, however many statements are in it, and ends with its ReadyForQuery. In the extended
//! protocol each Execute counts, by the text that its portal was bound to. When executions end is told here; when that was
//! is known by whoever has a clock ([`Session::take_executions`]).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use pgweir_codec::frontend;

use super::machine::{ServerState, Session};
use super::pipeline::Expect;
use super::prepared::Statement;
use super::queries::{Execution, Mark, Owner};

/// Most names of one kind that are remembered of a client whose statements pass through untouched, and most portals.
const MOST_NAMES: usize = 1000;

/// Room for this many executions is kept once there were more at a time.
const USUAL: usize = 16;

/// See the module's words. Only there while `track_queries` is on.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    /// The unnamed statement, unless it stands for a kept one.
    unnamed: Option<Mark>,
    /// The unnamed portal.
    bound: Option<Mark>,
    /// Statements that pass through untouched.
    names: HashMap<Box<[u8]>, Mark>,
    portals: HashMap<Box<[u8]>, Mark>,
    /// Of the answer under way.
    now: Execution,
    /// It ends with the message at hand, whose bytes are its own too.
    ends: Option<Ends>,
    finished: Vec<Finished>,
}

#[derive(Debug)]
enum Ends {
    /// An execution.
    Execution(Mark, Worth),
    /// A batch, behind its executions.
    Batch,
}

/// Whether it took time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Worth {
    Time,
    /// BEGIN does nothing yet.
    Nothing,
}

#[derive(Debug)]
struct Finished {
    mark: Mark,
    worth: Worth,
    execution: Execution,
}

fn remember(names: &mut HashMap<Box<[u8]>, Mark>, name: &[u8], mark: Option<Mark>) {
    match mark {
        Some(mark) if names.len() < MOST_NAMES || names.contains_key(name) => {
            names.insert(name.into(), mark);
        }
        _ => drop(names.remove(name)),
    }
}

impl Tracker {
    fn end(&mut self, mark: Option<Mark>, worth: Worth) {
        self.passed_on(0);
        match mark {
            Some(mark) => self.ends = Some(Ends::Execution(mark, worth)),
            None => self.now = Execution::default(),
        }
    }

    fn passed_on(&mut self, bytes: u64) {
        self.now.bytes += bytes;
        match self.ends.take() {
            Some(Ends::Execution(mark, worth)) => {
                let execution = std::mem::take(&mut self.now);
                self.finished.push(Finished { mark, worth, execution });
            }
            Some(Ends::Batch) => self.now = Execution::default(),
            None => {}
        }
    }
}

impl Session {
    /// Whose statements are counted.
    pub fn with_owner(mut self, owner: Arc<Owner>) -> Self {
        self.owner = Some(owner);
        self
    }

    /// Whether statements are counted now.
    pub(super) fn tracks(&mut self) -> bool {
        let on = self.owner.as_ref().is_some_and(|owner| owner.queries().is_on());
        if !on && self.tracker.is_some() {
            self.tracker = None;
        }
        on
    }

    fn mark(&self, text: &[u8], server: &ServerState) -> Option<Mark> {
        let owner = self.owner.as_ref()?;
        owner.mark(&server.host, owner.queries().number(text), text)
    }

    fn tracker(&mut self) -> &mut Tracker {
        self.tracker.get_or_insert_default()
    }

    /// A simple query goes to this server.
    pub(super) fn track_query(&mut self, text: &[u8], server: &ServerState) -> Option<Mark> {
        let mark = self.mark(text, server);
        let tracker = self.tracker();
        tracker.unnamed = None;
        mark
    }

    /// A Parse goes to this server as it is: nothing else knows what it stands for. `name` is empty for the unnamed one.
    pub(super) fn track_parse(&mut self, name: &[u8], text: &[u8], server: &ServerState) {
        let mark = self.mark(text, server);
        let tracker = self.tracker();
        match name {
            b"" => tracker.unnamed = mark,
            name => remember(&mut tracker.names, name, mark),
        }
    }

    /// A portal is made. `known`: of a statement that is known by its text.
    pub(super) fn track_bind(
        &mut self,
        portal: &[u8],
        name: &[u8],
        known: Option<&Statement>,
        server: &ServerState,
    ) {
        let mark = known.and_then(|known| {
            let owner = self.owner.as_ref()?;
            owner.mark(&server.host, known.number(owner.queries()), known.text())
        });
        let tracker = self.tracker();
        let mark = match (known, name) {
            (Some(_), _) => mark,
            (None, b"") => tracker.unnamed,
            (None, name) => tracker.names.get(name).copied(),
        };
        match portal {
            b"" => tracker.bound = mark,
            portal => remember(&mut tracker.portals, portal, mark),
        }
    }

    /// What an Execute with this body runs, and how many rows it wants at most.
    pub(super) fn track_execute(&mut self, body: &[u8]) -> (Option<Mark>, u32) {
        let tracker = self.tracker();
        let Some((portal, most)) = frontend::execute::peek(body) else { return (None, 0) };
        let mark = match portal {
            b"" => tracker.bound,
            portal => tracker.portals.get(portal).copied(),
        };
        (mark, u32::try_from(most).unwrap_or(0))
    }

    /// CommandComplete of the client's own request, with this tag.
    pub(super) fn track_complete(&mut self, tag: &[u8]) {
        let front = match self.pending.front() {
            Some(Expect::Execute { mark, .. }) => Some(*mark),
            _ => None,
        };
        let Some(tracker) = &mut self.tracker else { return };
        tracker.now.rows += rows_of(tag);
        if let Some(mark) = front {
            tracker.end(mark, if tag == b"BEGIN" { Worth::Nothing } else { Worth::Time });
        }
    }

    /// The answer to the Execute at the front of the queue is complete, without a tag.
    pub(super) fn track_suspended(&mut self, full: bool) {
        let Some(Expect::Execute { mark, most, .. }) = self.pending.front() else { return };
        let (mark, most) = (*mark, *most);
        let Some(tracker) = &mut self.tracker else { return };
        if full {
            tracker.now.rows += u64::from(most);
        }
        tracker.end(mark, Worth::Time);
    }

    /// ReadyForQuery to this request.
    pub(super) fn track_ready(&mut self, answered: Option<&Expect>, idle: bool) {
        let Some(tracker) = &mut self.tracker else { return };
        match answered {
            Some(Expect::Query { mark, .. }) => tracker.end(*mark, Worth::Time),
            Some(Expect::Sync) => {
                tracker.passed_on(0);
                tracker.ends = Some(Ends::Batch);
            }
            _ => tracker.end(None, Worth::Time),
        }
        if idle && !tracker.portals.is_empty() {
            tracker.portals = HashMap::new();
        }
    }

    /// An error. `skipped`: what the server skips because of it, if it is of the extended protocol; the first execution
    /// among it has failed.
    pub(super) fn track_error<'a>(&mut self, mut skipped: impl Iterator<Item = &'a Expect>) {
        let Some(tracker) = &mut self.tracker else { return };
        tracker.now.failed = true;
        let failed = skipped.find_map(|entry| match entry {
            Expect::Execute { mark, .. } => Some(*mark),
            _ => None,
        });
        if let Some(mark) = failed {
            tracker.end(mark, Worth::Time);
        }
    }

    /// The server is lost, or the client's patience: what runs there has failed.
    pub fn track_loss(&mut self) {
        let Some(tracker) = &mut self.tracker else { return };
        let running = self.pending.iter().find_map(|entry| match entry {
            Expect::Query { mark, .. } | Expect::Execute { mark, .. } => Some(*mark),
            _ => None,
        });
        if let Some(mark) = running {
            tracker.now.failed = true;
            tracker.end(mark, Worth::Time);
            tracker.passed_on(0);
        }
    }

    /// What was told of the answer under way does not count: the request is offered again.
    pub(super) fn track_again(&mut self) {
        if let Some(tracker) = &mut self.tracker {
            (tracker.now, tracker.ends) = (Execution::default(), None);
        }
    }

    /// So many bytes of the server's go on to the client: the message that was looked at last, and those behind it.
    pub fn passed_on(&mut self, bytes: usize) {
        if let Some(tracker) = &mut self.tracker {
            tracker.passed_on(bytes as u64);
        }
    }

    /// Whether executions have ended that were not taken.
    pub fn has_executions(&self) -> bool {
        self.tracker.as_ref().is_some_and(|tracker| !tracker.finished.is_empty())
    }

    /// Counts the executions that have ended. Their answers came together, after `took`: each has its share of it.
    pub fn take_executions(&mut self, took: Duration) {
        let (Some(owner), Some(tracker)) = (&self.owner, &mut self.tracker) else { return };
        let worth = |finished: &&Finished| finished.worth == Worth::Time;
        let sharers = tracker.finished.iter().filter(worth).count();
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        for finished in tracker.finished.drain(..) {
            let share = match finished.worth {
                Worth::Nothing if sharers > 0 => 0,
                _ => took / sharers.max(1) as u64,
            };
            owner.queries().count(finished.mark, Execution { us: share, ..finished.execution });
        }
        tracker.finished.shrink_to(USUAL);
    }
}

/// The rows that a command tag speaks of: the number at its end.
fn rows_of(tag: &[u8]) -> u64 {
    let digits = tag.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let number = tag.get(tag.len() - digits..).unwrap_or_default();
    std::str::from_utf8(number).ok().and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_the_number_at_a_tags_end() {
        for (tag, rows) in
            [("SELECT 17", 17), ("INSERT 0 3", 3), ("BEGIN", 0), ("", 0), ("COPY 100000", 100_000)]
        {
            assert_eq!(rows_of(tag.as_bytes()), rows, "{tag}");
        }
    }
}
