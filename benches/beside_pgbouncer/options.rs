//! What the environment asks for.

use std::env::var;
use std::time::Duration;

/// How long, how often, and which.
pub(crate) struct Options {
    /// Alternating rounds per workload (`ROUNDS`, 3).
    pub(crate) rounds: usize,
    /// Length of one measurement (`SECONDS`, 4).
    pub(crate) seconds: u32,
    /// Names of workloads (`ONLY`, separated by commas); empty for all.
    pub(crate) only: Vec<String>,
    /// Whether to follow each workload with a round under perf (`PROFILE=1`).
    pub(crate) profile: bool,
    /// Clients of the workloads that only wait (`IDLE`, 10000).
    pub(crate) idle: usize,
    /// Clients of the load generator in front of the echoing server (`ECHO_CLIENTS`, 300).
    pub(crate) echo_clients: usize,
}

/// pgbench's harness waits two minutes.
const LONGEST: u32 = 100;

impl Options {
    /// Reads the environment.
    ///
    /// # Panics
    /// On a value that is no number.
    pub(crate) fn read() -> Self {
        let only = var("ONLY").unwrap_or_default();
        Self {
            rounds: number("ROUNDS", 3).max(1) as usize,
            seconds: number("SECONDS", 4).clamp(1, LONGEST),
            only: only.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
            profile: number("PROFILE", 0) > 0,
            idle: number("IDLE", 10_000).max(1) as usize,
            echo_clients: number("ECHO_CLIENTS", 300).max(1) as usize,
        }
    }

    /// Length of one measurement.
    pub(crate) fn length(&self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }

    /// Whether a workload is to run.
    pub(crate) fn wants(&self, workload: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == workload)
    }
}

fn number(name: &str, default: u32) -> u32 {
    let Ok(text) = var(name) else { return default };
    text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number"))
}
