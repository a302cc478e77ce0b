//! What is above and below every page: who we are, charts, totals, warnings, keys.

use std::time::{Duration, Instant};

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{RenderDirection, Sparkline};

use super::{Rows, Theme, fitted};
use crate::top::model::figures::{count, part, time};
use crate::top::model::grid::Mark;
use crate::top::model::history::Rates;
use crate::top::model::look::{CONSOLE, Show};
use crate::top::model::panes::Pane;
use crate::top::model::view::{Page, View};
use crate::top::model::warnings::{Warning, warnings as found};
use crate::top::model::{Link, Model};

/// How long it is told that a connection came back.
const TOLD: Duration = Duration::from_secs(30);
/// An answer that is later than this is missed.
const LATE: Duration = Duration::from_secs(3);
/// Below this width words move closer together.
const NARROW: u16 = 90;
/// From this width on all charts stand side by side.
const WIDE: u16 = 150;
/// From this height on there is room for charts of several lines, and more warnings.
const TALL: u16 = 36;

/// The first line.
pub(super) fn title(
    frame: &mut Frame<'_>,
    area: Rect,
    model: &Model,
    view: &View,
    theme: Theme,
    now: Instant,
) {
    let look = &model.look;
    let age = model.seen.map_or(Duration::ZERO, |seen| now.saturating_duration_since(seen));
    let late = age > view.interval() + LATE;
    let (state, mark) = match &model.link {
        Link::Connecting => ("connecting".to_owned(), Mark::Plain),
        Link::Down { since, .. } => {
            let gone = now.saturating_duration_since(*since).as_secs();
            (format!("NO CONNECTION for {gone} s"), Mark::Bad)
        }
        Link::Up { .. } if view.is_frozen() => ("FROZEN".to_owned(), Mark::Warn),
        Link::Up { .. } if late => (format!("no answer for {} s", age.as_secs()), Mark::Warn),
        Link::Up { .. } if !matches!(look.state(), "" | "active") => {
            (look.state().to_uppercase(), Mark::Bad)
        }
        // Before pgbouncer 1.19 there is no SHOW STATE.
        Link::Up { .. } if look.state().is_empty() => ("connected".to_owned(), Mark::Plain),
        Link::Up { .. } => (look.state().to_owned(), Mark::Plain),
    };
    let pace = format!("every {} s ", view.interval().as_secs_f64());
    let right = format!("{state}  {pace}");
    let room = usize::from(area.width).saturating_sub(right.chars().count() + 1);
    let left = format!(" pgweir top  {}  {}", model.place, look.version());
    let line = Line::from(vec![
        Span::styled(fitted(&left, room, false, theme), theme.strong()),
        Span::raw(" "),
        Span::styled(state, theme.mark(mark)),
        Span::raw("  "),
        Span::styled(pace, theme.faint()),
    ]);
    frame.render_widget(line, area);
}

/// The pages that have a number; deeper ones have the way that leads there.
pub(super) fn tabs(frame: &mut Frame<'_>, area: Rect, model: &Model, view: &View, theme: Theme) {
    let mut spans = vec![Span::raw(" ")];
    if view.is_deep() {
        let (last, way) =
            view.way().split_last().map_or((None, &[][..]), |(last, way)| (Some(last), way));
        for page in way {
            spans.push(Span::styled(format!("{} > ", name(page)), theme.faint()));
        }
        spans.extend(last.map(|page| Span::styled(name(page), theme.chosen())));
        return frame.render_widget(Line::from(spans), area);
    }
    let there = Pane::ALL.into_iter().enumerate().filter(|(_, pane)| pane.is_there(&model.look));
    let there = there.map(|(at, pane)| (at + 2, Page::One(pane)));
    let gap = if area.width < NARROW { " " } else { "   " };
    for (number, page) in [(1, Page::Overview)].into_iter().chain(there) {
        let here = *view.page() == page;
        let style = if here { theme.chosen() } else { theme.faint() };
        spans.push(Span::styled(format!("{number} {}", name(&page)), style));
        spans.push(Span::raw(gap));
    }
    frame.render_widget(Line::from(spans), area);
}

fn name(page: &Page) -> String {
    match page {
        Page::Overview => "Overview".to_owned(),
        Page::One(pane) => pane.title().to_owned(),
        Page::Pool(name) => format!("Pool {}/{}", name.database, name.user),
        // What these are recognised by is long, and on the page.
        Page::Record(record) if matches!(record.pane, Pane::Reads | Pane::Events) => {
            record.pane.one().to_owned()
        }
        Page::Record(record) => format!("{} {}", record.pane.one(), record.id),
        Page::Warnings => "Warnings".to_owned(),
    }
}

/// Lines that the charts take on a screen of this size.
pub(super) fn charts_height(screen: Rect) -> u16 {
    let rows = if screen.width >= WIDE { 1 } else { 2 };
    let each = if screen.height >= TALL { 3 } else { 1 };
    rows * each
}

/// Rates and times of all databases together.
pub(super) fn charts(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: Theme) {
    let per_second = |number: Option<f64>| number.map_or_else(|| "-".to_owned(), count);
    let each = |us: Option<f64>| us.map_or_else(|| "-".to_owned(), time);
    let latest = model.history.latest();
    type Of = fn(&Rates) -> f64;
    let all: [(&str, String, Of); 4] = [
        ("xact/s", per_second(latest.map(|rates| rates.transactions)), |rates| rates.transactions),
        ("per xact", each(latest.and_then(|rates| rates.transaction_us)), |rates| {
            rates.transaction_us.unwrap_or(0.0)
        }),
        ("query/s", per_second(latest.map(|rates| rates.queries)), |rates| rates.queries),
        ("wait", each(latest.and_then(|rates| rates.wait_us)), |rates| {
            rates.wait_us.unwrap_or(0.0)
        }),
    ];
    let side_by_side = if area.width >= WIDE { 4 } else { 2 };
    let rows = all.chunks(side_by_side);
    let height = area.height / u16::try_from(rows.len()).unwrap_or(1).max(1);
    let mut rest = Rows(area);
    for row in rows {
        let places =
            Layout::horizontal(row.iter().map(|_| Constraint::Fill(1))).split(rest.take(height));
        for ((name, figure, of), place) in row.iter().zip(places.iter()) {
            let [words, bars, _gap] = Layout::horizontal([
                Constraint::Length(19),
                Constraint::Fill(1),
                Constraint::Length(1),
            ])
            .areas(*place);
            let line = Line::from(vec![
                Span::styled(format!(" {name:<8} "), theme.faint()),
                Span::styled(format!("{figure:>8} "), theme.strong()),
            ]);
            let foot = Rect { y: words.bottom().saturating_sub(1), height: 1, ..words };
            frame.render_widget(line, foot);
            frame.render_widget(sparkline(model, *of, theme), bars);
        }
    }
}

/// Bars from the newest interval, on the right, to the left.
fn sparkline<'a>(model: &Model, of: fn(&Rates) -> f64, theme: Theme) -> Sparkline<'a> {
    // Thousandths, so that small figures have a shape as well.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    let bar = |rates: &Rates| (of(rates) * 1e3) as u64;
    let newest_first = model.history.all().rev().map(bar).collect::<Vec<_>>();
    Sparkline::default()
        .data(newest_first)
        .direction(RenderDirection::RightToLeft)
        .bar_set(theme.bars())
        .style(theme.chart())
}

/// How many there are of everything.
pub(super) fn totals(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: Theme) {
    let look = &model.look;
    let pools = || look.rows(Show::Pools).filter(|row| row.word("database") != CONSOLE);
    let sum = |columns: &[&str]| {
        let cells = pools().flat_map(|row| columns.iter().filter_map(move |name| row.number(name)));
        count(cells.sum())
    };
    let most =
        look.setting("max_client_conn").map_or_else(String::new, |most| format!(" of {most}"));
    let clients =
        look.count("used_clients").map_or_else(|| sum(&["cl_active", "cl_waiting"]), count);
    let figures = [
        ("clients", format!("{clients}{most}")),
        ("waiting", sum(&["cl_waiting"])),
        ("servers busy", sum(&["sv_active"])),
        ("idle", sum(&["sv_idle", "sv_used", "sv_tested"])),
    ];
    let on_replicas = model.history.on_replicas(look).map(|share| ("on replicas", part(share)));
    let mut spans = vec![Span::raw(" ")];
    for (name, figure) in figures.into_iter().chain(on_replicas) {
        spans.push(Span::styled(format!("{name} "), theme.faint()));
        spans.push(Span::styled(figure, theme.strong()));
        spans.push(Span::raw(if area.width < NARROW { "  " } else { "   " }));
    }
    frame.render_widget(Line::from(spans), area);
}

/// What is told above every page: the connection, then the worst of the warnings.
pub(super) fn warnings(model: &Model, screen: Rect, now: Instant) -> Vec<Warning> {
    let room = if screen.height >= TALL { 6 } else { 2 };
    let mut lines = Vec::new();
    match &model.link {
        Link::Down { why, .. } => lines.push(Warning {
            mark: Mark::Bad,
            what: why.clone(),
            advice: "what is shown is what was known; trying again".to_owned(),
        }),
        Link::Up { again: Some((at, away)) } if now.saturating_duration_since(*at) < TOLD => {
            lines.push(Warning {
                mark: Mark::Plain,
                what: format!("connected again after {}", time(away.as_secs_f64() * 1e6)),
                advice: "rates and charts leave that time out".to_owned(),
            });
        }
        Link::Up { .. } | Link::Connecting => {}
    }
    let all = found(&model.look);
    let rest = (lines.len() + all.len()).saturating_sub(room);
    let shown = if rest > 0 { room.saturating_sub(lines.len() + 1) } else { all.len() };
    let hidden = all.len() - shown;
    lines.extend(all.into_iter().take(shown));
    if hidden > 0 {
        let what = format!("{hidden} warnings{}", if shown > 0 { " more" } else { "" });
        lines.push(Warning { mark: Mark::Bad, what, advice: "w shows them all".to_owned() });
    }
    lines
}

/// Draws them, each on a line.
pub(super) fn tell(frame: &mut Frame<'_>, area: Rect, lines: &[Warning], theme: Theme) {
    let mut rest = Rows(area);
    for Warning { mark, what, advice } in lines {
        let width = usize::from(area.width);
        let what = format!("{}{what}", mark.sign());
        let room = width.saturating_sub(what.chars().count());
        let line = Line::from(vec![
            Span::styled(
                fitted(&what, what.chars().count().min(width), false, theme),
                theme.mark(*mark),
            ),
            Span::raw(fitted(&format!(": {advice}"), room, false, theme)),
        ]);
        frame.render_widget(line, rest.take(1));
    }
}

/// The last line: what can be done here.
pub(super) fn keys(frame: &mut Frame<'_>, area: Rect, model: &Model, view: &View, theme: Theme) {
    let focus = view.focus(model);
    if let (true, Some(pane)) = (view.is_typing(), focus) {
        let text = format!(
            " filter {}: {}_   Enter keeps it, Esc clears it",
            pane.title(),
            view.filter(pane)
        );
        return frame.render_widget(Span::styled(text, theme.strong()), area);
    }
    let mut text = String::new();
    if view.is_deep() {
        text += " Esc back ";
    }
    text += match (view.is_helping(), focus) {
        (true, _) => " any key closes this",
        (false, Some(_)) => {
            " ? keys  Enter open  / filter  s sort  r reverse  Tab pane  p freeze  q quit"
        }
        (false, None) => " ? keys  Up Down scroll  q quit",
    };
    frame.render_widget(Span::styled(text, theme.faint()), area);
}
