//! What an operator should know now, and do about it: rows in, sentences out.

use std::collections::BTreeSet;
use std::time::Duration;

use super::overview::Overview;
use super::pools::PoolReport;
use super::topology::{ClusterRow, HostRow};
use crate::topology::snapshot::Unfit;

/// How many are told at most. Where more is wrong, the first will do to begin with.
const MOST: usize = 50;

/// A wait for a server is worth a word from here on.
const LONG_WAIT: Duration = Duration::from_secs(1);

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Clients are not served.
    Error,
    /// They are, but.
    Warning,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Warning {
    /// How bad it is.
    pub severity: Severity,
    /// A database, a pool (`database/user`), a host, or `pgweir`.
    pub subject: String,
    /// What is wrong, with its numbers.
    pub what: String,
    /// What to do, or where to look.
    pub advice: String,
}

/// The worst first.
pub fn warnings(
    overview: &Overview,
    clusters: &[ClusterRow],
    pools: &[PoolReport],
) -> Vec<Warning> {
    let mut all = BTreeSet::new();
    all.extend(of_process(overview));
    all.extend(clusters.iter().filter_map(of_cluster));
    // One host in several entries is told of once.
    let mut told = BTreeSet::new();
    for host in clusters.iter().flat_map(|cluster| &cluster.hosts) {
        if told.insert(&host.address) {
            all.extend(of_host(host));
        }
    }
    all.extend(pools.iter().filter_map(of_pool));
    all.into_iter().take(MOST).collect()
}

fn warning(severity: Severity, subject: &str, what: String, advice: &str) -> Warning {
    Warning { severity, subject: subject.to_owned(), what, advice: advice.to_owned() }
}

fn of_process(overview: &Overview) -> Vec<Warning> {
    let Overview { state, clients, clients_limit, paused, disabled } = overview;
    let mut all = Vec::new();
    let stopped = match *state {
        "paused" => Some("RESUME on the console lets clients go on."),
        "suspended" => Some(
            "RESUME on the console, or the end of that console's connection, lets clients go on.",
        ),
        "shutting down" => Some("New clients are refused; those that are here are waited for."),
        _ => None,
    };
    if let Some(advice) = stopped {
        all.push(warning(Severity::Error, "pgweir", format!("It is {state}."), advice));
    }
    if u64::from(*clients) * 10 >= u64::from(*clients_limit) * 9 {
        all.push(warning(
            Severity::Warning,
            "pgweir",
            format!("{clients} of {clients_limit} places for clients are taken."),
            "Further clients will be refused: raise max_client_conn, or see SHOW CLIENTS for who holds so many.",
        ));
    }
    let by_name = |names: &[String], what: &str, advice: &str| -> Vec<Warning> {
        let one =
            |name: &String| warning(Severity::Warning, name, format!("It is {what}."), advice);
        names.iter().map(one).collect()
    };
    all.extend(by_name(paused, "paused", "Clients wait; RESUME on the console lets them go on."));
    all.extend(by_name(
        disabled,
        "disabled",
        "New clients are refused; ENABLE on the console lets them in.",
    ));
    all
}

fn of_cluster(cluster: &ClusterRow) -> Option<Warning> {
    let subject = &cluster.database;
    if cluster.split_brain {
        let what = "Several hosts say that they are the primary, and none is believed.".to_owned();
        let advice = "Nothing is written until all but one of them stop: see the hosts' timelines, and shut down the wrong ones.";
        return Some(warning(Severity::Error, subject, what, advice));
    }
    if cluster.switching_over {
        let what = "A switchover is under way: new transactions wait.".to_owned();
        let advice = "Promote the new primary now, or end it with SWITCHOVER DONE on the console.";
        return Some(warning(Severity::Warning, subject, what, advice));
    }
    let missing = cluster.primary_missing.filter(|_| cluster.needs_primary)?;
    let missing = seconds(missing);
    let what = match &cluster.no_primary {
        Some(why) => format!("No primary has been known for {missing}: {why}."),
        None => format!("No primary has been known for {missing}."),
    };
    let advice = "Clients that need one wait up to failover_timeout. Promote a replica, or see below why its hosts are not it.";
    Some(warning(Severity::Error, subject, what, advice))
}

fn of_host(host: &HostRow) -> Option<Warning> {
    let subject = &host.address;
    let error = host.last_error.as_deref().unwrap_or("nothing is known of it yet");
    if host.state == "down" {
        let what = format!("It is down: {error}");
        let advice = "Look whether PostgreSQL runs there, whether it can be reached from here, and whether pg_hba.conf lets topology_user in.";
        return Some(warning(Severity::Warning, subject, what, advice));
    }
    if host.role == "deposed" {
        let what = "It says that it is a primary, and must not be used as one.".to_owned();
        let advice = "Another host is the primary on a higher timeline. Stop this one, and make it a replica again (pg_rewind).";
        return Some(warning(Severity::Warning, subject, what, advice));
    }
    if host.role == "replica"
        && let Some(why) = &host.no_reads
    {
        let what = format!("It gets no reads: {why}.");
        let advice = match why {
            Unfit::LeftBehind { .. } => {
                "Reads go to other hosts. See its primary_conninfo and recovery_target_timeline, or make it anew (pg_rewind)."
            }
            _ => {
                "Reads go to other hosts. See pg_stat_replication on the primary; the limit is max_replica_lag."
            }
        };
        return Some(warning(Severity::Warning, subject, what, advice));
    }
    None
}

fn of_pool(pool: &PoolReport) -> Option<Warning> {
    let row = &pool.row;
    if row.clients_waiting == 0 || row.max_wait < LONG_WAIT || pool.paused {
        return None;
    }
    let (waiting, wait) = (row.clients_waiting, seconds(row.max_wait));
    let in_use = row.servers_active + row.servers_tested;
    let who = match waiting {
        1 => "1 client waits".to_owned(),
        _ => format!("{waiting} clients wait"),
    };
    let what = format!("{who} for a server, the first for {wait}; {in_use} are in use.");
    let advice = match in_use {
        0 => "No server could be opened: the log says why connections to it fail.",
        _ => {
            "See SHOW SERVERS for transactions that were left open; raise pool_size if the database can bear it."
        }
    };
    Some(warning(Severity::Warning, &format!("{}/{}", row.database, row.user), what, advice))
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::super::pools::PoolRow;
    use super::*;
    use crate::config::ReplicaLag;

    fn calm() -> Overview {
        Overview { state: "active", clients: 10, clients_limit: 100, ..Overview::default() }
    }

    fn host(address: &str, role: &'static str, state: &'static str) -> HostRow {
        HostRow {
            servers_active: 0,
            servers_idle: 0,
            transactions: 0,
            database: "app".to_owned(),
            address: address.to_owned(),
            host: address.to_owned(),
            port: 5432,
            role,
            state,
            timeline: Some(1),
            lsn: Some(1),
            lag_bytes: Some(0),
            lag: Some(Duration::ZERO),
            since: UNIX_EPOCH,
            last_change: None,
            last_error: Some("connection refused".to_owned()),
            no_reads: Some(Unfit::Undecided).filter(|_| role != "replica" || state != "up"),
        }
    }

    fn cluster(hosts: Vec<HostRow>) -> ClusterRow {
        ClusterRow {
            database: "app".to_owned(),
            primary: Some("pg1".to_owned()),
            primary_missing: None,
            switching_over: false,
            split_brain: false,
            needs_primary: true,
            no_primary: None,
            hosts,
        }
    }

    fn pool(waiting: u32, max_wait: Duration) -> PoolReport {
        let row = PoolRow {
            clients_waiting: waiting,
            max_wait,
            servers_active: 20,
            ..PoolRow::quiet("app", "alice", "transaction")
        };
        PoolReport { row, paused: false, hosts: Vec::new() }
    }

    fn told(overview: &Overview, cluster: ClusterRow, pools: &[PoolReport]) -> Vec<String> {
        let all = warnings(overview, &[cluster], pools);
        all.into_iter().map(|w| format!("{:?} {}: {}", w.severity, w.subject, w.what)).collect()
    }

    #[test]
    fn where_all_is_well_nothing_is_told() {
        let cluster = cluster(vec![host("pg1", "primary", "up"), host("pg2", "replica", "up")]);
        assert_eq!(told(&calm(), cluster, &[pool(3, Duration::from_millis(20))]), [""; 0]);
    }

    #[test]
    fn what_keeps_clients_from_being_served_comes_first() {
        let missing = Some(Duration::from_millis(2500));
        let hosts = vec![host("pg1", "unknown", "down"), host("pg2", "deposed", "up")];
        let cluster = ClusterRow { primary: None, primary_missing: missing, ..cluster(hosts) };
        let overview = Overview { clients: 95, paused: vec!["old".to_owned()], ..calm() };
        assert_eq!(
            told(&overview, cluster, &[pool(3, Duration::from_secs(4))]),
            [
                "Error app: No primary has been known for 2.5 s.",
                "Warning app/alice: 3 clients wait for a server, the first for 4.0 s; 20 are in use.",
                "Warning old: It is paused.",
                "Warning pg1: It is down: connection refused",
                "Warning pg2: It says that it is a primary, and must not be used as one.",
                "Warning pgweir: 95 of 100 places for clients are taken.",
            ]
        );
    }

    #[test]
    fn a_replica_that_gets_no_reads_is_told_of_once_with_how_far_it_is_behind() {
        let late = HostRow {
            no_reads: Some(Unfit::Behind {
                bytes: 7,
                time: Some(Duration::from_secs(61)),
                limit: ReplicaLag::Time(Duration::from_secs(10)),
                streaming: true,
            }),
            ..host("pg2", "replica", "up")
        };
        let clusters = [cluster(vec![late.clone()]), cluster(vec![late])];
        let all = warnings(&calm(), &clusters, &[]);
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].what, "It gets no reads: 61.0 s behind, max_replica_lag is 10 s.");
        assert!(all[0].advice.contains("max_replica_lag"));
    }

    #[test]
    fn however_much_is_wrong_the_list_has_an_end() {
        let hosts: Vec<_> = (0..200).map(|n| host(&format!("pg{n}"), "unknown", "down")).collect();
        assert_eq!(told(&calm(), cluster(hosts), &[]).len(), MOST);
    }
}
