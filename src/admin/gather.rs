//! Collects the rows of each SHOW from whoever holds them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::control::Control;
use super::explain;
use super::show::config::ConfigRow;
use super::show::databases::DatabaseRow;
use super::show::dns::DnsRow;
use super::show::lists::ListRow;
use super::show::mem::MemRow;
use super::show::peers::PeerRow;
use super::show::routes::{ExplainRow, RouteRow};
use super::show::state::PoolerState;
use super::show::users::UserRow;
use crate::config::{Config, Database, HostAddr, Peer, SecretText};
use crate::pool::Pool;
use crate::report::connections::all_servers;
use crate::report::pools::balance_name;
use crate::server::{Connection, ServerInfo};
use crate::session::prepared::Statement;
use crate::worker::client::ClientInfo;
use crate::worker::peers;
use crate::worker::reads::Why;
use crate::worker::shared::Shared;
use crate::worker::thread::Client;
use crate::worker::visitors::{Doing, Visitor};

pub(super) fn databases(shared: &Shared) -> Vec<DatabaseRow> {
    let live = shared.live();
    let config = &live.config;
    let services = shared.services.all();
    let mut known: BTreeMap<String, Arc<Database>> = config.databases.clone();
    for service in &services {
        known.entry(service.database.clone()).or_insert_with(|| service.offer().database.clone());
    }
    let row = |(name, database): (String, Arc<Database>)| {
        let hosts: Vec<_> = database.hosts.iter().map(HostAddr::place).collect();
        DatabaseRow {
            host: Some(hosts.join(",")),
            port: database.hosts.first().map_or(0, HostAddr::port),
            database: database.dbname.clone(),
            force_user: database.user.clone(),
            pool_size: config
                .pool_size(&database, database.user.as_deref().unwrap_or_default())
                .unwrap_or(0),
            min_pool_size: config.min_pool_size(&database),
            reserve_pool_size: config
                .reserve_pool_size(&database, database.user.as_deref().unwrap_or_default()),
            server_lifetime: config.server_lifetime(&database),
            pool_mode: database.pool_mode.map(crate::config::PoolMode::name),
            load_balance_hosts: balance_name(&database),
            max_connections: config.max_db_connections(&database).unwrap_or(0),
            current_connections: shared.services.places().of_database(&name),
            max_client_connections: config.max_db_client_connections(&database).unwrap_or(0),
            current_client_connections: shared.seats.of_database(&name),
            paused: shared.is_paused(&name),
            disabled: shared.disabled.contains_key(&name),
            name,
        }
    };
    let console = DatabaseRow {
        max_client_connections: config.settings.max_db_client_connections.unwrap_or(0),
        current_client_connections: shared.seats.of_database("pgbouncer"),
        ..DatabaseRow::console(config.settings.listen_port)
    };
    known.into_iter().map(row).chain([console]).collect()
}

pub(super) fn users(shared: &Shared) -> Vec<UserRow> {
    let live = shared.live();
    let config: &Config = &live.config;
    let mut names: Vec<&String> = config.userlist.users.keys().chain(config.users.keys()).collect();
    names.sort();
    names.dedup();
    let row = |name: &String| {
        let own = config.users.get(name);
        UserRow {
            name: name.clone(),
            pool_size: own.and_then(|user| user.pool_size).map(|size| size.unwrap_or(0)),
            reserve_pool_size: own.and_then(|user| user.reserve_pool_size),
            pool_mode: own.and_then(|user| user.pool_mode).map(crate::config::PoolMode::name),
            max_user_connections: config.max_user_connections(name).unwrap_or(0),
            current_connections: shared.services.places().of_user(name),
            max_user_client_connections: config.max_user_client_connections(name).unwrap_or(0),
            current_client_connections: shared.seats.of_user(name),
        }
    };
    names.into_iter().map(row).collect()
}

pub(super) fn lists(shared: &Shared) -> ListRow {
    lists_beside(shared, databases(shared).len())
}

/// The same, by whom the rows of SHOW DATABASES have been counted.
pub(super) fn lists_beside(shared: &Shared, databases: usize) -> ListRow {
    let known = shared.clients.len();
    let visits: Vec<_> =
        shared.visitors.all().iter().map(|visitor| visitor.visit().doing).collect();
    let doing = |what| visits.iter().filter(|doing| **doing == what).count();
    let (on_console, logging_in) = (doing(Doing::OnConsole), doing(Doing::LoggingIn));
    let names = names(shared).len();
    ListRow {
        databases,
        users: users(shared).len(),
        peers: shared.live().config.peers.len(),
        pools: shared.services.all().len(),
        peer_pools: shared.live().config.peers.len(),
        free_clients: 0,
        used_clients: known + on_console,
        login_clients: logging_in,
        free_servers: 0,
        used_servers: all_servers(shared).len(),
        dns_names: names,
        dns_zones: 0,
        dns_queries: 0,
        dns_pending: 0,
    }
}

pub(super) fn config(shared: &Shared) -> Vec<ConfigRow> {
    let shown = shared.live().config.settings.shown();
    shown
        .into_iter()
        .map(|(key, value, default, changeable)| ConfigRow {
            key: key.to_owned(),
            value,
            default,
            changeable,
        })
        .collect()
}

pub(super) fn state(shared: &Shared) -> PoolerState {
    if shared.is_suspended() {
        PoolerState::Suspended
    } else if shared.all_paused.load(Ordering::Acquire) {
        PoolerState::Paused
    } else {
        PoolerState::Active
    }
}

pub(super) fn routes(shared: &Shared) -> Vec<RouteRow> {
    let mut rows: Vec<RouteRow> = Vec::new();
    for (database, reads) in shared.services.reads() {
        rows.extend(reads.seen().into_iter().map(|seen| {
            let (target, reason) = match seen.verdict {
                Ok(()) => ("replica", "it only reads".to_owned()),
                Err(Why::WouldRefuse(_)) => ("primary", "a replica would refuse it".to_owned()),
                Err(why) => ("primary", why.to_string()),
            };
            RouteRow {
                database: database.clone(),
                text: seen.text,
                count: seen.count,
                target,
                reason,
                trial: seen.trial,
            }
        }));
    }
    rows.sort_by(|a, b| (&a.database, b.count, &a.text).cmp(&(&b.database, a.count, &b.text)));
    rows
}

/// Where each entry that follows roles would run a statement outside of a block.
pub(super) fn explain_route(control: &Control, sql: &str) -> Vec<ExplainRow> {
    let live = control.shared.live();
    let snapshots = control.topology().snapshots();
    let rows = snapshots.into_iter().filter_map(|(name, snapshot)| {
        let database = live.config.database(&name)?;
        let attrs = database.target_session_attrs?;
        let route_reads = database.route_reads.unwrap_or(live.config.settings.route_reads);
        let reads = control.shared.services.reads().into_iter().find(|(known, _)| *known == name);
        let look = || match reads {
            Some((_, reads)) => reads.explain(sql.as_bytes()).map_err(|why| why.to_string()),
            None => Err(Why::NotYet.to_string()),
        };
        Some(explain::row(name, sql, attrs, route_reads, &snapshot, look))
    });
    rows.collect()
}

/// Names of hosts that are looked up again and again, and where they lead.
pub(super) fn names(shared: &Shared) -> Vec<DnsRow> {
    let live = shared.live();
    let config = &live.config;
    let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for database in config.databases.values().chain(&config.fallback) {
        for host in &database.hosts {
            if let HostAddr::Resolved { name, ip, port } = host {
                let address = SocketAddr::new(*ip, *port).to_string();
                names.entry(name.clone()).or_default().insert(address);
            }
        }
    }
    let ttl = config.settings.dns_max_ttl;
    let row = |(name, addresses): (String, BTreeSet<String>)| DnsRow {
        name,
        ttl,
        addresses: addresses.into_iter().collect(),
    };
    names.into_iter().map(row).collect()
}

pub(super) fn peers(shared: &Shared) -> Vec<PeerRow> {
    let live = shared.live();
    let row = |(id, peer): (&u16, &Peer)| {
        let levels = shared.peers.levels(*id);
        PeerRow {
            id: *id,
            host: peer.host.place(),
            port: peer.host.port(),
            pool_size: peers::pool_size(&live, peer).unwrap_or(0),
            active: levels.active,
            waiting: levels.waiting,
        }
    };
    live.config.peers.iter().map(row).collect()
}

/// What one of the things costs that there are many of; what they share or borrow is not counted.
pub(super) fn mem(shared: &Shared) -> Vec<MemRow> {
    let live = shared.live();
    let row = |name, size, used| MemRow { name, size, used };
    let pools = shared.services.pools();
    let servers = pools.iter().map(|pool| pool.servers().len()).sum();
    vec![
        row("user_cache", size_of::<SecretText>(), live.config.userlist.users.len()),
        row("db_cache", size_of::<Database>(), live.config.databases.len()),
        row("peer_cache", size_of::<Peer>(), live.config.peers.len()),
        row("pool_cache", size_of::<Pool>(), pools.len()),
        row("server_cache", size_of::<Connection>() + size_of::<ServerInfo>(), servers),
        row("client_cache", size_of::<Client>() + size_of::<ClientInfo>(), shared.clients.len()),
        row("visitor_cache", size_of::<Visitor>(), shared.visitors.all().len()),
        row("prepared_statement_cache", size_of::<Statement>(), shared.statements.len()),
    ]
}
