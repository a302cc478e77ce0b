//! What the system knows of the process (proc(5)). Where there is no /proc, nothing is told.

use std::fs;

use super::names::{self, Metric};

/// What is known at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// CPU time, seconds.
    pub cpu_seconds: f64,
    /// When it started, Unix time.
    pub start_time: f64,
    /// Threads.
    pub threads: f64,
    /// Open file descriptors.
    pub open_fds: f64,
    /// Most of them; infinite if there is no limit.
    pub max_fds: f64,
    /// Address space, bytes.
    pub virtual_bytes: f64,
    /// Most address space; infinite if there is no limit.
    pub virtual_max_bytes: f64,
    /// In RAM, bytes.
    pub resident_bytes: f64,
    /// In RAM and of no file, bytes.
    pub anonymous_bytes: f64,
    /// Swapped out, bytes.
    pub swapped_bytes: f64,
    /// Most that ever was in RAM, bytes.
    pub peak_bytes: f64,
}

impl Reading {
    /// Looks; `None` where there is no /proc.
    pub fn take() -> Option<Self> {
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let system = fs::read_to_string("/proc/stat").ok()?;
        let limits = fs::read_to_string("/proc/self/limits").ok()?;
        let (cpu, started) = of_stat(&stat)?;
        // One is the descriptor that is used for looking.
        let open = fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1);
        let bytes = |key| row(&status, key).map_or(0.0, |kilobytes: f64| kilobytes * 1024.0);
        Some(Self {
            cpu_seconds: cpu / ticks,
            start_time: row(&system, "btime")? + started / ticks,
            threads: row(&status, "Threads:").unwrap_or_default(),
            open_fds: open as f64,
            max_fds: limit(&limits, "Max open files")?,
            virtual_bytes: bytes("VmSize:"),
            virtual_max_bytes: limit(&limits, "Max address space")?,
            resident_bytes: bytes("VmRSS:"),
            anonymous_bytes: bytes("RssAnon:"),
            swapped_bytes: bytes("VmSwap:"),
            peak_bytes: bytes("VmHWM:"),
        })
    }

    /// As metrics.
    pub(super) fn rows(&self) -> [(&'static Metric, f64); 10] {
        [
            (&names::PROCESS_CPU_SECONDS, self.cpu_seconds),
            (&names::PROCESS_START_TIME, self.start_time),
            (&names::PROCESS_THREADS, self.threads),
            (&names::PROCESS_OPEN_FDS, self.open_fds),
            (&names::PROCESS_MAX_FDS, self.max_fds),
            (&names::PROCESS_VIRTUAL_MEMORY, self.virtual_bytes),
            (&names::PROCESS_RESIDENT_MEMORY, self.resident_bytes),
            (&names::MEMORY_ANONYMOUS, self.anonymous_bytes),
            (&names::MEMORY_SWAPPED, self.swapped_bytes),
            (&names::MEMORY_PEAK, self.peak_bytes),
        ]
    }
}

/// The number behind a key at the beginning of a line.
fn row(text: &str, key: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

/// A soft limit of /proc/self/limits.
fn limit(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(f64::INFINITY),
        number => number.parse().ok(),
    }
}

/// CPU time (fields 14 and 15) and start (22), in clock ticks. The name before them may hold blanks and brackets.
fn of_stat(text: &str) -> Option<(f64, f64)> {
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let user: f64 = fields.nth(11)?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    let started: f64 = fields.nth(6)?.parse().ok()?;
    Some((user + system, started))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_behind_the_name() {
        let line = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 3 0 12345 1 2";
        assert_eq!(of_stat(line), Some((300.0, 12345.0)));
    }

    #[test]
    fn limits_may_be_unlimited() {
        let text = "Limit                     Soft Limit           Hard Limit           Units\n\
                    Max open files            1024                 4096                 files\n\
                    Max address space         unlimited            unlimited            bytes\n";
        assert_eq!(limit(text, "Max open files"), Some(1024.0));
        assert_eq!(limit(text, "Max address space"), Some(f64::INFINITY));
    }

    #[test]
    fn this_process_is_seen() {
        let reading = Reading::take().expect("Linux has /proc");
        assert!(reading.resident_bytes > 1e6 && reading.resident_bytes < 1e11, "{reading:?}");
        assert!(reading.anonymous_bytes <= reading.peak_bytes, "{reading:?}");
        assert!(reading.open_fds >= 3.0 && reading.open_fds <= reading.max_fds, "{reading:?}");
        // Between the year 2020 and 2100.
        assert!(reading.start_time > 1.5e9 && reading.start_time < 4.2e9, "{reading:?}");
    }
}
