//! Connections that are idle and kept, each for a client that was told its process id. Who waits and would get no other goes
//! before.

use std::time::Instant;

use super::{Admission, Placed, State};

impl<C, W> State<C, W> {
    /// Whether one more connection may be opened for a client that logs in, and only to be kept for it. Where the size has
    /// no limit every idle client would take one of PostgreSQL's: not there.
    pub fn may_open_to_keep(&self, now: Instant) -> bool {
        self.may_open(now)
            && self.waiting.len() < self.coming(now)
            && (self.proven || self.opening == 0)
            && self.sizes.size.is_some()
            && self.has_place()
    }

    /// A connection that was attached and never used is kept for a client. If somebody waits for whom there will be no
    /// other, he is served instead.
    pub fn keep(&mut self, connection: C, now: Instant) -> Placed<C, W> {
        if self.lacks(now) || self.has_too_many() || self.admission() != Admission::Open {
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
}
