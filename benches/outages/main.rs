//! How long a failover is felt: the same stories as `make demo`, told again and again, with their times written to
//! `benches/OUTAGES.md`.
//!
//! `RUNS` (10) is how often each is told, `ONLY` names some of them, separated by commas; then nothing is written.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark may fail loudly")]
#![allow(clippy::indexing_slicing, reason = "a benchmark may fail loudly")]
#![allow(clippy::disallowed_methods, reason = "it measures real time")]

mod all_down;
#[path = "../../tests/common/mod.rs"]
mod common;
mod newcomers;
mod own_writes;
#[path = "../../tests/story/mod.rs"]
mod story;
mod troubles;

use std::env::var;
use std::fmt::Write;
use std::thread;
use std::time::Duration;

use all_down::AllDown;
use newcomers::Newcomers;
use own_writes::OwnWrites;
use story::{Facts, Fault, Load, Report, Restart, Scene, fault, pulses, written};
use troubles::Troubles;

/// Answers per client before anything happens, and after it.
const ANSWERS: u64 = 50;

/// Least time that all is in order before the fault; at most twice that.
const QUIET: Duration = Duration::from_secs(2);

/// What writers may wait for beyond the promotion, at most, in the median over all runs.
fn bound(fault: Fault) -> Duration {
    match fault {
        // Nothing but a question of its own, with its own time limit, finds out that a host hangs; but the promotion of
        // another host proves it as well.
        Fault::Hang | Fault::BlackHole => Duration::from_millis(500),
        _ => Duration::from_millis(200),
    }
}

fn main() {
    if std::env::args().any(|arg| arg == "--list" || arg == "--test") {
        return; // `cargo test --benches` asks
    }
    let runs = var("RUNS").map_or(10, |runs| runs.parse().expect("RUNS is a number"));
    let only = var("ONLY").unwrap_or_default();
    let wanted = |name: &str| only.is_empty() || only.split(',').any(|own| own == name);
    let rows_of = |runs: usize, restart: Option<Restart>| {
        let mut rows = String::new();
        for (name, fault) in Fault::ALL {
            let name = restart.map_or(name.to_owned(), |_| format!("{name}, restarted"));
            if wanted(fault.name()) || wanted(&name) {
                let once = |_| in_thread(move || tell(fault, restart));
                let reports: Vec<_> = (0..runs).map_while(once).collect();
                if !reports.is_empty() {
                    rows.push_str(&row(&name, fault, &reports));
                }
            }
        }
        rows
    };
    let rows = rows_of(runs, None) + &rows_of(runs.div_ceil(3), Some(Restart::Takeover));
    let troubles =
        troubles::measure(runs, wanted, |trouble| in_thread(move || story::trouble::tell(trouble)));
    let all_down = wanted("all-down").then(|| all_down::measure(runs.min(3)));
    let newcomers = if wanted("newcomers") { in_thread(newcomers::measure) } else { None };
    let own_writes = wanted("own-writes").then(own_writes::measure);
    let text =
        page(runs, &rows, &troubles, all_down.as_ref(), newcomers.as_ref(), own_writes.as_ref());
    println!("{text}");
    if only.is_empty() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/OUTAGES.md");
        std::fs::write(path, text).unwrap();
    }
}

/// A thread of its own: it may move to another network.
fn in_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    thread::spawn(work).join().expect("a story does not panic")
}

/// Tells one story; `None` where this fault cannot be made.
fn tell(fault: Fault, restart: Option<Restart>) -> Option<Report> {
    let mut scene = Scene::set(fault)?;
    let cluster = &mut scene.cluster;
    let mut weir = story::weir(cluster).start();
    let load = Load::start(weir.port());
    load.wait_answers(ANSWERS, "before the failover");
    // All is quiet, and the fault comes at any moment between two questions of the monitors.
    thread::sleep(QUIET + QUIET.mul_f64(f64::from(rand::random::<u16>()) / f64::from(u16::MAX)));
    let mut before = None;
    let failover = fault::strike_and(fault, cluster, &mut weir, |weir| {
        before = restart.and_then(|restart| restart.carry_out(weir));
    });
    load.wait_answers(ANSWERS, "after the failover");
    fault::come_back(&failover, cluster);
    load.wait_answers(ANSWERS, "with the old primary back");
    let report = Report::new(&Facts {
        start: load.begun,
        failover,
        restart,
        seen: load.finish(),
        pgbench: None,
        on_new: written(cluster.primary()),
        on_old: written(&cluster.nodes[failover.old]),
        pulses: pulses(cluster.primary()),
        nodes: cluster.hosts(),
    });
    if let Some(mut before) = before {
        before.wait("the process before to end");
    }
    weir.stop();
    eprintln!(
        "{}: promotion {:?}, worst writer {:?}, worst reader {:?}, broken: {:?}",
        fault.name(),
        report.promotion,
        report.writers.worst,
        report.readers.worst,
        report.broken
    );
    Some(report)
}

fn row(name: &str, fault: Fault, reports: &[Report]) -> String {
    let median = |of: &dyn Fn(&Report) -> Duration| {
        let mut times: Vec<_> = reports.iter().map(of).collect();
        times.sort_unstable();
        (times[times.len() / 2].as_millis(), times[times.len() - 1].as_millis())
    };
    let (promotion, _) = median(&|report| report.promotion);
    let beyond = |report: &Report| report.writers.worst.saturating_sub(report.promotion);
    let (beyond, most) = median(&beyond);
    let (reader, longest) = median(&|report| report.readers.worst);
    let errors = reports.iter().map(|report| report.errors).sum::<usize>();
    let broken: Vec<_> = reports.iter().flat_map(|report| &report.broken).collect();
    let kept = if broken.is_empty() { "all".to_owned() } else { format!("{broken:?}") };
    let stray = match (fault, reports.iter().filter_map(|report| report.stray).max()) {
        (Fault::SplitBrain, Some(last)) => format!("{} ms", last.as_millis()),
        (Fault::SplitBrain, None) => "none".to_owned(),
        _ => "–".to_owned(),
    };
    format!(
        "| {name} | {promotion} | {beyond} (most {most}) | {} | {reader} (most {longest}) | {:.1} | {stray} | {kept} |\n",
        bound(fault).as_millis(),
        errors as f64 / reports.len() as f64,
    )
}

fn page(
    runs: usize,
    rows: &str,
    troubles: &Troubles,
    all_down: Option<&AllDown>,
    newcomers: Option<&Newcomers>,
    own_writes: Option<&OwnWrites>,
) -> String {
    let mut text = format!(
        "# Outages\n\n\
         Written by `cargo bench --bench outages`. A primary, two replicas (`synchronous_standby_names = 'ANY 1 (*)'`), \
         pgweir, 8 writers and 4 readers; a replica is promoted as soon as the fault has struck. Medians of {runs} runs, \
         milliseconds. An outage is the longest time without an answer of the client that waited longest.\n\n\
         - promotion: from the fault until the promoted host took writes\n\
         - writers: the worst writer's outage beyond that, and what is allowed in the median\n\
         - errors: clients per run whose request was in flight and got one error\n\
         - stray: how long after the promotion a primary that lives on last took a write\n\
         - restarted: a successor took over (`-R`) in the middle of it; medians of a third of the runs\n\
         - promises: no client connection dropped, no acknowledged write lost or done twice, no other errors\n\n\
         | fault | promotion | writers beyond it | allowed | worst reader | errors | stray | promises |\n\
         |---|---|---|---|---|---|---|---|\n{rows}"
    );
    if !troubles.is_empty() {
        write!(text, "\n{troubles}").unwrap();
    }
    if let Some(all_down) = all_down {
        write!(text, "\n{all_down}").unwrap();
    }
    if let Some(newcomers) = newcomers {
        write!(text, "\n{newcomers}").unwrap();
    }
    if let Some(own_writes) = own_writes {
        write!(text, "\n{own_writes}").unwrap();
    }
    text
}
