//! Section `[databases]`: one connection string to one [`Database`].

use std::time::Duration;

use super::connstr;
use super::discover;
use super::error::ConfigError;
use super::ini::{Entry, Section};
use super::model::{
    CausalReads, Database, Discover, DiscoverBy, HostAddr, LoadBalanceHosts, PoolMode,
    ReplicaFallback, RouteReads, SecretText, Settings, TargetSessionAttrs,
};
use super::nearest::nearest;
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

/// A value of an entry, or the error that names entry and key.
pub(super) fn parameter<T>(
    entry: &Entry,
    key: &str,
    value: &str,
    read: impl FnOnce(&str) -> Result<T, values::Allowed>,
) -> Result<T, ConfigError> {
    read(value).map_err(|allowed| ConfigError::InvalidParameter {
        at: entry.at.clone(),
        section: entry.section,
        entry: entry.key.clone(),
        key: key.to_owned(),
        value: value.to_owned(),
        allowed,
    })
}

/// pgbouncer reads junk as 0 here, which for a pool's size would be "no limit"; so it is refused. Decimal, as there.
pub(super) fn whole_number(text: &str) -> Result<i32, values::Allowed> {
    text.parse().map_err(|_| "a whole number".to_owned())
}

/// Negative inherits (`None`), 0 is no limit.
pub(super) fn pool_size(
    entry: &Entry,
    key: &str,
    value: &str,
) -> Result<Option<Option<u32>>, ConfigError> {
    let number = parameter(entry, key, value, whole_number)?;
    Ok(u32::try_from(number).ok().map(|size| (size != 0).then_some(size)))
}

/// Negative inherits (`None`).
pub(super) fn count(entry: &Entry, key: &str, value: &str) -> Result<Option<u32>, ConfigError> {
    let number = parameter(entry, key, value, whole_number)?;
    Ok(u32::try_from(number).ok())
}

/// Negative and 0 inherit (`None`): an entry cannot lift a global limit.
pub(super) fn limit(entry: &Entry, key: &str, value: &str) -> Result<Option<u32>, ConfigError> {
    Ok(count(entry, key, value)?.filter(|limit| *limit != 0))
}

/// Whole seconds, as pgbouncer has them here. Negative and 0 inherit (`None`).
pub(super) fn seconds(
    entry: &Entry,
    key: &str,
    value: &str,
) -> Result<Option<Duration>, ConfigError> {
    if let Some(time) = with_unit(value) {
        return Ok((!time.is_zero()).then_some(time));
    }
    Ok(limit(entry, key, value)?.map(|seconds| Duration::from_secs(seconds.into())))
}

/// A time that has its unit; pgbouncer knows whole seconds only.
fn with_unit(value: &str) -> Option<Duration> {
    values::seconds(value).filter(|_| value.ends_with(|c: char| c.is_ascii_alphabetic()))
}

/// Whole seconds that somebody may wait. Negative inherits (`None`), 0 is for ever.
pub(super) fn wait(
    entry: &Entry,
    key: &str,
    value: &str,
) -> Result<Option<Option<Duration>>, ConfigError> {
    if let Some(time) = with_unit(value) {
        return Ok(Some((!time.is_zero()).then_some(time)));
    }
    let seconds = count(entry, key, value)?;
    let time = |seconds: u32| (seconds != 0).then(|| Duration::from_secs(seconds.into()));
    Ok(seconds.map(time))
}

/// The error for a key that entries of this section do not have.
pub(super) fn unknown(
    entry: &Entry,
    key: &str,
    known: impl IntoIterator<Item = &'static str>,
) -> ConfigError {
    ConfigError::UnknownParameter {
        at: entry.at.clone(),
        section: entry.section,
        entry: entry.key.clone(),
        key: key.to_owned(),
        nearest: nearest(key, known),
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse_text;
    use super::*;
    use crate::config::ReplicaLag;

    fn database(value: &str) -> Database {
        let config = parse_text(&format!("[databases]\napp = {value}")).expect("is well formed");
        Database::clone(&config.databases["app"])
    }

    fn refusal(value: &str) -> String {
        parse_text(&format!("[databases]\napp = {value}")).expect_err("is refused").to_string()
    }

    fn hosts(value: &str) -> Vec<String> {
        database(value).hosts.iter().map(HostAddr::to_string).collect()
    }

    #[test]
    fn an_empty_entry_is_the_database_of_its_name_behind_the_unix_socket() {
        let database = database("");
        assert_eq!(database.dbname, "app");
        assert_eq!(database.hosts, [HostAddr::Unix { path: "/tmp".into(), port: 5432 }]);
    }

    #[test]
    fn one_port_serves_all_hosts_or_each_has_its_own() {
        assert_eq!(hosts("host=a,b port=6000"), ["a:6000", "b:6000"]);
        assert_eq!(hosts("host=a,::1,/run port=1,2,3"), ["a:1", "[::1]:2", "/run:3"]);
        assert_eq!(hosts("host=@x,a"), ["@x:5432", "a:5432"]);
        assert!(refusal("host=a,b,c port=1,2").contains("has 3 hosts but 2 ports (parse_text:2)"));
    }

    #[test]
    fn a_port_that_is_none_is_refused_as_pgbouncer_does() {
        for port in ["0", "http", "65536", "-1", "0x10"] {
            assert!(
                refusal(&format!("port={port}")).starts_with(&format!("invalid port: {port}")),
                "{port}"
            );
        }
    }

    #[test]
    fn an_entry_without_host_needs_a_unix_socket_dir() {
        let error =
            parse_text("[databases]\napp=\n[pgbouncer]\nunix_socket_dir=").expect_err("is refused");
        assert!(error.to_string().contains("databases/app has no host (parse_text:2)"), "{error}");
    }

    #[test]
    fn every_key_of_an_entry_finds_its_field() {
        let found = database(
            "host=h dbname=d user=u password='p w' pool_size=7 pool_mode=statement auth_user=au \
             auth_query='select 1, $1' auth_dbname=ad connect_query='select 2' load_balance_hosts=disable \
             target_session_attrs=prefer-standby timezone=UTC datestyle=ISO client_encoding=UTF8 \
             application_name=x timezone=CET",
        );
        assert_eq!(found.hosts, [HostAddr::Tcp { host: "h".to_owned(), port: 5432 }]);
        assert_eq!((found.dbname.as_str(), found.user.as_deref()), ("d", Some("u")));
        assert_eq!(found.password.as_ref().map(SecretText::reveal), Some("p w"));
        assert_eq!((found.pool_size, found.pool_mode), (Some(Some(7)), Some(PoolMode::Statement)));
        assert_eq!(
            (found.auth_user.as_deref(), found.auth_dbname.as_deref()),
            (Some("au"), Some("ad"))
        );
        assert_eq!(found.auth_query.as_deref(), Some("select 1, $1"));
        assert_eq!(found.connect_query.as_deref(), Some("select 2"));
        assert_eq!(found.load_balance_hosts, LoadBalanceHosts::Disable);
        assert_eq!(found.target_session_attrs, Some(TargetSessionAttrs::PreferStandby));
        let parameters = [
            ("datestyle", "ISO"),
            ("client_encoding", "UTF8"),
            ("application_name", "x"),
            ("timezone", "CET"),
        ];
        assert_eq!(found.server_parameters, parameters.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }

    #[test]
    fn how_reads_are_spread_is_said_per_entry() {
        let found = database(
            "host=a,b route_reads=auto causal_reads=session replica_fallback=error max_replica_lag=16MB \
             weight=1,3 zone=x,y",
        );
        assert_eq!(found.route_reads, Some(RouteReads::Auto));
        assert_eq!(found.causal_reads, Some(CausalReads::Session));
        assert_eq!(found.replica_fallback, Some(ReplicaFallback::Error));
        assert_eq!(found.max_replica_lag, Some(Some(ReplicaLag::Bytes(16 << 20))));
        assert_eq!(
            (found.weights, found.zones),
            (vec![1, 3], vec!["x".to_owned(), "y".to_owned()])
        );
        assert_eq!(database("max_replica_lag=0").max_replica_lag, Some(None));
        assert!(
            refusal("host=a,b weight=1").contains("as many values as host= has names, which is 2")
        );
        assert!(refusal("host=a weight=x").contains("a whole number from 0 to 1000 for each host"));
        assert!(refusal("max_replica_lag=1TB").contains("WAL such as 16MB"));
    }

    #[test]
    fn a_pool_size_of_zero_is_no_limit_and_a_negative_one_inherits() {
        assert_eq!(database("pool_size=0").pool_size, Some(None));
        assert_eq!(database("pool_size=-1").pool_size, None);
        assert!(
            refusal("pool_size=many").contains("\"many\" for parameter pool_size of databases/app")
        );
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_one_that_was_meant() {
        let error = refusal("hots=a");
        assert!(
            error.starts_with(
                "unrecognized connection parameter: hots in databases/app (parse_text:2)"
            ),
            "{error}"
        );
        assert!(error.ends_with("did you mean \"host\"?"), "{error}");
    }

    #[test]
    fn the_consoles_names_are_reserved() {
        for name in RESERVED {
            let error =
                parse_text(&format!("[databases]\n{name} = host=a")).expect_err("is refused");
            assert!(
                error.to_string().starts_with(&format!("database name \"{name}\" is reserved"))
            );
            // As in pgbouncer: who needs it is refused at login.
            let config = parse_text(&format!("[databases]\napp = auth_dbname={name}"));
            let notes = config.expect("is well formed").notes;
            assert!(
                notes.len() == 1 && notes[0].to_string().contains("is the console"),
                "{notes:?}"
            );
        }
    }

    #[test]
    fn a_followed_entry_needs_somebody_to_watch_its_hosts_as() {
        let entry = "[databases]\napp = host=a,b target_session_attrs=read-write";
        let error = parse_text(entry).expect_err("is refused").to_string();
        assert!(error.contains("add topology_user = NAME to [pgbouncer], or user=NAME"), "{error}");
        for login in [
            " user=u",
            " auth_user=u",
            "\n[pgbouncer]\nauth_user=u",
            "\n[pgbouncer]\ntopology_user=u",
        ] {
            assert!(parse_text(&format!("{entry}{login}")).is_ok(), "{login}");
        }
    }

    #[test]
    fn limits_of_an_entry_inherit_when_zero_or_negative_and_counts_only_when_negative() {
        let own = database(
            "min_pool_size=0 reserve_pool=3 max_db_connections=4 max_db_client_connections=5 \
             server_lifetime=60",
        );
        assert_eq!((own.min_pool_size, own.reserve_pool_size), (Some(0), Some(3)));
        assert_eq!((own.max_db_connections, own.max_db_client_connections), (Some(4), Some(5)));
        assert_eq!(own.server_lifetime, Some(Duration::from_secs(60)));
        let waits =
            |value: &str| database(&format!("query_wait_timeout={value}")).query_wait_timeout;
        assert_eq!(waits("7"), Some(Some(Duration::from_secs(7))));
        assert_eq!((waits("0"), waits("-1")), (Some(None), None));
        for nothing in ["0", "-1"] {
            let heir = database(&format!(
                "max_db_connections={nothing} max_db_client_connections={nothing} \
                 server_lifetime={nothing} min_pool_size=-1 reserve_pool_size=-1"
            ));
            assert_eq!(heir, database(""));
        }
        assert!(refusal("server_lifetime=0.5").contains("allowed: a whole number"));
    }

    #[test]
    fn a_name_has_at_most_sixty_three_bytes() {
        let name = "n".repeat(63);
        assert!(parse_text(&format!("[databases]\n{name} =")).is_ok());
        assert!(parse_text(&format!("[databases]\n{name}n =")).is_err());
    }

    #[test]
    fn the_fallback_takes_the_clients_name_unless_it_has_a_dbname() {
        let config = parse_text("[databases]\n* = host=a").expect("is well formed");
        let found = config.database("shop").expect("falls back");
        assert_eq!((found.name.as_str(), found.dbname.as_str()), ("shop", "shop"));
        let config = parse_text("[databases]\n* = host=a dbname=all").expect("is well formed");
        assert_eq!(config.database("shop").expect("falls back").dbname, "all");
        assert!(config.databases.is_empty());
    }

    #[test]
    fn a_syntax_error_names_the_entry_and_not_the_password() {
        let error = refusal("password=a secret");
        assert!(
            error.starts_with("syntax error in connection string of databases/app (parse_text:2)"),
            "{error}"
        );
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn a_host_that_is_named_twice_is_one_where_roles_are_followed() {
        let found =
            database("host=a,b,a,c weight=1,2,3,4 zone=u,v,w,x target_session_attrs=any user=u");
        let hosts: Vec<_> = found.hosts.iter().map(HostAddr::name).collect();
        assert_eq!((hosts.join(","), found.weights), ("a,b,c".to_owned(), vec![1, 2, 4]));
        assert_eq!(found.zones, ["u", "v", "x"]);
        assert_eq!(database("host=a,a").hosts.len(), 2, "pgbouncer's list stays as it is");
    }
}
