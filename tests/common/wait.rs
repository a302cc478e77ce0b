//! Waiting for a condition, with a deadline that only a broken test reaches.

use std::fmt::Debug;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Generous: a loaded machine with two cores must not fail a test that is right.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// How often a condition is tried.
const STEP: Duration = Duration::from_millis(10);

/// Polls `condition` until it is true.
///
/// # Panics
/// When `deadline` passes first; the message names `what` was waited for.
#[track_caller]
pub fn until(what: &str, deadline: Duration, mut condition: impl FnMut() -> bool) {
    value(what, deadline, || condition().then_some(()));
}

/// Polls `attempt` until it gives a value.
///
/// # Panics
/// When `deadline` passes first.
#[track_caller]
pub fn value<T>(what: &str, deadline: Duration, mut attempt: impl FnMut() -> Option<T>) -> T {
    try_value(deadline, || attempt().ok_or("not yet"))
        .unwrap_or_else(|_| panic!("waited {deadline:?} in vain for: {what}"))
}

/// Polls `attempt` until it succeeds; the panic at the deadline tells its last error.
#[track_caller]
pub fn ok<T, E: Debug>(what: &str, deadline: Duration, attempt: impl FnMut() -> Result<T, E>) -> T {
    try_value(deadline, attempt)
        .unwrap_or_else(|e| panic!("waited {deadline:?} in vain for: {what}; at last: {e:?}"))
}

fn try_value<T, E>(deadline: Duration, mut attempt: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    let end = Instant::now() + deadline;
    loop {
        match attempt() {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() >= end => return Err(error),
            Err(_) => sleep(STEP),
        }
    }
}
