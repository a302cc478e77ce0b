//! What places a transaction besides `BEGIN READ ONLY`: a statement after BEGIN, the session's defaults, and where the
//! session says that it wants to be.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

#[path = "../common/mod.rs"]
mod common;
mod drivers;

use common::{Cluster, Setup, Signal, Weir, WeirSetup, Wire, wait};
use tokio_postgres::NoTls;

const WHO: &str = "SELECT inet_server_port()";

struct Scene {
    cluster: Cluster,
    weir: Weir,
    primary: String,
    replica: String,
}

fn start() -> Scene {
    start_with(|setup| setup)
}

fn start_with(change: impl FnOnce(WeirSetup) -> WeirSetup) -> Scene {
    let cluster = Setup::new()
        .sql("CREATE TABLE t (a int); ALTER TABLE t OWNER TO app")
        .sql("CREATE ROLE reader LOGIN; ALTER ROLE reader SET default_transaction_read_only = on")
        .cluster(1);
    let setup = Weir::setup()
        .cluster(&cluster)
        .setting("pool_mode", "transaction")
        .setting("topology_user", "app")
        .user("reader", "secret");
    let weir = change(setup).start();
    let [primary, replica] = [0, 1].map(|node: usize| cluster.nodes[node].port().to_string());
    for (port, role) in [(&primary, "primary"), (&replica, "replica")] {
        wait::until("the roles to be known", wait::DEADLINE, || {
            let rows = weir.console("SHOW TOPOLOGY");
            rows.get(rows.find("port", port).unwrap(), "role") == role
        });
    }
    Scene { cluster, weir, primary, replica }
}

impl Scene {
    fn client(&self) -> Wire {
        Wire::tcp(self.weir.port(), "app", "app").unwrap()
    }
}

fn who(wire: &mut Wire) -> String {
    wire.query(WHO).unwrap().one().to_owned()
}

#[test]
fn the_first_statement_after_begin_may_say_where_its_transaction_runs() {
    let scene = start();
    let mut wire = scene.client();
    for (first, host) in [
        ("SET TRANSACTION READ ONLY", &scene.replica),
        ("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY", &scene.replica),
        ("/* pgweir: route=replica */ SELECT 1", &scene.replica),
        ("/* pgdog_role: replica */ SELECT 1", &scene.replica),
        ("SET LOCAL pgweir.route = replica", &scene.replica),
        ("SELECT 1", &scene.primary),
        ("SHOW pgweir.route", &scene.primary),
        ("SET TRANSACTION READ WRITE", &scene.primary),
    ] {
        for begin in ["BEGIN", "START TRANSACTION ISOLATION LEVEL REPEATABLE READ"] {
            wire.query(begin).unwrap();
            wire.query(first).unwrap();
            assert_eq!(&who(&mut wire), host, "{begin}; {first}");
            wire.query("COMMIT").unwrap();
        }
    }
    // What was begun is really begun.
    wire.query("BEGIN").unwrap();
    wire.query("INSERT INTO t VALUES (1)").unwrap();
    wire.query("ROLLBACK").unwrap();
    wire.query("BEGIN ISOLATION LEVEL SERIALIZABLE").unwrap();
    assert_eq!(wire.query("SHOW transaction_isolation").unwrap().one(), "serializable");
    assert_eq!(wire.query("SELECT 1/0").unwrap_err().code(), "22012");
    assert_eq!(wire.query("SELECT 1").unwrap_err().code(), "25P02");
    wire.query("COMMIT").unwrap();
    assert_eq!(wire.query("SELECT count(*) FROM t").unwrap().one(), "0");
    // No replica runs SERIALIZABLE: whoever asks for it has the primary, READ ONLY or not.
    for begin in ["BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY", "BEGIN"] {
        wire.query(begin).unwrap();
        wire.query("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE READ ONLY").unwrap();
        assert_eq!(who(&mut wire), scene.primary, "{begin}");
        wire.query("COMMIT").unwrap();
    }
    // COPY may be the first statement as well.
    wire.query("BEGIN").unwrap();
    assert_eq!(wire.query("COPY (SELECT 1) TO STDOUT").map(|_| ()).ok(), Some(()));
    wire.query("COMMIT").unwrap();
    wire.query("BEGIN").unwrap();
    wire.query("COMMIT").unwrap();
    scene.weir.stop();
}

#[test]
fn drivers_that_begin_by_themselves_are_placed_by_their_first_statement() {
    let scene = start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let url = scene.weir.url("app", "app");
    runtime.block_on(async {
        let (mut client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(connection);
        let transaction = client.transaction().await.unwrap();
        transaction.batch_execute("SET TRANSACTION READ ONLY").await.unwrap();
        let row = transaction.query_one(WHO, &[]).await.unwrap();
        assert_eq!(row.get::<_, i32>(0).to_string(), scene.replica);
        transaction.commit().await.unwrap();
        let transaction = client.transaction().await.unwrap();
        transaction.execute("INSERT INTO t VALUES ($1)", &[&1]).await.unwrap();
        transaction.commit().await.unwrap();
    });
    assert_eq!(scene.cluster.primary().query("SELECT count(*) FROM t").one(), "1");
    scene.weir.stop();
}

#[test]
fn a_failover_between_begin_and_the_first_statement_is_not_seen() {
    let mut scene = start();
    let mut wire = scene.client();
    wire.query("BEGIN").unwrap();
    scene.cluster.primary_mut().kill(Signal::KILL);
    scene.cluster.promote(1);
    wire.query("INSERT INTO t VALUES (1)").unwrap();
    wire.query("COMMIT").unwrap();
    assert_eq!(scene.cluster.primary().query("SELECT count(*) FROM t").one(), "1");
    scene.weir.stop();
}

#[test]
fn a_held_begin_is_an_idle_transaction_to_its_timeout() {
    let scene = start_with(|setup| setup.setting("idle_transaction_timeout", 1));
    let mut wire = scene.client();
    wire.query("BEGIN").unwrap();
    wait::until("the end of an idle transaction", wait::DEADLINE, || {
        scene.weir.log().contains("idle transaction timeout")
    });
    scene.weir.stop();
}

#[test]
fn a_transaction_begins_with_its_begin_to_the_transaction_timeout() {
    let scene = start_with(|setup| setup.setting("transaction_timeout", 3));
    let mut early = scene.client();
    early.query("SELECT 1").unwrap();
    let mut wire = scene.client();
    wire.query("BEGIN").unwrap();
    wait::until("the end of a transaction", wait::DEADLINE, || {
        scene.weir.log().contains("transaction timeout")
    });
    // One that begins only now is none that has lasted since the last.
    early.query("BEGIN").unwrap();
    early.query("SELECT pg_sleep(0.7)").unwrap();
    early.query("COMMIT").unwrap();
    scene.weir.stop();
}

#[test]
fn a_cancel_while_begin_is_held_back_hits_nobody() {
    let scene = start();
    let mut wire = scene.client();
    wire.query("BEGIN").unwrap();
    let (pid, secret) = wire.key();
    let mut socket = std::net::TcpStream::connect(("127.0.0.1", scene.weir.port())).unwrap();
    let mut request = bytes::BytesMut::new();
    postgres_protocol::message::frontend::cancel_request(pid, secret, &mut request);
    std::io::Write::write_all(&mut socket, &request).unwrap();
    // The end of it says that it was dealt with.
    assert_eq!(std::io::Read::read(&mut socket, &mut [0]).unwrap(), 0);
    wire.query("INSERT INTO t VALUES (1)").unwrap();
    wire.query("COMMIT").unwrap();
    assert_eq!(scene.cluster.primary().query("SELECT count(*) FROM t").one(), "1");
    scene.weir.stop();
}

#[test]
fn a_session_that_is_read_only_by_default_reads_on_replicas() {
    let scene = start();
    let mut wire = scene.client();
    for (on, off) in [
        ("SET default_transaction_read_only = on", "SET default_transaction_read_only = off"),
        (
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
        ),
        ("SET default_transaction_read_only TO true", "RESET default_transaction_read_only"),
    ] {
        wire.query(on).unwrap();
        for _ in 0..3 {
            assert_eq!(who(&mut wire), scene.replica, "{on}");
            // Another client on the same servers is not.
            let mut other = scene.client();
            assert_eq!(who(&mut other), scene.primary, "{on}");
            other.query("INSERT INTO t VALUES (1)").unwrap();
        }
        assert_eq!(wire.query("INSERT INTO t VALUES (1)").unwrap_err().code(), "25006");
        wire.query("BEGIN READ WRITE").unwrap();
        wire.query("INSERT INTO t VALUES (1)").unwrap();
        wire.query("COMMIT").unwrap();
        wire.query(off).unwrap();
        assert_eq!(who(&mut wire), scene.primary, "{off}");
        wire.query("INSERT INTO t VALUES (1)").unwrap();
    }
    // By ALTER ROLE, and at startup.
    let mut reader = Wire::tcp(scene.weir.port(), "reader", "app").unwrap();
    assert_eq!(who(&mut reader), scene.replica);
    for parameters in [
        [("default_transaction_read_only", "on")],
        [("options", "-c default_transaction_read_only=on")],
    ] {
        let mut asked = Wire::tcp_with(scene.weir.port(), "app", "app", &parameters).unwrap();
        for _ in 0..3 {
            assert_eq!(who(&mut asked), scene.replica, "{parameters:?}");
            assert_eq!(who(&mut wire), scene.primary);
        }
        asked.query("SET default_transaction_read_only = off").unwrap();
        assert_eq!(who(&mut asked), scene.primary);
        asked.query("RESET default_transaction_read_only").unwrap();
        assert_eq!(who(&mut asked), scene.replica, "as asked for at startup");
        assert_eq!(asked.query("SHOW default_transaction_read_only").unwrap().one(), "on");
    }
    scene.weir.stop();
}

#[test]
fn a_session_says_where_its_transactions_are_to_run() {
    let scene = start();
    let mut wire = scene.client();
    for (set, host) in [
        ("SET pgweir.route = replica", &scene.replica),
        ("SET pgweir.route TO 'primary'", &scene.primary),
        ("SET SERVER ROLE TO 'replica'", &scene.replica),
        ("SET pgdog.role = 'replica'", &scene.replica),
        ("RESET ALL", &scene.primary),
        ("SET pgweir.route = replica", &scene.replica),
        ("DISCARD ALL", &scene.primary),
        ("SET pgweir.route = replica", &scene.replica),
        ("RESET pgweir.route", &scene.primary),
    ] {
        wire.query(set).unwrap();
        assert_eq!(&who(&mut wire), host, "{set}");
        wire.query("BEGIN").unwrap();
        assert_eq!(&who(&mut wire), host, "{set}; BEGIN");
        wire.query("COMMIT").unwrap();
    }
    assert_eq!(wire.query("SHOW pgweir.route").unwrap().one(), "auto");
    assert_eq!(wire.query("SET pgweir.route = x").unwrap_err().code(), "22023");
    // Inside of a transaction it is pgweir's all the same, and holds from the next one on.
    wire.query("BEGIN").unwrap();
    assert_eq!(who(&mut wire), scene.primary);
    wire.query("SET pgweir.route = replica").unwrap();
    assert_eq!(wire.query("SHOW pgweir.route").unwrap().one(), "replica");
    assert_eq!(who(&mut wire), scene.primary);
    let unknown = wire.query("SELECT current_setting('pgweir.route')").unwrap_err();
    assert_eq!(unknown.code(), "42704", "PostgreSQL has not heard of it");
    wire.query("ROLLBACK").unwrap();
    assert_eq!(who(&mut wire), scene.replica);
    wire.query("RESET pgweir.route").unwrap();
    for parameters in [
        [("pgweir.route", "replica")],
        [("pgdog.role", "replica")],
        [("options", "-c pgweir.route=replica")],
    ] {
        let mut asked = Wire::tcp_with(scene.weir.port(), "app", "app", &parameters).unwrap();
        assert_eq!(who(&mut asked), scene.replica, "{parameters:?}");
        asked.query("SET pgweir.route = primary").unwrap();
        assert_eq!(who(&mut asked), scene.primary);
        asked.query("RESET pgweir.route").unwrap();
        assert_eq!(who(&mut asked), scene.replica);
    }
    let refused = Wire::tcp_with(scene.weir.port(), "app", "app", &[("pgweir.route", "x")]);
    assert_eq!(refused.err().unwrap().code(), "22023");
    scene.weir.stop();
}

#[test]
fn with_route_reads_off_only_hints_leave_the_primary() {
    let scene = start_with(|setup| setup.setting("route_reads", "off"));
    let mut wire = scene.client();
    wire.query("BEGIN READ ONLY").unwrap();
    assert_eq!(who(&mut wire), scene.primary);
    wire.query("COMMIT").unwrap();
    wire.query("/* pgweir: route=replica */ BEGIN").unwrap();
    assert_eq!(who(&mut wire), scene.replica);
    wire.query("COMMIT").unwrap();
    scene.weir.stop();
}

#[test]
fn explain_route_says_where_and_why_and_show_routes_what_auto_would_do() {
    let scene = start_with(|setup| setup.setting("route_reads", "shadow"));
    let mut wire = scene.client();
    wait::until("texts that are counted as reads", wait::DEADLINE, || {
        assert_eq!(who(&mut wire), scene.primary, "shadow routes nothing");
        let rows = scene.weir.console("SHOW ROUTES");
        rows.find("target", "replica")
            .is_some_and(|row| rows.get(row, "text") == "SELECT inet_server_port ( )")
    });
    wire.query("INSERT INTO t VALUES (17)").unwrap();
    let rows = scene.weir.console("SHOW ROUTES");
    let row = rows.find("target", "primary").unwrap();
    assert_eq!(rows.get(row, "text"), "INSERT INTO t VALUES ( ? )");
    assert!(rows.get(row, "reason").contains("InsertStmt"));
    let explain = |sql: &str| {
        let rows = scene.weir.console(&format!("EXPLAIN ROUTE {sql}"));
        (rows.get(0, "target").to_owned(), rows.get(0, "reason").to_owned())
    };
    let (target, reason) = explain("SELECT 1");
    assert_eq!(target, "primary");
    assert!(reason.contains("auto would send it to a replica"), "{reason}");
    assert_eq!(explain("BEGIN READ ONLY").0, "replica");
    let (target, reason) = explain("SELECT random()");
    assert!(target == "primary" && reason.contains("random is volatile"), "{reason}");
    scene.weir.stop();
}
