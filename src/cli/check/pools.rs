//! Whether the pools fit into their servers, and connections into this process.

use std::collections::{BTreeMap, BTreeSet};

use super::finding::{Finding, HostReport};
use super::places::Places;
use super::trials;
use crate::config::ini::Section;
use crate::config::{Config, Database, HostAddr};

/// What the pools of one entry may open at one host.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Demand {
    entry: String,
    /// One user's pool, its reserve included; `None`: no limit.
    pool: Option<u64>,
    /// Users who are known; at least one is reckoned with.
    users: u64,
    /// All of its pools, within `max_db_connections`; `None`: no limit.
    all: Option<u64>,
}

impl Demand {
    fn of(config: &Config, database: &Database) -> Self {
        let users = trials::pool_users(config, database);
        let size = |user: &str| {
            let size = config.pool_size(database, user).map(u64::from)?;
            let size = size + u64::from(config.reserve_pool_size(database, user));
            let limit = config.max_user_connections(user).map(u64::from);
            Some(size.min(limit.unwrap_or(u64::MAX)))
        };
        let mut sizes: Vec<Option<u64>> = users.iter().map(|(user, _)| size(user)).collect();
        if sizes.is_empty() {
            // Somebody will come, or nobody would have made the entry. `[users]` cannot name him.
            sizes.push(size(""));
        }
        let limit = config.max_db_connections(database).map(u64::from);
        let within = |size: Option<u64>| match (size, limit) {
            (Some(size), Some(limit)) => Some(size.min(limit)),
            (size, limit) => size.or(limit),
        };
        let largest = sizes.iter().copied().max_by_key(|size| size.unwrap_or(u64::MAX)).flatten();
        let users = sizes.len() as u64;
        let sum: Option<u64> = sizes.into_iter().sum();
        Self { entry: database.name.clone(), pool: within(largest), users, all: within(sum) }
    }
}

/// Looks at every host of which `max_connections` is known, and puts the sums into the reports.
pub(super) fn look(config: &Config, places: &Places, hosts: &mut [HostReport]) -> Vec<Finding> {
    let mut demands: BTreeMap<String, Vec<Demand>> = BTreeMap::new();
    for database in config.databases.values().chain(&config.fallback) {
        let demand = Demand::of(config, database);
        // A host that is named twice has one pool.
        let names: BTreeSet<String> = database.hosts.iter().map(HostAddr::to_string).collect();
        for host in names {
            demands.entry(host).or_default().push(demand.clone());
        }
    }
    let mut findings = Vec::new();
    for report in hosts {
        let Some(demands) = demands.get(&report.host) else { continue };
        let all: Option<u64> = demands.iter().map(|demand| demand.all).sum();
        report.pools = all;
        let (Some(max), Some(reserved)) = (report.max_connections, report.reserved) else {
            continue;
        };
        let room = u64::from(max.saturating_sub(reserved));
        let finding = too_much(room, max, reserved, demands);
        findings.extend(finding.map(|mut finding| {
            finding.host = Some(report.host.clone());
            finding.databases = demands.iter().map(|demand| demand.entry.clone()).collect();
            let first = demands.iter().find(|demand| demand.pool.is_none_or(|pool| pool > room));
            let first = first.or(demands.first());
            finding.at = first.and_then(|demand| places.entry(Section::Databases, &demand.entry));
            finding
        }));
    }
    findings
}

fn too_much(room: u64, max: u32, reserved: u32, demands: &[Demand]) -> Option<Finding> {
    const CHECK: &str = "max_connections";
    let left = format!("{room}: max_connections {max} less {reserved} that are reserved");
    if let Some(one) = demands.iter().find(|demand| demand.pool.is_none_or(|pool| pool > room)) {
        let wants = one.pool.map_or("without limit".to_owned(), |pool| pool.to_string());
        let what = format!(
            "one pool of {} may open more connections than the server has for users",
            one.entry
        );
        return Some(
            Finding::error(CHECK, what).found(format!("{wants}; room for {left}")).advice(format!(
                "raise max_connections there, or set default_pool_size (pool_size= of the entry) below {room}"
            )),
        );
    }
    let all: Option<u64> = demands.iter().map(|demand| demand.all).sum();
    let all = all.filter(|all| *all > room)?;
    let part = |demand: &Demand| {
        let pools = if demand.users == 1 {
            "pool".to_owned()
        } else {
            format!("pools of {} users", demand.users)
        };
        format!("{} {} ({pools})", demand.entry, demand.all.unwrap_or(0))
    };
    let parts: Vec<String> = demands.iter().map(part).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let what = "the pools together may open more connections than the server has for users";
    let found = format!("{all}: {}; room for {left}", super::fixed::few(&parts));
    Some(Finding::warning(CHECK, what).found(found).advice(format!(
        "raise max_connections there above {}, make the pools smaller, or set max_db_connections",
        all + u64::from(reserved)
    )))
}

/// Descriptors for the monitors, files and listeners.
const FURTHER: u64 = 64;

/// Whether clients and servers fit into the open-file limit; that of the process that asks.
pub(super) fn files(config: &Config, places: &Places, hosts: &[HostReport]) -> Option<Finding> {
    use rustix::process::{Resource, getrlimit};
    let limit = getrlimit(Resource::Nofile).maximum?;
    let clients = u64::from(config.settings.max_client_conn);
    let servers: u64 = hosts.iter().map(|host| host.pools.unwrap_or(0)).sum();
    let wanted = clients + servers + hosts.len() as u64 + FURTHER;
    if wanted <= limit {
        return None;
    }
    let what = "max_client_conn and the pools need more open files than the limit allows";
    let found = format!(
        "{limit} (hard limit of this shell); {clients} clients + {servers} servers + {} of its own",
        wanted - clients - servers
    );
    let advice = format!(
        "LimitNOFILE={wanted} in the systemd unit, or ulimit -Hn, or a smaller max_client_conn"
    );
    let finding = match clients + FURTHER > limit {
        true => Finding::error("open-files", what),
        false => Finding::warning("open-files", what),
    };
    Some(finding.at(places.setting("max_client_conn")).found(found).advice(advice))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_text;

    fn demand(databases: &str, settings: &str) -> Demand {
        let text = format!("[databases]\n{databases}\n[pgbouncer]\n{settings}\n");
        let config = parse_text(&text).unwrap();
        let database = config.databases.values().next().unwrap();
        Demand::of(&config, database)
    }

    fn found(room: u64, demands: &[Demand]) -> Option<(&'static str, String)> {
        let finding = too_much(room, 20, 3, demands)?;
        Some((finding.severity.name(), finding.found.unwrap()))
    }

    #[test]
    fn a_pool_is_its_size_and_its_reserve_within_the_limits() {
        let app = demand("app = host=x user=u pool_size=5 reserve_pool_size=2", "");
        assert_eq!((app.pool, app.all, app.users), (Some(7), Some(7), 1));
        let limited = demand("app = host=x user=u pool_size=5 max_db_connections=3", "");
        assert_eq!(limited.pool, Some(3));
        let limited = demand("app = host=x user=u pool_size=5", "max_user_connections=4");
        assert_eq!(limited.pool, Some(4));
        let endless = demand("app = host=x user=u", "default_pool_size=0");
        assert_eq!((endless.pool, endless.all), (None, None));
    }

    #[test]
    fn one_pool_too_large_is_an_error_and_their_sum_a_warning() {
        let one = demand("app = host=x pool_size=10", "");
        assert_eq!(found(17, std::slice::from_ref(&one)), None);
        let (severity, text) = found(17, &[one.clone(), one.clone()]).unwrap();
        assert_eq!(severity, "warning");
        assert!(text.starts_with("20: app 10 (pool), app 10 (pool); room for 17"), "{text}");
        let (severity, text) = found(9, &[one]).unwrap();
        assert_eq!(severity, "error");
        assert!(text.starts_with("10; room for 9"), "{text}");
        let endless = demand("app = host=x", "default_pool_size=0");
        assert_eq!(found(17, &[endless]).unwrap().0, "error");
    }
}
