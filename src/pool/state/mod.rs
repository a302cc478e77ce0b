//! The books of one pool: which connections are idle, how many are in use or being opened, who waits.
//!
//! Pure: connections (`C`) and those who wait (`W`) are whatever the caller likes. Two rules hold at any time:
//! connections never exceed the size (after the size was lowered: none is added), and while somebody waits nothing
//! is idle that could be given out, so that nobody is overtaken. (What has to be checked first may be.)
//!
//! Idle connections may be *kept* for one client each, which was told their process ids and has not asked for anything
//! yet. Others are given a new connection sooner than one of these, but one of these sooner than none.
//!
//! What is given out and taken back is here; the queue, openings, what is kept and what goes have a file each.

mod kept;
mod leaving;
mod opening;
mod waiting;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

pub use opening::Need;
pub use waiting::Ticket;
use waiting::Waiting;

/// How many connections are opened at the same time once one has succeeded. Before that only one is tried, so that a
/// wrong password costs one refused login and not a pool's worth.
pub(super) const OPENING_AT_ONCE: u32 = 4;

/// Whether the pool gives out connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Yes.
    Open,
    /// No (PAUSE): who wants one waits, what is given back is closed.
    Paused,
    /// No: the host is gone or was deposed. Who wants one is turned away.
    Closed,
}

/// How many connections a pool may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// At most, as long as nobody waits too long; `None`: no limit.
    pub size: Option<u32>,
    /// Kept open while the pool is in use, as far as `size` allows.
    pub min: u32,
    /// Above `size`, for those who wait too long.
    pub reserve: u32,
    /// What too long is; `None`: the reserve is not used.
    pub reserve_after: Option<Duration>,
}

/// What became of a connection that was given back.
#[derive(Debug)]
pub enum Placed<C, W> {
    /// The first in the queue gets it.
    To(W, C),
    /// It is idle now.
    Idle,
    /// It is not wanted any more: close it.
    Close(C),
}

/// See the module's words.
#[derive(Debug)]
pub struct State<C, W> {
    sizes: Sizes,
    round_robin: bool,
    /// Unused for longer than this, a connection has to be checked before its use; `None`: none has.
    check_after: Option<Duration>,
    paused: bool,
    closed: bool,
    /// Least recently used first.
    idle: VecDeque<C>,
    /// Idle too, but each kept for a client; the one kept longest first.
    kept: VecDeque<C>,
    attached: u32,
    /// How many of the attached are being checked for those who wait.
    testing: u32,
    opening: u32,
    /// First come first.
    waiting: VecDeque<Waiting<W>>,
    last_ticket: u64,
    /// The last attempt to open a connection succeeded.
    proven: bool,
    /// No attempt before this.
    retry_at: Option<Instant>,
    /// When a connection was last retired for its age.
    retired_at: Option<Instant>,
}

impl<C, W> State<C, W> {
    /// An empty pool. `round_robin`: give out the connection that was idle longest, not the one used last.
    pub fn new(sizes: Sizes, round_robin: bool) -> Self {
        Self {
            sizes,
            round_robin,
            check_after: None,
            paused: false,
            closed: false,
            idle: VecDeque::new(),
            kept: VecDeque::new(),
            attached: 0,
            testing: 0,
            opening: 0,
            waiting: VecDeque::new(),
            last_ticket: 0,
            proven: false,
            retry_at: None,
            retired_at: None,
        }
    }

    /// Changes the limits. Connections beyond a lowered size go when they are next idle; see [`Self::surplus`].
    pub fn resize(&mut self, sizes: Sizes, round_robin: bool) {
        self.sizes = sizes;
        self.round_robin = round_robin;
    }

    /// Changes when connections have to be checked.
    pub fn check_after(&mut self, check_after: Option<Duration>) {
        self.check_after = check_after;
    }

    /// Begins or ends a pause. What follows for those who wait and for idle connections is the caller's.
    pub fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// Whether it is paused, closed or not.
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// Closes the pool because its host is gone, or opens it again. A pause outlasts that.
    pub fn set_closed(&mut self, closed: bool) {
        self.closed = closed;
        self.retry_at = None;
    }

    /// Whether it gives out connections.
    pub fn admission(&self) -> Admission {
        match (self.closed, self.paused) {
            (true, _) => Admission::Closed,
            (false, true) => Admission::Paused,
            (false, false) => Admission::Open,
        }
    }

    /// Connections that are idle, kept ones included.
    pub fn idle(&self) -> u32 {
        u32::try_from(self.idle.len() + self.kept.len()).unwrap_or(u32::MAX)
    }

    /// Connections that clients hold.
    pub fn attached(&self) -> u32 {
        self.attached
    }

    /// Connections that are being checked; they count as attached too.
    pub fn testing(&self) -> u32 {
        self.testing
    }

    /// Connections that are being opened.
    pub fn opening(&self) -> u32 {
        self.opening
    }

    /// All connections, those being opened included.
    pub fn total(&self) -> u32 {
        self.idle() + self.attached + self.opening
    }

    /// Whether no connection is left that could serve somebody.
    pub fn has_none(&self) -> bool {
        self.idle() + self.attached == 0
    }

    /// The limit, without the reserve.
    pub fn size(&self) -> Option<u32> {
        self.sizes.size
    }

    /// Whether [`Self::take`] would give one out. To be asked under the same lock as [`Self::enqueue`]: a connection that
    /// came to rest after the last attempt to take one would lie idle, and who queues would wait for nothing.
    pub fn has_for_taking(&self, unused: impl Fn(&C) -> Duration) -> bool {
        let fresh = |idle: &C| self.check_after.is_none_or(|limit| unused(idle) <= limit);
        self.admission() == Admission::Open
            && self.waiting.is_empty()
            && if self.round_robin {
                self.idle.iter().any(fresh)
            } else {
                self.idle.back().is_some_and(fresh)
            }
    }

    /// Gives out an idle connection, if possible one that `near` likes. `unused` says for how long one was; those that
    /// have to be checked first stay, see [`Self::take_for_check`].
    pub fn take(
        &mut self,
        unused: impl Fn(&C) -> Duration,
        near: impl Fn(&C) -> bool,
    ) -> Option<C> {
        if self.admission() != Admission::Open || !self.waiting.is_empty() {
            return None;
        }
        let check_after = self.check_after;
        let fresh = |idle: &C| check_after.is_none_or(|limit| unused(idle) <= limit);
        let index = if self.round_robin {
            self.idle.iter().position(fresh)?
        } else {
            // The one used last is last.
            let good = self.idle.iter().rposition(|idle| near(idle) && fresh(idle));
            match good {
                Some(index) => index,
                None => self
                    .idle
                    .len()
                    .checked_sub(1)
                    .filter(|_| self.idle.back().is_some_and(fresh))?,
            }
        };
        let taken = self.idle.remove(index);
        self.attached += u32::from(taken.is_some());
        taken
    }

    /// An idle connection to be checked for somebody who waits: what is idle while somebody waits was unused for too
    /// long. It counts as attached until it is given back or closed, and as tested until [`Self::tested`].
    pub fn take_for_check(&mut self) -> Option<C> {
        if self.admission() != Admission::Open || self.waiting() <= self.opening + self.testing {
            return None;
        }
        let taken = if self.round_robin { self.idle.pop_front() } else { self.idle.pop_back() };
        self.attached += u32::from(taken.is_some());
        self.testing += u32::from(taken.is_some());
        taken
    }

    /// A check is over; the connection is given back or closed next.
    pub fn tested(&mut self) {
        self.testing -= 1;
    }

    /// A connection comes back fit for use.
    pub fn release(&mut self, connection: C) -> Placed<C, W> {
        if self.admission() != Admission::Open || self.has_too_many() {
            self.attached -= 1;
            return Placed::Close(connection);
        }
        match self.waiting.pop_front() {
            Some(first) => Placed::To(first.waiter, connection),
            None => {
                self.attached -= 1;
                self.idle.push_back(connection);
                Placed::Idle
            }
        }
    }

    /// A connection that was attached is closed.
    pub fn closed(&mut self) {
        self.attached -= 1;
    }

    /// Whether one more would be within the size.
    fn has_place(&self) -> bool {
        self.sizes.size.is_none_or(|size| self.total() < size)
    }

    /// Whether the size was lowered, and one has to go.
    fn has_too_many(&self) -> bool {
        self.most().is_some_and(|most| self.total() > most)
    }

    /// The limit with the reserve.
    fn most(&self) -> Option<u32> {
        self.sizes.size.map(|size| size.saturating_add(self.sizes.reserve))
    }
}

#[cfg(test)]
mod tests;
