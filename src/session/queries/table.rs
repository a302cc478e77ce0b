//! The rows and the index by which they are found; which text has which row.
//!
//! The index is of words (open addressing, linear probing): a few bits of the key, and the row's number. Readers may look
//! while it is being changed; what they miss then they find under the lock.

use std::num::NonZeroU32;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::row::{Row, Words};
use super::{Execution, Mark, QueryRow, lock};

/// How many rows are looked at for the one that makes room.
const WINDOW: usize = 64;

/// Bits of a word of the index that are a row's number, counted from 1; the rest are the key's. `track_queries` is far less.
const ROW_BITS: u64 = (1 << 20) - 1;

#[derive(Debug)]
pub(super) struct Table {
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

impl Table {
    pub(super) fn new(most: u32) -> Self {
        let words = (most as usize * 2).next_power_of_two();
        Self {
            index: (0..words).map(|_| AtomicU64::new(0)).collect(),
            rows: (0..most).map(|_| Row::default()).collect(),
            filling: Mutex::default(),
        }
    }

    /// How many rows there can be.
    pub(super) fn most(&self) -> u32 {
        self.rows.len() as u32
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

    pub(super) fn find(&self, key: u64) -> Option<Mark> {
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
    pub(super) fn claim(&self, key: u64, words: Words, generations: &AtomicU32) -> Option<Mark> {
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

    pub(super) fn count(&self, mark: Mark, execution: Execution) {
        if let Some(row) = self.rows.get(mark.row as usize) {
            row.count(mark, execution);
        }
    }

    /// What was called at least once.
    pub(super) fn read(&self) -> Vec<QueryRow> {
        // So that no row changes hands meanwhile.
        let filling = lock(&self.filling);
        let used = self.rows.iter().take(filling.used);
        used.filter(|row| row.was_called()).map(Row::read).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn generations_are_never_zero() {
        let last = AtomicU32::new(u32::MAX - 1);
        assert_eq!([0, 0].map(|_| next_generation(&last).get()), [u32::MAX, 1]);
    }
}
