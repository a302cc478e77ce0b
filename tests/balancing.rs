//! Which host a transaction runs on.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::{Cluster, Signal, Weir, Wire, wait};

const LONG: Duration = Duration::from_secs(30);
const WHERE: &str = "SELECT inet_server_port()";

fn weir_over(cluster: &Cluster, replicas: usize) -> Weir {
    let weir = Weir::setup().cluster(cluster).setting("pool_mode", "transaction").start();
    wait::until("the replicas are known", LONG, || {
        let rows = weir.console("SHOW TOPOLOGY");
        (0..=replicas).filter(|row| rows.get(*row, "role") == "replica").count() == replicas
    });
    weir
}

/// Where the statement ran that follows `begin`.
fn runs_at(client: &mut Wire, begin: &str) -> u16 {
    client.query(begin).unwrap();
    let port = client.query(WHERE).unwrap().one().parse().unwrap();
    client.query("COMMIT").unwrap();
    port
}

#[test]
fn what_says_read_only_goes_to_the_replicas_and_all_else_to_the_primary() {
    let cluster = Cluster::start(2);
    let weir = weir_over(&cluster, 2);
    let mut client = Wire::tcp(weir.port(), "app", "app").unwrap();
    let (primary, replicas) =
        (cluster.nodes[0].port(), [cluster.nodes[1].port(), cluster.nodes[2].port()]);
    let mut seen = BTreeSet::new();
    for _ in 0..40 {
        for begin in [
            "BEGIN READ ONLY",
            "/* app */ start transaction isolation level repeatable read, read only",
        ] {
            seen.insert(runs_at(&mut client, begin));
        }
        let hinted = client.query(&format!("/* pgweir: route=replica */ {WHERE}")).unwrap();
        seen.insert(hinted.one().parse().unwrap());
    }
    assert_eq!(seen, BTreeSet::from(replicas), "both have a share, the primary has none");
    for begin in
        ["BEGIN", "START TRANSACTION READ WRITE", "/* pgweir: route=primary */ BEGIN READ ONLY"]
    {
        assert_eq!(runs_at(&mut client, begin), primary, "{begin}");
    }
    assert_eq!(client.query(WHERE).unwrap().one(), primary.to_string());
    let by_rule = |target, reason| {
        let labels = [("database", "app"), ("target", target), ("reason", reason)];
        weir.metric("pgweir_routing_decisions_total", &labels).unwrap_or(0.0)
    };
    assert_eq!(by_rule("replica", "read_only"), 80.0);
    assert_eq!(by_rule("replica", "hint"), 40.0);
    weir.stop();
}

#[test]
fn the_extended_protocol_is_routed_by_its_first_statement() {
    let cluster = Cluster::start(1);
    let weir = weir_over(&cluster, 1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let url = weir.url("app", "app");
    let ports = runtime.block_on(async {
        let (mut client, connection) =
            tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        let statement = client.prepare(WHERE).await.unwrap();
        let mut ports = Vec::new();
        for read_only in [true, false, true] {
            let block = client.build_transaction().read_only(read_only).start().await.unwrap();
            ports.push(block.query_one(&statement, &[]).await.unwrap().get::<_, i32>(0));
            block.commit().await.unwrap();
        }
        drop(client);
        connection.await.unwrap().unwrap();
        ports
    });
    let (primary, replica) =
        (i32::from(cluster.nodes[0].port()), i32::from(cluster.nodes[1].port()));
    assert_eq!(ports, [replica, primary, replica]);
    weir.stop();
}

#[test]
fn without_a_fit_replica_the_primary_serves_reads() {
    let mut cluster = Cluster::start(1);
    let weir = weir_over(&cluster, 1);
    let mut client = Wire::tcp(weir.port(), "app", "app").unwrap();
    assert_eq!(runs_at(&mut client, "BEGIN READ ONLY"), cluster.nodes[1].port());
    cluster.nodes[1].kill(Signal::KILL);
    let gone = cluster.nodes[1].port().to_string();
    wait::until("the loss is seen", LONG, || {
        let rows = weir.console("SHOW TOPOLOGY");
        rows.get(rows.find("port", &gone).unwrap(), "state") == "down"
    });
    assert_eq!(runs_at(&mut client, "BEGIN READ ONLY"), cluster.nodes[0].port());
    weir.stop();
}
