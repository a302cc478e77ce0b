//! Where a pooler's CPU time goes: a further round of a workload under perf.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Functions of the pooler that are named.
const NAMED: usize = 8;

/// What the kernel's functions that begin a system call are called on this architecture.
const SYSTEM_CALL: &str = "__x64_sys_";

/// System calls from this share of the time on are named, percent.
const DEAR: f64 = 1.0;

/// Runs `round` while perf samples the process: shares of kernel and libraries, of system calls with all that they do,
/// and the pooler's dearest functions. `None` where there is no perf, or it may not look.
pub(crate) fn of(pid: Pid, round: impl FnOnce()) -> Option<String> {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("perf.data");
    let mut perf = Command::new("perf")
        .args(["record", "-F", "1999", "-g", "-p", &pid.as_raw_nonzero().to_string(), "-o"])
        .arg(&data)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    round();
    kill_process(Pid::from_child(&perf), Signal::INT).ok()?;
    perf.wait().ok()?;
    let report = |arguments: &[&str]| {
        let output = Command::new("perf")
            .args(["report", "--stdio", "-g", "none", "-t", ";", "-i"])
            .arg(&data)
            .args(arguments)
            .stderr(Stdio::null())
            .output();
        Some(String::from_utf8_lossy(&output.ok()?.stdout).into_owned())
    };
    let own = summary(&report(&["--no-children", "--sort", "dso,symbol"])?)?;
    let calls = system_calls(&report(&["--children", "--sort", "symbol"])?);
    Some(format!("{calls}{own}"))
}

/// From lines of percent with all that is called, percent without, and symbol.
fn system_calls(report: &str) -> String {
    let call = |line: &str| {
        let mut fields = line.split(';').map(str::trim);
        let percent: f64 = fields.next()?.trim_end_matches('%').parse().ok()?;
        let name = fields.nth(1)?.trim_start_matches("[k] ").strip_prefix(SYSTEM_CALL)?;
        (percent >= DEAR).then(|| format!("{name} {percent:.1} %"))
    };
    let calls: Vec<_> = report.lines().filter_map(call).collect();
    if calls.is_empty() { String::new() } else { format!("{}; ", calls.join(", ")) }
}

/// From lines of percent, object and symbol.
fn summary(report: &str) -> Option<String> {
    let rows: Vec<(f64, &str, &str)> = report.lines().filter_map(row).collect();
    let mut objects: BTreeMap<&str, f64> = BTreeMap::new();
    for (percent, object, _) in &rows {
        *objects.entry(object).or_default() += percent;
    }
    let mut objects: Vec<_> = objects.into_iter().filter(|(_, percent)| *percent >= 0.5).collect();
    objects.sort_by(|a, b| b.1.total_cmp(&a.1));
    let (own, _) = objects.iter().find(|(object, _)| !object.starts_with('['))?;
    let objects: Vec<_> =
        objects.iter().map(|(name, part)| format!("{name} {part:.1} %")).collect();
    let own = rows.iter().filter(|(_, object, _)| object == own).take(NAMED);
    let own: Vec<_> = own.map(|(percent, _, symbol)| format!("`{symbol}` {percent:.1}")).collect();
    Some(format!("{}; {}", objects.join(", "), own.join(", ")))
}

fn row(line: &str) -> Option<(f64, &str, &str)> {
    let mut fields = line.splitn(3, ';').map(str::trim);
    let percent = fields.next()?.trim_end_matches('%').parse().ok()?;
    let (object, symbol) = (fields.next()?, fields.next()?);
    let symbol = symbol.trim_start_matches("[.] ").trim_start_matches("[k] ");
    let symbol = symbol.trim_end_matches([';', '-', ' ']); // further columns, empty
    Some((percent, object, symbol))
}
