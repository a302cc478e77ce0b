//! Pieces of the Prometheus text format (its documentation, "Exposition formats", version 0.0.4).

use std::fmt::Write;

use super::names::{Kind, Metric};

/// `# HELP` and `# TYPE`.
pub fn head(out: &mut String, metric: &Metric) {
    let Metric { name, help, .. } = metric;
    let kind = match metric.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    // Writing to a String cannot fail.
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// A sample; `labels` as [`labels`] makes them.
pub fn line(out: &mut String, name: &str, labels: &str, value: f64) {
    self::name(out, name, labels);
    let _ = if value == f64::INFINITY { writeln!(out, " +Inf") } else { writeln!(out, " {value}") };
}

/// What a sample begins with.
pub fn name(out: &mut String, name: &str, labels: &str) {
    out.push_str(name);
    if !labels.is_empty() {
        out.push('{');
        out.push_str(labels);
        out.push('}');
    }
}

/// `name="value",…`, without braces. A label whose value is empty is one that is not there.
pub fn labels(names: &[&str], values: &[&str]) -> String {
    let mut text = String::new();
    for (name, value) in names.iter().zip(values).filter(|(_, value)| !value.is_empty()) {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(name);
        text.push_str("=\"");
        for c in value.chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                c => text.push(c),
            }
        }
        text.push('"');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_are_escaped_and_empty_ones_left_out() {
        let text = labels(&["database", "user"], &["a\\b\"c\nd", ""]);
        assert_eq!(text, r#"database="a\\b\"c\nd""#);
    }

    #[test]
    fn values_are_written_as_prometheus_reads_them() {
        let written = |value| {
            let mut out = String::new();
            line(&mut out, "x", "a=\"b\"", value);
            out
        };
        assert_eq!(written(3.0), "x{a=\"b\"} 3\n");
        assert_eq!(written(0.25), "x{a=\"b\"} 0.25\n");
        assert_eq!(written(f64::INFINITY), "x{a=\"b\"} +Inf\n");
        assert_eq!(written(f64::NAN), "x{a=\"b\"} NaN\n");
    }
}
