//! Reads that find a replica by themselves (`route_reads = auto`), and requests that are run again on another host when
//! the first one cannot run them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use std::thread;

use bytes::BytesMut;
use common::{Cluster, Setup, Signal, Weir, WeirSetup, Wire, wait};
use postgres_protocol::message::frontend;

/// Which server answers: a stable function, unlike `pg_is_in_recovery`.
const WHO: &str = "SELECT inet_server_port()";

fn setup(cluster: &Cluster) -> WeirSetup {
    let entry = format!("{} route_reads=auto", cluster.entry("app"));
    Weir::setup()
        .database(&entry)
        .setting("pool_mode", "transaction")
        .setting("topology_user", "app")
}

fn client(weir: &Weir) -> Wire {
    Wire::tcp(weir.port(), "app", "app").unwrap()
}

/// Waits until the catalog was read, so that reads are known as such.
fn wait_routed(weir: &Weir, cluster: &Cluster) {
    let mut wire = client(weir);
    let primary = cluster.primary().port().to_string();
    wait::until("a read on a replica", wait::DEADLINE, || {
        wire.query(WHO).unwrap().one() != primary
    });
}

fn moved(weir: &Weir, reason: &str) -> f64 {
    let labels = [("database", "app"), ("reason", reason)];
    weir.metric("pgweir_routing_moved_total", &labels).unwrap_or_default()
}

fn one_by_extended(wire: &mut Wire, sql: &str) -> String {
    let mut batch = BytesMut::new();
    frontend::parse("", sql, [], &mut batch).unwrap();
    let none = std::iter::empty::<()>();
    let bound = frontend::bind(
        "",
        "",
        [],
        none,
        |(), _| Ok(postgres_protocol::IsNull::Yes),
        [],
        &mut batch,
    );
    assert!(bound.is_ok());
    frontend::describe(b'P', "", &mut batch).unwrap();
    frontend::execute("", 0, &mut batch).unwrap();
    frontend::sync(&mut batch);
    wire.send(&batch).unwrap();
    wire.answer().unwrap().get(0, first(sql)).to_owned()
}

#[test]
fn single_reads_go_to_replicas_and_everything_else_to_the_primary() {
    let cluster = Setup::new()
        .sql("CREATE TABLE t (a int); ALTER TABLE t OWNER TO app")
        .sql("CREATE SEQUENCE s; GRANT ALL ON SEQUENCE s TO app")
        .sql("CREATE FUNCTION steady() RETURNS int STABLE LANGUAGE sql AS 'SELECT inet_server_port()'")
        .cluster(1);
    let [primary, replica] = [0, 1].map(|node: usize| cluster.nodes[node].port().to_string());
    let weir = setup(&cluster).start();
    wait_routed(&weir, &cluster);
    let mut wire = client(&weir);
    for read in [
        WHO,
        "select inet_server_port() as p, 'constants', 17 -- and comments",
        "SELECT steady()",
        "WITH w AS (VALUES (1)) SELECT inet_server_port() FROM w",
    ] {
        assert_eq!(wire.query(read).unwrap().get(0, first(read)), replica, "{read}");
        assert_eq!(one_by_extended(&mut wire, read), replica, "{read}");
    }
    for other in [
        "SELECT inet_server_port() FROM nextval('s')",
        "SELECT inet_server_port() FROM (SELECT 1) x FOR UPDATE",
        "INSERT INTO t VALUES (1) RETURNING inet_server_port()",
        "WITH w AS (INSERT INTO t VALUES (2) RETURNING 1) SELECT inet_server_port() FROM w",
        "SELECT inet_server_port() FROM (SELECT random()) r",
        "/* pgweir: route=primary */ SELECT inet_server_port()",
    ] {
        assert_eq!(wire.query(other).unwrap().one(), primary, "{other}");
        assert_eq!(one_by_extended(&mut wire, other), primary, "{other}");
    }
    // Neither part of a block nor of a string of several: where one goes all go.
    wire.query("BEGIN").unwrap();
    assert_eq!(wire.query(WHO).unwrap().one(), primary);
    wire.query("COMMIT").unwrap();
    assert_eq!(wire.query(&format!("SELECT WHERE false; {WHO}")).unwrap().one(), primary);
    weir.stop();
}

/// The name of the first column.
fn first(read: &str) -> &str {
    match read {
        read if read.contains("as p") => "p",
        read if read.contains("steady") => "steady",
        read if read.contains("liar") => "liar",
        _ => "inet_server_port",
    }
}

#[test]
fn what_a_replica_cannot_run_runs_on_the_primary_unseen() {
    let cluster = Setup::new()
        .sql("CREATE TABLE t (a int); ALTER TABLE t OWNER TO app")
        .sql("CREATE UNLOGGED TABLE u (a int); GRANT ALL ON u TO app")
        .sql("CREATE FUNCTION liar() RETURNS int STABLE LANGUAGE plpgsql AS \
              'BEGIN PERFORM writes(); RETURN 1; END'")
        .sql("CREATE FUNCTION writes() RETURNS void VOLATILE LANGUAGE sql AS 'INSERT INTO t VALUES (1)'")
        .cluster(1);
    let weir = setup(&cluster).start();
    wait_routed(&weir, &cluster);
    let mut wire = client(&weir);
    // Declared as one that only looks.
    assert_eq!(wire.query("SELECT liar()").unwrap().one(), "1");
    assert_eq!(one_by_extended(&mut wire, "SELECT liar() /* again */"), "1");
    assert_eq!(moved(&weir, "refused"), 1.0, "the text is remembered");
    assert_eq!(cluster.primary().query("SELECT count(*) FROM t").one(), "2");
    // Not there on a replica.
    assert_eq!(wire.query("SELECT count(*) FROM u").unwrap().one(), "0");
    assert_eq!(moved(&weir, "refused"), 2.0);
    // Made just now, and not there yet.
    cluster.nodes[1].query("SELECT pg_wal_replay_pause()");
    wire.query("CREATE TABLE fresh ()").unwrap();
    assert_eq!(wire.query("SELECT count(*) FROM fresh").unwrap().one(), "0");
    assert_eq!(moved(&weir, "refused"), 3.0);
    cluster.nodes[1].query("SELECT pg_wal_replay_resume()");
    // A mistake is told as ever.
    assert_eq!(wire.query("SELECT count(*) FROM nowhere").unwrap_err().code(), "42P01");
    weir.stop();
}

#[test]
fn a_read_on_a_replica_that_ends_or_recovers_is_answered_by_another_host() {
    let mut cluster = Setup::new()
        .setting("max_standby_streaming_delay", "0")
        .sql("CREATE TABLE t AS SELECT 1 AS a; GRANT ALL ON t TO app")
        .cluster(1);
    let weir = setup(&cluster).start();
    wait_routed(&weir, &cluster);
    let running = |cluster: &Cluster| {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        wait::until("the query on the replica", wait::DEADLINE, || {
            cluster.nodes[1].query(sql).one() == "1"
        });
    };
    let ask = |weir: &Weir| {
        let mut wire = client(weir);
        thread::spawn(move || {
            let sql = "/* pgweir: route=replica */ SELECT count(*) FROM t, pg_sleep(1)";
            wire.query(sql).unwrap().one().to_owned()
        })
    };
    let answer = ask(&weir);
    running(&cluster);
    cluster.primary().query("TRUNCATE t");
    assert_eq!(answer.join().unwrap(), "0");
    assert_eq!(moved(&weir, "conflict"), 1.0);

    cluster.wait_replicated();
    let answer = ask(&weir);
    running(&cluster);
    cluster.nodes[1].kill(Signal::KILL);
    assert_eq!(answer.join().unwrap(), "0");
    assert_eq!(moved(&weir, "lost"), 1.0);
    weir.stop();
}

#[test]
fn in_a_pipeline_a_write_behind_a_read_goes_to_the_primary() {
    let cluster = Setup::new().sql("CREATE TABLE t (a int); ALTER TABLE t OWNER TO app").cluster(1);
    let weir = setup(&cluster).start();
    wait_routed(&weir, &cluster);
    let mut wire = client(&weir);
    let mut batch = BytesMut::new();
    for sql in [
        "BEGIN READ ONLY",
        "SELECT 1",
        "COMMIT",
        "INSERT INTO t VALUES (1)",
        WHO,
        "INSERT INTO t VALUES (2)",
    ] {
        frontend::query(sql, &mut batch).unwrap();
    }
    wire.send(&batch).unwrap();
    let answers: Vec<_> = (0..6).map(|_| wire.answer()).collect();
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(cluster.primary().query("SELECT count(*) FROM t").one(), "2");
    weir.stop();
}

#[test]
fn a_write_that_meets_a_primary_which_was_just_demoted_waits_for_the_next_one() {
    let mut cluster =
        Setup::new().sql("CREATE TABLE t (a int); ALTER TABLE t OWNER TO app").cluster(1);
    // So slow that the monitor hardly finds out by itself.
    let weir = setup(&cluster).setting("topology_interval", 25).start();
    let mut wire = client(&weir);
    wire.query("INSERT INTO t VALUES (1)").unwrap();
    weir.console("RECONNECT app");
    cluster.primary_mut().stop();
    cluster.demote(0, 1);
    thread::scope(|scope| {
        let write = scope.spawn(|| wire.query("INSERT INTO t VALUES (2)").map(drop));
        wait::until("the write to be held", wait::DEADLINE, || {
            weir.metric("pgweir_topology_held_clients", &[("database", "app")]) == Some(1.0)
        });
        cluster.promote(1);
        write.join().unwrap().unwrap();
    });
    assert_eq!(cluster.primary().query("SELECT count(*) FROM t").one(), "2");
    weir.stop();
}
