//! Pools, a row for each pair of database and server user, as SHOW POOLS has them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connections::all_clients;
use crate::config::{Database, LoadBalanceHosts};
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

/// One row per database and server user, over all their hosts.
pub fn pools(shared: &Shared, now: Instant) -> Vec<PoolRow> {
    let clients = all_clients(shared);
    let services = shared.services.all();
    let visits: Vec<_> = shared.visitors.all().iter().map(|visitor| visitor.visit()).collect();
    let cancels = |service: &Service, doing| {
        let own = |visit: &&Visit| {
            visit.doing == doing && visit.database == service.database && visit.user == service.user
        };
        small(visits.iter().filter(own).count())
    };
    let row = |service: &Arc<Service>| {
        let own = || clients.iter().filter(|client| Arc::ptr_eq(&client.service, service));
        let waiting = own().filter(|client| client.is_waiting()).count();
        let offer = service.offer();
        let quiet = PoolRow::quiet(&service.database, &service.user, offer.mode.name());
        let mut row = PoolRow {
            clients_active: small(own().count() - waiting),
            clients_waiting: small(waiting),
            cancels_active: cancels(service, Doing::CancelGoes),
            cancels_waiting: cancels(service, Doing::CancelWaits),
            load_balance_hosts: balance_name(&offer.database),
            ..quiet
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
                servers
                    .iter()
                    .filter(|server| server.client() == 0 && server.cancels() > 0)
                    .count(),
            );
            row.max_wait = row.max_wait.max(levels.max_wait);
        }
        row
    };
    let on_console = visits.iter().filter(|visit| visit.doing == Doing::OnConsole).count();
    let mut rows: Vec<_> =
        services.iter().map(row).chain([PoolRow::console(small(on_console))]).collect();
    rows.sort_by(|a, b| (&a.database, &a.user).cmp(&(&b.database, &b.user)));
    rows
}

fn small(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
