//! Whether clients read what they wrote (`causal_reads = session`), and who serves them: a replica that is a second late, and
//! one that is as late as a replica at work is.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::common::{Setup, Wire, wait};
use crate::story;

/// Clients at a time.
const CLIENTS: usize = 100;
/// Pairs of a write and a read, of all of them together.
const PAIRS: usize = 100_000;
/// Every so many pairs a client reads once more, when the replica has had time.
const PAUSE_AFTER: usize = 250;
/// How long that is.
const PAUSE: Duration = Duration::from_millis(1500);

/// What came of it.
pub(crate) struct OwnWrites {
    late: Seen,
    usual: Seen,
}

/// Who answered, and what was not there.
#[derive(Debug, Default)]
struct Seen {
    stale: AtomicUsize,
    /// Right after the write: answered by the replica, and all.
    at_once: [AtomicUsize; 2],
    /// After a pause.
    rested: [AtomicUsize; 2],
}

/// Measures.
pub(crate) fn measure() -> OwnWrites {
    OwnWrites { late: with_delay("1s"), usual: with_delay("0") }
}

fn with_delay(delay: &str) -> Seen {
    let setup = Setup::new().setting("max_connections", 200).sql("GRANT pg_monitor TO app");
    let cluster = setup.cluster(1);
    let sql = "CREATE TABLE story (writer int, seq bigint, PRIMARY KEY (writer, seq)); \
               ALTER TABLE story OWNER TO app";
    cluster.primary().query(sql);
    let weir = story::weir(&cluster).start();
    let replica = cluster.ports()[1];
    wait::until("the replica to be known", wait::DEADLINE, || {
        let rows = weir.console("SHOW TOPOLOGY");
        rows.get(rows.find("port", &replica.to_string()).unwrap(), "role") == "replica"
    });
    cluster.nodes[1].set("recovery_min_apply_delay", delay);
    let seen = Seen::default();
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (port, seen) = (weir.port(), &seen);
            scope.spawn(move || seen.pairs(port, client, replica));
        }
    });
    weir.stop();
    seen
}

impl Seen {
    fn pairs(&self, port: u16, client: usize, replica: u16) {
        let mut wire = Wire::tcp(port, "app", "app").unwrap();
        for pair in 0..PAIRS / CLIENTS {
            wire.query(&format!("INSERT INTO story VALUES ({client}, {pair})")).unwrap();
            self.read(&mut wire, client, pair, replica, &self.at_once);
            if pair % PAUSE_AFTER == PAUSE_AFTER - 1 {
                thread::sleep(PAUSE);
                self.read(&mut wire, client, pair, replica, &self.rested);
            }
        }
    }

    fn read(
        &self,
        wire: &mut Wire,
        client: usize,
        pair: usize,
        replica: u16,
        [there, all]: &[AtomicUsize; 2],
    ) {
        let sql = format!(
            "SELECT count(*) AS n, inet_server_port() AS port FROM story WHERE writer = {client} AND seq = {pair}"
        );
        wire.query("BEGIN READ ONLY").unwrap();
        let rows = wire.query(&sql).unwrap();
        wire.query("COMMIT").unwrap();
        let count = |counter: &AtomicUsize| counter.fetch_add(1, Ordering::Relaxed);
        count(all);
        if rows.get(0, "n") != "1" {
            count(&self.stale);
        }
        if rows.get(0, "port") == replica.to_string() {
            count(there);
        }
    }
}

impl fmt::Display for OwnWrites {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "## Own writes\n")?;
        writeln!(
            f,
            "`causal_reads = session`, {CLIENTS} clients, {PAIRS} pairs of a write and a read at once, and one more read after \
             {} ms of rest every {PAUSE_AFTER} pairs. A primary and one replica, as fast as the machine allows.\n",
            PAUSE.as_millis()
        )?;
        writeln!(f, "| the replica | stale reads | at once, by the replica | after the rest |")?;
        writeln!(f, "|---|---|---|---|")?;
        for (name, seen) in [("is 1 s late", &self.late), ("as it comes", &self.usual)] {
            let share = |[there, all]: &[AtomicUsize; 2]| {
                let [there, all] = [there, all].map(|count| count.load(Ordering::Relaxed));
                format!("{there} of {all} ({:.1} %)", there as f64 * 100.0 / all as f64)
            };
            let stale = seen.stale.load(Ordering::Relaxed);
            writeln!(
                f,
                "| {name} | {stale} | {} | {} |",
                share(&seen.at_once),
                share(&seen.rested)
            )?;
        }
        Ok(())
    }
}
