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
}

impl Target {
    /// The figure that was measured.
    pub(crate) fn measured(&self, outcome: &Outcome) -> Option<f64> {
        match self.of {
            Of::Value => outcome.value(Who::Pgweir, self.measure),
            Of::Ratio => outcome.ratio(Who::Pgweir, Who::Pgbouncer, self.measure),
            Of::AllWorkers => outcome.ratio(Who::AllWorkers, Who::Pgbouncer, self.measure),
            Of::Spread => outcome.ratio(Who::AllWorkers, Who::Pgweir, self.measure),
        }
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
