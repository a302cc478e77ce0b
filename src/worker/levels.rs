//! Brings the gauges up to date, before a scrape: how full everything is at this moment.

use std::collections::BTreeMap;

use super::shared::Shared;
use crate::metrics::names;

/// Sets those of pools, databases, users and of the process.
pub fn refresh(shared: &Shared) {
    for pool in shared.services.pools() {
        pool.metrics().set_levels(&pool.levels());
    }
    let live = shared.live();
    let process = shared.metrics.process();
    process.clients.set(shared.client_count());
    process.clients_limit.set(live.config.settings.max_client_conn);
    process.prepared_statements.set(u32::try_from(shared.statements.len()).unwrap_or(u32::MAX));
    let expiry = live.client_tls.as_ref().and_then(|acceptor| acceptor.expires);
    process.certificate_expiry.set(expiry.map_or(f64::INFINITY, |expiry| expiry as f64));
    databases(shared);
    users(shared);
}

fn databases(shared: &Shared) {
    let live = shared.live();
    let config = &live.config;
    let mut known = config.databases.clone();
    for service in shared.services.all() {
        known.entry(service.database.clone()).or_insert_with(|| service.offer().database.clone());
    }
    let labels: Vec<[&str; 1]> = known.keys().map(|name| [name.as_str()]).collect();
    let show = |metric, values: Vec<f64>| {
        let rows = labels.iter().map(|labels| labels.as_slice()).zip(values);
        shared.metrics.show_rows(metric, rows);
    };
    let by_name = |value: &dyn Fn(&str) -> f64| known.keys().map(|name| value(name)).collect();
    show(&names::DATABASE_CLIENTS, by_name(&|name| shared.seats.of_database(name).into()));
    let places = shared.services.places();
    show(&names::DATABASE_SERVERS, by_name(&|name| places.of_database(name).into()));
    show(&names::DATABASE_PAUSED, by_name(&|name| flag(shared.is_paused(name))));
    show(&names::DATABASE_DISABLED, by_name(&|name| flag(shared.disabled.contains_key(name))));
    let databases = || known.values();
    let clients = databases().map(|database| limit(config.max_db_client_connections(database)));
    show(&names::DATABASE_CLIENTS_LIMIT, clients.collect());
    let servers = databases().map(|database| limit(config.max_db_connections(database)));
    show(&names::DATABASE_SERVERS_LIMIT, servers.collect());
}

/// Those who are logged in, here or at servers: names that somebody only tries are not among them.
fn users(shared: &Shared) {
    let mut clients: BTreeMap<String, u32> = BTreeMap::new();
    for service in shared.services.all() {
        clients.entry(service.user.clone()).or_default();
    }
    for client in shared.clients.iter() {
        match clients.get_mut(&*client.user) {
            Some(count) => *count += 1,
            None => drop(clients.insert(client.user.to_string(), 1)),
        }
    }
    let live = shared.live();
    let config = &live.config;
    let show = |metric, value: &dyn Fn(&str, u32) -> f64| {
        let rows: Vec<_> = clients
            .iter()
            .map(|(user, clients)| ([user.as_str()], value(user, *clients)))
            .collect();
        shared
            .metrics
            .show_rows(metric, rows.iter().map(|(user, value)| (user.as_slice(), *value)));
    };
    let places = shared.services.places();
    show(&names::USER_CLIENTS, &|_, clients| clients.into());
    show(&names::USER_CLIENTS_LIMIT, &|user, _| limit(config.max_user_client_connections(user)));
    show(&names::USER_SERVERS, &|user, _| places.of_user(user).into());
    show(&names::USER_SERVERS_LIMIT, &|user, _| limit(config.max_user_connections(user)));
}

fn limit(limit: Option<u32>) -> f64 {
    limit.map_or(f64::INFINITY, f64::from)
}

fn flag(set: bool) -> f64 {
    if set { 1.0 } else { 0.0 }
}
