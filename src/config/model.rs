//! What a configuration says, in types that cannot be wrong. Where it comes from is the other files' business.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::hba::Hba;
use super::ldap::LdapOptions;
use super::tls::{Ciphers, Ciphers13, Curves, Protocols};
use super::values;

/// Everything that was read from the ini file and from `auth_file`. Never changed: a reload makes a new one.
#[derive(Clone, Debug)]
pub struct Config {
    /// The ini file.
    pub path: PathBuf,
    /// Section `[pgbouncer]`.
    pub settings: Settings,
    /// Section `[databases]`, by the name that clients use; without the entry `*`.
    pub databases: BTreeMap<String, Arc<Database>>,
    /// The entry `*`.
    pub fallback: Option<Arc<Database>>,
    /// Section `[users]`.
    pub users: BTreeMap<String, User>,
    /// Section `[peers]`, by `peer_id`.
    pub peers: BTreeMap<u16, Peer>,
    /// The content of `auth_file`.
    pub userlist: Arc<Userlist>,
    /// What whoever asks over HTTP must show: `http_auth_token`, or the content of `http_auth_token_file`.
    pub http_token: Option<SecretText>,
    /// The content of `auth_hba_file` and `auth_ident_file`; empty unless `auth_type = hba`.
    pub hba: Arc<Hba>,
    /// What the files ask for and pgweir does not do, and lines that it skips: for the log and for `pgweir check`.
    pub notes: Vec<Note>,
}

/// A line of the configuration that does not have the effect that it seems to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The file.
    pub file: PathBuf,
    /// The line, counted from 1.
    pub line: u32,
    /// The key: `query_timeout`, or `users/ann query_timeout` within an entry.
    pub key: String,
    /// What there is to say about it: one sentence.
    pub sentence: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.sentence)
    }
}

/// How long a client keeps its server (setting `pool_mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PoolMode {
    /// Until it disconnects.
    #[default]
    Session,
    /// Until its transaction ends.
    Transaction,
    /// Until its statement ends; transaction blocks are refused.
    Statement,
}

impl PoolMode {
    /// As the file has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Transaction => "transaction",
            Self::Statement => "statement",
        }
    }
}

/// How clients prove who they are (setting `auth_type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuthType {
    /// Any user name, no password; the database entry must have a forced user.
    Any,
    /// The user must exist, no password.
    Trust,
    /// Password in the clear.
    Plain,
    /// MD5 exchange, or SCRAM where the stored secret is a SCRAM secret.
    #[default]
    Md5,
    /// SCRAM-SHA-256.
    ScramSha256,
    /// The TLS certificate's common name.
    Cert,
    /// As `auth_hba_file` says.
    Hba,
    /// A directory tells whether the password is right.
    Ldap,
    /// The system (PAM) tells whether the password is right.
    Pam,
}

/// Setting `syslog_facility` (syslog(3)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is the facility of that name")]
pub enum SyslogFacility {
    Auth,
    AuthPriv,
    #[default]
    Daemon,
    User,
    Local0,
    Local1,
    Local2,
    Local3,
    Local4,
    Local5,
    Local6,
    Local7,
}

/// Setting `log_format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// As pgbouncer writes lines.
    #[default]
    Text,
    /// An object on each line.
    Json,
}

/// How much TLS is used (`client_tls_sslmode`, `server_tls_sslmode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslMode {
    /// None.
    Disable,
    /// As `Prefer`.
    Allow,
    /// If the other side wants or offers it.
    Prefer,
    /// Always; certificates are not checked.
    Require,
    /// Always; the certificate must come from `*_tls_ca_file`.
    VerifyCa,
    /// Always; the certificate must also bear the host's name.
    VerifyFull,
}

impl SslMode {
    /// Whether the other side has to show a certificate that is checked.
    pub fn verifies(self) -> bool {
        matches!(self, Self::VerifyCa | Self::VerifyFull)
    }
}

/// The TLS settings of one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// `*_tls_sslmode`.
    pub mode: SslMode,
    /// `*_tls_key_file` (PEM).
    pub key_file: Option<PathBuf>,
    /// `*_tls_cert_file` (PEM, chain).
    pub cert_file: Option<PathBuf>,
    /// `*_tls_ca_file` (PEM).
    pub ca_file: Option<PathBuf>,
    /// `*_tls_protocols`.
    pub protocols: Protocols,
    /// `*_tls_ciphers`.
    pub ciphers: Ciphers,
    /// `*_tls13_ciphers`.
    pub ciphers13: Ciphers13,
    /// `*_tls_ecdhcurve`; pgbouncer has it for clients only.
    pub ecdhcurve: Curves,
}

/// Section `[pgbouncer]`. Each field is the setting of the same name; see [`super::settings`] for the table with
/// meanings, units and defaults. `None` stands for "off", "no limit" or "not given", never zero.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table in `settings` documents each field under its name")]
pub struct Settings {
    pub logfile: Option<PathBuf>,
    pub pidfile: Option<PathBuf>,
    pub verbose: u8,
    pub log_connections: bool,
    pub log_disconnections: bool,
    pub log_pooler_errors: bool,
    pub log_stats: bool,
    pub log_format: LogFormat,
    pub log_rate_limit: u32,
    pub stats_period: Duration,
    pub track_queries: u32,
    pub listen_addr: Vec<String>,
    pub listen_port: u16,
    pub listen_backlog: u32,
    pub unix_socket_dir: Option<PathBuf>,
    pub unix_socket_mode: u32,
    pub so_reuseport: bool,
    pub tcp_keepalive: bool,
    pub tcp_defer_accept: u32,
    pub tcp_keepcnt: Option<u32>,
    pub tcp_keepidle: Option<Duration>,
    pub tcp_keepintvl: Option<Duration>,
    pub tcp_user_timeout: Option<Duration>,
    pub tcp_socket_buffer: Option<u32>,
    pub max_packet_size: u32,
    pub disable_pqexec: bool,
    pub application_name_add_host: bool,
    pub unix_socket_group: Option<String>,
    pub pool_mode: PoolMode,
    pub max_client_conn: u32,
    /// 0 in the file: no limit.
    pub default_pool_size: Option<u32>,
    pub min_pool_size: u32,
    pub reserve_pool_size: u32,
    /// `None`: the reserve is not used.
    pub reserve_pool_timeout: Option<Duration>,
    pub max_db_connections: Option<u32>,
    pub max_user_connections: Option<u32>,
    pub max_db_client_connections: Option<u32>,
    pub max_user_client_connections: Option<u32>,
    pub autodb_idle_timeout: Option<Duration>,
    pub pool_idle_timeout: Option<Duration>,
    pub server_round_robin: bool,
    pub query_wait_timeout: Option<Duration>,
    pub query_wait_notify: Option<Duration>,
    pub query_timeout: Option<Duration>,
    pub idle_transaction_timeout: Option<Duration>,
    pub transaction_timeout: Option<Duration>,
    pub client_idle_timeout: Option<Duration>,
    pub client_login_timeout: Option<Duration>,
    pub server_connect_timeout: Duration,
    pub server_login_retry: Duration,
    /// 0 in the file: a server is used once (`Some(ZERO)`).
    pub server_lifetime: Duration,
    pub server_idle_timeout: Option<Duration>,
    pub dns_max_ttl: Duration,
    pub dns_nxdomain_ttl: Duration,
    pub cancel_wait_timeout: Duration,
    pub suspend_timeout: Option<Duration>,
    pub syslog: bool,
    pub syslog_ident: String,
    pub syslog_facility: SyslogFacility,
    pub user: Option<String>,
    /// `None`: the file of the command line.
    pub conffile: Option<PathBuf>,
    pub login_notify_message: String,
    /// 0: none.
    pub peer_id: u16,
    pub server_check_delay: Duration,
    /// Empty: no check; `<empty>`: an empty query.
    pub server_check_query: String,
    pub server_fast_close: bool,
    pub server_reset_query: String,
    pub server_reset_query_always: bool,
    pub track_extra_parameters: Vec<String>,
    pub ignore_startup_parameters: Vec<String>,
    /// 0: named statements pass through untouched.
    pub max_prepared_statements: u32,
    pub prepare_unnamed: PrepareUnnamed,
    /// `route_reads`
    pub route_reads: RouteReads,
    /// `split_brain`
    pub split_brain: SplitBrain,
    /// `topology_state_file`
    pub topology_state_file: Option<PathBuf>,
    pub auth_type: AuthType,
    pub auth_file: Option<PathBuf>,
    pub auth_hba_file: Option<PathBuf>,
    pub auth_ident_file: Option<PathBuf>,
    pub auth_user: Option<String>,
    pub auth_query: String,
    pub auth_dbname: Option<String>,
    /// `auth_ldap_options`: where the directory is and how it is asked, if `auth_type = ldap`.
    pub auth_ldap_options: Option<Arc<LdapOptions>>,
    /// At least 1.
    pub scram_iterations: u32,
    pub admin_users: Vec<String>,
    pub stats_users: Vec<String>,
    pub client_tls: TlsSettings,
    pub server_tls: TlsSettings,
    // pgweir's own.
    /// Worker threads; `None`: one per core.
    pub workers: Option<u32>,
    pub http_listen: Vec<HttpAddr>,
    pub http_socket_mode: u32,
    pub http_auth_token: Option<SecretText>,
    pub http_auth_token_file: Option<PathBuf>,
    pub http_tls_key_file: Option<PathBuf>,
    pub http_tls_cert_file: Option<PathBuf>,
    pub metrics_compat: MetricsCompat,
    pub topology_interval: Duration,
    pub discover_interval: Duration,
    pub topology_timeout: Duration,
    /// As whom the monitors log in; `None`: the entry's `user`, else `auth_user`.
    pub topology_user: Option<String>,
    pub failover_timeout: Duration,
    pub max_replica_lag: Option<ReplicaLag>,
    /// `causal_reads`
    pub causal_reads: CausalReads,
    /// `replica_fallback`
    pub replica_fallback: ReplicaFallback,
    /// `slow_start`
    pub slow_start: Option<Duration>,
    /// `zone`
    pub zone: Option<String>,
}

/// Where HTTP is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpAddr {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix-domain socket, by its whole name; one that begins with `@` is abstract.
    Unix(PathBuf),
}

impl fmt::Display for HttpAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl ReplicaLag {
    /// What a probe may be asked: bytes as with Patroni, or a number with its unit of memory (`10MB`) or of time (`10s`).
    pub fn of_probe(text: &str) -> Option<Self> {
        let bytes = values::bytes(text).map(Self::Bytes);
        bytes.or_else(|| values::seconds(text).map(Self::Time))
    }
}

/// Another pooler, to which cancel requests are passed on that are for its clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where.
    pub host: HostAddr,
    /// How many cancel requests may be on their way at once; outer `None`: as `default_pool_size`; inner: no limit.
    pub pool_size: Option<Option<u32>>,
}

/// One host of a database entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostAddr {
    /// TCP. `host` is a name or a number (IPv6 without brackets).
    Tcp {
        /// Name or number.
        host: String,
        /// Port.
        port: u16,
    },
    /// The Unix-domain socket `PATH/.s.PGSQL.PORT`; a path that begins with `@` is abstract.
    Unix {
        /// Directory.
        path: PathBuf,
        /// Port in the file's name.
        port: u16,
    },
    /// One of the addresses of a name that has several.
    Resolved {
        /// The name: what a certificate is to bear.
        name: String,
        /// The address.
        ip: IpAddr,
        /// Port.
        port: u16,
    },
}

impl HostAddr {
    /// As `host=` has it: a directory or an abstract socket's name, else a name or a number.
    pub fn new(host: &str, port: u16) -> Self {
        if host.starts_with(['/', '@']) {
            return Self::Unix { path: PathBuf::from(host), port };
        }
        Self::Tcp { host: host.to_owned(), port }
    }

    /// The port.
    pub fn port(&self) -> u16 {
        match self {
            Self::Tcp { port, .. } | Self::Unix { port, .. } | Self::Resolved { port, .. } => *port,
        }
    }

    /// The name, if it is one that has to be looked up.
    pub fn to_look_up(&self) -> Option<&str> {
        match self {
            Self::Tcp { host: name, .. } | Self::Resolved { name, .. } => {
                name.parse::<IpAddr>().is_err().then_some(name)
            }
            Self::Unix { .. } => None,
        }
    }

    /// All but the port: name, number, directory, or a name with one of its addresses.
    pub fn place(&self) -> String {
        match self {
            Self::Resolved { name, ip, .. } => format!("{name}({ip})"),
            Self::Tcp { .. } | Self::Unix { .. } => self.name(),
        }
    }

    /// Name, number or directory, without the port.
    pub fn name(&self) -> String {
        match self {
            Self::Tcp { host: name, .. } | Self::Resolved { name, .. } => name.clone(),
            Self::Unix { path, .. } => path.display().to_string(),
        }
    }
}

impl fmt::Display for HostAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix { path, port } => write!(f, "{}:{port}", path.display()),
            Self::Resolved { port, .. } => write!(f, "{}:{port}", self.place()),
        }
    }
}

/// What a client may want of the host it is given (`target_session_attrs`, libpq's values).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetSessionAttrs {
    /// Any host that is up.
    Any,
    /// The primary.
    ReadWrite,
    /// A host that refuses writes: a standby.
    ReadOnly,
    /// The primary.
    Primary,
    /// A standby.
    Standby,
    /// A standby, or the primary if there is none.
    PreferStandby,
}

/// `load_balance_hosts` of an entry without `target_session_attrs`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoadBalanceHosts {
    /// The next host for each new connection.
    #[default]
    RoundRobin,
    /// The same host until a connection to it fails.
    Disable,
}

/// Setting `prepare_unnamed`: whether unnamed statements are kept under a name on the servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PrepareUnnamed {
    /// Texts that were seen several times in one pool.
    #[default]
    Auto,
    /// Every text that can be.
    On,
    /// None: they go on as they were sent.
    Off,
}

/// Setting `route_reads`: which transactions of an entry for the primary go to replicas without being told to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RouteReads {
    /// None, not even those that say `READ ONLY`.
    Off,
    /// Those that say `READ ONLY`.
    #[default]
    Explicit,
    /// Also single statements that PostgreSQL's grammar shows to be reads.
    Auto,
    /// As `Explicit`; what `Auto` would do is counted (`SHOW ROUTES`).
    Shadow,
}

/// Setting `max_replica_lag`: how far behind a replica may be to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaLag {
    /// Since the primary was where it is.
    Time(Duration),
    /// WAL.
    Bytes(u64),
}

/// Setting `replica_fallback`: what becomes of a read when no replica is fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplicaFallback {
    /// The primary serves it.
    #[default]
    Primary,
    /// It is refused.
    Error,
}

/// Setting `causal_reads`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CausalReads {
    /// A replica may lack what the client has just written.
    #[default]
    Off,
    /// A client's reads see its own writes.
    Session,
}

/// Setting `metrics_compat`: by whose names metrics are shown besides our own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetricsCompat {
    /// Those of pgbouncer's exporter.
    #[default]
    PgbouncerExporter,
    /// Nobody's.
    Off,
}

/// Setting `split_brain`: what to do when several hosts say that they are the primary on one timeline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SplitBrain {
    /// None is believed: no writes until all but one have stopped.
    #[default]
    Refuse,
    /// The one that came last is believed.
    Newest,
}

/// Parameter `discover`: by whom the hosts of an entry are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiscoverBy {
    /// The servers themselves, in `pg_stat_replication`.
    Replication,
    /// repmgr, in its table `repmgr.nodes`.
    Repmgr,
    /// Patroni, by its REST API.
    Patroni,
    /// pg_auto_failover, at its monitor.
    AutoFailover,
}

/// Parameters `discover` and `discover_from`: who knows the hosts of an entry, and how that one is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Discover {
    /// `pg_stat_replication` of the entry's hosts. No host of its own.
    Replication(DiscoverLogin),
    /// `repmgr.nodes`, at the entry's hosts and those of the login.
    Repmgr(DiscoverLogin),
    /// The REST API at one of these; at least one.
    Patroni(Vec<ApiUrl>),
    /// The monitor; at least one host.
    AutoFailover(DiscoverLogin),
}

/// How a server is asked for the hosts of its cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiscoverLogin {
    /// Where, besides at the entry's hosts.
    pub hosts: Vec<HostAddr>,
    /// In which database.
    pub dbname: Option<String>,
    /// As whom; `None`: as the monitors.
    pub user: Option<String>,
    /// His password; `None`: `auth_file`'s.
    pub password: Option<SecretText>,
    /// Which of the formations of a pg_auto_failover monitor; `None`: `default`.
    pub formation: Option<String>,
}

/// A host that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundHost {
    /// Where it is.
    pub addr: HostAddr,
    /// Whether its manager lets it serve reads.
    pub reads: bool,
}

/// Where a REST API is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ApiUrl {
    /// `https`
    pub tls: bool,
    /// Name or number (IPv6 without brackets).
    pub host: String,
    /// Port.
    pub port: u16,
}

impl ApiUrl {
    /// `host:port`
    pub fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

impl fmt::Display for ApiUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())
    }
}

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
    pub(super) fn drop_doubles(&mut self) {
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

/// A password or what stands for it, as a file has it. Shows nothing of itself in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(String);

impl SecretText {
    /// Wraps it.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// `auth_file`: user names with their secrets (plain, `md5…`, `SCRAM-SHA-256$…`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Userlist {
    /// By user name.
    pub users: BTreeMap<String, SecretText>,
}

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

    /// The mode of a pool: the user's, else the database's, else the global one.
    pub fn pool_mode(&self, database: &Database, server_user: &str) -> PoolMode {
        let user = self.users.get(server_user).and_then(|user| user.pool_mode);
        user.or(database.pool_mode).unwrap_or(self.settings.pool_mode)
    }

    /// The size of a pool: the user's, else the database's, else the global one; `None`: no limit.
    pub fn pool_size(&self, database: &Database, server_user: &str) -> Option<u32> {
        let user = self.users.get(server_user).and_then(|user| user.pool_size);
        user.or(database.pool_size).unwrap_or(self.settings.default_pool_size)
    }

    /// Connections that a pool of this database keeps: the database's number, else the global one.
    pub fn min_pool_size(&self, database: &Database) -> u32 {
        database.min_pool_size.unwrap_or(self.settings.min_pool_size)
    }

    /// Connections above a pool's size: the user's number, else the database's, else the global one.
    pub fn reserve_pool_size(&self, database: &Database, server_user: &str) -> u32 {
        let user = self.users.get(server_user).and_then(|user| user.reserve_pool_size);
        user.or(database.reserve_pool_size).unwrap_or(self.settings.reserve_pool_size)
    }

    /// Server connections of a database at most; `None`: no limit.
    pub fn max_db_connections(&self, database: &Database) -> Option<u32> {
        database.max_db_connections.or(self.settings.max_db_connections)
    }

    /// Server connections of a server user at most; `None`: no limit.
    pub fn max_user_connections(&self, server_user: &str) -> Option<u32> {
        let user = self.users.get(server_user).and_then(|user| user.max_user_connections);
        user.or(self.settings.max_user_connections)
    }

    /// Clients of a database at most; `None`: no limit.
    pub fn max_db_client_connections(&self, database: &Database) -> Option<u32> {
        database.max_db_client_connections.or(self.settings.max_db_client_connections)
    }

    /// Clients that log in as this user at most; `None`: no limit.
    pub fn max_user_client_connections(&self, user: &str) -> Option<u32> {
        let user = self.users.get(user).and_then(|user| user.max_user_client_connections);
        user.or(self.settings.max_user_client_connections)
    }

    /// Age at which a server connection of this database is closed: the database's, else the global one.
    pub fn server_lifetime(&self, database: &Database) -> Duration {
        database.server_lifetime.unwrap_or(self.settings.server_lifetime)
    }

    /// How long clients wait for servers of this database: the user's time, else the database's, else the global one;
    /// `None`: for ever.
    pub fn query_wait_timeout(&self, database: &Database, server_user: &str) -> Option<Duration> {
        let user = self.users.get(server_user).and_then(|user| user.query_wait_timeout);
        user.or(database.query_wait_timeout).unwrap_or(self.settings.query_wait_timeout)
    }

    /// How long queries of a server user may take; `None`: no limit.
    pub fn query_timeout(&self, server_user: &str) -> Option<Duration> {
        let user = self.users.get(server_user).and_then(|user| user.query_timeout);
        user.or(self.settings.query_timeout)
    }

    /// How long transactions of a server user may idle; `None`: no limit.
    pub fn idle_transaction_timeout(&self, server_user: &str) -> Option<Duration> {
        let user = self.users.get(server_user).and_then(|user| user.idle_transaction_timeout);
        user.or(self.settings.idle_transaction_timeout)
    }

    /// How long transactions of a server user may last; `None`: no limit.
    pub fn transaction_timeout(&self, server_user: &str) -> Option<Duration> {
        let user = self.users.get(server_user).and_then(|user| user.transaction_timeout);
        user.or(self.settings.transaction_timeout)
    }

    /// How long clients that log in as this user may idle; `None`: no limit.
    pub fn client_idle_timeout(&self, user: &str) -> Option<Duration> {
        let user = self.users.get(user).and_then(|user| user.client_idle_timeout);
        user.or(self.settings.client_idle_timeout)
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
