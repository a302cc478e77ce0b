//! Pools, a row for each pair of database and server user, as SHOW POOLS has them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connections::all_clients;
use crate::config::{Database, LoadBalanceHosts};
use crate::pool::Pool;
use crate::worker::service::Service;
use crate::worker::shared::Shared;
use crate::worker::visitors::{Doing, Visit};

/// A pool: pgbouncer's is a pair of database and user, so pools of several hosts are added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolRow {
    /// The entry of `[databases]`.
    pub database: String,
    /// The user on the servers.
    pub user: String,
    /// Clients that hold a server or want nothing.
    pub clients_active: u32,
    /// Clients that wait for a server.
    pub clients_waiting: u32,
    /// Cancel requests that are being sent.
    pub cancels_active: u32,
    /// Cancel requests that wait to be sent.
    pub cancels_waiting: u32,
    /// Servers held by a client.
    pub servers_active: u32,
    /// Connections that send a cancel request.
    pub servers_active_cancel: u32,
    /// Servers kept back until the cancel requests to them are done.
    pub servers_being_canceled: u32,
    /// Free servers.
    pub servers_idle: u32,
    /// Free servers to be checked before their next use.
    pub servers_used: u32,
    /// Servers being reset or checked.
    pub servers_tested: u32,
    /// Servers being opened.
    pub servers_login: u32,
    /// How long the first client in the queue has waited.
    pub max_wait: Duration,
    /// `session`, `transaction` or `statement`.
    pub pool_mode: &'static str,
    /// `disable` or `round-robin`; `None` unless the entry names several hosts.
    pub load_balance_hosts: Option<&'static str>,
}

impl PoolRow {
    /// A pool in which nothing is going on.
    pub fn quiet(database: &str, user: &str, pool_mode: &'static str) -> Self {
        Self {
            database: database.to_owned(),
            user: user.to_owned(),
            clients_active: 0,
            clients_waiting: 0,
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
            pool_mode,
            load_balance_hosts: None,
        }
    }

    /// The console's own row, as pgbouncer shows it.
    pub fn console(clients: u32) -> Self {
        Self { clients_active: clients, ..Self::quiet("pgbouncer", "pgbouncer", "statement") }
    }
}

/// `disable` or `round-robin`; `None` unless the entry names several hosts and does not follow roles.
pub fn balance_name(database: &Database) -> Option<&'static str> {
    (database.hosts.len() > 1 && database.target_session_attrs.is_none()).then_some(match database
        .load_balance_hosts
    {
        LoadBalanceHosts::RoundRobin => "round-robin",
        LoadBalanceHosts::Disable => "disable",
    })
}

/// What one host has to do with a pool. Counts are from the beginning of the process, or of the pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostShare {
    /// As `pg1:5432`; of an entry that does not follow roles, all its hosts joined by commas.
    pub host: String,
    /// Servers held by a client.
    pub servers_active: u32,
    /// Free servers.
    pub servers_idle: u32,
    /// Servers being opened.
    pub servers_login: u32,
    /// Clients that wait for a server.
    pub clients_waiting: u32,
    /// `pool_size`; `None`: no limit.
    pub size: Option<u32>,
    /// Transactions ended.
    pub transactions: u64,
    /// Queries answered.
    pub queries: u64,
    /// Bytes from clients.
    pub received_bytes: u64,
    /// Bytes to clients.
    pub sent_bytes: u64,
    /// Queries by their time, each bucket of [`BOUNDS_US`](crate::metrics::timing::BOUNDS_US) for itself; the last has the rest.
    pub query_buckets: Vec<u64>,
    /// Waits for a server in the same buckets.
    pub wait_buckets: Vec<u64>,
}

/// A pool with its hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolReport {
    /// As in SHOW POOLS.
    pub row: PoolRow,
    /// Its database is paused.
    pub paused: bool,
    /// One for each host; a single one unless the entry follows roles.
    pub hosts: Vec<HostShare>,
}

/// One row per database and server user, over all their hosts, and the console's.
pub fn pools(shared: &Shared, now: Instant) -> Vec<PoolRow> {
    let on_console =
        shared.visitors.all().iter().filter(|v| v.visit().doing == Doing::OnConsole).count();
    let mut rows: Vec<_> = of_services(shared, now).into_iter().map(|(row, _)| row).collect();
    rows.push(PoolRow::console(small(on_console)));
    rows.sort_by(|a, b| (&a.database, &a.user).cmp(&(&b.database, &b.user)));
    rows
}

/// The same with what each host does, and without the console.
pub fn with_hosts(shared: &Shared, now: Instant) -> Vec<PoolReport> {
    let report = |(row, service): (PoolRow, Arc<Service>)| PoolReport {
        paused: shared.is_paused(&row.database),
        hosts: hosts(&service),
        row,
    };
    of_services(shared, now).into_iter().map(report).collect()
}

/// In the order of databases and users.
fn of_services(shared: &Shared, now: Instant) -> Vec<(PoolRow, Arc<Service>)> {
    // Counted in one go: pools times clients would be a lot.
    let mut clients: HashMap<*const Service, (usize, usize)> = HashMap::new();
    for client in &all_clients(shared) {
        let (all, waiting) = clients.entry(Arc::as_ptr(&client.service)).or_default();
        *all += 1;
        *waiting += usize::from(client.is_waiting());
    }
    let visits: Vec<_> = shared.visitors.all().iter().map(|visitor| visitor.visit()).collect();
    let row = |service: Arc<Service>| {
        let of_service = clients.get(&Arc::as_ptr(&service)).copied().unwrap_or_default();
        (pool_row(&service, of_service, &visits, now), service)
    };
    shared.services.all().into_iter().map(row).collect()
}

/// `clients`: all, and those that wait.
fn pool_row(service: &Service, clients: (usize, usize), visits: &[Visit], now: Instant) -> PoolRow {
    let cancels = |doing| {
        let own = |visit: &&Visit| {
            visit.doing == doing && visit.database == service.database && visit.user == service.user
        };
        small(visits.iter().filter(own).count())
    };
    let (all, waiting) = clients;
    let offer = service.offer();
    let mut row = PoolRow {
        clients_active: small(all - waiting),
        clients_waiting: small(waiting),
        cancels_active: cancels(Doing::CancelGoes),
        cancels_waiting: cancels(Doing::CancelWaits),
        load_balance_hosts: balance_name(&offer.database),
        ..PoolRow::quiet(&service.database, &service.user, offer.mode.name())
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
        row.servers_active_cancel += servers.iter().map(|server| server.cancels()).sum::<u32>();
        row.servers_being_canceled += small(
            servers.iter().filter(|server| server.client() == 0 && server.cancels() > 0).count(),
        );
        row.max_wait = row.max_wait.max(levels.max_wait);
    }
    row
}

fn hosts(service: &Service) -> Vec<HostShare> {
    let share = |pool: &Arc<Pool>| {
        let (levels, counts) = (pool.levels(), pool.metrics());
        HostShare {
            host: pool.name().host.clone(),
            servers_active: levels.servers_active,
            servers_idle: levels.servers_idle,
            servers_login: levels.servers_login,
            clients_waiting: levels.clients_waiting,
            size: levels.size,
            transactions: counts.transaction_time.count(),
            queries: counts.query_time.count(),
            received_bytes: counts.received_bytes.value(),
            sent_bytes: counts.sent_bytes.value(),
            query_buckets: counts.query_time.buckets().to_vec(),
            wait_buckets: counts.wait_time.buckets().to_vec(),
        }
    };
    service.pools().iter().map(share).collect()
}

fn small(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
