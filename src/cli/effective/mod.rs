//! `pgweir config FILE`: every setting that is in force, with its default and where it comes from.

mod rows;

use std::process::ExitCode;

use serde_json::{Value, json};

use self::rows::{Row, Source};
use super::arguments::ConfigLine;
use super::check::finding::Finding;
use crate::config::Config;

/// Does it.
pub(super) fn show(line: &ConfigLine) -> ExitCode {
    let examined = Config::examine(&line.file);
    if !examined.problems.is_empty() {
        for problem in &examined.problems {
            eprintln!("{}", Finding::told(problem.told()));
        }
        return ExitCode::FAILURE;
    }
    let mut rows = rows::all(&examined);
    if line.set {
        rows.retain(|row| matches!(row.source, Source::Line(_)));
    }
    let text = if line.json {
        let settings: Vec<Value> = rows.iter().map(json_of).collect();
        let file = line.file.display().to_string();
        format!("{:#}\n", json!({"schema": 1, "file": file, "settings": settings}))
    } else {
        table(&rows)
    };
    super::print(&text, ExitCode::SUCCESS)
}

fn json_of(row: &Row) -> Value {
    let (from, at) = match &row.source {
        Source::Default => ("default", None),
        Source::Line(at) => ("file", Some(at)),
        Source::Other(key, at) => (*key, at.as_ref()),
    };
    json!({
        "section": row.section,
        "key": row.key,
        "value": row.value,
        "default": row.default,
        "from": from,
        "place": at.map(|at| json!({"file": at.file.display().to_string(), "line": at.line})),
        "changed_by": row.changed_by(),
        "no_effect": row.no_effect,
    })
}

/// Columns that fit a terminal; JSON has the whole of a long value.
fn table(rows: &[Row]) -> String {
    const WIDEST: usize = 40;
    let shown = |value: Option<&str>| match value {
        None => "-".to_owned(),
        Some("") => "''".to_owned(),
        Some(value) if value.chars().count() > WIDEST => {
            format!("{}…", value.chars().take(WIDEST - 1).collect::<String>())
        }
        Some(value) => value.to_owned(),
    };
    let head = ["setting", "value", "default", "changed by", "from"].map(str::to_owned);
    let lines = rows.iter().map(|row| {
        [
            format!("{}/{}", row.section, row.key),
            shown(row.value.as_deref()),
            shown(row.default.as_deref()),
            row.changed_by().to_owned(),
            row.from(),
        ]
    });
    let lines: Vec<[String; 5]> = [head].into_iter().chain(lines).collect();
    let mut widths = [0; 5];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for line in &lines {
        let cells: Vec<String> =
            line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}
