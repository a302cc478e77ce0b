//! Figures: what is measured, of whom, and what comes of several rounds.

use std::collections::BTreeMap;

/// A kind of figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Measure {
    /// Transactions per second.
    Tps,
    /// Median latency in milliseconds.
    P50,
    /// The latency in milliseconds that one of a hundred transactions exceeds.
    P99,
    /// The pooler's CPU time per transaction in microseconds.
    Cpu,
    /// The same where each transaction has a connection of its own.
    CpuPerLogin,
    /// How much of one core the pooler used, in percent.
    Busy,
    /// What the echoing server and its clients took themselves per transaction, in microseconds.
    Ends,
    /// System calls per transaction.
    Syscalls,
    /// Megabytes (10^6) per second.
    Throughput,
    /// CPU seconds per gigabyte (10^9 bytes).
    CpuPerGb,
    /// Resident KiB per client.
    Resident,
    /// CPU in percent while nothing is asked.
    IdleCpu,
}

impl Measure {
    /// Name and unit, as the tables have it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Tps => "transactions per second",
            Self::P50 => "p50 latency, ms",
            Self::P99 => "p99 latency, ms",
            Self::Cpu => "CPU per transaction, µs",
            Self::CpuPerLogin => "CPU per login and transaction, µs",
            Self::Busy => "pooler's core busy, %",
            Self::Ends => "CPU of both ends per transaction, µs",
            Self::Syscalls => "system calls per transaction",
            Self::Throughput => "MB per second",
            Self::CpuPerGb => "CPU per GB, s",
            Self::Resident => "resident KiB per idle client",
            Self::IdleCpu => "CPU while idle, %",
        }
    }

    /// Whether it is the better the larger it is.
    pub(crate) fn more_is_better(self) -> bool {
        matches!(self, Self::Tps | Self::Throughput)
    }

    /// A value with as many digits as mean something.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Self::Tps | Self::Busy | Self::Throughput => format!("{value:.0}"),
            Self::P50 | Self::P99 => format!("{value:.3}"),
            Self::CpuPerGb | Self::Syscalls | Self::Resident | Self::IdleCpu => {
                format!("{value:.2}")
            }
            Self::Cpu | Self::CpuPerLogin | Self::Ends => format!("{value:.1}"),
        }
    }
}

/// Whom a figure is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    /// pgweir with one worker.
    Pgweir,
    /// The pgbouncer beside it.
    Pgbouncer,
    /// pgweir with as many workers as there are cores.
    AllWorkers,
    /// pgweir with one worker, and an entry that follows roles.
    Explicit,
    /// The same with `route_reads = auto`.
    Auto,
}

impl Who {
    /// As progress and tables name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pgweir => "pgweir",
            Self::Pgbouncer => "pgbouncer",
            Self::AllWorkers => "pgweir, all workers",
            Self::Explicit => "pgweir, route_reads=explicit",
            Self::Auto => "pgweir, route_reads=auto",
        }
    }
}

/// The figures of one round of one workload through one pooler.
pub(crate) type Sample = BTreeMap<Measure, f64>;

/// What a workload came to.
pub(crate) struct Outcome {
    /// The workload's name.
    pub(crate) workload: &'static str,
    /// Each round's samples. Somebody is missing who cannot do it, or was not asked.
    pub(crate) rounds: Vec<BTreeMap<Who, Sample>>,
    /// What else there is to say.
    pub(crate) notes: Vec<String>,
    /// Where the time went, a line for each pooler.
    pub(crate) profiles: Vec<String>,
}

impl Outcome {
    /// The measures that `who` has.
    pub(crate) fn measures(&self, who: Who) -> Vec<Measure> {
        let first = self.rounds.iter().find_map(|round| round.get(&who));
        first.map(|sample| sample.keys().copied().collect()).unwrap_or_default()
    }

    /// Median over the rounds.
    pub(crate) fn value(&self, who: Who, measure: Measure) -> Option<f64> {
        median(self.rounds.iter().filter_map(|round| figure(round, who, measure)).collect())
    }

    /// Median over the rounds of what one has divided by what the other has in the same round.
    pub(crate) fn ratio(&self, who: Who, to: Who, measure: Measure) -> Option<f64> {
        let ratios = self.rounds.iter().filter_map(|round| {
            let divisor = figure(round, to, measure)?;
            (divisor > 0.0).then_some(figure(round, who, measure)? / divisor)
        });
        median(ratios.collect())
    }
}

fn figure(round: &BTreeMap<Who, Sample>, who: Who, measure: Measure) -> Option<f64> {
    round.get(&who)?.get(&measure).copied()
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (low, high) =
        (values.get(values.len().checked_sub(1)? / 2)?, values.get(values.len() / 2)?);
    Some(f64::midpoint(*low, *high))
}

/// Throughput, latency and CPU of transactions.
///
/// `latencies_us` has one latency per transaction, in microseconds, in any order.
pub(crate) fn transactions(seconds: f64, cpu_us: f64, mut latencies_us: Vec<f64>) -> Sample {
    latencies_us.sort_by(f64::total_cmp);
    let count = latencies_us.len();
    assert!(count > 0, "not one transaction in {seconds:.1} s");
    let quantile = |hundredths: usize| latencies_us[(count * hundredths / 100).min(count - 1)];
    Sample::from([
        (Measure::Tps, count as f64 / seconds),
        (Measure::P50, quantile(50) / 1e3),
        (Measure::P99, quantile(99) / 1e3),
        (Measure::Cpu, cpu_us / count as f64),
    ])
}
