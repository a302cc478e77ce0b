//! Thousands of clients that have asked once, and wait: what they cost in memory and CPU.

use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use crate::client::Client;
use crate::measure::{Measure, Sample};
use crate::poolers::Pooler;
use crate::process::{cpu_us_exact, resident};

/// After the last login: what logging in leaves behind is done with.
const SETTLE: Duration = Duration::from_secs(2);

/// Connects so many clients (with TLS if there is a configuration for it), each of which runs one query.
pub(crate) fn round(
    pooler: &Pooler,
    clients: usize,
    tls: Option<&Arc<ClientConfig>>,
    length: Duration,
) -> Sample {
    let first = ask(pooler, tls); // a server and all that is made once
    let empty = resident(pooler.pid());
    let waiting: Vec<Client> = (0..clients).map(|_| ask(pooler, tls)).collect();
    sleep(SETTLE);
    let (from, before) = (Instant::now(), cpu_us_exact(pooler.pid()));
    sleep(length);
    let cpu = cpu_us_exact(pooler.pid()) - before;
    let sample = Sample::from([
        (Measure::Resident, (resident(pooler.pid()) - empty) / 1024.0 / clients as f64),
        (Measure::IdleCpu, cpu / from.elapsed().as_micros() as f64 * 100.0),
    ]);
    drop((first, waiting));
    sample
}

fn ask(pooler: &Pooler, tls: Option<&Arc<ClientConfig>>) -> Client {
    let mut client = match tls {
        Some(config) => Client::tls(pooler.port(), config),
        None => Client::plain(pooler.port()),
    };
    client.query("SELECT 1");
    client.until(b'Z', &mut [0; 2048]);
    client
}
