//! What pgweir could do better than pgbouncer did with the same file. Nothing here is needed.

use std::net::IpAddr;

use crate::auth::secret::Secret;
use crate::config::ini::Section;
use crate::config::{AuthType, Config, Database, Examined, HostAddr, Place, PoolMode, SslMode};

/// One thing that could be better.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Suggestion {
    /// The line; `None`: of the whole.
    pub(super) at: Option<Place>,
    /// What and why, one line.
    pub(super) why: String,
    pub(super) change: Change,
}

/// What becomes of the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Only words.
    None,
    /// Another one, as a comment: it would change what clients see.
    Propose(String),
    /// Another one: nobody sees a difference but in what is safer.
    Replace(String),
}

/// All of them.
pub(super) fn look(examined: &Examined) -> Vec<Suggestion> {
    let mut found = Vec::new();
    let config = &examined.config;
    for entry in examined.entries.iter().filter(|entry| entry.section == Section::Databases) {
        let database = match entry.key.as_str() {
            "*" => config.fallback.as_ref(),
            name => config.databases.get(name),
        };
        let Some(database) = database.filter(|one| one.target_session_attrs.is_none()) else {
            continue;
        };
        if database.hosts.len() > 1 {
            let line =
                format!("{} = {} target_session_attrs=read-write", shown(&entry.key), entry.value);
            found.push(Suggestion {
                at: Some(entry.at.clone()),
                why: "a host list: with target_session_attrs=read-write the primary among them is found and followed, \
                      and READ ONLY transactions go to replicas (route_reads=auto: single reads, too)"
                    .to_owned(),
                change: Change::Propose(line),
            });
        } else if let Some(other) = twin(config, database) {
            let why = format!(
                "databases/{other} is the same database at another host: if one is the other's replica, name both hosts \
                 in both entries, with target_session_attrs=read-write in one and prefer-standby in the other; a \
                 failover then needs no change here"
            );
            found.push(Suggestion { at: Some(entry.at.clone()), why, change: Change::None });
        }
    }
    let last = |key: &str| {
        let mut lines = examined.entries.iter().rev();
        lines.find(|entry| entry.section == Section::Pgbouncer && entry.key == key)
    };
    let mut at_setting = |key: &str, why: &str, change: Change| {
        let at = last(key).map(|entry| entry.at.clone());
        found.push(Suggestion { at, why: why.to_owned(), change });
    };
    of_logins(config, &mut at_setting);
    of_settings(config, &|key| last(key).is_some(), &mut at_setting);
    found
}

/// Room for what a line says and does.
type Tell<'a> = &'a mut dyn FnMut(&str, &str, Change);

fn of_logins(config: &Config, tell: Tell<'_>) {
    let settings = &config.settings;
    const SCRAM: &str = "auth_type = scram-sha-256";
    if matches!(settings.auth_type, AuthType::Md5 | AuthType::Plain) {
        let secrets = config.userlist.users.values().map(|secret| Secret::parse(secret.reveal()));
        let md5 = secrets.filter(|secret| matches!(secret, Secret::Md5(_))).count();
        let asks = settings.auth_user.is_some()
            || config.databases.values().chain(&config.fallback).any(|one| one.auth_user.is_some());
        match (md5, asks) {
            (0, false) if !config.userlist.users.is_empty() => tell(
                "auth_type",
                "scram-sha-256: no user has an md5 secret, and with it no password can be worked out from what is sent",
                Change::Replace(SCRAM.to_owned()),
            ),
            (0, _) => tell(
                "auth_type",
                "scram-sha-256, once all passwords on the server are stored for SCRAM \
                 (SELECT rolname FROM pg_authid WHERE rolpassword LIKE 'md5%')",
                Change::Propose(SCRAM.to_owned()),
            ),
            (md5, _) => tell(
                "auth_type",
                &format!(
                    "scram-sha-256, once the {md5} md5 secrets in auth_file are SCRAM secrets or plain passwords"
                ),
                Change::Propose(SCRAM.to_owned()),
            ),
        }
    }
    let query = &settings.auth_query;
    if query.contains("pg_shadow") && !query.to_ascii_lowercase().contains("valuntil") {
        tell(
            "auth_query",
            "without this line a query is used that also looks at VALID UNTIL: an expired password lets nobody in \
             (CVE-2025-2291)",
            Change::None,
        );
    }
}

fn of_settings(config: &Config, is_given: &dyn Fn(&str) -> bool, tell: Tell<'_>) {
    let settings = &config.settings;
    let databases = || config.databases.values().chain(&config.fallback);
    let is_far = |host: &HostAddr| match host {
        HostAddr::Tcp { host, .. } => {
            host != "localhost" && !host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
        }
        HostAddr::Unix { .. } | HostAddr::Resolved { .. } => false,
    };
    if !settings.server_tls.mode.verifies() && databases().any(|one| one.hosts.iter().any(is_far)) {
        tell(
            "server_tls_sslmode",
            "verify-full, with server_tls_ca_file: else whoever can pose as a server is believed",
            Change::Propose("server_tls_sslmode = verify-full".to_owned()),
        );
    }
    if settings.max_prepared_statements == 0
        && settings.pool_mode != PoolMode::Session
        && is_given("max_prepared_statements")
    {
        tell(
            "max_prepared_statements",
            "200: drivers' prepared statements then work in transaction mode, and are kept",
            Change::Propose("max_prepared_statements = 200".to_owned()),
        );
    }
    if settings.so_reuseport {
        tell(
            "so_reuseport",
            "one process is enough: it has a worker thread for each core (workers); so_reuseport and [peers] can go",
            Change::Propose("so_reuseport = 0".to_owned()),
        );
    }
    if settings.client_tls.mode == SslMode::Disable
        && settings.listen_addr.iter().any(|address| is_far(&HostAddr::new(address, 1)))
    {
        tell(
            "client_tls_sslmode",
            "require, with a key and a certificate: clients from other hosts send in the clear",
            Change::None,
        );
    }
    if settings.http_listen.is_empty() {
        tell(
            "http_listen",
            "http_listen serves /metrics, under pgbouncer_exporter's names as well, and /healthz and /ready",
            Change::Propose("http_listen = 127.0.0.1:9127".to_owned()),
        );
    }
}

/// Another entry with the same database at another host.
fn twin<'a>(config: &'a Config, database: &Database) -> Option<&'a str> {
    let mut others = config.databases.values();
    let twin = others.find(|other| {
        other.name != database.name
            && other.dbname == database.dbname
            && other.hosts != database.hosts
            && other.hosts.len() == 1
    });
    twin.map(|twin| twin.name.as_str())
}

fn shown(key: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || "_.-*".contains(c);
    if key.chars().all(is_bare) { key.to_owned() } else { format!("'{key}'") }
}
