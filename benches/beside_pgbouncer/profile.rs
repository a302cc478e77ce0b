//! Where a pooler's CPU time goes: a further round of a workload under perf.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Functions of the pooler that are named.
const NAMED: usize = 8;

/// Runs `round` while perf samples the process: shares of kernel and libraries, and the pooler's dearest functions.
/// `None` where there is no perf, or it may not look.
pub(crate) fn of(pid: Pid, round: impl FnOnce()) -> Option<String> {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("perf.data");
    let mut perf = Command::new("perf")
        .args(["record", "-F", "1999", "-p", &pid.as_raw_nonzero().to_string(), "-o"])
        .arg(&data)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    round();
    kill_process(Pid::from_child(&perf), Signal::INT).ok()?;
    perf.wait().ok()?;
    let report = Command::new("perf")
        .args(["report", "--stdio", "--no-children", "--sort", "dso,symbol", "-t", ";", "-i"])
        .arg(&data)
        .stderr(Stdio::null())
        .output()
        .ok()?;
    summary(&String::from_utf8_lossy(&report.stdout))
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
