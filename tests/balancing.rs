//! Which host a transaction runs on, told by the port that answers.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]
#![allow(clippy::disallowed_methods, reason = "how often a host is tried depends on the time")]

mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use common::{Cluster, ServerError, Setup, Signal, Weir, WeirSetup, Wire, wait};
use tokio_postgres::{Client, NoTls};

const WHO: &str = "SELECT inet_server_port()";

fn cluster(replicas: usize) -> Cluster {
    Setup::new().sql("GRANT pg_monitor TO app").cluster(replicas)
}

fn setup(cluster: &Cluster) -> WeirSetup {
    Weir::setup()
        .cluster(cluster)
        .setting("pool_mode", "transaction")
        .setting("topology_user", "app")
}

/// Starts pgweir and waits until it knows all hosts.
fn start(cluster: &Cluster) -> Weir {
    let weir = setup(cluster).start();
    for (number, port) in cluster.ports().into_iter().enumerate() {
        wait_role(&weir, port, if number == 0 { "primary" } else { "replica" });
    }
    weir
}

fn wait_role(weir: &Weir, port: u16, role: &str) {
    wait_topology(weir, port, "role", role);
}

fn wait_topology(weir: &Weir, port: u16, column: &str, value: &str) {
    let what = format!("{column} = {value} for port {port} in SHOW TOPOLOGY");
    wait::until(&what, wait::DEADLINE, || {
        let rows = weir.console("SHOW TOPOLOGY");
        let row = rows.find("port", &port.to_string()).unwrap();
        rows.get(row, column) == value
    });
}

fn client(weir: &Weir) -> Wire {
    Wire::tcp(weir.port(), "app", "app").unwrap()
}

/// Who runs a transaction that begins so.
fn runs(wire: &mut Wire, begin: &str) -> Result<u16, ServerError> {
    wire.query(begin)?;
    let port = wire.query(WHO)?.one().parse().unwrap();
    wire.query("COMMIT")?;
    Ok(port)
}

fn answers(wire: &mut Wire, sql: &str) -> u16 {
    wire.query(sql).unwrap().one().parse().unwrap()
}

async fn connect(weir: &Weir) -> Client {
    let (client, connection) =
        tokio_postgres::connect(&weir.url("app", "app"), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

#[test]
fn what_says_read_only_goes_to_replicas_and_all_else_to_the_primary() {
    let cluster = cluster(2);
    let weir = start(&cluster);
    let (primary, replicas) = (cluster.ports()[0], cluster.ports()[1..].to_vec());
    let mut wire = client(&weir);
    for begin in [
        "BEGIN READ ONLY",
        "begin transaction isolation level repeatable read, read only",
        "START TRANSACTION READ ONLY",
        "/* pgweir: route=replica */ BEGIN",
    ] {
        for _ in 0..5 {
            let port = runs(&mut wire, begin).unwrap();
            assert!(replicas.contains(&port), "{begin}: {port}, not one of {replicas:?}");
        }
    }
    for begin in
        ["BEGIN", "START TRANSACTION", "BEGIN READ WRITE", "/*NO LOAD BALANCE*/ BEGIN READ ONLY"]
    {
        assert_eq!(runs(&mut wire, begin).unwrap(), primary, "{begin}");
    }
    let hint = "/* pgweir: route=primary */ BEGIN READ ONLY";
    assert_eq!(runs(&mut wire, hint).unwrap(), primary, "{hint}");
    assert_eq!(answers(&mut wire, WHO), primary);
    for hint in ["/* pgweir: route=replica */", "-- pgweir: route=replica\n"] {
        let port = answers(&mut wire, &format!("{hint} {WHO}"));
        assert!(replicas.contains(&port), "{hint}: {port}, not one of {replicas:?}");
    }
    weir.stop();
}

#[test]
fn every_replica_gets_a_share() {
    let cluster = cluster(2);
    let weir = start(&cluster);
    let mut shares: BTreeMap<u16, u32> = BTreeMap::new();
    let mut wires: Vec<_> = (0..4).map(|_| client(&weir)).collect();
    for _ in 0..50 {
        for wire in &mut wires {
            *shares.entry(runs(wire, "BEGIN READ ONLY").unwrap()).or_default() += 1;
        }
    }
    let replicas = &cluster.ports()[1..];
    assert_eq!(shares.len(), 2, "{shares:?}");
    // Not even: the one that happened to answer its first query late is asked less for a while.
    assert!(
        replicas.iter().all(|port| shares.get(port).is_some_and(|share| *share >= 20)),
        "{shares:?}"
    );
    weir.stop();
}

#[test]
fn without_a_replica_reads_go_to_the_primary() {
    let mut cluster = cluster(1);
    let weir = start(&cluster);
    let ports = cluster.ports();
    let mut wire = client(&weir);
    assert_eq!(runs(&mut wire, "BEGIN READ ONLY").unwrap(), ports[1]);
    cluster.nodes[1].stop();
    wait_topology(&weir, ports[1], "state", "down");
    assert_eq!(runs(&mut wire, "BEGIN READ ONLY").unwrap(), ports[0]);
    assert_eq!(answers(&mut wire, &format!("/* pgweir: route=replica */ {WHO}")), ports[0]);
    // It comes back by the monitor's verdict.
    cluster.nodes[1].start();
    wait::until("reads on the replica", wait::DEADLINE, || {
        runs(&mut wire, "BEGIN READ ONLY").unwrap() == ports[1]
    });
    weir.stop();
}

#[tokio::test]
async fn the_extended_protocol_and_prepared_statements_go_the_same_ways() {
    let cluster = cluster(2);
    let weir = start(&cluster);
    let (primary, replicas) = (i32::from(cluster.ports()[0]), &cluster.ports()[1..]);
    let is_replica = |port: i32| replicas.iter().any(|replica| i32::from(*replica) == port);
    let mut client = connect(&weir).await;

    // One statement, prepared on whichever host it comes to.
    let who = client.prepare(WHO).await.unwrap();
    for _ in 0..10 {
        let port: i32 = client.query_one(&who, &[]).await.unwrap().get(0);
        assert_eq!(port, primary);
        let read = client.build_transaction().read_only(true).start().await.unwrap();
        let port: i32 = read.query_one(&who, &[]).await.unwrap().get(0);
        read.commit().await.unwrap();
        assert!(is_replica(port), "{port}");
        let write = client.transaction().await.unwrap();
        let port: i32 = write.query_one(&who, &[]).await.unwrap().get(0);
        write.commit().await.unwrap();
        assert_eq!(port, primary);
    }

    // A hint in a prepared text counts whenever it begins a transaction.
    let hinted = client.prepare(&format!("/* pgweir: route=replica */ {WHO}")).await.unwrap();
    for _ in 0..10 {
        let port: i32 = client.query_one(&hinted, &[]).await.unwrap().get(0);
        assert!(is_replica(port), "{port}");
    }

    // BEGIN READ ONLY as a prepared statement.
    let begin = client.prepare("BEGIN READ ONLY").await.unwrap();
    for _ in 0..10 {
        client.execute(&begin, &[]).await.unwrap();
        let port: i32 = client.query_one(&who, &[]).await.unwrap().get(0);
        client.batch_execute("COMMIT").await.unwrap();
        assert!(is_replica(port), "{port}");
    }
    drop(client);
    weir.stop();
}

#[test]
fn a_replica_that_dies_costs_its_readers_one_error_at_most() {
    const READERS: usize = 6;
    let mut cluster = cluster(2);
    let weir = start(&cluster);
    let ports = cluster.ports();
    let (stop, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    let more_reads = |count: usize, when: &str| {
        let from = done.load(Ordering::Relaxed);
        wait::until(&format!("{count} reads {when}"), wait::DEADLINE, || {
            done.load(Ordering::Relaxed) >= from + count
        });
    };
    thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS)
            .map(|_| {
                let (mut wire, stop, done) = (client(&weir), &stop, &done);
                scope.spawn(move || {
                    let mut errors = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        match read(&mut wire) {
                            Ok(_) => drop(done.fetch_add(1, Ordering::Relaxed)),
                            Err(error @ ServerError::Io(_)) => return Err(error),
                            Err(error) => errors.push(error),
                        }
                    }
                    Ok(errors)
                })
            })
            .collect();
        more_reads(200, "from both replicas");
        cluster.nodes[1].kill(Signal::KILL);
        wait_topology(&weir, ports[1], "state", "down");
        more_reads(200, "from the other replica");
        stop.store(true, Ordering::Relaxed);
        for reader in readers {
            let errors = reader.join().unwrap().expect("no connection is dropped");
            assert!(errors.len() <= 1, "{errors:?}");
            let told = errors.iter().all(|error| ["08006", "57P01"].contains(&error.code()));
            assert!(told, "{errors:?}");
        }
    });
    let mut wire = client(&weir);
    for _ in 0..20 {
        assert_eq!(read(&mut wire).unwrap(), ports[2]);
    }
    weir.stop();
}

/// A read-only transaction as drivers run it: after an error it is rolled back, after a failed COMMIT it is over.
fn read(wire: &mut Wire) -> Result<u16, ServerError> {
    wire.query("BEGIN READ ONLY")?;
    let port = match wire.query(WHO) {
        Ok(rows) => rows.one().parse().unwrap(),
        Err(error) => {
            if !matches!(error, ServerError::Io(_)) {
                wire.query("ROLLBACK")?;
            }
            return Err(error);
        }
    };
    wire.query("COMMIT")?;
    Ok(port)
}

#[test]
fn a_login_is_told_of_the_kind_of_host_that_the_entry_stands_for() {
    let cluster = Cluster::start(1);
    let entry = cluster.entry("app");
    let standby = entry.replace("app = ", "reads = ").replace("read-write", "standby");
    let weir = Weir::setup()
        .cluster(&cluster)
        .database(&standby)
        .setting("pool_mode", "transaction")
        .start();
    // libpq compares what it wants with the in_hot_standby that it is told at login.
    for (database, right, wrong) in
        [("app", "read-write", "standby"), ("reads", "standby", "read-write")]
    {
        let with = |attrs: &str| {
            let login = weir.login("app", database).set("PGTARGETSESSIONATTRS", attrs);
            common::psql(&login, "SELECT 1")
        };
        with(right).ok();
        assert!(!with(wrong).status.success(), "{database}");
    }
    weir.stop();
}

#[test]
fn weights_and_zones_say_where_reads_go() {
    let cluster = cluster(2);
    let ports = cluster.ports();
    let share = |entry: &str, zone: &str| {
        let entry = format!("{} {entry}", cluster.entry("app"));
        let mut setup = Weir::setup()
            .database(&entry)
            .setting("pool_mode", "transaction")
            .setting("topology_user", "app")
            .setting("slow_start", 0);
        if !zone.is_empty() {
            setup = setup.setting("zone", zone);
        }
        let weir = setup.start();
        for port in &ports[1..] {
            wait_role(&weir, *port, "replica");
        }
        let mut wire = client(&weir);
        let count = (0..200).filter(|_| runs(&mut wire, "BEGIN READ ONLY").unwrap() == ports[1]);
        let count = count.count();
        weir.stop();
        count
    };
    let heavy = share("weight=1,9,1", "");
    assert!((140..=199).contains(&heavy), "{heavy} of 200 with nine tenths of the weight");
    assert_eq!(share("weight=1,0,1", ""), 0);
    assert_eq!(share("zone=a,b,a", "b"), 200);
    assert_eq!(share("zone=a,b,a", "a"), 0);
}

#[test]
fn without_a_fit_replica_a_read_is_refused_if_that_is_asked_for() {
    let mut cluster = cluster(1);
    let weir = setup(&cluster).setting("replica_fallback", "error").start();
    wait_role(&weir, cluster.ports()[1], "replica");
    let mut wire = client(&weir);
    assert_eq!(runs(&mut wire, "BEGIN READ ONLY").unwrap(), cluster.ports()[1]);
    cluster.nodes[1].kill(Signal::KILL);
    wait_role(&weir, cluster.ports()[1], "unknown");
    let refused = runs(&mut wire, "BEGIN READ ONLY").unwrap_err();
    assert_eq!(refused.code(), "57P03", "{refused}");
    assert_eq!(runs(&mut client(&weir), "BEGIN").unwrap(), cluster.ports()[0]);
    weir.stop();
}

#[test]
fn a_replica_that_is_too_many_bytes_behind_gets_no_reads() {
    let cluster = cluster(1);
    let weir = setup(&cluster).setting("max_replica_lag", "1MB").start();
    let [primary, replica] = [cluster.ports()[0], cluster.ports()[1]];
    wait_role(&weir, replica, "replica");
    let mut wire = client(&weir);
    assert_eq!(runs(&mut wire, "BEGIN READ ONLY").unwrap(), replica);
    cluster.nodes[1].query("SELECT pg_wal_replay_pause()");
    cluster
        .primary()
        .query("CREATE TABLE t AS SELECT repeat('x', 100) FROM generate_series(1, 50000)");
    wait::until("reads on the primary", wait::DEADLINE, || {
        runs(&mut wire, "BEGIN READ ONLY").unwrap() == primary
    });
    cluster.nodes[1].query("SELECT pg_wal_replay_resume()");
    wait::until("reads on the replica", wait::DEADLINE, || {
        runs(&mut wire, "BEGIN READ ONLY").unwrap() == replica
    });
    weir.stop();
}

/// Writes over the first page of the table's file on this server, or writes back what was there.
fn swap_page(server: &common::postgres::Postgres, page: &[u8]) -> Vec<u8> {
    let path = server.query("SELECT pg_relation_filepath('t')").one().to_owned();
    let file = std::fs::OpenOptions::new().read(true).write(true).open(server.data().join(path));
    let (file, mut before) = (file.unwrap(), vec![0; page.len()]);
    std::os::unix::fs::FileExt::read_exact_at(&file, &mut before, 0).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, page, 0).unwrap();
    before
}

#[test]
fn a_replica_that_fails_at_once_is_left_alone_until_it_is_mended() {
    let sql =
        "CREATE TABLE t WITH (autovacuum_enabled = off) AS SELECT 1 AS a; GRANT SELECT ON t TO app";
    let mut cluster = Setup::new().sql("GRANT pg_monitor TO app").sql(sql).cluster(2);
    cluster.primary().query("CHECKPOINT");
    cluster.wait_replicated();
    // Nothing of it is in memory any more, nor to be replayed.
    cluster.nodes[1].query("CHECKPOINT");
    cluster.nodes[1].restart();
    cluster.wait_streaming(2);
    let sound = swap_page(&cluster.nodes[1], &[0xAA; 8192]);
    let weir = setup(&cluster).setting("slow_start", 0).start();
    for port in &cluster.ports()[1..] {
        wait_topology(&weir, *port, "timeline", "1");
    }
    let mut wire = client(&weir);
    let mut read = || {
        let sql = "/* pgweir: route=replica */ SELECT inet_server_port(), (SELECT sum(a) FROM t)";
        wire.query(sql).map(|rows| rows.get(0, "inet_server_port").parse::<u16>().unwrap())
    };
    let broken = cluster.ports()[1];
    // Every ten seconds it is given another chance: that many more may fail.
    let begun = std::time::Instant::now();
    let chances = || 6 * usize::try_from(begun.elapsed().as_secs() / 10).unwrap();
    let first: Vec<_> = (0..40).filter_map(|_| read().err()).collect();
    assert!(!first.is_empty() && first.len() <= 12 + chances(), "{first:?}");
    assert!(first.iter().all(|error| error.code() == "XX001"), "{first:?}");
    let later = (0..400).filter(|_| read().is_err()).count();
    assert!(later <= 20 + chances(), "{later} of 400 reads failed");
    let host = format!("127.0.0.1:{broken}");
    let failures = weir.metric("pgweir_pool_failures_total", &[("host", &host)]).unwrap();
    assert_eq!(failures as usize, first.len() + later);
    swap_page(&cluster.nodes[1], &sound);
    wait::until("the share of a replica that is sound again", wait::DEADLINE, || {
        (0..50).filter(|_| read().unwrap() == broken).count() >= 15
    });
    // What an application does wrong is nobody's fault.
    for _ in 0..100 {
        wire.query("/* pgweir: route=replica */ SELECT 1/0").unwrap_err();
    }
    assert_eq!(weir.metric("pgweir_pool_failures_total", &[("host", &host)]).unwrap(), failures);
    weir.stop();
}

#[test]
fn a_replica_that_lets_nobody_in_is_left_alone() {
    let mut cluster = cluster(2);
    // One connection for who is no superuser: the monitor has it.
    let most: u32 = cluster.nodes[1].query("SHOW max_connections").one().parse().unwrap();
    cluster.nodes[1].set("superuser_reserved_connections", &(most - 1).to_string());
    cluster.nodes[1].restart();
    cluster.wait_streaming(2);
    let weir = setup(&cluster).setting("slow_start", 0).start();
    for port in &cluster.ports()[1..] {
        wait_topology(&weir, *port, "timeline", "1");
    }
    let mut wire = client(&weir);
    let mut failed = Vec::new();
    let begun = std::time::Instant::now();
    for number in 0..200 {
        if let Err(error) = wire.query(&format!("/* pgweir: route=replica */ {WHO}")) {
            assert_eq!(error.code(), "53300", "{error}");
            failed.push(number);
            wire = client(&weir);
        }
    }
    // Every ten seconds it is given another chance.
    let chances = 6 * usize::try_from(begun.elapsed().as_secs() / 10).unwrap();
    assert!(!failed.is_empty() && failed.len() <= 12 + chances, "{failed:?}");
    weir.stop();
}
