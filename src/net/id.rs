//! Numbers for connections, clients and servers alike, from one count. Never used again.

use std::sync::atomic::{AtomicU64, Ordering};

static LAST: AtomicU64 = AtomicU64::new(0);

/// The next number; the first is 1.
pub fn next() -> u64 {
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}
