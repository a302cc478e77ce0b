//! The table of `[pgbouncer]` settings: parsing, SHOW CONFIG, SET, RELOAD and docs/settings.md all come from it.
//!
//! A setting is `Effective` when pgweir acts on it; then it has a field in [`Settings`] of the same name. The others
//! are pgbouncer's, are accepted with a value of their type, and leave a note in [`super::Config::notes`].

use std::fmt;

use super::model::{Settings, SslMode, TlsSettings};
use super::nearest::nearest;
use super::values::{
    self, AUTH_TYPES, Allowed, CAUSAL_READS, LOG_FORMATS, METRICS_COMPAT, POOL_MODES,
    PREPARE_UNNAMED, REPLICA_FALLBACK, ROUTE_READS, SPLIT_BRAIN, SSL_MODES, SYSLOG_FACILITIES,
    TIME, Value,
};

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// As in the file.
    pub key: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// The value without the file, as the file would have it; `None` where there is none.
    pub default: Option<&'static str>,
    /// Whether RELOAD and SET take effect (once the setting does at all); else it is read at start only.
    pub changeable: bool,
    /// Whether pgweir acts on it.
    pub state: State,
    /// Whether it is pgweir's own, not pgbouncer's.
    pub own: bool,
    /// What it is for, and what zero means.
    pub meaning: &'static str,
}

/// What the values of a setting are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 0 or 1.
    Switch,
    /// A whole number of this unit (may be empty), in C's syntax.
    Number(&'static str),
    /// Seconds with decimals.
    Time,
    /// Permissions in octal.
    Mode,
    /// Any text.
    Text,
    /// A file or directory.
    Path,
    /// Words between commas.
    List,
    /// One of these.
    Choice(&'static [&'static str]),
}

/// Whether pgweir acts on a setting.
#[derive(Debug)]
pub enum State {
    /// It does.
    Effective(Field),
    /// It never will; this is why.
    WithoutEffect(&'static str),
}

/// A field of [`Settings`].
pub struct Field {
    read: fn(&mut Settings, &str) -> Result<(), Allowed>,
    show: fn(&Settings) -> Option<String>,
    differs: fn(&Settings, &Settings) -> bool,
    copy: fn(&Settings, &mut Settings),
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Field")
    }
}

/// A row of SHOW CONFIG: key, value in force, default, whether RELOAD and SET take effect.
pub type Shown = (&'static str, Option<String>, Option<String>, bool);

macro_rules! field {
    ($($name:ident).+) => { field!($($name).+, Value::read, Value::show) };
    ($($name:ident).+, $read:expr) => { field!($($name).+, $read, Value::show) };
    ($($name:ident).+, $read:expr, $show:expr) => {
        Field {
            read: |settings, text| {
                settings.$($name).+ = $read(text)?;
                Ok(())
            },
            show: |settings| $show(&settings.$($name).+),
            differs: |a, b| a.$($name).+ != b.$($name).+,
            copy: |from, to| to.$($name).+ = from.$($name).+.clone(),
        }
    };
}

type DefaultText = Option<&'static str>;

const fn setting(
    key: &'static str,
    kind: Kind,
    default: DefaultText,
    changeable: bool,
    state: State,
    meaning: &'static str,
) -> Setting {
    Setting { key, kind, default, changeable, state, own: false, meaning }
}

/// Changeable while running.
const fn live(
    key: &'static str,
    kind: Kind,
    default: DefaultText,
    field: Field,
    meaning: &'static str,
) -> Setting {
    setting(key, kind, default, true, State::Effective(field), meaning)
}

/// Read at start only.
const fn boot(
    key: &'static str,
    kind: Kind,
    default: DefaultText,
    field: Field,
    meaning: &'static str,
) -> Setting {
    setting(key, kind, default, false, State::Effective(field), meaning)
}

/// pgbouncer's, which nothing here could go by; `why`.
const fn pointless(
    key: &'static str,
    kind: Kind,
    default: DefaultText,
    why: &'static str,
    meaning: &'static str,
) -> Setting {
    setting(key, kind, default, true, State::WithoutEffect(why), meaning)
}

/// One that pgbouncer reads at start only.
const fn at_start(setting: Setting) -> Setting {
    Setting { changeable: false, ..setting }
}

/// pgweir's own.
const fn own(setting: Setting) -> Setting {
    Setting { own: true, ..setting }
}

const COUNT: Kind = Kind::Number("");
const SECONDS: Kind = Kind::Number("s");
const BYTES: Kind = Kind::Number("bytes");

/// Looks a user up as pgbouncer's default does: nobody who may not log in, no secret past `VALID UNTIL`
/// (CVE-2025-2291). Every name and operator bears its schema: the server's search_path must not decide what runs
/// here (CVE-2025-12819).
const AUTH_QUERY: &str = "SELECT a.rolname, CASE WHEN a.rolvaliduntil OPERATOR(pg_catalog.<) pg_catalog.now() \
    THEN NULL ELSE a.rolpassword END FROM pg_catalog.pg_authid AS a \
    WHERE a.rolname OPERATOR(pg_catalog.=) $1 AND a.rolcanlogin";

/// Every setting. The order is that of docs/settings.md.
pub static SETTINGS: &[Setting] = &[
    live(
        "logfile",
        Kind::Path,
        None,
        field!(logfile),
        "The log is appended to this file; a reload opens it anew (rotation).",
    ),
    boot(
        "pidfile",
        Kind::Path,
        None,
        field!(pidfile),
        "The process id is written to this file after start-up; the file goes at exit.",
    ),
    live("verbose", COUNT, Some("0"), field!(verbose), "More log lines: 0 to 3."),
    live(
        "log_connections",
        Kind::Switch,
        Some("1"),
        field!(log_connections),
        "Log logins of clients and new server connections.",
    ),
    live(
        "log_disconnections",
        Kind::Switch,
        Some("1"),
        field!(log_disconnections),
        "Log why connections end.",
    ),
    live(
        "log_pooler_errors",
        Kind::Switch,
        Some("1"),
        field!(log_pooler_errors),
        "Log each error that is sent to a client.",
    ),
    live(
        "log_stats",
        Kind::Switch,
        Some("1"),
        field!(log_stats),
        "Log one line of statistics each stats_period.",
    ),
    own(live(
        "log_format",
        Kind::Choice(LOG_FORMATS),
        Some("text"),
        field!(log_format),
        "How lines are written to stderr and to logfile: text: as pgbouncer writes them; json: an object on each line.",
    )),
    own(live(
        "log_rate_limit",
        COUNT,
        Some("100"),
        field!(log_rate_limit),
        "Most warnings and errors of one kind that are logged in a second; one line tells how many more there were. 0: all.",
    )),
    live(
        "stats_period",
        SECONDS,
        Some("60"),
        field!(stats_period, values::interval),
        "Length of the period that averages are made over.",
    ),
    own(live(
        "track_queries",
        COUNT,
        Some("0"),
        field!(track_queries, values::most_queries),
        "How many statements SHOW QUERIES has figures of, at most, a statement on each host by itself: calls, errors, rows, bytes, times. What it costs: docs/queries.md. 0: none, off.",
    )),
    boot(
        "listen_addr",
        Kind::List,
        Some(""),
        field!(listen_addr),
        "Names or numbers to listen on; `*` is all; empty: Unix-domain sockets only.",
    ),
    boot(
        "listen_port",
        COUNT,
        Some("6432"),
        field!(listen_port),
        "Port to listen on, also in the name of the Unix-domain socket.",
    ),
    boot(
        "listen_backlog",
        COUNT,
        Some("128"),
        field!(listen_backlog),
        "Connections that the kernel keeps until they are accepted.",
    ),
    boot(
        "unix_socket_dir",
        Kind::Path,
        Some("/tmp"),
        field!(unix_socket_dir),
        "Where to listen, and where servers are sought whose entry has no host. Empty: none; `@x`: abstract.",
    ),
    boot(
        "unix_socket_mode",
        Kind::Mode,
        Some("0777"),
        field!(unix_socket_mode, values::file_mode, values::show_file_mode),
        "Permissions of the Unix-domain socket.",
    ),
    boot(
        "unix_socket_group",
        Kind::Text,
        None,
        field!(unix_socket_group),
        "Group of the Unix-domain socket, by its name in /etc/group or its number.",
    ),
    boot(
        "so_reuseport",
        Kind::Switch,
        Some("0"),
        field!(so_reuseport),
        "Several processes may listen on the same port.",
    ),
    live(
        "tcp_keepalive",
        Kind::Switch,
        Some("1"),
        field!(tcp_keepalive),
        "TCP keepalive on new connections.",
    ),
    live(
        "tcp_defer_accept",
        COUNT,
        Some("1"),
        field!(tcp_defer_accept),
        "Other than 0: a client is accepted only once it has sent something, or 45 s have passed.",
    ),
    live(
        "tcp_keepcnt",
        COUNT,
        Some("0"),
        field!(tcp_keepcnt),
        "Unanswered keepalive probes before a connection is dead. 0: the system's value.",
    ),
    live(
        "tcp_keepidle",
        SECONDS,
        Some("0"),
        field!(tcp_keepidle),
        "Idle time before the first keepalive probe. 0: the system's value.",
    ),
    live(
        "tcp_keepintvl",
        SECONDS,
        Some("0"),
        field!(tcp_keepintvl),
        "Time between keepalive probes. 0: the system's value.",
    ),
    live(
        "tcp_user_timeout",
        Kind::Number("ms"),
        Some("0"),
        field!(tcp_user_timeout, values::millis, values::show_millis),
        "How long what was sent on a new connection may stay unacknowledged until it is dead. 0: the system's value.",
    ),
    live(
        "tcp_socket_buffer",
        BYTES,
        Some("0"),
        field!(tcp_socket_buffer, values::some_size),
        "The kernel's buffer for each direction of a new connection. 0: the system's value.",
    ),
    live(
        "max_packet_size",
        BYTES,
        Some("2147483647"),
        field!(max_packet_size, values::size),
        "Longest message; who sends a longer one is disconnected.",
    ),
    boot(
        "disable_pqexec",
        Kind::Switch,
        Some("0"),
        field!(disable_pqexec),
        "Refuse the simple query protocol, which can hold several statements.",
    ),
    live(
        "application_name_add_host",
        Kind::Switch,
        Some("0"),
        field!(application_name_add_host),
        "Add the client's address to the application_name that it logs in with.",
    ),
    live(
        "pool_mode",
        Kind::Choice(POOL_MODES),
        Some("session"),
        field!(pool_mode),
        "When a server goes back to its pool. A user's value counts before a database's, and that before this one.",
    ),
    live(
        "max_client_conn",
        COUNT,
        Some("100"),
        field!(max_client_conn),
        "Clients at most, those that are logging in included; the console is exempt.",
    ),
    live(
        "default_pool_size",
        COUNT,
        Some("20"),
        field!(default_pool_size),
        "Server connections per database and user. 0: no limit.",
    ),
    live(
        "min_pool_size",
        COUNT,
        Some("0"),
        field!(min_pool_size),
        "Server connections that a pool keeps open while it has a client, or where its database entry has a user. Never more than the pool's size.",
    ),
    live(
        "reserve_pool_size",
        COUNT,
        Some("0"),
        field!(reserve_pool_size),
        "Server connections above the pool's size, for clients that wait longer than reserve_pool_timeout.",
    ),
    live(
        "reserve_pool_timeout",
        Kind::Time,
        Some("5"),
        field!(reserve_pool_timeout),
        "How long a client waits before the reserve is used. 0: it is not.",
    ),
    live(
        "max_db_connections",
        COUNT,
        Some("0"),
        field!(max_db_connections),
        "Server connections per database, over all users and hosts. At the limit an idle one of another user makes room, else clients wait. 0: no limit.",
    ),
    live(
        "max_user_connections",
        COUNT,
        Some("0"),
        field!(max_user_connections),
        "Server connections per server user, over all databases. At the limit an idle one of another database makes room, else clients wait. 0: no limit.",
    ),
    live(
        "max_db_client_connections",
        COUNT,
        Some("0"),
        field!(max_db_client_connections),
        "Clients per database, those that are logging in included. 0: no limit.",
    ),
    live(
        "max_user_client_connections",
        COUNT,
        Some("0"),
        field!(max_user_client_connections),
        "Clients per user, those that are logging in included. 0: no limit.",
    ),
    live(
        "autodb_idle_timeout",
        Kind::Time,
        Some("3600"),
        field!(autodb_idle_timeout),
        "A database that only the entry `*` stands for is forgotten, with its statistics, when it was without clients and servers this long. 0: never.",
    ),
    live(
        "pool_idle_timeout",
        Kind::Time,
        Some("0"),
        field!(pool_idle_timeout),
        "A pool is forgotten, with its statistics, when it was without clients and servers this long. 0: never.",
    ),
    live(
        "server_round_robin",
        Kind::Switch,
        Some("0"),
        field!(server_round_robin),
        "0: the server used last is used next; 1: the one unused longest.",
    ),
    live(
        "query_wait_timeout",
        Kind::Time,
        Some("120"),
        field!(query_wait_timeout),
        "Longest a client may wait for a server; then it is disconnected. 0: for ever.",
    ),
    live(
        "query_wait_notify",
        SECONDS,
        Some("5"),
        field!(query_wait_notify),
        "A client that waits this long for a server is told so by a notice. 0: never.",
    ),
    live(
        "query_timeout",
        Kind::Time,
        Some("0"),
        field!(query_timeout),
        "Longest a query may wait or run; then its server connection is closed and the client disconnected. 0: no limit.",
    ),
    live(
        "idle_transaction_timeout",
        Kind::Time,
        Some("0"),
        field!(idle_transaction_timeout),
        "Longest a client may idle in a transaction; then it is disconnected. 0: no limit.",
    ),
    live(
        "transaction_timeout",
        Kind::Time,
        Some("0"),
        field!(transaction_timeout),
        "Longest a transaction may last; then its client is disconnected. 0: no limit.",
    ),
    live(
        "client_idle_timeout",
        Kind::Time,
        Some("0"),
        field!(client_idle_timeout),
        "Longest a client without a server may idle; then it is disconnected. 0: no limit.",
    ),
    live(
        "client_login_timeout",
        Kind::Time,
        Some("60"),
        field!(client_login_timeout),
        "Longest a login may take. 0: for ever.",
    ),
    live(
        "server_connect_timeout",
        Kind::Time,
        Some("15"),
        field!(server_connect_timeout, values::limit, values::show_limit),
        "Longest that connecting and logging in to a server may take. 0: for ever.",
    ),
    live(
        "server_login_retry",
        Kind::Time,
        Some("15"),
        field!(server_login_retry),
        "Pause after a failed connect or login before the next try.",
    ),
    live(
        "server_lifetime",
        Kind::Time,
        Some("3600"),
        field!(server_lifetime),
        "An unused server connection older than this is closed. 0: every one is used once.",
    ),
    live(
        "server_idle_timeout",
        Kind::Time,
        Some("600"),
        field!(server_idle_timeout),
        "A server connection unused this long is closed. 0: never.",
    ),
    live(
        "cancel_wait_timeout",
        Kind::Time,
        Some("10"),
        field!(cancel_wait_timeout, values::limit, values::show_limit),
        "Longest a cancel request may wait; then it is dropped. 0: for ever.",
    ),
    live(
        "server_check_delay",
        Kind::Time,
        Some("30"),
        field!(server_check_delay),
        "A server connection unused for longer than this is checked by server_check_query before its use.",
    ),
    live(
        "server_check_query",
        Kind::Text,
        Some("<empty>"),
        field!(server_check_query),
        "The query of that check; `<empty>`: an empty query; blank: no check.",
    ),
    live(
        "server_fast_close",
        Kind::Switch,
        Some("0"),
        field!(server_fast_close),
        "Close a session-mode server that is to be replaced as soon as no transaction runs, and its client with it.",
    ),
    live(
        "server_reset_query",
        Kind::Text,
        Some("DISCARD ALL"),
        field!(server_reset_query),
        "Run when a client gives its server back in session mode. Empty: none.",
    ),
    live(
        "server_reset_query_always",
        Kind::Switch,
        Some("0"),
        field!(server_reset_query_always),
        "Run server_reset_query in the other modes as well.",
    ),
    boot(
        "track_extra_parameters",
        Kind::List,
        Some("IntervalStyle"),
        field!(track_extra_parameters),
        "Parameters kept per client besides DateStyle, client_encoding, TimeZone, standard_conforming_strings and application_name. The server must report them.",
    ),
    live(
        "ignore_startup_parameters",
        Kind::List,
        Some(""),
        field!(ignore_startup_parameters),
        "Startup parameters that are accepted and dropped. `options` in it: settings inside `options` that PostgreSQL does not know are dropped, the others applied.",
    ),
    live(
        "max_prepared_statements",
        COUNT,
        Some("200"),
        field!(max_prepared_statements),
        "Named prepared statements kept per server connection in transaction and statement mode. 0: they pass through untouched.",
    ),
    live(
        "prepare_unnamed",
        Kind::Choice(PREPARE_UNNAMED),
        Some("auto"),
        field!(prepare_unnamed),
        "Unnamed statements (SELECT, INSERT, UPDATE, DELETE, MERGE, VALUES, WITH) that PostgreSQL parses once per server and not at each use: auto takes texts seen several times in one pool, on takes all, off takes none. Not texts with string constants. Needs max_prepared_statements. Once kept, a text may get a generic plan: see docs/sessions.md.",
    ),
    live(
        "auth_type",
        Kind::Choice(AUTH_TYPES),
        Some("md5"),
        field!(auth_type, values::auth_type),
        "How clients prove who they are; md5 uses SCRAM where the stored secret is a SCRAM secret.",
    ),
    live("auth_file", Kind::Path, None, field!(auth_file), "The list of users and secrets."),
    live(
        "auth_hba_file",
        Kind::Path,
        None,
        field!(auth_hba_file),
        "With auth_type=hba: who may come from where, and how they prove who they are.",
    ),
    live(
        "auth_ident_file",
        Kind::Path,
        None,
        field!(auth_ident_file),
        "The maps of user names that lines of auth_hba_file name with map=.",
    ),
    live(
        "auth_user",
        Kind::Text,
        None,
        field!(auth_user),
        "As whom auth_query runs, for users that auth_file lacks.",
    ),
    live(
        "auth_query",
        Kind::Text,
        Some(AUTH_QUERY),
        field!(auth_query),
        "Finds name and secret of the user $1.",
    ),
    live(
        "auth_dbname",
        Kind::Text,
        None,
        field!(auth_dbname),
        "The database entry that auth_query runs in. Not given: the client's.",
    ),
    live(
        "auth_ldap_options",
        Kind::Text,
        None,
        field!(auth_ldap_options),
        "With auth_type=ldap: where the directory is and how it is asked, as after ldap in pg_hba.conf.",
    ),
    live(
        "scram_iterations",
        COUNT,
        Some("4096"),
        field!(scram_iterations, values::scram_iterations),
        "Iterations of SCRAM secrets made from plain passwords.",
    ),
    live(
        "admin_users",
        Kind::List,
        Some(""),
        field!(admin_users),
        "Who may do everything on the console.",
    ),
    live("stats_users", Kind::List, Some(""), field!(stats_users), "Who may look at the console."),
    live(
        "client_tls_sslmode",
        Kind::Choice(SSL_MODES),
        Some("disable"),
        field!(client_tls.mode),
        "How much TLS is used with clients.",
    ),
    live(
        "client_tls_key_file",
        Kind::Path,
        None,
        field!(client_tls.key_file),
        "Private key (PEM). Needed unless client_tls_sslmode is disable.",
    ),
    live(
        "client_tls_cert_file",
        Kind::Path,
        None,
        field!(client_tls.cert_file),
        "Certificate chain (PEM). Needed unless client_tls_sslmode is disable.",
    ),
    live(
        "client_tls_ca_file",
        Kind::Path,
        None,
        field!(client_tls.ca_file),
        "Certificates (PEM) that those of clients must come from, for verify-ca and verify-full.",
    ),
    live(
        "client_tls_protocols",
        Kind::List,
        Some("secure"),
        field!(client_tls.protocols),
        "Versions of TLS: tlsv1.2, tlsv1.3, secure (both). Older ones pgweir does not have; all is as secure.",
    ),
    live(
        "client_tls_ciphers",
        Kind::Text,
        Some("default"),
        field!(client_tls.ciphers),
        "Ciphers for TLS 1.2: a list in OpenSSL's words, which chooses among the ECDHE suites with AES-GCM or \
         ChaCha20. default, secure, fast, normal, all: all of them.",
    ),
    live(
        "client_tls13_ciphers",
        Kind::Text,
        None,
        field!(client_tls.ciphers13),
        "Cipher suites for TLS 1.3: TLS_AES_256_GCM_SHA384, TLS_AES_128_GCM_SHA256, TLS_CHACHA20_POLY1305_SHA256. \
         Empty: all of them.",
    ),
    live(
        "client_tls_ecdhcurve",
        Kind::Text,
        Some("auto"),
        field!(client_tls.ecdhcurve),
        "Curves of the key exchange: X25519, prime256v1, secp384r1. auto: all of them.",
    ),
    setting(
        "client_tls_dheparams",
        Kind::Choice(&["none", "auto", "legacy"]),
        Some("auto"),
        true,
        State::WithoutEffect("pgweir exchanges keys with curves only"),
        "Parameters of the key exchange without curves, which pgweir does not have.",
    ),
    live(
        "server_tls_sslmode",
        Kind::Choice(SSL_MODES),
        Some("prefer"),
        field!(server_tls.mode),
        "How much TLS is used with servers.",
    ),
    live(
        "server_tls_key_file",
        Kind::Path,
        None,
        field!(server_tls.key_file),
        "Private key (PEM).",
    ),
    live(
        "server_tls_cert_file",
        Kind::Path,
        None,
        field!(server_tls.cert_file),
        "Certificate chain (PEM).",
    ),
    live(
        "server_tls_ca_file",
        Kind::Path,
        None,
        field!(server_tls.ca_file),
        "Certificates (PEM) that those of servers must come from, for verify-ca and verify-full.",
    ),
    live(
        "server_tls_protocols",
        Kind::List,
        Some("secure"),
        field!(server_tls.protocols),
        "Versions of TLS: tlsv1.2, tlsv1.3, secure (both). Older ones pgweir does not have; all is as secure.",
    ),
    live(
        "server_tls_ciphers",
        Kind::Text,
        Some("default"),
        field!(server_tls.ciphers),
        "Ciphers for TLS 1.2: a list in OpenSSL's words, which chooses among the ECDHE suites with AES-GCM or \
         ChaCha20. default, secure, fast, normal, all: all of them.",
    ),
    live(
        "server_tls13_ciphers",
        Kind::Text,
        None,
        field!(server_tls.ciphers13),
        "Cipher suites for TLS 1.3: TLS_AES_256_GCM_SHA384, TLS_AES_128_GCM_SHA256, TLS_CHACHA20_POLY1305_SHA256. \
         Empty: all of them.",
    ),
    own(boot("workers", COUNT, Some("0"), field!(workers), "Worker threads. 0: one per core.")),
    own(boot(
        "http_listen",
        Kind::List,
        Some(""),
        field!(http_listen),
        "Where /metrics, the probes, the JSON API and the status page are served: `address:port` or `unix:/path`, comma separated; `*:9127` is every IPv4 address, `unix:@name` an abstract socket. Empty: nowhere. See docs/http.md.",
    )),
    own(boot(
        "http_socket_mode",
        Kind::Mode,
        Some("0660"),
        field!(http_socket_mode, values::file_mode, values::show_file_mode),
        "Permissions of the Unix-domain sockets of http_listen.",
    )),
    own(live(
        "http_auth_token",
        Kind::Text,
        None,
        field!(http_auth_token),
        "Over HTTP whoever asks for more than the probes and the empty page must show it (`Authorization: Bearer …`). Never shown. Not given: nobody has to.",
    )),
    own(live(
        "http_auth_token_file",
        Kind::Path,
        None,
        field!(http_auth_token_file),
        "The file that has it instead, in its one line; read at start and at each reload.",
    )),
    own(live(
        "http_tls_key_file",
        Kind::Path,
        None,
        field!(http_tls_key_file),
        "Private key (PEM) for HTTPS. With it and a certificate all TCP addresses of http_listen speak TLS, and nothing else.",
    )),
    own(live(
        "http_tls_cert_file",
        Kind::Path,
        None,
        field!(http_tls_cert_file),
        "Certificate chain (PEM) for HTTPS.",
    )),
    own(live(
        "metrics_compat",
        Kind::Choice(METRICS_COMPAT),
        Some("pgbouncer_exporter"),
        field!(metrics_compat),
        "pgbouncer_exporter: /metrics also shows the metrics of pgbouncer's exporter (prometheus-community), by its names. off: only pgweir's own.",
    )),
    own(live(
        "topology_interval",
        Kind::Time,
        Some("1"),
        field!(topology_interval, values::interval),
        "How often a host that is followed is asked for its role.",
    )),
    own(live(
        "topology_timeout",
        Kind::Time,
        Some("1"),
        field!(topology_timeout, values::interval),
        "Longest that a monitor waits for a connection or an answer; then the host is down.",
    )),
    own(live(
        "discover_interval",
        Kind::Time,
        Some("5"),
        field!(discover_interval, values::interval),
        "How often the cluster manager that an entry names (discover) is asked for the cluster's hosts.",
    )),
    own(live(
        "topology_user",
        Kind::Text,
        None,
        field!(topology_user),
        "As whom the monitors log in. Not given: the entry's user, else auth_user.",
    )),
    own(boot(
        "topology_state_file",
        Kind::Path,
        None,
        field!(topology_state_file),
        "Where the highest timeline of each database is remembered over a restart, so that an old primary is not taken for the primary. Not given: beside pidfile, as NAME.topology; without a pidfile it is not remembered.",
    )),
    own(live(
        "split_brain",
        Kind::Choice(SPLIT_BRAIN),
        Some("refuse"),
        field!(split_brain),
        "When several hosts say that they are the primary on one timeline: refuse: no writes until all but one have stopped; newest: the one that came last is the primary.",
    )),
    own(live(
        "failover_timeout",
        Kind::Time,
        Some("30"),
        field!(failover_timeout),
        "Longest a client that needs the primary waits while there is none. 0: it does not wait.",
    )),
    own(live(
        "route_reads",
        Kind::Choice(ROUTE_READS),
        Some("explicit"),
        field!(route_reads),
        "Which transactions go to replicas in a database entry for the primary, besides those with a hint: off: none; explicit: those that say READ ONLY; auto: also single statements that PostgreSQL's grammar shows to be reads; shadow: as explicit, and SHOW ROUTES counts what auto would do. See docs/routing.md.",
    )),
    own(live(
        "max_replica_lag",
        Kind::Text,
        Some("10"),
        field!(max_replica_lag, values::replica_lag, values::show_replica_lag),
        "A replica further behind than this is not used: a time in seconds, or an amount of WAL with its unit (16MB). 0: no limit.",
    )),
    own(live(
        "causal_reads",
        Kind::Choice(CAUSAL_READS),
        Some("off"),
        field!(causal_reads),
        "session: a client's reads go only to replicas that have what it wrote itself; until one has, the primary serves them. With a topology_user without pg_monitor that takes minutes. off: a replica may lack it, up to max_replica_lag.",
    )),
    own(live(
        "replica_fallback",
        Kind::Choice(REPLICA_FALLBACK),
        Some("primary"),
        field!(replica_fallback),
        "When no replica is fit for a read that is to go to one: primary: it runs there; error: it is refused (57P03).",
    )),
    own(live(
        "slow_start",
        Kind::Time,
        Some("10"),
        field!(slow_start),
        "How long a replica that has just come, or come back, gets less than its share of the reads. 0: it gets its share at once.",
    )),
    own(live(
        "zone",
        Kind::Text,
        None,
        field!(zone),
        "Where this pgweir is. Replicas whose zone= in the database entry is the same are preferred while they have a server to spare.",
    )),
    live("syslog", Kind::Switch, Some("0"), field!(syslog), "Log to syslog as well."),
    live(
        "syslog_ident",
        Kind::Text,
        Some("pgbouncer"),
        field!(syslog_ident),
        "What lines in syslog begin with.",
    ),
    live(
        "syslog_facility",
        Kind::Choice(SYSLOG_FACILITIES),
        Some("daemon"),
        field!(syslog_facility),
        "The facility in syslog.",
    ),
    boot(
        "user",
        Kind::Text,
        None,
        field!(user),
        "The system's user to become after the configuration is read; only root can. -u counts before it.",
    ),
    live(
        "conffile",
        Kind::Path,
        None,
        field!(conffile),
        "The file that the next reload reads. Not given: the one of the command line.",
    ),
    at_start(pointless(
        "job_name",
        Kind::Text,
        Some("pgbouncer"),
        "Windows only",
        "Name of the Windows service.",
    )),
    at_start(pointless(
        "service_name",
        Kind::Text,
        Some("pgbouncer"),
        "Windows only",
        "Name of the Windows service.",
    )),
    at_start(pointless(
        "resolv_conf",
        Kind::Path,
        None,
        "names are looked up by the system's resolver, which reads /etc/resolv.conf and /etc/nsswitch.conf",
        "The resolver's configuration file.",
    )),
    live(
        "peer_id",
        COUNT,
        Some("0"),
        field!(peer_id, values::peer_id),
        "This process's number among those that share its address (so_reuseport, a load balancer), 1 to 16383. Cancel requests that reach the wrong one are passed on, see [peers]. 0: no peers.",
    ),
    at_start(pointless(
        "pkt_buf",
        BYTES,
        Some("4096"),
        "buffers are lent to a connection while bytes are in flight, 8 kB or 64 kB, and grow for what must be whole",
        "Buffer per direction.",
    )),
    pointless(
        "sbuf_loopcnt",
        COUNT,
        Some("5"),
        "a connection's task gives way after a fixed amount of work",
        "Reads per connection before the others get their turn. 0: no limit.",
    ),
    live(
        "suspend_timeout",
        Kind::Time,
        Some("10"),
        field!(suspend_timeout),
        "Longest that SUSPEND waits until what was read has left; clients with whom it has not are disconnected. 0: for ever.",
    ),
    live(
        "dns_max_ttl",
        Kind::Time,
        Some("15"),
        field!(dns_max_ttl),
        "How often the addresses of hosts' names are looked up, a second at least. Servers at an address that a name does not have any more are replaced as they come free. A new connection always looks up.",
    ),
    live(
        "dns_nxdomain_ttl",
        Kind::Time,
        Some("15"),
        field!(dns_nxdomain_ttl),
        "How long after a failed look-up the next one is.",
    ),
    pointless(
        "dns_zone_check_period",
        Kind::Time,
        Some("0"),
        "names are looked up anew each dns_max_ttl, whatever the zone's serial number",
        "How often a zone's serial number is looked at. 0: never.",
    ),
    live(
        "login_notify_message",
        Kind::Text,
        Some(""),
        field!(login_notify_message),
        "A notice sent after each login. Empty: none.",
    ),
];

/// The setting of that name.
pub fn find(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

/// The setting whose name resembles this one.
pub(super) fn nearest_key(key: &str) -> Option<&'static str> {
    nearest(key, SETTINGS.iter().map(|setting| setting.key))
}

impl Setting {
    /// Whether pgweir acts on it.
    pub fn is_effective(&self) -> bool {
        matches!(self.state, State::Effective(_))
    }

    /// Sets it; a setting without effect has its value checked only.
    ///
    /// # Errors
    /// What would have been allowed, in words.
    pub fn apply(&self, settings: &mut Settings, text: &str) -> Result<(), Allowed> {
        self.kind.check(text)?;
        match &self.state {
            State::Effective(field) => (field.read)(settings, text),
            State::WithoutEffect(_) => Ok(()),
        }
    }

    /// Whether the text means the same as the default.
    pub fn is_default(&self, text: &str) -> bool {
        let default = self.default.unwrap_or("");
        match self.kind {
            Kind::Switch => bool::read(text) == bool::read(default),
            Kind::Number(_) | Kind::Mode => values::integer(text) == values::integer(default),
            Kind::Time => values::seconds(text) == values::seconds(default),
            Kind::List => values::words(text).eq(values::words(default)),
            Kind::Text | Kind::Path | Kind::Choice(_) => text == default,
        }
    }

    /// Whether its values are nobody's business but the file's.
    pub fn is_secret(&self) -> bool {
        ["auth_ldap_options", "http_auth_token"].contains(&self.key)
    }

    /// A value of it as it may be told, in a message about it.
    pub fn told(&self, text: &str) -> String {
        match self.is_secret() {
            true => "(not shown: a secret may be in it)".to_owned(),
            false => text.to_owned(),
        }
    }

    /// Whether two configurations differ in it.
    pub fn differs(&self, a: &Settings, b: &Settings) -> bool {
        match &self.state {
            State::Effective(field) => (field.differs)(a, b),
            State::WithoutEffect(_) => false,
        }
    }

    /// Takes its value over.
    pub fn copy(&self, from: &Settings, to: &mut Settings) {
        if let State::Effective(field) = &self.state {
            (field.copy)(from, to);
        }
    }
}

impl Kind {
    /// Whether a text is of this kind; else what would have been.
    fn check(self, text: &str) -> Result<(), Allowed> {
        match self {
            Self::Switch => bool::read(text).map(drop),
            Self::Number("bytes") => values::size(text).map(drop),
            Self::Number("s") => values::seconds(text).map(drop).ok_or_else(|| TIME.to_owned()),
            Self::Number(unit) if values::integer(text).is_none() => {
                let of = if unit.is_empty() { "" } else { " of " };
                Err(format!("a whole number{of}{unit}"))
            }
            Self::Time => values::seconds(text).map(drop).ok_or_else(|| TIME.to_owned()),
            Self::Mode => values::file_mode(text).map(drop),
            Self::Choice(names) if !names.contains(&text) => Err(names.join(", ")),
            Self::Number(_) | Self::Choice(_) | Self::Text | Self::Path | Self::List => Ok(()),
        }
    }

    /// For the documentation.
    fn describe(self) -> String {
        match self {
            Self::Switch => "0 or 1".to_owned(),
            Self::Number("") => "number".to_owned(),
            Self::Number("bytes") => "size, bytes".to_owned(),
            Self::Number(unit) => format!("time, {unit}"),
            Self::Time => "time, s".to_owned(),
            Self::Mode => "octal".to_owned(),
            Self::Text => "text".to_owned(),
            Self::Path => "path".to_owned(),
            Self::List => "list".to_owned(),
            Self::Choice(names) => names.join(", "),
        }
    }
}

impl Default for Settings {
    /// The defaults of the table.
    fn default() -> Self {
        let mut settings = blank();
        for setting in SETTINGS {
            // A default that its own field refuses would be a slip in the table; a test looks at every one.
            let read = setting.apply(&mut settings, setting.default.unwrap_or(""));
            debug_assert_eq!(read, Ok(()), "{}", setting.key);
        }
        settings
    }
}

impl Settings {
    /// Every setting of the table with the value in force: that is the default for what has no effect.
    pub fn shown(&self) -> Vec<Shown> {
        let row = |setting: &Setting| {
            let default = setting.default.map(str::to_owned);
            match &setting.state {
                State::Effective(field) => {
                    (setting.key, (field.show)(self), default, setting.changeable)
                }
                State::WithoutEffect(_) => {
                    (setting.key, default.clone(), default, setting.changeable)
                }
            }
        };
        SETTINGS.iter().map(row).collect()
    }
}

/// Ground for the table to write its defaults on.
fn blank() -> Settings {
    let tls = TlsSettings {
        mode: SslMode::Disable,
        key_file: None,
        cert_file: None,
        ca_file: None,
        protocols: Default::default(),
        ciphers: Default::default(),
        ciphers13: Default::default(),
        ecdhcurve: Default::default(),
    };
    Settings {
        logfile: Default::default(),
        pidfile: Default::default(),
        verbose: Default::default(),
        log_connections: Default::default(),
        log_disconnections: Default::default(),
        log_pooler_errors: Default::default(),
        log_stats: Default::default(),
        log_format: Default::default(),
        log_rate_limit: Default::default(),
        stats_period: Default::default(),
        track_queries: Default::default(),
        listen_addr: Default::default(),
        listen_port: Default::default(),
        listen_backlog: Default::default(),
        unix_socket_dir: Default::default(),
        unix_socket_mode: Default::default(),
        so_reuseport: Default::default(),
        tcp_keepalive: Default::default(),
        tcp_defer_accept: Default::default(),
        tcp_keepcnt: Default::default(),
        tcp_keepidle: Default::default(),
        tcp_keepintvl: Default::default(),
        tcp_user_timeout: Default::default(),
        tcp_socket_buffer: Default::default(),
        max_packet_size: Default::default(),
        disable_pqexec: Default::default(),
        application_name_add_host: Default::default(),
        unix_socket_group: Default::default(),
        pool_mode: Default::default(),
        max_client_conn: Default::default(),
        default_pool_size: Default::default(),
        min_pool_size: Default::default(),
        reserve_pool_size: Default::default(),
        reserve_pool_timeout: Default::default(),
        max_db_connections: Default::default(),
        max_user_connections: Default::default(),
        max_db_client_connections: Default::default(),
        max_user_client_connections: Default::default(),
        autodb_idle_timeout: Default::default(),
        pool_idle_timeout: Default::default(),
        server_round_robin: Default::default(),
        query_wait_timeout: Default::default(),
        query_wait_notify: Default::default(),
        query_timeout: Default::default(),
        idle_transaction_timeout: Default::default(),
        transaction_timeout: Default::default(),
        client_idle_timeout: Default::default(),
        client_login_timeout: Default::default(),
        server_connect_timeout: Default::default(),
        server_login_retry: Default::default(),
        server_lifetime: Default::default(),
        server_idle_timeout: Default::default(),
        dns_max_ttl: Default::default(),
        dns_nxdomain_ttl: Default::default(),
        cancel_wait_timeout: Default::default(),
        server_check_delay: Default::default(),
        server_check_query: Default::default(),
        server_fast_close: Default::default(),
        server_reset_query: Default::default(),
        server_reset_query_always: Default::default(),
        track_extra_parameters: Default::default(),
        ignore_startup_parameters: Default::default(),
        max_prepared_statements: Default::default(),
        prepare_unnamed: Default::default(),
        route_reads: Default::default(),
        split_brain: Default::default(),
        causal_reads: Default::default(),
        replica_fallback: Default::default(),
        slow_start: Default::default(),
        zone: Default::default(),
        topology_state_file: Default::default(),
        auth_type: Default::default(),
        auth_file: Default::default(),
        auth_hba_file: Default::default(),
        auth_ident_file: Default::default(),
        auth_user: Default::default(),
        auth_query: Default::default(),
        auth_dbname: Default::default(),
        auth_ldap_options: Default::default(),
        scram_iterations: Default::default(),
        suspend_timeout: Default::default(),
        syslog: Default::default(),
        syslog_ident: Default::default(),
        syslog_facility: Default::default(),
        user: Default::default(),
        conffile: Default::default(),
        login_notify_message: Default::default(),
        peer_id: Default::default(),
        admin_users: Default::default(),
        stats_users: Default::default(),
        workers: Default::default(),
        http_listen: Default::default(),
        http_socket_mode: Default::default(),
        http_auth_token: Default::default(),
        http_auth_token_file: Default::default(),
        http_tls_key_file: Default::default(),
        http_tls_cert_file: Default::default(),
        metrics_compat: Default::default(),
        topology_interval: Default::default(),
        discover_interval: Default::default(),
        topology_timeout: Default::default(),
        topology_user: Default::default(),
        failover_timeout: Default::default(),
        max_replica_lag: Default::default(),
        client_tls: tls.clone(),
        server_tls: tls,
    }
}

type Belongs = fn(&Setting) -> bool;

/// docs/settings.md.
pub fn markdown() -> String {
    let mut text = String::from(
        "# Settings\n\n\
         The keys of `[pgbouncer]`. This page is made from the table in `src/config/settings.rs` \
         (`UPDATE_DOCS=1 cargo test` writes it anew).\n\n\
         *Changed by*: **reload** takes effect with `RELOAD`, SIGHUP or `SET`; **restart** is read at start only. \
         Times are in the unit given, decimals allowed, or with a unit of their own: us, ms, s, min, h, d (`5min`). Sizes are \
         bytes, or with a unit: kB, MB, GB (`64kB`). Numbers are in C's syntax (`0777` is octal). For 0 and 1 there are also \
         off and on, no and yes, false and true.\n",
    );
    let sections: [(&str, Belongs); 3] = [
        ("pgbouncer's settings", |setting| setting.is_effective() && !setting.own),
        ("pgweir's own settings", |setting| setting.own),
        ("Accepted, without effect", |setting| matches!(setting.state, State::WithoutEffect(_))),
    ];
    for (title, belongs) in sections {
        text.push_str("\n## ");
        text.push_str(title);
        text.push_str(
            "\n\n| key | values | default | changed by | meaning |\n|---|---|---|---|---|\n",
        );
        for setting in SETTINGS.iter().filter(|setting| belongs(setting)) {
            text.push_str(&setting.markdown_row());
        }
    }
    text
}

impl Setting {
    fn markdown_row(&self) -> String {
        let default = match self.default {
            None => "–".to_owned(),
            Some("") => "empty".to_owned(),
            Some(default) => format!("`{default}`"),
        };
        let changed = if self.changeable { "reload" } else { "restart" };
        format!(
            "| {} | {} | {default} | {changed} | {} |\n",
            self.key,
            self.kind.describe(),
            self.meaning
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn every_default_is_a_value_its_setting_allows_and_is_shown_as_the_table_has_it() {
        for setting in SETTINGS {
            let mut settings = blank();
            let default = setting.default.unwrap_or("");
            assert_eq!(setting.apply(&mut settings, default), Ok(()), "{}", setting.key);
            assert!(setting.is_default(default), "{}", setting.key);
        }
        for (key, value, default, _) in Settings::default().shown() {
            assert_eq!(value, default, "{key}");
        }
    }

    #[test]
    fn no_setting_is_listed_twice() {
        for (i, setting) in SETTINGS.iter().enumerate() {
            let first = SETTINGS.iter().position(|other| other.key == setting.key);
            assert_eq!(first, Some(i), "{}", setting.key);
        }
    }

    const OF_TLS: &[&str] = &[
        "mode",
        "key_file",
        "cert_file",
        "ca_file",
        "protocols",
        "ciphers",
        "ciphers13",
        "ecdhcurve",
    ];

    /// The field in which two settings differ first, as Debug names it.
    fn differing_field(a: &Settings, b: &Settings) -> String {
        let (a, b) = (format!("{a:?}"), format!("{b:?}"));
        let same = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
        let name = |text: &str| text.rsplit([' ', '(']).next().unwrap().to_owned();
        let (before, _) = a[..same].rsplit_once(": ").expect("a field's name comes first");
        match name(before) {
            field if OF_TLS.contains(&field.as_str()) => {
                let (outer, _) = before.rsplit_once(": TlsSettings").expect("is within one");
                match field.as_str() {
                    "mode" => format!("{}_sslmode", name(outer)),
                    "ciphers13" => format!("{}13_ciphers", name(outer)),
                    field => format!("{}_{field}", name(outer)),
                }
            }
            field => field,
        }
    }

    #[test]
    fn every_effective_setting_writes_the_field_of_its_name_and_no_other() {
        let samples = [
            "tlsv1.3",
            "CHACHA20",
            "TLS_AES_128_GCM_SHA256",
            "X25519",
            "0",
            "1",
            "statement",
            "any",
            "ldapserver=x ldapsuffix=y",
            "verify-full",
            "2",
            "127.0.0.1:1",
            "off",
            "newest",
            "error",
            "session",
            "local0",
            "json",
        ];
        let before = Settings::default();
        for setting in SETTINGS.iter().filter(|setting| setting.is_effective()) {
            let mut settings = Settings::default();
            let changed = samples
                .iter()
                .any(|text| setting.apply(&mut settings, text).is_ok() && settings != before);
            assert!(changed, "{}", setting.key);
            assert_eq!(differing_field(&before, &settings), setting.key);

            let others = SETTINGS.iter().filter(|other| other.differs(&before, &settings));
            assert_eq!(others.map(|other| other.key).collect::<Vec<_>>(), [setting.key]);

            let mut copied = Settings::default();
            setting.copy(&settings, &mut copied);
            assert_eq!(copied, settings, "{}", setting.key);
        }
    }

    #[test]
    fn defaults_are_pgbouncers() {
        let settings = Settings::default();
        assert_eq!(settings.listen_port, 6432);
        assert_eq!(settings.unix_socket_mode, 0o777);
        assert_eq!(settings.unix_socket_dir.as_deref(), Some(std::path::Path::new("/tmp")));
        assert_eq!(settings.server_tls.mode, SslMode::Prefer);
        assert_eq!(settings.client_tls.mode, SslMode::Disable);
        assert_eq!(settings.track_extra_parameters, ["IntervalStyle"]);
        assert_eq!(settings.query_wait_timeout, Some(Duration::from_secs(120)));
        assert!(settings.log_connections && settings.tcp_keepalive);
    }

    #[test]
    fn a_setting_without_effect_has_its_value_checked_and_shows_its_default() {
        let mut settings = Settings::default();
        let setting = find("dns_zone_check_period").expect("is pgbouncer's");
        assert_eq!(setting.apply(&mut settings, "1m"), Err(TIME.to_owned()));
        assert_eq!(setting.apply(&mut settings, "60"), Ok(()));
        let shown = settings.shown().into_iter().find(|row| row.0 == setting.key);
        assert_eq!(shown, Some((setting.key, Some("0".to_owned()), Some("0".to_owned()), true)));
    }

    #[test]
    fn a_value_out_of_range_says_what_is_allowed() {
        let mut settings = Settings::default();
        let mut refusal = |key: &str, text: &str| {
            find(key).expect("exists").apply(&mut settings, text).expect_err("is refused")
        };
        assert_eq!(refusal("listen_port", "65536"), "a whole number from 0 to 65535");
        assert_eq!(refusal("listen_port", "http"), "a whole number");
        assert_eq!(refusal("pool_mode", "txn"), "session, transaction, statement");
        assert!(refusal("auth_ldap_options", "ldapserver=x").contains("ldapbasedn must be given"));
        #[cfg(not(feature = "pam"))]
        assert!(refusal("auth_type", "pam").contains("cargo feature \"pam\""));
        assert_eq!(refusal("stats_period", "0"), format!("{TIME}, and at least 0.001"));
        assert_eq!(refusal("unix_socket_mode", "99999"), "octal permissions, such as 0770");
    }

    #[test]
    fn the_documentation_is_what_the_table_says() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/settings.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, markdown()).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == markdown(), "docs/settings.md is stale; run UPDATE_DOCS=1 cargo test");
    }
}
