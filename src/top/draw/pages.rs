//! Pages of words: one record, all warnings, the keys.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Wrap};

use super::Theme;
use crate::top::model::Model;
use crate::top::model::figures::{count, time};
use crate::top::model::panes::PoolName;
use crate::top::model::view::Record;
use crate::top::model::warnings;

/// The line above a pool's clients and servers.
pub(super) fn pool(
    frame: &mut Frame<'_>,
    area: Rect,
    model: &Model,
    name: &PoolName,
    theme: Theme,
) {
    let text = match name.row(&model.look) {
        None => " this pool is gone".to_owned(),
        Some(row) => {
            let value = |column| row.number(column).unwrap_or(0.0);
            let size = model.look.pool_sizes().of(&name.database, &name.user);
            let size = size.map_or_else(String::new, |size| format!(" of {}", count(size)));
            let wait = match value("cl_waiting") {
                waiting if waiting > 0.0 => {
                    let longest = value("maxwait") * 1e6 + value("maxwait_us");
                    format!("{} clients wait, the longest for {}", count(waiting), time(longest))
                }
                _ => "nobody waits".to_owned(),
            };
            let (mode, busy) = (row.word("pool_mode"), count(value("sv_active")));
            format!(
                " {mode} mode, {busy}{size} servers busy, {} idle, {wait}",
                count(value("sv_idle"))
            )
        }
    };
    frame.render_widget(Span::styled(text, theme.strong()), area);
}

/// All columns of one line.
pub(super) fn record(
    frame: &mut Frame<'_>,
    area: Rect,
    record: &Record,
    scrolled: u16,
    theme: Theme,
) {
    let mut lines = Vec::new();
    if record.gone {
        lines.push(Line::styled(" It is gone; this is what was last known.", theme.strong()));
    }
    let widest = record.fields.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, value) in &record.fields {
        let clean: String;
        let value = match value {
            None => Span::styled("-", theme.faint()),
            Some(value) => {
                clean = value.chars().filter(|c| !c.is_control()).collect();
                Span::raw(clean)
            }
        };
        lines.push(Line::from(vec![
            Span::styled(format!(" {name:>widest$}  "), theme.faint()),
            value,
        ]));
    }
    words(frame, area, lines, scrolled);
}

/// All warnings at full length.
pub(super) fn warnings(
    frame: &mut Frame<'_>,
    area: Rect,
    model: &Model,
    scrolled: u16,
    theme: Theme,
) {
    let mut lines = Vec::new();
    for found in warnings::warnings(&model.look) {
        let what = format!("{}{}", found.mark.sign(), found.what);
        lines.push(Line::styled(what, theme.mark(found.mark)));
        lines.push(Line::raw(format!("   {}", found.advice)));
    }
    if lines.is_empty() {
        lines.push(Line::styled(" Nothing to warn of.", theme.faint()));
    }
    words(frame, area, lines, scrolled);
}

const HELP: &[(&str, &str)] = &[
    ("1 ... 8, Left, Right", "pages; those that this console does not know are missing"),
    ("Tab, Shift-Tab", "the next pane of a page, the one before"),
    ("Up, Down, PgUp, PgDn, Home, End", "choose a line (also j k g G)"),
    ("Enter", "open: a pool's clients and servers; of other lines all that is known"),
    ("Esc", "clear the filter, else go back"),
    ("/", "filter: lines in which every word is found"),
    ("s, S", "sort by the next column, by the one before (also > <)"),
    ("r", "turn the order round"),
    ("w", "all warnings, and what to do"),
    ("p, Space", "freeze, and go on"),
    ("+, -", "look less often, more often"),
    ("?, q, Ctrl-C", "these keys; quit; quit"),
];

/// The keys, and what signs mean.
pub(super) fn help(frame: &mut Frame<'_>, area: Rect, theme: Theme) {
    let key = |(key, what): &(&str, &str)| {
        Line::from(vec![
            Span::styled(format!(" {key:<32}"), theme.strong()),
            Span::raw((*what).to_owned()),
        ])
    };
    let mut lines = vec![Line::raw("")];
    lines.extend(HELP.iter().map(key));
    lines.extend([
        Line::raw(""),
        Line::raw(
            " ! somebody suffers   ~ it may come to that   faint lines: nothing happens there",
        ),
        Line::raw(" Rates and times are averages over the time between two looks."),
    ]);
    words(frame, area, lines, 0);
}

fn words(frame: &mut Frame<'_>, area: Rect, lines: Vec<Line<'_>>, scrolled: u16) {
    let paragraph = Paragraph::new(lines).wrap(Wrap { trim: false }).scroll((scrolled, 0));
    frame.render_widget(paragraph, area);
}
