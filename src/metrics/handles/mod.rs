//! Handles: what each owner (pool, host, worker, …) counts with.
//!
//! A set of handles is resolved once, through [`Metrics`](super::Metrics), and lives as long as its owner. While it lives
//! its series are exported, and no longer. Two sets with the same labels may live side by side: they are added up.
//!
//! A handle is one of the crate `metrics`'s, over integers that the registry reads; where the console reads along, it is
//! a [`Total`] or a [`Timing`] itself.

mod pool;
mod process;
mod routing;
mod topology;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use metrics::atomics::AtomicU64;
use metrics::{Counter, Gauge, Histogram};

pub use self::pool::{PoolLevels, PoolMetrics};
pub use self::process::{
    AuthFailure, CancelResult, LoginResult, ProcessMetrics, TlsSide, TlsVersion, WorkerMetrics,
};
pub use self::routing::{MoveReason, RouteReason, RouteTarget, RoutingMetrics};
pub use self::topology::{HostMetrics, TopologyMetrics};
use super::names::Metric;
use super::registry::{Cell, Registry};
use super::text;
use super::timing::Timing;

/// A counter that can be read back, for the console. Counting is one relaxed addition, without the call through a table
/// that a [`Counter`] makes (which costs no more, as measured), since a counter of that kind cannot be read.
#[derive(Clone, Debug, Default)]
pub struct Total(Arc<AtomicU64>);

impl Total {
    /// Adds `n`.
    pub fn increment(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// What was counted through this handle.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Keeps a set of handles exported.
type Lease = Arc<()>;

/// Makes the handles of one owner.
pub(super) struct Resolver<'a> {
    registry: &'a Registry,
    lease: Lease,
    /// The labels of the last handle: the next one mostly has the same.
    last: Option<(&'static [&'static str], Vec<String>, Arc<str>)>,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(registry: &'a Registry) -> Self {
        Self { registry, lease: Lease::default(), last: None }
    }

    fn register(&mut self, metric: &Metric, values: &[&str], cell: Cell) {
        assert_eq!(metric.labels.len(), values.len(), "{}: a value for each label", metric.name);
        let same = self.last.take().filter(|(names, last, _)| {
            *names == metric.labels && last.iter().map(String::as_str).eq(values.iter().copied())
        });
        let labels = same.unwrap_or_else(|| {
            let owned = values.iter().map(|value| (*value).to_owned()).collect();
            (metric.labels, owned, text::labels(metric.labels, values).into())
        });
        self.registry.register(metric, &labels.2, Arc::downgrade(&self.lease), cell);
        self.last = Some(labels);
    }

    fn total(&mut self, metric: &Metric, values: &[&str]) -> Total {
        let total = Total::default();
        self.register(metric, values, Cell::Total(total.0.clone()));
        total
    }

    fn counter(&mut self, metric: &Metric, values: &[&str]) -> Counter {
        Counter::from_arc(self.total(metric, values).0)
    }

    /// A counter of microseconds, exported as seconds.
    fn micros(&mut self, metric: &Metric, values: &[&str]) -> Counter {
        let micros = Arc::new(AtomicU64::new(0));
        self.register(metric, values, Cell::Micros(micros.clone()));
        Counter::from_arc(micros)
    }

    fn gauge(&mut self, metric: &Metric, values: &[&str]) -> Gauge {
        let bits = Arc::new(AtomicU64::new(0.0_f64.to_bits()));
        self.register(metric, values, Cell::Level(bits.clone()));
        Gauge::from_arc(bits)
    }

    fn timing(&mut self, metric: &Metric, values: &[&str]) -> Arc<Timing> {
        let timing = Arc::new(Timing::default());
        self.register(metric, values, Cell::Timing(timing.clone()));
        timing
    }

    /// A timing that nobody reads back.
    fn histogram(&mut self, metric: &Metric, values: &[&str]) -> Histogram {
        Histogram::from_arc(self.timing(metric, values))
    }

    /// A counter of what the timing counts.
    fn count_of(&mut self, metric: &Metric, values: &[&str], timing: &Arc<Timing>) {
        self.register(metric, values, Cell::CountOf(timing.clone()));
    }

    fn lease(self) -> Lease {
        self.lease
    }
}

fn flag(set: bool) -> f64 {
    if set { 1.0 } else { 0.0 }
}
