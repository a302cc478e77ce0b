//! `causal_reads = session`: who has written reads it again, whatever the replicas are late.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use common::{Cluster, Setup, Signal, Weir, WeirSetup, Wire, wait};

fn cluster(replicas: usize) -> Cluster {
    let cluster = Setup::new().sql("GRANT pg_monitor TO app").cluster(replicas);
    let sql = "CREATE TABLE written (id bigint PRIMARY KEY); ALTER TABLE written OWNER TO app";
    cluster.primary().query(sql);
    cluster
}

fn setup(cluster: &Cluster) -> WeirSetup {
    Weir::setup()
        .cluster(cluster)
        .setting("pool_mode", "transaction")
        .setting("topology_user", "app")
        .setting("causal_reads", "session")
}

fn wait_replicas(weir: &Weir, cluster: &Cluster) {
    for port in &cluster.ports()[1..] {
        wait::until("the replicas to be known", wait::DEADLINE, || {
            let rows = weir.console("SHOW TOPOLOGY");
            let row = rows.find("port", &port.to_string()).unwrap();
            rows.get(row, "role") == "replica" && rows.get(row, "timeline") == "1"
        });
    }
}

/// How many rows of this number are there, and which server says so.
fn read(wire: &mut Wire, id: usize) -> (String, String) {
    let sql =
        format!("SELECT count(*) AS n, inet_server_port() AS port FROM written WHERE id = {id}");
    wire.query("BEGIN READ ONLY").unwrap();
    let rows = wire.query(&sql).unwrap();
    wire.query("COMMIT").unwrap();
    (rows.get(0, "n").to_owned(), rows.get(0, "port").to_owned())
}

#[test]
fn a_client_reads_its_own_writes_although_the_replica_is_late() {
    const CLIENTS: usize = 20;
    const PAIRS: usize = 25;
    let cluster = cluster(1);
    let replica = cluster.ports()[1].to_string();
    let weir = setup(&cluster).start();
    wait_replicas(&weir, &cluster);
    cluster.nodes[1].set("recovery_min_apply_delay", "1s");
    let (stale, by_replica) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (port, replica, stale, by_replica) = (weir.port(), &replica, &stale, &by_replica);
            scope.spawn(move || {
                let mut wire = Wire::tcp(port, "app", "app").unwrap();
                let mut last = 0;
                for pair in 0..PAIRS {
                    last = client * PAIRS + pair;
                    wire.query(&format!("INSERT INTO written VALUES ({last})")).unwrap();
                    let (count, host) = read(&mut wire, last);
                    stale.fetch_add(usize::from(count != "1"), Ordering::Relaxed);
                    by_replica.fetch_add(usize::from(host == *replica), Ordering::Relaxed);
                }
                // Once the replica has it, it serves again.
                wait::until("a read on the replica", wait::DEADLINE, || {
                    let (count, host) = read(&mut wire, last);
                    stale.fetch_add(usize::from(count != "1"), Ordering::Relaxed);
                    host == *replica
                });
            });
        }
    });
    assert_eq!(stale.into_inner(), 0);
    let early = by_replica.into_inner();
    assert!(early < CLIENTS * PAIRS / 10, "{early} reads were served by a replica that is late");
    let labels = [("database", "app"), ("reason", "own_writes")];
    let kept = weir.metric("pgweir_routing_decisions_total", &labels).unwrap_or_default();
    assert!(kept >= (CLIENTS * PAIRS - early) as f64, "{kept}");
    weir.stop();
}

#[test]
fn who_has_written_nothing_reads_on_a_late_replica() {
    let cluster = cluster(1);
    let weir = setup(&cluster).start();
    wait_replicas(&weir, &cluster);
    cluster.nodes[1].query("SELECT pg_wal_replay_pause()");
    cluster.primary().query("INSERT INTO written VALUES (1)");
    let mut other = Wire::tcp(weir.port(), "app", "app").unwrap();
    assert_eq!(read(&mut other, 1), ("0".to_owned(), cluster.ports()[1].to_string()));
    // And what a client waits for is shown.
    other.query("INSERT INTO written VALUES (2)").unwrap();
    wait::until("the position that it waits for", wait::DEADLINE, || {
        assert_eq!(read(&mut other, 2).0, "1");
        let rows = weir.console("SHOW CLIENTS");
        rows.get(rows.find("user", "app").unwrap(), "waits_for").contains('/')
    });
    cluster.nodes[1].query("SELECT pg_wal_replay_resume()");
    weir.stop();
}

#[test]
fn it_holds_over_a_failover() {
    let mut cluster = cluster(2);
    let weir = setup(&cluster).start();
    wait_replicas(&weir, &cluster);
    let mut wire = Wire::tcp(weir.port(), "app", "app").unwrap();
    wire.query("INSERT INTO written VALUES (1)").unwrap();
    cluster.wait_replicated();
    cluster.nodes[2].set("recovery_min_apply_delay", "1s");
    cluster.primary_mut().kill(Signal::KILL);
    cluster.promote(1);
    for id in 2..20 {
        wire.query(&format!("INSERT INTO written VALUES ({id})")).unwrap();
        assert_eq!(read(&mut wire, id).0, "1");
    }
    let late = cluster.ports()[2].to_string();
    wait::until("a read on the replica of the new primary", wait::DEADLINE, || {
        let (count, host) = read(&mut wire, 19);
        assert_eq!(count, "1");
        host == late
    });
    weir.stop();
}
