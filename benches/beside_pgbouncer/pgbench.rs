//! Workloads that pgbench runs.
//!
//! Only what happens between two readings of the pooler's CPU time counts: pgbench logs when each transaction ended, so
//! the transactions of that window are known exactly, and connecting and warming up stay outside.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use crate::common::Login;
use crate::common::postgres::APP_PASSWORD;
use crate::common::psql::{Job, start_pgbench};
use crate::measure::{self, Measure, Sample};
use crate::poolers::Pooler;
use crate::process::cpu_us;

/// What pgbench is asked to do; always `-S`.
#[derive(Clone, Copy)]
pub(crate) struct Spec {
    /// `-M`.
    pub(crate) mode: &'static str,
    /// `-c`.
    pub(crate) clients: u32,
    /// With `sslmode=require`.
    pub(crate) tls: bool,
    /// `-C`: a connection per transaction.
    pub(crate) connect: bool,
}

/// From pgbench's start to the window: everybody has connected and each server has been used.
const WARM_UP: Duration = Duration::from_secs(1);
/// What pgbench runs on after the window, so that its end is outside.
const MARGIN: u32 = 2;

impl Spec {
    /// `-S` in a mode with so many clients, each staying connected, without TLS.
    pub(crate) const fn new(mode: &'static str, clients: u32) -> Self {
        Self { mode, clients, tls: false, connect: false }
    }

    /// With TLS.
    pub(crate) const fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// With a connection per transaction.
    pub(crate) const fn connect(mut self) -> Self {
        self.connect = true;
        self
    }
}

/// One round. `None` if the pooler cannot do it: pgbouncer has prepared statements in transaction mode since 1.21.
pub(crate) fn round(pooler: &Pooler, spec: Spec, seconds: u32) -> Option<Sample> {
    let run = Running::start(pooler, spec, seconds);
    sleep(WARM_UP);
    let (from, before) = (now(), cpu_us(pooler.pid()));
    sleep(Duration::from_secs(seconds.into()));
    let (to, after) = (now(), cpu_us(pooler.pid()));
    let latencies = run.finish(from, to)?;
    let mut sample = measure::transactions((to - from).as_secs_f64(), after - before, latencies);
    if spec.connect {
        let cpu = sample.remove(&Measure::Cpu).unwrap();
        sample.insert(Measure::CpuPerLogin, cpu);
    }
    Some(sample)
}

/// Time since 1970, as pgbench logs it.
pub(crate) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

/// A pgbench that runs and logs.
pub(crate) struct Running {
    job: Job,
    logs: TempDir,
}

impl Running {
    /// Starts it, to run for `seconds` and what comes before and after them.
    pub(crate) fn start(pooler: &Pooler, spec: Spec, seconds: u32) -> Self {
        let logs = TempDir::new().unwrap();
        let prefix = logs.path().join("log").display().to_string();
        let clients = spec.clients.to_string();
        let threads = spec.clients.min(2).to_string();
        let seconds = (seconds + WARM_UP.as_secs() as u32 + MARGIN).to_string();
        let mut args = vec!["-S", "-n", "-M", spec.mode, "-c", &clients, "-j", &threads];
        args.extend(["-T", &seconds, "-l", "--log-prefix", &prefix]);
        if spec.connect {
            args.push("-C");
        }
        let login = pooler.weir().login("app", "app").password(APP_PASSWORD);
        Self { job: start_pgbench(&login_with(login, spec), &args), logs }
    }

    /// Waits for its end: the latency in microseconds of each transaction that ended in this time.
    pub(crate) fn finish(self, from: Duration, to: Duration) -> Option<Vec<f64>> {
        let run = self.job.finish();
        if !run.status.success() {
            eprintln!("pgbench: {}", run.stderr.lines().next().unwrap_or_default());
            return None;
        }
        let files = fs::read_dir(self.logs.path()).unwrap();
        Some(files.flat_map(|file| latencies(&file.unwrap().path(), from, to)).collect())
    }
}

fn login_with(login: Login, spec: Spec) -> Login {
    login.set("PGSSLMODE", if spec.tls { "require" } else { "disable" })
}

/// From a log of pgbench: per line client, number, latency in µs, script, and the end in seconds and µs.
fn latencies(log: &Path, from: Duration, to: Duration) -> Vec<f64> {
    let text = fs::read_to_string(log).unwrap();
    let lines = text.lines().filter_map(|line| {
        let fields: Vec<u64> = line.split(' ').map_while(|field| field.parse().ok()).collect();
        let [_, _, latency, _, seconds, micros] = fields[..] else { return None };
        let end = Duration::from_secs(seconds) + Duration::from_micros(micros);
        (from <= end && end < to).then_some(latency as f64)
    });
    lines.collect()
}
