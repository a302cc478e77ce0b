//! System calls per transaction, counted by strace while pgbench runs.
//!
//! strace writes a line with a time per call, so the calls of the same window are known in which transactions are
//! counted. It slows the pooler down, which is then what limits: the most favourable case for one that batches.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::measure::{Measure, Sample};
use crate::pgbench::{Running, Spec, now};
use crate::poolers::Pooler;

/// pgbench and strace have started.
const WARM_UP: Duration = Duration::from_secs(2);

/// One round, and which calls they were. `None` where there is no strace, or it may not look.
pub(crate) fn round(pooler: &Pooler, spec: Spec, seconds: u32) -> Option<(Sample, String)> {
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("strace");
    let mut strace = attach(pooler.pid(), &log)?;
    let run = Running::start(pooler, spec, seconds + 2);
    sleep(WARM_UP);
    let from = now();
    sleep(Duration::from_secs(seconds.into()));
    let to = now();
    let transactions = run.finish(from, to)?.len() as f64;
    kill_process(Pid::from_child(&strace), Signal::INT).ok()?;
    strace.wait().ok()?;
    let log = fs::read_to_string(log).ok()?;
    let calls = count(&log, from, to);
    let all = calls.values().sum::<f64>() / transactions;
    if all == 0.0 {
        return None;
    }
    let mut calls: Vec<_> =
        calls.into_iter().map(|(name, calls)| (calls / transactions, name)).collect();
    calls.sort_by(|a, b| b.0.total_cmp(&a.0));
    let often: Vec<_> = calls
        .iter()
        .filter(|(calls, _)| *calls >= 0.01)
        .map(|(calls, name)| format!("{name} {calls:.2}"))
        .collect();
    let note = format!("{}: {}", pooler.who.name(), often.join(", "));
    Some((Sample::from([(Measure::Syscalls, all)]), note))
}

fn attach(pid: Pid, log: &Path) -> Option<Child> {
    let mut command = Command::new("strace");
    command.args(["-f", "-ttt", "-qq", "-s", "0", "-e", "signal=none", "-o"]).arg(log);
    command.args(["-p", &pid.as_raw_nonzero().to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()
}

/// Calls by name that began in this time. A line: thread, time, call; one that another thread interrupts has a
/// second line that says `resumed`.
fn count(log: &str, from: Duration, to: Duration) -> BTreeMap<&str, f64> {
    let mut calls = BTreeMap::new();
    for line in log.lines() {
        let mut words = line.split_whitespace().skip(1);
        let time = words.next().and_then(|word| word.parse().ok());
        let Some(time) = time.and_then(|time| Duration::try_from_secs_f64(time).ok()) else {
            continue;
        };
        let name = words.next().and_then(|word| word.split_once('('));
        if let Some((name, _)) = name.filter(|_| from <= time && time < to) {
            *calls.entry(name).or_default() += 1.0;
        }
    }
    calls
}
