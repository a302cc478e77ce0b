//! What a service offers, and how its pools go about it, as the configuration has it.

use std::sync::Arc;
use std::time::Duration;

use super::{FALLBACK, Services};
use crate::auth::credentials::Credentials;
use crate::auth::secret::Secret;
use crate::config::{CausalReads, Config, Database, HostAddr, PoolMode, RouteReads};
use crate::net::options::TcpOptions;
use crate::pool::log::Lines;
use crate::pool::state::Sizes;
use crate::pool::{Check, Pool, PoolName, PoolRules};
use crate::server::{Target, Tls};
use crate::session::parameters::Tracked;
use crate::worker::offer::{Balance, Bounds, Offer, Tracking};
use crate::worker::view::View;

/// A retry where a monitor watches the host: its verdict comes soon, so this only has to be less than a flood.
const WATCHED_RETRY: Duration = Duration::from_millis(100);

impl Services {
    pub(super) fn make_offer(
        &self,
        config: &Config,
        tls: &Tls,
        database: &Arc<Database>,
        user: &str,
        credentials: &Credentials,
        old: Option<&Offer>,
    ) -> Offer {
        let pools = self
            .rules(config, tls, database, user, credentials)
            .into_iter()
            .map(|rules| {
                let hosts: Vec<_> =
                    rules.targets.iter().map(|target| target.host.to_string()).collect();
                let host = hosts.join(",");
                let kept =
                    old.and_then(|old| old.pools.iter().find(|pool| pool.name().host == host));
                if let Some(pool) = kept {
                    pool.set_rules(rules);
                    return pool.clone();
                }
                let name =
                    PoolName { database: database.name.clone(), user: user.to_owned(), host };
                let metrics = self.metrics.pool(&name.database, &name.user, &name.host);
                let topology = self.topology.clone();
                let suspect = Arc::new(move |host: &HostAddr| topology.suspect(host));
                let holders = self.holders.clone();
                let pool = Pool::new(name, rules, metrics, holders, suspect, &self.places);
                // PAUSE, new hosts, RELOAD, RESUME: the pause holds for the new pools too.
                if old.is_some_and(|old| old.pools.iter().any(|pool| pool.is_paused())) {
                    pool.pause();
                }
                pool
            })
            .collect();
        let tracking = database.target_session_attrs.and_then(|attrs| {
            // Databases that only `*` stands for share its monitors.
            let known = config.databases.contains_key(&database.name);
            let entry = if known { &database.name } else { FALLBACK };
            let view = View::new(database.hosts.clone(), self.topology.watch(entry)?);
            let wanted = self.topology.wanted(entry)?;
            let causal = database.causal_reads.unwrap_or(config.settings.causal_reads);
            let causal = causal == CausalReads::Session;
            let (routing, topology) =
                (self.metrics.routing(&database.name), self.metrics.topology(&database.name));
            let route_reads = database.route_reads.unwrap_or(config.settings.route_reads);
            let reads = match route_reads {
                RouteReads::Off | RouteReads::Explicit => None,
                RouteReads::Auto | RouteReads::Shadow => {
                    Some(self.reads.entry(database.name.clone()).or_default().clone())
                }
            };
            let balance = Balance::of(config, database);
            Some(Tracking {
                attrs,
                route_reads,
                reads,
                causal,
                wanted,
                view,
                balance,
                routing,
                topology,
            })
        });
        Offer {
            database: database.clone(),
            mode: config.pool_mode(database, user),
            max_prepared_statements: config.settings.max_prepared_statements,
            prepare_unnamed: config.settings.prepare_unnamed,
            realm: realm(&database.name, user),
            failover_timeout: config.settings.failover_timeout,
            bounds: Bounds {
                longest: config.settings.max_packet_size,
                simple: !config.settings.disable_pqexec,
            },
            reset_always: config.settings.server_reset_query_always,
            pools,
            tracking,
            removed: false,
        }
    }

    /// The rules of the entry's pools: one per host for entries that follow roles, else one for all.
    pub(super) fn rules(
        &self,
        config: &Config,
        tls: &Tls,
        database: &Database,
        user: &str,
        credentials: &Credentials,
    ) -> Vec<PoolRules> {
        let settings = &config.settings;
        let watched = database.target_session_attrs.is_some();
        let mode = config.pool_mode(database, user);
        let with = |targets| PoolRules {
            targets,
            balance: database.load_balance_hosts,
            sizes: Sizes {
                size: config.pool_size(database, user),
                min: config.min_pool_size(database),
                reserve: config.reserve_pool_size(database, user),
                reserve_after: settings.reserve_pool_timeout,
            },
            max_db_connections: config.max_db_connections(database),
            max_user_connections: config.max_user_connections(user),
            round_robin: settings.server_round_robin,
            query_wait_timeout: config.query_wait_timeout(database, user),
            query_timeout: config.query_timeout(user),
            query_wait_notify: settings.query_wait_notify,
            server_lifetime: config.server_lifetime(database),
            server_idle_timeout: settings.server_idle_timeout,
            retry: if watched { WATCHED_RETRY } else { settings.server_login_retry },
            watched,
            fast_close: settings.server_fast_close && mode == PoolMode::Session,
            check: (!settings.server_check_query.is_empty()).then(|| Check {
                query: match settings.server_check_query.as_str() {
                    "<empty>" => String::new(),
                    query => query.to_owned(),
                },
                after: settings.server_check_delay,
                limit: settings.server_connect_timeout,
            }),
            reset_query: settings.server_reset_query.clone(),
            lines: Lines::of(settings),
        };
        let targets = database.hosts.iter().map(|host| {
            target(config, tls, database, host, user, credentials.clone(), self.tracked.clone())
        });
        if watched {
            targets.map(|target| with(vec![target])).collect()
        } else {
            vec![with(targets.collect())]
        }
    }
}

/// Where and how to log in at one host of an entry.
pub fn target(
    config: &Config,
    tls: &Tls,
    database: &Database,
    host: &HostAddr,
    user: &str,
    credentials: Credentials,
    tracked: Arc<Tracked>,
) -> Target {
    let settings = &config.settings;
    Target {
        host: host.clone(),
        dbname: database.dbname.clone(),
        user: user.to_owned(),
        credentials,
        parameters: database.server_parameters.clone(),
        tls: tls.clone(),
        tcp: TcpOptions::of(settings),
        timeout: settings.server_connect_timeout,
        tracked,
        max_prepared_statements: settings.max_prepared_statements,
        connect_query: database.connect_query.clone(),
    }
}

/// A number for an entry and a user; which texts are seen often is counted by it.
fn realm(database: &str, user: &str) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    (database, user).hash(&mut hasher);
    hasher.finish()
}

/// What a forced user, `auth_user` or `topology_user` logs in with: the entry's password, else `auth_file`'s.
pub fn forced_credentials(config: &Config, database: &Database, user: &str) -> Credentials {
    let own = database.password.as_ref().filter(|_| database.user.as_deref() == Some(user));
    let text = own.or_else(|| config.userlist.users.get(user));
    Credentials::from_secret(text.map(|text| Secret::parse(text.reveal())).as_ref())
}
