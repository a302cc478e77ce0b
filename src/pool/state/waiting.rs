//! The queue: who waits, in the order in which they came.

use std::time::{Duration, Instant};

use super::State;

/// A place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u64);

impl Ticket {
    /// Of somebody who did not have to queue.
    pub const NONE: Self = Self(0);
}

#[derive(Debug)]
pub(super) struct Waiting<W> {
    pub(super) ticket: u64,
    pub(super) since: Instant,
    /// It was told that it waits.
    pub(super) told: bool,
    pub(super) waiter: W,
}

impl<C, W> State<C, W> {
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
}
