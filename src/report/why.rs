//! Why a client waits: what for, who holds it, which setting governs that, and what can be done.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connections::all_clients;
use super::topology::HostRow;
use crate::pool::Pool;
use crate::pool::queue::Obstacle;
use crate::worker::client::{ClientInfo, far_end};
use crate::worker::phase::Phase;
use crate::worker::shared::Shared;

/// A client that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WhyRow {
    /// Its number; KILL_CLIENT takes it. `None`: it still logs in, and its login needs a server.
    pub id: Option<u64>,
    /// As whom it logged in.
    pub user: String,
    /// The entry of `[databases]`.
    pub database: String,
    /// Where it comes from.
    pub addr: String,
    /// What it calls itself.
    pub application_name: String,
    /// The pool's host or hosts; empty while none is fit.
    pub host: String,
    /// 1 is the next to be served; `None`: it is in no pool's queue.
    pub position: Option<u64>,
    /// For how long it has waited.
    pub wait: Duration,
    /// What is in the way.
    pub cause: Cause,
}

/// What is in somebody's way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// In words, with its numbers.
    pub reason: String,
    /// The setting or the command that governs it.
    pub setting: &'static str,
    /// Who has what it waits for, those first who have had it longest; empty: nobody.
    pub held_by: String,
    /// What can be done.
    pub advice: &'static str,
}

/// How many holders are named.
const NAMED: usize = 3;

/// All clients that wait, by database, host and place in the queue. `hosts`: what the monitors know.
pub fn waiting(shared: &Shared, hosts: &[HostRow], now: Instant) -> Vec<WhyRow> {
    let clients = all_clients(shared);
    let by_id: HashMap<u64, &Arc<ClientInfo>> =
        clients.iter().map(|client| (client.holder.id, client)).collect();
    let mut rows = Vec::new();
    let mut queued = std::collections::HashSet::new();
    for pool in shared.services.pools() {
        let queue = pool.queue();
        if queue.is_empty() {
            continue;
        }
        let cause = cause(&pool.obstacle(now), || holders(&pool, &by_id, now));
        for (position, (id, since)) in (1..).zip(queue) {
            let wait = now.saturating_duration_since(since);
            let (name, cause) = (pool.name().clone(), cause.clone());
            queued.insert(id);
            rows.push(match by_id.get(&id) {
                Some(client) => row(client, name.host, Some(position), wait, cause),
                // Who is just logging in is not among the clients yet.
                None => WhyRow {
                    id: None,
                    user: name.user,
                    database: name.database,
                    addr: String::new(),
                    application_name: String::new(),
                    host: name.host,
                    position: Some(position),
                    wait,
                    cause,
                },
            });
        }
    }
    for client in clients.iter().filter(|client| client.is_waiting()) {
        if queued.contains(&client.holder.id) {
            continue;
        }
        let (_, since) = client.clock.phase_since();
        let wait = client.age(now).saturating_sub(since);
        let cause = no_host(&client.service.database, hosts);
        rows.push(row(client, String::new(), None, wait, cause));
    }
    rows
}

fn row(
    client: &ClientInfo,
    host: String,
    position: Option<u64>,
    wait: Duration,
    cause: Cause,
) -> WhyRow {
    WhyRow {
        id: Some(client.holder.id),
        user: client.user.to_string(),
        database: client.service.database.clone(),
        addr: far_end(client.remote, client.peer_pid),
        application_name: client.application_name(),
        host,
        position,
        wait,
        cause,
    }
}

/// What an obstacle is in words. `holders`: who has the servers, asked for only where that matters.
fn cause(obstacle: &Obstacle, holders: impl FnOnce() -> String) -> Cause {
    let (reason, setting, held_by, advice) = match obstacle {
        Obstacle::Paused => (
            "the pool is paused".to_owned(),
            "PAUSE",
            String::new(),
            "RESUME, or SWITCHOVER DONE, lets it go on",
        ),
        Obstacle::HostGone => (
            "its host is not to be used".to_owned(),
            "target_session_attrs",
            String::new(),
            "SHOW TOPOLOGY tells why",
        ),
        Obstacle::Failing { error, again_in } => (
            format!(
                "no server can be opened: {error}; tried again in {:.1} s",
                again_in.as_secs_f64()
            ),
            "server_login_retry",
            String::new(),
            "see what the server says; pgweir check FILE tries each login",
        ),
        Obstacle::DatabaseFull(usage) => (
            format!("the database has {} of {} server connections", usage.count, usage.limit),
            "max_db_connections",
            holders(),
            "raise it, or let other pools of the database have fewer",
        ),
        Obstacle::UserFull(usage) => (
            format!("the server user has {} of {} server connections", usage.count, usage.limit),
            "max_user_connections",
            holders(),
            "raise it, or let other pools of the user have fewer",
        ),
        Obstacle::PoolFull { in_use, size, reserve: 0, .. } => (
            format!("{in_use} of {size} servers are in use"),
            "pool_size",
            holders(),
            "end transactions that idle (idle_transaction_timeout), or raise pool_size",
        ),
        Obstacle::PoolFull { in_use, size, reserve, reserve_after } => (
            match reserve_after {
                Some(after) => format!(
                    "{in_use} servers are in use; {size} and, for who has waited {} s, {reserve} more are allowed",
                    after.as_secs_f64()
                ),
                None => format!("{in_use} of {size} servers are in use"),
            },
            "pool_size",
            holders(),
            "end transactions that idle (idle_transaction_timeout), or raise pool_size",
        ),
        Obstacle::Coming(None) => (
            "a server is being opened or checked".to_owned(),
            "server_connect_timeout",
            String::new(),
            "it comes in a moment",
        ),
        Obstacle::Coming(Some(error)) => (
            format!("a server is being opened; the last attempt failed: {error}"),
            "server_connect_timeout",
            String::new(),
            "see what the server says; pgweir check FILE tries each login",
        ),
    };
    Cause { reason, setting, held_by, advice }
}

/// It is in no queue: no host of the kind that it needs is known.
fn no_host(database: &str, hosts: &[HostRow]) -> Cause {
    let mine = hosts.iter().filter(|host| host.database == database);
    let state = |host: &HostRow| match &host.no_reads {
        // How it is down, or whose cluster it is of.
        Some(why) if host.state != "up" => format!("{} is {why}", host.address),
        _ => format!("{} is {} ({})", host.address, host.state, host.role),
    };
    let states: Vec<_> = mine.map(state).collect();
    let reason = match states.is_empty() {
        true => "no host of the kind that it needs is known".to_owned(),
        false => format!("no host of the kind that it needs is known: {}", states.join(", ")),
    };
    let advice = "see SHOW TOPOLOGY; promote a replica, or bring a host back";
    Cause { reason, setting: "failover_timeout", held_by: String::new(), advice }
}

/// Who holds a pool's servers and what they are about, the longest first.
fn holders(pool: &Pool, clients: &HashMap<u64, &Arc<ClientInfo>>, now: Instant) -> String {
    let mut held: Vec<(Duration, u64, &'static str)> = pool
        .servers()
        .iter()
        .filter_map(|server| {
            let client = clients.get(&server.client())?;
            let (phase, since) = client.clock.phase_since();
            let about = match phase {
                Phase::Running => "running",
                Phase::InTransaction => "idle in transaction",
                Phase::Holding => "idle, keeps its server",
                // It is about to give it back.
                Phase::Idle | Phase::Waiting => "done",
            };
            Some((client.age(now).saturating_sub(since), client.holder.id, about))
        })
        .collect();
    held.sort_by(|a, b| b.cmp(a));
    words(&held)
}

fn words(held: &[(Duration, u64, &'static str)]) -> String {
    let named = held
        .iter()
        .take(NAMED)
        .map(|(time, id, about)| format!("client {id} ({about} for {:.1} s)", time.as_secs_f64()));
    let mut all: Vec<String> = named.collect();
    if held.len() > NAMED {
        all.push(format!("and {} more", held.len() - NAMED));
    }
    all.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::limits::Usage;

    #[test]
    fn every_obstacle_names_its_setting_its_numbers_and_what_to_do() {
        let second = Duration::from_secs(1);
        let full = |reserve, reserve_after| Obstacle::PoolFull {
            in_use: 20,
            size: 20,
            reserve,
            reserve_after,
        };
        let usage = Usage { count: 7, limit: 7 };
        let error = "pg1:5432 refused the login".to_owned();
        for (obstacle, setting, words, held) in [
            (Obstacle::Paused, "PAUSE", "paused", false),
            (
                Obstacle::Failing { error, again_in: second },
                "server_login_retry",
                "pg1:5432",
                false,
            ),
            (Obstacle::DatabaseFull(usage), "max_db_connections", "7 of 7", true),
            (Obstacle::UserFull(usage), "max_user_connections", "7 of 7", true),
            (full(0, None), "pool_size", "20 of 20", true),
            (full(5, Some(second)), "pool_size", "waited 1 s, 5 more", true),
            (full(5, None), "pool_size", "20 of 20", true),
            (Obstacle::Coming(None), "server_connect_timeout", "being opened", false),
            (
                Obstacle::Coming(Some("no route".to_owned())),
                "server_connect_timeout",
                "the last attempt failed: no route",
                false,
            ),
        ] {
            let cause = cause(&obstacle, || "client 5".to_owned());
            assert_eq!(cause.setting, setting);
            assert!(cause.reason.contains(words), "{cause:?}");
            assert_eq!(cause.held_by.is_empty(), !held, "{cause:?}");
        }
    }

    #[test]
    fn of_many_holders_those_are_named_who_have_held_longest() {
        let held: Vec<_> = (1..=5)
            .rev()
            .map(|n| (Duration::from_millis(n * 1500), n, "idle in transaction"))
            .collect();
        assert_eq!(
            words(&held),
            "client 5 (idle in transaction for 7.5 s), client 4 (idle in transaction for 6.0 s), \
             client 3 (idle in transaction for 4.5 s), and 2 more"
        );
        assert_eq!(words(&[]), "");
    }
}
