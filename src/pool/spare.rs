//! Servers that nobody will miss, for questions of our own that may as well be asked later.

use std::sync::Arc;
use std::time::Instant;

use super::Pool;
use super::attach::Lease;
use super::state::Admission;

impl Pool {
    /// An idle server of several, or one that is opened for it, if a client that comes meanwhile would still get another one at
    /// once; else `None`. Never queues, makes nobody room, and goes to whoever queues by the time it is open.
    pub async fn attach_spare(self: &Arc<Self>, now: Instant) -> Option<Lease> {
        let size = self.rules().sizes.size;
        let one_of_several = {
            let state = self.state();
            let taken = state.attached() + state.opening() + state.testing();
            let leaves_another = size.is_none_or(|size| taken + 1 < size);
            if state.admission() != Admission::Open || state.waiting() > 0 || !leaves_another {
                return None;
            }
            // A limit over several pools may keep the next client from opening one.
            state.idle() > 1
        };
        let idle = if one_of_several { self.try_attach(now) } else { None };
        match idle {
            Some(lease) => Some(lease),
            None => Self::open_to_keep(self, now)?.await.ok(),
        }
    }
}
