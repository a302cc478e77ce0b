//! One series: the cells that its owners count in, and what they come to together.

use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, Weak};

use metrics::atomics::AtomicU64;

use crate::metrics::names::Kind;
use crate::metrics::timing::{Reading, Timing};

/// Where an owner counts.
#[derive(Clone, Debug)]
pub(in crate::metrics) enum Cell {
    /// A counter.
    Total(Arc<AtomicU64>),
    /// A counter of seconds, kept in microseconds.
    Micros(Arc<AtomicU64>),
    /// A gauge: the bits of a float.
    Level(Arc<AtomicU64>),
    /// A histogram.
    Timing(Arc<Timing>),
    /// A counter of what a histogram counts anyway.
    CountOf(Arc<Timing>),
}

/// What a cell holds at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value {
    Number(f64),
    Count(u64),
    Timing(Reading),
}

impl Cell {
    pub(super) fn new(kind: Kind) -> Self {
        match kind {
            Kind::Counter => Self::Total(Arc::default()),
            Kind::Gauge => Self::Level(Arc::new(AtomicU64::new(0.0_f64.to_bits()))),
            Kind::Histogram => Self::Timing(Arc::default()),
        }
    }

    pub(super) fn read(&self) -> Value {
        match self {
            Self::Total(total) => Value::Count(total.load(Ordering::Relaxed)),
            Self::Micros(micros) => Value::Number(micros.load(Ordering::Relaxed) as f64 / 1e6),
            Self::Level(bits) => Value::Number(f64::from_bits(bits.load(Ordering::Relaxed))),
            Self::Timing(timing) => Value::Timing(timing.read()),
            Self::CountOf(timing) => Value::Count(timing.count()),
        }
    }
}

impl Value {
    /// The sum with another of the same series, so of the same kind.
    pub(super) fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => Self::Number(a + b),
            (Self::Count(a), Self::Count(b)) => Self::Count(a + b),
            (Self::Number(a), Self::Count(b)) | (Self::Count(b), Self::Number(a)) => {
                Self::Number(a + b as f64)
            }
            (Self::Timing(a), Self::Timing(b)) => Self::Timing(a.plus(&b)),
            (kept, _) => kept,
        }
    }
}

#[derive(Debug)]
pub(super) struct Owned {
    /// Its owner's; see [`crate::metrics::handles`].
    pub(super) lease: Weak<()>,
    pub(super) cell: Cell,
}

impl Owned {
    pub(super) fn lives(&self) -> bool {
        self.lease.strong_count() > 0
    }
}

/// One set of label values.
#[derive(Debug, Default)]
pub(super) struct Series {
    pub(super) owned: Vec<Owned>,
    /// What owners that are gone had counted: a counter never goes back. Boxed, as few have any.
    past: Option<Box<Value>>,
    /// Nobody owned it when it was last shown; the next time it is forgotten.
    pub(super) shown_last: bool,
}

impl Series {
    /// Takes leave of owners that are gone.
    pub(super) fn settle(&mut self, kind: Kind) {
        let past = &mut self.past;
        self.owned.retain(|owned| {
            if owned.lives() {
                return true;
            }
            if kind != Kind::Gauge {
                // Whoever is gone has counted before it went.
                fence(Ordering::Acquire);
                let value = owned.cell.read();
                *past = Some(Box::new(past.as_ref().map_or(value, |past| past.plus(value))));
            }
            false
        });
    }

    /// The sum over all owners, past and present.
    pub(super) fn read(&self) -> Option<Value> {
        let past = self.past.as_deref().copied();
        let values = self.owned.iter().map(|owned| owned.cell.read()).chain(past);
        values.reduce(Value::plus)
    }
}
