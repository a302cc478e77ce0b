//! A grid with its title and headings.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::{Rows, Theme, fitted};
use crate::top::model::Model;
use crate::top::model::grid::{self, Grid};
use crate::top::model::panes::Pane;
use crate::top::model::view::View;

/// Lines above the first one of the grid: title and headings.
pub(super) const HEAD: usize = 2;

/// Draws it.
pub(super) fn draw(
    frame: &mut Frame<'_>,
    area: Rect,
    model: &Model,
    view: &View,
    (pane, grid): (Pane, &Grid),
    focused: bool,
    theme: Theme,
) {
    let mut rest = Rows(area);
    let width = usize::from(area.width);
    frame.render_widget(title(width, view, (pane, grid), focused, theme), rest.take(1));
    if grid.lines.is_empty() {
        let words = if !model.look.has(pane.show()) {
            " asking"
        } else if view.filter(pane).is_empty() {
            " none"
        } else {
            " none that the filter lets through"
        };
        return frame.render_widget(Span::styled(words, theme.faint()), rest.take(1));
    }
    // The sign stands in the first column.
    let columns = grid.fit(width.saturating_sub(1));
    let gap = " ".repeat(grid::gap(&columns, width.saturating_sub(1)));
    frame.render_widget(headings(&columns, &gap, grid, theme), rest.take(1));
    let height = usize::from(rest.0.height);
    let chosen = view.chosen(pane, grid);
    // Screen by screen, so that lines stand still while somebody goes through them.
    let first = chosen.checked_div(height).unwrap_or(0) * height;
    let first = first.min(grid.lines.len().saturating_sub(height));
    for (at, line) in grid.lines.iter().enumerate().skip(first).take(height) {
        let mut text = line.mark.sign().to_owned();
        for (cell, (column, width)) in columns.iter().enumerate() {
            let found = grid.columns.get(*column).zip(line.cells.get(*column));
            let Some((column, content)) = found else { continue };
            if cell > 0 {
                text += &gap;
            }
            text += &fitted(&content.text, *width, column.right, theme);
        }
        let style = theme.mark(line.mark);
        let style = if focused && at == chosen { style.patch(theme.chosen()) } else { style };
        frame.render_widget(Line::styled(fitted(&text, width, false, theme), style), rest.take(1));
    }
}

fn title<'a>(
    width: usize,
    view: &View,
    (pane, grid): (Pane, &Grid),
    focused: bool,
    theme: Theme,
) -> Line<'a> {
    let rule = |count: usize| theme.rule().to_string().repeat(count);
    let name = format!("{} {} ", pane.title(), grid.lines.len());
    let filter = match view.filter(pane) {
        "" => String::new(),
        filter => format!("with \"{filter}\" "),
    };
    let used = 3 + name.chars().count() + filter.chars().count();
    Line::from(vec![
        Span::styled(rule(2) + " ", theme.faint()),
        Span::styled(name, theme.title(focused)),
        Span::styled(filter, Style::new()),
        Span::styled(rule(width.saturating_sub(used)), theme.faint()),
    ])
}

fn headings<'a>(columns: &[(usize, usize)], gap: &str, grid: &Grid, theme: Theme) -> Line<'a> {
    let mut text = " ".to_owned();
    for (at, (column, width)) in columns.iter().enumerate() {
        let Some(column) = grid.columns.get(*column) else { continue };
        if at > 0 {
            text += gap;
        }
        let sorted = grid.sorted.filter(|sort| sort.by == column.title);
        let arrow = sorted.map_or_else(String::new, |sort| theme.arrow(sort.descending).into());
        text += &fitted(&format!("{}{arrow}", column.title), *width, column.right, theme);
    }
    Line::styled(text, theme.heading())
}
