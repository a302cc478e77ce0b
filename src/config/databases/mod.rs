//! Section `[databases]`: one connection string to one [`Database`].

use super::connstr;
use super::discover;
use super::error::ConfigError;
use super::ini::{Entry, Section};
use super::model::{
    CausalReads, Database, Discover, DiscoverBy, HostAddr, LoadBalanceHosts, PoolMode,
    ReplicaFallback, RouteReads, SecretText, Settings, TargetSessionAttrs,
};
use super::parameters::{count, limit, parameter, pool_size, seconds, unknown, wait};
use super::values::{self, Value};

/// PostgreSQL's own limit, in bytes.
const MAX_NAME: usize = 63;
/// The port of a server that names none.
pub const DEFAULT_PORT: u16 = 5432;
/// The console; pgbouncer reserves the first.
const RESERVED: [&str; 2] = ["pgbouncer", "pgweir"];

/// The keys of an entry.
pub const KEYS: [&str; 32] = [
    "host",
    "port",
    "dbname",
    "user",
    "password",
    "target_session_attrs",
    "load_balance_hosts",
    "route_reads",
    "causal_reads",
    "replica_fallback",
    "max_replica_lag",
    "weight",
    "zone",
    "discover",
    "discover_from",
    "pool_size",
    "min_pool_size",
    "reserve_pool_size",
    "reserve_pool",
    "max_db_connections",
    "max_db_client_connections",
    "server_lifetime",
    "query_wait_timeout",
    "pool_mode",
    "auth_user",
    "auth_query",
    "auth_dbname",
    "connect_query",
    "client_encoding",
    "datestyle",
    "timezone",
    "application_name",
];
/// Whether the name is the console's.
pub(super) fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}

/// Reads one entry. The settings give what the entry leaves out.
///
/// # Errors
/// All that is wrong with it, at least one.
pub(super) fn read(entry: &Entry, settings: &Settings) -> Result<Database, Vec<ConfigError>> {
    let name = &entry.key;
    if is_reserved(name) {
        let (at, name) = (entry.at.clone(), name.clone());
        return Err(vec![ConfigError::ReservedDatabase { at, name }]);
    }
    if name.len() > MAX_NAME {
        let (at, name) = (entry.at.clone(), name.clone());
        return Err(vec![ConfigError::NameTooLong { at, name, limit: MAX_NAME }]);
    }
    let (hosts, ports, discover, discover_from) = (None, None, None, None);
    let mut draft = Draft { entry, hosts, ports, discover, discover_from, database: blank(name) };
    let pairs = pairs(entry).map_err(|problem| vec![problem])?;
    let problems = pairs.iter().filter_map(|(key, value)| draft.set(key, value).err());
    let problems: Vec<_> = problems.collect();
    // What does not fit together would often be a consequence of those.
    if problems.is_empty() {
        draft.finish(settings).map_err(|one| vec![one])
    } else {
        Err(problems)
    }
}

/// Splits an entry's value.
///
/// # Errors
/// It is not `key=value key=value`.
pub fn pairs(entry: &Entry) -> Result<Vec<(String, String)>, ConfigError> {
    connstr::parse(&entry.value).map_err(|fault| ConfigError::EntrySyntax {
        at: entry.at.clone(),
        section: entry.section,
        entry: entry.key.clone(),
        fault,
    })
}

fn blank(name: &str) -> Database {
    Database {
        name: name.to_owned(),
        hosts: Vec::new(),
        // For `*` this says "as the client's", which `Config::database` fills in.
        dbname: name.to_owned(),
        user: None,
        password: None,
        target_session_attrs: None,
        load_balance_hosts: LoadBalanceHosts::default(),
        route_reads: None,
        causal_reads: None,
        replica_fallback: None,
        max_replica_lag: None,
        weights: Vec::new(),
        zones: Vec::new(),
        discover: None,
        pool_size: None,
        min_pool_size: None,
        reserve_pool_size: None,
        max_db_connections: None,
        max_db_client_connections: None,
        server_lifetime: None,
        query_wait_timeout: None,
        pool_mode: None,
        auth_user: None,
        auth_query: None,
        auth_dbname: None,
        connect_query: None,
        server_parameters: Vec::new(),
    }
}

struct Draft<'a> {
    entry: &'a Entry,
    hosts: Option<String>,
    ports: Option<String>,
    discover: Option<DiscoverBy>,
    discover_from: Option<String>,
    database: Database,
}

impl Draft<'_> {
    fn set(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        let entry = self.entry;
        let database = &mut self.database;
        let text = || value.to_owned();
        match key {
            "host" => self.hosts = Some(text()),
            "port" => self.ports = Some(text()),
            "dbname" => database.dbname = text(),
            "user" => database.user = Some(text()),
            "password" => database.password = Some(SecretText::new(text())),
            "target_session_attrs" => {
                database.target_session_attrs =
                    Some(parameter(entry, key, value, TargetSessionAttrs::read)?);
            }
            "load_balance_hosts" => {
                database.load_balance_hosts = parameter(entry, key, value, LoadBalanceHosts::read)?;
            }
            "route_reads" => {
                database.route_reads = Some(parameter(entry, key, value, RouteReads::read)?);
            }
            "causal_reads" => {
                database.causal_reads = Some(parameter(entry, key, value, CausalReads::read)?);
            }
            "replica_fallback" => {
                database.replica_fallback =
                    Some(parameter(entry, key, value, ReplicaFallback::read)?);
            }
            "max_replica_lag" => {
                database.max_replica_lag = Some(parameter(entry, key, value, values::replica_lag)?);
            }
            "weight" => database.weights = parameter(entry, key, value, weights)?,
            "discover" => self.discover = parameter(entry, key, value, discover::by)?,
            "discover_from" => self.discover_from = Some(text()),
            "zone" => {
                database.zones = value.split(',').map(|zone| zone.trim().to_owned()).collect()
            }
            "pool_size" => database.pool_size = pool_size(entry, key, value)?,
            "min_pool_size" => database.min_pool_size = count(entry, key, value)?,
            "reserve_pool_size" | "reserve_pool" => {
                database.reserve_pool_size = count(entry, key, value)?;
            }
            "max_db_connections" => database.max_db_connections = limit(entry, key, value)?,
            "max_db_client_connections" => {
                database.max_db_client_connections = limit(entry, key, value)?;
            }
            "server_lifetime" => database.server_lifetime = seconds(entry, key, value)?,
            "pool_mode" => database.pool_mode = Some(parameter(entry, key, value, PoolMode::read)?),
            "auth_user" => database.auth_user = Some(text()),
            "auth_query" => database.auth_query = Some(text()),
            "auth_dbname" => database.auth_dbname = Some(text()),
            "connect_query" => database.connect_query = Some(text()),
            "client_encoding" | "datestyle" | "timezone" | "application_name" => {
                database.server_parameters.retain(|(name, _)| name != key);
                database.server_parameters.push((key.to_owned(), text()));
            }
            "query_wait_timeout" => database.query_wait_timeout = wait(entry, key, value)?,
            _ => return Err(unknown(entry, key, KEYS)),
        }
        Ok(())
    }

    fn finish(mut self, settings: &Settings) -> Result<Database, ConfigError> {
        self.database.hosts = self.hosts(settings)?;
        let database = &self.database;
        let hosts = database.hosts.len();
        for (key, count) in [("weight", database.weights.len()), ("zone", database.zones.len())] {
            parameter(self.entry, key, &format!("{count} values"), |_| match count {
                0 => Ok(()),
                count if count == hosts => Ok(()),
                _ => Err(format!("as many values as host= has names, which is {hosts}")),
            })?;
        }
        if self.database.target_session_attrs.is_some() {
            self.database.drop_doubles();
        }
        self.database.discover = self.discover()?;
        let database = self.database;
        let has_login = database.user.is_some()
            || database.auth_user.is_some()
            || settings.auth_user.is_some()
            || settings.topology_user.is_some();
        if database.target_session_attrs.is_some() && !has_login {
            let at = Some(self.entry.at.clone());
            return Err(ConfigError::MonitorWithoutLogin { at, entry: self.entry.key.clone() });
        }
        Ok(database)
    }

    fn discover(&self) -> Result<Option<Discover>, ConfigError> {
        let (entry, from) = (self.entry, self.discover_from.as_deref());
        let Some(by) = self.discover else {
            return parameter(entry, "discover_from", "a value", |_| match from {
                None => Ok(None),
                Some(_) => Err("discover= beside it, to say who is asked there".to_owned()),
            });
        };
        if self.database.target_session_attrs.is_none() {
            return parameter(entry, "discover", discover::name(by), |_| {
                Err("target_session_attrs= beside it: only an entry that follows roles has use for \
                     hosts that are found"
                    .to_owned())
            });
        }
        let shown = if from.is_some() { "the value" } else { "no value" };
        let mut found = parameter(entry, "discover_from", shown, |_| discover::read(by, from))?;
        if let Discover::Patroni(urls) = &mut found
            && urls.is_empty()
        {
            *urls = self.database.hosts.iter().filter_map(discover::api_of).collect();
            if urls.is_empty() {
                return parameter(entry, "discover_from", "no value", |_| {
                    Err("the URL of Patroni's REST API, as the entry's hosts are Unix sockets"
                        .to_owned())
                });
            }
        }
        Ok(Some(found))
    }

    fn hosts(&self, settings: &Settings) -> Result<Vec<HostAddr>, ConfigError> {
        let Entry { at, key: name, .. } = self.entry;
        let hosts: Vec<&str> = match &self.hosts {
            // Not `words`: an empty word has its meaning, the default, and its place beside a port.
            Some(list) => list.split(',').map(str::trim).collect(),
            None => vec![""],
        };
        let ports = self.ports()?;
        if ports.len() > 1 && ports.len() != hosts.len() {
            let (at, entry) = (at.clone(), name.clone());
            return Err(ConfigError::PortsDoNotMatchHosts {
                at,
                entry,
                hosts: hosts.len(),
                ports: ports.len(),
            });
        }
        let first = ports.first().copied().unwrap_or(DEFAULT_PORT);
        let each = ports.iter().copied().chain(std::iter::repeat(first));
        let address = |(host, port): (&str, u16)| match host {
            "" => settings.unix_socket_dir.clone().map(|path| HostAddr::Unix { path, port }),
            _ => Some(HostAddr::new(host, port)),
        };
        let hosts: Option<Vec<HostAddr>> = hosts.into_iter().zip(each).map(address).collect();
        hosts.ok_or_else(|| ConfigError::HostMissing {
            at: at.clone(),
            section: Section::Databases,
            entry: name.clone(),
        })
    }

    /// As libpq: an empty word is the default port.
    fn ports(&self) -> Result<Vec<u16>, ConfigError> {
        let port = |word: &str| match word {
            "" => Ok(DEFAULT_PORT),
            // Decimal, as in pgbouncer: 05432 is no octal number here.
            _ => word.parse().ok().filter(|port| *port != 0).ok_or_else(|| {
                ConfigError::InvalidPort {
                    at: self.entry.at.clone(),
                    entry: self.entry.key.clone(),
                    port: word.to_owned(),
                }
            }),
        };
        match &self.ports {
            Some(list) => list.split(',').map(str::trim).map(port).collect(),
            None => Ok(Vec::new()),
        }
    }
}

/// One number for each host; a host of weight 0 gets no reads while another is fit.
fn weights(text: &str) -> Result<Vec<u32>, values::Allowed> {
    let weight = |word: &str| word.trim().parse().ok().filter(|weight| *weight <= 1000);
    let all: Option<_> = text.split(',').map(weight).collect();
    all.ok_or_else(|| "a whole number from 0 to 1000 for each host, separated by commas".to_owned())
}

#[cfg(test)]
mod tests;
