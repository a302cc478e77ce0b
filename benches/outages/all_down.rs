//! How soon clients go on when all hosts were down for ten seconds.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{Cluster, Signal, Wire, wait};
use crate::story;

/// Half of them want to write, half to read.
const CLIENTS: usize = 20;
/// How long nobody is there.
const DOWN: Duration = Duration::from_secs(10);
/// What is allowed, after the first host has answered.
const BOUND: Duration = Duration::from_millis(500);

/// What came of it.
pub(crate) struct AllDown {
    /// The client that waited longest, of each run.
    worst: Vec<Duration>,
    failed: usize,
}

/// Measures so many times.
pub(crate) fn measure(runs: usize) -> AllDown {
    let runs: Vec<_> = (0..runs).map(|_| once()).collect();
    AllDown {
        worst: runs.iter().map(|(worst, _)| *worst).collect(),
        failed: runs.iter().map(|(_, failed)| failed).sum(),
    }
}

fn once() -> (Duration, usize) {
    let mut cluster = Cluster::start(2);
    let weir = story::weir(&cluster).start();
    let mut clients: Vec<_> =
        (0..CLIENTS).map(|_| Wire::tcp(weir.port(), "app", "app").unwrap()).collect();
    clients.iter_mut().for_each(|client| drop(client.query("SELECT 1").unwrap()));
    cluster.nodes.iter_mut().for_each(|node| node.kill(Signal::KILL));
    wait::until("all hosts to be down", wait::DEADLINE, || {
        let rows = weir.console("SHOW TOPOLOGY");
        (0..rows.rows.len()).all(|row| rows.get(row, "state") == "down")
    });
    let answers: Vec<_> = clients
        .into_iter()
        .enumerate()
        .map(|(number, mut client)| {
            let sql = match number % 2 {
                0 => "SELECT pg_current_xact_id()",
                _ => "BEGIN READ ONLY; SELECT 1; COMMIT",
            };
            thread::spawn(move || client.query(sql).map(|_| Instant::now()))
        })
        .collect();
    thread::sleep(DOWN);
    cluster.nodes[0].start();
    let back = Instant::now();
    let answers: Vec<_> = answers.into_iter().map(|client| client.join().unwrap()).collect();
    weir.stop();
    let waited = |at: &Instant| at.saturating_duration_since(back);
    let worst = answers.iter().flatten().map(waited).max().unwrap_or_default();
    (worst, answers.iter().filter(|answer| answer.is_err()).count())
}

impl fmt::Display for AllDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut worst = self.worst.clone();
        worst.sort_unstable();
        let ms = |time: Option<&Duration>| time.copied().unwrap_or_default().as_millis();
        writeln!(f, "## All hosts down for ten seconds\n")?;
        writeln!(
            f,
            "{CLIENTS} clients with a request each, {} runs. After the first host has answered, the client that waits longest \
             goes on within {} ms in the median, {} ms at most ({} are allowed: {}); {} were dropped or got an error.",
            worst.len(),
            ms(worst.get(worst.len() / 2)),
            ms(worst.last()),
            BOUND.as_millis(),
            if worst.get(worst.len() / 2).is_some_and(|worst| *worst <= BOUND) {
                "kept"
            } else {
                "EXCEEDED"
            },
            self.failed
        )
    }
}
