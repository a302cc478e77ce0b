//! Reads that find a replica by themselves (`route_reads = auto`), and requests that are run again on another host when
//! the first one cannot run them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]
#![allow(clippy::disallowed_methods, reason = "that nothing happens for a while is looked at")]

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
    let again = "SELECT count(*) FROM fresh WHERE 1 = ";
    for number in 0..3 {
        assert_eq!(wire.query(&format!("{again}{number}")).unwrap().one(), "0");
    }
    assert_eq!(moved(&weir, "refused"), 4.0, "for a while no replica is tried with that");
    cluster.nodes[1].query("SELECT pg_wal_replay_resume()");
    // A mistake is told as ever.
    assert_eq!(wire.query("SELECT count(*) FROM nowhere").unwrap_err().code(), "42P01");
    weir.stop();
}

/// What SHOW ROUTES has of the text that begins so, once a replica has been asked.
fn wait_trial(weir: &Weir, text: &str) -> [String; 3] {
    let mut wire = client(weir);
    wait::value(&format!("a trial of {text}"), wait::DEADLINE, || {
        // Somebody has to come by, if no connection could be spared before.
        wire.query(WHO).unwrap();
        let rows = weir.console("SHOW ROUTES");
        let row = (0..rows.rows.len()).find(|row| rows.get(*row, "text").starts_with(text))?;
        let columns = ["target", "reason", "trial"].map(|column| rows.get(row, column).to_owned());
        (columns[2] != "not yet" && !columns[1].contains("was not read yet")).then_some(columns)
    })
}

#[test]
fn shadow_tells_which_texts_a_replica_would_refuse_and_runs_nothing_there() {
    let mut cluster = Setup::new()
        .sql("CREATE TABLE plain (a int); ALTER TABLE plain OWNER TO app")
        .sql("CREATE UNLOGGED TABLE u (a int); GRANT ALL ON u TO app")
        .sql("CREATE SCHEMA side CREATE TABLE hidden (a int); GRANT ALL ON SCHEMA side TO app")
        .sql("GRANT ALL ON side.hidden TO app")
        .sql("CREATE FUNCTION slow() RETURNS void STABLE LANGUAGE sql AS 'SELECT pg_sleep(3600)'")
        .cluster(1);
    cluster.wait_replicated();
    let setup = Weir::setup().cluster(&cluster).setting("pool_mode", "transaction");
    let weir = setup.setting("topology_user", "app").setting("route_reads", "shadow").start();
    let mut wire = client(&weir);
    wire.query("CREATE TEMP TABLE mine (a int)").unwrap();
    let options = [("options", "-c search_path=side")];
    let mut aside = Wire::tcp_with(weir.port(), "app", "app", &options).unwrap();
    wait::until("the catalog to be read", wait::DEADLINE, || {
        wire.query(WHO).unwrap();
        weir.console("SHOW ROUTES").find("target", "replica").is_some()
    });
    for text in [
        "SELECT count(*) FROM plain",
        "SELECT count(*) FROM u WHERE a = 17",
        "SELECT 1 FROM slow() LIMIT 0",
        "INSERT INTO plain VALUES (1)",
    ] {
        wire.query(text).unwrap();
    }
    aside.query("SELECT count(*) FROM hidden").unwrap();
    // Whether it meets the server that has the table does not matter.
    let _ = wire.query("SELECT count(*) FROM mine");
    let primary = cluster.primary().port().to_string();
    let typed = "SELECT inet_server_port() FROM (SELECT $1::int + a FROM plain WHERE a = $2) x \
                 RIGHT JOIN (VALUES (1)) y ON true";
    assert_eq!(with_nulls(&mut wire, typed, 2), primary, "nothing is routed");

    let it_reads = ["replica", "it only reads", "ok"].map(str::to_owned);
    for text in
        ["SELECT count ( * ) FROM plain", "SELECT ? FROM slow", "SELECT count ( * ) FROM hidden"]
    {
        assert_eq!(wait_trial(&weir, text), it_reads, "{text}");
    }
    assert_eq!(wait_trial(&weir, "SELECT inet_server_port ( ) FROM ("), it_reads);
    for (text, words) in [
        ("SELECT count ( * ) FROM u", "0A000 cannot access temporary or unlogged relations"),
        ("SELECT count ( * ) FROM mine", "42P01 relation \"mine\" does not exist"),
    ] {
        let [target, reason, trial] = wait_trial(&weir, text);
        assert_eq!([&target[..], &reason], ["primary", "a replica would refuse it"], "{text}");
        assert!(trial.starts_with(words), "{trial}");
    }
    let [target, _, trial] = wait_trial(&weir, "INSERT");
    assert_eq!([&target[..], &trial], ["primary", ""], "no replica is asked");
    let explained = weir.console("EXPLAIN ROUTE SELECT count(*) FROM u WHERE a = 18");
    assert!(explained.get(0, "reason").contains("would refuse it: 0A000"), "{explained:?}");

    // Nothing is left behind on the replica.
    let busy = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND state <> 'idle' \
                AND query NOT LIKE '%pg_is_in_recovery%'";
    wait::until("the trials to be over", wait::DEADLINE, || {
        cluster.nodes[1].query(busy).one() == "0"
    });
    let path = wire.query("/* pgweir: route=replica */ SHOW search_path").unwrap();
    assert_eq!(path.one(), "\"$user\", public");

    // What is known by then need not be found out by clients.
    weir.console("SET route_reads = 'auto'");
    wait_routed(&weir, &cluster);
    wire.query("SELECT count(*) FROM u WHERE a = 18").unwrap();
    let _ = wire.query("SELECT count(*) FROM mine");
    assert_eq!(moved(&weir, "refused"), 0.0);
    weir.stop();
}

#[test]
fn a_trial_leaves_clients_a_server() {
    let mut cluster = Setup::new().sql("CREATE TABLE t (a int); GRANT ALL ON t TO app").cluster(1);
    cluster.wait_replicated();
    let setup = Weir::setup().cluster(&cluster).setting("pool_mode", "transaction");
    let setup = setup.setting("topology_user", "app").setting("route_reads", "shadow");
    let weir = setup.setting("default_pool_size", 2).start();
    weir.wait_show("SHOW TOPOLOGY", "reads", "yes");
    let (mut holder, mut wire) = (client(&weir), client(&weir));
    holder.query("BEGIN READ ONLY").unwrap();
    holder.query("SELECT 1").unwrap();
    wait::until("the catalog to be read", wait::DEADLINE, || {
        wire.query(WHO).unwrap();
        weir.console("SHOW ROUTES").find("target", "replica").is_some()
    });
    let until = std::time::Instant::now() + std::time::Duration::from_secs(3);
    while std::time::Instant::now() < until {
        wire.query("SELECT count(*) FROM t").unwrap();
        thread::sleep(std::time::Duration::from_millis(50));
    }
    let rows = weir.console("SHOW ROUTES");
    let row = rows.find("text", "SELECT count ( * ) FROM t").unwrap();
    assert_eq!(rows.get(row, "trial"), "not yet", "the second server is a client's");
    holder.query("COMMIT").unwrap();
    assert_eq!(wait_trial(&weir, "SELECT count ( * ) FROM t")[2], "ok");
    weir.stop();
}

/// A text with so many parameters, of types that nobody names: NULL for each.
fn with_nulls(wire: &mut Wire, sql: &str, parameters: usize) -> String {
    let mut batch = BytesMut::new();
    frontend::parse("", sql, [], &mut batch).unwrap();
    let nulls = vec![(); parameters];
    let null = |(), _: &mut _| Ok(postgres_protocol::IsNull::Yes);
    assert!(frontend::bind("", "", [], nulls, null, [], &mut batch).is_ok());
    frontend::describe(b'P', "", &mut batch).unwrap();
    frontend::execute("", 0, &mut batch).unwrap();
    frontend::sync(&mut batch);
    wire.send(&batch).unwrap();
    wire.answer().unwrap().one().to_owned()
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
