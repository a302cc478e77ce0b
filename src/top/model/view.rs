//! What the person at the keyboard has chosen: page, pane, line, sort, filter. Keys go in; what is to be shown comes out.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Model;
use super::grid::{Grid, Sort};
use super::look::Show;
use super::panes::{self, Pane, PoolName};

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

/// How far PageUp and PageDown go.
const PAGE: usize = 10;
/// On screens of so many lines the overview has room for one pane more.
const TALL: u16 = 34;
/// What `+` and `-` step through, seconds.
const INTERVALS: [f64; 8] = [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0];

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

fn owned<'a>(
    fields: impl Iterator<Item = (&'a str, Option<&'a str>)>,
) -> Vec<(String, Option<String>)> {
    fields.map(|(name, value)| (name.to_owned(), value.map(str::to_owned))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::look;
    use super::*;

    const POOLS: &str = "database user cl_active cl_waiting sv_active sv_idle maxwait\n\
        app ann 5 0 5 0 0\napp bob 1 3 1 1 0\nother ann 9 0 2 0 0";
    const CLIENTS: &str =
        "type user database state id\nC ann app active 1\nC bob app waiting 2\nC bob app idle 3";

    fn model(more: &[(Show, &str)]) -> Model {
        let mut model = Model::new("here".into());
        let answers: Vec<_> =
            [(Show::Pools, POOLS)].into_iter().chain(more.iter().copied()).collect();
        model.look = look(&answers);
        model
    }

    fn view() -> View {
        View::new(Duration::from_secs(2))
    }

    fn press(view: &mut View, model: &Model, keys: &str) {
        for c in keys.chars() {
            let key = match c {
                '\n' => Key::Enter,
                '\t' => Key::Tab,
                '\u{1b}' => Key::Escape,
                'v' => Key::Down,
                c => Key::Char(c),
            };
            assert!(!view.key(key, model), "{c:?} is no reason to end");
        }
    }

    fn ids(view: &View, model: &Model, pane: Pane) -> Vec<String> {
        view.grid(model, pane).lines.into_iter().map(|line| line.id).collect()
    }

    #[test]
    fn the_overview_has_what_the_console_has() {
        let mut view = view();
        assert_eq!(view.panes(&model(&[])), [Pane::Pools, Pane::Databases]);
        let whole = model(&[
            (Show::Topology, "database host\napp a"),
            (Show::Events, "time event\n1 joined"),
        ]);
        assert_eq!(view.panes(&whole), [Pane::Hosts, Pane::Pools, Pane::Events]);
        view.resized(50);
        assert_eq!(view.panes(&whole), [Pane::Hosts, Pane::Pools, Pane::Databases, Pane::Events]);
        press(&mut view, &whole, "8");
        assert_eq!(*view.page(), Page::One(Pane::Events));
        press(&mut view, &whole, "7");
        assert_eq!(*view.page(), Page::One(Pane::Events), "there are no reads to see here");
        view.key(Key::Right, &whole);
        assert_eq!(*view.page(), Page::Overview);
        view.key(Key::Left, &whole);
        assert_eq!(*view.page(), Page::One(Pane::Events));
    }

    #[test]
    fn the_chosen_line_stays_chosen_wherever_it_goes() {
        let (mut view, model) = (view(), model(&[]));
        assert_eq!(ids(&view, &model, Pane::Pools), ["app/bob", "app/ann", "other/ann"]);
        press(&mut view, &model, "vv");
        press(&mut view, &model, "S"); // by clients
        let grid = view.grid(&model, Pane::Pools);
        assert_eq!(view.sort(Pane::Pools), Some(Sort { by: "clients", descending: true }));
        assert_eq!((view.chosen(Pane::Pools, &grid), &*grid.lines[0].id), (0, "other/ann"));
        press(&mut view, &model, "r");
        let grid = view.grid(&model, Pane::Pools);
        assert_eq!((view.chosen(Pane::Pools, &grid), &*grid.lines[2].id), (2, "other/ann"));
        press(&mut view, &model, "vvv");
        assert_eq!(view.chosen(Pane::Pools, &grid), 2, "there is nothing below the last");
    }

    #[test]
    fn a_filter_is_typed_seen_at_once_and_taken_away_by_escape() {
        let (mut view, model) = (view(), model(&[]));
        press(&mut view, &model, "/bob");
        assert!(view.is_typing());
        assert_eq!(ids(&view, &model, Pane::Pools), ["app/bob"]);
        view.key(Key::Backspace, &model);
        press(&mut view, &model, "q\n");
        assert_eq!(view.filter(Pane::Pools), "boq");
        assert!(ids(&view, &model, Pane::Pools).is_empty() && !view.is_typing());
        press(&mut view, &model, "\u{1b}");
        assert_eq!(ids(&view, &model, Pane::Pools).len(), 3);
    }

    #[test]
    fn a_pool_opens_to_its_clients_and_a_client_to_all_that_is_known_of_it() {
        let mut view = view();
        let mut model = model(&[]);
        press(&mut view, &model, "\n");
        assert!(matches!(view.page(), Page::Pool(name) if name.user == "bob"));
        assert!(view.needs(Show::Clients) && view.needs(Show::Servers));
        model.look = look(&[(Show::Pools, POOLS), (Show::Clients, CLIENTS)]);
        assert_eq!(ids(&view, &model, Pane::Clients), ["2", "3"]);
        press(&mut view, &model, "v\n");
        let Page::Record(record) = view.page() else { panic!("{:?}", view.page()) };
        assert_eq!(
            (record.id.as_str(), record.fields[3].clone()),
            ("3", ("state".into(), Some("idle".into())))
        );
        model.look = look(&[(Show::Clients, "type user database state id\nC bob app active 3")]);
        view.refresh(&model);
        assert!(
            matches!(view.page(), Page::Record(record) if record.fields[3].1.as_deref() == Some("active"))
        );
        model.look = look(&[(Show::Clients, "id\n4")]);
        view.refresh(&model);
        assert!(
            matches!(view.page(), Page::Record(record) if record.gone && record.fields.len() == 5)
        );
        press(&mut view, &model, "\u{1b}\u{1b}\u{1b}");
        assert_eq!(*view.page(), Page::Overview);
        assert!(!view.needs(Show::Clients));
    }

    #[test]
    fn tab_goes_through_the_panes_and_around() {
        let (mut view, model) = (view(), model(&[]));
        assert_eq!(view.focus(&model), Some(Pane::Pools));
        press(&mut view, &model, "\t");
        assert_eq!(view.focus(&model), Some(Pane::Databases));
        press(&mut view, &model, "\t");
        assert_eq!(view.focus(&model), Some(Pane::Pools));
    }

    #[test]
    fn pace_freeze_help_and_end() {
        let (mut view, model) = (view(), model(&[]));
        press(&mut view, &model, "+p");
        assert_eq!((view.interval(), view.is_frozen()), (Duration::from_secs(5), true));
        press(&mut view, &model, "------");
        assert_eq!(view.interval(), Duration::from_millis(500));
        press(&mut view, &model, "?");
        assert!(view.is_helping());
        press(&mut view, &model, "x");
        assert!(!view.is_helping());
        assert!(view.key(Key::Char('q'), &model) && view.key(Key::Stop, &model));
    }
}
