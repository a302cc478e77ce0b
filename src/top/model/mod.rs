//! What is known and what is looked at: plain values and rules, without terminal, socket or clock.
//!
//! - `table`, `look` — the console's answers
//! - `history` — rates, from one look to the next
//! - `grid` — lines and columns to be shown: sort, filter
//! - `panes` — which grids there are, each made of some answers
//! - `warnings` — what is not as it should be, and what to do
//! - `view` — what the person at the keyboard has chosen
//! - `figures` — numbers for people

pub mod figures;
pub mod grid;
pub mod history;
pub mod look;
pub mod panes;
pub mod table;
pub mod view;
pub mod warnings;

use std::time::{Duration, Instant};

use self::history::History;
use self::look::Look;

/// How we stand with the console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// Not connected yet.
    Connecting,
    /// The last look is fresh; `again`: when the connection came back, and after how long.
    Up {
        /// When it came back, and how long it was away.
        again: Option<(Instant, Duration)>,
    },
    /// It is away; what is shown is what was known.
    Down {
        /// Since when.
        since: Instant,
        /// Why.
        why: String,
    },
}

/// All that is known.
#[derive(Debug)]
pub struct Model {
    /// Where we look, for people.
    pub place: String,
    /// How we stand with it.
    pub link: Link,
    /// The last look.
    pub look: Look,
    /// When that was.
    pub seen: Option<Instant>,
    /// Rates.
    pub history: History,
}

impl Model {
    /// Nothing is known yet.
    pub fn new(place: String) -> Self {
        Self {
            place,
            link: Link::Connecting,
            look: Look::default(),
            seen: None,
            history: History::default(),
        }
    }

    /// The console has answered.
    pub fn saw(&mut self, look: Look, now: Instant) {
        self.link = match &self.link {
            Link::Down { since, .. } => {
                self.history.interrupted();
                Link::Up { again: Some((now, now.saturating_duration_since(*since))) }
            }
            Link::Connecting => Link::Up { again: None },
            Link::Up { again } => Link::Up { again: *again },
        };
        self.history.add(&look, now);
        self.seen = Some(now);
        self.look = look;
    }

    /// It does not answer any more, or not yet.
    pub fn lost(&mut self, why: String, now: Instant) {
        let since = match &self.link {
            Link::Down { since, .. } => *since,
            Link::Connecting | Link::Up { .. } => now,
        };
        self.link = Link::Down { since, why };
    }
}

#[cfg(test)]
pub mod testing {
    //! Answers as a small installation gives them.

    use super::look::{Look, Show};
    use super::table::Table;

    /// A table from lines of words: the first one names the columns; `-` is NULL, `~` a blank.
    pub fn table(text: &str) -> Table {
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let mut lines = text.trim().lines().map(words);
        let columns = lines.next().unwrap();
        let value = |word: String| (word != "-").then(|| word.replace('~', " "));
        let rows = lines.map(|row| {
            assert_eq!(row.len(), columns.len(), "{row:?}");
            row.into_iter().map(value).collect()
        });
        Table::new(columns.clone(), rows.collect())
    }

    /// A look of these answers.
    pub fn look(answers: &[(Show, &str)]) -> Look {
        let mut look = Look::default();
        for (show, text) in answers {
            look.put(*show, table(text));
        }
        look
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test begins at some time")]
mod tests {
    use super::*;

    #[test]
    fn a_console_that_comes_back_is_told_of_with_how_long_it_was_away() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut model = Model::new("here".into());
        model.lost("refused".into(), at(0));
        model.lost("refused again".into(), at(1));
        assert_eq!(model.link, Link::Down { since: at(0), why: "refused again".into() });
        model.saw(Look::default(), at(5));
        let again = Link::Up { again: Some((at(5), Duration::from_secs(5))) };
        assert_eq!(model.link, again);
        model.saw(Look::default(), at(6));
        assert_eq!(model.link, again);
    }
}
