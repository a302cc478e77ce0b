//! What statements cost, by their texts without constants (`SHOW QUERIES`, setting `track_queries`).
//!
//! A row is one text as one user of one database ran it on one host. There is a fixed number of them. One that was seen is
//! found and counted with atomics alone, without a lock and without allocating; a text's first sight takes the table's lock
//! and makes what is shown of it. When all rows are taken one makes room: of up to [`WINDOW`] in turn the first that was
//! called once of late, else the one called least. Each time that as many texts have come as there are rows, the calls of
//! before count half.
//!
//! Rows are found in an index of words (open addressing, linear probing): a few bits of the key, and the row's number.
//! Readers may look while it is being changed; what they miss then they find under the lock.

use std::hash::{DefaultHasher, Hash, Hasher, RandomState};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;

use super::latency::Latency;
use crate::routing::normal;

/// How many rows are looked at for the one that makes room.
const WINDOW: usize = 64;

/// Bits of a word of the index that are a row's number, counted from 1; the rest are the key's. `track_queries` is far less.
const ROW_BITS: u64 = (1 << 20) - 1;

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

/// What is told of a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryRow {
    /// The entry of `[databases]`.
    pub database: String,
    /// The user on the server.
    pub user: String,
    /// Where it ran, with its port.
    pub host: String,
    /// The text, as [`normal::shown`] has it.
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
        self.table.load().as_ref().map_or(0, |table| table.rows.len() as u32)
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

#[derive(Debug)]
struct Table {
    /// At least twice as many words as rows; a power of two.
    index: Box<[AtomicU64]>,
    rows: Box<[Row]>,
    filling: Mutex<Filling>,
}

#[derive(Debug, Default)]
struct Filling {
    /// Rows that were given out.
    used: usize,
    /// Where the next look for one that makes room begins.
    hand: usize,
    /// Rows that were given to another text.
    given_on: usize,
}

#[derive(Debug, Default)]
struct Row {
    key: AtomicU64,
    /// 0: it is being given to another text.
    generation: AtomicU32,
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
    words: Mutex<Words>,
}

#[derive(Clone, Debug, Default)]
struct Words {
    database: Box<str>,
    user: Box<str>,
    host: Box<str>,
    text: Box<str>,
}

impl Table {
    fn new(most: u32) -> Self {
        let words = (most as usize * 2).next_power_of_two();
        Self {
            index: (0..words).map(|_| AtomicU64::new(0)).collect(),
            rows: (0..most).map(|_| Row::default()).collect(),
            filling: Mutex::default(),
        }
    }

    /// Where the index is looked at first for this key.
    fn home(&self, key: u64) -> usize {
        (key >> 32) as usize & (self.index.len() - 1)
    }

    fn next(&self, place: usize) -> usize {
        (place + 1) & (self.index.len() - 1)
    }

    fn word(&self, place: usize) -> u64 {
        self.index.get(place).map_or(0, |word| word.load(Ordering::Acquire))
    }

    fn set_word(&self, place: usize, word: u64) {
        if let Some(slot) = self.index.get(place) {
            slot.store(word, Ordering::Release);
        }
    }

    /// The row that a word of the index names.
    fn row_of(&self, word: u64) -> Option<(u32, &Row)> {
        let number = (word & ROW_BITS).checked_sub(1)? as u32;
        Some((number, self.rows.get(number as usize)?))
    }

    fn find(&self, key: u64) -> Option<Mark> {
        let mut place = self.home(key);
        for _ in 0..self.index.len() {
            let word = self.word(place);
            let (number, row) = self.row_of(word)?;
            if (word ^ key) & !ROW_BITS == 0 {
                // In this order: a generation that is read first is never newer than the key.
                let generation = NonZeroU32::new(row.generation.load(Ordering::Acquire));
                if let Some(generation) = generation
                    && row.key.load(Ordering::Acquire) == key
                {
                    return Some(Mark { row: number, generation });
                }
            }
            place = self.next(place);
        }
        None
    }

    /// Gives a row to a new text.
    fn claim(&self, key: u64, words: Words, generations: &AtomicU32) -> Option<Mark> {
        let mut filling = lock(&self.filling);
        if let Some(known) = self.find(key) {
            return Some(known);
        }
        let number = if filling.used < self.rows.len() {
            filling.used += 1;
            filling.used - 1
        } else {
            filling.given_on += 1;
            self.one_to_go(&mut filling)
        };
        let row = self.rows.get(number)?;
        let word = number as u64 + 1;
        if row.generation.swap(0, Ordering::AcqRel) != 0 {
            self.take_out(row.key.load(Ordering::Relaxed), word);
        }
        row.clear((filling.given_on / self.rows.len()) as u64);
        *lock(&row.words) = words;
        row.key.store(key, Ordering::Release);
        let generation = next_generation(generations);
        row.generation.store(generation.get(), Ordering::Release);
        let mut place = self.home(key);
        while self.word(place) != 0 {
            place = self.next(place);
        }
        self.set_word(place, (key & !ROW_BITS) | word);
        Some(Mark { row: number as u32, generation })
    }

    /// The row whose text makes room.
    fn one_to_go(&self, filling: &mut Filling) -> usize {
        let age = (filling.given_on / self.rows.len().max(1)) as u64;
        let (mut least, mut found) = (u64::MAX, 0);
        for _ in 0..WINDOW.min(self.rows.len()) {
            let number = filling.hand;
            filling.hand = (number + 1) % self.rows.len();
            let Some(row) = self.rows.get(number) else { continue };
            let of_late = row.calls_of_late(age);
            if of_late < least {
                (least, found) = (of_late, number);
            }
            if of_late <= 1 {
                break;
            }
        }
        found
    }

    /// Takes a row's word out of the index, and closes the gap.
    fn take_out(&self, key: u64, row: u64) {
        let mut gap = self.home(key);
        while self.word(gap) & ROW_BITS != row {
            if self.word(gap) == 0 {
                return;
            }
            gap = self.next(gap);
        }
        let mask = self.index.len() - 1;
        let mut place = gap;
        loop {
            place = self.next(place);
            let word = self.word(place);
            let Some((_, row)) = self.row_of(word) else { break };
            let home = self.home(row.key.load(Ordering::Relaxed));
            // It may stand in the gap unless its home is behind that.
            if place.wrapping_sub(home) & mask >= place.wrapping_sub(gap) & mask {
                self.set_word(gap, word);
                gap = place;
            }
        }
        self.set_word(gap, 0);
    }

    fn count(&self, mark: Mark, execution: Execution) {
        let Some(row) = self.rows.get(mark.row as usize) else { return };
        // Should the row change hands right behind this look, one call counts for the other text.
        if row.generation.load(Ordering::Acquire) != mark.generation.get() {
            return;
        }
        row.calls.fetch_add(1, Ordering::Relaxed);
        row.bytes.fetch_add(execution.bytes, Ordering::Relaxed);
        row.total_us.fetch_add(execution.us, Ordering::Relaxed);
        row.latency.record(execution.us);
        if execution.rows > 0 {
            row.rows.fetch_add(execution.rows, Ordering::Relaxed);
        }
        if execution.failed {
            row.errors.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What was called at least once.
    fn read(&self) -> Vec<QueryRow> {
        // So that no row changes hands meanwhile.
        let filling = lock(&self.filling);
        let used = self.rows.iter().take(filling.used);
        used.filter(|row| row.calls.load(Ordering::Relaxed) > 0).map(Row::read).collect()
    }
}

impl Row {
    /// Its calls, of which fewer count with each age that has passed.
    fn calls_of_late(&self, age: u64) -> u64 {
        let calls = self.calls.load(Ordering::Relaxed);
        let before = calls.saturating_sub(self.forgotten.load(Ordering::Relaxed));
        let passed = age.saturating_sub(self.age.swap(age, Ordering::Relaxed));
        let of_late = before >> passed.min(63);
        self.forgotten.store(calls - of_late, Ordering::Relaxed);
        of_late
    }

    fn clear(&self, age: u64) {
        self.age.store(age, Ordering::Relaxed);
        let counters =
            [&self.calls, &self.errors, &self.rows, &self.bytes, &self.total_us, &self.forgotten];
        counters.iter().for_each(|counter| counter.store(0, Ordering::Relaxed));
        self.latency.clear();
    }

    fn read(&self) -> QueryRow {
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

fn next_generation(last: &AtomicU32) -> NonZeroU32 {
    loop {
        let next = last.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        if let Some(next) = NonZeroU32::new(next) {
            return next;
        }
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
mod tests {
    use super::*;

    const HOST: &str = "pg1:5432";

    fn queries(most: u32) -> (Arc<Queries>, Owner) {
        let queries = Arc::new(Queries::default());
        queries.remember(most);
        let owner = Owner::new(&queries, "app", "alice");
        (queries, owner)
    }

    fn run(owner: &Owner, host: &str, text: &str, execution: Execution) {
        let number = owner.queries().number(text.as_bytes());
        if let Some(mark) = owner.mark(&Named::new(host), number, text.as_bytes()) {
            owner.queries().count(mark, execution);
        }
    }

    fn took(us: u64) -> Execution {
        Execution { us, ..Execution::default() }
    }

    #[test]
    fn executions_add_up_by_text_owner_and_host() {
        let (queries, alice) = queries(10);
        let bob = Owner::new(&queries, "app", "bob");
        run(&alice, HOST, "select 1", Execution { failed: false, rows: 3, bytes: 40, us: 100 });
        run(&alice, HOST, "select 22", Execution { failed: true, rows: 0, bytes: 20, us: 300 });
        run(&alice, "pg2:5432", "select 1", took(7));
        run(&bob, HOST, "select 1", took(6));
        run(&alice, HOST, "select a", took(5));
        let rows = queries.rows();
        let first = &rows[0];
        assert_eq!(
            (&*first.database, &*first.user, &*first.host, &*first.text),
            ("app", "alice", HOST, "select $1")
        );
        assert_eq!((first.calls, first.errors, first.rows, first.sent_bytes), (2, 1, 3, 60));
        assert_eq!((first.total_us, first.mean_us()), (400, 200));
        let others: Vec<_> =
            rows[1..].iter().map(|row| (&*row.user, &*row.host, &*row.text)).collect();
        assert_eq!(
            others,
            [
                ("alice", "pg2:5432", "select $1"),
                ("bob", HOST, "select $1"),
                ("alice", HOST, "select a")
            ]
        );
    }

    #[test]
    fn nothing_is_counted_while_it_is_off_and_a_new_size_or_a_reset_begins_anew() {
        let (queries, owner) = queries(0);
        run(&owner, HOST, "select 1", took(1));
        assert!(!queries.is_on() && queries.rows().is_empty());
        queries.remember(4);
        run(&owner, HOST, "select 1", took(1));
        queries.remember(4);
        assert_eq!(queries.rows().len(), 1);
        let number = queries.number(b"select 1");
        let before = owner.mark(&Named::new(HOST), number, b"select 1").unwrap();
        queries.reset();
        assert!(queries.is_on() && queries.rows().is_empty());
        run(&owner, HOST, "select a", took(1));
        queries.count(before, took(1000));
        assert_eq!((queries.rows().len(), queries.rows()[0].total_us), (1, 1), "not for another");
    }

    #[test]
    fn a_flood_of_texts_takes_no_more_room_and_leaves_what_is_called_often() {
        let (queries, owner) = queries(100);
        for n in 0..10_000 {
            for often in 0..50 {
                if n % 10 == 0 {
                    run(&owner, HOST, &format!("select often_{often}"), took(1));
                }
            }
            run(&owner, HOST, &format!("select once_{n}"), took(1));
        }
        let rows = queries.rows();
        assert_eq!(rows.len(), 100);
        for often in 0..50 {
            let text = format!("select often_{often}");
            let row = rows.iter().find(|row| row.text == text);
            assert_eq!(row.map(|row| row.calls), Some(1000), "{text}");
        }
    }

    #[test]
    fn the_index_finds_every_row_whatever_has_come_and_gone() {
        for most in [1, 2, 3, 17, 64] {
            let table = Table::new(most);
            let generations = AtomicU32::new(0);
            // Few homes, so that there are long rows of neighbours, also around the end.
            let key = |n: u64| ((n % 5).wrapping_sub(2) << 32) | (n << 20);
            for n in 1..2000_u64 {
                let mark = table.claim(key(n), Words::default(), &generations).unwrap();
                assert_eq!(table.find(key(n)), Some(mark));
                let rows =
                    table.rows.iter().filter(|row| row.generation.load(Ordering::Relaxed) > 0);
                let known: Vec<_> = rows.map(|row| row.key.load(Ordering::Relaxed)).collect();
                assert!(known.iter().all(|key| table.find(*key).is_some()), "{most} {n}");
                let words = table.index.iter().filter(|word| word.load(Ordering::Relaxed) != 0);
                assert_eq!(words.count(), known.len());
            }
        }
    }

    #[test]
    fn threads_count_all_there_is_and_texts_that_come_and_go_do_not_disturb_them() {
        let (queries, owner) = queries(64);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let owner = &owner;
                scope.spawn(move || {
                    for n in 0..20_000 {
                        run(owner, HOST, "select often", Execution { rows: 2, ..took(3) });
                        if n % 4 == 0 {
                            run(owner, HOST, &format!("select once_{thread}_{n}"), took(0));
                        }
                    }
                });
            }
        });
        let rows = queries.rows();
        let often = rows.iter().find(|row| row.text == "select often").unwrap();
        // A call of a text that makes room in that very moment may be counted here.
        assert!((80_000..80_100).contains(&often.calls), "{}", often.calls);
        assert!((160_000..160_100).contains(&often.rows), "{}", often.rows);
        assert!(rows.len() <= 64);
    }

    #[test]
    fn generations_are_never_zero() {
        let last = AtomicU32::new(u32::MAX - 1);
        assert_eq!([0, 0].map(|_| next_generation(&last).get()), [u32::MAX, 1]);
    }
}
