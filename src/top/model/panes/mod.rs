//! The panes: each a grid made of some of the console's answers.

mod rows;

pub(super) use rows::LONG_US;

use super::Model;
use super::grid::{Cell, Column, Grid, Line, Mark, Sort};
use super::look::{Look, Show};
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
            Self::Hosts => lines(model, self, |row| rows::host(model, row)),
            Self::Pools => {
                let sizes = model.look.pool_sizes();
                lines(model, self, |row| rows::pool(&sizes, row))
            }
            Self::Databases => lines(model, self, |row| rows::database(model, row)),
            Self::Clients => lines(model, self, |row| {
                of.is_none_or(|of| of.has_client(&model.look, row)).then(|| rows::client(row))
            }),
            Self::Servers => lines(model, self, |row| {
                of.is_none_or(|of| of.has_server(row)).then(|| rows::server(row))
            }),
            Self::Reads => lines(model, self, |row| Some(rows::read(row))),
            // The newest first.
            Self::Events => {
                lines(model, self, |row| Some(rows::event(row))).into_iter().rev().collect()
            }
        };
        Grid::new(self.columns(), lines)
    }

    fn columns(self) -> &'static [Column] {
        match self {
            Self::Hosts => rows::HOSTS,
            Self::Pools => rows::POOLS,
            Self::Databases => rows::DATABASES,
            Self::Clients => rows::CLIENTS,
            Self::Servers => rows::SERVERS,
            Self::Reads => rows::READS,
            Self::Events => rows::EVENTS,
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

#[cfg(test)]
mod tests;
