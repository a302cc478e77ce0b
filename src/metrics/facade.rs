//! The registry as a recorder of the crate `metrics`: whatever counts by that facade's macros, a library included, is
//! exported beside our own, under its own name and labels. It is bounded as ours is, and stays to the end.
//!
//! A macro looks its handle up whenever it runs (a lock, the labels' text): fit for what is rare. What is not keeps the
//! handle, as ours do. Histograms are of seconds, in the buckets of ours; units add nothing to a name.

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::formatting;

use super::names::{self, Kind};
use super::registry::{Cell, Registry};
use super::text;

impl Registry {
    fn cell(&self, key: &Key, kind: Kind) -> Option<Cell> {
        let name = formatting::sanitize_metric_name(key.name());
        let order = names::find(&name).map_or(&[] as &[&str], |metric| metric.labels);
        let place =
            |label: &str| order.iter().position(|known| *known == label).unwrap_or(order.len());
        let mut labels: Vec<(String, &str)> = key
            .labels()
            .map(|label| (formatting::sanitize_label_key(label.key()), label.value()))
            .filter(|(label, _)| label != BUCKET)
            .collect();
        // The same labels are the same series, in whatever order they come; each may come once.
        labels.sort_by(|(a, _), (b, _)| (place(a), a).cmp(&(place(b), b)));
        labels.dedup_by(|(a, _), (b, _)| a == b);
        let label_names: Vec<&str> = labels.iter().map(|(label, _)| label.as_str()).collect();
        let values: Vec<&str> = labels.iter().map(|(_, value)| *value).collect();
        let text = text::labels(&label_names, &values).into();
        self.shared(name, kind, &label_names, &text)
    }

    fn described(&self, key: &KeyName, kind: Kind, help: SharedString) {
        self.describe(formatting::sanitize_metric_name(key.as_str()), kind, help.into_owned());
    }
}

/// The buckets' own label.
const BUCKET: &str = "le";

impl Recorder for Registry {
    fn describe_counter(&self, key: KeyName, _: Option<Unit>, description: SharedString) {
        self.described(&key, Kind::Counter, description);
    }

    fn describe_gauge(&self, key: KeyName, _: Option<Unit>, description: SharedString) {
        self.described(&key, Kind::Gauge, description);
    }

    fn describe_histogram(&self, key: KeyName, _: Option<Unit>, description: SharedString) {
        self.described(&key, Kind::Histogram, description);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        match self.cell(key, Kind::Counter) {
            Some(Cell::Total(total)) => Counter::from_arc(total),
            _ => Counter::noop(),
        }
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        match self.cell(key, Kind::Gauge) {
            Some(Cell::Level(bits)) => Gauge::from_arc(bits),
            _ => Gauge::noop(),
        }
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        match self.cell(key, Kind::Histogram) {
            Some(Cell::Timing(timing)) => Histogram::from_arc(timing),
            _ => Histogram::noop(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use metrics::{counter, describe_counter, gauge, histogram, with_local_recorder};

    use super::super::handles::Resolver;
    use super::super::registry::{MOST_METRICS, MOST_SERIES};
    use super::super::{Metrics, PoolMetrics};
    use super::*;

    /// What is shown when that has counted.
    fn shown(registry: &Registry, count: impl FnOnce()) -> String {
        with_local_recorder(registry, count);
        let mut out = String::new();
        registry.render(&mut out);
        out
    }

    #[test]
    fn what_a_library_counts_is_exported_under_its_name_and_labels() {
        let registry = Registry::default();
        let library = || {
            describe_counter!("lib.requests", Unit::Bytes, "What it did.\nAnd why.");
            counter!("lib.requests", "of-kind" => "a\"b", "by" => "me").increment(2);
            counter!("lib.requests", "by" => "me", "of-kind" => "a\"b").increment(3);
            gauge!("lib_level").set(1.5);
            gauge!("lib_level").decrement(1.0);
            histogram!("lib_seconds", "le" => "not a bound").record(Duration::from_millis(3));
        };
        for round in 1..=3 {
            let text = shown(&registry, library);
            let count = 5 * round;
            for line in [
                "# HELP lib_requests What it did.\\nAnd why.\n# TYPE lib_requests counter\n",
                &format!("lib_requests{{by=\"me\",of_kind=\"a\\\"b\"}} {count}\n"),
                "# TYPE lib_level gauge\nlib_level 0.5\n",
                "lib_seconds_bucket{le=\"0.0025\"} 0\n",
                &format!("lib_seconds_bucket{{le=\"0.005\"}} {round}\n"),
                &format!("lib_seconds_count {round}\n"),
            ] {
                assert!(text.contains(line), "{line} in\n{text}");
            }
            assert_eq!(text.matches("lib_requests{").count(), 1, "{text}");
        }
    }

    #[test]
    fn one_of_our_own_names_is_added_to_our_own() {
        let registry = Registry::default();
        let pool = PoolMetrics::resolve(Resolver::new(&registry), "app", "alice", "pg1");
        pool.received_bytes.increment(1);
        let text = shown(&registry, || {
            let name = names::POOL_RECEIVED_BYTES.name;
            counter!(name, "host" => "pg1", "user" => "alice", "database" => "app").increment(2);
            describe_counter!(name, "Something else.");
            // Which is none.
            gauge!(name).set(7.0);
        });
        let name = names::POOL_RECEIVED_BYTES.name;
        let line = format!("{name}{{database=\"app\",user=\"alice\",host=\"pg1\"}} 3\n");
        assert!(text.contains(&line), "{line} in\n{text}");
        assert!(!text.contains(" 7\n"), "{text}");
        assert!(!text.contains("Something else."), "{text}");
    }

    #[test]
    fn a_library_that_makes_names_and_labels_up_is_bounded() {
        let registry = Registry::default();
        let text = shown(&registry, || {
            for n in 0..MOST_SERIES + 2 {
                counter!("lib_labels", "n" => n.to_string()).increment(1);
                counter!("lib_label_names", format!("n{n}") => "x").increment(1);
            }
            for n in 0..MOST_METRICS + 2 {
                counter!(format!("lib_{n}")).increment(1);
            }
        });
        for name in ["lib_labels{n=", "lib_label_names{n10000="] {
            assert!(text.contains(&format!("{name}\"(others)\"}} 2\n")));
        }
        assert_eq!(text.matches("# TYPE").count(), MOST_METRICS);
        // What is ours is not refused.
        let pool = PoolMetrics::resolve(Resolver::new(&registry), "app", "alice", "pg1");
        let text = shown(&registry, || ());
        assert!(text.contains(names::POOL_SIZE.name));
        drop(pool);
    }

    #[test]
    fn the_first_that_is_installed_records_for_the_process() {
        // No other test installs one.
        let [first, second] = [(); 2].map(|()| Metrics::new("1.0"));
        first.record_globally();
        second.record_globally();
        counter!("lib_global").increment(1);
        assert!(first.render().contains("\nlib_global 1\n"));
        assert!(!second.render().contains("lib_global"));
    }
}
