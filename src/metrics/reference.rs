//! docs/metrics.md, made from the two tables.

use std::fmt::Write;

use super::names::Metric;
use super::registry::MOST_SERIES;
use super::{compat, names};

/// The page.
pub fn markdown() -> String {
    let mut text = format!(
        "# Metrics\n\n\
         What `/metrics` shows (`http_listen`), in the Prometheus text format. This page is made from the tables in \
         `src/metrics/names.rs` and `src/metrics/compat.rs` (`UPDATE_DOCS=1 cargo test` writes it anew).\n\n\
         A histogram `x` is three series: `x_bucket` (durations up to `le` seconds), `x_sum`, `x_count`. Dashboards, \
         recording rules and alerts that use them are in `grafana/`, what to do about an alert in [runbook.md](runbook.md).\n\n\
         **How many series.** A pool is a database entry, a server user and a host; its series go when it goes \
         (`pool_idle_timeout`, `autodb_idle_timeout`). A name that a stranger makes up leaves none behind. Of each metric at most \
         {MOST_SERIES} label sets are shown; what is beyond is added up under `(others)`. Each pool costs about a hundred samples.\n\n\
         **Where `host` is a list.** An entry without `target_session_attrs` has one pool over all its hosts: their list, with commas.\n"
    );
    text.push_str("\n## pgweir's own\n\n");
    table(&mut text, names::ALL);
    text.push_str(
        "\nThere is nothing yet on pins: pgweir does not pin clients.\n\n\
         ## pgbouncer's exporter's\n\n\
         With `metrics_compat = pgbouncer_exporter`, the default, everything that \
         [pgbouncer_exporter](https://github.com/prometheus-community/pgbouncer_exporter) 0.12 tells, by the same names, \
         with the same labels and meaning: the figures are those of SHOW DATABASES, STATS_TOTALS, POOLS, CLIENTS, LISTS and CONFIG. \
         Labels without a value are left out. What the exporter tells of itself (`pgbouncer_exporter_build_info`, `go_…`, `promhttp_…`) \
         is not there. `metrics_compat = off` leaves all of it out.\n\n",
    );
    table(&mut text, compat::ALL);
    text
}

fn table(text: &mut String, metrics: &[Metric]) {
    text.push_str("| name | type | labels | meaning |\n|---|---|---|---|\n");
    for Metric { name, kind, labels, help, .. } in metrics {
        let (kind, labels) = (kind.word(), labels.join(", "));
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| `{name}` | {kind} | {labels} | {help} |");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_what_the_tables_say() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(file, markdown()).expect("docs/ is there");
        }
        let found = std::fs::read_to_string(file).unwrap_or_default();
        assert!(
            found == markdown(),
            "docs/metrics.md is not what the tables say; UPDATE_DOCS=1 writes it anew"
        );
    }
}
