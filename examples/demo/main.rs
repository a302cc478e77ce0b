//! `make demo`: a failover before your eyes.
//!
//! Starts a primary with two streaming replicas and pgweir before them, puts load on it, lets something happen to the
//! primary, promotes a replica as a cluster manager would, and then tells what the applications saw of it. It ends with
//! an error when a promise was broken. `make demo FAULT=hang` chooses what happens: kill (the default), hang, blackhole,
//! switchover, announced, splitbrain, or all of them in turn. `KEEP=1` leaves everything running until Ctrl-C. All of it lives in a
//! temporary folder, and goes with it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a demo may fail loudly")]
#![allow(clippy::indexing_slicing, reason = "a demo may fail loudly")]
#![allow(clippy::disallowed_methods, reason = "it measures real time")]

#[path = "../../tests/common/mod.rs"]
mod common;
#[path = "../../tests/story/mod.rs"]
mod story;

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use common::{Cluster, Weir, pgbench};
use story::load::{self, Pgbench};
use story::{Facts, Fault, Load, Report, Scene, fault, pulses, written};

/// Time under load before anything happens.
const BEFORE: Duration = Duration::from_secs(5);
/// Time under load from then on, until the old primary comes back.
const AFTER: Duration = Duration::from_secs(5);
/// Time under load with the old primary back.
const BACK: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    let faults = match chosen(std::env::args().nth(1).as_deref()) {
        Ok(faults) => faults,
        Err(error) => {
            eprintln!("demo: {error}");
            return ExitCode::from(2);
        }
    };
    let mut end = ExitCode::SUCCESS;
    for fault in faults {
        // A thread of its own: it may move to another network.
        let broken = thread::spawn(move || show(fault)).join().expect("the demo does not panic");
        if !broken.is_empty() {
            println!("\nBroken promises:");
            broken.iter().for_each(|promise| println!("  - {promise}"));
            end = ExitCode::FAILURE;
        }
    }
    end
}

/// What is to happen.
fn chosen(name: Option<&str>) -> Result<Vec<Fault>, String> {
    match name {
        None | Some("") => Ok(vec![Fault::Kill]),
        Some("all") => Ok(Fault::ALL.map(|(_, fault)| fault).into()),
        Some(name) => Ok(vec![name.parse()?]),
    }
}

/// The show. Answers with the promises that were broken.
fn show(fault: Fault) -> Vec<String> {
    say("starting a primary and two streaming replicas");
    let Some(mut scene) = Scene::set(fault) else { return Vec::new() };
    let cluster = &mut scene.cluster;
    pgbench(&cluster.primary().login("app", "app"), &["-i", "-s", "2", "-q"]).ok();
    let mut weir = story::weir(cluster).start();
    say(&format!("pgweir listens on 127.0.0.1:{}; http://{}/metrics", weir.port(), weir.http()));

    let load = Load::start(weir.port());
    let start = load.begun;
    let end = start + BEFORE + AFTER + BACK;
    let bench = [Pgbench::WRITERS, Pgbench::READERS]
        .map(|args| Pgbench::start(end, weir.login("app", "app"), args));
    say(&format!("load: {}, pgbench with 8 writers and 8 readers", load::DESCRIPTION));

    // Not waits for a condition: this is how long the parts of the show last.
    thread::sleep(BEFORE);
    say(fault.words());
    let failover = fault::strike(fault, cluster, &mut weir);
    let [old, new] = [failover.old, failover.new].map(|number| cluster.nodes[number].name());
    say(&format!("{new} is the primary; the other replica follows it"));
    thread::sleep(AFTER);
    say(&format!("{old} comes back"));
    fault::come_back(&failover, cluster);
    thread::sleep(BACK);

    let (seen, pgbench) = (load.finish(), bench.map(Pgbench::finish));
    let facts = Facts {
        start,
        failover,
        restart: None,
        seen,
        pgbench: Some(pgbench),
        on_new: written(cluster.primary()),
        on_old: written(&cluster.nodes[failover.old]),
        pulses: pulses(cluster.primary()),
        nodes: cluster.hosts(),
    };
    let report = Report::new(&facts);
    println!("\n{report}");
    println!("metrics: http://{}/metrics", weir.http());
    if std::env::var_os("KEEP").is_some_and(|keep| !keep.is_empty() && keep != "0") {
        keep_running(cluster, &weir);
    }
    report.broken
}

fn keep_running(cluster: &Cluster, weir: &Weir) -> ! {
    println!("\nAll of it goes on running. To look around:");
    println!("  psql 'host=127.0.0.1 port={} user=app dbname=app'", weir.port());
    println!(
        "  psql 'host=127.0.0.1 port={} user=admin dbname=pgbouncer'   (the console)",
        weir.port()
    );
    println!("  curl http://{}/metrics", weir.http());
    for node in &cluster.nodes {
        println!("  {}: port {}, data {}", node.name(), node.port(), node.data().display());
    }
    println!("Ctrl-C stops everything and removes its files.");
    loop {
        thread::park(); // Ctrl-C ends us, and the watchdog of tests/common the rest
    }
}

fn say(what: &str) {
    println!("demo: {what}");
}
