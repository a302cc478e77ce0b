//! Servers that nobody will miss, for questions of our own that may as well be asked later.

use std::sync::Arc;
use std::time::Instant;

use super::Pool;
use super::attach::Lease;
use super::state::Admission;

impl Pool {
    /// An idle server, or one that is opened for it, if a client that comes meanwhile would still get another one at once;
    /// else `None`. Never queues, makes nobody room, and goes to whoever queues by the time it is open.
    pub async fn attach_spare(self: &Arc<Self>, now: Instant) -> Option<Lease> {
        let size = self.rules().sizes.size;
        {
            let state = self.state();
            let taken = state.attached() + state.opening() + state.testing();
            let leaves_another = size.is_none_or(|size| taken + 1 < size);
            if state.admission() != Admission::Open || state.waiting() > 0 || !leaves_another {
                return None;
            }
        }
        match self.try_attach(now) {
            Some(lease) => Some(lease),
            None => Self::open_to_keep(self, now)?.await.ok(),
        }
    }
}
