//! Every difference between pgbouncer and pgweir that the conversations show, and why it may be.
//!
//! Beside this list only one thing may differ: errors of pgweir's own have PostgreSQL's field `V` and may have a DETAIL
//! and a HINT, where pgbouncer has severity, SQLSTATE and text (better: `psql` and drivers show them).

/// What kind of difference it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The pgbouncer beside is older than the one that pgweir is measured by, 1.25.2, which does as pgweir.
    Age,
    /// Deliberate: who relied on pgbouncer's way loses nothing.
    Better,
    /// Deliberate: neither is better.
    Different,
    /// A mistake of pgweir's, known and to be mended.
    Bug,
}

/// One difference.
#[derive(Debug)]
pub struct Rule {
    /// What a stale rule is called by.
    pub name: &'static str,
    pub class: Class,
    /// The conversations that it is seen in; `*` stands for anything, here and below.
    pub on: &'static [&'static str],
    /// The lines that pgbouncer's side has, in a row.
    pub pgbouncer: &'static [&'static str],
    /// The lines that pgweir's side has in their place.
    pub pgweir: &'static [&'static str],
    /// Why it may be.
    pub why: &'static str,
}

/// Proper SQLSTATEs where pgbouncer says 08P01 (better: drivers tell a wrong password from a full pool).
pub const CODES: &[(&str, &str)] = &[];

/// All else.
pub const RULES: &[Rule] = &[];
