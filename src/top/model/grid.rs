//! Lines and columns to be shown. Whatever they are about, they are sorted, filtered and fitted alike.

use std::cmp::Ordering;

use unicode_width::UnicodeWidthStr;

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// What stands above it; also its name when it is sorted by.
    pub title: &'static str,
    /// Numbers stand to the right.
    pub right: bool,
    /// Where there is no room for all, those with the smallest number go first.
    pub rank: u8,
    /// Widest it may be; what is longer is cut.
    pub most: usize,
}

/// A column of words, which matter so much and may be so wide.
pub const fn words(title: &'static str, rank: u8, most: usize) -> Column {
    Column { title, right: false, rank, most }
}

/// A column of figures.
pub const fn figures(title: &'static str, rank: u8) -> Column {
    Column { title, right: true, rank, most: 16 }
}

/// What stands where a line and a column meet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cell {
    /// As it is shown.
    pub text: String,
    /// What it is sorted by, if it is a number.
    pub number: Option<f64>,
}

impl Cell {
    /// A word.
    pub fn word(text: &str) -> Self {
        Self { text: text.to_owned(), number: None }
    }

    /// A number, and how it is written.
    pub fn number(number: Option<f64>, written: impl FnOnce(f64) -> String) -> Self {
        Self { text: number.map(written).unwrap_or_default(), number }
    }
}

/// How a line is to be looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mark {
    /// As any other.
    #[default]
    Plain,
    /// Nothing happens there.
    Quiet,
    /// Something is on its way to be wrong.
    Warn,
    /// Something is wrong.
    Bad,
}

impl Mark {
    /// The sign in front of the line: it is not told by colour alone.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Plain | Self::Quiet => " ",
            Self::Warn => "~",
            Self::Bad => "!",
        }
    }
}

/// A line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Line {
    /// One for each column.
    pub cells: Vec<Cell>,
    /// How it is to be looked at.
    pub mark: Mark,
    /// By what it is recognised at the next look.
    pub id: String,
}

/// See the module's words.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grid {
    /// Its columns.
    pub columns: Vec<Column>,
    /// Its lines.
    pub lines: Vec<Line>,
    /// How they are sorted; `None`: as they came.
    pub sorted: Option<Sort>,
}

/// By which column lines are sorted, and which way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    /// The column's title.
    pub by: &'static str,
    /// The largest first.
    pub descending: bool,
}

impl Grid {
    /// Of these columns and lines; columns in which no line has anything are left out.
    pub fn new(columns: &[Column], mut lines: Vec<Line>) -> Self {
        let empty = |at: &usize| {
            let cell = |line: &Line| line.cells.get(*at).is_none_or(|cell| cell.text.is_empty());
            !lines.is_empty() && lines.iter().all(cell)
        };
        let gone: Vec<usize> = (0..columns.len()).filter(empty).collect();
        for line in &mut lines {
            let mut at = 0..;
            line.cells.retain(|_| at.next().is_some_and(|at| !gone.contains(&at)));
        }
        let kept = columns.iter().enumerate().filter(|(at, _)| !gone.contains(at));
        let columns = kept.map(|(_, column)| *column).collect();
        Self { columns, lines, sorted: None }
    }

    /// Sorts the lines. Those without a value stand at the end either way; lines that are equal stay as they are.
    pub fn sort(&mut self, sort: Sort) {
        let Some(at) = self.columns.iter().position(|column| column.title == sort.by) else {
            return;
        };
        self.lines.sort_by(|a, b| match (a.cells.get(at), b.cells.get(at)) {
            (Some(a), Some(b)) => compare(a, b, sort.descending),
            _ => Ordering::Equal,
        });
        self.sorted = Some(sort);
    }

    /// Keeps the lines in which every word of the filter is found, in either case.
    pub fn filter(&mut self, filter: &str) {
        let words: Vec<String> = filter.split_whitespace().map(str::to_lowercase).collect();
        let fits = |line: &Line| {
            let cells = line.cells.iter().map(|cell| cell.text.to_lowercase());
            let cells: Vec<String> = cells.collect();
            words.iter().all(|word| cells.iter().any(|cell| cell.contains(word)))
        };
        self.lines.retain(fits);
    }

    /// Which columns find room in a width, and how wide each is. Between two columns is at least one blank.
    pub fn fit(&self, width: usize) -> Vec<(usize, usize)> {
        let natural = |at: usize, column: &Column| {
            let cells = self.lines.iter().filter_map(|line| line.cells.get(at));
            let widest = cells.map(|cell| cell.text.width()).max().unwrap_or(0);
            // The arrow of the column that is sorted by needs room, too.
            let arrow = usize::from(self.sorted.is_some_and(|sort| sort.by == column.title));
            widest.min(column.most).max(column.title.width() + arrow)
        };
        let mut kept: Vec<(usize, usize)> =
            self.columns.iter().enumerate().map(|(at, column)| (at, natural(at, column))).collect();
        let rank = |at: usize| self.columns.get(at).map_or(0, |column| column.rank);
        let all = |kept: &[(usize, usize)]| kept.iter().map(|(_, width)| width + 1).sum::<usize>();
        while all(&kept) > width + 1 && kept.len() > 1 {
            let over = all(&kept) - (width + 1);
            let Some(least) = kept.iter().map(|(at, _)| rank(*at)).min() else { break };
            let Some(at) = kept.iter().rposition(|(at, _)| rank(*at) == least) else { break };
            // Words may be cut somewhat before they go altogether.
            let right = kept.get(at).and_then(|(at, _)| self.columns.get(*at));
            let words = right.is_some_and(|column| !column.right);
            match kept.get_mut(at) {
                Some((_, width)) if words && *width >= over + SHORTEST => *width -= over,
                _ => drop(kept.remove(at)),
            }
        }
        if let Some((_, last)) = kept.last_mut() {
            *last = (*last).min(width);
        }
        kept
    }
}

/// Blanks between columns of these widths: two where there is room for them.
pub fn gap(columns: &[(usize, usize)], width: usize) -> usize {
    let all: usize = columns.iter().map(|(_, width)| width + 2).sum();
    if all <= width + 2 { 2 } else { 1 }
}

/// Words cut to less say nothing.
const SHORTEST: usize = 12;

fn compare(a: &Cell, b: &Cell, descending: bool) -> Ordering {
    let ascending = match (a.number, b.number) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        (None, None) if a.text.is_empty() || b.text.is_empty() => {
            return a.text.is_empty().cmp(&b.text.is_empty());
        }
        (None, None) => a.text.to_lowercase().cmp(&b.text.to_lowercase()),
        (Some(_), None) => return Ordering::Less,
        (None, Some(_)) => return Ordering::Greater,
    };
    if descending { ascending.reverse() } else { ascending }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] =
        [words("name", 9, 20), figures("size", 5), words("why", 3, 40), figures("age", 1)];

    fn grid(lines: &[(&str, Option<f64>, &str)]) -> Grid {
        let lines = lines.iter().map(|(name, size, why)| Line {
            cells: vec![
                Cell::word(name),
                Cell::number(*size, |size| size.to_string()),
                Cell::word(why),
                Cell::default(),
            ],
            mark: Mark::Plain,
            id: (*name).to_owned(),
        });
        Grid::new(&COLUMNS, lines.collect())
    }

    fn names(grid: &Grid) -> Vec<&str> {
        grid.lines.iter().map(|line| line.id.as_str()).collect()
    }

    #[test]
    fn numbers_are_sorted_as_numbers_and_what_is_not_known_is_last() {
        let mut grid = grid(&[
            ("b", Some(9.0), ""),
            ("a", Some(10.0), ""),
            ("d", None, ""),
            ("C", Some(9.0), ""),
        ]);
        grid.sort(Sort { by: "size", descending: true });
        assert_eq!(names(&grid), ["a", "b", "C", "d"]);
        grid.sort(Sort { by: "size", descending: false });
        assert_eq!(names(&grid), ["b", "C", "a", "d"]);
        grid.sort(Sort { by: "name", descending: false });
        assert_eq!(names(&grid), ["a", "b", "C", "d"]);
        grid.sort(Sort { by: "no such column", descending: true });
        assert_eq!(names(&grid), ["a", "b", "C", "d"]);
    }

    #[test]
    fn every_word_of_a_filter_must_be_found() {
        let all =
            grid(&[("app", Some(1.0), "Late"), ("apply", None, "early"), ("other", None, "")]);
        for (filter, expected) in [
            ("", &["app", "apply", "other"][..]),
            ("APP", &["app", "apply"]),
            (" app late ", &["app"]),
            ("late other", &[]),
        ] {
            let mut grid = all.clone();
            grid.filter(filter);
            assert_eq!(names(&grid), expected, "{filter:?}");
        }
    }

    #[test]
    fn empty_columns_are_left_out_and_in_a_narrow_place_the_least_important_go() {
        let mut grid = grid(&[("app", Some(1.0), "a reason of some length, to be cut")]);
        let titles: Vec<_> = grid.columns.iter().map(|column| column.title).collect();
        assert_eq!(titles, ["name", "size", "why"]);
        assert_eq!(grid.fit(80), [(0, 4), (1, 4), (2, 34)]);
        assert_eq!(grid.fit(30), [(0, 4), (1, 4), (2, 20)], "cut first");
        assert_eq!(grid.fit(14), [(0, 4), (1, 4)]);
        assert_eq!(grid.fit(8), [(0, 4)]);
        assert_eq!(grid.fit(3), [(0, 3)]);
        grid.sort(Sort { by: "size", descending: true });
        assert_eq!(grid.fit(80), [(0, 4), (1, 5), (2, 34)], "with an arrow");
    }
}
