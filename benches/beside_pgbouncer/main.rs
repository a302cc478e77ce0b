//! pgweir beside pgbouncer: the same server, the same ini file, rounds in turn.
//!
//! Machines are noisy, so each figure is a median over alternating rounds, and what counts are the ratios. CPU time is
//! the pooler's own (utime and stime of its process), per transaction. The environment chooses: `PGBOUNCER` (the binary;
//! default the one on PATH), `PGWEIR_BIN` (another pgweir than the one that Cargo built), `ROUNDS`, `SECONDS`,
//! `ONLY=simple,echo-50,...`, `PROFILE`, `IDLE` and `ECHO_CLIENTS` ([`options`]). A run of all workloads writes
//! `benches/RESULTS.md`, one of some only prints.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench may fail loudly")]
#![allow(clippy::disallowed_methods, reason = "a bench measures real time")]

mod client;
#[path = "../../tests/common/mod.rs"]
mod common;
mod echo;
mod idle;
mod measure;
mod options;
mod pgbench;
mod poolers;
mod process;
mod profile;
mod report;
mod streams;
mod syscalls;
mod targets;
mod workloads;

use std::collections::BTreeMap;

use common::postgres::APP_PASSWORD;
use common::tls::Authority;
use common::{Postgres, Setup, pgbench as run_pgbench};
use echo::Echo;
use measure::Outcome;
use options::Options;
use poolers::{Group, Pooler, Site};
use workloads::{Ends, Workload};

fn main() {
    let mut options = Options::read();
    for name in &options.only {
        let known = workloads::ALL.iter().any(|workload| workload.name == name);
        let names: Vec<_> = workloads::ALL.iter().map(|workload| workload.name).collect();
        assert!(known, "no workload {name}; there are {}", names.join(", "));
    }
    let limits = fit_idle_clients(&mut options);

    let load = report::load();
    let server = start_server();
    let echo = Echo::start(1 % report::cores());
    let certificate = Authority::new().server();
    let ends = Ends { echo, tls: client::tls_config(&certificate) };
    let site = Site {
        server: server.port(),
        echo: ends.echo.port(),
        certificate,
        verifier: server
            .query("SELECT rolpassword FROM pg_authid WHERE rolname = 'app'")
            .one()
            .into(),
        clients: options.idle + 1000,
    };
    let setting = report::Setting {
        pgbouncer: report::pgbouncer_version(),
        postgres: server.query("SELECT split_part(version(), ' on ', 1)").one().into(),
        load,
        limits,
    };

    let mut outcomes = Vec::new();
    let mut running: Option<(Group, Vec<Pooler>)> = None;
    for workload in workloads::ALL.iter().filter(|workload| options.wants(workload.name)) {
        if running.as_ref().is_none_or(|(group, _)| *group != workload.group) {
            drop(running.take()); // first: each pooler holds servers
            running = Some((workload.group, poolers::start(workload.group, &site)));
        }
        let (_, poolers) = running.as_ref().unwrap();
        let outcome = run(workload, poolers, &ends, &options);
        println!("{}", report::progress(workload, &outcome));
        outcomes.push(outcome);
    }
    drop(running);

    let text = report::text(&options, &setting, &outcomes);
    println!("\n{text}");
    if options.only.is_empty() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/RESULTS.md");
        std::fs::write(path, text).unwrap();
    }
}

/// A server with pgbench's tables, small enough for its buffers.
fn start_server() -> Postgres {
    let server = Setup::new()
        .setting("max_connections", "150")
        .setting("shared_buffers", "256MB")
        .sql(&format!(
            "SET password_encryption = 'scram-sha-256'; ALTER ROLE app PASSWORD '{APP_PASSWORD}'"
        ))
        .start();
    run_pgbench(&server.login("app", "app"), &["-i", "-q", "-s", "10"]).ok();
    server
}

/// Raises the limit on open files. Lowers the number of idle clients to it where the machine allows no more: each is a
/// file in this process and one in the pooler's. Returns what there is to say about that.
fn fit_idle_clients(options: &mut Options) -> Vec<String> {
    const BESIDES: u64 = 500;
    let files = process::raise_file_limit();
    let most = usize::try_from(files.saturating_sub(BESIDES)).unwrap_or(usize::MAX);
    if options.idle <= most {
        return Vec::new();
    }
    let wanted = std::mem::replace(&mut options.idle, most);
    vec![format!("{most} idle clients instead of {wanted}: this machine allows {files} open files")]
}

/// All rounds of a workload. Who begins changes from round to round.
fn run(workload: &Workload, poolers: &[Pooler], ends: &Ends, options: &Options) -> Outcome {
    let (mut rounds, mut notes, mut profiles) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..workload.rounds(options) {
        let mut samples = BTreeMap::new();
        for place in 0..poolers.len() {
            let pooler = &poolers[(place + number) % poolers.len()];
            if let Some(sample) = workload.round(pooler, ends, options, &mut notes) {
                samples.insert(pooler.who, sample);
            }
        }
        rounds.push(samples);
    }
    for pooler in poolers.iter().filter(|_| options.profile && workload.can_be_profiled()) {
        let round = || drop(workload.round(pooler, ends, options, &mut notes));
        if let Some(profile) = profile::of(pooler.pid(), round) {
            profiles.push(format!("{}: {profile}", pooler.who.name()));
        }
    }
    Outcome { workload: workload.name, rounds, notes, profiles }
}
