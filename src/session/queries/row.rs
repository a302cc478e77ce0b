//! The figures of one text: counted with atomics alone.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::{Execution, Mark, lock};
use crate::session::latency::Latency;

/// What is told of a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryRow {
    /// The entry of `[databases]`.
    pub database: String,
    /// The user on the server.
    pub user: String,
    /// Where it ran, with its port.
    pub host: String,
    /// The text, as [`crate::routing::normal::shown`] has it.
    pub text: String,
    /// How often it was run.
    pub calls: u64,
    /// How often with an error.
    pub errors: u64,
    /// Rows returned or changed.
    pub rows: u64,
    /// Bytes of its answers.
    pub sent_bytes: u64,
    /// Time of all calls, microseconds.
    pub total_us: u64,
    /// What half of the calls did not exceed, microseconds.
    pub p50_us: u64,
    /// What 99 of 100 did not exceed, microseconds.
    pub p99_us: u64,
}

impl QueryRow {
    /// Mean time of a call, microseconds.
    pub fn mean_us(&self) -> u64 {
        self.total_us.checked_div(self.calls).unwrap_or(0)
    }
}

#[derive(Debug, Default)]
pub(super) struct Row {
    pub(super) key: AtomicU64,
    /// 0: it is being given to another text.
    pub(super) generation: AtomicU32,
    calls: AtomicU64,
    errors: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
    total_us: AtomicU64,
    latency: Latency,
    /// Calls that do not count any more when one is to make room, and the age in which that was reckoned. Written under the
    /// table's lock.
    forgotten: AtomicU64,
    age: AtomicU64,
    pub(super) words: Mutex<Words>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Words {
    pub(super) database: Box<str>,
    pub(super) user: Box<str>,
    pub(super) host: Box<str>,
    pub(super) text: Box<str>,
}

impl Row {
    /// Counts an execution, if the row's text is still the one that was marked.
    pub(super) fn count(&self, mark: Mark, execution: Execution) {
        // Should the row change hands right behind this look, one call counts for the other text.
        if self.generation.load(Ordering::Acquire) != mark.generation.get() {
            return;
        }
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(execution.bytes, Ordering::Relaxed);
        self.total_us.fetch_add(execution.us, Ordering::Relaxed);
        self.latency.record(execution.us);
        if execution.rows > 0 {
            self.rows.fetch_add(execution.rows, Ordering::Relaxed);
        }
        if execution.failed {
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether it was called at all.
    pub(super) fn was_called(&self) -> bool {
        self.calls.load(Ordering::Relaxed) > 0
    }

    /// Its calls, of which fewer count with each age that has passed.
    pub(super) fn calls_of_late(&self, age: u64) -> u64 {
        let calls = self.calls.load(Ordering::Relaxed);
        let before = calls.saturating_sub(self.forgotten.load(Ordering::Relaxed));
        let passed = age.saturating_sub(self.age.swap(age, Ordering::Relaxed));
        let of_late = before >> passed.min(63);
        self.forgotten.store(calls - of_late, Ordering::Relaxed);
        of_late
    }

    pub(super) fn clear(&self, age: u64) {
        self.age.store(age, Ordering::Relaxed);
        let counters =
            [&self.calls, &self.errors, &self.rows, &self.bytes, &self.total_us, &self.forgotten];
        counters.iter().for_each(|counter| counter.store(0, Ordering::Relaxed));
        self.latency.clear();
    }

    pub(super) fn read(&self) -> QueryRow {
        let words = lock(&self.words).clone();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let [p50_us, p99_us] = self.latency.percentiles([50, 99]);
        QueryRow {
            database: words.database.into(),
            user: words.user.into(),
            host: words.host.into(),
            text: words.text.into(),
            calls: count(&self.calls),
            errors: count(&self.errors),
            rows: count(&self.rows),
            sent_bytes: count(&self.bytes),
            total_us: count(&self.total_us),
            p50_us,
            p99_us,
        }
    }
}
