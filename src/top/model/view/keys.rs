//! What each key does.

use std::time::Duration;

use super::{Choice, Page, Record, View, owned};
use crate::top::model::Model;
use crate::top::model::grid::Sort;
use crate::top::model::panes::{self, Pane, PoolName};

/// A key, whatever the terminal calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are named as on the keyboard")]
pub enum Key {
    Char(char),
    Up,
    Down,
    Left,
    Right,
    PageUp,
    PageDown,
    Home,
    End,
    Enter,
    Escape,
    Tab,
    BackTab,
    Backspace,
    /// Ctrl-C.
    Stop,
}

/// How far PageUp and PageDown go.
const PAGE: usize = 10;

/// What `+` and `-` step through, seconds.
const INTERVALS: [f64; 8] = [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0];

impl View {
    /// A key was pressed. Returns whether that was all.
    pub fn key(&mut self, key: Key, model: &Model) -> bool {
        if key == Key::Stop {
            return true;
        }
        if self.typing {
            self.type_filter(key, model);
            return false;
        }
        if self.help {
            self.help = false;
            return key == Key::Char('q');
        }
        match key {
            Key::Char('q') => return true,
            Key::Char('?' | 'h') => self.help = true,
            Key::Char(' ' | 'p') => self.frozen = !self.frozen,
            Key::Char('+') => self.pace(true),
            Key::Char('-') => self.pace(false),
            Key::Char('w') => self.open(Page::Warnings),
            Key::Char('1') => self.go(Page::Overview),
            Key::Char(digit @ '2'..='8') => {
                let at = usize::try_from(u32::from(digit) - u32::from('2')).unwrap_or(0);
                if let Some(pane) = Pane::ALL.get(at).filter(|pane| pane.is_there(&model.look)) {
                    self.go(Page::One(*pane));
                }
            }
            Key::Left => self.turn(model, false),
            Key::Right => self.turn(model, true),
            Key::Escape | Key::Backspace => self.back(model),
            _ => self.key_in_pane(key, model),
        }
        false
    }

    fn key_in_pane(&mut self, key: Key, model: &Model) {
        let Some(pane) = self.focus(model) else { return self.scroll(key) };
        match key {
            Key::Up | Key::Char('k') => self.step(model, pane, -1),
            Key::Down | Key::Char('j') => self.step(model, pane, 1),
            Key::PageUp => self.step(model, pane, -(PAGE as isize)),
            Key::PageDown => self.step(model, pane, PAGE as isize),
            Key::Home | Key::Char('g') => self.step(model, pane, isize::MIN),
            Key::End | Key::Char('G') => self.step(model, pane, isize::MAX),
            Key::Enter => self.enter(model, pane),
            Key::Tab => self.next_pane(model, pane, 1),
            Key::BackTab => self.next_pane(model, pane, -1),
            Key::Char('/') => {
                self.focus = pane;
                self.typing = true;
            }
            Key::Char('s' | '>') => self.sort_by_next(model, pane, 1),
            Key::Char('S' | '<') => self.sort_by_next(model, pane, -1),
            Key::Char('r') => {
                if let Some(sort) = self.sort(pane) {
                    let turned = Sort { descending: !sort.descending, ..sort };
                    self.choice(pane).sort = Some(turned);
                }
            }
            _ => {}
        }
    }

    fn choice(&mut self, pane: Pane) -> &mut Choice {
        self.choices.entry(pane).or_default()
    }

    fn open(&mut self, page: Page) {
        if *self.page() != page {
            self.pages.push(page);
            self.scrolled = 0;
        }
    }

    /// To one of the pages that have a number.
    fn go(&mut self, page: Page) {
        if let Page::One(pane) = page {
            self.focus = pane;
        }
        self.pages = vec![page];
        self.scrolled = 0;
    }

    /// To the page beside this one.
    fn turn(&mut self, model: &Model, forward: bool) {
        let there = Pane::ALL.into_iter().filter(|pane| pane.is_there(&model.look));
        let all: Vec<Page> = [Page::Overview].into_iter().chain(there.map(Page::One)).collect();
        let at = self.pages.first().and_then(|page| all.iter().position(|other| other == page));
        let step = if forward { 1 } else { all.len() - 1 };
        if let Some(page) = all.get((at.unwrap_or(0) + step) % all.len()) {
            self.go(page.clone());
        }
    }

    /// Takes the filter away, else goes to the page before.
    fn back(&mut self, model: &Model) {
        let filtered = self.focus(model).filter(|pane| !self.filter(*pane).is_empty());
        if let Some(pane) = filtered {
            self.choice(pane).filter.clear();
        } else if self.is_deep() {
            self.pages.pop();
            self.scrolled = 0;
        }
    }

    fn enter(&mut self, model: &Model, pane: Pane) {
        let grid = self.grid(model, pane);
        let Some(line) = grid.lines.get(self.chosen(pane, &grid)) else { return };
        if pane == Pane::Pools {
            if let Some(name) = PoolName::of_line(&model.look, line) {
                self.open(Page::Pool(name));
                self.focus = Pane::Clients;
            }
            return;
        }
        if let Some(row) = panes::record(pane, &model.look, &line.id) {
            let (id, fields) = (line.id.clone(), owned(row.fields()));
            self.open(Page::Record(Record { pane, id, fields, gone: false }));
        }
    }

    fn step(&mut self, model: &Model, pane: Pane, by: isize) {
        let grid = self.grid(model, pane);
        let last = grid.lines.len().saturating_sub(1);
        let at = self.chosen(pane, &grid).saturating_add_signed(by).min(last);
        let line = grid.lines.get(at).map(|line| line.id.clone());
        let choice = self.choice(pane);
        (choice.at, choice.line) = (at, line);
    }

    fn scroll(&mut self, key: Key) {
        let page = u16::try_from(PAGE).unwrap_or(u16::MAX);
        self.scrolled = match key {
            Key::Up | Key::Char('k') => self.scrolled.saturating_sub(1),
            Key::Down | Key::Char('j') => self.scrolled.saturating_add(1),
            Key::PageUp => self.scrolled.saturating_sub(page),
            Key::PageDown => self.scrolled.saturating_add(page),
            Key::Home | Key::Char('g') => 0,
            _ => self.scrolled,
        };
    }

    fn next_pane(&mut self, model: &Model, pane: Pane, by: isize) {
        let panes = self.panes(model);
        if let Some(next) = beside(&panes, |other| *other == pane, by) {
            self.focus = *next;
        }
    }

    fn sort_by_next(&mut self, model: &Model, pane: Pane, by: isize) {
        let grid = self.grid(model, pane);
        let now = self.sort(pane);
        let next = beside(&grid.columns, |column| Some(column.title) == now.map(|now| now.by), by);
        if let Some(next) = next {
            // Of numbers the largest are looked for, words are read from A to Z.
            self.choice(pane).sort = Some(Sort { by: next.title, descending: next.right });
        }
    }

    fn type_filter(&mut self, key: Key, model: &Model) {
        let Some(pane) = self.focus(model) else {
            self.typing = false;
            return;
        };
        let filter = &mut self.choice(pane).filter;
        match key {
            Key::Char(c) => filter.push(c),
            Key::Backspace => drop(filter.pop()),
            Key::Escape => {
                filter.clear();
                self.typing = false;
            }
            Key::Enter => self.typing = false,
            _ => {}
        }
    }

    fn pace(&mut self, slower: bool) {
        let now = self.interval.as_secs_f64();
        let next = if slower {
            INTERVALS.into_iter().find(|step| *step > now)
        } else {
            INTERVALS.into_iter().rfind(|step| *step < now)
        };
        self.interval = next.map_or(self.interval, Duration::from_secs_f64);
    }
}

/// The one so far from the one that fits, around the ends; the first one if none fits.
fn beside<T>(all: &[T], fits: impl Fn(&T) -> bool, by: isize) -> Option<&T> {
    let at = all.iter().position(fits);
    let count = isize::try_from(all.len()).ok().filter(|count| *count > 0)?;
    let at = at.and_then(|at| isize::try_from(at).ok());
    let next = at.map_or(0, |at| (at + by).rem_euclid(count));
    all.get(usize::try_from(next).ok()?)
}
