//! Handles: what each owner (pool, host, worker, …) counts with.
//!
//! A set of handles is resolved once, through [`Metrics`](super::Metrics), and lives as long as its owner. While it lives
//! its series are exported, and no longer. Two sets with the same labels may live side by side: they are added up.

mod pool;
mod process;
mod routing;
mod topology;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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

/// A counter. Counting is one relaxed addition.
#[derive(Clone, Debug, Default)]
pub struct Total(Arc<AtomicU64>);

impl Total {
    /// Adds `n`.
    pub fn increment(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Brings it up to what was counted elsewhere.
    pub fn raise_to(&self, value: u64) {
        self.0.fetch_max(value, Ordering::Relaxed);
    }

    /// What was counted through this handle.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A gauge.
#[derive(Clone, Debug)]
pub struct Level(Arc<AtomicU64>);

impl Level {
    /// Sets it.
    pub fn set(&self, value: impl Into<f64>) {
        self.0.store(value.into().to_bits(), Ordering::Relaxed);
    }

    /// Changes it by so much.
    pub fn change(&self, by: f64) {
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bits| {
            Some((f64::from_bits(bits) + by).to_bits())
        });
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

    /// A counter of microseconds, exported as seconds.
    fn micros(&mut self, metric: &Metric, values: &[&str]) -> Total {
        let total = Total::default();
        self.register(metric, values, Cell::Micros(total.0.clone()));
        total
    }

    fn level(&mut self, metric: &Metric, values: &[&str]) -> Level {
        let level = Arc::new(AtomicU64::new(0.0_f64.to_bits()));
        self.register(metric, values, Cell::Level(level.clone()));
        Level(level)
    }

    fn timing(&mut self, metric: &Metric, values: &[&str]) -> Arc<Timing> {
        let timing = Arc::new(Timing::default());
        self.register(metric, values, Cell::Timing(timing.clone()));
        timing
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
