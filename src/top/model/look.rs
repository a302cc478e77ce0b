//! One look at the console: what each SHOW has answered.

use std::collections::BTreeMap;

use super::table::{Row, Table};

/// What the console is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Show {
    /// Its version.
    Version,
    /// Whether it works, is paused or suspended.
    State,
    /// The settings.
    Config,
    /// How many there are of everything.
    Lists,
    /// Counters per database.
    Stats,
    /// Pools.
    Pools,
    /// Database entries and their limits.
    Databases,
    /// Users and their limits.
    Users,
    /// Hosts; pgweir only.
    Topology,
    /// What happened to them; pgweir only.
    Events,
    /// Where reads may go; pgweir only.
    Routes,
    /// Clients, one by one.
    Clients,
    /// Server connections, one by one.
    Servers,
}

impl Show {
    /// Asked at every look.
    pub const ALWAYS: [Self; 11] = [
        Self::Version,
        Self::State,
        Self::Config,
        Self::Lists,
        Self::Stats,
        Self::Pools,
        Self::Databases,
        Self::Users,
        Self::Topology,
        Self::Events,
        Self::Routes,
    ];
    /// Long answers, asked only while somebody looks at them.
    pub const ONE_BY_ONE: [Self; 2] = [Self::Clients, Self::Servers];

    /// The command.
    pub fn sql(self) -> &'static str {
        match self {
            Self::Version => "SHOW VERSION",
            Self::State => "SHOW STATE",
            Self::Config => "SHOW CONFIG",
            Self::Lists => "SHOW LISTS",
            Self::Stats => "SHOW STATS",
            Self::Pools => "SHOW POOLS",
            Self::Databases => "SHOW DATABASES",
            Self::Users => "SHOW USERS",
            Self::Topology => "SHOW TOPOLOGY",
            Self::Events => "SHOW EVENTS",
            Self::Routes => "SHOW ROUTES",
            Self::Clients => "SHOW CLIENTS",
            Self::Servers => "SHOW SERVERS",
        }
    }
}

/// The console's own entry. What happens there is our own doing.
pub const CONSOLE: &str = "pgbouncer";

/// See the module's words.
#[derive(Clone, Debug, Default)]
pub struct Look {
    tables: BTreeMap<Show, Table>,
}

impl Look {
    /// Adds an answer.
    pub fn put(&mut self, show: Show, table: Table) {
        self.tables.insert(show, table);
    }

    /// Whether it was answered. What a console does not know is refused, and not in here.
    pub fn has(&self, show: Show) -> bool {
        self.tables.contains_key(&show)
    }

    /// Whether it was answered with any row.
    pub fn has_rows(&self, show: Show) -> bool {
        self.rows(show).next().is_some()
    }

    /// The rows of an answer; none where there is no answer.
    pub fn rows(&self, show: Show) -> impl DoubleEndedIterator<Item = Row<'_>> {
        self.tables.get(&show).into_iter().flat_map(Table::rows)
    }

    /// The row of an answer with this value in this column.
    pub fn find(&self, show: Show, column: &str, value: &str) -> Option<Row<'_>> {
        self.tables.get(&show)?.find(column, value)
    }

    /// A setting's value.
    pub fn setting(&self, key: &str) -> Option<&str> {
        self.find(Show::Config, "key", key)?.text("value")
    }

    /// How many there are, by SHOW LISTS.
    pub fn count(&self, list: &str) -> Option<f64> {
        self.find(Show::Lists, "list", list)?.number("items")
    }

    /// Whether it serves: `active`, `paused` or `suspended`; nothing when that is not known.
    pub fn state(&self) -> &str {
        self.find(Show::State, "value", "yes").map_or("", |row| row.word("key"))
    }

    /// What it says of its version.
    pub fn version(&self) -> &str {
        self.rows(Show::Version).next().map_or("", |row| row.word("version"))
    }

    /// What pools may hold.
    pub fn pool_sizes(&self) -> PoolSizes<'_> {
        let sizes = |show| {
            let rows = self.rows(show);
            let rows = rows.filter_map(|row| Some((row.text("name")?, row.number("pool_size")?)));
            rows.collect::<BTreeMap<_, _>>()
        };
        let mut hosts = BTreeMap::new();
        for row in self.rows(Show::Topology) {
            *hosts.entry(row.word("database")).or_default() += 1.0;
        }
        PoolSizes { users: sizes(Show::Users), entries: sizes(Show::Databases), hosts }
    }
}

/// How many servers pools may hold. As pgbouncer has it: the user's number, else the entry's. In an entry that follows
/// roles it counts for each of the hosts.
#[derive(Debug)]
pub struct PoolSizes<'a> {
    users: BTreeMap<&'a str, f64>,
    entries: BTreeMap<&'a str, f64>,
    hosts: BTreeMap<&'a str, f64>,
}

impl PoolSizes<'_> {
    /// The size of a pool; `None`: no limit, or not known.
    pub fn of(&self, database: &str, user: &str) -> Option<f64> {
        let size = self.users.get(user).or_else(|| self.entries.get(database)).copied();
        let hosts = self.hosts.get(database).copied().unwrap_or(1.0);
        size.filter(|size| *size > 0.0).map(|size| size * hosts)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::look;
    use super::*;

    #[test]
    fn a_pools_size_is_its_users_else_its_entrys_for_each_host() {
        let look = look(&[
            (Show::Databases, "name pool_size\napp 20\nfree 0"),
            (Show::Users, "name pool_size\nann ~~~~5\nbob ~"),
            (Show::Topology, "database host\ncluster a\ncluster b\ncluster c"),
        ]);
        let sizes = look.pool_sizes();
        assert_eq!(sizes.of("app", "bob"), Some(20.0));
        assert_eq!(sizes.of("app", "ann"), Some(5.0));
        assert_eq!(sizes.of("cluster", "ann"), Some(15.0));
        assert_eq!(sizes.of("free", "bob"), None);
        assert_eq!(sizes.of("unknown", "bob"), None);
    }

    #[test]
    fn state_setting_and_count_are_found_in_their_lists() {
        let look = look(&[
            (Show::State, "key value\nactive no\npaused yes\nsuspended no"),
            (Show::Config, "key value\nmax_client_conn 100"),
            (Show::Lists, "list items\nused_clients 7"),
        ]);
        assert_eq!(look.state(), "paused");
        assert_eq!(look.setting("max_client_conn"), Some("100"));
        assert_eq!(look.count("used_clients"), Some(7.0));
        assert_eq!((look.version(), look.count("pools")), ("", None));
        assert!(look.has(Show::State) && !look.has(Show::Stats));
    }
}
