//! `SUSPEND`: nobody is read from until RESUME, what was read has left. And what undoes a command that was given up.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::control::{Control, Refused};
use crate::net::clock;
use crate::pool::holder::Order;

/// How often it is looked whether all clients have come to rest.
const LOOK: Duration = Duration::from_millis(10);

impl Control {
    /// `SUSPEND`, for this console client: ends when all that was read has been sent on; who cannot be brought to rest
    /// within `suspend_timeout` is disconnected. Dropped before, it resumes.
    ///
    /// # Errors
    /// Something is paused or suspended already.
    pub async fn suspend(&self, asker: u64) -> Result<(), Refused> {
        let shared = &self.shared;
        if !shared.paused.is_empty() {
            return Err(Refused::DatabasesPaused);
        }
        let suspended = &shared.suspended_by;
        if shared.all_paused.load(Ordering::Acquire)
            || suspended.compare_exchange(0, asker, Ordering::SeqCst, Ordering::SeqCst).is_err()
        {
            return Err(Refused::AlreadyPaused);
        }
        let undo = Undo { control: self, database: None, due: true };
        let begun = clock::now();
        let limit = shared.live().config.settings.suspend_timeout;
        for holder in shared.holders.iter() {
            holder.suspend(true);
        }
        let restless = || shared.holders.iter().any(|holder| !holder.has_come_to_rest());
        while restless() {
            if limit.is_some_and(|limit| clock::now().saturating_duration_since(begun) > limit) {
                for holder in shared.holders.iter().filter(|holder| !holder.has_come_to_rest()) {
                    holder.order(Order::SuspendTimeout);
                }
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
        undo.disarm();
        Ok(())
    }

    /// Ends a suspension; whether there was one.
    pub(super) fn wake_up(&self) -> bool {
        let was = self.shared.suspended_by.swap(0, Ordering::SeqCst) != 0;
        if was {
            for holder in self.shared.holders.iter() {
                holder.suspend(false);
            }
        }
        was
    }

    /// A console client has gone. Nobody else would end its suspension.
    pub(super) fn admin_left(&self, asker: u64) {
        if self.shared.suspended_by.load(Ordering::SeqCst) == asker {
            tracing::info!("admin disappeared when suspended, doing RESUME");
            self.wake_up();
        }
    }
}

/// Resumes when it is dropped, unless that is not due any more.
pub(super) struct Undo<'a> {
    pub(super) control: &'a Control,
    /// What is paused; `None`: all.
    pub(super) database: Option<&'a str>,
    pub(super) due: bool,
}

impl Undo<'_> {
    pub(super) fn disarm(mut self) {
        self.due = false;
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        if self.due {
            // It may have been resumed by somebody else.
            let _ = self.control.resume(self.database);
        }
    }
}
