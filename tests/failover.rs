//! Failovers, seen by the clients: who is told what, who waits, and that no acknowledged write is lost.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use bytes::BytesMut;
use common::psql::start_psql;
use common::{Cluster, Password, ServerError, Setup, Signal, Weir, WeirSetup, Wire, psql, wait};
use postgres_protocol::message::frontend;

/// A primary with replicas, and a table without a key: a write that was done twice shall show.
fn cluster(replicas: usize) -> Cluster {
    let cluster = Setup::new().sql("GRANT pg_monitor TO app").cluster(replicas);
    let sql = "CREATE TABLE writes (writer int, seq int); ALTER TABLE writes OWNER TO app";
    cluster.primary().query(sql);
    cluster
}

/// An acknowledged write is on a replica, as it must be to survive. Kept in the primary alone: whoever is promoted
/// acknowledges by itself.
fn make_synchronous(cluster: &Cluster) {
    let primary = cluster.primary();
    primary.set("synchronous_standby_names", "ANY 1 (*)");
    let sql = "SELECT count(*) > 0 FROM pg_stat_replication WHERE sync_state = 'quorum'";
    wait::until("a synchronous replica", wait::DEADLINE, || primary.query(sql).one() == "t");
}

fn setup(cluster: &Cluster) -> WeirSetup {
    Weir::setup()
        .cluster(cluster)
        .setting("pool_mode", "transaction")
        .setting("topology_user", "app")
}

fn client(weir: &Weir) -> Wire {
    Wire::tcp(weir.port(), "app", "app").unwrap()
}

fn wait_topology(weir: &Weir, port: u16, column: &str, value: &str) {
    let what = format!("{column} = {value} for port {port} in SHOW TOPOLOGY");
    wait::until(&what, wait::DEADLINE, || {
        let rows = weir.console("SHOW TOPOLOGY");
        let row = rows.find("port", &port.to_string()).unwrap();
        rows.get(row, column) == value
    });
}

fn wait_held(weir: &Weir, count: f64) {
    let labels = [("database", "app")];
    wait::until(&format!("{count} held clients"), wait::DEADLINE, || {
        weir.metric("pgweir_topology_held_clients", &labels) == Some(count)
    });
}

/// Errors that a lost server may be told by.
fn is_loss(error: &ServerError) -> bool {
    ["08006", "57P01"].contains(&error.code())
}

/// What one writer saw.
#[derive(Debug, Default)]
struct Written {
    acknowledged: Vec<i32>,
    /// What it was told instead.
    errors: Vec<String>,
    /// Why its connection ended.
    dropped: Option<String>,
}

/// Writes one number after the other over one connection until told to stop.
fn write(port: u16, writer: i32, stop: &AtomicBool, done: &AtomicUsize) -> Written {
    let mut wire = Wire::tcp(port, "app", "app").unwrap();
    let mut written = Written::default();
    for seq in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let insert = format!("INSERT INTO writes VALUES ({writer}, {seq})");
        // Each kind of client: autocommit, a block, a block in one message.
        let outcome = match writer % 3 {
            0 => wire.query(&insert).map(drop),
            1 => block(&mut wire, &insert),
            _ => wire.query(&format!("BEGIN; {insert}; COMMIT")).map(drop),
        };
        match outcome {
            Ok(()) => {
                written.acknowledged.push(seq);
                done.fetch_add(1, Ordering::Relaxed);
            }
            Err(ServerError::Io(error)) => {
                written.dropped = Some(error.to_string());
                break;
            }
            Err(error) => {
                written.errors.push(error.to_string());
                if written.errors.len() > 5 {
                    break; // it will not recover
                }
            }
        }
    }
    written
}

/// A transaction as drivers run it: after an error it is rolled back, after a failed COMMIT it is over.
fn block(wire: &mut Wire, sql: &str) -> Result<(), ServerError> {
    wire.query("BEGIN")?;
    if let Err(error) = wire.query(sql) {
        if !matches!(error, ServerError::Io(_)) {
            wire.query("ROLLBACK")?;
        }
        return Err(error);
    }
    wire.query("COMMIT").map(drop)
}

/// Fails over under load; `lose` takes the primary away.
fn fail_over_under_load(lose: Signal) {
    const WRITERS: i32 = 6;
    let mut cluster = cluster(2);
    make_synchronous(&cluster);
    let weir = setup(&cluster).setting("topology_timeout", 1).start();
    let (stop, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    let more_writes = |count: usize, when: &str| {
        let from = done.load(Ordering::Relaxed);
        wait::until(&format!("{count} writes {when}"), wait::DEADLINE, || {
            done.load(Ordering::Relaxed) >= from + count
        });
    };
    let written: Vec<Written> = thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (port, stop, done) = (weir.port(), &stop, &done);
                scope.spawn(move || write(port, writer, stop, done))
            })
            .collect();
        more_writes(200, "before the failover");
        let old = cluster.primary().port();
        cluster.primary_mut().kill(lose);
        wait_topology(&weir, old, "state", "down");
        let received = |number: usize| {
            let sql = "SELECT pg_last_wal_receive_lsn() - '0/0'::pg_lsn";
            cluster.nodes[number].query(sql).one().parse::<u128>().unwrap()
        };
        let chosen = if received(1) >= received(2) { 1 } else { 2 };
        cluster.promote(chosen);
        more_writes(200, "after the failover");
        stop.store(true, Ordering::Relaxed);
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });

    let rows =
        cluster.primary().query("SELECT writer, seq, count(*) AS n FROM writes GROUP BY 1, 2");
    let found: BTreeMap<(i32, i32), i32> = (0..rows.rows.len())
        .map(|row| {
            let number = |column| rows.get(row, column).parse::<i32>().unwrap();
            ((number("writer"), number("seq")), number("n"))
        })
        .collect();
    assert!(found.values().all(|count| *count == 1), "doubled: {found:?}");
    for (writer, written) in (0..).zip(&written) {
        assert_eq!(written.dropped, None, "writer {writer}: {:?}", written.errors);
        assert!(written.errors.len() <= 1, "writer {writer}: {:?}", written.errors);
        for error in &written.errors {
            assert!(error.contains("08006") || error.contains("57P01"), "writer {writer}: {error}");
        }
        for seq in &written.acknowledged {
            assert!(found.contains_key(&(writer, *seq)), "writer {writer}: {seq} was lost");
        }
    }
    weir.stop();
}

#[test]
fn a_killed_primary_costs_no_connection_and_no_acknowledged_write() {
    fail_over_under_load(Signal::KILL);
}

#[test]
fn a_frozen_primary_is_found_out_and_clients_go_on_after_the_promotion() {
    fail_over_under_load(Signal::STOP);
}

#[test]
fn a_transaction_in_flight_gets_one_error_and_then_the_connection_goes_on() {
    let mut cluster = cluster(1);
    let weir = setup(&cluster).start();
    let (mut idle, mut failed) = (client(&weir), client(&weir));
    idle.query("SELECT 1").unwrap();
    failed.query("BEGIN").unwrap();
    failed.query("INSERT INTO writes VALUES (1, 1)").unwrap();
    let old = cluster.primary().port();
    cluster.primary_mut().kill(Signal::KILL);
    wait_topology(&weir, old, "state", "down");

    // Its statements must not run outside of the transaction that they were meant for.
    let error = failed.query("INSERT INTO writes VALUES (1, 2)").unwrap_err();
    assert!(is_loss(&error), "{error}");
    let error = failed.query("INSERT INTO writes VALUES (1, 3)").unwrap_err();
    assert_eq!(error.code(), "25P02", "{error}");
    failed.query("ROLLBACK").unwrap();
    cluster.promote(1);
    failed.query("INSERT INTO writes VALUES (1, 4)").unwrap();
    idle.query("INSERT INTO writes VALUES (2, 1)").unwrap();
    let sql = "SELECT string_agg(writer || '-' || seq, ' ' ORDER BY 1) FROM writes";
    assert_eq!(failed.query(sql).unwrap().one(), "1-4 2-1");
    weir.stop();
}

/// Loses the server while this COMMIT is in flight.
fn lose_commit(prepare: Option<&[u8]>, commit: &[u8]) {
    let mut cluster = cluster(1);
    // Nobody acknowledges: the COMMIT waits in the server, and is in flight when that dies.
    cluster.primary().set("synchronous_standby_names", "nobody");
    let weir = setup(&cluster).start();
    let mut wire = client(&weir);
    if let Some(prepare) = prepare {
        wire.send(prepare).unwrap();
        wire.answer().unwrap();
    }
    wire.query("BEGIN").unwrap();
    wire.query("INSERT INTO writes VALUES (1, 1)").unwrap();
    wire.send(commit).unwrap();
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    wait::until("a waiting COMMIT", wait::DEADLINE, || cluster.primary().query(waits).one() == "1");
    cluster.primary_mut().kill(Signal::KILL);
    let error = wire.answer().unwrap_err();
    assert!(is_loss(&error), "{error}");
    cluster.promote(1);
    // No driver rolls back after COMMIT.
    wire.query("BEGIN").unwrap();
    wire.query("INSERT INTO writes VALUES (1, 2)").unwrap();
    wire.query("COMMIT").unwrap();
    let sql = "SELECT count(*) FROM writes WHERE seq = 2";
    assert_eq!(cluster.primary().query(sql).one(), "1");
    weir.stop();
}

fn simple(sql: &str) -> BytesMut {
    let mut message = BytesMut::new();
    frontend::query(sql, &mut message).unwrap();
    message
}

fn parse(name: &str, sql: &str, to: &mut BytesMut) {
    frontend::parse(name, sql, [], to).unwrap();
}

fn bind_and_execute(statement: &str, to: &mut BytesMut) {
    let bound = frontend::bind(
        "",
        statement,
        [],
        std::iter::empty::<()>(),
        |(), _| Ok(postgres_protocol::IsNull::Yes),
        [],
        to,
    );
    assert!(bound.is_ok());
    frontend::execute("", 0, to).unwrap();
    frontend::sync(to);
}

#[test]
fn a_commit_whose_answer_was_lost_ends_the_transaction() {
    lose_commit(None, &simple("COMMIT"));
}

#[test]
fn so_does_one_of_the_extended_protocol() {
    let mut commit = BytesMut::new();
    parse("", "COMMIT", &mut commit);
    bind_and_execute("", &mut commit);
    lose_commit(None, &commit);
}

#[test]
fn so_does_a_prepared_one() {
    let (mut prepare, mut commit) = (BytesMut::new(), BytesMut::new());
    parse("commit", "COMMIT", &mut prepare);
    frontend::sync(&mut prepare);
    bind_and_execute("commit", &mut commit);
    lose_commit(Some(&prepare), &commit);
}

#[test]
fn a_client_without_a_primary_is_held_and_then_served() {
    let mut cluster = cluster(1);
    let weir = setup(&cluster).start();
    let (mut known, mut impatient) = (client(&weir), client(&weir));
    let old = cluster.primary().port();
    cluster.primary_mut().kill(Signal::KILL);
    wait_topology(&weir, old, "state", "down");
    thread::scope(|scope| {
        let known = scope.spawn(move || block(&mut known, "INSERT INTO writes VALUES (1, 1)"));
        let new = scope.spawn(|| block(&mut client(&weir), "INSERT INTO writes VALUES (2, 1)"));
        // One that leaves is no longer counted.
        impatient.send(&simple("SELECT 1")).unwrap();
        wait_held(&weir, 3.0);
        drop(impatient);
        wait_held(&weir, 2.0);
        cluster.promote(1);
        known.join().unwrap().unwrap();
        new.join().unwrap().unwrap();
    });
    assert_eq!(cluster.primary().query("SELECT count(*) FROM writes").one(), "2");
    wait_held(&weir, 0.0);
    weir.stop();
}

#[test]
fn a_login_without_a_primary_is_held_and_then_served() {
    let mut cluster = cluster(1);
    let weir = setup(&cluster).start();
    let old = cluster.primary().port();
    cluster.primary_mut().kill(Signal::KILL);
    wait_topology(&weir, old, "state", "down");
    // It must be told the server's settings, and no server of this user has told them yet.
    thread::scope(|scope| {
        let first = scope.spawn(|| block(&mut client(&weir), "INSERT INTO writes VALUES (1, 1)"));
        wait_held(&weir, 1.0);
        cluster.promote(1);
        first.join().unwrap().unwrap();
    });
    wait_held(&weir, 0.0);
    weir.stop();
}

#[test]
fn a_clients_settings_and_prepared_statements_are_there_on_the_new_primary() {
    let mut cluster = cluster(1);
    let weir = setup(&cluster).start();
    let mut wire = Wire::tcp_with(weir.port(), "app", "app", &[("work_mem", "77kB")]).unwrap();
    wire.query("SET timezone = 'Asia/Tokyo'; SET application_name = 'mover'").unwrap();
    let mut prepare = BytesMut::new();
    parse(
        "mine",
        "SELECT current_setting('timezone') || current_setting('work_mem')",
        &mut prepare,
    );
    frontend::sync(&mut prepare);
    wire.send(&prepare).unwrap();
    wire.answer().unwrap();
    let old = cluster.primary().port();
    cluster.primary_mut().kill(Signal::KILL);
    wait_topology(&weir, old, "state", "down");
    cluster.promote(1);
    let mut run = BytesMut::new();
    bind_and_execute("mine", &mut run);
    wire.send(&run).unwrap();
    assert_eq!(wire.answer().unwrap().one(), "Asia/Tokyo77kB");
    let there = "SELECT application_name || inet_server_port() FROM pg_stat_activity WHERE pid = pg_backend_pid()";
    assert_eq!(wire.query(there).unwrap().one(), format!("mover{}", cluster.primary().port()));
    weir.stop();
}

/// auth_query asks a replica while there is no primary, and goes by its last answer while there is nobody to ask.
#[test]
fn a_user_that_auth_query_knows_logs_in_while_there_is_no_primary() {
    let mut cluster = Setup::new()
        .role("ann", Password::Scram("first"))
        .role("pooler", Password::Scram("pooler-secret"))
        .sql("ALTER ROLE pooler SUPERUSER; GRANT pg_monitor TO app")
        .cluster(1);
    let weir = setup(&cluster)
        .setting("auth_type", "scram-sha-256")
        .setting("auth_user", "pooler")
        .user("pooler", "pooler-secret")
        .start();
    let login = |password| weir.login("ann", "app").password(password);
    let [primary, replica] = <[u16; 2]>::try_from(cluster.ports()).unwrap();
    assert_eq!(psql(&login("first"), "SELECT 1").ok(), "1");
    // What only a server can tell: the last answer still has the other one.
    cluster.primary().query("ALTER ROLE ann PASSWORD 'second'");
    cluster.wait_replicated();
    cluster.primary_mut().kill(Signal::KILL);
    wait_topology(&weir, primary, "state", "down");
    assert!(psql(&login("first"), "SELECT 1").failed().contains("SASL authentication failed"));
    let waiting = start_psql(&login("second"), "SELECT 'served'");
    wait_held(&weir, 1.0);

    cluster.nodes[1].kill(Signal::KILL);
    wait_topology(&weir, replica, "state", "down");
    let last = start_psql(&login("second"), "SELECT 'served too'");
    assert!(psql(&login("wrong"), "SELECT 1").failed().contains("SASL authentication failed"));
    wait_held(&weir, 2.0);
    weir.wait_log("its last answer for this user counts");
    cluster.nodes[0].start();
    assert_eq!(waiting.finish().ok(), "served");
    assert_eq!(last.finish().ok(), "served too");
    weir.stop();
}

#[test]
fn auth_query_turns_to_a_replica_when_the_primary_hangs_while_it_is_asked() {
    let mut cluster = Setup::new()
        .role("ann", Password::Scram("first"))
        .role("pooler", Password::Scram("pooler-secret"))
        .sql("ALTER ROLE pooler SUPERUSER; GRANT pg_monitor TO app")
        .cluster(1);
    let weir = setup(&cluster)
        .setting("auth_type", "scram-sha-256")
        .setting("auth_user", "pooler")
        .user("pooler", "pooler-secret")
        .start();
    let login = weir.login("ann", "app").password("first");
    assert_eq!(psql(&login, "SELECT 1").ok(), "1");
    wait_topology(&weir, cluster.ports()[1], "role", "replica");
    cluster.primary_mut().kill(Signal::STOP);
    let waiting = start_psql(&login, "SELECT 'served'");
    // It is logged in, and waits for a primary.
    wait::until("a client that waits", wait::DEADLINE, || {
        let rows = weir.console("SHOW CLIENTS");
        rows.find("user", "ann").is_some_and(|row| rows.get(row, "state") == "waiting")
    });
    cluster.primary_mut().kill(Signal::CONT);
    assert_eq!(waiting.finish().ok(), "served");
    weir.stop();
}

#[test]
fn a_client_is_held_no_longer_than_failover_timeout() {
    let mut cluster = cluster(1);
    let weir = setup(&cluster).setting("failover_timeout", 1).start();
    let mut wire = client(&weir);
    wire.query("SELECT 1").unwrap();
    let old = cluster.primary().port();
    cluster.primary_mut().kill(Signal::KILL);
    wait_topology(&weir, old, "state", "down");
    let error = wire.query("SELECT 1").unwrap_err();
    assert_eq!(error.code(), "57P03", "{error}");
    assert!(matches!(wire.message(), Err(ServerError::Io(_))), "its connection must end");
    wait_held(&weir, 0.0);
    weir.stop();
}

#[test]
fn an_old_primary_that_comes_back_is_deposed_and_gets_nothing() {
    let mut cluster = cluster(1);
    let weir = setup(&cluster).start();
    let mut wire = client(&weir);
    let (old, new) = (cluster.nodes[0].port(), cluster.nodes[1].port());
    cluster.primary_mut().kill(Signal::KILL);
    wait_topology(&weir, old, "state", "down");
    cluster.promote(1);
    wait_topology(&weir, new, "role", "primary");
    cluster.nodes[0].start();
    wait_topology(&weir, old, "role", "deposed");
    for seq in 0..30 {
        let sql = format!("INSERT INTO writes VALUES (1, {seq}) RETURNING inet_server_port()");
        assert_eq!(wire.query(&sql).unwrap().one(), new.to_string());
        let mut fresh = client(&weir);
        assert_eq!(fresh.query("SELECT inet_server_port()").unwrap().one(), new.to_string());
        // Nor is it a replica.
        fresh.query("BEGIN READ ONLY").unwrap();
        assert_eq!(fresh.query("SELECT inet_server_port()").unwrap().one(), new.to_string());
        fresh.query("COMMIT").unwrap();
    }
    assert_eq!(cluster.nodes[0].query("SELECT count(*) FROM writes").one(), "0");
    wait_topology(&weir, new, "role", "primary");
    weir.stop();
}

#[test]
fn show_topology_tells_the_roles_and_a_host_that_is_down_is_never_dialled() {
    let mut cluster = cluster(2);
    let weir = setup(&cluster).setting("topology_timeout", 1).start();
    let ports = cluster.ports();
    for (port, role) in ports.iter().zip(["primary", "replica", "replica"]) {
        wait_topology(&weir, *port, "role", role);
        wait_topology(&weir, *port, "state", "up");
        wait_topology(&weir, *port, "timeline", "1");
    }
    // It accepts connections, and never says a word.
    cluster.nodes[2].kill(Signal::STOP);
    wait_topology(&weir, ports[2], "state", "down");
    for _ in 0..20 {
        let mut wire = client(&weir);
        assert_eq!(wire.query("SELECT inet_server_port()").unwrap().one(), ports[0].to_string());
        wire.query("BEGIN READ ONLY").unwrap();
        assert_eq!(wire.query("SELECT inet_server_port()").unwrap().one(), ports[1].to_string());
        wire.query("COMMIT").unwrap();
    }
    let servers = weir.console("SHOW SERVERS");
    assert_eq!(servers.find("port", &ports[2].to_string()), None, "{servers:?}");
    // And it is used again when it answers again.
    cluster.nodes[2].kill(Signal::CONT);
    wait_topology(&weir, ports[2], "state", "up");
    weir.stop();
}
