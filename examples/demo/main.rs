//! `make demo`: a failover before your eyes.
//!
//! Starts a primary with two streaming replicas and pgweir before them, puts load on it, kills the
//! primary as a power cut would, promotes a replica as a cluster manager would, and then tells what
//! the applications saw of it. It ends with an error when a promise was broken. `KEEP=1` leaves
//! everything running until Ctrl-C. All of it lives in a temporary folder, and goes with it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a demo may fail loudly")]
#![allow(clippy::indexing_slicing, reason = "a demo may fail loudly")]
#![allow(clippy::disallowed_methods, reason = "it measures real time")]

#[path = "../../tests/common/mod.rs"]
mod common;
mod load;
mod report;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use common::{Cluster, Setup, Signal, Weir, pgbench, wait};
use load::{Load, Pgbench, Plan};
use report::{Facts, Report};

/// Time under load before the primary is killed.
const BEFORE: Duration = Duration::from_secs(5);
/// Time under load from then on.
const AFTER: Duration = Duration::from_secs(8);

fn main() -> ExitCode {
    let end = run();
    if let Err(broken) = &end {
        println!("\nBroken promises:");
        broken.iter().for_each(|promise| println!("  - {promise}"));
    }
    if end.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The show. `Err` lists the promises that were broken.
fn run() -> Result<(), Vec<String>> {
    say("starting a primary and two streaming replicas");
    let mut cluster = start_cluster();
    let weir = Weir::setup()
        .cluster(&cluster)
        .setting("pool_mode", "transaction")
        .setting("topology_user", "app")
        .setting("max_client_conn", 500)
        .setting("verbose", 0)
        .start();
    say(&format!("pgweir listens on 127.0.0.1:{}; http://{}/metrics", weir.port(), weir.http()));

    let start = Instant::now();
    let plan = Plan { port: weir.port(), end: start + BEFORE + AFTER };
    let load = Load::start(plan);
    let writers = Pgbench::start(plan, weir.login("app", "app"), Pgbench::WRITERS);
    let readers = Pgbench::start(plan, weir.login("app", "app"), Pgbench::READERS);
    say(&format!("load: {} for {}s", load::DESCRIPTION, (BEFORE + AFTER).as_secs()));

    // Not a wait for a condition: this is how long the healthy part of the show lasts.
    std::thread::sleep(BEFORE);
    let failover = fail_over(&mut cluster);

    let mut facts = Facts {
        start,
        failover,
        seen: load.finish(),
        pgbench_writers: writers.finish(),
        pgbench_readers: readers.finish(),
        found: Vec::new(),
        nodes: cluster.nodes.iter().map(|node| (node.port(), node.name().to_owned())).collect(),
        metrics: weir.get("/metrics").1,
    };
    facts.found = found_writes(&cluster);
    let report = Report::new(&facts);
    println!("\n{report}");
    println!("metrics: http://{}/metrics", weir.http());
    if std::env::var_os("KEEP").is_some_and(|keep| !keep.is_empty() && keep != "0") {
        keep_running(&cluster, &weir);
    }
    if report.broken.is_empty() { Ok(()) } else { Err(report.broken) }
}

fn start_cluster() -> Cluster {
    let cluster = Setup::new()
        .setting("shared_buffers", "64MB")
        .setting("max_connections", 200)
        .sql("GRANT pg_monitor TO app")
        .cluster(2);
    let primary = cluster.primary();
    // No key: a write that was done twice shall show.
    primary.query(
        "CREATE TABLE demo_writes (writer int, seq bigint); ALTER TABLE demo_writes OWNER TO app",
    );
    pgbench(&primary.login("app", "app"), &["-i", "-s", "2", "-q"]).ok();
    // An acknowledged write must survive the loss of the primary, so it must be on a replica before
    // it is acknowledged. Only now, for without replicas nothing could be written. The setting is
    // in the primary's postgresql.auto.conf alone: whoever is promoted acknowledges by itself, and
    // need not wait for a replica that isn't there yet.
    primary.set("synchronous_standby_names", "ANY 1 (*)");
    let replication = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'quorum'";
    wait::until("synchronous replicas", wait::DEADLINE, || primary.query(replication).one() == "2");
    cluster
}

/// When what happened.
#[derive(Clone, Copy, Debug)]
struct Failover {
    /// The primary was killed.
    killed: Instant,
    /// A replica was asked to become the primary.
    asked: Instant,
    /// It took writes.
    promoted: Instant,
    /// Its port.
    new_primary: u16,
}

/// Does what a cluster manager does.
fn fail_over(cluster: &mut Cluster) -> Failover {
    let old = cluster.primary().port();
    say(&format!("SIGKILL to the primary at port {old}"));
    let killed = Instant::now();
    cluster.primary_mut().kill(Signal::KILL);
    // With ANY 1, an acknowledged write is on one replica at least, not on a certain one: the one
    // that has received most has them all.
    let chosen = most_advanced(cluster);
    let asked = Instant::now();
    cluster.nodes[chosen].promote();
    let promoted = Instant::now();
    cluster.adopt(chosen);
    let new_primary = cluster.primary().port();
    say(&format!("port {new_primary} is the primary; the other replica follows it"));
    Failover { killed, asked, promoted, new_primary }
}

fn most_advanced(cluster: &Cluster) -> usize {
    let received = |number: usize| {
        let sql = "SELECT pg_last_wal_receive_lsn() - '0/0'::pg_lsn";
        cluster.nodes[number].query(sql).one().parse::<u128>().expect("a number of bytes")
    };
    [1, 2].into_iter().max_by_key(|number| (received(*number), *number == 1)).expect("two of them")
}

/// All that our writers wrote, asked of the new primary itself.
fn found_writes(cluster: &Cluster) -> Vec<(usize, i64)> {
    let rows = cluster.primary().query("SELECT writer, seq FROM demo_writes").rows;
    let number = |value: &Option<String>| value.as_ref().expect("no NULLs").parse::<i64>().unwrap();
    rows.iter()
        .map(|row| (usize::try_from(number(&row[0])).expect("a writer's number"), number(&row[1])))
        .collect()
}

fn keep_running(cluster: &Cluster, weir: &Weir) -> ! {
    println!("\nAll of it goes on running. To look around:");
    println!("  psql 'host=127.0.0.1 port={} user=app dbname=app'", weir.port());
    println!(
        "  psql 'host=127.0.0.1 port={} user=admin dbname=pgbouncer'   (the console)",
        weir.port()
    );
    println!("  curl http://{}/metrics", weir.http());
    for node in &cluster.nodes {
        println!("  {}: port {}, data {}", node.name(), node.port(), node.data().display());
    }
    println!("Ctrl-C stops everything and removes its files.");
    loop {
        std::thread::park(); // Ctrl-C ends us, and the watchdog of tests/common the rest
    }
}

fn say(what: &str) {
    println!("demo: {what}");
}
