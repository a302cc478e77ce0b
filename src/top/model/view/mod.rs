//! What the person at the keyboard has chosen: page, pane, line, sort, filter. Keys go in; what is to be shown comes out.

mod keys;

use std::collections::BTreeMap;
use std::time::Duration;

pub use keys::Key;

use super::Model;
use super::grid::{Grid, Sort};
use super::look::Show;
use super::panes::{self, Pane, PoolName};

/// What fills the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Page {
    /// Several panes at once.
    Overview,
    /// One pane alone.
    One(Pane),
    /// A pool's clients and servers.
    Pool(PoolName),
    /// All that the console says of one line.
    Record(Record),
    /// The warnings at full length.
    Warnings,
}

/// A line of a pane with all columns that the console has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The pane.
    pub pane: Pane,
    /// The line.
    pub id: String,
    /// Names and values as last seen.
    pub fields: Vec<(String, Option<String>)>,
    /// It is not there any more.
    pub gone: bool,
}

/// How a pane is looked at.
#[derive(Clone, Debug, Default)]
struct Choice {
    sort: Option<Sort>,
    filter: String,
    /// The chosen line, and where it last stood.
    line: Option<String>,
    at: usize,
}

/// See the module's words.
#[derive(Debug)]
pub struct View {
    /// From the first page to the one that is seen; Escape goes back.
    pages: Vec<Page>,
    focus: Pane,
    choices: BTreeMap<Pane, Choice>,
    typing: bool,
    help: bool,
    frozen: bool,
    interval: Duration,
    /// Lines of the screen.
    height: u16,
    /// Lines that scroll by on a page of words.
    scrolled: u16,
}

/// On screens of so many lines the overview has room for one pane more.
const TALL: u16 = 34;
impl View {
    /// The overview.
    pub fn new(interval: Duration) -> Self {
        Self {
            pages: vec![Page::Overview],
            focus: Pane::Pools,
            choices: BTreeMap::new(),
            typing: false,
            help: false,
            frozen: false,
            interval,
            height: 0,
            scrolled: 0,
        }
    }

    /// The screen has so many lines.
    pub fn resized(&mut self, height: u16) {
        self.height = height;
    }

    /// What fills the screen.
    pub fn page(&self) -> &Page {
        self.pages.last().unwrap_or(&Page::Overview)
    }

    /// From the first page to the one that fills the screen.
    pub fn way(&self) -> &[Page] {
        &self.pages
    }

    /// Whether there is a page to go back to.
    pub fn is_deep(&self) -> bool {
        self.pages.len() > 1
    }

    /// The panes on the page, from top to bottom.
    pub fn panes(&self, model: &Model) -> Vec<Pane> {
        let look = &model.look;
        match self.page() {
            Page::Overview => {
                let hosts = look.has_rows(Show::Topology);
                let databases = !hosts || self.height >= TALL;
                [
                    (Pane::Hosts, hosts),
                    (Pane::Pools, true),
                    (Pane::Databases, databases),
                    (Pane::Events, look.has_rows(Show::Events)),
                ]
                .into_iter()
                .filter_map(|(pane, there)| there.then_some(pane))
                .collect()
            }
            Page::One(pane) => vec![*pane],
            Page::Pool(_) => vec![Pane::Clients, Pane::Servers],
            Page::Record(_) | Page::Warnings => Vec::new(),
        }
    }

    /// The pane that keys are for.
    pub fn focus(&self, model: &Model) -> Option<Pane> {
        let panes = self.panes(model);
        panes.iter().find(|pane| **pane == self.focus).or(panes.first()).copied()
    }

    /// What a pane shows, sorted and filtered.
    pub fn grid(&self, model: &Model, pane: Pane) -> Grid {
        let of = match self.page() {
            Page::Pool(name) => Some(name),
            _ => None,
        };
        let mut grid = pane.grid(model, of);
        if let Some(sort) = self.sort(pane) {
            grid.sort(sort);
        }
        grid.filter(self.filter(pane));
        grid
    }

    /// How a pane is sorted; `None`: as the console has it.
    pub fn sort(&self, pane: Pane) -> Option<Sort> {
        self.choices.get(&pane).and_then(|choice| choice.sort).or(pane.sort())
    }

    /// A pane's filter; empty: none.
    pub fn filter(&self, pane: Pane) -> &str {
        self.choices.get(&pane).map_or("", |choice| &choice.filter)
    }

    /// Which line of a grid is chosen.
    pub fn chosen(&self, pane: Pane, grid: &Grid) -> usize {
        let Some(choice) = self.choices.get(&pane) else { return 0 };
        let found = grid.lines.iter().position(|line| Some(&line.id) == choice.line.as_ref());
        found.unwrap_or(choice.at).min(grid.lines.len().saturating_sub(1))
    }

    /// Whether a filter is being typed.
    pub fn is_typing(&self) -> bool {
        self.typing
    }

    /// Whether the keys are listed.
    pub fn is_helping(&self) -> bool {
        self.help
    }

    /// Whether the picture stands still.
    pub fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// The time between two looks.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// How many lines of a page of words are above the screen.
    pub fn scrolled(&self) -> u16 {
        self.scrolled
    }

    /// Whether the page needs one of [`Show::ONE_BY_ONE`].
    pub fn needs(&self, show: Show) -> bool {
        match self.page() {
            Page::One(pane) => pane.show() == show,
            Page::Pool(_) => Show::ONE_BY_ONE.contains(&show),
            Page::Record(record) => record.pane.show() == show,
            Page::Overview | Page::Warnings => false,
        }
    }

    /// There is something new to see.
    pub fn refresh(&mut self, model: &Model) {
        let Some(Page::Record(record)) = self.pages.last_mut() else { return };
        if !model.look.has(record.pane.show()) {
            return;
        }
        match panes::record(record.pane, &model.look, &record.id) {
            Some(row) => {
                (record.fields, record.gone) = (owned(row.fields()), false);
            }
            None => record.gone = true,
        }
    }
}

fn owned<'a>(
    fields: impl Iterator<Item = (&'a str, Option<&'a str>)>,
) -> Vec<(String, Option<String>)> {
    fields.map(|(name, value)| (name.to_owned(), value.map(str::to_owned))).collect()
}

#[cfg(test)]
mod tests;
