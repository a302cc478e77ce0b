//! One entry of `[databases]`, of `[users]`, of `[peers]`.

use std::time::Duration;

use super::{
    CausalReads, Discover, HostAddr, LoadBalanceHosts, PoolMode, ReplicaFallback, ReplicaLag,
    RouteReads, SecretText, TargetSessionAttrs,
};

/// One entry of `[databases]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// The name clients use (for `*`: the name the client asked for).
    pub name: String,
    /// At least one; each one once in an entry that follows roles.
    pub hosts: Vec<HostAddr>,
    /// The database's name on the server.
    pub dbname: String,
    /// The forced user.
    pub user: Option<String>,
    /// The forced user's password.
    pub password: Option<SecretText>,
    /// With it pgweir follows the hosts' roles; without it the list is used as pgbouncer does.
    pub target_session_attrs: Option<TargetSessionAttrs>,
    /// How a plain host list is used.
    pub load_balance_hosts: LoadBalanceHosts,
    /// Overrides the global `route_reads`.
    pub route_reads: Option<RouteReads>,
    /// Overrides the global `causal_reads`.
    pub causal_reads: Option<CausalReads>,
    /// Overrides the global `replica_fallback`.
    pub replica_fallback: Option<ReplicaFallback>,
    /// Overrides the global `max_replica_lag`; `Some(None)`: no limit.
    pub max_replica_lag: Option<Option<ReplicaLag>>,
    /// How much of the reads each host is to get, beside the others; empty: all the same.
    pub weights: Vec<u32>,
    /// Where each host is; empty, or an empty name: not said.
    pub zones: Vec<String>,
    /// Who else knows its hosts; only in an entry that follows roles.
    pub discover: Option<Discover>,
    /// Overrides `default_pool_size`; `Some(None)`: no limit.
    pub pool_size: Option<Option<u32>>,
    /// Overrides the global `min_pool_size`.
    pub min_pool_size: Option<u32>,
    /// Overrides the global `reserve_pool_size`.
    pub reserve_pool_size: Option<u32>,
    /// Overrides the global `max_db_connections`.
    pub max_db_connections: Option<u32>,
    /// Overrides the global `max_db_client_connections`.
    pub max_db_client_connections: Option<u32>,
    /// Overrides the global `server_lifetime`.
    pub server_lifetime: Option<Duration>,
    /// Overrides the global `query_wait_timeout`; `Some(None)`: for ever.
    pub query_wait_timeout: Option<Option<Duration>>,
    /// Overrides the global mode.
    pub pool_mode: Option<PoolMode>,
    /// Overrides `auth_user`.
    pub auth_user: Option<String>,
    /// Overrides `auth_query`.
    pub auth_query: Option<String>,
    /// Overrides `auth_dbname`.
    pub auth_dbname: Option<String>,
    /// Run once on every new server connection.
    pub connect_query: Option<String>,
    /// Startup parameters for servers: `client_encoding`, `datestyle`, `timezone`, `application_name`.
    pub server_parameters: Vec<(String, String)>,
}

impl Database {
    /// A host that is named twice is one host, with the weight and the zone of its first place.
    pub(in crate::config) fn drop_doubles(&mut self) {
        let hosts = std::mem::take(&mut self.hosts);
        let firsts: Vec<bool> = (0..hosts.len())
            .map(|index| !hosts.iter().take(index).any(|host| Some(host) == hosts.get(index)))
            .collect();
        fn keep<T>(list: Vec<T>, firsts: &[bool]) -> Vec<T> {
            list.into_iter().zip(firsts).filter_map(|(one, first)| first.then_some(one)).collect()
        }
        self.hosts = keep(hosts, &firsts);
        self.weights = keep(std::mem::take(&mut self.weights), &firsts);
        self.zones = keep(std::mem::take(&mut self.zones), &firsts);
    }
}

/// One entry of `[users]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// Overrides the database's and the global mode.
    pub pool_mode: Option<PoolMode>,
    /// Overrides the database's and the global size; `Some(None)`: no limit.
    pub pool_size: Option<Option<u32>>,
    /// Overrides the database's and the global `reserve_pool_size`.
    pub reserve_pool_size: Option<u32>,
    /// Overrides the global `max_user_connections`.
    pub max_user_connections: Option<u32>,
    /// Overrides the global `max_user_client_connections`.
    pub max_user_client_connections: Option<u32>,
    /// Overrides the database's and the global `query_wait_timeout`; `Some(None)`: for ever.
    pub query_wait_timeout: Option<Option<Duration>>,
    /// Overrides the global `query_timeout`.
    pub query_timeout: Option<Duration>,
    /// Overrides the global `idle_transaction_timeout`.
    pub idle_transaction_timeout: Option<Duration>,
    /// Overrides the global `transaction_timeout`.
    pub transaction_timeout: Option<Duration>,
    /// Overrides the global `client_idle_timeout`.
    pub client_idle_timeout: Option<Duration>,
}

/// Another pooler, to which cancel requests are passed on that are for its clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where.
    pub host: HostAddr,
    /// How many cancel requests may be on their way at once; outer `None`: as `default_pool_size`; inner: no limit.
    pub pool_size: Option<Option<u32>>,
}
