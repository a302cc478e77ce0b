//! The end: SHUTDOWN, and a successor that takes over.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Control, Refused, ShutdownMode};
use crate::pool::AttachError;

/// How often a drain looks whether it is over.
const DRAIN_LOOK: Duration = Duration::from_millis(100);

impl Control {
    /// Whether a successor may take over now.
    ///
    /// # Errors
    /// Why not.
    pub fn may_hand_over(&self) -> Result<(), Refused> {
        let shared = &self.shared;
        if shared.handover.is_under_way() {
            return Err(Refused::Busy("another process takes over already"));
        }
        if shared.is_suspended() {
            return Err(Refused::Busy("suspended; RESUME first"));
        }
        if shared.closing.load(Ordering::Acquire) {
            return Err(Refused::ShuttingDown);
        }
        Ok(())
    }

    /// Asks the process to end. While it already does, it ends at once.
    pub fn shutdown(&self, mode: ShutdownMode) {
        // Who is suspended could never leave.
        self.wake_up();
        // At once: whoever asks after the answer to SHUTDOWN is to find it in force.
        if mode == ShutdownMode::WaitForServers {
            self.pause_all();
        }
        self.shutdown.send_modify(|asked| {
            *asked = Some(if asked.is_some() { ShutdownMode::Immediate } else { mode });
        });
    }

    /// Whether it was asked to.
    pub fn is_ending(&self) -> bool {
        self.shutdown.borrow().is_some()
    }

    fn pause_all(&self) {
        self.shared.all_paused.store(true, Ordering::Release);
        self.shared.services.pools().iter().for_each(|pool| pool.pause());
    }

    /// Waits until no server is in use, turning away those who wait for one.
    pub async fn drain_servers(&self) {
        self.pause_all();
        loop {
            // Who has just been given a server may go on to use it first.
            tokio::time::sleep(DRAIN_LOOK).await;
            let mut busy = 0;
            for pool in self.shared.services.pools() {
                pool.pause();
                pool.dismiss_waiting(&AttachError::ShuttingDown);
                let levels = pool.levels();
                busy += levels.servers_active + levels.servers_login;
            }
            if busy == 0 {
                return;
            }
        }
    }
}
