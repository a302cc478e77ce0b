//! What is to be reached, from the measured floors of cost (a bare relay's) and the best pooler measured.

use crate::measure::{Measure, Outcome, Who};

/// A figure and its bound.
pub(crate) struct Target {
    /// The workload's name.
    pub(crate) workload: &'static str,
    /// The figure.
    pub(crate) measure: Measure,
    /// What is compared.
    pub(crate) of: Of,
    /// The bound.
    pub(crate) bound: f64,
}

/// What is compared with the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    /// pgweir's own value.
    Value,
    /// pgweir's divided by pgbouncer's.
    Ratio,
    /// All workers' divided by pgbouncer's.
    AllWorkers,
    /// All workers' divided by one worker's.
    Spread,
    /// That of an entry that follows roles divided by that of one that does not.
    Explicit,
    /// The same with `route_reads = auto`.
    Auto,
}

impl Target {
    /// The figure that was measured.
    pub(crate) fn measured(&self, outcome: &Outcome) -> Option<f64> {
        match self.of {
            Of::Value => outcome.value(Who::Pgweir, self.measure),
            Of::Ratio => outcome.ratio(Who::Pgweir, Who::Pgbouncer, self.measure),
            Of::AllWorkers => outcome.ratio(Who::AllWorkers, Who::Pgbouncer, self.measure),
            Of::Spread => outcome.ratio(Who::AllWorkers, Who::Pgweir, self.measure),
            Of::Explicit => outcome.ratio(Who::Explicit, Who::Pgweir, self.measure),
            Of::Auto => outcome.ratio(Who::Auto, Who::Pgweir, self.measure),
        }
    }

    /// Whether the outcome of its workload falls short of it.
    pub(crate) fn is_missed(&self, outcome: &Outcome) -> bool {
        outcome.workload == self.workload
            && self.measured(outcome).is_some_and(|measured| !self.reached(measured))
    }

    /// Whether that is reached, at the two digits that the tables show.
    pub(crate) fn reached(&self, measured: f64) -> bool {
        let rounded = (measured * 100.0).round() / 100.0;
        if self.measure.more_is_better() { rounded >= self.bound } else { rounded <= self.bound }
    }

    /// The bound in words.
    pub(crate) fn show_bound(&self) -> String {
        let sign = if self.measure.more_is_better() { "≥" } else { "≤" };
        let times = if self.of == Of::Value { "" } else { " ×" };
        format!("{sign} {:.2}{times}", self.bound)
    }
}

const fn target(workload: &'static str, measure: Measure, of: Of, bound: f64) -> Target {
    Target { workload, measure, of, bound }
}

/// All of them, in the order of the workloads.
pub(crate) const ALL: &[Target] = &[
    target("echo-50", Measure::Cpu, Of::Ratio, 0.82),
    target("echo-50", Measure::Tps, Of::Ratio, 1.2),
    target("echo-simple", Measure::Cpu, Of::Ratio, 0.82),
    target("echo-simple", Measure::Tps, Of::Ratio, 1.2),
    target("simple", Measure::Cpu, Of::Ratio, 0.90),
    target("simple", Measure::Tps, Of::AllWorkers, 1.0),
    target("simple", Measure::Cpu, Of::Spread, 1.15),
    target("extended", Measure::Cpu, Of::Ratio, 0.95),
    target("extended", Measure::Tps, Of::Ratio, 1.55),
    target("extended", Measure::Tps, Of::AllWorkers, 1.0),
    target("prepared", Measure::Cpu, Of::Ratio, 0.80),
    target("prepared", Measure::Tps, Of::AllWorkers, 1.0),
    target("many", Measure::Cpu, Of::Ratio, 0.85),
    target("many", Measure::Tps, Of::AllWorkers, 1.0),
    target("many", Measure::Cpu, Of::Spread, 1.15),
    target("one", Measure::P50, Of::Ratio, 1.0),
    target("one", Measure::Tps, Of::AllWorkers, 1.0),
    target("one", Measure::Cpu, Of::Spread, 1.0),
    target("syscalls", Measure::Syscalls, Of::Value, 4.6),
    target("result", Measure::CpuPerGb, Of::Ratio, 0.30),
    target("copy-out", Measure::CpuPerGb, Of::Ratio, 0.80),
    target("copy-in", Measure::CpuPerGb, Of::Ratio, 0.55),
    target("routing", Measure::Cpu, Of::Explicit, 1.03),
    target("routing", Measure::Cpu, Of::Auto, 1.10),
    target("routing-prepared", Measure::Cpu, Of::Explicit, 1.03),
    target("routing-prepared", Measure::Cpu, Of::Auto, 1.10),
    target("tls", Measure::Cpu, Of::Ratio, 0.95),
    target("tls", Measure::Tps, Of::AllWorkers, 1.0),
    target("login", Measure::CpuPerLogin, Of::Ratio, 1.0),
    target("login", Measure::Tps, Of::AllWorkers, 1.0),
    target("login-tls", Measure::CpuPerLogin, Of::Ratio, 0.70),
    target("login-tls", Measure::Tps, Of::AllWorkers, 1.0),
    target("idle", Measure::Resident, Of::Value, 2.5),
    target("idle", Measure::IdleCpu, Of::Value, 0.05),
    target("idle-tls", Measure::Resident, Of::Value, 17.0),
    target("idle-tls", Measure::IdleCpu, Of::Value, 0.05),
];

/// What limits a workload's figures, as far as profiles have shown; for those that fall short.
pub(crate) const LIMITS: &[(&str, &str)] = &[
    (
        "echo-50",
        "Two sends and two receives per transaction are all the system calls there are. On loopback a send does the \
         receiver's work as well, in the sender's time: that is the kernel's share below, and pgbouncer's sends cost the \
         same. Without any code of its own pgweir would be at the kernel's share of its time, times the ratio.",
    ),
    ("echo-simple", "As echo-50."),
    (
        "simple",
        "As echo-50; besides, pooler, pgbench and 20 servers share the cores, so that each send wakes a process that \
         wants the sender's core. The rounds differ by more than what is missing.",
    ),
    ("many", "As simple."),
    (
        "one",
        "A wake-up of the pooler for each message, and the same system calls on both sides: all is the kernel's.",
    ),
    (
        "copy-out",
        "PostgreSQL sends 8 KiB at a time and each comes alone: a receive and a send for each, and the bytes copied \
         twice, by the kernel. Waiting for more would save calls and cost latency.",
    ),
    (
        "login",
        "The kernel's part, connect to close, is the same for both. What pgweir adds is a task and its memory per \
         client, and the login's own futures.",
    ),
    (
        "idle",
        "Per client: the task with the relay, what others may know of it, tokio's registration of the socket, and \
         places in three tables.",
    ),
];
