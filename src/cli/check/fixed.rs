//! What the files alone show.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::finding::{Finding, Severity};
use super::places::Places;
use crate::admin::control;
use crate::auth::lookup::{self, Lookup};
use crate::auth::secret::Secret;
use crate::config::ini::Section;
use crate::config::{AuthType, Config, Examined, Note, Place, SslMode, Userlist};
use crate::net::tls;

/// All of it.
pub(super) fn look(examined: &Examined, places: &Places) -> Vec<Finding> {
    let config = &examined.config;
    let problems = examined.problems.iter().map(|problem| Finding::told(problem.told()));
    let mut findings: Vec<Finding> = problems.collect();
    findings.extend(config.notes.iter().map(note));
    findings.extend(doubles(examined));
    findings.extend(certificates(config, places));
    findings.extend(doors(config, places));
    findings.extend(files(config, places));
    findings.extend(secrets(config, places));
    findings.extend(nobody(config, places).filter(|_| examined.problems.is_empty()));
    findings.extend(lookups(config, places));
    findings.extend(memory(config, places));
    if config.databases.is_empty() && config.fallback.is_none() && examined.problems.is_empty() {
        let none = Finding::warning("configuration", "there is no database entry");
        findings.push(none.advice("add a line NAME = host=ADDRESS to [databases]"));
    }
    findings
}

fn note(note: &Note) -> Finding {
    // A setting that does nothing here is to be known; a line about who gets in, or where, that does nothing is worse.
    let known = crate::config::settings::find(&note.key);
    let severity = match known {
        Some(_) if !note.key.starts_with("auth_") => Severity::Note,
        _ => Severity::Warning,
    };
    let at = Place { file: note.file.as_path().into(), line: note.line };
    Finding::new(severity, "no-effect", note.sentence.clone()).at(Some(at))
}

/// Keys that stand twice: the later one counts.
fn doubles(examined: &Examined) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, entry) in examined.entries.iter().enumerate() {
        let same = |other: &&crate::config::ini::Entry| {
            (other.section, &other.key) == (entry.section, &entry.key)
        };
        if let Some(later) = examined.entries.iter().skip(index + 1).find(same) {
            let what = format!(
                "{}/{} stands again at {}, which counts",
                entry.section, entry.key, later.at
            );
            let finding = Finding::note("double", what).at(Some(entry.at.clone()));
            findings.push(finding.advice("remove one of them"));
        }
    }
    findings
}

fn certificates(config: &Config, places: &Places) -> Vec<Finding> {
    let settings = &config.settings;
    let mut findings = Vec::new();
    let mut told = |problem: String| {
        let at = problem.split(':').next().and_then(|key| places.setting(key));
        findings.push(Finding::error("tls-files", problem).at(at));
    };
    let has_certificate =
        settings.client_tls.key_file.is_some() && settings.client_tls.cert_file.is_some();
    if settings.client_tls.mode != SslMode::Disable
        && has_certificate
        && let Err(problem) = tls::acceptor(&settings.client_tls)
    {
        told(problem.to_string());
    }
    if settings.server_tls.mode != SslMode::Disable
        && let Err(problem) = tls::client_config(&settings.server_tls)
    {
        told(problem.to_string());
    }
    findings
}

fn doors(config: &Config, places: &Places) -> Vec<Finding> {
    let settings = &config.settings;
    let mut findings = Vec::new();
    if settings.listen_addr.is_empty() && settings.unix_socket_dir.is_none() {
        let nowhere = Finding::error("listen", "nowhere to listen on");
        findings.push(
            nowhere
                .at(places.setting("unix_socket_dir"))
                .advice("set listen_addr or unix_socket_dir in [pgbouncer]"),
        );
    }
    let open = matches!(settings.auth_type, AuthType::Any | AuthType::Trust);
    let near = |address: &String| {
        address == "localhost" || address.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
    };
    if open && !settings.listen_addr.iter().all(near) {
        let what = "whoever reaches listen_addr gets in without a password";
        let finding = Finding::warning("auth", what).at(places.setting("auth_type"));
        findings.push(
            finding
                .found(format!("listen_addr = {}", settings.listen_addr.join(",")))
                .advice("set auth_type = scram-sha-256, or listen on 127.0.0.1"),
        );
    }
    findings
}

/// Files with secrets that everybody may read.
fn files(config: &Config, places: &Places) -> Vec<Finding> {
    let is_open = |file: &Path| {
        std::fs::metadata(file).is_ok_and(|metadata| metadata.permissions().mode() & 0o007 != 0)
    };
    let mut findings = Vec::new();
    let mut told = |file: &Path, at: Option<Place>| {
        let what = format!("{} has passwords in it, and everybody may read it", file.display());
        let finding = Finding::warning("file-mode", what).at(at);
        findings.push(finding.advice(format!("chmod o= {}", file.display())));
    };
    let has_secrets = !config.userlist.users.is_empty();
    if let Some(file) =
        config.settings.auth_file.as_deref().filter(|file| has_secrets && is_open(file))
    {
        told(file, places.setting("auth_file"));
    }
    let mut databases = config.databases.values().chain(&config.fallback);
    if let Some(database) = databases.find(|database| database.password.is_some())
        && let Some(at) = places.entry(Section::Databases, &database.name)
        && is_open(&at.file)
    {
        told(&at.file.clone(), Some(at));
    }
    findings
}

/// A file by which nobody gets in.
fn nobody(config: &Config, places: &Places) -> Option<Finding> {
    let settings = &config.settings;
    let asks = settings.auth_user.is_some()
        || config.databases.values().chain(&config.fallback).any(|one| one.auth_user.is_some());
    let by_name = matches!(
        settings.auth_type,
        AuthType::Trust | AuthType::Plain | AuthType::Md5 | AuthType::ScramSha256 | AuthType::Cert
    );
    if !by_name || asks || !config.userlist.users.is_empty() {
        return None;
    }
    let finding = Finding::warning(
        "auth",
        "nobody can log in: auth_file names no user, and there is no auth_user",
    );
    let advice = "put \"name\" \"secret\" into auth_file, or set auth_user";
    Some(finding.at(places.setting("auth_file")).advice(advice))
}

/// Users whose stored secret cannot do what `auth_type` asks of it.
fn secrets(config: &Config, places: &Places) -> Vec<Finding> {
    if config.settings.auth_type != AuthType::ScramSha256 {
        return Vec::new();
    }
    let md5 = config
        .userlist
        .users
        .iter()
        .filter(|(_, secret)| matches!(Secret::parse(secret.reveal()), Secret::Md5(_)));
    let names: Vec<&str> = md5.map(|(name, _)| name.as_str()).collect();
    if names.is_empty() {
        return Vec::new();
    }
    let what = "auth_type=scram-sha-256 refuses users of whom auth_file has an md5 secret only";
    let advice = "give each a SCRAM secret (SELECT rolpassword FROM pg_authid, once the password was set \
                  with password_encryption = 'scram-sha-256') or the plain password, or set auth_type = md5";
    let all = names.len() == config.userlist.users.len();
    let severity = if all { Severity::Error } else { Severity::Warning };
    let finding = Finding::new(severity, "passwords", what).at(places.setting("auth_file"));
    vec![finding.found(few(&names)).advice(advice)]
}

/// The first of many.
pub(super) fn few(names: &[&str]) -> String {
    const SHOWN: usize = 5;
    let shown = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// An `auth_dbname` that leads nowhere.
fn lookups(config: &Config, places: &Places) -> Vec<Finding> {
    let mut findings = Vec::new();
    for database in config.databases.values().chain(&config.fallback) {
        let nobody = Userlist::default();
        let found = lookup::lookup("", Some(&**database), &config.settings, &nobody);
        let Lookup::Ask(ask) = found else { continue };
        if config.database(&ask.dbname).is_none() {
            let what = format!("auth_dbname={} is no entry of [databases]", ask.dbname);
            let own = database.auth_dbname.as_ref();
            let own = own.and_then(|_| places.entry(Section::Databases, &database.name));
            let finding = Finding::error("auth_query", what).entry(&database.name);
            let finding = finding.at(own.or_else(|| places.setting("auth_dbname")));
            findings.push(finding.advice("add it, or name one that is there"));
        }
    }
    findings
}

fn memory(config: &Config, places: &Places) -> Vec<Finding> {
    let mut databases = config.databases.values().chain(&config.fallback);
    let Some(database) = databases.find(|database| database.target_session_attrs.is_some()) else {
        return Vec::new();
    };
    if control::state_file(config).is_some() {
        return Vec::new();
    }
    let what = "topology_state_file: none, and no pidfile to put it beside; after a restart an old primary may be \
                taken for the primary until another one is seen";
    let at = places.entry(Section::Databases, &database.name);
    vec![Finding::warning("state-file", what).at(at).advice("set pidfile or topology_state_file")]
}
