//! Section `[pgbouncer]`: a field for each setting.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{
    AuthType, CausalReads, HttpAddr, LogFormat, MetricsCompat, PoolMode, PrepareUnnamed,
    ReplicaFallback, ReplicaLag, RouteReads, SecretText, SplitBrain, SslMode, SyslogFacility,
};
use crate::config::ldap::LdapOptions;
use crate::config::tls::{Ciphers, Ciphers13, Curves, Protocols};

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

/// Section `[pgbouncer]`. Each field is the setting of the same name; see [`crate::config::settings`] for the table with
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
