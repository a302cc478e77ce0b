//! Hosts that nobody has written into the file (`discover`): found where the cluster knows of them itself, or its manager.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use common::{Cluster, Setup, Weir, Wire, wait};

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

/// Whether a transaction that only reads runs on a replica.
fn reads_on_replica(wire: &mut Wire) -> bool {
    wire.query("BEGIN READ ONLY").unwrap();
    let answer = wire.query("SELECT pg_is_in_recovery()").unwrap().one() == "t";
    wire.query("COMMIT").unwrap();
    answer
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
    assert!(reads_on_replica(&mut wire), "a host that was found serves");

    // The only host that the file names is lost; those that were found are known on.
    cluster.primary_mut().kill(rustix::process::Signal::KILL);
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
