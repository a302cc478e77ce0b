//! What a configuration means to those who act by it: TLS, whom the monitors watch and how.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::auth::credentials::Credentials;
use crate::auth::mock::Crowd;
use crate::config::{Config, ConfigError, Database, HostAddr, SecretText, Settings, SslMode};
use crate::net::tls::{self, TlsError};
use crate::server::{Target, Tls, Wanted};
use crate::session::parameters::Tracked;
use crate::topology::{Entry, Pace};
use crate::worker::service::{FALLBACK, forced_credentials, target};
use crate::worker::shared::Live;

/// Why a configuration cannot be put in force.
#[derive(Debug)]
pub enum ReloadError {
    /// The files are not right.
    Config(Box<ConfigError>),
    /// The TLS files are not right.
    Tls(TlsError),
}

impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Tls(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ReloadError {}

impl From<ConfigError> for ReloadError {
    fn from(error: ConfigError) -> Self {
        Self::Config(Box::new(error))
    }
}

impl From<TlsError> for ReloadError {
    fn from(error: TlsError) -> Self {
        Self::Tls(error)
    }
}

/// Reads the TLS files that a configuration names.
///
/// # Errors
/// What is wrong with them.
pub fn with_tls(config: Config) -> Result<Live, TlsError> {
    let settings = &config.settings;
    let client_tls = match settings.client_tls.mode {
        SslMode::Disable => None,
        _ => Some(tls::acceptor(&settings.client_tls)?),
    };
    let server_tls = match settings.server_tls.mode {
        SslMode::Disable => Tls { wanted: Wanted::Never, config: None },
        mode => {
            let wanted = if matches!(mode, SslMode::Allow | SslMode::Prefer) {
                Wanted::IfOffered
            } else {
                Wanted::Always
            };
            Tls { wanted, config: Some(tls::client_config(&settings.server_tls)?) }
        }
    };
    let crowd = Crowd::of(&config.userlist);
    let http_tls = tls::http_config(
        settings.http_tls_key_file.as_deref(),
        settings.http_tls_cert_file.as_deref(),
    )?;
    Ok(Live { config: Arc::new(config), crowd, server_tls, client_tls, http_tls })
}

/// What the monitors watch: the entries that follow roles.
pub fn entries(live: &Live, tracked: &Arc<Tracked>) -> Vec<Entry> {
    let config = &live.config;
    let watched = |database: &Arc<Database>| {
        let attrs = database.target_session_attrs?;
        let login = |host| monitor_login(live, database, host, None, None, tracked);
        let hosts = database.hosts.iter().map(login).collect::<Option<_>>()?;
        let max_replica_lag = database.max_replica_lag;
        let (name, discovered) = (database.name.clone(), database.discover.is_some());
        Some(Entry { name, attrs, max_replica_lag, hosts, discovered })
    };
    config.databases.values().chain(&config.fallback).filter_map(watched).collect()
}

/// How to ask a host what it is, or what it knows. `user`: `None`: the monitors' own.
pub(in crate::admin) fn monitor_login(
    live: &Live,
    database: &Database,
    host: &HostAddr,
    user: Option<String>,
    password: Option<&SecretText>,
    tracked: &Arc<Tracked>,
) -> Option<Target> {
    let config = &live.config;
    let settings = &config.settings;
    let user = user.or_else(|| settings.topology_user.clone()).or_else(|| database.user.clone());
    let user =
        user.or_else(|| database.auth_user.clone()).or_else(|| settings.auth_user.clone())?;
    let credentials = match password {
        Some(password) => Credentials::password(password.reveal()),
        None => forced_credentials(config, database, &user),
    };
    let mut target =
        target(config, &live.server_tls, database, host, &user, credentials, tracked.clone());
    target.connect_query = None;
    if target.dbname == FALLBACK {
        // Any database will do to ask a host what it is, and this one is everywhere.
        target.dbname = "postgres".to_owned();
    }
    Some(target)
}

/// Where the monitors remember over a restart: the setting, else beside the pid file.
pub fn state_file(config: &Config) -> Option<PathBuf> {
    let settings = &config.settings;
    let beside = || settings.pidfile.as_ref().map(|pidfile| pidfile.with_extension("topology"));
    settings.topology_state_file.clone().or_else(beside)
}

/// How often the monitors ask.
pub fn pace(settings: &Settings) -> Pace {
    Pace {
        interval: settings.topology_interval,
        timeout: settings.topology_timeout,
        max_replica_lag: settings.max_replica_lag,
        split_brain: settings.split_brain,
    }
}
