//! One metric: its series by their labels, how many there may be, and how they are shown.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use super::MOST_SERIES;
use super::series::{Owned, Series, Value};
use crate::metrics::names::Kind;
use crate::metrics::text;

/// The value of every label of what is beyond [`MOST_SERIES`].
const OTHERS: &str = "(others)";

/// One metric.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) kind: Kind,
    pub(super) help: Cow<'static, str>,
    /// By their labels as they are shown, without braces.
    pub(super) series: BTreeMap<Arc<str>, Series>,
    /// The labels of what is beyond [`MOST_SERIES`], if it ever came to that.
    others: Option<Arc<str>>,
    /// Levels that nobody owns: taken from the state of things before each scrape.
    pub(super) rows: Vec<(Arc<str>, f64)>,
}

impl Family {
    pub(super) fn new(kind: Kind, help: &'static str) -> Self {
        let series = BTreeMap::new();
        Self { kind, help: help.into(), series, others: None, rows: Vec::new() }
    }

    /// The series of these labels, for one more owner, or that of all [`OTHERS`].
    pub(super) fn series(&mut self, label_names: &[&str], labels: &Arc<str>) -> &mut Series {
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

    pub(super) fn render(&mut self, out: &mut String, name: &str) {
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

/// The labels of what is beyond [`MOST_SERIES`].
pub(super) fn others(label_names: &[&str]) -> Arc<str> {
    text::labels(label_names, &vec![OTHERS; label_names.len()]).into()
}
