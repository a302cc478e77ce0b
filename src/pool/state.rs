//! The books of one pool: which connections are idle, how many are in use or being opened, who waits.
//!
//! Pure: connections (`C`) and those who wait (`W`) are whatever the caller likes. Two rules hold at any time:
//! connections never exceed the size (after the size was lowered: none is added), and while somebody waits nothing
//! is idle that could be given out, so that nobody is overtaken. (What has to be checked first may be.)
//!
//! Idle connections may be *kept* for one client each, which was told their process ids and has not asked for anything
//! yet. Others are given a new connection sooner than one of these, but one of these sooner than none.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

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

/// Why a connection is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Somebody waits, and the size allows it.
    Waiter,
    /// Somebody has waited so long that the reserve is there for him.
    Reserve,
    /// There are fewer than should be kept.
    Minimum,
}

/// A place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u64);

impl Ticket {
    /// Of somebody who did not have to queue.
    pub const NONE: Self = Self(0);
}

#[derive(Debug)]
struct Waiting<W> {
    ticket: u64,
    since: Instant,
    /// It was told that it waits.
    told: bool,
    waiter: W,
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

    /// How many wait.
    pub fn waiting(&self) -> u32 {
        u32::try_from(self.waiting.len()).unwrap_or(u32::MAX)
    }

    /// Who waits and since when, first come first.
    pub fn queue(&self) -> impl Iterator<Item = (&W, Instant)> {
        self.waiting.iter().map(|waiting| (&waiting.waiter, waiting.since))
    }

    /// Since when the first in the queue waits.
    pub fn first_waits_since(&self) -> Option<Instant> {
        self.waiting.front().map(|first| first.since)
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

    /// No attempt to open a connection before this.
    pub fn retry_at(&self) -> Option<Instant> {
        self.retry_at
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

    /// Lines somebody up, behind all others.
    pub fn enqueue(&mut self, waiter: W, now: Instant) -> Ticket {
        self.last_ticket += 1;
        self.waiting.push_back(Waiting {
            ticket: self.last_ticket,
            since: now,
            told: false,
            waiter,
        });
        Ticket(self.last_ticket)
    }

    /// Somebody gives up waiting; `false` if he was served in the meantime.
    pub fn leave(&mut self, ticket: Ticket) -> bool {
        match self.waiting.binary_search_by_key(&ticket.0, |waiting| waiting.ticket) {
            Ok(index) => self.waiting.remove(index).is_some(),
            Err(_) => false,
        }
    }

    /// Whether anything can be done for those who wait but to let them wait. In a busy pool of full size nothing can:
    /// that is the common case, and costs no more than this look.
    pub fn can_serve_more(&self, now: Instant) -> bool {
        self.admission() == Admission::Open
            && !self.waiting.is_empty()
            && (self.idle() > 0 || self.wants(now).is_some())
    }

    /// Whether one more connection is to be opened now for somebody who waits.
    pub fn wants(&self, now: Instant) -> Option<Need> {
        let at_once = if self.proven { OPENING_AT_ONCE } else { 1 };
        if !self.may_open(now) || self.opening >= at_once {
            return None;
        }
        // Those before him have one on its way.
        let next = self.waiting.get((self.opening + self.testing) as usize)?;
        let Some(size) = self.sizes.size else { return Some(Need::Waiter) };
        if self.total() < size {
            return Some(Need::Waiter);
        }
        let waited = now.saturating_duration_since(next.since);
        let too_long = self.sizes.reserve_after.is_some_and(|limit| waited >= limit);
        (too_long && self.total() < size.saturating_add(self.sizes.reserve))
            .then_some(Need::Reserve)
    }

    /// Whether one more connection is to be opened now so that the least number is kept.
    pub fn wants_minimum(&self, now: Instant) -> Option<Need> {
        let least = self.sizes.size.map_or(self.sizes.min, |size| self.sizes.min.min(size));
        let wanted = self.may_open(now) && self.opening == 0 && self.total() < least;
        wanted.then_some(Need::Minimum)
    }

    fn may_open(&self, now: Instant) -> bool {
        self.admission() == Admission::Open && self.retry_at.is_none_or(|at| at <= now)
    }

    /// One more connection is being opened. It counts from now on, until [`Self::opened`] or [`Self::open_failed`].
    pub fn begin_opening(&mut self) {
        self.opening += 1;
    }

    /// A connection was opened; it counts as attached until it is placed by [`Self::release`].
    pub fn opened(&mut self) {
        self.opening -= 1;
        self.attached += 1;
        self.proven = true;
        self.retry_at = None;
    }

    /// A connection could not be opened.
    pub fn open_failed(&mut self, retry_at: Instant) {
        self.opening -= 1;
        self.proven = false;
        self.retry_at = Some(retry_at);
    }

    /// Whether one more connection may be opened for a client that logs in, and only to be kept for it. Where the size has
    /// no limit every idle client would take one of PostgreSQL's: not there.
    pub fn may_open_to_keep(&self, now: Instant) -> bool {
        self.may_open(now)
            && self.waiting.len() < self.coming(now)
            && (self.proven || self.opening == 0)
            && self.sizes.size.is_some_and(|size| self.total() < size)
    }

    /// Whether a connection that is open already, in another process, may become one of these. A pause does not matter.
    pub fn may_adopt(&self) -> bool {
        !self.closed && self.sizes.size.is_none_or(|size| self.total() < size)
    }

    /// Whether one more connection may be opened for somebody who passes the queue by, as nobody is in it.
    pub fn has_room(&self, now: Instant) -> bool {
        self.may_open(now)
            && self.waiting.is_empty()
            && self.sizes.size.is_none_or(|size| self.total() < size)
    }

    /// A connection that was attached and never used is kept for a client. If somebody waits for whom there will be no
    /// other, he is served instead.
    pub fn keep(&mut self, connection: C, now: Instant) -> Placed<C, W> {
        let surplus = self.most().is_some_and(|most| self.total() > most);
        if self.lacks(now) || surplus || self.admission() != Admission::Open {
            return self.release(connection);
        }
        self.attached -= 1;
        self.kept.push_back(connection);
        Placed::Idle
    }

    /// Whether somebody waits who will get no connection without a kept one.
    pub fn lacks(&self, now: Instant) -> bool {
        self.waiting.len() > self.coming(now)
    }

    /// How many connections those who wait will get without a kept one: on their way, or still to be opened.
    fn coming(&self, now: Instant) -> usize {
        let room = match self.sizes.size {
            _ if !self.may_open(now) => 0,
            Some(size) => size.saturating_sub(self.total()) as usize,
            None => usize::MAX,
        };
        self.on_their_way().saturating_add(room)
    }

    fn on_their_way(&self) -> usize {
        (self.opening + self.testing) as usize + self.idle.len()
    }

    /// What is kept, for a look.
    pub fn all_kept(&mut self) -> impl Iterator<Item = &mut C> {
        self.kept.iter_mut()
    }

    /// Takes out what was kept for somebody, if it is still there. It counts as attached from now on.
    pub fn take_kept(&mut self, is_his: impl Fn(&C) -> bool) -> Option<C> {
        let index = self.kept.iter().position(is_his)?;
        let taken = self.kept.remove(index);
        self.attached += u32::from(taken.is_some());
        taken
    }

    /// Lets as many kept connections go as there are people waiting who will get no other; they are idle like any other
    /// then, to be checked ([`Self::take_for_check`]). `full`: none may be opened, because of limits over several pools.
    /// `false` if there is nothing to do.
    pub fn free_kept(&mut self, full: bool, now: Instant) -> bool {
        if self.admission() != Admission::Open {
            return false;
        }
        let coming = if full { self.on_their_way() } else { self.coming(now) };
        let lacking = self.waiting.len().saturating_sub(coming).min(self.kept.len());
        self.idle.extend(self.kept.drain(..lacking));
        lacking > 0
    }

    /// A connection comes back fit for use.
    pub fn release(&mut self, connection: C) -> Placed<C, W> {
        let surplus = self.most().is_some_and(|most| self.total() > most);
        if self.admission() != Admission::Open || surplus {
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

    /// Whether a connection of this age may be retired now: retirements of one pool are kept apart by
    /// `lifetime / size`, so that a pool does not lose all its connections at once. If so, the caller closes it.
    pub fn retire(&mut self, age: Duration, lifetime: Duration, now: Instant) -> bool {
        if lifetime.is_zero() {
            return true;
        }
        let apart = lifetime / self.sizes.size.unwrap_or_else(|| self.total()).max(1);
        let due = age >= lifetime
            && self.retired_at.is_none_or(|last| now.saturating_duration_since(last) >= apart);
        if due {
            self.retired_at = Some(now);
        }
        due
    }

    /// Takes out those who have waited for `limit` or longer, first come first.
    pub fn expire(&mut self, now: Instant, limit: Duration) -> Vec<(W, Duration)> {
        let waited = |waiting: &Waiting<W>| now.saturating_duration_since(waiting.since);
        let count = self.waiting.iter().take_while(|waiting| waited(waiting) >= limit).count();
        self.waiting
            .drain(..count)
            .map(|gone| (gone.waiter, now.saturating_duration_since(gone.since)))
            .collect()
    }

    /// Those who have waited for `limit` or longer and were not told so yet; each is named once.
    pub fn untold(&mut self, now: Instant, limit: Duration) -> impl Iterator<Item = &W> {
        self.waiting
            .iter_mut()
            .take_while(move |waiting| now.saturating_duration_since(waiting.since) >= limit)
            .filter(|waiting| !waiting.told)
            .map(|waiting| {
                waiting.told = true;
                &waiting.waiter
            })
    }

    /// Sends everybody home.
    pub fn take_waiting(&mut self) -> Vec<W> {
        self.waiting.drain(..).map(|gone| gone.waiter).collect()
    }

    /// Takes out the idle connections that are not to stay, longest idle first, with the reason for each.
    pub fn take_idle<R>(&mut self, mut reason: impl FnMut(&mut C) -> Option<R>) -> Vec<(C, R)> {
        let mut gone = Vec::new();
        for list in [&mut self.idle, &mut self.kept] {
            for mut connection in std::mem::take(list) {
                match reason(&mut connection) {
                    Some(reason) => gone.push((connection, reason)),
                    None => list.push_back(connection),
                }
            }
        }
        gone
    }

    /// Takes out the oldest idle connection, if it may be retired for its age.
    pub fn take_oldest(
        &mut self,
        age: impl Fn(&C) -> Duration,
        lifetime: Duration,
        now: Instant,
    ) -> Option<C> {
        let (index, oldest) = self.all_idle().map(&age).enumerate().max_by_key(|(_, age)| *age)?;
        if oldest < lifetime || !self.retire(oldest, lifetime, now) {
            return None;
        }
        match index.checked_sub(self.idle.len()) {
            None => self.idle.remove(index),
            Some(index) => self.kept.remove(index),
        }
    }

    /// Takes out idle connections beyond a lowered size.
    pub fn surplus(&mut self) -> Vec<C> {
        let Some(most) = self.most() else { return Vec::new() };
        let count = self.total().saturating_sub(most) as usize;
        let idle = count.min(self.idle.len());
        let kept = (count - idle).min(self.kept.len());
        self.idle.drain(..idle).chain(self.kept.drain(..kept)).collect()
    }

    /// How many connections may go without leaving fewer than should be kept.
    pub fn spare(&self) -> u32 {
        (self.idle() + self.attached).saturating_sub(self.sizes.min)
    }

    /// What is idle, kept ones included.
    pub fn all_idle(&self) -> impl Iterator<Item = &C> {
        self.idle.iter().chain(&self.kept)
    }

    /// The connection that was idle longest; a kept one only if no other is.
    pub fn longest_idle(&self) -> Option<&C> {
        self.all_idle().next()
    }

    /// Takes out the connection that was idle longest; a kept one only if no other is.
    pub fn take_longest_idle(&mut self) -> Option<C> {
        self.idle.pop_front().or_else(|| self.kept.pop_front())
    }

    /// The limit with the reserve.
    fn most(&self) -> Option<u32> {
        self.sizes.size.map(|size| size.saturating_add(self.sizes.reserve))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Books = State<u32, &'static str>;

    #[expect(clippy::disallowed_methods, reason = "any moment will do")]
    fn start() -> Instant {
        Instant::now()
    }

    fn sized(size: Option<u32>) -> Sizes {
        Sizes { size, ..Sizes::default() }
    }

    /// Begins to open a connection, if one is wanted for somebody who waits.
    fn begin<C, W>(state: &mut State<C, W>, now: Instant) -> bool {
        let wanted = state.wants(now).is_some();
        if wanted {
            state.begin_opening();
        }
        wanted
    }

    fn opened(state: &mut Books, connection: u32) -> Placed<u32, &'static str> {
        state.opened();
        state.release(connection)
    }

    #[test]
    fn who_came_first_is_served_first_and_nobody_is_overtaken() {
        let now = start();
        let mut state = Books::new(sized(Some(1)), false);
        state.enqueue("first", now);
        state.enqueue("second", now);
        assert!(begin(&mut state, now));
        assert!(!begin(&mut state, now), "the size is reached");
        assert!(matches!(opened(&mut state, 7), Placed::To("first", 7)));
        assert_eq!(
            state.take(|_| Duration::ZERO, |_| true),
            None,
            "a newcomer must queue behind the second"
        );
        assert!(matches!(state.release(7), Placed::To("second", 7)));
        assert!(matches!(state.release(7), Placed::Idle));
        assert_eq!(state.take(|_| Duration::ZERO, |_| true), Some(7));
    }

    #[test]
    fn who_queues_learns_of_a_connection_that_came_to_rest_in_the_meantime() {
        let now = start();
        let unused = |_: &u32| Duration::ZERO;
        let mut state = Books::new(sized(Some(1)), false);
        assert!(!state.has_for_taking(unused));
        state.enqueue("first", now);
        assert!(begin(&mut state, now));
        assert!(matches!(opened(&mut state, 7), Placed::To("first", 7)));
        assert!(!state.has_for_taking(unused), "the second looks");
        assert!(matches!(state.release(7), Placed::Idle));
        assert!(state.has_for_taking(unused), "and looks again before queueing");
        state.enqueue("second", now);
        assert!(!state.has_for_taking(unused), "nobody overtakes who queues");
    }

    #[test]
    fn a_near_connection_is_preferred_and_else_the_one_used_last() {
        let mut state = Books::new(sized(None), false);
        for connection in [1, 2, 3] {
            state.enqueue("x", start());
            assert!(begin(&mut state, start()));
            assert!(matches!(opened(&mut state, connection), Placed::To(..)));
        }
        for connection in [1, 2, 3] {
            assert!(matches!(state.release(connection), Placed::Idle));
        }
        assert_eq!(state.take(|_| Duration::ZERO, |connection| *connection == 2), Some(2));
        assert_eq!(state.take(|_| Duration::ZERO, |connection| *connection == 9), Some(3));
        state.resize(sized(None), true);
        assert!(matches!(state.release(3), Placed::Idle));
        assert_eq!(
            state.take(|_| Duration::ZERO, |_| true),
            Some(1),
            "round robin: idle longest first"
        );
    }

    #[test]
    fn until_one_has_succeeded_only_one_is_tried_and_after_a_failure_not_before_its_time() {
        let now = start();
        let mut state = Books::new(sized(Some(9)), false);
        for _ in 0..9 {
            state.enqueue("x", now);
        }
        assert!(begin(&mut state, now) && !begin(&mut state, now));
        let later = now + Duration::from_secs(15);
        state.open_failed(later);
        assert!(!begin(&mut state, now) && begin(&mut state, later));
        state.opened();
        let attempts = (0..9).filter(|_| begin(&mut state, later)).count();
        assert_eq!(attempts, OPENING_AT_ONCE as usize);
    }

    #[test]
    fn a_paused_pool_takes_back_to_close_and_lets_wait() {
        let now = start();
        let mut state = Books::new(sized(Some(2)), false);
        state.enqueue("x", now);
        assert!(begin(&mut state, now));
        assert!(matches!(opened(&mut state, 1), Placed::To(..)));
        state.set_paused(true);
        state.enqueue("y", now);
        assert!(!begin(&mut state, now));
        assert!(matches!(state.release(1), Placed::Close(1)));
        assert_eq!((state.total(), state.waiting()), (0, 1));
        state.set_paused(false);
        assert!(begin(&mut state, now));
    }

    #[test]
    fn those_who_waited_too_long_leave_in_order_and_a_ticket_is_good_once() {
        let now = start();
        let mut state = Books::new(sized(Some(1)), false);
        state.enqueue("a", now);
        let ticket = state.enqueue("b", now + Duration::from_secs(1));
        state.enqueue("c", now + Duration::from_secs(2));
        assert!(state.leave(ticket) && !state.leave(ticket));
        let limit = Duration::from_secs(10);
        let expired = state.expire(now + Duration::from_secs(11), limit);
        assert_eq!(expired, [("a", Duration::from_secs(11))]);
        assert_eq!(state.waiting(), 1);
        state.enqueue("d", now + Duration::from_secs(11));
        let mut told = |seconds| {
            let now = now + Duration::from_secs(seconds);
            state.untold(now, Duration::from_secs(5)).copied().collect::<Vec<_>>()
        };
        assert_eq!((told(11), told(12), told(16)), (vec!["c"], vec![], vec!["d"]), "each once");
    }

    #[test]
    fn a_lowered_size_takes_effect_on_idle_ones_and_at_release() {
        let now = start();
        let mut state = Books::new(sized(Some(3)), false);
        for connection in 0..3 {
            state.enqueue("x", now);
            assert!(begin(&mut state, now));
            assert!(matches!(opened(&mut state, connection), Placed::To(..)));
        }
        assert!(matches!(state.release(0), Placed::Idle));
        state.resize(sized(Some(1)), false);
        assert_eq!(state.surplus(), [0]);
        assert!(matches!(state.release(1), Placed::Close(1)));
        assert!(matches!(state.release(2), Placed::Idle));
    }

    #[test]
    fn what_was_unused_for_long_is_checked_first_one_for_each_who_waits() {
        let now = start();
        let mut state = Books::new(sized(Some(3)), false);
        for connection in [1, 2, 3] {
            state.enqueue("x", now);
            assert!(begin(&mut state, now));
            assert!(matches!(opened(&mut state, connection), Placed::To(..)));
        }
        for connection in [1, 2, 3] {
            assert!(matches!(state.release(connection), Placed::Idle));
        }
        // Number 3 is the only one that was used of late.
        let unused = |c: &u32| Duration::from_secs(if *c == 3 { 30 } else { 31 });
        state.check_after(Some(Duration::from_secs(30)));
        assert_eq!(state.take(unused, |c| *c == 1), Some(3), "a fresh one, though far");
        assert_eq!(state.take(unused, |_| true), None, "none is fresh");
        assert_eq!(state.take_for_check(), None, "nobody waits");
        state.enqueue("first", now);
        assert_eq!((state.take_for_check(), state.take_for_check()), (Some(2), None));
        assert_eq!((state.testing(), state.wants(now)), (1, None), "it is on its way");
        state.enqueue("second", now);
        state.tested();
        state.closed();
        assert_eq!(state.take_for_check(), Some(1), "the next one, as that one failed");
        assert_eq!(state.wants(now), Some(Need::Waiter), "and a new one for the second");
        state.tested();
        assert!(matches!(state.release(1), Placed::To("first", 1)));
        state.resize(sized(Some(3)), true);
        assert!(matches!(state.release(3), Placed::To("second", 3)));
        for connection in [1, 3] {
            assert!(matches!(state.release(connection), Placed::Idle));
        }
        assert_eq!(state.take(unused, |_| true), Some(3), "round robin asks as well");
        assert_eq!(state.take(unused, |_| true), None);
        state.check_after(None);
        assert_eq!(state.take(unused, |_| false), Some(1));
    }

    #[test]
    fn the_reserve_is_for_those_who_have_waited_too_long() {
        let (now, patience) = (start(), Duration::from_secs(5));
        let reserve_after = Some(patience);
        let sizes = Sizes { size: Some(1), reserve: 2, reserve_after, ..Sizes::default() };
        let mut state = Books::new(sizes, false);
        state.enqueue("served", now);
        assert_eq!(state.wants(now), Some(Need::Waiter));
        state.begin_opening();
        assert!(matches!(opened(&mut state, 1), Placed::To(..)));
        state.enqueue("first", now);
        state.enqueue("second", now + Duration::from_secs(1));
        assert_eq!(state.wants(now + Duration::from_secs(4)), None);
        assert_eq!(state.wants(now + patience), Some(Need::Reserve));
        state.begin_opening();
        assert_eq!(state.wants(now + patience), None, "the second has not waited long enough");
        assert_eq!(state.wants(now + Duration::from_secs(6)), Some(Need::Reserve));
        state.begin_opening();
        state.enqueue("third", now);
        assert_eq!(state.wants(now + Duration::from_secs(9)), None, "that was the reserve");
        assert!(matches!(opened(&mut state, 2), Placed::To("first", 2)));
        assert!(matches!(opened(&mut state, 3), Placed::To("second", 3)));
        state.resize(Sizes { reserve_after: None, reserve: 9, ..sizes }, false);
        assert_eq!(state.wants(now + Duration::from_secs(99)), None, "the reserve is off");
        state.resize(Sizes { reserve: 0, ..sizes }, false);
        assert!(matches!(state.release(1), Placed::Close(1)), "the reserve is gone");
    }

    /// A pool of this size whose only connection is number 1, just opened.
    fn with_one_kept(size: u32, now: Instant) -> Books {
        let mut state = Books::new(sized(Some(size)), false);
        assert!(state.may_open_to_keep(now));
        state.begin_opening();
        assert!(!state.may_open_to_keep(now), "none has succeeded yet");
        state.opened();
        assert!(matches!(state.keep(1, now), Placed::Idle));
        assert_eq!((state.idle(), state.attached(), state.total()), (1, 0, 1));
        state
    }

    #[test]
    fn what_is_kept_goes_to_its_client_and_to_others_only_when_nothing_else_is_on_its_way() {
        let (now, unused) = (start(), |_: &u32| Duration::ZERO);
        let mut state = with_one_kept(2, now);
        assert_eq!(state.take(unused, |_| true), None, "others are not given it at once");
        assert!(!state.free_kept(false, now), "nobody waits");
        state.enqueue("first", now);
        assert!(!state.free_kept(false, now), "one can be opened for him");
        assert!(begin(&mut state, now));
        assert!(!state.free_kept(true, now), "one is being opened for him");
        assert_eq!((state.take_kept(|c| *c == 9), state.take_kept(|c| *c == 1)), (None, Some(1)));
        assert_eq!(state.attached(), 1);
        assert!(matches!(state.keep(1, now), Placed::Idle));
        assert!(matches!(opened(&mut state, 2), Placed::To("first", 2)));
        state.enqueue("second", now);
        state.enqueue("third", now);
        state.enqueue("fourth", now);
        assert!(matches!(state.keep(2, now), Placed::To("second", 2)), "who waits goes first");
        assert!(!begin(&mut state, now) && state.free_kept(false, now));
        assert!(!state.free_kept(false, now), "that was all");
        assert_eq!(state.take_kept(|c| *c == 1), None, "it is kept for nobody any more");
        assert_eq!((state.take_for_check(), state.take_for_check()), (Some(1), None));
        assert_eq!(state.take(unused, |_| true), None);
        assert!(!state.may_open_to_keep(now), "two wait");
    }

    #[test]
    fn what_is_kept_is_let_go_when_none_can_be_opened_for_who_waits() {
        let now = start();
        for reason in ["other pools", "a failure"] {
            let mut state = with_one_kept(2, now);
            state.enqueue("waits", now);
            if reason == "a failure" {
                assert!(begin(&mut state, now));
                state.open_failed(now + Duration::from_secs(15));
            }
            assert!(state.free_kept(reason == "other pools", now), "{reason}");
            assert_eq!(state.take_for_check(), Some(1), "{reason}");
        }
    }

    #[test]
    fn what_is_kept_is_closed_like_anything_idle() {
        let now = start();
        let mut state = with_one_kept(1, now);
        assert!(!state.may_open_to_keep(now) && !state.has_none(), "that is the size");
        state.resize(sized(None), false);
        assert!(!state.may_open_to_keep(now), "there would be no end to it");
        assert_eq!(state.take_idle(|_| Some(())), [(1, ())]);
        let mut state = with_one_kept(1, now);
        assert_eq!(state.longest_idle().copied(), Some(1));
        assert_eq!(state.take_longest_idle(), Some(1));
        assert!(state.has_none());
        let mut state = with_one_kept(1, now);
        let (age, lifetime) = (Duration::from_secs(9), Duration::from_secs(8));
        assert_eq!(state.take_oldest(|_| age, age + age, now), None);
        assert_eq!(state.take_oldest(|_| age, lifetime, now), Some(1));
        let mut state = with_one_kept(1, now);
        state.resize(sized(Some(0)), false);
        assert_eq!(state.surplus(), [1]);
        let mut state = with_one_kept(1, now);
        state.set_paused(true);
        state.enqueue("waits", now);
        assert!(!state.free_kept(true, now), "nothing is given out in a pause");
        assert_eq!(state.take_kept(|_| true), Some(1));
        assert!(matches!(state.keep(1, now), Placed::Close(1)));
    }

    #[test]
    fn the_minimum_is_opened_one_at_a_time_and_never_above_the_size() {
        let now = start();
        let mut state = Books::new(Sizes { size: Some(2), min: 5, ..Sizes::default() }, false);
        for connection in [1, 2] {
            assert_eq!(state.wants_minimum(now), Some(Need::Minimum));
            state.begin_opening();
            assert_eq!(state.wants_minimum(now), None, "one is on its way");
            assert!(matches!(opened(&mut state, connection), Placed::Idle));
        }
        assert_eq!((state.wants_minimum(now), state.spare()), (None, 0));
        state.set_paused(true);
        assert_eq!(state.take_longest_idle(), Some(1));
        assert_eq!(state.wants_minimum(now), None, "not in a pause");
        state.set_paused(false);
        state.resize(Sizes { min: 1, ..Sizes::default() }, false);
        assert_eq!((state.wants_minimum(now), state.spare()), (None, 0));
        state.resize(Sizes::default(), false);
        assert_eq!(state.spare(), 1);
    }

    #[test]
    fn connections_of_one_age_are_not_retired_all_at_once() {
        let now = start();
        let mut state = Books::new(sized(Some(10)), false);
        let (age, lifetime) = (Duration::from_secs(101), Duration::from_secs(100));
        assert!(state.retire(age, lifetime, now));
        assert!(!state.retire(age, lifetime, now + Duration::from_secs(9)));
        assert!(state.retire(age, lifetime, now + Duration::from_secs(10)));
        assert!(
            state.retire(Duration::ZERO, Duration::ZERO, now),
            "a lifetime of 0 means: use once"
        );
    }

    proptest! {
        /// Random events: the size is never exceeded, nothing that could be given out is idle while somebody waits,
        /// nothing gets lost. `stale`: whatever is idle has to be checked first. What is kept is idle only while as many
        /// others can be had as wait. `full`: none can be opened for these.
        #[test]
        fn the_rules_hold_whatever_happens(
            size in 1_u32..5,
            stale: bool,
            full: bool,
            events in proptest::collection::vec(0_u8..12, 0..200),
        ) {
            let now = start();
            let mut state: State<u32, u32> = State::new(sized(Some(size)), false);
            state.check_after(stale.then_some(Duration::ZERO));
            let unused = |_: &u32| Duration::from_secs(1);
            let (mut held, mut named, mut queued, mut checked) = (Vec::new(), 0, Vec::new(), Vec::new());
            for event in events {
                // A connection that is fit for use.
                let mut back = None;
                match event {
                    0 => match state.take(unused, |_| true) {
                        Some(connection) => held.push(connection),
                        None => queued.push(state.enqueue(0, now)),
                    },
                    1 => back = held.pop(),
                    2 => { begin(&mut state, now); }
                    9 => if let Some(connection) = held.pop() {
                        match state.keep(connection, now) {
                            Placed::To(_, connection) => { held.push(connection); queued.remove(0); }
                            Placed::Idle => {}
                            Placed::Close(_) => prop_assert!(false, "nothing was paused or shrunk"),
                        }
                    },
                    10 => held.extend(state.take_kept(|_| true)),
                    11 if state.may_open_to_keep(now) => state.begin_opening(),
                    3 if state.opening() > 0 => {
                        state.opened();
                        named += 1;
                        back = Some(named);
                    }
                    4 if state.opening() > 0 => state.open_failed(now),
                    5 if held.pop().is_some() => state.closed(),
                    6 => if let Some(ticket) = queued.pop() { prop_assert!(state.leave(ticket)); },
                    7 => {
                        back = checked.pop();
                        if back.is_some() { state.tested(); }
                    }
                    8 if checked.pop().is_some() => {
                        state.tested();
                        state.closed();
                    }
                    _ => {}
                }
                if let Some(connection) = back {
                    match state.release(connection) {
                        Placed::To(_, connection) => { held.push(connection); queued.remove(0); }
                        Placed::Idle => {}
                        Placed::Close(_) => prop_assert!(false, "nothing was paused or shrunk"),
                    }
                }
                let freed = state.free_kept(full, now);
                while let Some(connection) = state.take_for_check() {
                    prop_assert!(stale || freed, "what is fresh is given out");
                    checked.push(connection);
                }
                prop_assert!(state.total() <= size);
                prop_assert_eq!(state.attached() as usize, held.len() + checked.len());
                prop_assert_eq!(state.testing() as usize, checked.len());
                prop_assert_eq!(state.waiting() as usize, queued.len());
                let (kept, coming) = (state.all_kept().count(), state.opening() + state.testing());
                let room = if full { 0 } else { size - state.total() };
                let served = if stale { coming } else { 0 };
                prop_assert!(state.idle() as usize == kept || state.waiting() <= served);
                prop_assert!(kept == 0 || state.waiting() <= coming + room);
            }
        }
    }
}
