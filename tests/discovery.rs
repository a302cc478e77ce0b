//! Hosts that nobody has written into the file (`discover`): found where the cluster knows of them itself, or its manager.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use common::managers::{self, AutoFailover, Patroni, Repmgr};
use common::{Cluster, Setup, Signal, Weir, Wire, wait};

/// pgweir with this entry, named `app`.
fn weir(entry: &str) -> Weir {
    Weir::setup()
        .database(&format!("app = dbname=app target_session_attrs=read-write {entry}"))
        .setting("topology_user", "app")
        .setting("pool_mode", "transaction")
        .setting("discover_interval", "0.2")
        .start()
}

/// The ports of the hosts in SHOW TOPOLOGY, in order, and their roles.
fn topology(weir: &Weir) -> Vec<(u16, String)> {
    let rows = weir.console("SHOW TOPOLOGY");
    let host =
        |row: usize| (rows.get(row, "port").parse().unwrap(), rows.get(row, "role").to_owned());
    let mut hosts: Vec<_> = (0..rows.rows.len()).map(host).collect();
    hosts.sort();
    hosts
}

/// Waits until these are the hosts, with these roles.
fn wait_topology(weir: &Weir, expected: &[(u16, &str)]) {
    let mut expected: Vec<_> =
        expected.iter().map(|(port, role)| (*port, (*role).to_owned())).collect();
    expected.sort();
    let what = format!("{expected:?} in SHOW TOPOLOGY");
    wait::until(&what, wait::DEADLINE, || topology(weir) == expected);
}

/// Waits until a transaction that only reads runs on a replica: one serves as soon as its lag is known.
fn wait_read_on_replica(wire: &mut Wire, what: &str) {
    wait::until(what, wait::DEADLINE, || {
        wire.query("BEGIN READ ONLY").unwrap();
        let answer = wire.query("SELECT pg_is_in_recovery()").unwrap().one() == "t";
        wire.query("COMMIT").unwrap();
        answer
    });
}

#[test]
fn skipped_managers_are_named() {
    let missing =
        [&["repmgr"][..], &managers::patroni::PROGRAMS, &managers::auto_failover::PROGRAMS];
    let missing = missing.into_iter().filter(|programs| !managers::are_installed(programs)).count();
    eprintln!("cluster managers: {} tested, {missing} skipped", 3 - missing);
}

// ---- pg_stat_replication ----

/// Lets a replica say where it can be reached.
fn name_by_address(cluster: &Cluster, number: usize, of: usize) {
    let (node, primary) = (&cluster.nodes[number], &cluster.nodes[of]);
    let conninfo = format!(
        "host=127.0.0.1 port={} user=postgres application_name=127.0.0.1:{}",
        primary.port(),
        node.port()
    );
    node.set("primary_conninfo", &conninfo);
}

#[test]
fn replicas_are_found_by_who_streams_from_the_primary_and_followed_through_a_failover() {
    let mut cluster = Setup::new().sql("GRANT pg_monitor TO app").cluster(2);
    let [first, second, third] = [0, 1, 2].map(|node: usize| cluster.nodes[node].port());
    name_by_address(&cluster, 1, 0);
    // Fed by the first replica: only that one knows of it.
    name_by_address(&cluster, 2, 1);
    let weir = weir(&format!("host=127.0.0.1 port={first} discover=replication"));
    wait_topology(&weir, &[(first, "primary"), (second, "replica"), (third, "replica")]);
    let mut wire = Wire::tcp(weir.port(), "app", "app").unwrap();
    wait_read_on_replica(&mut wire, "a host that was found to serve");

    // The only host that the file names is lost; those that were found are known on.
    cluster.primary_mut().kill(Signal::KILL);
    cluster.nodes[1].promote();
    wait_topology(&weir, &[(first, "unknown"), (second, "primary"), (third, "replica")]);
    wire.query("CREATE TABLE t ()").unwrap();
    let log = weir.log();
    assert!(log.contains("joined"), "{log}");
    weir.stop();
}

#[test]
fn a_role_that_may_not_see_who_streams_is_told_what_to_grant_and_the_hosts_stay() {
    let cluster = Setup::new().cluster(1);
    let ports = cluster.ports();
    let weir = weir(&format!("host=127.0.0.1 port={} discover=replication", ports[0]));
    weir.wait_log("not to be seen: GRANT pg_monitor TO the role that asks");
    wait_topology(&weir, &[(ports[0], "primary")]);
    weir.stop();
}

// ---- repmgr ----

#[test]
fn repmgrs_nodes_are_the_hosts_and_a_failover_by_repmgr_is_followed() {
    if !managers::are_installed(&["repmgr"]) {
        return;
    }
    let mut repmgr = Repmgr::start(2);
    let [first, second, third] = [0, 1, 2].map(|node: usize| repmgr.cluster.nodes[node].port());
    let weir = weir(&format!("host=127.0.0.1 port={first} discover=repmgr"));
    wait_topology(&weir, &[(first, "primary"), (second, "replica"), (third, "replica")]);
    let mut wire = Wire::tcp(weir.port(), "app", "app").unwrap();
    wait_read_on_replica(&mut wire, "the replica to serve");

    repmgr.cluster.primary_mut().kill(Signal::KILL);
    repmgr.promote(1);
    wait_topology(&weir, &[(first, "unknown"), (second, "primary"), (third, "replica")]);
    wire.query("CREATE TABLE t ()").unwrap();

    // Nobody expects it back.
    repmgr.run(2, &["standby", "register", "--force", "--upstream-node-id", "2"]);
    repmgr.run(1, &["primary", "unregister", "--node-id", "1"]);
    wait_topology(&weir, &[(second, "primary"), (third, "replica")]);
    weir.wait_show("SHOW EVENTS", "event", "left");
    wire.query("DROP TABLE t").unwrap();
    weir.stop();
}

#[test]
fn books_that_may_not_be_read_are_told_by_the_log_and_by_check_and_the_hosts_stay() {
    let cluster = Cluster::start(1);
    let port = cluster.primary().port();
    let weir = weir(&format!("host=127.0.0.1 port={port} discover=repmgr"));
    weir.wait_log("discover=repmgr: 127.0.0.1");
    weir.wait_log("the hosts stay as they are");
    wait_topology(&weir, &[(port, "primary")]);
    let config = weir.dir().join("pgweir.ini");
    let run = common::weir::run_pgweir(&["check", config.to_str().unwrap()]);
    assert!(!run.status.success(), "{run:?}");
    assert!(run.stdout.contains("error: app: discover=repmgr: 127.0.0.1"), "{run:?}");
    weir.stop();
}

// ---- Patroni ----

/// An entry over a cluster of Patroni's, of which only the first member is named.
fn weir_over(patroni: &Patroni) -> Weir {
    let (port, api) = (patroni.ports()[0], patroni.apis()[0]);
    weir(&format!(
        "host=127.0.0.1 port={port} discover=patroni discover_from=http://127.0.0.1:{api}"
    ))
}

/// Clients that write on and on; what they complain of.
fn writers(weir: &Weir, work: impl FnOnce()) -> (usize, Vec<String>) {
    const CLIENTS: usize = 4;
    let mut wire = Wire::tcp(weir.port(), "app", "app").unwrap();
    wire.query("CREATE TABLE IF NOT EXISTS writes (seq int)").unwrap();
    let (stop, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    let complaints = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let (port, stop, done) = (weir.port(), &stop, &done);
                scope.spawn(move || {
                    let mut wire = Wire::tcp(port, "app", "app").unwrap();
                    let mut complaints = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        match wire.query("INSERT INTO writes VALUES (1)") {
                            Ok(_) => drop(done.fetch_add(1, Ordering::Relaxed)),
                            Err(error) => complaints.push(error.to_string()),
                        }
                    }
                    complaints
                })
            })
            .collect();
        work();
        let from = done.load(Ordering::Relaxed);
        wait::until("further writes", 2 * wait::DEADLINE, || {
            done.load(Ordering::Relaxed) > from + 100
        });
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    (done.load(Ordering::Relaxed), complaints)
}

#[test]
fn patronis_members_are_the_hosts_as_they_come_and_go() {
    if !managers::are_installed(&managers::patroni::PROGRAMS) {
        return;
    }
    let mut patroni = Patroni::start(2);
    let weir = weir_over(&patroni);
    let ports = patroni.ports();
    wait_topology(&weir, &[(ports[0], "primary"), (ports[1], "replica")]);
    let mut wire = Wire::tcp(weir.port(), "app", "app").unwrap();
    wait_read_on_replica(&mut wire, "a member that was found to serve");

    let third = patroni.add();
    let port = patroni.ports()[third];
    wait_topology(&weir, &[(ports[0], "primary"), (ports[1], "replica"), (port, "replica")]);
    // The only member that the file names is lost; the others are known on.
    patroni.nodes[0].kill();
    let leader = patroni.wait_other_leader(0);
    let other = if leader == 1 { port } else { ports[1] };
    wait_topology(&weir, &[(patroni.ports()[leader], "primary"), (other, "replica")]);
    wire.query("CREATE TABLE t ()").unwrap();
    weir.stop();
}

#[test]
fn a_switchover_that_patroni_has_planned_costs_no_client_an_error() {
    if !managers::are_installed(&managers::patroni::PROGRAMS) {
        return;
    }
    let patroni = Patroni::start(2);
    let weir = weir_over(&patroni);
    let ports = patroni.ports();
    wait_topology(&weir, &[(ports[0], "primary"), (ports[1], "replica")]);
    let (written, complaints) = writers(&weir, || {
        patroni.switchover(1, Some(Duration::from_secs(5)));
        weir.wait_show("SHOW EVENTS", "event", "switchover announced");
        patroni.wait_other_leader(0);
        wait_topology(&weir, &[(ports[0], "replica"), (ports[1], "primary")]);
    });
    assert_eq!(complaints, [] as [String; 0]);
    let mut wire = Wire::tcp(weir.port(), "app", "app").unwrap();
    assert_eq!(wire.query("SELECT count(*) FROM writes").unwrap().one(), written.to_string());
    weir.stop();
}

// ---- pg_auto_failover ----

#[test]
fn the_monitors_nodes_of_pg_auto_failover_are_the_hosts_and_its_failover_is_followed() {
    if !managers::are_installed(&managers::auto_failover::PROGRAMS) {
        return;
    }
    let mut cluster = AutoFailover::start(2);
    let ports = cluster.ports();
    let monitor = cluster.monitor.port();
    let weir = weir(&format!(
        "host=127.0.0.1 port={} discover=pg_auto_failover discover_from='host=127.0.0.1 port={monitor}'",
        ports[0]
    ));
    wait_topology(&weir, &[(ports[0], "primary"), (ports[1], "replica")]);
    let mut wire = Wire::tcp(weir.port(), "app", "app").unwrap();
    wait_read_on_replica(&mut wire, "a node that was found to serve");

    let third = cluster.add();
    let port = cluster.ports()[third];
    wait_topology(&weir, &[(ports[0], "primary"), (ports[1], "replica"), (port, "replica")]);
    cluster.wait_settled();

    // The monitor is no part of the way: without it the hosts stay, and are followed on.
    cluster.switchover();
    let moved = || topology(&weir).iter().any(|host| host.1 == "primary" && host.0 != ports[0]);
    wait::until("another primary", 3 * wait::DEADLINE, moved);
    wire.query("CREATE TABLE t ()").unwrap();
    cluster.wait_settled();
    cluster.monitor.kill();
    weir.wait_log("the hosts stay as they are");
    wire.query("DROP TABLE t").unwrap();
    assert_eq!(topology(&weir).len(), 3);
    weir.stop();
}
