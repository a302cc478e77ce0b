//! Hints: what a comment in front of the first statement says about the host.
//!
//! - `/* pgweir: route=primary */`, `/* pgweir: route=replica */`, also as `-- pgweir: route=replica`
//! - `/* pgdog_role: primary */`, `/* pgdog_role: replica */`, also among others of pgdog's: `/* pgdog_shard: 0 pgdog_role:
//!   primary */` (pgdog manual, "Manual routing")
//! - `/*NO LOAD BALANCE*/`, pgpool's: the primary (pgpool manual, "Load Balancing")
//!
//! pgcat has no comment for roles: its comments, found by patterns that each installation makes up, name shards; roles
//! go by `SET SERVER ROLE TO`.

use super::scan::Scanner;

/// The host that a hint asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The primary.
    Primary,
    /// A replica.
    Replica,
}

/// The first hint among the comments that lead a text.
pub fn leading(text: &[u8]) -> Option<Target> {
    let mut scanner = Scanner::new(text);
    std::iter::from_fn(|| scanner.comment()).find_map(hint)
}

/// What one comment says; `None` for the comments of others, and for a route that does not exist.
fn hint(comment: &[u8]) -> Option<Target> {
    let comment = comment.trim_ascii();
    if comment.eq_ignore_ascii_case(b"NO LOAD BALANCE") {
        return Some(Target::Primary);
    }
    ours(comment).or_else(|| pgdogs(comment))
}

/// `pgweir: route=…`, and nothing else.
fn ours(comment: &[u8]) -> Option<Target> {
    let said = after(comment, b"pgweir")?;
    let said = after(said, b":")?;
    let said = after(said, b"route")?;
    target(after(said, b"=")?)
}

/// `pgdog_role: …` anywhere in the comment.
fn pgdogs(comment: &[u8]) -> Option<Target> {
    let at = memchr::memmem::find(comment, b"pgdog_role:")?;
    let said = after(comment.get(at..)?, b"pgdog_role:")?;
    let end = said.iter().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(said.len());
    target(said.get(..end)?)
}

fn target(name: &[u8]) -> Option<Target> {
    if name.eq_ignore_ascii_case(b"primary") {
        Some(Target::Primary)
    } else if name.eq_ignore_ascii_case(b"replica") {
        Some(Target::Replica)
    } else {
        None
    }
}

/// What follows `start` in `text`, white space around it skipped.
fn after<'a>(text: &'a [u8], start: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = text.trim_ascii_start().split_at_checked(start.len())?;
    head.eq_ignore_ascii_case(start).then(|| rest.trim_ascii_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leading_comment_says_where_to_go() {
        for text in [
            "/* pgweir: route=replica */ select 1",
            "/*pgweir:route=replica*/select 1",
            "  -- app: billing\n /* PGWEIR : ROUTE = Replica */ select 1",
            "-- pgweir: route=replica\nselect 1",
            "/* pgweir: route=replica */ /* pgweir: route=primary */ select 1",
            "/* pgdog_role: replica */ select 1",
            "/* pgdog_shard: 0, pgdog_role:replica */ select 1",
        ] {
            assert_eq!(leading(text.as_bytes()), Some(Target::Replica), "{text}");
        }
        for text in [
            "/* pgweir: route=primary */ begin",
            "/*NO LOAD BALANCE*/ select 1",
            "/* pgdog_role: primary pgdog_shard: 0 */ select 1",
            "/*NO LOAD BALANCE*/ /* pgdog_role: replica */ select 1",
        ] {
            assert_eq!(leading(text.as_bytes()), Some(Target::Primary), "{text}");
        }
    }

    #[test]
    fn a_comment_that_does_not_lead_or_is_not_ours_says_nothing() {
        for text in [
            "select 1 /* pgweir: route=replica */",
            "select '/* pgweir: route=replica */'",
            "; /* pgweir: route=replica */ select 1",
            "/* pgweir: route=replicas */ select 1",
            "/* pgweir: route=auto */ select 1",
            "/* pgweir route=replica */ select 1",
            "/* pgdog_role: auto */ select 1",
            "/* pgdog_role replica */ select 1",
            "select 1 /* pgdog_role: replica */",
            "/* route=replica */ select 1",
            "/* pgweir: route=replica",
            "/* a /* pgweir: route=replica */ */ select 1",
            "",
        ] {
            assert_eq!(leading(text.as_bytes()), None, "{text}");
        }
    }
}
