//! Collects the rows of each SHOW from whoever holds them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::control::Control;
use super::explain;
use super::show::clients::{ClientRow, ClientState};
use super::show::config::ConfigRow;
use super::show::connection::{Connection, Endpoint, Replication};
use super::show::databases::DatabaseRow;
use super::show::events::EventRow;
use super::show::lists::ListRow;
use super::show::pools::PoolRow;
use super::show::routes::{ExplainRow, RouteRow};
use super::show::servers::{ServerRow, ServerState};
use super::show::state::PoolerState;
use super::show::topology::TopologyRow;
use super::show::users::UserRow;
use crate::config::{Config, Database, LoadBalanceHosts};
use crate::pool::Pool;
use crate::server::ServerInfo;
use crate::topology::events::Event;
use crate::worker::client::ClientInfo;
use crate::worker::reads::Why;
use crate::worker::shared::Shared;

/// All servers with the pools they belong to, in order of opening.
fn all_servers(shared: &Shared) -> Vec<(Arc<Pool>, Arc<ServerInfo>)> {
    let pools = shared.services.pools();
    let mut servers: Vec<_> = pools
        .iter()
        .flat_map(|pool| pool.servers().into_iter().map(|server| (pool.clone(), server)))
        .collect();
    servers.sort_by_key(|(_, server)| server.id);
    servers
}

fn all_clients(shared: &Shared) -> Vec<Arc<ClientInfo>> {
    let mut clients: Vec<_> = shared.clients.iter().map(|client| Arc::clone(&client)).collect();
    clients.sort_by_key(|client| client.holder.id);
    clients
}

fn endpoint(address: Option<SocketAddr>, unix_port: u16) -> Endpoint {
    match address {
        Some(address) => Endpoint::Tcp { addr: address.ip().to_string(), port: address.port() },
        None => Endpoint::Unix { port: unix_port },
    }
}

pub(super) fn clients(shared: &Shared, now: Instant) -> Vec<ClientRow> {
    let held: HashMap<u64, u64> =
        all_servers(shared).iter().map(|(_, server)| (server.client(), server.id)).collect();
    let port = shared.live().config.settings.listen_port;
    let row = |client: Arc<ClientInfo>| {
        let link = held.get(&client.holder.id).copied();
        let state = match (client.is_waiting(), link) {
            (true, _) => ClientState::Waiting,
            (false, Some(_)) => ClientState::Active,
            (false, None) => ClientState::Idle,
        };
        let requested = client.last_request();
        let wait = match state {
            ClientState::Idle => Duration::ZERO,
            _ => now.saturating_duration_since(client.accepted + requested),
        };
        let connection = Connection {
            id: client.holder.id,
            link,
            user: Some(client.user.to_string()),
            database: Some(client.service.database.clone()),
            replication: Replication::None,
            remote: endpoint(client.remote, port),
            local: endpoint(client.local, port),
            connect_time: client.accepted_wall,
            request_time: client.accepted_wall + requested,
            wait,
            close_needed: false,
            remote_pid: 0,
            tls: client.tls.clone(),
            application_name: client.application_name(),
            prepared_statements: client.prepared.load(Ordering::Relaxed),
        };
        let needs = client.needs.load(Ordering::Relaxed);
        ClientRow { state, waits_for: (needs > 0).then_some(needs), connection }
    };
    all_clients(shared).into_iter().map(row).collect()
}

pub(super) fn servers(shared: &Shared, now: Instant) -> Vec<ServerRow> {
    let clients: HashMap<u64, Arc<ClientInfo>> =
        all_clients(shared).into_iter().map(|client| (client.holder.id, client)).collect();
    let pools = shared.services.pools();
    let unchecked: HashSet<u64> = pools.iter().flat_map(|pool| pool.unchecked(now)).collect();
    let row = |(pool, server): (Arc<Pool>, Arc<ServerInfo>)| {
        let client = clients.get(&server.client());
        let state = match (client, server.cancels()) {
            _ if server.is_tested() => ServerState::Tested,
            (Some(_), _) => ServerState::Active,
            (None, 0) if unchecked.contains(&server.id) => ServerState::Used,
            (None, 0) => ServerState::Idle,
            (None, _) => ServerState::BeingCanceled,
        };
        let request_time = client
            .map_or(server.opened_wall, |client| client.accepted_wall + client.last_request());
        let wait = client.map_or(Duration::ZERO, |client| {
            now.saturating_duration_since(client.accepted + client.last_request())
        });
        let connection = Connection {
            id: server.id,
            link: client.map(|client| client.holder.id),
            user: Some(pool.name().user.clone()),
            database: Some(pool.name().database.clone()),
            replication: Replication::None,
            remote: endpoint(server.remote, server.host.port()),
            local: endpoint(server.local, server.host.port()),
            connect_time: server.opened_wall,
            request_time,
            wait,
            close_needed: server.close_needed(),
            remote_pid: server.pid,
            tls: server.tls.clone(),
            application_name: client.map_or_else(String::new, |client| client.application_name()),
            prepared_statements: server.prepared(),
        };
        ServerRow { state, connection }
    };
    all_servers(shared).into_iter().map(row).collect()
}

fn balance_name(database: &Database) -> Option<&'static str> {
    (database.hosts.len() > 1 && database.target_session_attrs.is_none()).then_some(match database
        .load_balance_hosts
    {
        LoadBalanceHosts::RoundRobin => "round-robin",
        LoadBalanceHosts::Disable => "disable",
    })
}

/// One row per database and server user, over all their hosts.
pub(super) fn pools(shared: &Shared, now: Instant) -> Vec<PoolRow> {
    let clients = all_clients(shared);
    let services = shared.services.all();
    let row = |service: &Arc<crate::worker::service::Service>| {
        let own = || clients.iter().filter(|client| Arc::ptr_eq(&client.service, service));
        let waiting = own().filter(|client| client.is_waiting()).count();
        let offer = service.offer();
        let mut row = PoolRow {
            database: service.database.clone(),
            user: service.user.clone(),
            clients_active: small(own().count() - waiting),
            clients_waiting: small(waiting),
            cancels_active: 0,
            cancels_waiting: 0,
            servers_active: 0,
            servers_active_cancel: 0,
            servers_being_canceled: 0,
            servers_idle: 0,
            servers_used: 0,
            servers_tested: 0,
            servers_login: 0,
            max_wait: Duration::ZERO,
            pool_mode: offer.mode.name(),
            load_balance_hosts: balance_name(&offer.database),
        };
        for pool in service.pools() {
            let levels = pool.levels();
            let used = small(pool.unchecked(now).len());
            let servers = pool.servers();
            let tested = small(servers.iter().filter(|server| server.is_tested()).count());
            row.servers_active += levels.servers_active.saturating_sub(tested);
            row.servers_tested += tested;
            row.servers_used += used;
            row.servers_idle += levels.servers_idle.saturating_sub(used);
            row.servers_login += levels.servers_login;
            row.servers_being_canceled += small(
                servers
                    .iter()
                    .filter(|server| server.client() == 0 && server.cancels() > 0)
                    .count(),
            );
            row.max_wait = row.max_wait.max(levels.max_wait);
        }
        row
    };
    services.iter().map(row).collect()
}

fn small(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

pub(super) fn databases(shared: &Shared) -> Vec<DatabaseRow> {
    let live = shared.live();
    let config = &live.config;
    let services = shared.services.all();
    let mut known: BTreeMap<String, Arc<Database>> = config.databases.clone();
    for service in &services {
        known.entry(service.database.clone()).or_insert_with(|| service.offer().database.clone());
    }
    let row = |(name, database): (String, Arc<Database>)| {
        let hosts: Vec<_> = database.hosts.iter().map(crate::config::HostAddr::place).collect();
        DatabaseRow {
            host: Some(hosts.join(",")),
            port: database.hosts.first().map_or(0, crate::config::HostAddr::port),
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
    let console = DatabaseRow::console(config.settings.listen_port);
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
    let known = shared.clients.len();
    ListRow {
        databases: databases(shared).len(),
        users: users(shared).len(),
        peers: 0,
        pools: shared.services.all().len(),
        peer_pools: 0,
        free_clients: 0,
        used_clients: known,
        login_clients: (shared.client_count() as usize).saturating_sub(known),
        free_servers: 0,
        used_servers: all_servers(shared).len(),
        dns_names: 0,
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
    if shared.all_paused.load(Ordering::Acquire) {
        PoolerState::Paused
    } else {
        PoolerState::Active
    }
}

pub(super) fn topology(control: &Control) -> Vec<TopologyRow> {
    let mut rows = Vec::new();
    for (database, snapshot) in control.topology().snapshots() {
        for host in &snapshot.hosts {
            rows.push(TopologyRow {
                database: database.clone(),
                host: host.addr.place(),
                port: host.addr.port(),
                role: host.role.name(),
                state: if host.up { "up" } else { "down" },
                timeline: host.timeline,
                lsn: host.lsn,
                lag_bytes: host.lag_bytes,
                lag: host.lag,
                since: host.since,
                last_error: host.last_error.as_ref().map(ToString::to_string),
            });
        }
    }
    rows
}

pub(super) fn events(control: &Control) -> Vec<EventRow> {
    let row = |event: Event| EventRow {
        time: event.at,
        host: event.host.map(|host| host.to_string()),
        event: event.what.name(),
        timeline: event.what.timeline(),
        detail: event.what.detail(),
        database: event.database,
    };
    control.topology().events().into_iter().map(row).collect()
}

pub(super) fn routes(shared: &Shared) -> Vec<RouteRow> {
    let mut rows: Vec<RouteRow> = Vec::new();
    for (database, reads) in shared.services.reads() {
        rows.extend(reads.seen().into_iter().map(|seen| {
            let (target, reason) = match seen.verdict {
                Ok(()) => ("replica", "it only reads".to_owned()),
                Err(why) => ("primary", why),
            };
            RouteRow {
                database: database.clone(),
                text: seen.text,
                count: seen.count,
                target,
                reason,
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
