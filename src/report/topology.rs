//! What the monitors know of each host of each database, as SHOW TOPOLOGY has it.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::pool::Pool;
use crate::topology::Topology;
use crate::topology::snapshot::{HostView, NoPrimary, Snapshot, Unfit};

/// A host as one database entry sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRow {
    /// The entry of `[databases]`.
    pub database: String,
    /// Host and port, as `pg1:5432`.
    pub address: String,
    /// Name, number, or the directory of a unix socket.
    pub host: String,
    /// The port.
    pub port: u16,
    /// `primary`, `replica`, `deposed` or `unknown`.
    pub role: &'static str,
    /// `up` or `down`.
    pub state: &'static str,
    /// The timeline it is on.
    pub timeline: Option<u32>,
    /// How far it has written (a primary) or replayed (a replica).
    pub lsn: Option<u64>,
    /// WAL between it and the primary.
    pub lag_bytes: Option<u64>,
    /// How long ago the primary was where it is now.
    pub lag: Option<Duration>,
    /// When role or state last changed.
    pub since: SystemTime,
    /// What changed then, as `primary, was replica`.
    pub last_change: Option<String>,
    /// Why it could not be asked, or is not used, the last time that happened; or that there is no primary although all
    /// hosts of the entry are in order.
    pub last_error: Option<String>,
    /// Why no reads are sent to it; `None`: it is a replica that they may be sent to.
    pub no_reads: Option<Unfit>,
    /// The entry's connections to it that clients hold.
    pub servers_active: u32,
    /// The entry's connections to it that are free.
    pub servers_idle: u32,
    /// Transactions of the entry that ended there.
    pub transactions: u64,
}

impl HostRow {
    /// Whether it is a replica that reads may be sent to.
    pub fn is_fit_for_reads(&self) -> bool {
        self.no_reads.is_none()
    }
}

/// As PostgreSQL writes a `pg_lsn`.
pub fn lsn(lsn: u64) -> String {
    format!("{:X}/{:X}", lsn >> 32, lsn & 0xFFFF_FFFF)
}

/// A database entry that follows roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterRow {
    /// The entry of `[databases]`.
    pub database: String,
    /// Address of the host that may be written to; `None` also while a switchover is under way.
    pub primary: Option<String>,
    /// For how long there has been none.
    pub primary_missing: Option<Duration>,
    /// A switchover was announced.
    pub switching_over: bool,
    /// Several hosts say that they are the primary, and none is believed.
    pub split_brain: bool,
    /// Whether clients wait while there is no primary.
    pub needs_primary: bool,
    /// Why there is none, which hosts say what, and what to do.
    pub no_primary: Option<String>,
    /// In the entry's order.
    pub hosts: Vec<HostRow>,
}

/// All entries that follow roles, in the file's order.
pub fn clusters(topology: &Topology, pools: &[Arc<Pool>], now: Instant) -> Vec<ClusterRow> {
    let row = |(database, snapshot): (String, Arc<Snapshot>)| ClusterRow {
        primary: snapshot.primary().map(|host| host.addr.to_string()),
        primary_missing: snapshot
            .primary_missing_since
            .map(|since| now.saturating_duration_since(since)),
        switching_over: snapshot.switching_over.is_some(),
        split_brain: snapshot.split_brain,
        needs_primary: snapshot.needs_primary,
        no_primary: snapshot.tell_no_primary(),
        hosts: host_rows(&database, &snapshot, pools),
        database,
    };
    topology.snapshots().into_iter().map(row).collect()
}

/// All hosts of all entries.
pub fn hosts(topology: &Topology, pools: &[Arc<Pool>]) -> Vec<HostRow> {
    let of_entry =
        |(database, snapshot): (String, Arc<Snapshot>)| host_rows(&database, &snapshot, pools);
    topology.snapshots().into_iter().flat_map(of_entry).collect()
}

fn host_rows(database: &str, snapshot: &Snapshot, pools: &[Arc<Pool>]) -> Vec<HostRow> {
    let row = |host| host_row(database, host, pools);
    let mut rows: Vec<_> = snapshot.hosts.iter().map(row).collect();
    // Each of them is in order, and yet nothing can be written.
    let all_replicas = snapshot.no_primary() == Some(NoPrimary::Replicas { all: true });
    if snapshot.needs_primary && all_replicas {
        for row in &mut rows {
            row.last_error = snapshot.tell_no_primary();
        }
    }
    rows
}

fn host_row(database: &str, host: &HostView, pools: &[Arc<Pool>]) -> HostRow {
    let address = host.addr.to_string();
    let there = || {
        pools.iter().filter(|pool| pool.name().database == database && pool.name().host == address)
    };
    HostRow {
        servers_active: there().map(|pool| pool.levels().servers_active).sum(),
        servers_idle: there().map(|pool| pool.levels().servers_idle).sum(),
        transactions: there().map(|pool| pool.metrics().transaction_time.count()).sum(),
        database: database.to_owned(),
        address: host.addr.to_string(),
        host: host.addr.place(),
        port: host.addr.port(),
        role: host.role.name(),
        state: if host.up { "up" } else { "down" },
        timeline: host.timeline,
        lsn: host.lsn,
        lag_bytes: host.lag_bytes,
        lag: host.lag,
        since: host.since,
        last_change: host.last_change.map(|change| change.to_string()),
        last_error: host.last_error.as_ref().map(ToString::to_string),
        no_reads: host.unfit.clone(),
    }
}
