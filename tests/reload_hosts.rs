//! RELOAD with other hosts in an entry that follows roles: clients notice nothing, whatever has become of the list.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use common::{Cluster, ServerError, Setup, Weir, Wire, wait};

/// A primary and a replica.
fn cluster() -> Cluster {
    let cluster = Setup::new().sql("GRANT pg_monitor TO app").cluster(1);
    cluster.primary().query("CREATE TABLE writes (seq int); ALTER TABLE writes OWNER TO app");
    cluster
}

/// The entry with these ports, in this order.
fn entry(ports: &[u16]) -> String {
    let hosts = vec!["127.0.0.1"; ports.len()].join(",");
    let ports: Vec<_> = ports.iter().map(u16::to_string).collect();
    let ports = ports.join(",");
    format!("app = host={hosts} port={ports} dbname=app target_session_attrs=read-write")
}

/// Writes, and reads where reads belong; what a client then complains of.
fn work(wire: &mut Wire) -> Result<(), String> {
    let words = |error: ServerError| error.to_string();
    wire.query("INSERT INTO writes VALUES (1)").map_err(words)?;
    wire.query("BEGIN READ ONLY").map_err(words)?;
    let replica = wire.query("SELECT pg_is_in_recovery()").map_err(words)?.one() == "t";
    wire.query("COMMIT").map_err(words)?;
    if replica { Ok(()) } else { Err("a read went to the primary".to_owned()) }
}

#[test]
fn hosts_may_change_their_order_under_load() {
    const CLIENTS: usize = 8;
    let cluster = cluster();
    let [primary, replica] = [0, 1].map(|node: usize| cluster.nodes[node].port());
    let dead = common::home::free_port();
    let mut weir = Weir::setup()
        .database(&entry(&[primary, replica, dead]))
        .setting("topology_user", "app")
        .setting("pool_mode", "transaction")
        .start();
    weir.wait_show("SHOW TOPOLOGY", "role", "replica");
    let (stop, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    let complaints: Vec<String> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let (port, stop, done) = (weir.port(), &stop, &done);
                scope.spawn(move || {
                    let mut wire = Wire::tcp(port, "app", "app").unwrap();
                    while !stop.load(Ordering::Relaxed) {
                        work(&mut wire)?;
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(())
                })
            })
            .collect();
        for turn in 0..60 {
            let mut ports = [primary, replica, dead];
            ports.rotate_left(turn % 3);
            weir.change(|setup| setup.database(&entry(&ports)));
            weir.reload();
            let from = done.load(Ordering::Relaxed);
            wait::until("work after the RELOAD", wait::DEADLINE, || {
                done.load(Ordering::Relaxed) > from
                    || clients.iter().any(|client| client.is_finished())
            });
        }
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().filter_map(|client| client.join().unwrap().err()).collect()
    });
    assert_eq!(complaints, [] as [String; 0]);
    weir.stop();
}

#[test]
fn a_host_that_is_taken_out_ends_its_transactions_and_gets_no_new_ones() {
    let cluster = cluster();
    let [primary, replica] = [0, 1].map(|node: usize| cluster.nodes[node].port());
    let mut weir = Weir::setup()
        .database(&entry(&[primary, replica]))
        .setting("topology_user", "app")
        .setting("pool_mode", "transaction")
        .start();
    weir.wait_show("SHOW TOPOLOGY", "role", "replica");
    let mut wire = Wire::tcp(weir.port(), "app", "app").unwrap();
    let reads_where = |wire: &mut Wire| {
        wire.query("BEGIN READ ONLY").unwrap();
        wire.query("SELECT pg_is_in_recovery()").unwrap().one().to_owned()
    };
    assert_eq!(reads_where(&mut wire), "t");

    weir.change(|setup| setup.database(&entry(&[primary])));
    weir.reload();
    let still = wire.query("SELECT pg_is_in_recovery()").unwrap().one().to_owned();
    wire.query("COMMIT").unwrap();
    assert_eq!(still, "t", "the transaction ends where it began");
    assert_eq!(reads_where(&mut wire), "f", "no replica is left");
    wire.query("COMMIT").unwrap();

    weir.change(|setup| setup.database(&entry(&[replica, primary])));
    weir.reload();
    weir.wait_show("SHOW TOPOLOGY", "role", "replica");
    assert_eq!(reads_where(&mut wire), "t", "it is back");
    wire.query("COMMIT").unwrap();
    weir.stop();
}
