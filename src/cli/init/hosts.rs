//! Looks at a cluster's hosts, and writes what pgweir needs for them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use super::write::{self, Found, Plan};
use super::{InitError, write_file};
use crate::auth::Credentials;
use crate::cli::arguments::InitLine;
use crate::cli::facts::Facts;
use crate::config::{HostAddr, Settings};
use crate::net::options::TcpOptions;
use crate::net::tls;
use crate::server::query::{self, QueryError};
use crate::server::{self, Connection, Target, Tls, Wanted};
use crate::session::parameters::Tracked;

/// Longest that a host may take.
const LIMIT: Duration = Duration::from_secs(5);

/// What a host said.
#[derive(Clone, Debug)]
struct Seen {
    facts: Facts,
    databases: Vec<String>,
    tls: bool,
    may_monitor: bool,
}

/// Looks and writes; what was done, in words.
pub(super) fn run(line: &InitLine) -> Result<String, InitError> {
    let output = line.output.clone().unwrap_or_else(|| PathBuf::from("pgweir.ini"));
    let folder = folder_of(&output)?;
    if output.exists() && !line.force {
        return Err(InitError::Exists(output));
    }
    let hosts: Vec<HostAddr> = line
        .hosts
        .iter()
        .map(|text| host(text, line.port).ok_or_else(|| InitError::NoHost(text.clone())))
        .collect::<Result<_, _>>()?;
    let password = std::env::var("PGPASSWORD").ok().filter(|password| !password.is_empty());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(InitError::System)?;
    let seen = runtime.block_on(look(&hosts, &line.user, line.dbname.first(), password.as_deref()));
    runtime.shutdown_background();

    let answered: Vec<(&HostAddr, &Seen)> =
        seen.iter().filter_map(|(host, seen)| Some((host, seen.as_ref().ok()?))).collect();
    let refused = seen
        .iter()
        .filter_map(|(host, seen)| Some((host.to_string(), seen.as_ref().err()?.clone())));
    let refused: Vec<(String, String)> = refused.collect();
    let Some((_, first)) = answered.first() else {
        return Err(InitError::NobodyAnswers(refused));
    };
    one_cluster(&answered)?;
    let databases = databases(&first.databases, &line.dbname)?;
    let users = folder.join("userlist.txt");
    let found = answered.iter().map(|(host, seen)| Found {
        host: host.to_string(),
        is_replica: seen.facts.in_recovery,
        version: seen.facts.version.clone(),
        tls: seen.tls,
    });
    let room = answered
        .iter()
        .map(|(_, seen)| seen.facts.max_connections.saturating_sub(seen.facts.reserved));
    let plan = Plan {
        hosts: &hosts,
        found: found.collect(),
        refused: &refused,
        databases: &databases,
        user: &line.user,
        discover: line.discover.as_deref(),
        room: room.min().unwrap_or(0),
        scram: answered.iter().all(|(_, seen)| seen.facts.password_encryption != "md5"),
        may_monitor: answered.iter().all(|(_, seen)| seen.may_monitor),
        folder: &folder,
        users: &users,
    };
    let kept = users.exists();
    write_file(&output, &write::ini(&plan), 0o644, line.force)?;
    if !kept {
        // Its own mode from its first byte on: there are passwords in it.
        write_file(&users, &write::userlist(&plan, password.as_deref()), 0o600, false)?;
    }
    Ok(write::told(&plan, &output, kept, password.is_some()))
}

fn folder_of(output: &Path) -> Result<PathBuf, InitError> {
    let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    folder.canonicalize().map_err(|error| InitError::File(folder.to_owned(), error))
}

/// `NAME`, `NAME:PORT`, `[IPV6]:PORT`, `/DIRECTORY`.
fn host(text: &str, port: u16) -> Option<HostAddr> {
    let text = text.trim();
    if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c == '\'') {
        return None;
    }
    let (name, port) = match text.rsplit_once(':') {
        Some((name, number)) if !name.contains(':') || name.ends_with(']') => {
            (name, number.parse().ok().filter(|port| *port > 0)?)
        }
        _ => (text, port),
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    (!name.is_empty()).then(|| HostAddr::new(name, port))
}

async fn look(
    hosts: &[HostAddr],
    user: &str,
    dbname: Option<&String>,
    password: Option<&str>,
) -> Vec<(HostAddr, Result<Seen, String>)> {
    let settings = Settings::default();
    // As with the default of server_tls_sslmode: if the server offers it.
    let config = tls::client_config(&settings.server_tls).ok();
    let wanted = if config.is_some() { Wanted::IfOffered } else { Wanted::Never };
    let mut looking = JoinSet::new();
    for (place, host) in hosts.iter().enumerate() {
        let target = Target {
            host: host.clone(),
            dbname: dbname.map_or("postgres", String::as_str).to_owned(),
            user: user.to_owned(),
            credentials: password.map_or(Credentials::Nothing, Credentials::password),
            parameters: Vec::new(),
            tls: Tls { wanted, config: config.clone() },
            tcp: TcpOptions::of(&settings),
            timeout: LIMIT,
            tracked: Tracked::new(&settings.track_extra_parameters),
            max_prepared_statements: 0,
            connect_query: None,
        };
        looking.spawn(async move {
            let seen = timeout(LIMIT * 2, look_at(&target)).await;
            let late = |_| Err(format!("did not answer within {LIMIT:?}"));
            (place, target.host, seen.unwrap_or_else(late))
        });
    }
    let mut seen = looking.join_all().await;
    seen.sort_by_key(|(place, ..)| *place);
    seen.into_iter().map(|(_, host, seen)| (host, seen)).collect()
}

async fn look_at(target: &Target) -> Result<Seen, String> {
    let opened = server::open(target, server::UNNUMBERED, |_| ()).await;
    let (mut connection, _) = opened.map_err(|error| error.to_string())?;
    let seen = ask(&mut connection).await.map_err(|error| error.to_string());
    connection.close();
    seen
}

async fn ask(connection: &mut Connection) -> Result<Seen, QueryError> {
    const DATABASES: &str = "SELECT datname FROM pg_catalog.pg_database \
        WHERE datallowconn AND NOT datistemplate ORDER BY datname";
    const MONITOR: &str =
        "SELECT pg_catalog.pg_has_role(CURRENT_USER, 'pg_read_all_stats', 'USAGE')";
    let facts = Facts::ask(connection).await?;
    let databases = query::simple(connection, DATABASES).await?;
    let monitor = query::simple(connection, MONITOR).await?;
    let may_monitor = monitor.into_iter().flatten().flatten().any(|value| value == "t");
    Ok(Seen {
        facts,
        databases: databases.into_iter().flatten().flatten().collect(),
        tls: !connection.stream.tls_description().is_empty(),
        may_monitor,
    })
}

fn one_cluster(answered: &[(&HostAddr, &Seen)]) -> Result<(), InitError> {
    let ids = answered
        .iter()
        .filter_map(|(host, seen)| Some((host.to_string(), seen.facts.system_identifier?)));
    let ids: Vec<(String, u64)> = ids.collect();
    match ids.windows(2).all(|pair| matches!(pair, [(_, a), (_, b)] if a == b)) {
        true => Ok(()),
        false => Err(InitError::DifferentClusters(ids)),
    }
}

/// Those that were named, else all but `postgres`, unless that is all there is.
fn databases(there: &[String], named: &[String]) -> Result<Vec<String>, InitError> {
    let missing: Vec<String> = named.iter().filter(|name| !there.contains(name)).cloned().collect();
    if !missing.is_empty() {
        return Err(InitError::NoDatabase(missing));
    }
    if !named.is_empty() {
        return Ok(named.to_vec());
    }
    let others: Vec<String> = there.iter().filter(|name| *name != "postgres").cloned().collect();
    let databases = if others.is_empty() { there.to_vec() } else { others };
    if databases.is_empty() { Err(InitError::NoDatabase(Vec::new())) } else { Ok(databases) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_with_or_without_a_port_or_a_directory() {
        let shown = |text: &str| host(text, 5432).map(|host| host.to_string());
        for (text, expected) in [
            ("pg1", "pg1:5432"),
            (" pg1:5433", "pg1:5433"),
            ("[::1]:5433", "[::1]:5433"),
            ("::1", "[::1]:5432"),
            ("/run/postgresql", "/run/postgresql:5432"),
        ] {
            assert_eq!(shown(text).as_deref(), Some(expected), "{text}");
        }
        for text in ["", "pg1:x", "pg1:0", "a b", "[]:1", "it's"] {
            assert_eq!(shown(text), None, "{text:?}");
        }
    }

    #[test]
    fn all_databases_are_served_but_the_one_that_is_everywhere() {
        let there = ["app", "postgres", "shop"].map(str::to_owned);
        assert_eq!(databases(&there, &[]).unwrap(), ["app", "shop"]);
        assert_eq!(databases(&there[1..2], &[]).unwrap(), ["postgres"]);
        assert_eq!(databases(&there, &there[1..2]).unwrap(), ["postgres"]);
        assert!(databases(&there, &["nowhere".to_owned()]).is_err());
    }
}
