//! What clients want of an entry's monitors: newer positions, and where the primary is at this moment.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, watch};

use crate::routing::causal::Sample;

/// See the module's words. One for all who use the entry.
#[derive(Debug)]
pub struct Wanted {
    /// Of `last`.
    zero: Instant,
    /// When somebody last waited for newer positions, milliseconds; 0: never.
    last: AtomicU64,
    /// Where the primary was last.
    sample: watch::Sender<Option<Sample>>,
    /// By which the primary's monitor is told to ask at once.
    bell: Mutex<Option<Arc<Notify>>>,
}

impl Wanted {
    /// How long one wish holds.
    const HOLDS: u64 = 2000;

    /// Nobody wants anything.
    pub fn new(now: Instant) -> Self {
        let (sample, _) = watch::channel(None);
        Self { zero: now, last: AtomicU64::new(0), sample, bell: Mutex::default() }
    }

    /// Somebody waits for newer positions: from now on the hosts are asked more often.
    pub fn want(&self, now: Instant) {
        self.last.store(self.millis(now), Ordering::Relaxed);
    }

    /// Whether somebody did of late.
    pub fn is_wanted(&self, now: Instant) -> bool {
        let last = self.last.load(Ordering::Relaxed);
        last > 0 && self.millis(now).saturating_sub(last) < Self::HOLDS
    }

    /// Somebody waits to hear where the primary is: it is asked at once, or as soon as it has answered what it was asked
    /// before.
    pub fn ring(&self) {
        if let Some(bell) = &*self.bell() {
            bell.notify_one();
        }
    }

    /// Where the primary was last, now and from now on; `None` while there is none.
    pub fn samples(&self) -> watch::Receiver<Option<Sample>> {
        self.sample.subscribe()
    }

    /// The primary was there, and its monitor hears this bell.
    pub(super) fn follow(&self, sample: Option<Sample>, bell: Option<Arc<Notify>>) {
        *self.bell() = bell;
        self.sample.send_if_modified(|known| {
            let other = *known != sample;
            *known = sample;
            other
        });
    }

    fn millis(&self, now: Instant) -> u64 {
        let millis = now.saturating_duration_since(self.zero).as_millis();
        u64::try_from(millis).unwrap_or(u64::MAX).saturating_add(1)
    }

    fn bell(&self) -> MutexGuard<'_, Option<Arc<Notify>>> {
        self.bell.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
