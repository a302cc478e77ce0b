//! What can be told of the files without a Prometheus.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use pgweir::metrics::names::{self, Kind, Metric};
use serde_json::Value;

/// The dashboards, with their file names.
pub(crate) const DASHBOARDS: [(&str, &str); 3] = [
    ("overview.json", include_str!("../../grafana/overview.json")),
    ("pools.json", include_str!("../../grafana/pools.json")),
    ("topology.json", include_str!("../../grafana/topology.json")),
];
const ALERTS: &str = include_str!("../../grafana/alerts.yml");
const RECORDING: &str = include_str!("../../grafana/recording.yml");
const RUNBOOK: &str = include_str!("../../docs/runbook.md");

fn dashboards() -> Vec<Value> {
    DASHBOARDS.iter().map(|(_, text)| serde_json::from_str(text).unwrap()).collect()
}

fn panels_of(dashboard: &Value) -> Vec<Value> {
    dashboard["panels"].as_array().unwrap().clone()
}

fn panels() -> Vec<Value> {
    dashboards().iter().flat_map(panels_of).collect()
}

/// Every expression of the panels, with their titles.
pub(crate) fn panel_queries() -> Vec<(String, String)> {
    let of_panel = |panel: Value| {
        let title = panel["title"].as_str().unwrap().to_owned();
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        let query = move |target: Value| (title.clone(), text(&target["expr"]).unwrap());
        targets.into_iter().map(query)
    };
    panels().into_iter().flat_map(of_panel).collect()
}

/// What the variables take their values from: series, and the label.
pub(crate) fn variable_queries() -> Vec<(String, String)> {
    let variables = dashboards()
        .into_iter()
        .flat_map(|dashboard| dashboard["templating"]["list"].as_array().unwrap().clone());
    let queries = variables.filter_map(|variable| text(&variable["query"]["query"]));
    let split = |query: String| {
        let inner = query.strip_prefix("label_values(").unwrap().strip_suffix(')').unwrap();
        let (series, label) = inner.rsplit_once(',').unwrap();
        (series.to_owned(), label.trim().to_owned())
    };
    queries.map(split).collect()
}

/// Every expression of the dashboards: of panels, annotations and variables.
fn dashboard_queries() -> Vec<String> {
    let annotations = dashboards()
        .into_iter()
        .flat_map(|dashboard| dashboard["annotations"]["list"].as_array().unwrap().clone());
    let queries: Vec<_> = panel_queries()
        .into_iter()
        .map(|(_, query)| query)
        .chain(annotations.filter_map(|item| text(&item["expr"])))
        .chain(variable_queries().into_iter().map(|(series, _)| series))
        .collect();
    assert!(queries.len() > 100, "only {} queries found", queries.len());
    queries
}

/// Names and expressions of rules; each expression stands on one line.
fn rules(file: &str, kind: &str) -> Vec<(String, String)> {
    let key = format!("- {kind}: ");
    let lines = |key: &str| -> Vec<String> {
        let values = file.lines().filter_map(|line| line.trim().strip_prefix(key));
        values.map(str::to_owned).collect()
    };
    let (names, queries) = (lines(&key), lines("expr: "));
    assert_eq!(names.len(), queries.len(), "an expression for each rule");
    names.into_iter().zip(queries).collect()
}

/// The alerts' names and expressions.
pub(crate) fn alerts() -> Vec<(String, String)> {
    rules(ALERTS, "alert")
}

/// The recorded names and their expressions.
pub(crate) fn recorded() -> Vec<(String, String)> {
    rules(RECORDING, "record")
}

fn queries() -> Vec<String> {
    let rules = alerts().into_iter().chain(recorded()).map(|(_, query)| query);
    dashboard_queries().into_iter().chain(rules).collect()
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
pub(crate) fn series(query: &str) -> BTreeSet<&str> {
    let ours = |word: &&str| word.starts_with("pgweir_") || word.starts_with("process_");
    words(query).filter(ours).collect()
}

fn used_by(queries: &[String]) -> BTreeSet<&'static str> {
    let series = queries.iter().flat_map(|query| series(query));
    series.filter_map(metric).map(|metric| metric.name).collect()
}

#[test]
fn every_series_that_is_asked_for_exists() {
    for query in &queries() {
        for series in series(query) {
            assert!(metric(series).is_some(), "{series} is no metric of names.rs, in {query}");
        }
    }
}

#[test]
fn every_label_that_is_asked_for_is_one_of_the_query_s_metrics() {
    // Given by Prometheus itself.
    let given = ["instance", "job", "le", "__name__"];
    for query in &queries() {
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
fn the_dashboards_show_every_metric() {
    let used = used_by(&dashboard_queries());
    for metric in names::ALL {
        assert!(used.contains(metric.name), "no panel shows {}", metric.name);
    }
}

#[test]
fn there_is_an_alert_on_each_thing_that_must_wake_somebody() {
    let alerts: Vec<String> = alerts().into_iter().map(|(_, query)| query).collect();
    let used = used_by(&alerts);
    for metric in [
        names::TOPOLOGY_PRIMARY_MISSING_SECONDS,
        names::TOPOLOGY_SPLIT_BRAIN,
        names::POOL_MAX_WAIT_SECONDS,
        names::POOL_SIZE,
        names::HOST_LAG_SECONDS,
        names::HOST_UP,
        names::CLIENTS_LIMIT,
        names::TLS_CERTIFICATE_EXPIRY,
        names::PROCESS_OPEN_FDS,
    ] {
        assert!(used.contains(metric.name), "no alert on {}", metric.name);
    }
    let down = "up{job=~\".*pgweir.*\"} == 0";
    assert!(alerts.iter().any(|query| query == down), "no alert when pgweir is down");
}

#[test]
fn every_alert_says_how_bad_it_is_and_what_to_do() {
    let mut texts = ALERTS.split("- alert: ").skip(1);
    for (name, _) in alerts() {
        let alert = texts.next().unwrap();
        assert!(name.starts_with("Pgweir"), "{name}");
        let of = |key: &str| alert.lines().find_map(|line| line.trim().strip_prefix(key));
        let severity = of("severity: ").unwrap_or_else(|| panic!("{name} without severity"));
        assert!(["critical", "warning", "info"].contains(&severity), "{name}: {severity}");
        for key in ["summary: ", "description: "] {
            assert!(of(key).is_some_and(|text| text.len() > 20), "{name} without {key}");
        }
        let anchor = format!("docs/runbook.md#{}", name.to_lowercase());
        assert_eq!(of("runbook_url: "), Some(anchor.as_str()), "{name}");
    }
}

#[test]
fn the_runbook_has_a_section_for_each_alert_and_no_other() {
    let sections: Vec<_> = RUNBOOK.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let alerts = alerts();
    let names: Vec<_> = alerts.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(sections, names, "in the same order");
}

#[test]
fn every_rule_has_a_test() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("grafana/tests");
    let tests = fs::read_to_string(folder.join("alerts.yml")).unwrap();
    for (name, _) in alerts() {
        let mut asked = tests
            .split("alertname: ")
            .skip(1)
            .filter(|text| text.starts_with(&format!("{name}\n")));
        let silent = asked.next().unwrap_or_else(|| panic!("{name} has no test"));
        assert!(silent.contains("exp_alerts: []"), "{name}: no test that it is silent");
        assert!(asked.next().is_some(), "{name}: no test that it fires");
    }
    let tests = fs::read_to_string(folder.join("recording.yml")).unwrap();
    for (name, _) in recorded() {
        assert!(
            tests.contains(&format!("expr: {name}\n")) || tests.contains(&format!("({name}")),
            "{name}"
        );
    }
}

#[test]
fn panels_have_ids_of_their_own_and_do_not_overlap() {
    for dashboard in dashboards() {
        let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
        for panel in panels_of(&dashboard) {
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
}

#[test]
fn the_data_source_is_the_viewer_s_choice() {
    for dashboard in dashboards() {
        for panel in panels_of(&dashboard).iter().filter(|panel| panel["type"] != "row") {
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
        }
        let variables = dashboard["templating"]["list"].as_array().unwrap().clone();
        let names: Vec<_> =
            variables.iter().filter_map(|variable| text(&variable["name"])).collect();
        assert_eq!(names, ["datasource", "instance", "database", "user"]);
    }
}

#[test]
fn each_dashboard_has_its_own_name_and_leads_to_the_others() {
    let dashboards = dashboards();
    let uids: BTreeSet<_> = dashboards.iter().filter_map(|board| board["uid"].as_str()).collect();
    assert_eq!(uids, BTreeSet::from(["pgweir-overview", "pgweir-pools", "pgweir-topology"]));
    for board in &dashboards {
        let shown = board["tags"].as_array().unwrap();
        let led_to = board["links"][0]["tags"].as_array().unwrap();
        assert!(led_to.iter().all(|tag| shown.contains(tag)), "{}", board["uid"]);
    }
}
