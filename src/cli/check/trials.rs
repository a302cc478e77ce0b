//! Which logins are to be tried at which host: those that pools, `auth_query` and the monitors would need.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::admin::control;
use crate::auth::credentials::Credentials;
use crate::auth::lookup::{self, Lookup};
use crate::auth::secret::Secret;
use crate::config::{Config, Database, HostAddr, Userlist};
use crate::server::Target;
use crate::session::parameters::Tracked;
use crate::worker::service::{FALLBACK, forced_credentials, target};
use crate::worker::shared::Live;

/// Logins tried at one host at most. Each is a backend's start there.
const MAX_TRIALS: usize = 50;

/// What a login is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Following roles.
    Monitor,
    /// Asking for users, with this query.
    Lookup(String),
    /// Clients' queries.
    Pool {
        /// `user=` of the entry, as which all clients come.
        forced: bool,
        /// It may be there for the console alone.
        console: bool,
    },
}

/// A login to be tried.
#[derive(Clone, Debug)]
pub(super) struct Trial {
    /// The entries that need it.
    pub(super) databases: Vec<String>,
    pub(super) purpose: Purpose,
    pub(super) target: Target,
}

/// What is to be tried at a host.
#[derive(Clone, Debug, Default)]
pub(super) struct Trials {
    /// The entries that name the host.
    pub(super) databases: Vec<String>,
    pub(super) logins: Vec<Trial>,
    /// Logins that were one too many.
    pub(super) left_out: usize,
}

impl Trials {
    fn add(&mut self, database: &str, purpose: Purpose, target: Target) {
        let is_full = self.logins.len() >= MAX_TRIALS;
        let known = self.logins.iter_mut().find(|known| {
            let same = (&known.target.user, &known.target.dbname, &known.target.credentials)
                == (&target.user, &target.dbname, &target.credentials);
            // A host has one monitor, with the first entry's login.
            known.purpose == purpose && (same || purpose == Purpose::Monitor)
        });
        match known {
            Some(known) => known.databases.push(database.to_owned()),
            None if is_full => self.left_out += 1,
            None => {
                let databases = vec![database.to_owned()];
                self.logins.push(Trial { databases, purpose, target });
            }
        }
    }
}

/// All of them, by host.
pub(super) fn all(live: &Live, tracked: &Arc<Tracked>) -> BTreeMap<HostAddr, Trials> {
    let config = &live.config;
    let mut hosts: BTreeMap<HostAddr, Trials> = BTreeMap::new();
    let databases = || config.databases.values().chain(&config.fallback);
    for database in databases() {
        for host in &database.hosts {
            hosts.entry(host.clone()).or_default().databases.push(database.name.clone());
        }
    }
    // The most important ones first: there is a limit.
    for entry in control::entries(live, tracked) {
        for target in entry.hosts {
            let trials = hosts.entry(target.host.clone()).or_default();
            trials.add(&entry.name, Purpose::Monitor, target);
        }
    }
    for database in databases() {
        let found = lookup::lookup("", Some(&**database), &config.settings, &Userlist::default());
        let Lookup::Ask(ask) = found else { continue };
        let Some(asked) = config.database(&ask.dbname) else { continue };
        for host in &asked.hosts {
            let target = pool_target(live, &asked, host, &ask.as_user, tracked);
            let trials = hosts.entry(host.clone()).or_default();
            trials.add(&database.name, Purpose::Lookup(ask.sql.clone()), target);
        }
    }
    for database in databases() {
        for (user, purpose) in pool_users(config, database) {
            for host in &database.hosts {
                let target = pool_target(live, database, host, user, tracked);
                if target.credentials == Credentials::ScramSecret {
                    // Nothing that could be shown to a server before a client has logged in.
                    continue;
                }
                let trials = hosts.entry(host.clone()).or_default();
                trials.add(&database.name, purpose.clone(), target);
            }
        }
    }
    hosts
}

/// As whom the pools of an entry log in, as far as that is known: the forced user, else everybody in `auth_file` but
/// those who are there for pgweir itself.
pub(super) fn pool_users<'a>(
    config: &'a Config,
    database: &'a Database,
) -> Vec<(&'a str, Purpose)> {
    let settings = &config.settings;
    if let Some(user) = &database.user {
        return vec![(user, Purpose::Pool { forced: true, console: false })];
    }
    let own = [&settings.topology_user, &settings.auth_user, &database.auth_user];
    let clients =
        config.userlist.users.keys().filter(|user| !own.contains(&&Some((*user).clone())));
    let purpose = |user: &'a String| {
        let console = settings.admin_users.contains(user) || settings.stats_users.contains(user);
        (user.as_str(), Purpose::Pool { forced: false, console })
    };
    clients.map(purpose).collect()
}

fn pool_target(
    live: &Live,
    database: &Database,
    host: &HostAddr,
    user: &str,
    tracked: &Arc<Tracked>,
) -> Target {
    let config = &live.config;
    let credentials = forced_credentials(config, database, user);
    let mut target =
        target(config, &live.server_tls, database, host, user, credentials, tracked.clone());
    if target.dbname == FALLBACK {
        // Which databases clients will ask for is not known; this one is everywhere.
        target.dbname = "postgres".to_owned();
    }
    target
}

/// Users of whom nothing can be shown to a server before they have logged in themselves.
pub(super) fn by_scram_secret(config: &Config) -> Vec<&str> {
    let users = config.userlist.users.iter();
    let secret = |secret: &str| matches!(Secret::parse(secret), Secret::Scram(_));
    users.filter(|(_, text)| secret(text.reveal())).map(|(name, _)| name.as_str()).collect()
}
