//! Which value is in force where several may say one: a user's, a database's, the global one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{Config, Database, PoolMode, User};

impl Config {
    /// The entry for a database name: its own, or a copy of `*` under that name.
    pub fn database(&self, name: &str) -> Option<Arc<Database>> {
        if let Some(known) = self.databases.get(name) {
            return Some(known.clone());
        }
        let mut database = Database::clone(self.fallback.as_ref()?);
        if database.dbname == "*" {
            name.clone_into(&mut database.dbname);
        }
        name.clone_into(&mut database.name);
        Some(Arc::new(database))
    }

    /// What the entry of a user says, if there is one.
    fn of_user<T>(&self, name: &str, value: impl FnOnce(&User) -> Option<T>) -> Option<T> {
        self.users.get(name).and_then(value)
    }

    /// The mode of a pool: the user's, else the database's, else the global one.
    pub fn pool_mode(&self, database: &Database, server_user: &str) -> PoolMode {
        let own = self.of_user(server_user, |user| user.pool_mode);
        own.or(database.pool_mode).unwrap_or(self.settings.pool_mode)
    }

    /// The size of a pool: the user's, else the database's, else the global one; `None`: no limit.
    pub fn pool_size(&self, database: &Database, server_user: &str) -> Option<u32> {
        let own = self.of_user(server_user, |user| user.pool_size);
        own.or(database.pool_size).unwrap_or(self.settings.default_pool_size)
    }

    /// Connections that a pool of this database keeps: the database's number, else the global one.
    pub fn min_pool_size(&self, database: &Database) -> u32 {
        database.min_pool_size.unwrap_or(self.settings.min_pool_size)
    }

    /// Connections above a pool's size: the user's number, else the database's, else the global one.
    pub fn reserve_pool_size(&self, database: &Database, server_user: &str) -> u32 {
        let own = self.of_user(server_user, |user| user.reserve_pool_size);
        own.or(database.reserve_pool_size).unwrap_or(self.settings.reserve_pool_size)
    }

    /// Server connections of a database at most; `None`: no limit.
    pub fn max_db_connections(&self, database: &Database) -> Option<u32> {
        database.max_db_connections.or(self.settings.max_db_connections)
    }

    /// Server connections of a server user at most; `None`: no limit.
    pub fn max_user_connections(&self, server_user: &str) -> Option<u32> {
        let own = self.of_user(server_user, |user| user.max_user_connections);
        own.or(self.settings.max_user_connections)
    }

    /// Clients of a database at most; `None`: no limit.
    pub fn max_db_client_connections(&self, database: &Database) -> Option<u32> {
        database.max_db_client_connections.or(self.settings.max_db_client_connections)
    }

    /// Clients that log in as this user at most; `None`: no limit.
    pub fn max_user_client_connections(&self, user: &str) -> Option<u32> {
        let own = self.of_user(user, |user| user.max_user_client_connections);
        own.or(self.settings.max_user_client_connections)
    }

    /// Age at which a server connection of this database is closed: the database's, else the global one.
    pub fn server_lifetime(&self, database: &Database) -> Duration {
        database.server_lifetime.unwrap_or(self.settings.server_lifetime)
    }

    /// How long clients wait for servers of this database: the user's time, else the database's, else the global one;
    /// `None`: for ever.
    pub fn query_wait_timeout(&self, database: &Database, server_user: &str) -> Option<Duration> {
        let own = self.of_user(server_user, |user| user.query_wait_timeout);
        own.or(database.query_wait_timeout).unwrap_or(self.settings.query_wait_timeout)
    }

    /// How long queries of a server user may take; `None`: no limit.
    pub fn query_timeout(&self, server_user: &str) -> Option<Duration> {
        let own = self.of_user(server_user, |user| user.query_timeout);
        own.or(self.settings.query_timeout)
    }

    /// How long transactions of a server user may idle; `None`: no limit.
    pub fn idle_transaction_timeout(&self, server_user: &str) -> Option<Duration> {
        let own = self.of_user(server_user, |user| user.idle_transaction_timeout);
        own.or(self.settings.idle_transaction_timeout)
    }

    /// How long transactions of a server user may last; `None`: no limit.
    pub fn transaction_timeout(&self, server_user: &str) -> Option<Duration> {
        let own = self.of_user(server_user, |user| user.transaction_timeout);
        own.or(self.settings.transaction_timeout)
    }

    /// How long clients that log in as this user may idle; `None`: no limit.
    pub fn client_idle_timeout(&self, user: &str) -> Option<Duration> {
        let own = self.of_user(user, |user| user.client_idle_timeout);
        own.or(self.settings.client_idle_timeout)
    }

    /// Whether any of the four limits above is set for anybody.
    pub fn has_timeouts(&self) -> bool {
        let settings = &self.settings;
        let global = [
            settings.query_timeout,
            settings.idle_transaction_timeout,
            settings.transaction_timeout,
            settings.client_idle_timeout,
        ];
        let own = self.users.values().flat_map(|user| {
            [
                user.query_timeout,
                user.idle_transaction_timeout,
                user.transaction_timeout,
                user.client_idle_timeout,
            ]
        });
        global.into_iter().chain(own).any(|limit| limit.is_some())
    }

    /// How long the pools of a database are kept without clients and servers; `None`: for ever.
    pub fn pool_idle_timeout(&self, database: &str) -> Option<Duration> {
        let settings = &self.settings;
        let auto = settings.autodb_idle_timeout.filter(|_| !self.databases.contains_key(database));
        auto.into_iter().chain(settings.pool_idle_timeout).min()
    }

    /// The directory of the ini file.
    pub fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }
}
