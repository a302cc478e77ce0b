//! What a new client's first answer costs while one of three hosts is behind a black hole.

use std::fmt;
use std::time::{Duration, Instant};

use crate::common::{Network, Setup, Wire, wait};
use crate::story;

/// New clients in each of both cases.
const CLIENTS: usize = 1000;

/// Times from connecting to the first answer.
pub(crate) struct Newcomers {
    all_alive: Times,
    one_gone: Times,
}

struct Times {
    median: Duration,
    p99: Duration,
}

/// Measures; `None` where there are no network namespaces.
pub(crate) fn measure() -> Option<Newcomers> {
    let network = Network::new(3)?;
    let cluster = Setup::new().sql("GRANT pg_monitor TO app").network(&network).cluster(2);
    let weir = story::weir(&cluster).start();
    let all_alive = Times::of(weir.port());
    cluster.nodes[2].vanish();
    wait::until("the lost host to be down", wait::DEADLINE, || {
        let rows = weir.console("SHOW TOPOLOGY");
        let row = rows.find("host", &cluster.nodes[2].place().address()).unwrap();
        rows.get(row, "state") == "down"
    });
    let one_gone = Times::of(weir.port());
    weir.stop();
    Some(Newcomers { all_alive, one_gone })
}

impl Times {
    fn of(port: u16) -> Self {
        let first_answer = |_| {
            let begun = Instant::now();
            let mut client = Wire::tcp(port, "app", "app").unwrap();
            client.query("BEGIN READ ONLY; SELECT 1; COMMIT").unwrap();
            begun.elapsed()
        };
        let mut times: Vec<_> = (0..CLIENTS).map(first_answer).collect();
        times.sort_unstable();
        Self { median: times[CLIENTS / 2], p99: times[CLIENTS * 99 / 100] }
    }
}

impl fmt::Display for Newcomers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ratio = self.one_gone.p99.as_secs_f64() / self.all_alive.p99.as_secs_f64();
        writeln!(f, "## A new client, and one of three hosts behind a black hole\n")?;
        writeln!(
            f,
            "From connecting to the first answer, {CLIENTS} clients one after the other.\n"
        )?;
        writeln!(f, "| | median | p99 |\n|---|---|---|")?;
        for (name, times) in [("all alive", &self.all_alive), ("one gone", &self.one_gone)] {
            let us = |time: Duration| time.as_micros();
            writeln!(f, "| {name} | {} µs | {} µs |", us(times.median), us(times.p99))?;
        }
        writeln!(f, "\np99 ratio {ratio:.2} (allowed 1.2)")
    }
}
