//! The panes: each a grid made of some of the console's answers.

use super::Model;
use super::figures::{bytes, count, part, time};
use super::grid::{Cell, Column, Grid, Line, Mark, Sort, figures, words};
use super::look::{CONSOLE, Look, PoolSizes, Show};
use super::table::Row;

/// See the module's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pane {
    /// Hosts with role, timeline and lag.
    Hosts,
    /// Pools with their clients and servers.
    Pools,
    /// Databases with their rates and limits.
    Databases,
    /// Client connections.
    Clients,
    /// Server connections.
    Servers,
    /// Where reads may go.
    Reads,
    /// What happened to the hosts.
    Events,
}

impl Pane {
    /// All, in the order of their keys.
    pub const ALL: [Self; 7] = [
        Self::Hosts,
        Self::Pools,
        Self::Databases,
        Self::Clients,
        Self::Servers,
        Self::Reads,
        Self::Events,
    ];

    /// Its name.
    pub fn title(self) -> &'static str {
        match self {
            Self::Hosts => "Hosts",
            Self::Pools => "Pools",
            Self::Databases => "Databases",
            Self::Clients => "Clients",
            Self::Servers => "Servers",
            Self::Reads => "Reads",
            Self::Events => "Events",
        }
    }

    /// What one of its lines is about.
    pub fn one(self) -> &'static str {
        match self {
            Self::Hosts => "Host",
            Self::Pools => "Pool",
            Self::Databases => "Database",
            Self::Clients => "Client",
            Self::Servers => "Server",
            Self::Reads => "Read",
            Self::Events => "Event",
        }
    }

    /// The answer that its lines come from.
    pub fn show(self) -> Show {
        match self {
            Self::Hosts => Show::Topology,
            Self::Pools => Show::Pools,
            Self::Databases => Show::Databases,
            Self::Clients => Show::Clients,
            Self::Servers => Show::Servers,
            Self::Reads => Show::Routes,
            Self::Events => Show::Events,
        }
    }

    /// Whether this console has it. What is asked only while it is looked at is taken to be there.
    pub fn is_there(self, look: &Look) -> bool {
        Show::ONE_BY_ONE.contains(&self.show()) || look.has(self.show())
    }

    /// How it is sorted unless somebody wants it otherwise; `None`: in the console's order.
    pub fn sort(self) -> Option<Sort> {
        match self {
            Self::Pools => Some(Sort { by: "waiting", descending: true }),
            Self::Databases => Some(Sort { by: "xact/s", descending: true }),
            Self::Clients | Self::Servers => Some(Sort { by: "wait", descending: true }),
            Self::Reads => Some(Sort { by: "count", descending: true }),
            Self::Hosts | Self::Events => None,
        }
    }

    /// Its lines, of one pool only or all.
    pub fn grid(self, model: &Model, of: Option<&PoolName>) -> Grid {
        let lines: Vec<Line> = match self {
            Self::Hosts => lines(model, self, |row| host(model, row)),
            Self::Pools => {
                let sizes = model.look.pool_sizes();
                lines(model, self, |row| pool(&sizes, row))
            }
            Self::Databases => lines(model, self, |row| database(model, row)),
            Self::Clients => lines(model, self, |row| {
                of.is_none_or(|of| of.has_client(&model.look, row)).then(|| client(row))
            }),
            Self::Servers => lines(model, self, |row| {
                of.is_none_or(|of| of.has_server(row)).then(|| server(row))
            }),
            Self::Reads => lines(model, self, |row| Some(read(row))),
            // The newest first.
            Self::Events => lines(model, self, |row| Some(event(row))).into_iter().rev().collect(),
        };
        Grid::new(self.columns(), lines)
    }

    fn columns(self) -> &'static [Column] {
        match self {
            Self::Hosts => HOSTS,
            Self::Pools => POOLS,
            Self::Databases => DATABASES,
            Self::Clients => CLIENTS,
            Self::Servers => SERVERS,
            Self::Reads => READS,
            Self::Events => EVENTS,
        }
    }
}

/// A pool: a database entry and the user on its servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolName {
    /// The entry.
    pub database: String,
    /// The user.
    pub user: String,
}

impl PoolName {
    /// That of a row of SHOW POOLS.
    fn of(row: Row<'_>) -> Self {
        Self { database: row.word("database").to_owned(), user: row.word("user").to_owned() }
    }

    /// The pool that a line of [`Pane::Pools`] is about.
    pub fn of_line(look: &Look, line: &Line) -> Option<Self> {
        look.rows(Show::Pools).map(Self::of).find(|name| name.id() == line.id)
    }

    /// Its row of SHOW POOLS, while there is one.
    pub fn row<'a>(&self, look: &'a Look) -> Option<Row<'a>> {
        look.rows(Show::Pools).find(|row| Self::of(*row) == *self)
    }

    fn id(&self) -> String {
        format!("{}/{}", self.database, self.user)
    }

    /// Clients bear the names that they have logged in with: in an entry with a user of its own they share its pool.
    fn has_client(&self, look: &Look, row: Row<'_>) -> bool {
        let entry = look.find(Show::Databases, "name", &self.database);
        let forced = entry.is_some_and(|row| row.text("force_user") == Some(&self.user));
        row.word("database") == self.database && (forced || row.word("user") == self.user)
    }

    fn has_server(&self, row: Row<'_>) -> bool {
        row.word("database") == self.database && row.word("user") == self.user
    }
}

/// The row that a line of a pane came from: every column that the console has.
pub fn record<'a>(pane: Pane, look: &'a Look, id: &str) -> Option<Row<'a>> {
    let mut rows = look.rows(pane.show()).enumerate();
    rows.find(|(at, row)| line_id(pane, *at, *row) == id).map(|(_, row)| row)
}

fn line_id(pane: Pane, at: usize, row: Row<'_>) -> String {
    match pane {
        Pane::Hosts => [row.word("database"), row.word("host"), row.word("port")].join("/"),
        Pane::Pools => PoolName::of(row).id(),
        Pane::Databases => row.word("name").to_owned(),
        // Before pgbouncer 1.23 connections have no numbers.
        Pane::Clients | Pane::Servers => {
            row.text("id").or(row.text("ptr")).map_or_else(|| at.to_string(), str::to_owned)
        }
        Pane::Reads => [row.word("database"), row.word("text"), row.word("target")].join("/"),
        Pane::Events => {
            [row.word("time"), row.word("database"), row.word("host"), row.word("event")].join("/")
        }
    }
}

fn lines<'a>(
    model: &'a Model,
    pane: Pane,
    line: impl Fn(Row<'a>) -> Option<(Mark, Vec<Cell>)>,
) -> Vec<Line> {
    let rows = model.look.rows(pane.show()).enumerate();
    rows.filter_map(|(at, row)| {
        let (mark, cells) = line(row)?;
        Some(Line { cells, mark, id: line_id(pane, at, row) })
    })
    .collect()
}

const HOSTS: &[Column] = &[
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

fn host(model: &Model, row: Row<'_>) -> Option<(Mark, Vec<Cell>)> {
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

const POOLS: &[Column] = &[
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

fn pool(sizes: &PoolSizes<'_>, row: Row<'_>) -> Option<(Mark, Vec<Cell>)> {
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
pub(super) const LONG_US: f64 = 1e6;

/// Ten signs, as many of them full as tenths of the pool are in use: none only when nothing is, all only when all is.
fn bar(part: f64) -> String {
    let tenths = (1..=10).filter(|tenth| part * 10.0 >= f64::from(*tenth) - 0.5).count();
    let full = match part {
        part if part <= 0.0 => 0,
        part if part >= 1.0 => 10,
        _ => tenths.clamp(1, 9),
    };
    format!("{}{}", "#".repeat(full), ".".repeat(10 - full))
}

const DATABASES: &[Column] = &[
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

fn database(model: &Model, row: Row<'_>) -> Option<(Mark, Vec<Cell>)> {
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

const CLIENTS: &[Column] = &[
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

fn client(row: Row<'_>) -> (Mark, Vec<Cell>) {
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

const SERVERS: &[Column] = &[
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

fn server(row: Row<'_>) -> (Mark, Vec<Cell>) {
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

const READS: &[Column] = &[
    words("database", 8, 20),
    figures("count", 9),
    words("target", 10, 8),
    words("reason", 7, 48),
    words("text", 9, 400),
];

fn read(row: Row<'_>) -> (Mark, Vec<Cell>) {
    let cells = vec![
        Cell::word(row.word("database")),
        number(row, "count", count),
        Cell::word(row.word("target")),
        Cell::word(row.word("reason")),
        Cell::word(&row.word("text").split_whitespace().collect::<Vec<_>>().join(" ")),
    ];
    (Mark::Plain, cells)
}

const EVENTS: &[Column] = &[
    words("time", 10, 19),
    words("database", 7, 20),
    words("host", 9, 40),
    words("event", 10, 22),
    figures("tl", 3),
    words("detail", 8, 400),
];

fn event(row: Row<'_>) -> (Mark, Vec<Cell>) {
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

#[cfg(test)]
mod tests;
