//! Connections that are being opened: whether one more is wanted now, and what came of it.

use std::time::Instant;

use super::{Admission, OPENING_AT_ONCE, State};

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

impl<C, W> State<C, W> {
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

    pub(super) fn may_open(&self, now: Instant) -> bool {
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

    /// Whether a connection that is open already, in another process, may become one of these. A pause does not matter.
    pub fn may_adopt(&self) -> bool {
        !self.closed && self.has_place()
    }

    /// Whether one more connection may be opened for somebody who passes the queue by, as nobody is in it.
    pub fn has_room(&self, now: Instant) -> bool {
        self.may_open(now) && self.waiting.is_empty() && self.has_place()
    }

    /// No attempt to open a connection before this.
    pub fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }
}
