//! The registry: which series there are, who counts for each, and the text that Prometheus reads.
//!
//! Handles and facade are the crate `metrics`'s ([`super::facade`]), the text's rules metrics-exporter-prometheus's
//! ([`super::text`]). Its recorder is not what stands behind them: it took 40 ms for the counters and gauges of 1,000 pools,
//! keeps every single duration until the next scrape, and forgets nobody. Here a series' labels are written once, when its
//! owner comes, and a scrape copies them.
//!
//! A series lives as long as an owner does. When the last has gone, its counts and timings are shown once more (the last of
//! them would be lost otherwise), its level no more, and then it is forgotten. Owners with the same labels are added up.
//!
//! - `family` — one metric: its series by their labels, and how they are shown
//! - `series` — one series: the cells that its owners count in

mod family;
mod series;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use family::{Family, others};
pub(super) use series::Cell;
use series::Owned;

use super::names::{self, Kind, Metric};
use super::text;

/// Most series of one metric; a histogram counts as one. Far more than anybody has pools: it bounds what a mistake, or
/// somebody who may name databases (`*`), can make of a scrape. What is beyond is added up under `(others)`.
pub(super) const MOST_SERIES: usize = 10_000;

/// Most metrics, those that come by the facade included: they are refused beyond it, ours never.
pub(super) const MOST_METRICS: usize = 1_000;

/// See the module's words.
#[derive(Debug, Default)]
pub(super) struct Registry {
    families: Mutex<Families>,
    /// Of what came by the facade: it stays.
    lease: Arc<()>,
}

/// By their names.
type Families = BTreeMap<Cow<'static, str>, Family>;

impl Registry {
    /// A cell of this metric, under these labels, for whoever holds the lease.
    pub(super) fn register(&self, metric: &Metric, labels: &Arc<str>, lease: Weak<()>, cell: Cell) {
        let mut families = self.families();
        let series = family(&mut families, metric).series(metric.labels, labels);
        series.owned.push(Owned { lease, cell });
    }

    /// The cell that everybody counts with who comes by the facade with this name and these labels; `None` if it is
    /// another kind of metric, or one too many.
    pub(super) fn shared(
        &self,
        name: String,
        kind: Kind,
        label_names: &[&str],
        labels: &Arc<str>,
    ) -> Option<Cell> {
        let mut families = self.families();
        let family = foreign(&mut families, name, kind)?;
        let series = family.series(label_names, labels);
        let lease = Arc::downgrade(&self.lease);
        if let Some(known) = series.owned.iter().find(|owned| owned.lease.ptr_eq(&lease)) {
            return Some(known.cell.clone());
        }
        let cell = Cell::new(kind);
        series.owned.push(Owned { lease, cell: cell.clone() });
        Some(cell)
    }

    /// What a metric that comes by the facade is for. What is known already stays.
    pub(super) fn describe(&self, name: String, kind: Kind, help: String) {
        let mut families = self.families();
        let family = foreign(&mut families, name, kind);
        if let Some(family) = family.filter(|family| family.help.is_empty()) {
            family.help = help.into();
        }
    }

    /// Replaces all that this metric shows by these rows: the values of its labels, and its own.
    pub(super) fn replace<'a>(
        &self,
        metric: &Metric,
        rows: impl IntoIterator<Item = (&'a [&'a str], f64)>,
    ) {
        let mut families = self.families();
        let family = family(&mut families, metric);
        family.rows.clear();
        let mut rest = None;
        for (values, value) in rows {
            if family.rows.len() < MOST_SERIES {
                family.rows.push((text::labels(metric.labels, values).into(), value));
            } else {
                *rest.get_or_insert(0.0) += value;
            }
        }
        family.rows.extend(rest.map(|rest| (others(metric.labels), rest)));
    }

    /// Appends all series in the Prometheus text format.
    pub(super) fn render(&self, out: &mut String) {
        for (name, family) in self.families().iter_mut() {
            family.render(out, name);
        }
    }

    fn families(&self) -> MutexGuard<'_, Families> {
        self.families.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn family<'a>(families: &'a mut Families, metric: &Metric) -> &'a mut Family {
    let new = || Family::new(metric.kind, metric.help);
    families.entry(metric.name.into()).or_insert_with(new)
}

/// The one that the facade means.
fn foreign(families: &mut Families, name: String, kind: Kind) -> Option<&mut Family> {
    let family = match names::find(&name) {
        Some(metric) => family(families, metric),
        None if families.len() >= MOST_METRICS => families.get_mut(&*name)?,
        None => families.entry(name.into()).or_insert_with(|| Family::new(kind, "")),
    };
    (family.kind == kind).then_some(family)
}

#[cfg(test)]
mod tests;
