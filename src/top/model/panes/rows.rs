//! The columns of each pane, and what a row of the console's answer becomes in them.

use crate::top::model::Model;
use crate::top::model::figures::{bytes, count, part, time};
use crate::top::model::grid::{Cell, Column, Mark, figures, words};
use crate::top::model::look::{CONSOLE, PoolSizes};
use crate::top::model::table::Row;

pub(super) const HOSTS: &[Column] = &[
    words("database", 8, 24),
    words("host", 10, 40),
    words("role", 10, 10),
    words("state", 9, 8),
    figures("tl", 5),
    figures("lag", 9),
    figures("behind", 4),
    figures("busy", 6),
    figures("idle", 6),
    figures("xact/s", 8),
    figures("share", 7),
    words("since", 3, 19),
    words("last error", 2, 80),
];

pub(super) fn host(model: &Model, row: Row<'_>) -> Option<(Mark, Vec<Cell>)> {
    let (rate, share) = match model.history.host(row) {
        Some((rate, share)) => (Some(rate), share),
        None => (None, None),
    };
    let down = row.text("state").is_some_and(|state| state != "up");
    let mark = match row.word("role") {
        "deposed" => Mark::Bad,
        _ if down => Mark::Bad,
        "unknown" => Mark::Warn,
        _ => Mark::Plain,
    };
    let cells = vec![
        Cell::word(row.word("database")),
        Cell::word(&place(row.word("host"), row.word("port"))),
        Cell::word(row.word("role")),
        Cell::word(row.word("state")),
        number(row, "timeline", count),
        number(row, "lag_ms", |ms| time(ms * 1e3)),
        number(row, "lag_bytes", bytes),
        number(row, "sv_active", count),
        number(row, "sv_idle", count),
        Cell::number(rate, count),
        Cell::number(share, part),
        Cell::word(without_zone(row.word("since"))),
        Cell::word(if down { row.word("last_error") } else { "" }),
    ];
    Some((mark, cells))
}

pub(super) const POOLS: &[Column] = &[
    words("database", 10, 24),
    words("user", 10, 20),
    words("mode", 2, 11),
    figures("clients", 8),
    figures("waiting", 9),
    figures("longest", 8),
    figures("busy", 9),
    figures("idle", 8),
    figures("checked", 1),
    figures("login", 3),
    figures("cancel", 1),
    figures("size", 6),
    words("in use", 5, 10),
];

pub(super) fn pool(sizes: &PoolSizes<'_>, row: Row<'_>) -> Option<(Mark, Vec<Cell>)> {
    if row.word("database") == CONSOLE {
        return None;
    }
    let value = |column| row.number(column).unwrap_or(0.0);
    let waiting = value("cl_waiting");
    let longest = value("maxwait") * 1e6 + value("maxwait_us");
    let (used, idle) = (value("sv_active"), value("sv_idle"));
    // Also those that are being looked at before their next use.
    let checked = value("sv_used") + value("sv_tested");
    let cancels = ["cl_active_cancel_req", "cl_waiting_cancel_req", "cl_cancel_req"];
    let cancels = cancels.iter().filter_map(|column| row.number(column)).sum::<f64>();
    let size = sizes.of(row.word("database"), row.word("user"));
    let mark = if waiting > 0.0 && longest >= LONG_US {
        Mark::Bad
    } else if waiting > 0.0 {
        Mark::Warn
    } else if value("cl_active") + used + idle + checked <= 0.0 {
        Mark::Quiet
    } else {
        Mark::Plain
    };
    let unless_none = |number: f64| (number > 0.0).then_some(number);
    let cells = vec![
        Cell::word(row.word("database")),
        Cell::word(row.word("user")),
        Cell::word(row.word("pool_mode")),
        number(row, "cl_active", count),
        number(row, "cl_waiting", count),
        Cell::number(Some(longest), |us| if us > 0.0 { time(us) } else { "-".to_owned() }),
        number(row, "sv_active", count),
        number(row, "sv_idle", count),
        Cell::number(unless_none(checked), count),
        Cell::number(row.number("sv_login").and_then(unless_none), count),
        Cell::number(unless_none(cancels), count),
        Cell::number(size, count),
        Cell::number(size.map(|size| used / size), bar),
    ];
    Some((mark, cells))
}

/// A wait that a person would notice.
pub(in crate::top::model) const LONG_US: f64 = 1e6;

/// Ten signs, as many of them full as tenths of the pool are in use: none only when nothing is, all only when all is.
pub(super) fn bar(part: f64) -> String {
    let tenths = (1..=10).filter(|tenth| part * 10.0 >= f64::from(*tenth) - 0.5).count();
    let full = match part {
        part if part <= 0.0 => 0,
        part if part >= 1.0 => 10,
        _ => tenths.clamp(1, 9),
    };
    format!("{}{}", "#".repeat(full), ".".repeat(10 - full))
}

pub(super) const DATABASES: &[Column] = &[
    words("database", 10, 24),
    figures("xact/s", 9),
    figures("query/s", 9),
    figures("xact", 8),
    figures("query", 7),
    figures("wait", 8),
    figures("in/s", 4),
    figures("out/s", 4),
    figures("clients", 6),
    figures("most", 2),
    figures("servers", 6),
    figures("limit", 2),
    words("state", 5, 9),
    words("host", 3, 48),
];

pub(super) fn database(model: &Model, row: Row<'_>) -> Option<(Mark, Vec<Cell>)> {
    let name = row.word("name");
    if name == CONSOLE {
        return None;
    }
    let rates = model.history.database(name);
    let is = |column| row.number(column) == Some(1.0);
    let (mark, state) = match (is("disabled"), is("paused")) {
        (true, _) => (Mark::Warn, "disabled"),
        (_, true) => (Mark::Warn, "paused"),
        _ if rates.is_none_or(|rates| rates.queries <= 0.0) => (Mark::Quiet, ""),
        _ => (Mark::Plain, ""),
    };
    let limit = |column| Cell::number(row.number(column).filter(|limit| *limit > 0.0), count);
    let cells = vec![
        Cell::word(name),
        Cell::number(rates.map(|rates| rates.transactions), count),
        Cell::number(rates.map(|rates| rates.queries), count),
        Cell::number(rates.and_then(|rates| rates.transaction_us), time),
        Cell::number(rates.and_then(|rates| rates.query_us), time),
        Cell::number(rates.and_then(|rates| rates.wait_us), time),
        Cell::number(rates.map(|rates| rates.received), bytes),
        Cell::number(rates.map(|rates| rates.sent), bytes),
        number(row, "current_client_connections", count),
        limit("max_client_connections"),
        number(row, "current_connections", count),
        limit("max_connections"),
        Cell::word(state),
        Cell::word(
            &row.text("host").map_or_else(String::new, |host| place(host, row.word("port"))),
        ),
    ];
    Some((mark, cells))
}

pub(super) const CLIENTS: &[Column] = &[
    words("database", 8, 20),
    words("user", 8, 20),
    words("state", 9, 17),
    figures("wait", 9),
    words("from", 10, 40),
    words("application", 6, 30),
    figures("prepared", 1),
    words("tls", 1, 30),
    words("since", 4, 19),
    figures("id", 7),
];

pub(super) fn client(row: Row<'_>) -> (Mark, Vec<Cell>) {
    let state = row.word("state");
    let us = wait(row);
    let mark = match state {
        "waiting" if us >= LONG_US => Mark::Bad,
        "waiting" => Mark::Warn,
        "idle" => Mark::Quiet,
        _ => Mark::Plain,
    };
    let cells = vec![
        Cell::word(row.word("database")),
        Cell::word(row.word("user")),
        Cell::word(state),
        Cell::number(Some(us).filter(|us| *us > 0.0), time),
        Cell::word(&place(row.word("addr"), row.word("port"))),
        Cell::word(row.word("application_name")),
        Cell::number(row.number("prepared_statements").filter(|many| *many > 0.0), count),
        Cell::word(row.word("tls")),
        Cell::word(without_zone(row.word("connect_time"))),
        number(row, "id", |id| id.to_string()),
    ];
    (mark, cells)
}

pub(super) const SERVERS: &[Column] = &[
    words("database", 8, 20),
    words("user", 8, 20),
    words("state", 9, 14),
    figures("wait", 9),
    words("host", 10, 40),
    figures("pid", 9),
    words("application", 5, 30),
    figures("prepared", 1),
    words("tls", 1, 30),
    words("since", 4, 19),
    words("closing", 3, 7),
    figures("id", 2),
];

pub(super) fn server(row: Row<'_>) -> (Mark, Vec<Cell>) {
    let state = row.word("state");
    let mark = if matches!(state, "idle" | "used") { Mark::Quiet } else { Mark::Plain };
    let closing = row.number("close_needed") == Some(1.0);
    let cells = vec![
        Cell::word(row.word("database")),
        Cell::word(row.word("user")),
        Cell::word(state),
        Cell::number(Some(wait(row)).filter(|us| *us > 0.0), time),
        Cell::word(&place(row.word("addr"), row.word("port"))),
        number(row, "remote_pid", |pid| pid.to_string()),
        Cell::word(row.word("application_name")),
        Cell::number(row.number("prepared_statements").filter(|many| *many > 0.0), count),
        Cell::word(row.word("tls")),
        Cell::word(without_zone(row.word("connect_time"))),
        Cell::word(if closing { "closing" } else { "" }),
        number(row, "id", |id| id.to_string()),
    ];
    (mark, cells)
}

pub(super) const READS: &[Column] = &[
    words("database", 8, 20),
    figures("count", 9),
    words("target", 10, 8),
    words("reason", 7, 48),
    words("text", 9, 400),
];

pub(super) fn read(row: Row<'_>) -> (Mark, Vec<Cell>) {
    let cells = vec![
        Cell::word(row.word("database")),
        number(row, "count", count),
        Cell::word(row.word("target")),
        Cell::word(row.word("reason")),
        Cell::word(&row.word("text").split_whitespace().collect::<Vec<_>>().join(" ")),
    ];
    (Mark::Plain, cells)
}

pub(super) const EVENTS: &[Column] = &[
    words("time", 10, 19),
    words("database", 7, 20),
    words("host", 9, 40),
    words("event", 10, 22),
    figures("tl", 3),
    words("detail", 8, 400),
];

pub(super) fn event(row: Row<'_>) -> (Mark, Vec<Cell>) {
    let mark = match row.word("event") {
        "no primary" | "split brain" | "deposed" | "down" => Mark::Bad,
        _ => Mark::Plain,
    };
    let cells = vec![
        Cell::word(without_zone(row.word("time"))),
        Cell::word(row.word("database")),
        Cell::word(row.word("host")),
        Cell::word(row.word("event")),
        number(row, "timeline", count),
        Cell::word(row.word("detail")),
    ];
    (mark, cells)
}

fn number(row: Row<'_>, column: &str, written: impl FnOnce(f64) -> String) -> Cell {
    Cell::number(row.number(column), written)
}

/// How long the request under way waits or runs, in microseconds. pgbouncer leaves it where it was when it is over.
fn wait(row: Row<'_>) -> f64 {
    if matches!(row.word("state"), "idle" | "used") {
        return 0.0;
    }
    let value = |column| row.number(column).unwrap_or(0.0);
    value("wait") * 1e6 + value("wait_us")
}

fn place(host: &str, port: &str) -> String {
    match host {
        "" => String::new(),
        // Of several hosts the console tells one port only.
        _ if host.contains(',') => host.to_owned(),
        _ if host.contains(':') => format!("[{host}]:{port}"),
        _ => format!("{host}:{port}"),
    }
}

/// `2026-11-24 11:54:53 UTC` without the zone.
fn without_zone(time: &str) -> &str {
    match time.match_indices(' ').nth(1) {
        Some((at, _)) => time.get(..at).unwrap_or(time),
        None => time,
    }
}
