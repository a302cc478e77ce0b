//! Whether the hosts of an entry are what the entry takes them for.

use std::sync::Arc;

use super::finding::{Finding, HostReport};
use super::places::Places;
use crate::config::{Config, TargetSessionAttrs};
use crate::topology::{HostView, Role, Snapshot};

/// An entry that follows roles, as its monitors would see it. `is_dark`: hosts of which all was said.
pub(super) fn followed(
    database: &str,
    attrs: TargetSessionAttrs,
    snapshot: &Arc<Snapshot>,
    places: &Places,
    is_dark: &dyn Fn(&HostView) -> bool,
) -> Vec<Finding> {
    let hosts = snapshot.hosts.iter().filter(|host| !is_dark(host));
    let mut findings: Vec<Finding> = hosts.filter_map(of_host).collect();
    if let Some((what, advice)) = missing(attrs, snapshot) {
        findings.push(Finding::error("role", what).advice(advice));
    }
    let at = places.database(&[database.to_owned()]);
    findings.into_iter().map(|finding| finding.entry(database).at(at.clone())).collect()
}

fn of_host(host: &HostView) -> Option<Finding> {
    let found = host.last_error.as_deref().unwrap_or("it is not known what it is").to_owned();
    if !host.up || host.role == Role::Unknown {
        let finding = Finding::error("role", "it cannot be used").host(&host.addr).found(found);
        return Some(finding.advice("see SHOW TOPOLOGY, and docs/failover.md"));
    }
    if host.role == Role::Deposed {
        let what = "it takes itself for the primary, and must not be used as one";
        let finding = Finding::error("role", what).host(&host.addr).found(found);
        return Some(finding.advice("make it a replica of the primary, or stop it"));
    }
    if host.role == Role::Replica && !host.is_fit() {
        let why = host.unfit.as_ref().map(ToString::to_string).unwrap_or_default();
        let what = "this replica gets no reads";
        let finding = Finding::warning("lag", what).host(&host.addr).found(why);
        return Some(
            finding.advice("see pg_stat_replication on the primary; max_replica_lag is the limit"),
        );
    }
    None
}

/// What is wrong with an entry although its hosts answer, and what to do.
fn missing(
    attrs: TargetSessionAttrs,
    snapshot: &Arc<Snapshot>,
) -> Option<(&'static str, &'static str)> {
    let up = snapshot.hosts.iter().any(|host| host.up);
    Some(if !up {
        ("no host can be used", "mend what is said of its hosts")
    } else if attrs.wants_primary() && snapshot.split_brain {
        (
            "several hosts say that they are the primary on one timeline",
            "stop all but one; see split_brain in docs/settings.md",
        )
    } else if attrs.wants_primary() && snapshot.primary.is_none() {
        (
            "no primary among its hosts",
            "add the primary to host=, or set target_session_attrs=read-only if it is for reads alone",
        )
    } else if attrs.wants_standby() && snapshot.replicas().next().is_none() {
        (
            "no standby among its hosts that is fit for reads",
            "add one to host=, or set target_session_attrs=prefer-standby",
        )
    } else {
        return None;
    })
}

/// Entries that take their hosts as they are, as in pgbouncer.
pub(super) fn plain(config: &Config, hosts: &[HostReport], places: &Places) -> Vec<Finding> {
    let mut findings = Vec::new();
    for database in config.databases.values().chain(&config.fallback) {
        if database.target_session_attrs.is_some() {
            continue;
        }
        let names: Vec<String> = database.hosts.iter().map(ToString::to_string).collect();
        let reports: Vec<&HostReport> =
            hosts.iter().filter(|report| names.contains(&report.host)).collect();
        let finding = of_reports(&reports, names.len());
        let at = places.database(std::slice::from_ref(&database.name));
        findings.extend(finding.map(|finding| finding.entry(&database.name).at(at)));
    }
    findings
}

fn of_reports(reports: &[&HostReport], named: usize) -> Option<Finding> {
    const FOLLOW: &str = "set target_session_attrs=read-write (and topology_user): then the primary is found and \
                          followed, and reads can go to replicas";
    let mut ids: Vec<u64> = reports.iter().filter_map(|report| report.system_identifier).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.len() > 1 {
        let what = "its hosts belong to different clusters (system identifiers), and clients get any of them";
        let list: Vec<String> = ids.iter().map(u64::to_string).collect();
        let finding = Finding::warning("system-identifier", what).found(list.join(", "));
        return Some(finding.advice("is that meant? Else one of host= is wrong"));
    }
    let replicas = reports.iter().filter(|report| report.role == Some("replica")).count();
    let primaries = reports.iter().filter(|report| report.role == Some("primary")).count();
    if replicas > 0 && primaries > 0 {
        let what = "a primary and replicas in one list without target_session_attrs: writes will reach replicas, \
                    which refuse them";
        return Some(Finding::error("role", what).advice(FOLLOW));
    }
    if replicas > 0 && replicas == named {
        let what = "it has replicas only: writes will be refused";
        return Some(Finding::warning("role", what).advice(
            "if it is for reads alone, target_session_attrs=read-only says so; else name the primary, too",
        ));
    }
    if primaries > 1 {
        let what = "several primaries in one list without target_session_attrs";
        return Some(Finding::warning("role", what).advice(FOLLOW));
    }
    None
}
