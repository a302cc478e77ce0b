//! `causal_reads = session`: who has written reads it again, whatever the replicas are late. `pgweir.min_lsn`: so does who
//! was handed a position.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]
#![expect(clippy::disallowed_methods, reason = "it measures how long it takes")]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{Cluster, Setup, Signal, Weir, WeirSetup, Wire, wait};
use tokio_postgres::NoTls;

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

/// Without `causal_reads`: whoever wants to see a position says so.
fn explicit(cluster: &Cluster) -> Weir {
    let setup = Weir::setup().cluster(cluster).setting("pool_mode", "transaction");
    let weir = setup.setting("topology_user", "app").start();
    wait_replicas(&weir, cluster);
    weir
}

fn client(weir: &Weir) -> Wire {
    Wire::tcp(weir.port(), "app", "app").unwrap()
}

fn write(wire: &mut Wire, id: usize) -> String {
    wire.query(&format!("INSERT INTO written VALUES ({id})")).unwrap();
    wire.query("SHOW pgweir.lsn").unwrap().one().to_owned()
}

fn waits_for(weir: &Weir, name: &str) -> String {
    let rows = weir.console("SHOW CLIENTS");
    rows.get(rows.find("application_name", name).unwrap(), "waits_for").to_owned()
}

#[test]
fn whoever_is_handed_a_token_reads_what_was_written_before_it() {
    let cluster = cluster(1);
    let [primary, replica] = [0, 1].map(|node: usize| cluster.ports()[node].to_string());
    let weir = explicit(&cluster);
    let (mut writer, mut stale) = (client(&weir), client(&weir));
    let mut reader =
        Wire::tcp_with(weir.port(), "app", "app", &[("application_name", "b")]).unwrap();
    cluster.nodes[1].query("SELECT pg_wal_replay_pause()");
    for id in 1..=5 {
        let token = write(&mut writer, id);
        assert!(token.starts_with("1/"), "{token}");
        reader.query(&format!("SET pgweir.min_lsn = '{token}'")).unwrap();
        assert_eq!(reader.query("SHOW pgweir.min_lsn").unwrap().one(), token);
        assert_eq!(waits_for(&weir, "b"), token[2..], "at once");
        assert_eq!(read(&mut reader, id), ("1".to_owned(), primary.clone()));
        assert_eq!(read(&mut stale, id), ("0".to_owned(), replica.clone()));
        // As a startup parameter, in either way, and for one transaction.
        let option = format!("-c pgweir.min_lsn={token}");
        for parameter in [("pgweir.min_lsn", &token[..]), ("options", &option)] {
            let mut asked = Wire::tcp_with(weir.port(), "app", "app", &[parameter]).unwrap();
            assert_eq!(read(&mut asked, id), ("1".to_owned(), primary.clone()));
            asked.query("SET pgweir.min_lsn = ''").unwrap();
            assert_eq!(read(&mut asked, id), ("0".to_owned(), replica.clone()));
            asked.query("RESET ALL").unwrap();
            assert_eq!(read(&mut asked, id), ("1".to_owned(), primary.clone()), "as at startup");
        }
        stale.query("BEGIN").unwrap();
        stale.query(&format!("SET LOCAL pgweir.min_lsn = '{token}'")).unwrap();
        stale.query("SET TRANSACTION READ ONLY").unwrap();
        let sql = "SELECT inet_server_port()";
        assert_eq!(stale.query(sql).unwrap().one(), primary);
        stale.query("COMMIT").unwrap();
    }
    let labels = [("database", "app"), ("reason", "own_writes")];
    let kept = weir.metric("pgweir_routing_decisions_total", &labels).unwrap_or_default();
    assert!(kept >= 20.0, "{kept}");
    // PostgreSQL's own position, as an application gets it, counts on the primary's timeline.
    let position = writer.query("SELECT pg_current_wal_insert_lsn()").unwrap().one().to_owned();
    reader.query(&format!("SET pgweir.min_lsn = '{position}'")).unwrap();
    assert_eq!(read(&mut reader, 5), ("1".to_owned(), primary.clone()));
    // Back to whatever there is.
    for reset in ["RESET pgweir.min_lsn", "DISCARD ALL", "SET pgweir.min_lsn TO DEFAULT"] {
        reader.query(&format!("SET pgweir.min_lsn = '{position}'")).unwrap();
        reader.query(reset).unwrap();
        assert_eq!(read(&mut reader, 5), ("0".to_owned(), replica.clone()), "{reset}");
    }
    assert_eq!(waits_for(&weir, "b"), "");
    // Once the replica has it, it serves.
    let token = write(&mut writer, 6);
    reader.query(&format!("SET pgweir.min_lsn = '{token}'")).unwrap();
    assert_eq!(read(&mut reader, 6), ("1".to_owned(), primary));
    cluster.nodes[1].query("SELECT pg_wal_replay_resume()");
    wait::until("a read on the replica", wait::DEADLINE, || {
        let (count, host) = read(&mut reader, 6);
        assert_eq!(count, "1");
        host == replica
    });
    weir.stop();
}

#[test]
fn a_token_comes_in_about_a_round_trip_however_many_ask() {
    const CLIENTS: usize = 30;
    const TIMES: usize = 10;
    let cluster = cluster(1);
    // The hosts are asked every 30 seconds unless somebody waits: without the bell this would take minutes.
    let weir = Weir::setup().cluster(&cluster).setting("pool_mode", "transaction");
    let weir = weir.setting("topology_user", "app").setting("topology_interval", 30);
    let weir = weir.setting("max_replica_lag", 0).start();
    let began = Instant::now();
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            let weir = &weir;
            scope.spawn(move || {
                let mut wire = client(weir);
                for id in 0..TIMES {
                    let token = write(&mut wire, number * TIMES + id);
                    let sql = format!(
                        "SELECT pg_current_wal_insert_lsn() >= '{0}' AND '{0}' > '0/0'",
                        &token[2..]
                    );
                    assert_eq!(wire.query(&sql).unwrap().one(), "t", "{token}");
                }
            });
        }
    });
    let took = began.elapsed();
    assert!(took < wait::DEADLINE, "{took:?}");
    // In a transaction as well, where it holds its server.
    let mut wire = client(&weir);
    wire.query("BEGIN").unwrap();
    wire.query("SELECT 1").unwrap();
    assert!(wire.query("SHOW pgweir.lsn").unwrap().one().starts_with("1/"));
    assert_eq!(wire.query("SELECT 40 + 2").unwrap().one(), "42");
    wire.query("COMMIT").unwrap();
    // And as often as it is left.
    for _ in 0..20 {
        client(&weir).start("SHOW pgweir.lsn").unwrap();
    }
    assert!(write(&mut wire, CLIENTS * TIMES).starts_with("1/"));
    weir.stop();
}

#[tokio::test]
async fn the_extended_protocol_knows_tokens_too() {
    let cluster = cluster(1);
    let weir = explicit(&cluster);
    cluster.nodes[1].query("SELECT pg_wal_replay_pause()");
    let connect = async || {
        let (client, connection) =
            tokio_postgres::connect(&weir.url("app", "app"), NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    };
    let (writer, mut reader) = (connect().await, connect().await);
    let show = writer.prepare("SHOW pgweir.lsn").await.unwrap();
    assert_eq!(show.columns()[0].name(), "pgweir.lsn");
    for id in 1..=5_i64 {
        writer.execute("INSERT INTO written VALUES ($1)", &[&id]).await.unwrap();
        let token: String = writer.query_one(&show, &[]).await.unwrap().get(0);
        reader.execute(&format!("SET pgweir.min_lsn = '{token}'"), &[]).await.unwrap();
        let shown: String = reader.query_one("SHOW pgweir.min_lsn", &[]).await.unwrap().get(0);
        assert_eq!(shown, token);
        let read = reader.build_transaction().read_only(true).start().await.unwrap();
        let sql = "SELECT count(*) FROM written WHERE id = $1";
        assert_eq!(read.query_one(sql, &[&id]).await.unwrap().get::<_, i64>(0), 1);
        read.commit().await.unwrap();
    }
    // What is asked for behind a write in a pipeline is beyond it.
    for id in 6..=20_i64 {
        let sql = format!("INSERT INTO written VALUES ({id})");
        let insert = writer.prepare(&sql).await.unwrap();
        let (inserted, asked) =
            tokio::join!(writer.execute(&insert, &[]), writer.query_one(&show, &[]));
        inserted.unwrap();
        let token: String = asked.unwrap().get(0);
        reader.execute(&format!("SET pgweir.min_lsn = '{token}'"), &[]).await.unwrap();
        let read = reader.build_transaction().read_only(true).start().await.unwrap();
        let sql = "SELECT count(*) FROM written WHERE id = $1";
        assert_eq!(read.query_one(sql, &[&id]).await.unwrap().get::<_, i64>(0), 1);
        read.commit().await.unwrap();
    }
    let refused = reader.execute("SET pgweir.min_lsn = 'x'", &[]).await.unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "22023");
    drop((writer, reader));
    weir.stop();
}

#[test]
fn tokens_hold_over_a_failover() {
    let mut cluster = cluster(2);
    let weir = explicit(&cluster);
    let (mut writer, mut reader) = (client(&weir), client(&weir));
    let before = write(&mut writer, 1);
    cluster.wait_replicated();
    cluster.nodes[2].set("recovery_min_apply_delay", "1s");
    cluster.primary_mut().kill(Signal::KILL);
    wait::until("the loss of the primary", wait::DEADLINE, || {
        weir.console("SHOW TOPOLOGY").find("role", "primary").is_none()
    });
    // Who asks while there is none waits for the next.
    writer.start("SHOW pgweir.lsn").unwrap();
    cluster.promote(1);
    let token = writer.answer().unwrap().one().to_owned();
    assert!(token.starts_with("2/"), "{token}");
    for id in 2..20 {
        let after = write(&mut writer, id);
        for (token, id) in [(&before, 1), (&after, id)] {
            reader.query(&format!("SET pgweir.min_lsn = '{token}'")).unwrap();
            assert_eq!(read(&mut reader, id).0, "1", "{token}");
        }
    }
    // One of before, and one of now, are met by the new primary's replica.
    let late = cluster.ports()[2].to_string();
    for (token, id) in [(before, 1), (write(&mut writer, 20), 20)] {
        reader.query(&format!("SET pgweir.min_lsn = '{token}'")).unwrap();
        wait::until("a read on the replica of the new primary", wait::DEADLINE, || {
            let (count, host) = read(&mut reader, id);
            assert_eq!(count, "1");
            host == late
        });
    }
    // Of a timeline that nobody has seen: the primary, until it is there.
    reader.query("SET pgweir.min_lsn = '3/0/1'").unwrap();
    assert_eq!(read(&mut reader, 20), ("1".to_owned(), cluster.ports()[1].to_string()));
    weir.stop();
}

#[test]
fn a_token_that_makes_no_sense_or_has_no_use_is_refused() {
    let cluster = cluster(1);
    let plain = format!("plain = host=127.0.0.1 port={} dbname=app", cluster.ports()[0]);
    let weir = Weir::setup().cluster(&cluster).database(&plain).setting("pool_mode", "transaction");
    let weir = weir.setting("topology_user", "app").start();
    wait_replicas(&weir, &cluster);
    let mut wire = client(&weir);
    for value in ["x", "1", "1/1/1/1", "0/1/1", "1/g"] {
        let refused = wire.query(&format!("SET pgweir.min_lsn = '{value}'")).unwrap_err();
        assert_eq!(refused.code(), "22023", "{value}");
        assert!(refused.to_string().contains(value), "{refused}");
        let refused = Wire::tcp_with(weir.port(), "app", "app", &[("pgweir.min_lsn", value)]);
        assert_eq!(refused.err().unwrap().code(), "22023", "{value}");
    }
    // It fails no transaction.
    wire.query("BEGIN").unwrap();
    wire.query("INSERT INTO written VALUES (1)").unwrap();
    assert_eq!(wire.query("SET pgweir.min_lsn = 'x'").unwrap_err().code(), "22023");
    wire.query("COMMIT").unwrap();
    assert_eq!(read(&mut wire, 1).0, "1");
    assert_eq!(wire.query("SET pgweir.lsn = '1/1'").unwrap_err().code(), "55P02");
    // Where nobody follows the primary nobody knows.
    let mut wire = Wire::tcp(weir.port(), "app", "plain").unwrap();
    for sql in ["SHOW pgweir.lsn", "SET pgweir.min_lsn = '1/1'"] {
        let refused = wire.query(sql).unwrap_err();
        assert_eq!(refused.code(), "0A000", "{sql}");
    }
    assert_eq!(wire.query("SHOW pgweir.min_lsn").unwrap().one(), "");
    assert_eq!(wire.query("SELECT 1").unwrap().one(), "1");
    let asked = Wire::tcp_with(weir.port(), "app", "plain", &[("pgweir.min_lsn", "1/1")]);
    assert_eq!(asked.err().unwrap().code(), "0A000");
    weir.stop();
}

#[test]
fn an_entry_for_replicas_waits_for_one_that_has_replayed_so_far() {
    let cluster = cluster(1);
    let reads = cluster.entry("app").replace("app = ", "reads = ").replace("read-write", "standby");
    let weir = Weir::setup()
        .cluster(&cluster)
        .database(&reads)
        .setting("pool_mode", "transaction")
        .setting("topology_user", "app")
        .start();
    wait_replicas(&weir, &cluster);
    let (mut writer, mut reader) = (client(&weir), Wire::tcp(weir.port(), "app", "reads").unwrap());
    assert_eq!(reader.query("SELECT count(*) FROM written").unwrap().one(), "0");
    cluster.nodes[1].query("SELECT pg_wal_replay_pause()");
    let token = write(&mut writer, 1);
    assert_eq!(reader.query("SELECT count(*) FROM written").unwrap().one(), "0");
    reader.query(&format!("SET pgweir.min_lsn = '{token}'")).unwrap();
    reader.start("SELECT count(*) FROM written").unwrap();
    weir.wait_show("SHOW POOLS", "cl_waiting", "1");
    cluster.nodes[1].query("SELECT pg_wal_replay_resume()");
    assert_eq!(reader.answer().unwrap().one(), "1");
    weir.stop();
}

/// Monitors that may do no more than log in: a replica does not tell them its timeline. Nor does anybody flush a page on a
/// standby before the restartpoint, by which it would write down how far it is.
fn unprivileged(replicas: usize) -> Cluster {
    let cluster = Setup::new().setting("bgwriter_lru_maxpages", 0).cluster(replicas);
    let sql = "CREATE TABLE written (id bigint PRIMARY KEY); ALTER TABLE written OWNER TO app";
    cluster.primary().query(sql);
    cluster
}

fn wait_roles(weir: &Weir, ports: &[u16]) {
    for (number, port) in ports.iter().enumerate() {
        let role = if number == 0 { "primary" } else { "replica" };
        wait::until("the roles to be known", wait::DEADLINE, || {
            let rows = weir.console("SHOW TOPOLOGY");
            rows.get(rows.find("port", &port.to_string()).unwrap(), "role") == role
        });
    }
}

/// The replicas write down how far they have come.
fn restartpoint(cluster: &mut Cluster, replicas: &[usize]) {
    cluster.primary().query("CHECKPOINT");
    cluster.wait_replicated();
    for number in replicas {
        cluster.nodes[*number].query("CHECKPOINT");
    }
}

#[test]
fn with_a_role_that_may_only_log_in_replicas_serve_once_they_have_written_down_how_far_they_are() {
    let mut cluster = unprivileged(2);
    let weir = setup(&cluster).start();
    wait_roles(&weir, &cluster.ports());
    let mut wire = client(&weir);
    wire.query("INSERT INTO written VALUES (1)").unwrap();
    cluster.wait_replicated();
    for _ in 0..5 {
        assert_eq!(read(&mut wire, 1), ("1".to_owned(), cluster.ports()[0].to_string()));
    }
    restartpoint(&mut cluster, &[1, 2]);
    let replicas: Vec<_> = cluster.ports()[1..].iter().map(u16::to_string).collect();
    wait::until("a read on a replica", wait::DEADLINE, || {
        let (count, host) = read(&mut wire, 1);
        assert_eq!(count, "1");
        replicas.contains(&host)
    });
    // What they have replayed since then is not told.
    wire.query("INSERT INTO written VALUES (2)").unwrap();
    cluster.wait_replicated();
    for _ in 0..5 {
        assert_eq!(read(&mut wire, 2), ("1".to_owned(), cluster.ports()[0].to_string()));
    }
    cluster.primary_mut().kill(Signal::KILL);
    cluster.promote(1);
    wire.query("INSERT INTO written VALUES (3)").unwrap();
    for id in 1..=3 {
        assert_eq!(read(&mut wire, id), ("1".to_owned(), cluster.ports()[1].to_string()));
    }
    restartpoint(&mut cluster, &[2]);
    wait::until("a read on the replica of the new primary", wait::DEADLINE, || {
        let (count, host) = read(&mut wire, 3);
        assert_eq!(count, "1");
        host == replicas[1]
    });
    weir.stop();
}

#[test]
fn a_replica_that_has_gone_to_another_timeline_unseen_does_not_pass_for_one_that_has_the_write() {
    let mut cluster = unprivileged(2);
    let ports = cluster.ports();
    let entry = format!(
        "app = host=127.0.0.1,127.0.0.1 port={},{} dbname=app target_session_attrs=read-write",
        ports[0], ports[2]
    );
    let weir = Weir::setup().database(&entry).setting("pool_mode", "transaction");
    let weir = weir.setting("topology_user", "app").setting("causal_reads", "session").start();
    wait_roles(&weir, &[ports[0], ports[2]]);
    restartpoint(&mut cluster, &[2]);
    // Somebody whom pgweir does not know is promoted; its new replica is far ahead of the primary that pgweir knows.
    cluster.promote(1);
    cluster.primary().query("CREATE TABLE more AS SELECT generate_series(1, 100000)");
    let far = cluster.primary().query("SELECT pg_current_wal_lsn()").one().to_owned();
    let sql = format!("SELECT pg_last_wal_replay_lsn() >= '{far}'");
    wait::until("the replica to be ahead", wait::DEADLINE, || {
        cluster.nodes[2].query(&sql).one() == "t"
    });
    let mut wire = client(&weir);
    for id in 1..=10 {
        wire.query(&format!("INSERT INTO written VALUES ({id})")).unwrap();
        let since = Instant::now();
        while since.elapsed() < Duration::from_millis(300) {
            assert_eq!(read(&mut wire, id), ("1".to_owned(), ports[0].to_string()));
        }
    }
    weir.stop();
}

#[test]
fn who_asks_where_the_primary_is_waits_no_longer_than_failover_timeout() {
    let mut cluster = cluster(1);
    let weir = setup(&cluster).setting("failover_timeout", 1).start();
    wait_replicas(&weir, &cluster);
    let mut idle = client(&weir);
    let mut inside = client(&weir);
    // One that holds a server of the replica is told as well, and loses no more than its connection.
    inside.query("BEGIN READ ONLY").unwrap();
    inside.query("SELECT 1").unwrap();
    cluster.primary_mut().kill(Signal::KILL);
    wait::until("the loss of the primary", wait::DEADLINE, || {
        weir.console("SHOW TOPOLOGY").find("role", "primary").is_none()
    });
    for wire in [&mut idle, &mut inside] {
        let refused = wire.query("SHOW pgweir.lsn").unwrap_err();
        assert_eq!(refused.code(), "57P03", "{refused}");
    }
    assert_eq!(weir.metric("pgweir_topology_held_clients", &[]), Some(0.0));
    // Nor is it in the way of the next.
    cluster.promote(1);
    assert!(client(&weir).query("SHOW pgweir.lsn").unwrap().one().starts_with("2/"));
    weir.stop();
}
