//! A pgbouncer.ini, line by line: what is the same, what has no effect, what could be better.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::better::{self, Change, Suggestion};
use super::{InitError, write_file};
use crate::cli::check::finding::Finding;
use crate::config::ini::{Entry, Section};
use crate::config::{Config, Examined, settings};

/// Tells, and writes the improved file where that is wished.
pub(super) fn run(from: &Path, output: Option<&Path>, force: bool) -> Result<String, InitError> {
    let examined = Config::examine(from);
    if !examined.problems.is_empty() {
        let problems = examined.problems.iter().map(|problem| Finding::told(problem.told()));
        return Err(InitError::Configuration(problems.collect()));
    }
    let suggestions = better::look(&examined);
    let mut text = report(&examined, &suggestions);
    if let Some(output) = output {
        let failed = |error| InitError::File(from.to_owned(), error);
        let old = fs::read_to_string(from).map_err(failed)?;
        // Passwords may be in it: whoever could not read the old one cannot read the new one.
        let mode = fs::metadata(from).map_err(failed)?.permissions().mode() & 0o777;
        write_file(output, &improved(&old, from, &examined, &suggestions), mode, force)?;
        text.push_str(&format!("wrote {0}; next: pgweir check {0}\n", output.display()));
    }
    Ok(text)
}

fn report(examined: &Examined, suggestions: &[Suggestion]) -> String {
    let mut lines = Vec::new();
    let (mut same, mut without) = (0, 0);
    for entry in &examined.entries {
        let Entry { at, section, key, .. } = entry;
        let shown = match settings::find(key).filter(|_| *section == Section::Pgbouncer) {
            Some(setting) => format!("{key} = {}", setting.told(&entry.value)),
            // Passwords may be in it.
            None => format!("{section}/{key}"),
        };
        let remarks = remarks(examined, entry);
        if remarks.is_empty() {
            same += 1;
            lines.push(format!("{at}: same: {shown}"));
        } else {
            without += 1;
            let has_none = settings::find(key).is_some_and(|setting| !setting.is_effective());
            let how = if has_none { "no effect" } else { "less effect" };
            lines.extend(remarks.iter().map(|why| format!("{at}: {how}: {shown}: {why}")));
        }
        let better = suggestions.iter().filter(|suggestion| suggestion.at.as_ref() == Some(at));
        lines.extend(better.map(|suggestion| format!("{at}: better: {}", suggestion.why)));
    }
    let further = suggestions.iter().filter(|suggestion| suggestion.at.is_none());
    lines.extend(further.map(|suggestion| format!("better: {}", suggestion.why)));
    let better = suggestions.len();
    lines.push(format!(
        "{same} lines are the same, {without} have no effect or less, {better} things could be better\n"
    ));
    lines.join("\n")
}

/// What there is to say of a line that does not do what it did in pgbouncer.
fn remarks<'a>(examined: &'a Examined, entry: &Entry) -> Vec<&'a str> {
    let of_line =
        |note: &&crate::config::Note| *note.file == *entry.at.file && note.line == entry.at.line;
    let notes = examined.config.notes.iter().filter(of_line);
    notes.map(|note| note.sentence.as_str()).collect()
}

/// The old text with the changes in it. What changes the behaviour stands there as a comment, to be chosen.
fn improved(old: &str, file: &Path, examined: &Examined, suggestions: &[Suggestion]) -> String {
    let mut notes: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    let mut gone: Vec<usize> = Vec::new();
    let line_of = |at: &crate::config::Place| (*at.file == *file).then_some(at.line as usize);
    for entry in &examined.entries {
        let Some(line) = line_of(&entry.at) else { continue };
        let setting = settings::find(&entry.key).filter(|_| entry.section == Section::Pgbouncer);
        for why in remarks(examined, entry) {
            notes.entry(line).or_default().push(format!("; {why}"));
            if setting.is_some_and(|setting| !setting.is_effective()) {
                gone.push(line);
            }
        }
    }
    for suggestion in suggestions {
        let Some(line) = suggestion.at.as_ref().and_then(line_of) else { continue };
        let notes = notes.entry(line).or_default();
        notes.push(format!("; Better: {}", suggestion.why));
        match &suggestion.change {
            Change::None => {}
            Change::Propose(text) => notes.push(format!(";{text}")),
            Change::Replace(text) => {
                notes.push(text.clone());
                gone.push(line);
            }
        }
    }
    let mut text = String::from("; Made from a pgbouncer.ini by pgweir init --from.\n");
    for (line, number) in old.lines().zip(1..) {
        let further = notes.remove(&number).unwrap_or_default();
        // A section's bracket on the same line has to stay.
        let bare = !line.trim_start().starts_with('[');
        let out = if gone.contains(&number) && bare { ";" } else { "" };
        text.push_str(&format!("{out}{line}\n"));
        for note in further {
            // A replacement only where the old line went.
            if bare || note.starts_with(';') {
                text.push_str(&note);
                text.push('\n');
            }
        }
    }
    let further: Vec<&Suggestion> =
        suggestions.iter().filter(|suggestion| suggestion.at.is_none()).collect();
    if !further.is_empty() {
        text.push_str("\n[pgbouncer]\n");
    }
    for suggestion in further {
        text.push_str(&format!("; Better: {}\n", suggestion.why));
        if let Change::Propose(line) | Change::Replace(line) = &suggestion.change {
            text.push_str(&format!(";{line}\n"));
        }
    }
    text
}
