//! Replicas that die, hang, come back, fall behind: readers go on, their connections stay, and nobody reads what is too old.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use common::{Cluster, ServerError, Setup, Signal, Weir, Wire, wait};

const READERS: usize = 8;

fn start() -> (Cluster, Weir) {
    let cluster = Setup::new().sql("GRANT pg_monitor TO app").cluster(2);
    let weir = Weir::setup()
        .cluster(&cluster)
        .setting("pool_mode", "transaction")
        .setting("topology_user", "app")
        .setting("slow_start", 0)
        .start();
    for port in &cluster.ports()[1..] {
        wait_topology(&weir, *port, "role", "replica");
    }
    (cluster, weir)
}

fn wait_topology(weir: &Weir, port: u16, column: &str, value: &str) {
    let what = format!("{column} = {value} for port {port} in SHOW TOPOLOGY");
    wait::until(&what, wait::DEADLINE, || {
        let rows = weir.console("SHOW TOPOLOGY");
        let row = rows.find("port", &port.to_string()).unwrap();
        rows.get(row, column) == value
    });
}

/// Readers at work: how often each host has answered, and what went wrong.
#[derive(Default)]
struct Readers {
    stop: AtomicBool,
    answers: Mutex<BTreeMap<u16, usize>>,
    errors: AtomicUsize,
    dropped: AtomicUsize,
}

impl Readers {
    fn read(&self, port: u16) {
        let mut wire = Wire::tcp(port, "app", "app").unwrap();
        while !self.stop.load(Ordering::Relaxed) {
            match one(&mut wire) {
                Ok(host) => *self.answers.lock().unwrap().entry(host).or_default() += 1,
                Err(ServerError::Io(_)) => {
                    self.dropped.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                Err(_) => {
                    self.errors.fetch_add(1, Ordering::Relaxed);
                    let _ = wire.query("ROLLBACK");
                }
            }
        }
    }

    /// Waits until a host has answered so often from now on.
    fn wait_answers(&self, host: u16, times: usize) {
        let count = || self.answers.lock().unwrap().get(&host).copied().unwrap_or(0);
        let before = count();
        wait::until(&format!("answers of port {host}"), wait::DEADLINE, || {
            count() >= before + times
        });
    }
}

fn one(wire: &mut Wire) -> Result<u16, ServerError> {
    wire.query("BEGIN READ ONLY")?;
    let host = wire.query("SELECT inet_server_port()")?.one().parse().unwrap();
    wire.query("COMMIT")?;
    Ok(host)
}

/// Tells them to stop when it goes.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Lets readers read while something happens.
fn with_readers(weir: &Weir, story: impl FnOnce(&Readers)) -> Readers {
    let readers = Readers::default();
    thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| readers.read(weir.port()));
        }
        // Also when the story ends badly.
        let _stop = Stop(&readers.stop);
        story(&readers);
    });
    assert_eq!(readers.dropped.load(Ordering::Relaxed), 0, "connections were dropped");
    readers
}

#[test]
fn one_that_dies_or_hangs_costs_those_that_it_serves_an_error_and_is_used_again_when_it_is_back() {
    let (mut cluster, weir) = start();
    let [primary, first, second] = <[u16; 3]>::try_from(cluster.ports()).unwrap();
    let readers = with_readers(&weir, |readers| {
        readers.wait_answers(first, 20);
        readers.wait_answers(second, 20);
        cluster.nodes[1].kill(Signal::STOP);
        wait_topology(&weir, first, "state", "down");
        readers.wait_answers(second, 50);
        cluster.nodes[1].kill(Signal::CONT);
        readers.wait_answers(first, 20);
        cluster.nodes[1].kill(Signal::KILL);
        wait_topology(&weir, first, "state", "down");
        wait_topology(&weir, first, "reads", "down: not reached");
        wait_topology(&weir, first, "last_change", "down, was replica");
        readers.wait_answers(second, 50);
        cluster.nodes[1].start();
        readers.wait_answers(first, 20);
    });
    let errors = readers.errors.into_inner();
    assert!(errors <= 2 * READERS, "{errors} errors: more than were under way");
    assert_eq!(readers.answers.into_inner().unwrap().get(&primary), None, "none on the primary");
    weir.stop();
}

#[test]
fn one_that_stops_replaying_gets_no_reads_until_it_has_caught_up() {
    let (cluster, weir) = start();
    let [_, first, second] = <[u16; 3]>::try_from(cluster.ports()).unwrap();
    weir.console("SET max_replica_lag = '1'");
    // On a machine that is busy with other tests a late answer must not count as none.
    weir.console("SET topology_timeout = '20'");
    cluster
        .primary()
        .query("CREATE TABLE clock (at timestamptz); INSERT INTO clock VALUES (now())");
    let readers = with_readers(&weir, |readers| {
        readers.wait_answers(first, 20);
        cluster.nodes[1].query("SELECT pg_wal_replay_pause()");
        let late = || {
            cluster.primary().query("UPDATE clock SET at = now()");
            let rows = weir.console("SHOW TOPOLOGY");
            let row = rows.find("port", &first.to_string()).unwrap();
            let is_late = rows.get(row, "lag_ms").parse::<u64>().is_ok_and(|lag| lag > 1000);
            let told = rows.get(row, "reads").ends_with(" s behind, max_replica_lag is 1 s");
            assert_eq!(is_late, told, "{}", rows.get(row, "reads"));
            is_late
        };
        wait::until("the replica to be late", wait::DEADLINE, late);
        // Whatever was under way is over, and nothing more goes there.
        readers.wait_answers(second, 50);
        let before = readers.answers.lock().unwrap().get(&first).copied();
        readers.wait_answers(second, 100);
        assert_eq!(readers.answers.lock().unwrap().get(&first).copied(), before);
        cluster.nodes[1].query("SELECT pg_wal_replay_resume()");
        readers.wait_answers(first, 20);
        wait_topology(&weir, first, "reads", "yes");
        wait_topology(&weir, first, "last_change", "replica, was unknown");
        wait_topology(&weir, cluster.primary().port(), "reads", "the primary");
    });
    assert_eq!(readers.errors.into_inner(), 0);
    weir.stop();
}
