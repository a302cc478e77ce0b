//! Connections that are not to stay: those that are too old, too many, or idle for too long.

use std::time::{Duration, Instant};

use super::State;

impl<C, W> State<C, W> {
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
}
