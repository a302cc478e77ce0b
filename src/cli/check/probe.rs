//! One host, looked at as far as it lets us: name, socket, TLS, logins, and what it says of itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OnceCell, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::finding::{Finding, HostReport, Severity};
use super::merge::merge;
use super::trials::{Purpose, Trial, Trials};
use crate::auth::lookup;
use crate::auth::secret::Secret;
use crate::cli::facts::Facts;
use crate::config::{AuthType, HostAddr};
use crate::net::options::TcpOptions;
use crate::server::query::{self, QueryError};
use crate::server::{self, Connection, OpenError, Tls, Wanted, dial};

/// The oldest PostgreSQL that the tests run against.
const OLDEST: u32 = 13;

/// Logins at one host at once.
const AT_ONCE: usize = 4;

/// What all hosts are looked at with.
#[derive(Clone, Debug)]
pub(super) struct Manner {
    pub(super) tls: Tls,
    pub(super) tcp: TcpOptions,
    pub(super) auth_type: AuthType,
    /// For each step.
    pub(super) limit: Duration,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) report: HostReport,
    pub(super) findings: Vec<Finding>,
    /// No monitor can look at it: nothing more needs to be said of its role.
    pub(super) is_dark: bool,
}

/// Looks.
pub(super) async fn probe(host: HostAddr, trials: Trials, manner: Manner) -> Probe {
    let report = HostReport {
        host: host.to_string(),
        databases: trials.databases.clone(),
        ..HostReport::default()
    };
    let mut probe = Probe { report, findings: Vec::new(), is_dark: false };
    if let Err(finding) = reach(&host, &manner, &mut probe.report).await {
        probe.findings.push(finding.entries(&trials.databases).host(&host));
        probe.is_dark = true;
        return probe;
    }
    log_in(&host, trials, &manner, &mut probe).await;
    probe
}

/// Name, socket, TLS.
async fn reach(host: &HostAddr, manner: &Manner, report: &mut HostReport) -> Result<(), Finding> {
    let limit = manner.limit;
    if let Some(name) = host.to_look_up() {
        let look_up = timeout(limit, tokio::net::lookup_host((name, host.port()))).await;
        let addresses = match look_up {
            Ok(Ok(addresses)) => addresses,
            Ok(Err(error)) => {
                let what = format!("the name {name} has no address");
                let finding = Finding::error("dns", what).found(error.to_string());
                return Err(
                    finding.advice("look at host= for a slip, at /etc/resolv.conf and /etc/hosts")
                );
            }
            Err(_) => {
                let what = format!("the name {name} was not looked up within {limit:?}");
                let finding = Finding::error("dns", what);
                return Err(finding.advice("look at the name servers in /etc/resolv.conf"));
            }
        };
        report.addresses = addresses.map(|address| address.ip().to_string()).collect();
        report.addresses.dedup();
    }
    let plain = Tls { wanted: Wanted::Never, config: None };
    match timeout(limit, dial::connect(host, &plain, manner.tcp)).await {
        Ok(Ok(_)) => report.reached = true,
        Ok(Err(error)) => {
            let finding = Finding::error("tcp", "cannot be reached").found(error.to_string());
            return Err(finding.advice(
                "is PostgreSQL up there, at this port, and does listen_addresses have this address?",
            ));
        }
        Err(_) => {
            let what = format!("took no connection within {limit:?}");
            let finding = Finding::error("tcp", what);
            return Err(finding.advice("is the host up, and does a firewall drop what goes there?"));
        }
    }
    if matches!(host, HostAddr::Unix { .. }) || manner.tls.config.is_none() {
        return Ok(());
    }
    match timeout(limit, dial::connect(host, &manner.tls, manner.tcp)).await {
        Ok(Ok(stream)) => {
            report.tls = Some(stream.tls_description()).filter(|tls| !tls.is_empty());
            Ok(())
        }
        Ok(Err(error)) => {
            let finding = Finding::error("tls", "no TLS with it").found(error.to_string());
            Err(finding.advice(
                "look at server_tls_sslmode, server_tls_ca_file, and at ssl_cert_file of the server, which must bear \
                 the name in host= for verify-full",
            ))
        }
        Err(_) => {
            let what =
                format!("did not answer within {limit:?}: it takes connections, and says nothing");
            let finding = Finding::error("tls", what);
            Err(finding.advice("is it PostgreSQL at this port, and is it frozen or overloaded?"))
        }
    }
}

async fn log_in(host: &HostAddr, trials: Trials, manner: &Manner, probe: &mut Probe) {
    let facts = Arc::new(OnceCell::new());
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut logins = JoinSet::new();
    let is_closed = trials.logins.is_empty();
    for trial in trials.logins {
        let (facts, room, manner) = (facts.clone(), room.clone(), manner.clone());
        logins.spawn(async move {
            let _room = room.acquire_owned().await;
            let findings = one(&trial, &manner, &facts).await;
            (trial, findings)
        });
    }
    for (trial, findings) in logins.join_all().await {
        let failed = findings.iter().any(|finding| finding.check == "login");
        probe.is_dark |= failed && trial.purpose == Purpose::Monitor;
        let of = |finding: Finding| {
            finding.entries(&trial.databases).host(host).user(&trial.target.user)
        };
        probe.findings.extend(findings.into_iter().map(of));
    }
    probe.findings = merge(std::mem::take(&mut probe.findings));
    if is_closed {
        let what = "nobody is known to log in as: its role, version and room for connections were not looked at";
        let finding = Finding::note("login", what).host(host).entries(&trials.databases);
        let advice = "put users with their passwords into auth_file, or set user= in the entry, or target_session_attrs \
                      and topology_user";
        probe.findings.push(finding.advice(advice));
    }
    if trials.left_out > 0 {
        let what = format!("{} further logins were not tried", trials.left_out);
        probe.findings.push(Finding::note("login", what).host(host));
    }
    let Some(facts) = facts.get() else { return };
    let report = &mut probe.report;
    report.role = Some(if facts.in_recovery { "replica" } else { "primary" });
    report.version = Some(facts.version.clone());
    report.max_connections = Some(facts.max_connections);
    report.reserved = Some(facts.reserved);
    report.password_encryption = Some(facts.password_encryption.clone());
    report.system_identifier = facts.system_identifier;
    if facts.version_number < OLDEST * 10_000 {
        let what =
            format!("PostgreSQL {} is older than {OLDEST}, and not tested with", facts.version);
        probe
            .findings
            .push(Finding::warning("version", what).host(host).entries(&trials.databases));
    }
}

/// One login, and what it is for.
async fn one(trial: &Trial, manner: &Manner, facts: &OnceCell<Facts>) -> Vec<Finding> {
    let mut target = trial.target.clone();
    target.timeout = manner.limit;
    let mut connection = match server::open(&target, server::UNNUMBERED, |_| ()).await {
        Ok((connection, _)) => connection,
        Err(error) => return vec![refused(&error, trial)],
    };
    let asked = async {
        facts.get_or_try_init(|| Facts::ask(&mut connection)).await?;
        match &trial.purpose {
            Purpose::Pool { .. } => Ok(Vec::new()),
            Purpose::Monitor => rights(&mut connection, &target.user).await,
            Purpose::Lookup(sql) => Ok(look_up(&mut connection, sql, trial, manner).await),
        }
    };
    let answer = timeout(manner.limit, asked).await;
    let findings = match answer {
        Ok(Ok(findings)) => findings,
        Ok(Err(error)) => {
            let what = "let us in, and did not answer a question";
            vec![Finding::error("query", what).found(error.to_string())]
        }
        Err(_) => {
            let what =
                format!("let us in, and did not answer a question within {:?}", manner.limit);
            vec![Finding::error("query", what)]
        }
    };
    connection.close();
    findings
}

/// A login that came to nothing.
fn refused(error: &OpenError, trial: &Trial) -> Finding {
    let Trial { purpose, target, .. } = trial;
    let (user, dbname) = (&target.user, &target.dbname);
    let (found, code) = match error {
        OpenError::Refused { response, .. } => {
            let code = response.code().as_str().to_owned();
            (format!("{} ({code})", response.message()), code)
        }
        other => (other.to_string(), String::new()),
    };
    let advice = error.advice(user, dbname).unwrap_or_else(|| {
        let words = match error {
            _ if code == "57P03" => "try again when it has started",
            OpenError::TimedOut { .. } => "is it frozen or overloaded?",
            _ => "see the server's log",
        };
        words.to_owned()
    });
    let (severity, whose) = match purpose {
        Purpose::Monitor => (Severity::Error, "the monitors' login (topology_user)"),
        Purpose::Lookup(_) => (Severity::Error, "auth_user's login"),
        Purpose::Pool { forced: true, .. } => (Severity::Error, "the entry's login"),
        // He may be for other databases, or for nobody but the console.
        Purpose::Pool { console: true, .. } => (Severity::Note, "a login of the pools"),
        Purpose::Pool { .. } if matches!(code.as_str(), "42501" | "28000") => {
            (Severity::Warning, "a login of the pools")
        }
        Purpose::Pool { .. } => (Severity::Error, "a login of the pools"),
    };
    Finding::new(severity, "login", format!("{whose} to database {dbname} fails"))
        .found(found)
        .advice(advice)
}

/// What the monitors' user may see.
async fn rights(connection: &mut Connection, user: &str) -> Result<Vec<Finding>, QueryError> {
    const RIGHTS: &str = "SELECT \
        pg_catalog.pg_has_role(CURRENT_USER, 'pg_read_all_stats', 'USAGE'), \
        pg_catalog.has_function_privilege(CURRENT_USER, 'pg_catalog.pg_control_system()', 'EXECUTE'), \
        (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = CURRENT_USER)";
    let rows = query::simple(connection, RIGHTS).await?;
    let may = |column: usize| {
        rows.first()
            .and_then(|row| row.get(column))
            .is_some_and(|value| value.as_deref() == Some("t"))
    };
    let mut findings = Vec::new();
    if !may(0) {
        let what = "the monitors may not see a replica's timeline: one that was left behind on an old timeline is \
                    not noticed, and causal_reads finds a replica only minutes later";
        findings
            .push(Finding::warning("rights", what).advice(format!("GRANT pg_monitor TO {user}")));
    }
    if !may(1) {
        let what = "the monitors may not see the system identifier: a host of another cluster is not noticed";
        let grant = format!("GRANT EXECUTE ON FUNCTION pg_control_system() TO {user}");
        findings.push(Finding::warning("rights", what).advice(grant));
    }
    if may(2) {
        let what = "the monitors log in as a superuser, and need not";
        let advice = "set topology_user to a role of its own: CREATE ROLE pgweir_monitor LOGIN PASSWORD …; \
                      GRANT pg_monitor TO pgweir_monitor";
        findings.push(Finding::note("rights", what).advice(advice));
    }
    Ok(findings)
}

/// Asks for `auth_user` himself, who is there for certain.
async fn look_up(
    connection: &mut Connection,
    sql: &str,
    trial: &Trial,
    manner: &Manner,
) -> Vec<Finding> {
    let user = &trial.target.user;
    let found = match query::with_parameter(connection, sql, user).await {
        Ok(rows) => lookup::read_rows(user, &rows).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let secret = match found {
        Ok(secret) => secret,
        Err(found) => {
            let finding = Finding::error("auth_query", "auth_query fails").found(found);
            let advice = format!(
                "give {user} the right to it, or use a function (docs/check.md, auth_query)"
            );
            return vec![finding.advice(advice)];
        }
    };
    match (secret, manner.auth_type) {
        (None, _) => {
            let what = format!("auth_query works, and knows no user {user}");
            vec![Finding::note("auth_query", what)]
        }
        (Some(Secret::Md5(_)), AuthType::ScramSha256) => {
            let what = "auth_query gives an md5 secret, which auth_type=scram-sha-256 refuses";
            let advice = "set password_encryption = 'scram-sha-256' on the server and set the passwords anew, or \
                          set auth_type = md5";
            vec![Finding::warning("passwords", what).advice(advice)]
        }
        _ => Vec::new(),
    }
}
