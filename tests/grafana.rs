//! The dashboard and the alert rules name only metrics and labels that exist, and leave out none
//! that an operator would miss.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

use std::collections::BTreeSet;

use pgweir::metrics::names::{self, Kind, Metric};
use serde_json::Value;

const DASHBOARD: &str = include_str!("../grafana/pgweir.json");
const ALERTS: &str = include_str!("../grafana/alerts.yml");

fn dashboard() -> Value {
    serde_json::from_str(DASHBOARD).unwrap()
}

fn panels() -> Vec<Value> {
    dashboard()["panels"].as_array().unwrap().clone()
}

/// Every expression of the dashboard: of panels, annotations and variables.
fn dashboard_queries() -> Vec<String> {
    let dashboard = dashboard();
    let targets = panels().into_iter().flat_map(|panel| match panel["type"].as_str() {
        Some("row") => vec![],
        _ => panel["targets"].as_array().unwrap().clone(),
    });
    let annotations = dashboard["annotations"]["list"].as_array().unwrap().clone();
    let expressions = targets.chain(annotations).filter_map(|item| text(&item["expr"]));
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let variables = variables.iter().filter_map(|variable| text(&variable["query"]["query"]));
    let queries: Vec<_> = expressions.chain(variables).collect();
    assert!(queries.len() > 50, "only {} queries found", queries.len());
    queries
}

/// Every `expr:` of the alert rules; each stands on one line.
fn alert_queries() -> Vec<String> {
    let queries: Vec<_> = ALERTS
        .lines()
        .filter_map(|line| line.trim().strip_prefix("expr: "))
        .map(str::to_owned)
        .collect();
    let alerts = ALERTS.lines().filter(|line| line.trim().starts_with("- alert: ")).count();
    assert_eq!(queries.len(), alerts, "an expression for each alert");
    queries
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn words(query: &str) -> impl Iterator<Item = &str> {
    query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// The metric that a series belongs to: histograms are exported as three.
fn metric(series: &str) -> Option<&'static Metric> {
    names::ALL.iter().find(|metric| match metric.kind {
        Kind::Counter | Kind::Gauge => series == metric.name,
        Kind::Histogram => series
            .strip_prefix(metric.name)
            .is_some_and(|part| ["_bucket", "_sum", "_count"].contains(&part)),
    })
}

/// The series that a query names.
fn series(query: &str) -> BTreeSet<&str> {
    words(query).filter(|word| word.starts_with("pgweir_")).collect()
}

fn used_by(queries: &[String]) -> BTreeSet<&'static str> {
    let series = queries.iter().flat_map(|query| series(query));
    series.filter_map(metric).map(|metric| metric.name).collect()
}

#[test]
fn every_series_that_is_asked_for_exists() {
    for query in dashboard_queries().iter().chain(&alert_queries()) {
        for series in series(query) {
            assert!(metric(series).is_some(), "{series} is no metric of names.rs, in {query}");
        }
    }
}

#[test]
fn every_label_that_is_asked_for_is_one_of_the_query_s_metrics() {
    // Given by Prometheus itself.
    let given = ["instance", "job", "le", "__name__"];
    for query in dashboard_queries().iter().chain(&alert_queries()) {
        let known: BTreeSet<&str> = series(query)
            .iter()
            .filter_map(|series| metric(series))
            .flat_map(|metric| metric.labels.iter().copied())
            .chain(given)
            .collect();
        // In selectors: `{label="…", label=~"…"}`.
        let selectors = query.split('{').skip(1).filter_map(|rest| rest.split_once('}'));
        let mut asked: BTreeSet<&str> = selectors
            .flat_map(|(selector, _)| selector.split(','))
            .filter_map(|matcher| matcher.split_once(['=', '!']))
            .map(|(label, _)| label.trim())
            .collect();
        // In groups: `by (label, label)`.
        for group in ["by (", "ignoring(", "on("] {
            let lists = query.split(group).skip(1).filter_map(|rest| rest.split_once(')'));
            asked.extend(lists.flat_map(|(list, _)| list.split(',').map(str::trim)));
        }
        for label in asked {
            assert!(known.contains(label), "no metric has the label {label} in {query}");
        }
    }
}

#[test]
fn every_legend_names_labels_that_the_query_keeps() {
    for panel in panels() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = target["expr"].as_str().unwrap();
            let legend = target["legendFormat"].as_str().unwrap();
            for label in legend.split("{{").skip(1).map(|part| part.split_once("}}").unwrap().0) {
                let kept = match query.split_once(" by (") {
                    Some((_, rest)) => {
                        rest.split_once(')').unwrap().0.split(',').any(|by| by.trim() == label)
                    }
                    None => series(query)
                        .iter()
                        .filter_map(|series| metric(series))
                        .all(|metric| label == "instance" || metric.labels.contains(&label)),
                };
                assert!(kept, "{label} in the legend {legend} of {query}");
            }
        }
    }
}

#[test]
fn the_dashboard_shows_every_metric() {
    let used = used_by(&dashboard_queries());
    for metric in names::ALL {
        assert!(used.contains(metric.name), "no panel shows {}", metric.name);
    }
}

#[test]
fn there_is_an_alert_on_each_thing_that_must_wake_somebody() {
    let used = used_by(&alert_queries());
    for metric in [
        names::TOPOLOGY_PRIMARY_MISSING_SECONDS,
        names::TOPOLOGY_SPLIT_BRAIN,
        names::POOL_MAX_WAIT_SECONDS,
        names::POOL_SIZE,
        names::HOST_LAG_SECONDS,
        names::HOST_UP,
        names::CLIENTS_LIMIT,
    ] {
        assert!(used.contains(metric.name), "no alert on {}", metric.name);
    }
    let down = "up{job=~\".*pgweir.*\"} == 0";
    assert!(alert_queries().iter().any(|query| query == down), "no alert when pgweir is down");
}

#[test]
fn every_alert_says_how_bad_it_is_and_what_to_do() {
    for alert in ALERTS.split("- alert: ").skip(1) {
        let name = alert.lines().next().unwrap();
        assert!(name.starts_with("Pgweir"), "{name}");
        let of = |key: &str| alert.lines().find_map(|line| line.trim().strip_prefix(key));
        let severity = of("severity: ").unwrap_or_else(|| panic!("{name} without severity"));
        assert!(["critical", "warning"].contains(&severity), "{name}: {severity}");
        for key in ["summary: ", "description: "] {
            assert!(of(key).is_some_and(|text| text.len() > 20), "{name} without {key}");
        }
    }
}

#[test]
fn panels_have_ids_of_their_own_and_do_not_overlap() {
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in panels() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}");
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{title} is too wide");
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(taken.insert((x, y)), "{title} lies on another panel");
            }
        }
    }
}

#[test]
fn the_data_source_is_the_viewer_s_choice() {
    for panel in panels().iter().filter(|panel| panel["type"] != "row") {
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
    }
    let variables = dashboard()["templating"]["list"].as_array().unwrap().clone();
    let names: Vec<_> = variables.iter().filter_map(|variable| text(&variable["name"])).collect();
    assert_eq!(names, ["datasource", "instance", "database", "user"]);
}
