//! The rows of `pgweir config`: what each section sets, and what an entry takes over from `[pgbouncer]`.

use std::collections::BTreeMap;

use crate::admin::control;
use crate::config::databases;
use crate::config::ini::{Entry, Section};
use crate::config::settings::{self, State};
use crate::config::{Config, Examined, Place};

/// One setting in force. No secret is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// `pgbouncer`, `databases/app`, `users/ann`, `peers/1`.
    pub(super) section: String,
    pub(super) key: &'static str,
    /// As a file would have it; `None`: not given.
    pub(super) value: Option<String>,
    /// The same, without a file.
    pub(super) default: Option<String>,
    pub(super) source: Source,
    /// By a reload; else only by a restart.
    pub(super) changeable: bool,
    /// Why the line in the file does nothing.
    pub(super) no_effect: Option<&'static str>,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Default,
    Line(Place),
    /// Another setting, and where that one stands; `None`: its default.
    Other(&'static str, Option<Place>),
}

impl Row {
    pub(super) fn changed_by(&self) -> &'static str {
        if self.changeable { "reload" } else { "restart" }
    }

    pub(super) fn from(&self) -> String {
        let from = match &self.source {
            Source::Default => "default".to_owned(),
            Source::Line(at) => at.to_string(),
            Source::Other(key, None) => format!("{key} (default)"),
            Source::Other(key, Some(at)) => format!("{key} ({at})"),
        };
        match self.no_effect {
            None => from,
            Some(_) => format!("{from}, no effect"),
        }
    }
}

/// All of them.
pub(super) fn all(examined: &Examined) -> Vec<Row> {
    let mut rows = of_pgbouncer(&examined.config, &examined.entries);
    let global: BTreeMap<&str, Row> = rows.iter().map(|row| (row.key, row.clone())).collect();
    for section in [Section::Databases, Section::Users, Section::Peers] {
        let entries = &examined.entries;
        for (index, entry) in
            entries.iter().enumerate().filter(|(_, entry)| entry.section == section)
        {
            let mut later = entries.iter().skip(index + 1);
            if later.any(|other| other.section == section && other.key == entry.key) {
                continue;
            }
            rows.extend(of_entry(entry, keys(section), &global));
        }
    }
    rows
}

fn of_pgbouncer(config: &Config, entries: &[Entry]) -> Vec<Row> {
    let row = |(key, value, default, changeable): settings::Shown| {
        let mut lines = entries.iter().rev();
        let line = lines.find(|entry| entry.section == Section::Pgbouncer && entry.key == key);
        let setting = settings::find(key);
        let no_effect = match setting.map(|setting| &setting.state) {
            Some(State::WithoutEffect(why)) => line.and(Some(*why)),
            _ => None,
        };
        let value = match setting {
            Some(setting) => value.map(|value| setting.told(&value)),
            None => value,
        };
        let source = line.map_or(Source::Default, |entry| Source::Line(entry.at.clone()));
        let section = Section::Pgbouncer.name().to_owned();
        Row { section, key, value, default, source, changeable, no_effect }
    };
    let mut rows: Vec<Row> = config.settings.shown().into_iter().map(row).collect();
    let pidfile = rows.iter().find(|row| row.key == "pidfile").map(|row| row.source.clone());
    let memory = rows.iter_mut().find(|row| row.key == "topology_state_file");
    if let Some(row) = memory.filter(|row| row.value.is_none())
        && let (Some(file), Some(Source::Line(at))) = (control::state_file(config), pidfile)
    {
        row.value = Some(file.display().to_string());
        row.source = Source::Other("pidfile", Some(at));
    }
    rows
}

/// What stands for a value that an entry does not have.
#[derive(Clone, Copy, Debug)]
enum Else {
    /// Nothing: no row.
    Absent,
    /// A value of its own.
    Value(&'static str),
    /// The entry's name.
    Name,
    /// This setting of `[pgbouncer]`.
    Global(&'static str),
}

/// Values that are there and still mean "not given".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blank {
    Never,
    Negative,
    /// An entry cannot lift a global limit.
    NegativeOrZero,
}

type Key = (&'static str, Else, Blank);

const fn own(key: &'static str) -> Key {
    (key, Else::Absent, Blank::Never)
}

const fn global(key: &'static str) -> Key {
    (key, Else::Global(key), Blank::Never)
}

const fn number(key: &'static str, of: &'static str) -> Key {
    (key, Else::Global(of), Blank::Negative)
}

const fn limit(key: &'static str) -> Key {
    (key, Else::Global(key), Blank::NegativeOrZero)
}

static DATABASE: &[Key] = &[
    ("host", Else::Global("unix_socket_dir"), Blank::Never),
    ("port", Else::Value("5432"), Blank::Never),
    ("dbname", Else::Name, Blank::Never),
    own("user"),
    own("password"),
    own("target_session_attrs"),
    ("load_balance_hosts", Else::Value("round-robin"), Blank::Never),
    own("weight"),
    own("zone"),
    ("discover", Else::Value("off"), Blank::Never),
    own("discover_from"),
    global("route_reads"),
    global("causal_reads"),
    global("replica_fallback"),
    global("max_replica_lag"),
    global("pool_mode"),
    number("pool_size", "default_pool_size"),
    number("min_pool_size", "min_pool_size"),
    number("reserve_pool_size", "reserve_pool_size"),
    limit("max_db_connections"),
    limit("max_db_client_connections"),
    limit("server_lifetime"),
    number("query_wait_timeout", "query_wait_timeout"),
    global("auth_user"),
    global("auth_query"),
    global("auth_dbname"),
    own("connect_query"),
    own("client_encoding"),
    own("datestyle"),
    own("timezone"),
    own("application_name"),
];

/// What comes from the database's entry if it is not here is not in force for the user everywhere: no row.
static USER: &[Key] = &[
    own("pool_mode"),
    ("pool_size", Else::Absent, Blank::Negative),
    ("reserve_pool_size", Else::Absent, Blank::Negative),
    ("query_wait_timeout", Else::Absent, Blank::Negative),
    limit("max_user_connections"),
    limit("max_user_client_connections"),
    limit("query_timeout"),
    limit("idle_transaction_timeout"),
    limit("transaction_timeout"),
    limit("client_idle_timeout"),
];

static PEER: &[Key] = &[
    own("host"),
    ("port", Else::Value("6432"), Blank::Never),
    number("pool_size", "default_pool_size"),
];

fn keys(section: Section) -> &'static [Key] {
    match section {
        Section::Databases => DATABASE,
        Section::Users => USER,
        Section::Peers => PEER,
        Section::Pgbouncer => &[],
    }
}

fn of_entry(entry: &Entry, keys: &[Key], global: &BTreeMap<&str, Row>) -> Vec<Row> {
    // The file was understood, so this is, too.
    let pairs = databases::pairs(entry).unwrap_or_default();
    let row = |(key, otherwise, blank): &Key| {
        let mut given = pairs.iter().rev();
        let given = given.find(|(name, _)| {
            name == key || (name == "reserve_pool" && *key == "reserve_pool_size")
        });
        let given = given.filter(|(_, value)| !is_blank(*blank, value));
        let (value, default, source) = match otherwise {
            Else::Absent => (None, None, Source::Default),
            Else::Value(value) => {
                (Some((*value).to_owned()), Some((*value).to_owned()), Source::Default)
            }
            Else::Name => (Some(entry.key.clone()), Some(entry.key.clone()), Source::Default),
            Else::Global(name) => {
                let of = global.get(name)?;
                let at = match &of.source {
                    Source::Line(at) => Some(at.clone()),
                    _ => None,
                };
                (of.value.clone(), of.default.clone(), Source::Other(of.key, at))
            }
        };
        let (value, source) = match given {
            Some((_, value)) => (Some(told(key, value)), Source::Line(entry.at.clone())),
            None if matches!(otherwise, Else::Absent) => return None,
            None => (value, source),
        };
        let section = format!("{}/{}", entry.section, entry.key);
        Some(Row { section, key, value, default, source, changeable: true, no_effect: None })
    };
    keys.iter().filter_map(row).collect()
}

fn is_blank(blank: Blank, value: &str) -> bool {
    let is_zero = || {
        let number = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        number.parse().is_ok_and(|number: f64| number == 0.0)
    };
    match blank {
        Blank::Never => false,
        Blank::Negative => value.starts_with('-'),
        Blank::NegativeOrZero => value.starts_with('-') || is_zero(),
    }
}

/// As it may be shown.
fn told(key: &str, value: &str) -> String {
    match key {
        "password" => "(not shown)".to_owned(),
        "discover_from" if value.contains("password") => {
            "(not shown: a password is in it)".to_owned()
        }
        _ => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::users;

    #[test]
    fn every_key_of_an_entry_has_its_row() {
        for (known, rows) in [(&databases::KEYS[..], DATABASE), (&users::KEYS[..], USER)] {
            for key in known.iter().filter(|key| **key != "reserve_pool") {
                assert!(rows.iter().any(|(name, ..)| name == key), "{key}");
            }
            for (_, otherwise, _) in rows {
                if let Else::Global(name) = otherwise {
                    assert!(settings::find(name).is_some(), "{name}");
                }
            }
        }
        assert_eq!(databases::DEFAULT_PORT.to_string(), "5432");
    }
}
