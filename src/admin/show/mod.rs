//! SHOW: from rows of plain data to tables.
//!
//! One file per SHOW. Columns, types and order are pgbouncer 1.25.2's, because people's scripts
//! and monitoring count on them; TOPOLOGY, EVENTS, ROUTES, WHY and QUERIES are ours. The functions are pure: whoever holds the
//! pools gathers the rows, in the order in which they shall appear.

pub mod client_setting;
pub mod clients;
pub mod config;
pub mod connection;
pub mod databases;
pub mod dns;
pub mod events;
pub mod help;
pub mod lists;
pub mod mem;
pub mod peers;
pub mod pools;
pub mod queries;
pub mod routes;
pub mod servers;
pub mod sockets;
pub mod state;
pub mod stats;
pub mod stats_averages;
pub mod stats_totals;
pub mod topology;
pub mod totals;
pub mod users;
pub mod version;
pub mod why;

pub use client_setting::ClientSetting;

/// Everything that can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// [`sockets`], those that may have something in flight
    ActiveSockets,
    /// [`clients`]
    Clients,
    /// [`config`]
    Config,
    /// [`databases`]
    Databases,
    /// [`dns::hosts`]
    DnsHosts,
    /// [`dns::zones`]
    DnsZones,
    /// [`events`]
    Events,
    /// [`help`]
    Help,
    /// [`lists`]
    Lists,
    /// [`mem`]
    Mem,
    /// [`peers::table`]
    Peers,
    /// [`peers::pools`]
    PeerPools,
    /// [`pools`]
    Pools,
    /// [`queries`]
    Queries,
    /// [`routes`]
    Routes,
    /// [`servers`]
    Servers,
    /// [`sockets`]
    Sockets,
    /// [`state`]
    State,
    /// [`stats`]
    Stats,
    /// [`stats_averages`]
    StatsAverages,
    /// [`stats_totals`]
    StatsTotals,
    /// [`topology`]
    Topology,
    /// [`totals`]
    Totals,
    /// [`users`]
    Users,
    /// [`version`]
    Version,
    /// [`why`]
    Why,
    /// [`client_setting`]
    ClientSetting(ClientSetting),
}

/// The names after SHOW, which HELP lists too. Those of [`ClientSetting`] are not for people.
const NAMES: [(&str, Show); 26] = [
    ("HELP", Show::Help),
    ("CONFIG", Show::Config),
    ("DATABASES", Show::Databases),
    ("POOLS", Show::Pools),
    ("CLIENTS", Show::Clients),
    ("SERVERS", Show::Servers),
    ("SOCKETS", Show::Sockets),
    ("ACTIVE_SOCKETS", Show::ActiveSockets),
    ("PEERS", Show::Peers),
    ("PEER_POOLS", Show::PeerPools),
    ("MEM", Show::Mem),
    ("DNS_HOSTS", Show::DnsHosts),
    ("DNS_ZONES", Show::DnsZones),
    ("USERS", Show::Users),
    ("VERSION", Show::Version),
    ("LISTS", Show::Lists),
    ("STATE", Show::State),
    ("STATS", Show::Stats),
    ("STATS_TOTALS", Show::StatsTotals),
    ("STATS_AVERAGES", Show::StatsAverages),
    ("TOTALS", Show::Totals),
    ("TOPOLOGY", Show::Topology),
    ("EVENTS", Show::Events),
    ("ROUTES", Show::Routes),
    ("WHY", Show::Why),
    ("QUERIES", Show::Queries),
];

impl Show {
    /// What goes by this name, in either case.
    pub fn named(name: &str) -> Option<Self> {
        let listed = NAMES.iter().find(|(candidate, _)| candidate.eq_ignore_ascii_case(name));
        listed
            .map(|(_, show)| *show)
            .or_else(|| ClientSetting::named(name).map(Self::ClientSetting))
    }
}

#[cfg(test)]
mod testing {
    use super::super::table::{ColumnType, Table};

    /// Columns written as in pgbouncer's documentation: names with a letter for the type.
    #[track_caller]
    pub(super) fn assert_columns(table: &Table, expected: &str) {
        let found: Vec<String> = table
            .columns()
            .iter()
            .map(|(name, kind)| {
                let letter = match kind {
                    ColumnType::Text => 't',
                    ColumnType::Int4 => 'i',
                    ColumnType::Int8 => 'q',
                    ColumnType::Numeric => 'N',
                };
                format!("{name} {letter}")
            })
            .collect();
        assert_eq!(found.join(", "), expected);
    }

    /// The row as `column=value`, NULL as `-`.
    pub(super) fn row(table: &Table, index: usize) -> Vec<String> {
        let values = table.rows()[index].iter();
        let named = table.columns().iter().zip(values);
        named.map(|((name, _), v)| format!("{name}={}", v.text().unwrap_or("-".into()))).collect()
    }

    #[track_caller]
    pub(super) fn assert_row(table: &Table, index: usize, expected: &[&str]) {
        assert_eq!(row(table, index), expected);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_to_its_show_and_none_is_listed_twice() {
        for (index, (name, show)) in NAMES.iter().enumerate() {
            assert_eq!(Show::named(name), Some(*show));
            assert_eq!(Show::named(&name.to_lowercase()), Some(*show));
            assert!(NAMES[..index].iter().all(|(_, other)| other != show), "{name}");
        }
        assert_eq!(Show::named("TimeZone"), Some(Show::ClientSetting(ClientSetting::TimeZone)));
        assert_eq!(Show::named(""), None);
        assert_eq!(Show::named("POOL"), None);
    }
}
