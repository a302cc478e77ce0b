//! `pgweir check FILE`: what is wrong with the files, and with the hosts that they name.
//!
//! First the files alone, all that is wrong with them; then, if nothing is, the hosts, all at once: each costs its own
//! time limits and nobody else's. docs/check.md describes both forms of the report.
//!
//! - `finding` — what was found, as text and as JSON
//! - `fixed` — what the files alone show
//! - `trials`, `probe` — which logins are tried at a host, and what it says
//! - `roles`, `pools` — whether hosts are what entries take them for, and large enough
//! - `places` — where in the files a thing stands
//! - `merge` — what is the matter with many users is told once

pub(super) mod finding;
mod fixed;
mod merge;
mod places;
mod pools;
mod probe;
mod roles;
mod trials;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use self::finding::{Finding, HostReport, Report};
use self::places::Places;
use self::probe::{Manner, Probe};
use super::arguments::CheckLine;
use crate::admin::{control, discovery};
use crate::config::{AuthType, Config, KnownHosts};
use crate::metrics::Metrics;
use crate::net::options::TcpOptions;
use crate::session::parameters::Tracked;
use crate::topology;
use crate::worker::shared::Live;

/// Longest that a step at a host may take, if nothing else is said: a server that takes longer is no server.
const LIMIT: Duration = Duration::from_secs(5);

/// Does it.
pub(super) fn check(line: &CheckLine) -> ExitCode {
    let file = line.file.display().to_string();
    let mut report = match look(line) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("pgweir: {error}");
            return ExitCode::FAILURE;
        }
    };
    report.sort();
    let text = if line.json { format!("{:#}\n", report.json(&file)) } else { report.text(&file) };
    super::print(&text, if report.is_well() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn look(line: &CheckLine) -> io::Result<Report> {
    let examined = Config::examine(&line.file);
    let places = Places(&examined.entries);
    let config = &examined.config;
    let mut report = Report {
        findings: fixed::look(&examined, &places),
        entries: config.databases.len() + usize::from(config.fallback.is_some()),
        ..Report::default()
    };
    if line.offline || !report.is_well() {
        return Ok(report);
    }
    let live = match control::with_tls(config.clone()) {
        Ok(live) => live,
        Err(error) => {
            report.findings.push(Finding::error("tls-files", error.to_string()));
            return Ok(report);
        }
    };
    report.live = true;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let limit = line.timeout.map(Duration::from_secs_f64);
    let limit = limit.unwrap_or(live.config.settings.server_connect_timeout.min(LIMIT));
    runtime.block_on(hosts(&live, &places, limit, &mut report));
    // A name that is being looked up cannot be called off.
    runtime.shutdown_background();
    Ok(report)
}

/// Asks the hosts.
async fn hosts(live: &Live, places: &Places<'_>, limit: Duration, report: &mut Report) {
    let settings = &live.config.settings;
    let tracked = Tracked::new(&settings.track_extra_parameters);
    let known = discover(live, &tracked, places, report).await;
    let live = &Live { config: Arc::new(live.config.with_hosts(&known)), ..live.clone() };

    let manner = Manner {
        tls: live.server_tls.clone(),
        tcp: TcpOptions::of(settings),
        auth_type: settings.auth_type,
        limit,
    };
    let mut probes = JoinSet::new();
    for (place, (host, trials)) in trials::all(live, &tracked).into_iter().enumerate() {
        let manner = manner.clone();
        probes.spawn(async move { (place, probe::probe(host, trials, manner).await) });
    }
    let entries = control::entries(live, &tracked);
    let looked =
        topology::look_once(entries, control::pace(settings), Metrics::new(super::VERSION));
    let (looked, mut probes) = tokio::join!(looked, probes.join_all());
    probes.sort_by_key(|(place, _)| *place);

    let mut dark = Vec::new();
    for (_, probe) in probes {
        let Probe { report: host, findings, is_dark } = probe;
        if is_dark {
            dark.push(host.host.clone());
        }
        let placed = findings.into_iter().map(|finding| {
            let at = places.database(&finding.databases);
            finding.at(at)
        });
        report.findings.extend(placed);
        report.hosts.push(host);
    }
    for (database, attrs, snapshot) in looked {
        for view in &snapshot.hosts {
            let name = view.addr.to_string();
            if let Some(host) = report.hosts.iter_mut().find(|host| host.host == name && view.up) {
                host.role = Some(view.role.name());
                host.timeline = view.timeline;
                host.lag_bytes = view.lag_bytes;
                host.system_identifier = host.system_identifier.or(view.system_id);
            }
        }
        let is_dark = |view: &topology::HostView| dark.contains(&view.addr.to_string());
        report.findings.extend(roles::followed(&database, attrs, &snapshot, places, &is_dark));
    }
    report.findings.extend(roles::plain(&live.config, &report.hosts, places));
    report.findings.extend(pools::look(&live.config, places, &mut report.hosts));
    report.findings.extend(pools::files(&live.config, places, &report.hosts));
    report.findings.extend(passwords(&live.config, places));
    report.findings.extend(encryption(&live.config, places, &report.hosts));
}

/// Asks whoever knows more hosts (`discover`).
async fn discover(
    live: &Live,
    tracked: &Arc<Tracked>,
    places: &Places<'_>,
    report: &mut Report,
) -> KnownHosts {
    let limit = live.config.settings.topology_timeout;
    let mut asking = JoinSet::new();
    for (place, source) in discovery::sources(&live.config, live, tracked).into_iter().enumerate() {
        asking.spawn(async move {
            let answer = topology::discover::ask_once(&source, limit).await;
            (place, source, answer)
        });
    }
    let mut answers = asking.join_all().await;
    answers.sort_by_key(|(place, ..)| *place);
    let mut known = KnownHosts::default();
    for (_, source, answer) in answers {
        let by = source.discover.name();
        match answer {
            Ok(hosts) => {
                let names: Vec<_> = hosts.iter().map(|host| host.addr.to_string()).collect();
                let entries = source.entries.join(", ");
                report.facts.push(format!("{entries}: discover={by} names {}", names.join(", ")));
                known.found.extend(source.entries.into_iter().map(|entry| (entry, hosts.clone())));
            }
            Err(why) => {
                let finding = Finding::error("discover", format!("discover={by}: {why}"));
                let at = places.database(&source.entries);
                let advice = "see docs/discovery.md for what it asks, and which rights that needs";
                report.findings.push(finding.entries(&source.entries).at(at).advice(advice));
            }
        }
    }
    known
}

/// Users whose logins at the servers could not be tried.
fn passwords(config: &Config, places: &Places) -> Option<Finding> {
    let users = trials::by_scram_secret(config);
    let all_forced =
        config.databases.values().chain(&config.fallback).all(|one| one.user.is_some());
    if users.is_empty() || all_forced {
        return None;
    }
    let finding = match config.settings.auth_type {
        // Nothing that a client shows helps: it shows nothing.
        AuthType::Any | AuthType::Trust | AuthType::Cert => Finding::warning(
            "passwords",
            "of these users there is a SCRAM secret only, and auth_type asks clients for no password: only servers that \
             trust pgweir let them in",
        )
        .advice("put plain passwords into auth_file, or user= and password= into the entries"),
        _ => Finding::note(
            "passwords",
            "of these users there is a SCRAM secret only: their logins at the servers could not be tried, and work once a \
             client has logged in with SCRAM, where the server has the same secret",
        ),
    };
    Some(finding.at(places.setting("auth_file")).found(fixed::few(&users)))
}

/// Servers that store passwords in a way that `auth_type` cannot use, where users are looked up there.
fn encryption(config: &Config, places: &Places, hosts: &[HostReport]) -> Option<Finding> {
    let settings = &config.settings;
    let mut databases = config.databases.values().chain(&config.fallback);
    let asks = settings.auth_user.is_some() || databases.any(|one| one.auth_user.is_some());
    if !asks || settings.auth_type != AuthType::ScramSha256 {
        return None;
    }
    let md5 = hosts.iter().filter(|host| host.password_encryption.as_deref() == Some("md5"));
    let names: Vec<&str> = md5.map(|host| host.host.as_str()).collect();
    if names.is_empty() {
        return None;
    }
    let what = "passwords that are set from now on will be md5 secrets, which auth_type=scram-sha-256 refuses";
    let finding = Finding::warning("passwords", what).at(places.setting("auth_type"));
    let advice = "set password_encryption = 'scram-sha-256' there";
    Some(
        finding
            .found(format!("password_encryption = md5 at {}", fixed::few(&names)))
            .advice(advice),
    )
}
