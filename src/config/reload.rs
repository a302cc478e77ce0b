//! What a reload changes: two configurations in, lists out. Acting on them is `pool`'s and `cli`'s business.

use std::sync::Arc;

use super::model::{Config, Database};
use super::settings;

/// What differs between two configurations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Database entries that are gone; their clients and servers are closed (`database removed`). `*` is the fallback.
    pub removed: Vec<String>,
    /// New entries.
    pub added: Vec<String>,
    /// Entries whose servers must be replaced when they come free.
    pub replaced: Vec<String>,
    /// Entries whose pools have another size or mode, from whatever level; no server needs replacing.
    pub resized: Vec<String>,
    /// Users whose own size or mode changed, or who were added to or left `[users]`.
    pub resized_users: Vec<String>,
    /// Settings that are read at start only and have another value now. pgbouncer says nothing of them; we log them.
    pub ignored_until_restart: Vec<&'static str>,
    /// Settings that have another value from now on.
    pub settings: Vec<&'static str>,
    /// The TLS settings for servers changed: all servers must be replaced.
    pub server_tls: bool,
    /// The TLS settings for clients changed. (The files' contents are not looked at.)
    pub client_tls: bool,
    /// `auth_file` names other users or secrets.
    pub userlist: bool,
}

impl Changes {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What becomes of the pools of a database under a new configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nothing happens to them, save that sizes and modes are looked up anew.
    Keep,
    /// Their servers are closed as they come free.
    Replace,
    /// The database is gone: clients and servers are closed.
    Remove,
}

/// The fate of a database by the name clients use. Also right for those that live off the entry `*`, which
/// [`Changes`] cannot list: it does not know which there are.
pub fn fate(old: &Config, new: &Config, name: &str) -> Fate {
    match (old.database(name), new.database(name)) {
        (_, None) => Fate::Remove,
        (Some(before), Some(after)) if needs_other_servers(&before, &after) => Fate::Replace,
        (_, Some(_)) => Fate::Keep,
    }
}

/// Compares two configurations.
pub fn changes(old: &Config, new: &Config) -> Changes {
    let mut changes = Changes {
        server_tls: old.settings.server_tls != new.settings.server_tls,
        client_tls: old.settings.client_tls != new.settings.client_tls,
        userlist: old.userlist != new.userlist,
        ..Changes::default()
    };
    for setting in settings::all().filter(|setting| setting.differs(&old.settings, &new.settings)) {
        let list = if setting.changeable {
            &mut changes.settings
        } else {
            &mut changes.ignored_until_restart
        };
        list.push(setting.key);
    }
    for (name, before) in entries(old) {
        match entries(new).find(|(other, _)| *other == name) {
            None => changes.removed.push(name.to_owned()),
            Some((_, after)) => {
                if needs_other_servers(before, after) {
                    changes.replaced.push(name.to_owned());
                }
                if size_and_mode(old, before) != size_and_mode(new, after) {
                    changes.resized.push(name.to_owned());
                }
            }
        }
    }
    let is_new = |name: &str| !entries(old).any(|(other, _)| other == name);
    changes.added =
        entries(new).map(|(name, _)| name).filter(|name| is_new(name)).map(str::to_owned).collect();
    let users =
        old.users.keys().chain(new.users.keys().filter(|name| !old.users.contains_key(*name)));
    let changed = users.filter(|name| old.users.get(*name) != new.users.get(*name));
    changes.resized_users = changed.cloned().collect();
    changes
}

/// All entries, `*` included.
fn entries(config: &Config) -> impl Iterator<Item = (&str, &Arc<Database>)> {
    let named = config.databases.iter().map(|(name, database)| (name.as_str(), database));
    named.chain(config.fallback.iter().map(|database| ("*", database)))
}

/// pgbouncer's list, and further: the password, the startup parameters, and what says which host is wanted.
fn needs_other_servers(before: &Database, after: &Database) -> bool {
    // By name, so that a new field of `Database` must take a side here.
    let Database {
        name: _,
        hosts,
        dbname,
        user,
        password,
        target_session_attrs,
        load_balance_hosts,
        route_reads: _,
        causal_reads: _,
        replica_fallback: _,
        max_replica_lag: _,
        weights: _,
        zones: _,
        discover: _,
        pool_size: _,
        min_pool_size: _,
        reserve_pool_size: _,
        max_db_connections: _,
        max_db_client_connections: _,
        server_lifetime: _,
        query_wait_timeout: _,
        pool_mode: _,
        auth_user: _,
        auth_query,
        auth_dbname,
        connect_query,
        server_parameters,
    } = before;
    *hosts != after.hosts
        || *dbname != after.dbname
        || *user != after.user
        || *password != after.password
        || *target_session_attrs != after.target_session_attrs
        || *load_balance_hosts != after.load_balance_hosts
        || *auth_query != after.auth_query
        || *auth_dbname != after.auth_dbname
        || *connect_query != after.connect_query
        || *server_parameters != after.server_parameters
}

/// Of a pool whose user has none of his own.
fn size_and_mode(config: &Config, database: &Database) -> (Option<u32>, super::PoolMode) {
    let size = database.pool_size.unwrap_or(config.settings.default_pool_size);
    (size, database.pool_mode.unwrap_or(config.settings.pool_mode))
}

#[cfg(test)]
mod tests {
    use super::super::parse_text;
    use super::*;

    fn compare(old: &str, new: &str) -> Changes {
        changes(&parse_text(old).expect("old"), &parse_text(new).expect("new"))
    }

    #[test]
    fn the_same_file_changes_nothing() {
        let text = "[databases]\na = host=x\n* = host=y\n[users]\nu = pool_size=1";
        assert!(compare(text, text).is_empty());
    }

    #[test]
    fn entries_that_come_and_go_are_told_the_fallback_too() {
        let changes = compare("[databases]\na=\nb=\n*=", "[databases]\nb=\nc=");
        assert_eq!(changes.removed, ["a", "*"]);
        assert_eq!(changes.added, ["c"]);
        assert!(changes.replaced.is_empty());
    }

    #[test]
    fn whatever_decides_where_a_server_leads_replaces_servers() {
        let base = "[databases]\na = host=x user=u password=p";
        for further in [
            "host=y",
            "port=1",
            "dbname=d",
            "user=v",
            "password=q",
            "auth_query=q",
            "auth_dbname=d",
            "connect_query=q",
            "load_balance_hosts=disable",
            "target_session_attrs=primary",
            "timezone=UTC",
        ] {
            assert_eq!(compare(base, &format!("{base} {further}")).replaced, ["a"], "{further}");
        }
        for further in ["pool_size=3", "pool_mode=statement"] {
            let changes = compare(base, &format!("{base} {further}"));
            assert_eq!((changes.replaced.len(), changes.resized.len()), (0, 1), "{further}");
        }
    }

    #[test]
    fn a_global_size_resizes_every_entry_without_its_own() {
        let changes = compare(
            "[databases]\na = pool_size=3\nb=",
            "[databases]\na = pool_size=3\nb=\n[pgbouncer]\ndefault_pool_size=5",
        );
        assert_eq!(changes.resized, ["b"]);
        assert_eq!(changes.settings, ["default_pool_size"]);
    }

    #[test]
    fn a_users_own_size_is_told_by_the_users_name() {
        let changes = compare(
            "[users]\na = pool_size=1\nb = pool_size=1",
            "[users]\na = pool_size=2\nb = pool_size=1",
        );
        assert_eq!(changes.resized_users, ["a"]);
    }

    #[test]
    fn settings_that_need_a_restart_are_told_apart() {
        let changes =
            compare("", "[pgbouncer]\nlisten_port=1\nverbose=1\nserver_tls_sslmode=require");
        assert_eq!(changes.ignored_until_restart, ["listen_port"]);
        assert_eq!(changes.settings, ["verbose", "server_tls_sslmode"]);
        assert!(changes.server_tls && !changes.client_tls);
    }

    #[test]
    fn a_database_that_lives_off_the_fallback_has_a_fate_too() {
        let old = parse_text("[databases]\n* = host=x").unwrap();
        let named = parse_text("[databases]\nshop = host=x").unwrap();
        assert_eq!(fate(&old, &named, "shop"), Fate::Keep);
        assert_eq!(fate(&old, &named, "other"), Fate::Remove);
        let moved = parse_text("[databases]\n* = host=y").unwrap();
        assert_eq!(fate(&old, &moved, "shop"), Fate::Replace);
    }
}
