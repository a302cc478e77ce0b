//! Two transcripts beside each other: what differs, and which rule explains it.

use std::collections::HashSet;
use std::fmt::Write as _;

use crate::differences::{CODES, Change, REST, RULES};
use crate::transcript::{Fields, Line};

/// Which rules have explained something.
#[derive(Debug, Default)]
pub struct Used {
    /// Number of the rule, number of its change.
    pub changes: HashSet<(usize, usize)>,
    /// Number of the rule, number of the pattern that it was seen in.
    pub places: HashSet<(usize, usize)>,
    /// Texts whose SQLSTATE is another.
    pub codes: HashSet<&'static str>,
}

/// What no rule explains; empty when all is well.
pub fn compare(name: &str, theirs: &[Line], ours: &[Line], used: &mut Used) -> String {
    let mut complaints = String::new();
    let mut before: &[Line] = &[];
    for hunk in hunks(theirs, ours) {
        match hunk {
            Hunk::Same(left, right) => {
                for (left, right) in left.iter().zip(right) {
                    if let Some(complaint) = fields_differ(left, right, used) {
                        let _ = writeln!(complaints, "  {}\n      {complaint}", left.shown());
                    }
                }
                before = left;
            }
            Hunk::Differs(left, right) => {
                let mut explained = Vec::new();
                if explain(name, left, right, &mut explained) {
                    used.changes.extend(explained.iter().map(|(rule, _, change)| (*rule, *change)));
                    used.places.extend(explained.iter().map(|(rule, place, _)| (*rule, *place)));
                    continue;
                }
                for line in &before[before.len().saturating_sub(3)..] {
                    let _ = writeln!(complaints, "    {}", line.shown());
                }
                for line in left {
                    let _ = writeln!(complaints, "  - {}", line.shown());
                }
                for line in right {
                    let _ = writeln!(complaints, "  + {}", line.shown());
                }
            }
        }
    }
    complaints
}

/// A stretch of both transcripts.
enum Hunk<'a> {
    Same(&'a [Line], &'a [Line]),
    Differs(&'a [Line], &'a [Line]),
}

/// Aligns by the longest common sequence of texts.
fn hunks<'a>(left: &'a [Line], right: &'a [Line]) -> Vec<Hunk<'a>> {
    let mut longest = vec![vec![0_u32; right.len() + 1]; left.len() + 1];
    for (i, line) in left.iter().enumerate().rev() {
        for (j, other) in right.iter().enumerate().rev() {
            longest[i][j] = if line.text == other.text {
                longest[i + 1][j + 1] + 1
            } else {
                longest[i + 1][j].max(longest[i][j + 1])
            };
        }
    }
    let (mut hunks, mut i, mut j) = (Vec::new(), 0, 0);
    let same =
        |i: usize, j: usize| i < left.len() && j < right.len() && left[i].text == right[j].text;
    while i < left.len() || j < right.len() {
        let (start, other) = (i, j);
        if same(i, j) {
            while same(i, j) {
                (i, j) = (i + 1, j + 1);
            }
            hunks.push(Hunk::Same(&left[start..i], &right[other..j]));
        } else {
            while (i < left.len() || j < right.len()) && !same(i, j) {
                if j == right.len() || i < left.len() && longest[i + 1][j] >= longest[i][j + 1] {
                    i += 1;
                } else {
                    j += 1;
                }
            }
            hunks.push(Hunk::Differs(&left[start..i], &right[other..j]));
        }
    }
    hunks
}

/// Whether rules explain all of a hunk, one after the other.
fn explain(
    name: &str,
    left: &[Line],
    right: &[Line],
    explained: &mut Vec<(usize, usize, usize)>,
) -> bool {
    if left.is_empty() && right.is_empty() {
        return true;
    }
    for (number, rule) in RULES.iter().enumerate() {
        let Some(place) = rule.on.iter().position(|on| glob(on, name)) else { continue };
        for (which, change) in rule.changes.iter().enumerate() {
            let Some((left, right)) = applied(change, left, right) else { continue };
            explained.push((number, place, which));
            if explain(name, left, right, explained) {
                return true;
            }
            explained.pop();
        }
    }
    false
}

/// What a change leaves of both sides; `None` if it does not fit.
fn applied<'a>(
    (theirs, ours): &Change,
    left: &'a [Line],
    right: &'a [Line],
) -> Option<(&'a [Line], &'a [Line])> {
    let (left_over, right_over) = (beyond(theirs, left)?, beyond(ours, right)?);
    let consumes = left_over.len() < left.len() || right_over.len() < right.len();
    consumes.then_some((left_over, right_over))
}

/// The lines behind those that fit.
fn beyond<'a>(patterns: &[&str], lines: &'a [Line]) -> Option<&'a [Line]> {
    match (patterns, lines) {
        ([], _) => Some(lines),
        ([REST], _) => Some(&[]),
        ([pattern, patterns @ ..], [line, lines @ ..]) if glob(pattern, &line.text) => {
            beyond(patterns, lines)
        }
        _ => None,
    }
}

/// Compares what an error says beside severity and text.
fn fields_differ(theirs: &Line, ours: &Line, used: &mut Used) -> Option<String> {
    let (Some(left), Some(right)) = (&theirs.fields, &ours.fields) else { return None };
    let is_poolers = |fields: &Fields| fields.iter().all(|(tag, _)| "CDH".contains(*tag));
    if !is_poolers(left) {
        return (left != right).then(|| format!("PostgreSQL's words changed: {}", ours.shown()));
    }
    for tag in ['D', 'H'] {
        if theirs.field(tag).is_some() && theirs.field(tag) != ours.field(tag) {
            return Some(format!("pgweir's is another: {}", ours.shown()));
        }
    }
    let code = ours.field('C').unwrap_or_default();
    if theirs.field('C') == Some(code) {
        return None;
    }
    let text = theirs.text.split_once("< ").map_or("", |(_, text)| text);
    let known = CODES.iter().find(|(pattern, known)| *known == code && glob(pattern, text));
    match known {
        Some((pattern, _)) => {
            used.codes.insert(pattern);
            None
        }
        None => Some(format!("no rule gives it SQLSTATE {code}: {}", ours.shown())),
    }
}

/// Whether `*` in a pattern can stand for what the text has there.
pub fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(head) else { return false };
    let starts = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    starts.into_iter().any(|at| glob(rest, &text[at..]))
}
