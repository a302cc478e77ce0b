//! Whether clients read what they wrote although the replica is a second late (`causal_reads = session`), and who serves
//! them.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::common::{Setup, Wire, wait};
use crate::story;

/// Clients at a time.
const CLIENTS: usize = 100;
/// Pairs of a write and a read, of all of them together.
const PAIRS: usize = 100_000;
/// Every so many pairs a client reads once more, when the replica has had time.
const PAUSE_AFTER: usize = 250;

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct OwnWrites {
    stale: AtomicUsize,
    by_replica: AtomicUsize,
    by_primary: AtomicUsize,
}

/// Measures.
pub(crate) fn measure() -> OwnWrites {
    let setup = Setup::new().setting("max_connections", 200).sql("GRANT pg_monitor TO app");
    let cluster = setup.cluster(1);
    let sql = "CREATE TABLE story (writer int, seq bigint, PRIMARY KEY (writer, seq)); \
               ALTER TABLE story OWNER TO app";
    cluster.primary().query(sql);
    let weir = story::weir(&cluster).setting("causal_reads", "session").start();
    let replica = cluster.ports()[1];
    wait::until("the replica to be known", wait::DEADLINE, || {
        let rows = weir.console("SHOW TOPOLOGY");
        rows.get(rows.find("port", &replica.to_string()).unwrap(), "role") == "replica"
    });
    cluster.nodes[1].set("recovery_min_apply_delay", "1s");
    let seen = OwnWrites::default();
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (port, seen) = (weir.port(), &seen);
            scope.spawn(move || seen.pairs(port, client, replica));
        }
    });
    weir.stop();
    seen
}

impl OwnWrites {
    fn pairs(&self, port: u16, client: usize, replica: u16) {
        let mut wire = Wire::tcp(port, "app", "app").unwrap();
        for pair in 0..PAIRS / CLIENTS {
            wire.query(&format!("INSERT INTO story VALUES ({client}, {pair})")).unwrap();
            self.read(&mut wire, client, pair, replica);
            if pair % PAUSE_AFTER == PAUSE_AFTER - 1 {
                thread::sleep(std::time::Duration::from_millis(1500));
                self.read(&mut wire, client, pair, replica);
            }
        }
    }

    fn read(&self, wire: &mut Wire, client: usize, pair: usize, replica: u16) {
        let sql = format!(
            "SELECT count(*) AS n, inet_server_port() AS port FROM story WHERE writer = {client} AND seq = {pair}"
        );
        wire.query("BEGIN READ ONLY").unwrap();
        let rows = wire.query(&sql).unwrap();
        wire.query("COMMIT").unwrap();
        let count = |counter: &AtomicUsize| counter.fetch_add(1, Ordering::Relaxed);
        if rows.get(0, "n") != "1" {
            count(&self.stale);
        }
        let by = if rows.get(0, "port") == replica.to_string() {
            &self.by_replica
        } else {
            &self.by_primary
        };
        count(by);
    }
}

impl fmt::Display for OwnWrites {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [stale, replica, primary] = [&self.stale, &self.by_replica, &self.by_primary]
            .map(|counter| counter.load(Ordering::Relaxed));
        writeln!(f, "## Own writes under a replica that is a second late\n")?;
        writeln!(
            f,
            "`causal_reads = session`, {CLIENTS} clients, {PAIRS} pairs of a write and a read, and one more read after \
             1.5 s of rest every {PAUSE_AFTER} pairs.\n"
        )?;
        writeln!(
            f,
            "{stale} stale reads; {replica} were served by the replica, {primary} by the primary."
        )
    }
}
