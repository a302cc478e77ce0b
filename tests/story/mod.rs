//! Stories of a primary or of a replica: a primary with two replicas and pgweir before them, load on it, something that happens
//! to one of them, what a cluster manager then does, and what the clients saw of it all.
//!
//! `make demo` tells one to a person, `tests/outages.rs` and `tests/troubles.rs` check the promises, `benches/outages` takes the
//! times.
//!
//! - `fault` — what happens, and the cluster manager
//! - `load` — the clients, who remember what they were told
//! - `report` — from what was seen to what it means
//! - `trouble` — what happens to a replica

#![allow(dead_code, unused_imports, reason = "each user tells another part of it")]
#![allow(unreachable_pub, reason = "shared by several crates")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a story may fail loudly")]
#![allow(clippy::indexing_slicing, reason = "a story may fail loudly")]
#![allow(clippy::disallowed_methods, reason = "it measures real time")]

pub mod fault;
pub mod load;
pub mod report;
pub mod trouble;

use crate::common::{Cluster, Setup, Weir, WeirSetup, wait};
pub use fault::{Failover, Fault, Restart};
pub use load::{Load, Seen};
pub use report::{Facts, Report};

/// Where the story takes place.
pub struct Scene {
    /// A primary and two replicas that stream from it, one of them synchronously.
    pub cluster: Cluster,
    /// Keeps the hosts' network namespaces, where there are any.
    #[cfg(target_os = "linux")]
    _network: Option<crate::common::Network>,
}

impl Scene {
    /// Starts the servers. `None`, with words why, where this fault cannot be made.
    pub fn set(fault: Fault) -> Option<Self> {
        Self::with(fault == Fault::BlackHole)
    }

    /// As [`Self::set`], with hosts that can vanish.
    pub fn with(black_hole: bool) -> Option<Self> {
        let setup = Setup::new()
            .setting("shared_buffers", "64MB")
            .setting("max_connections", 200)
            .sql("GRANT pg_monitor TO app");
        #[cfg(target_os = "linux")]
        {
            let network = match black_hole {
                true => Some(crate::common::Network::new(3)?),
                false => None,
            };
            let setup = match &network {
                Some(network) => setup.network(network),
                None => setup,
            };
            Some(Self { cluster: begin(setup), _network: network })
        }
        #[cfg(not(target_os = "linux"))]
        match black_hole {
            true => {
                eprintln!("skipped: network namespaces take Linux");
                None
            }
            false => Some(Self { cluster: begin(setup) }),
        }
    }
}

/// pgweir before the cluster.
pub fn weir(cluster: &Cluster) -> WeirSetup {
    Weir::setup()
        .cluster(cluster)
        .setting("pool_mode", "transaction")
        .setting("topology_user", "app")
        .setting("max_client_conn", 500)
        .setting("causal_reads", "session")
        .setting("verbose", 0)
}

fn begin(setup: Setup) -> Cluster {
    let cluster = setup.cluster(2);
    // No key: a write that was done twice shall show.
    let sql = "CREATE TABLE story (writer int, seq bigint); CREATE INDEX ON story (writer, seq); \
               CREATE TABLE pulse (n bigint PRIMARY KEY); \
               ALTER TABLE story OWNER TO app; ALTER TABLE pulse OWNER TO app";
    cluster.primary().query(sql);
    make_synchronous(&cluster);
    cluster
}

/// An acknowledged write must survive the loss of the primary, so it must be on a replica before it is acknowledged.
/// The setting is in the primary's postgresql.auto.conf alone: whoever is promoted acknowledges by itself, and need not
/// wait for a replica that isn't there yet.
pub fn make_synchronous(cluster: &Cluster) {
    let primary = cluster.primary();
    primary.set("synchronous_standby_names", "ANY 1 (*)");
    let sql = "SELECT count(*) > 1 FROM pg_stat_replication WHERE sync_state = 'quorum'";
    wait::until("synchronous replicas", wait::DEADLINE, || primary.query(sql).one() == "t");
}

/// The pulses that a server has.
pub fn pulses(node: &crate::common::Postgres) -> Vec<i64> {
    let rows = node.query("SELECT n FROM pulse ORDER BY n").rows;
    rows.iter().map(|row| row[0].as_ref().unwrap().parse().unwrap()).collect()
}

/// All that the writers wrote, asked of a server itself: writer and number.
pub fn written(node: &crate::common::Postgres) -> Vec<(usize, i64)> {
    let rows = node.query("SELECT writer, seq FROM story").rows;
    let number = |value: &Option<String>| value.as_ref().expect("no NULLs").parse::<i64>().unwrap();
    rows.iter()
        .map(|row| (usize::try_from(number(&row[0])).expect("a writer's number"), number(&row[1])))
        .collect()
}
