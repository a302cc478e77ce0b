//! The one reader of time. Everything that decides gets `now` as an argument.

use std::time::{Instant, SystemTime};

/// The monotonic clock.
#[expect(clippy::disallowed_methods, reason = "this is the one reader of time")]
pub fn now() -> Instant {
    Instant::now()
}

/// The wall clock, for what people read.
pub fn wall() -> SystemTime {
    SystemTime::now()
}
