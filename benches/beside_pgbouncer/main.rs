//! pgweir beside pgbouncer: the same server, the same ini file, rounds in turn.
//!
//! Machines are noisy, so each figure is a median over alternating rounds, and what counts are the ratios. CPU time is
//! the pooler's own (utime and stime of its process), per transaction. `ROUNDS` (5), `SECONDS` (5) and `PGBOUNCER` (the
//! binary; default the one on PATH) may be set. Writes `benches/RESULTS.md`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench may fail loudly")]
#![allow(clippy::disallowed_methods, reason = "a bench measures real time")]

#[path = "../../tests/common/mod.rs"]
mod common;

use std::fmt::Write;
use std::process::Command;

use common::{Setup, Weir, WeirSetup, Wire, pgbench};

/// Clients and servers of the comparison.
const CLIENTS: u32 = 50;
const SERVERS: u32 = 20;
/// Clients that only wait.
const IDLE: usize = 1000;

/// One workload through one pooler, once.
#[derive(Clone, Copy)]
struct Figures {
    tps: f64,
    latency_ms: f64,
    cpu_us: f64,
}

fn number(name: &str, default: u32) -> u32 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn output(command: &str, args: &[&str]) -> String {
    let out = Command::new(command).args(args).output().unwrap();
    String::from_utf8_lossy(&out.stdout).lines().next().unwrap_or_default().to_owned()
}

/// utime and stime of a process in microseconds (proc(5): fields 14 and 15, in ticks of 10 ms).
fn cpu_us(weir: &Weir) -> f64 {
    let stat =
        std::fs::read_to_string(format!("/proc/{}/stat", weir.pid().as_raw_nonzero())).unwrap();
    let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) * 10_000.0
}

/// Resident memory of a process in bytes.
fn resident(weir: &Weir) -> f64 {
    let statm =
        std::fs::read_to_string(format!("/proc/{}/statm", weir.pid().as_raw_nonzero())).unwrap();
    statm.split(' ').nth(1).unwrap().parse::<f64>().unwrap() * 4096.0
}

/// The number behind `label` in pgbench's report.
fn reported(report: &str, label: &str) -> f64 {
    let line = report.lines().find(|line| line.starts_with(label)).unwrap();
    let digits = line[label.len()..].trim_start_matches([' ', '=', ':']);
    digits.split([' ', '/']).next().unwrap().parse().unwrap()
}

/// `None` if the pooler cannot do it: pgbouncer has prepared statements in transaction mode since 1.21.
fn round(weir: &Weir, mode: &str, seconds: u32) -> Option<Figures> {
    let (clients, seconds) = (CLIENTS.to_string(), seconds.to_string());
    let before = cpu_us(weir);
    let run = pgbench(
        &weir.login("app", "app"),
        &["-S", "-M", mode, "-c", &clients, "-j", "2", "-T", &seconds, "-n"],
    );
    if !run.status.success() {
        return None;
    }
    let (report, spent) = (run.ok(), cpu_us(weir) - before);
    Some(Figures {
        tps: reported(report, "tps"),
        latency_ms: reported(report, "latency average"),
        cpu_us: spent / reported(report, "number of transactions actually processed"),
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn medians(rounds: &[Figures]) -> Figures {
    let of = |field: fn(&Figures) -> f64| median(rounds.iter().map(field).collect());
    Figures { tps: of(|f| f.tps), latency_ms: of(|f| f.latency_ms), cpu_us: of(|f| f.cpu_us) }
}

fn bytes_per_idle_client(weir: &Weir) -> f64 {
    let before = resident(weir);
    let clients: Vec<Wire> =
        (0..IDLE).map(|_| Wire::tcp(weir.port(), "app", "app").unwrap()).collect();
    let after = resident(weir);
    drop(clients);
    (after - before) / IDLE as f64
}

fn main() {
    // `cargo bench` passes flags that are for criterion.
    let (rounds, seconds) = (number("ROUNDS", 5).max(1), number("SECONDS", 5));
    let server = Setup::new().setting("max_connections", "100").start();
    pgbench(&server.login("app", "app"), &["-i", "-q", "-s", "10"]).ok();
    let common = |setup: WeirSetup| {
        setup
            .server(&server)
            .setting("pool_mode", "transaction")
            .setting("default_pool_size", SERVERS)
            .setting("max_client_conn", IDLE + 200)
            .setting("log_connections", 0)
            .setting("log_disconnections", 0)
    };
    let ours = common(Weir::setup()).setting("workers", 1).start();
    let theirs = common(Weir::setup()).pgbouncer().start();

    let mut table = String::from(
        "| `pgbench -S` | | tps | average latency, ms | pooler's CPU per transaction, µs |\n|---|---|---|---|---|\n",
    );
    for mode in ["simple", "extended", "prepared"] {
        let (mut our_rounds, mut their_rounds) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            our_rounds.extend(round(&ours, mode, seconds));
            their_rounds.extend(round(&theirs, mode, seconds));
        }
        let mut row = |who: &str, f: Figures| {
            writeln!(
                table,
                "| {mode} | {who} | {:.0} | {:.3} | {:.1} |",
                f.tps, f.latency_ms, f.cpu_us
            )
            .unwrap();
        };
        let a = medians(&our_rounds);
        row("pgweir", a);
        if their_rounds.is_empty() {
            writeln!(table, "| {mode} | pgbouncer | this version cannot | | |").unwrap();
            continue;
        }
        let b = medians(&their_rounds);
        row("pgbouncer", b);
        let (tps, latency, cpu) = (a.tps / b.tps, a.latency_ms / b.latency_ms, a.cpu_us / b.cpu_us);
        writeln!(table, "| {mode} | **ratio** | **{tps:.2}** | **{latency:.2}** | **{cpu:.2}** |")
            .unwrap();
        eprintln!("{mode}: tps {tps:.2}, latency {latency:.2}, CPU per transaction {cpu:.2}");
    }
    let (our_idle, their_idle) = (bytes_per_idle_client(&ours), bytes_per_idle_client(&theirs));

    let text = format!(
        "# Beside pgbouncer\n\n\
         Written by `make bench`: {CLIENTS} clients on {SERVERS} servers, one worker, medians of {rounds} alternating \
         rounds of {seconds} s. A ratio is pgweir divided by pgbouncer; below 1 is better for latency and CPU.\n\n\
         {date}, {cores} cores, Linux {kernel}, load {load}\n\n- pgweir {own}\n- {bouncer}\n- {postgres}\n\n{table}\n\
         Resident memory per idle client, over {IDLE} clients without TLS: pgweir {our_idle:.0} bytes, pgbouncer \
         {their_idle:.0} bytes.\n",
        date = output("date", &["-u", "+%Y-%m-%d"]),
        cores = std::thread::available_parallelism().unwrap(),
        kernel = output("uname", &["-r"]),
        load = std::fs::read_to_string("/proc/loadavg").unwrap().split(' ').next().unwrap(),
        own = env!("CARGO_PKG_VERSION"),
        bouncer = output(common::weir::pgbouncer().to_str().unwrap(), &["--version"]),
        postgres = server.query("SELECT split_part(version(), ' on ', 1)").one(),
    );
    println!("{text}");
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/RESULTS.md"), text).unwrap();
    ours.stop();
    theirs.stop();
}
