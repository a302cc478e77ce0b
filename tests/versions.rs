//! PostgreSQL 13 to 18: the same smoke test against a server of each, and a failover.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use bytes::Bytes;
use common::{
    Cluster, Installation, Password, Postgres, Setup, Signal, Weir, Wire, cancel, psql, wait,
};
use futures_util::{SinkExt, TryStreamExt};
use tokio_postgres::{Client, NoTls};

const VERSIONS: [u32; 6] = [13, 14, 15, 16, 17, 18];

#[test]
fn postgresql_13() {
    works_with(13);
}

#[test]
fn postgresql_14() {
    works_with(14);
}

#[test]
fn postgresql_15() {
    works_with(15);
}

#[test]
fn postgresql_16() {
    works_with(16);
}

#[test]
fn postgresql_17() {
    works_with(17);
}

#[test]
fn postgresql_18() {
    works_with(18);
}

/// Its output is shown even though it passes: see .config/nextest.toml.
#[test]
fn skipped_versions_are_named() {
    let missing: Vec<_> =
        VERSIONS.into_iter().filter(|major| Installation::of_major(*major).is_none()).collect();
    for major in &missing {
        eprintln!("SKIPPED: PostgreSQL {major}: not installed, `make setup` could not fetch it");
    }
    eprintln!("PostgreSQL: {} versions tested, {} skipped", 6 - missing.len(), missing.len());
    assert!(missing.len() < VERSIONS.len(), "not even the usual PostgreSQL is among them");
}

fn works_with(major: u32) {
    let Some(installation) = Installation::of_major(major) else {
        return eprintln!("SKIPPED: PostgreSQL {major}: not installed");
    };
    let server = Setup::new()
        .installation(&installation)
        .hba("host all app 127.0.0.1/32 trust")
        .hba("host all old 127.0.0.1/32 md5")
        .hba("host all new 127.0.0.1/32 scram-sha-256")
        .role("old", Password::Md5("old secret"))
        .role("new", Password::Scram("new secret"))
        .start();
    let shown = server.query("SHOW server_version").one().to_owned();
    assert!(shown.starts_with(&major.to_string()), "{shown}");
    logins(&server, major);
    let weir = Weir::setup()
        .server(&server)
        .setting("pool_mode", "transaction")
        .setting("default_pool_size", 2)
        .start();
    errors_and_last_words(&weir, &server);
    settings_follow(&weir);
    cancels(&weir, &server);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        prepared_over_two_servers(&weir).await;
        copies(&weir).await;
    });
    weir.stop();
    drop(server);
    follows_a_failover(&installation);
}

/// By password, on both sides of pgweir.
fn logins(server: &Postgres, major: u32) {
    for (user, auth_type) in [("old", "md5"), ("new", "scram-sha-256")] {
        let secret = format!("{user} secret");
        let weir = Weir::setup().server(server).user(user, &secret).setting("auth_type", auth_type);
        let weir = weir.start();
        let login = weir.login(user, "app");
        let shown = psql(
            &login.clone().password(&secret),
            "SELECT current_user, current_setting('server_version_num')",
        );
        assert!(shown.ok().starts_with(&format!("{user}|{major}")), "{shown:?}");
        let wrong = psql(&login.password("guessed"), "SELECT 1");
        assert!(wrong.failed().contains("authentication failed"), "{wrong:?}");
        weir.stop();
    }
}

fn client(weir: &Weir) -> Wire {
    Wire::tcp(weir.port(), "app", "app").unwrap()
}

fn errors_and_last_words(weir: &Weir, server: &Postgres) {
    let mut wire = client(weir);
    assert_eq!(wire.query("SELECT 1/0").unwrap_err().code(), "22012");
    assert_eq!(wire.query("SELECT 'goes on'").unwrap().one(), "goes on");
    wire.query("BEGIN").unwrap();
    let pid = wire.query("SELECT pg_backend_pid()").unwrap().one().to_owned();
    server.query(&format!("SELECT pg_terminate_backend({pid})"));
    assert_eq!(wire.query("SELECT 1").unwrap_err().code(), "57P01");
}

fn settings_follow(weir: &Weir) {
    let mut wire = client(weir);
    wire.query("SET timezone = 'Asia/Tokyo'").unwrap();
    let mut holder = client(weir);
    let first = wire.query("SELECT pg_backend_pid()").unwrap().one().to_owned();
    take(&mut holder, &first);
    assert_ne!(wire.query("SELECT pg_backend_pid()").unwrap().one(), first);
    assert_eq!(wire.query("SHOW timezone").unwrap().one(), "Asia/Tokyo");
}

/// Opens a transaction on this server, so that nobody else is given it.
fn take(holder: &mut Wire, pid: &str) {
    wait::until("a transaction on that server", wait::DEADLINE, || {
        holder.query("BEGIN").unwrap();
        let got = holder.query("SELECT pg_backend_pid()").unwrap().one() == pid;
        if !got {
            holder.query("ROLLBACK").unwrap();
        }
        got
    });
}

fn cancels(weir: &Weir, server: &Postgres) {
    let mut wire = client(weir);
    wire.start("SELECT pg_sleep(600)").unwrap();
    let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND state = 'active' AND query LIKE '%pg_sleep%'";
    wait::until("a sleeping query", wait::DEADLINE, || server.query(sleeping).one() == "1");
    cancel(weir.port(), wire.key()).unwrap();
    assert_eq!(wire.answer().unwrap_err().code(), "57014");
    assert_eq!(wire.query("SELECT 1").unwrap().one(), "1");
}

async fn connect(weir: &Weir) -> Client {
    let (client, connection) =
        tokio_postgres::connect(&weir.url("app", "app"), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// A statement runs on a server that has not seen its Parse.
async fn prepared_over_two_servers(weir: &Weir) {
    let client = connect(weir).await;
    let statement = client.prepare("SELECT pg_backend_pid(), $1::int4 + 1").await.unwrap();
    let run = async |number: i32| {
        let row = client.query_one(&statement, &[&number]).await.unwrap();
        assert_eq!(row.get::<_, i32>(1), number + 1);
        row.get::<_, i32>(0)
    };
    let first = run(1).await;
    let mut holder = self::client(weir);
    take(&mut holder, &first.to_string());
    assert_ne!(run(2).await, first);
    holder.query("ROLLBACK").unwrap();
}

async fn copies(weir: &Weir) {
    let mut client = connect(weir).await;
    let block = client.transaction().await.unwrap();
    block.batch_execute("CREATE TEMP TABLE copied (n int) ON COMMIT DROP").await.unwrap();
    let mut sink = std::pin::pin!(block.copy_in("COPY copied FROM STDIN").await.unwrap());
    for number in 0..1000 {
        sink.send(Bytes::from(format!("{number}\n"))).await.unwrap();
    }
    assert_eq!(sink.finish().await.unwrap(), 1000);
    let out = block.copy_out("COPY copied TO STDOUT").await.unwrap();
    let bytes: Vec<Bytes> = out.try_collect().await.unwrap();
    assert_eq!(bytes.concat().iter().filter(|byte| **byte == b'\n').count(), 1000);
    block.commit().await.unwrap();
}

/// The questions about a host's role have their answers in this version, and one that was promoted
/// is followed.
fn follows_a_failover(installation: &Installation) {
    let sql = "CREATE TABLE written (n int); ALTER TABLE written OWNER TO app";
    let mut cluster = Setup::new().installation(installation).cluster(1);
    cluster.primary().query(sql);
    let weir = Weir::setup().cluster(&cluster).setting("pool_mode", "transaction").start();
    wait_role(&weir, &cluster, 0, "primary");
    wait_role(&weir, &cluster, 1, "replica");
    // Who may only log in is told this much of a replica's timeline.
    let sql = "SELECT min_recovery_end_timeline FROM pg_control_recovery()";
    let told = Wire::tcp(cluster.nodes[1].port(), "app", "app").unwrap().query(sql).unwrap();
    assert_eq!(told.one(), "1");
    let mut wire = client(&weir);
    wire.query("INSERT INTO written VALUES (1)").unwrap();
    wire.query("BEGIN READ ONLY").unwrap();
    assert_eq!(wire.query("SELECT pg_is_in_recovery()").unwrap().one(), "t", "reads are balanced");
    wire.query("COMMIT").unwrap();

    cluster.wait_replicated();
    cluster.primary_mut().kill(Signal::KILL);
    cluster.promote(1);
    wait_role(&weir, &cluster, 1, "primary");
    wire.query("INSERT INTO written VALUES (2)").unwrap();
    assert_eq!(cluster.nodes[1].query("SELECT sum(n) FROM written").one(), "3");
    weir.stop();
}

fn wait_role(weir: &Weir, cluster: &Cluster, node: usize, role: &str) {
    let port = cluster.nodes[node].port().to_string();
    wait::until(&format!("node {node} shown as {role}"), wait::DEADLINE, || {
        let rows = weir.console("SHOW TOPOLOGY");
        let row = rows.find("port", &port).unwrap();
        rows.get(row, "role") == role
    });
}
