//! A primary that dies, hangs or comes back, as clients see it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{Cluster, Signal, Weir, Wire, wait};

const LONG: Duration = Duration::from_secs(30);

fn weir_over(cluster: &Cluster) -> common::WeirSetup {
    Weir::setup().cluster(cluster).setting("pool_mode", "transaction").setting("workers", 2)
}

fn role_of(weir: &Weir, port: u16) -> String {
    let rows = weir.console("SHOW TOPOLOGY");
    let row = rows.find("port", &port.to_string()).unwrap();
    rows.get(row, "role").to_owned()
}

#[test]
fn no_client_is_dropped_and_no_acknowledged_write_lost_when_the_primary_is_killed() {
    let mut cluster = Cluster::start(1);
    cluster.primary().query("ALTER SYSTEM SET synchronous_standby_names = '*'");
    cluster.primary().query("SELECT pg_reload_conf()");
    let weir = weir_over(&cluster).start();
    let mut client = Wire::tcp(weir.port(), "app", "app").unwrap();
    client.query("CREATE TABLE written (writer int, number int)").unwrap();

    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..6)
        .map(|writer| {
            let (stop, port) = (stop.clone(), weir.port());
            std::thread::spawn(move || {
                let mut client = Wire::tcp(port, "app", "app").unwrap();
                let (mut acknowledged, mut errors) = (Vec::new(), Vec::new());
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    match client.query(&format!("INSERT INTO written VALUES ({writer}, {number})"))
                    {
                        Ok(_) => acknowledged.push(number),
                        Err(error) => errors.push(error.code().to_owned()),
                    }
                }
                // The very same connection still serves.
                assert_eq!(client.query("SELECT 1").unwrap().one(), "1");
                (writer, acknowledged, errors)
            })
        })
        .collect();
    let count = |weir: &Weir| {
        let mut client = Wire::tcp(weir.port(), "app", "app").unwrap();
        client.query("SELECT count(*) FROM written").unwrap().one().parse::<u64>().unwrap()
    };
    wait::until("a hundred writes", LONG, || count(&weir) > 100);

    cluster.primary_mut().kill(Signal::KILL);
    let standby = &cluster.nodes[1];
    standby.set("synchronous_standby_names", "");
    cluster.promote(1);
    let before = count(&weir);
    wait::until("writes on the new primary", LONG, || count(&weir) > before + 100);
    stop.store(true, Ordering::Relaxed);

    for writer in writers {
        let (writer, acknowledged, errors) = writer.join().unwrap();
        assert!(errors.len() <= 1, "at most what was in flight: {errors:?}");
        assert!(errors.iter().all(|code| code == "08006" || code.starts_with("57P")), "{errors:?}");
        let rows = cluster.primary().login("postgres", "app");
        let found = common::psql(
            &rows,
            &format!("SELECT number FROM written WHERE writer = {writer} ORDER BY 1"),
        );
        let found: Vec<i32> = found.ok().lines().map(|line| line.trim().parse().unwrap()).collect();
        let mut once = found.clone();
        once.dedup();
        assert_eq!(found, once, "nothing is doubled");
        for number in acknowledged {
            assert!(
                found.binary_search(&number).is_ok(),
                "writer {writer} was told that {number} is safe"
            );
        }
    }
    weir.stop();
}

#[test]
fn a_client_that_comes_while_no_primary_is_known_is_held_and_then_served() {
    let mut cluster = Cluster::start(1);
    let weir = weir_over(&cluster).start();
    let mut client = Wire::tcp(weir.port(), "app", "app").unwrap();
    client.query("CREATE TABLE t (n int)").unwrap();
    cluster.wait_replicated();
    let dead = cluster.primary().port();
    cluster.primary_mut().kill(Signal::KILL);
    wait::until("the loss is seen", LONG, || role_of(&weir, dead) != "primary");

    let held = std::thread::spawn(move || {
        client.query("BEGIN").unwrap();
        client.query("INSERT INTO t VALUES (1)").unwrap();
        client.query("COMMIT").unwrap();
    });
    wait::until("a client is held", LONG, || {
        weir.metric("pgweir_topology_held_clients", &[("database", "app")]) == Some(1.0)
    });
    cluster.promote(1);
    held.join().unwrap();
    let written = common::psql(&cluster.primary().login("postgres", "app"), "SELECT n FROM t");
    assert_eq!(written.ok().trim(), "1");
    weir.stop();
}

#[test]
fn who_is_held_longer_than_failover_timeout_is_told_so() {
    let mut cluster = Cluster::start(1);
    let weir = weir_over(&cluster).setting("failover_timeout", 1).start();
    let mut client = Wire::tcp(weir.port(), "app", "app").unwrap();
    let dead = cluster.primary().port();
    cluster.primary_mut().kill(Signal::KILL);
    wait::until("the loss is seen", LONG, || role_of(&weir, dead) != "primary");
    let error = client.query("SELECT 1").unwrap_err();
    assert_eq!(error.code(), "57P03", "{error:?}");
    weir.stop();
}

#[test]
fn a_transaction_that_was_open_on_the_dead_primary_must_be_rolled_back_and_the_client_goes_on() {
    let mut cluster = Cluster::start(1);
    let weir = weir_over(&cluster).start();
    let mut client = Wire::tcp(weir.port(), "app", "app").unwrap();
    client.query("BEGIN").unwrap();
    assert_eq!(client.query("SELECT 1").unwrap().one(), "1");
    cluster.primary_mut().kill(Signal::KILL);
    cluster.promote(1);
    let lost = client.query("SELECT 2").unwrap_err();
    assert!(lost.code() == "08006" || lost.code().starts_with("57P"), "{lost:?}");
    assert_eq!(client.query("SELECT 3").unwrap_err().code(), "25P02");
    client.query("ROLLBACK").unwrap();
    assert_eq!(client.query("SELECT pg_is_in_recovery()").unwrap().one(), "f");
    weir.stop();
}

#[test]
fn a_primary_that_hangs_is_found_out_and_its_clients_go_on_elsewhere() {
    let mut cluster = Cluster::start(1);
    let weir = weir_over(&cluster).start();
    let mut client = Wire::tcp(weir.port(), "app", "app").unwrap();
    assert_eq!(client.query("SELECT 1").unwrap().one(), "1");
    let hung = cluster.primary().port();
    cluster.primary_mut().kill(Signal::STOP);
    wait::until("the hang is found out", LONG, || role_of(&weir, hung) != "primary");
    cluster.promote(1);
    let port = cluster.nodes[1].port().to_string();
    assert_eq!(client.query("SELECT inet_server_port()").unwrap().one(), port);
    // Back again, it still believes to be the primary: nobody may write there.
    cluster.nodes[0].kill(Signal::CONT);
    wait::until("the old primary is deposed", LONG, || role_of(&weir, hung) == "deposed");
    assert_eq!(client.query("SELECT inet_server_port()").unwrap().one(), port);
    weir.stop();
}
