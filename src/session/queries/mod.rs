//! What statements cost, by their texts without constants (`SHOW QUERIES`, setting `track_queries`).
//!
//! A row is one text as one user of one database ran it on one host. There is a fixed number of them. One that was seen is
//! found and counted with atomics alone, without a lock and without allocating; a text's first sight takes the table's lock
//! and makes what is shown of it. When all rows are taken one makes room: of a few in turn the first that was called
//! once of late, else the one called least. Each time that as many texts have come as there are rows, the calls of before
//! count half.
//!
//! - `table` — the rows, and the index by which they are found
//! - `row` — the figures of one text

mod row;
mod table;

use std::hash::{DefaultHasher, Hash, Hasher, RandomState};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
pub use row::QueryRow;
use row::Words;
use table::Table;

use crate::routing::normal;

/// All that is known; one for the process.
#[derive(Debug, Default)]
pub struct Queries {
    hasher: RandomState,
    on: AtomicBool,
    table: ArcSwapOption<Table>,
    /// The generation that a row was given last, whatever the table.
    generation: AtomicU32,
}

/// A row, for as long as its text has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    row: u32,
    generation: NonZeroU32,
}

/// One execution that is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Execution {
    /// It ended with an error.
    pub failed: bool,
    /// Rows that the server says it returned or changed.
    pub rows: u64,
    /// Bytes of the answer.
    pub bytes: u64,
    /// How long it took, microseconds.
    pub us: u64,
}

/// A name that is part of a row's key, with its number.
#[derive(Clone, Debug, Default)]
pub struct Named {
    name: Box<str>,
    number: u64,
}

impl Named {
    /// From the name.
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), number: fixed(name) }
    }
}

/// Whose statements they are: one for each database entry and server user.
#[derive(Debug)]
pub struct Owner {
    queries: Arc<Queries>,
    database: String,
    user: String,
    number: u64,
}

impl Owner {
    /// This entry's and this server user's.
    pub fn new(queries: &Arc<Queries>, database: &str, user: &str) -> Self {
        Self {
            queries: queries.clone(),
            database: database.to_owned(),
            user: user.to_owned(),
            number: fixed((database, user)),
        }
    }

    /// Where they are counted.
    pub fn queries(&self) -> &Queries {
        &self.queries
    }

    /// The row of a text with this number ([`Queries::number`]) on this host; made if it is new. `None`: nothing is
    /// counted.
    pub fn mark(&self, host: &Named, number: u64, text: &[u8]) -> Option<Mark> {
        let table = self.queries.table.load();
        let table = table.as_deref()?;
        let key = mix(number ^ self.number.rotate_left(21) ^ host.number.rotate_left(42));
        table.find(key).or_else(|| {
            let words = Words {
                database: self.database.as_str().into(),
                user: self.user.as_str().into(),
                host: host.name.clone(),
                text: normal::shown(text).into(),
            };
            table.claim(key, words, &self.queries.generation)
        })
    }
}

impl Queries {
    /// Whether anything is counted.
    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// The number of a text: the same for all that differ in constants only.
    pub fn number(&self, text: &[u8]) -> u64 {
        normal::number(text, &self.hasher)
    }

    /// At most this many rows from now on; 0: nothing is counted. Another number than before begins anew.
    pub fn remember(&self, most: u32) {
        if most != self.most() {
            self.begin(most);
        }
    }

    /// How many rows there can be.
    pub fn most(&self) -> u32 {
        self.table.load().as_ref().map_or(0, |table| table.most())
    }

    /// Forgets all.
    pub fn reset(&self) {
        self.begin(self.most());
    }

    fn begin(&self, most: u32) {
        self.on.store(most > 0, Ordering::Relaxed);
        self.table.store((most > 0).then(|| Arc::new(Table::new(most))));
    }

    /// Counts an execution, if its text has its row still.
    pub fn count(&self, mark: Mark, execution: Execution) {
        if let Some(table) = self.table.load().as_deref() {
            table.count(mark, execution);
        }
    }

    /// All rows, those that took the most time first.
    pub fn rows(&self) -> Vec<QueryRow> {
        let table = self.table.load_full();
        let mut rows: Vec<_> = table.iter().flat_map(|table| table.read()).collect();
        rows.sort_by(|a, b| (b.total_us, b.calls, &a.text).cmp(&(a.total_us, a.calls, &b.text)));
        rows
    }
}

/// A number that is the same as long as the process lives.
fn fixed(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// Every bit of the outcome depends on every bit (the last step of SplitMix64).
fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
