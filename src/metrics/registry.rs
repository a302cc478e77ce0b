//! The registry: which series there are, who counts for each, and the text that Prometheus reads.
//!
//! Handles and facade are the crate `metrics`'s ([`super::facade`]), the text's rules metrics-exporter-prometheus's
//! ([`super::text`]). Its recorder is not what stands behind them: it took 40 ms for the counters and gauges of 1,000 pools,
//! keeps every single duration until the next scrape, and forgets nobody. Here a series' labels are written once, when its
//! owner comes, and a scrape copies them.
//!
//! A series lives as long as an owner does. When the last has gone, its counts and timings are shown once more (the last of
//! them would be lost otherwise), its level no more, and then it is forgotten. Owners with the same labels are added up.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use metrics::atomics::AtomicU64;

use super::names::{self, Kind, Metric};
use super::text;
use super::timing::{Reading, Timing};

/// Most series of one metric; a histogram counts as one. Far more than anybody has pools: it bounds what a mistake, or
/// somebody who may name databases (`*`), can make of a scrape. What is beyond is added up under [`OTHERS`].
pub(super) const MOST_SERIES: usize = 10_000;

/// Most metrics, those that come by the facade included: they are refused beyond it, ours never.
pub(super) const MOST_METRICS: usize = 1_000;

/// The value of every label of what is beyond [`MOST_SERIES`].
const OTHERS: &str = "(others)";

/// Where an owner counts.
#[derive(Clone, Debug)]
pub(super) enum Cell {
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
enum Value {
    Number(f64),
    Count(u64),
    Timing(Reading),
}

impl Cell {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Counter => Self::Total(Arc::default()),
            Kind::Gauge => Self::Level(Arc::new(AtomicU64::new(0.0_f64.to_bits()))),
            Kind::Histogram => Self::Timing(Arc::default()),
        }
    }

    fn read(&self) -> Value {
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
    fn plus(self, other: Self) -> Self {
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
struct Owned {
    /// Its owner's; see [`super::handles`].
    lease: Weak<()>,
    cell: Cell,
}

impl Owned {
    fn lives(&self) -> bool {
        self.lease.strong_count() > 0
    }
}

/// One set of label values.
#[derive(Debug, Default)]
struct Series {
    owned: Vec<Owned>,
    /// What owners that are gone had counted: a counter never goes back. Boxed, as few have any.
    past: Option<Box<Value>>,
    /// Nobody owned it when it was last shown; the next time it is forgotten.
    shown_last: bool,
}

impl Series {
    /// Takes leave of owners that are gone.
    fn settle(&mut self, kind: Kind) {
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
    fn read(&self) -> Option<Value> {
        let past = self.past.as_deref().copied();
        let values = self.owned.iter().map(|owned| owned.cell.read()).chain(past);
        values.reduce(Value::plus)
    }
}

/// One metric.
#[derive(Debug)]
struct Family {
    kind: Kind,
    help: Cow<'static, str>,
    /// By their labels as they are shown, without braces.
    series: BTreeMap<Arc<str>, Series>,
    /// The labels of what is beyond [`MOST_SERIES`], if it ever came to that.
    others: Option<Arc<str>>,
    /// Levels that nobody owns: taken from the state of things before each scrape.
    rows: Vec<(Arc<str>, f64)>,
}

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

fn others(label_names: &[&str]) -> Arc<str> {
    text::labels(label_names, &vec![OTHERS; label_names.len()]).into()
}

impl Family {
    fn new(kind: Kind, help: &'static str) -> Self {
        let series = BTreeMap::new();
        Self { kind, help: help.into(), series, others: None, rows: Vec::new() }
    }

    /// The series of these labels, for one more owner, or that of all [`OTHERS`].
    fn series(&mut self, label_names: &[&str], labels: &Arc<str>) -> &mut Series {
        let is_new = !self.series.contains_key(labels);
        if is_new && self.series.len() >= MOST_SERIES {
            // Nobody may have asked for a long time.
            self.series.retain(|_, series| series.owned.iter().any(Owned::lives));
        }
        let full = is_new && self.series.len() >= MOST_SERIES;
        let labels = if full {
            // One only, even where somebody makes up names of labels.
            self.others.get_or_insert_with(|| others(label_names)).clone()
        } else {
            labels.clone()
        };
        let series = self.series.entry(labels).or_default();
        // Now and then, so that owners who come and go do not pile up while nobody asks.
        if series.owned.len().is_power_of_two() {
            series.settle(self.kind);
        }
        series.shown_last = false;
        series
    }

    fn render(&mut self, out: &mut String, name: &str) {
        let kind = self.kind;
        self.series.retain(|_, series| {
            series.settle(kind);
            let last = series.owned.is_empty();
            !(last && (kind == Kind::Gauge || std::mem::replace(&mut series.shown_last, last)))
        });
        if self.series.is_empty() && self.rows.is_empty() {
            return;
        }
        text::head(out, name, kind, &self.help);
        for (labels, series) in &self.series {
            match series.read() {
                Some(Value::Count(count)) => {
                    text::name(out, name, labels);
                    // Writing to a String cannot fail.
                    let _ = writeln!(out, " {count}");
                }
                Some(Value::Number(number)) => text::line(out, name, labels, number),
                Some(Value::Timing(reading)) => reading.render(out, name, labels),
                None => {}
            }
        }
        for (labels, value) in &self.rows {
            text::line(out, name, labels, *value);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn rendered(registry: &Registry) -> String {
        let mut out = String::new();
        registry.render(&mut out);
        out
    }

    fn labels(user: &str) -> Arc<str> {
        text::labels(names::POOL_WAITS.labels, &["app", user, "pg1:5432"]).into()
    }

    fn total(registry: &Registry, user: &str, lease: &Arc<()>) -> Arc<AtomicU64> {
        let total = Arc::new(AtomicU64::new(0));
        let cell = Cell::Total(total.clone());
        registry.register(&names::POOL_WAITS, &labels(user), Arc::downgrade(lease), cell);
        total
    }

    fn timing(registry: &Registry, lease: &Arc<()>) -> Arc<Timing> {
        let timing = Arc::new(Timing::default());
        let cell = Cell::Timing(timing.clone());
        let lease = Arc::downgrade(lease);
        registry.register(&names::POOL_WAIT_SECONDS, &labels("alice"), lease, cell);
        timing
    }

    #[test]
    fn the_owners_of_a_series_are_added_up_and_its_past_is_kept() {
        let registry = Registry::default();
        let (first, second) = (Arc::new(()), Arc::new(()));
        let timings = [timing(&registry, &first), timing(&registry, &second)];
        let totals = [total(&registry, "alice", &first), total(&registry, "alice", &second)];
        for (timing, total) in timings.iter().zip(&totals) {
            timing.record(Duration::from_millis(2));
            total.fetch_add(3, Ordering::Relaxed);
        }
        drop(first);
        let alice = labels("alice");
        for _ in 0..3 {
            let text = rendered(&registry);
            for line in [
                format!("pgweir_pool_wait_seconds_count{{{alice}}} 2\n"),
                format!("pgweir_pool_wait_seconds_sum{{{alice}}} 0.004\n"),
                format!("pgweir_pool_waits_total{{{alice}}} 6\n"),
            ] {
                assert!(text.contains(&line), "{line} in\n{text}");
            }
        }
    }

    #[test]
    fn a_series_without_an_owner_is_shown_once_more_and_then_forgotten() {
        let registry = Registry::default();
        let lease = Arc::new(());
        timing(&registry, &lease).record(Duration::from_millis(1));
        total(&registry, "alice", &lease).fetch_add(1, Ordering::Relaxed);
        drop(lease);
        let last = rendered(&registry);
        assert!(last.contains("pgweir_pool_wait_seconds_count{database=\"app\""), "{last}");
        assert!(last.contains("pgweir_pool_waits_total{database=\"app\""), "{last}");
        assert_eq!(rendered(&registry), "");
    }

    #[test]
    fn owners_that_come_and_go_do_not_pile_up_while_nobody_asks() {
        let registry = Registry::default();
        for _ in 0..100 {
            total(&registry, "alice", &Arc::new(())).fetch_add(1, Ordering::Relaxed);
        }
        let owners =
            registry.families()[names::POOL_WAITS.name].series[&labels("alice")].owned.len();
        assert!(owners <= 2, "{owners} are kept");
        // Half of these are gone when the bound is met.
        let lease = Arc::new(());
        for user in 0..MOST_SERIES {
            total(&registry, &format!("gone {user}"), &Arc::new(()));
            total(&registry, &format!("here {user}"), &lease);
        }
        let families = registry.families();
        let family = &families[names::POOL_WAITS.name];
        assert_eq!(family.series.len(), MOST_SERIES);
        assert!(!family.series.contains_key(&others(names::POOL_WAITS.labels)));
    }

    #[test]
    fn what_is_beyond_the_bound_is_added_up() {
        let registry = Registry::default();
        let lease = Arc::new(());
        for user in 0..MOST_SERIES + 2 {
            total(&registry, &user.to_string(), &lease).fetch_add(1, Ordering::Relaxed);
        }
        // One that is known already is found again.
        total(&registry, "0", &lease).fetch_add(1, Ordering::Relaxed);
        let users: Vec<String> = (0..MOST_SERIES + 2).map(|user| user.to_string()).collect();
        let users: Vec<[&str; 1]> = users.iter().map(|user| [user.as_str()]).collect();
        let rows = users.iter().map(|user| (user.as_slice(), 1.0));
        registry.replace(&names::USER_CLIENTS, rows);
        let text = rendered(&registry);
        let others = r#"database="(others)",user="(others)",host="(others)""#;
        for line in [
            format!("pgweir_pool_waits_total{{{others}}} 2\n"),
            format!("pgweir_pool_waits_total{{{}}} 2\n", labels("0")),
            "pgweir_user_clients{user=\"(others)\"} 2\n".to_owned(),
        ] {
            assert!(text.contains(&line), "{line}");
        }
        assert_eq!(text.lines().count(), 2 * (MOST_SERIES + 1 + 2));
    }

    #[test]
    fn rows_are_replaced_as_a_whole() {
        let registry = Registry::default();
        registry.replace(&names::DATABASE_CLIENTS, [(["old"].as_slice(), 1.0)]);
        registry.replace(&names::DATABASE_CLIENTS, [(["new"].as_slice(), 2.0)]);
        let text = rendered(&registry);
        assert!(text.contains("pgweir_database_clients{database=\"new\"} 2\n"), "{text}");
        assert!(!text.contains("old"), "{text}");
    }
}
