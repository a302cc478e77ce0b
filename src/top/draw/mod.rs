//! From what is known and chosen to cells of the screen.
//!
//! ```text
//! title         where, which version, how it stands
//! pages         1 Overview  2 Hosts …
//! charts        transactions, queries, times
//! totals        clients, servers, pools
//! warnings      the worst first
//! the page      panes, or words
//! keys
//! ```

mod header;
mod pages;
mod pane;
mod theme;

use std::time::Instant;

use ratatui::Frame;
use ratatui::layout::Rect;
use unicode_width::UnicodeWidthChar;

pub(super) use self::theme::Theme;
use crate::top::model::Model;
use crate::top::model::panes::Pane;
use crate::top::model::view::{Page, View};

/// Smaller than this nothing can be read.
const LEAST: (u16, u16) = (40, 10);

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, model: &Model, view: &View, theme: Theme, now: Instant) {
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        frame.render_widget("pgweir top: terminal too small", area);
        return;
    }
    let mut rest = Rows(area);
    header::title(frame, rest.take(1), model, view, theme, now);
    header::tabs(frame, rest.take(1), model, view, theme);
    if view.is_helping() {
        let (body, last) = rest.split_last();
        pages::help(frame, body, theme);
        return header::keys(frame, last, model, view, theme);
    }
    let charts = header::charts_height(area);
    header::charts(frame, rest.take(charts), model, theme);
    header::totals(frame, rest.take(1), model, theme);
    if *view.page() != Page::Warnings {
        let lines = header::warnings(model, area, now);
        let height = u16::try_from(lines.len()).unwrap_or(u16::MAX);
        header::tell(frame, rest.take(height), &lines, theme);
    }
    let (body, last) = rest.split_last();
    match view.page() {
        Page::Record(record) => pages::record(frame, body, record, view.scrolled(), theme),
        Page::Warnings => pages::warnings(frame, body, model, view.scrolled(), theme),
        Page::Pool(name) => {
            let mut body = Rows(body);
            pages::pool(frame, body.take(1), model, name, theme);
            panes(frame, body.0, model, view, theme);
        }
        Page::Overview | Page::One(_) => panes(frame, body, model, view, theme),
    }
    header::keys(frame, last, model, view, theme);
}

fn panes(frame: &mut Frame<'_>, body: Rect, model: &Model, view: &View, theme: Theme) {
    let focus = view.focus(model);
    let grids: Vec<(Pane, _)> =
        view.panes(model).into_iter().map(|pane| (pane, view.grid(model, pane))).collect();
    let wants = grids.iter().map(|(_, grid)| pane::HEAD + grid.lines.len().max(1));
    let heights = share(usize::from(body.height), &wants.collect::<Vec<_>>());
    let mut rest = Rows(body);
    for ((pane, grid), height) in grids.iter().zip(heights) {
        let area = rest.take(u16::try_from(height).unwrap_or(u16::MAX));
        pane::draw(frame, area, model, view, (*pane, grid), Some(*pane) == focus, theme);
    }
}

/// Shares lines among those who want so many: nobody gets more than it wants while another one has less than that, and
/// what nobody wants is the last one's.
fn share(lines: usize, wants: &[usize]) -> Vec<usize> {
    let mut got = vec![0; wants.len()];
    let mut left = lines;
    while left > 0 {
        let hungry = got.iter_mut().zip(wants).filter(|(got, want)| **got < **want);
        let Some((least, _)) = hungry.min_by_key(|(got, _)| **got) else { break };
        *least += 1;
        left -= 1;
    }
    if let Some(last) = got.last_mut() {
        *last += left;
    }
    got
}

/// The lines of an area that are not taken yet.
struct Rows(Rect);

impl Rows {
    fn take(&mut self, height: u16) -> Rect {
        let height = height.min(self.0.height);
        let taken = Rect { height, ..self.0 };
        self.0 = Rect { y: self.0.y + height, height: self.0.height - height, ..self.0 };
        taken
    }

    /// All but the last line, and that.
    fn split_last(mut self) -> (Rect, Rect) {
        let body = self.take(self.0.height.saturating_sub(1));
        (body, self.0)
    }
}

/// A text in so many columns, cut or filled up with blanks. What would move the cursor or ring a bell is left out.
fn fitted(text: &str, width: usize, right: bool, theme: Theme) -> String {
    let mut out = String::new();
    let mut used = 0;
    let mut chars = text.chars().filter(|c| !c.is_control()).peekable();
    while let Some(c) = chars.next() {
        let columns = c.width().unwrap_or(0);
        let more = usize::from(chars.peek().is_some());
        if used + columns + more > width {
            let rest: usize = columns + chars.map(|c| c.width().unwrap_or(0)).sum::<usize>();
            if used + rest <= width {
                out.push(c);
                used += columns;
            } else if used < width {
                out.push(theme.cut());
                used += 1;
            }
            break;
        }
        out.push(c);
        used += columns;
    }
    let blanks = " ".repeat(width.saturating_sub(used));
    if right { blanks + &out } else { out + &blanks }
}

#[cfg(test)]
mod tests;
