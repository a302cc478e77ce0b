//! Every difference between pgbouncer and pgweir that the conversations show, and why it may be.
//!
//! Beside this list only this may differ:
//! - Errors of pgweir's own have PostgreSQL's field `V` and may have a DETAIL and a HINT, where pgbouncer has severity,
//!   SQLSTATE and text (better: `psql` and drivers show them).
//! - The order of ParameterStatus in a row, and which database and user the head of a line in the log names (pgbouncer
//!   knows either later).
//! - Age. pgweir is measured by pgbouncer 1.25.2, and the one beside may be older: where 1.18 does otherwise, or cannot
//!   at all, what 1.25.2 said stands in `recorded.json`, and pgweir is compared with that.

/// What kind of difference it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Deliberate: who relied on pgbouncer's way loses nothing.
    Better,
    /// Deliberate: neither is better.
    Different,
    /// A mistake of pgweir's, known and to be mended.
    Bug,
}

/// Lines of pgbouncer's side that stand in a row, and those that pgweir's side has in their place.
///
/// `*` in a line stands for anything, the line [`REST`] for all lines that follow.
pub type Change = (&'static [&'static str], &'static [&'static str]);

/// See [`Change`].
pub const REST: &str = "...";

/// One difference.
#[derive(Debug)]
pub struct Rule {
    pub class: Class,
    /// What differs.
    pub what: &'static str,
    /// Why it may.
    pub why: &'static str,
    /// The conversations that it is seen in; `*` stands for anything.
    pub on: &'static [&'static str],
    /// How it is seen; each is seen somewhere.
    pub changes: &'static [Change],
}

/// Proper SQLSTATEs where pgbouncer says 08P01 (better: drivers tell a wrong password from a full pool).
pub const CODES: &[(&str, &str)] = &[
    ("ErrorResponse FATAL: PQexec disallowed", "0A000"),
    ("ErrorResponse FATAL: transaction blocks not allowed in statement pooling mode", "0A000"),
    ("ErrorResponse FATAL: idle transaction timeout", "25P03"),
    ("ErrorResponse FATAL: transaction timeout", "25P04"),
    ("ErrorResponse FATAL: \"trust\" authentication failed", "28000"),
    ("ErrorResponse FATAL: SSL required", "28000"),
    ("ErrorResponse FATAL: certificate authentication failed", "28000"),
    ("ErrorResponse FATAL: login rejected", "28000"),
    ("ErrorResponse FATAL: no authentication method is found", "28000"),
    ("ErrorResponse FATAL: no username supplied", "28000"),
    ("ErrorResponse FATAL: username too long", "28000"),
    ("ErrorResponse FATAL: SASL authentication failed", "28P01"),
    ("ErrorResponse FATAL: empty password returned by client", "28P01"),
    ("ErrorResponse FATAL: password authentication failed", "28P01"),
    ("ErrorResponse FATAL: no such database: *", "3D000"),
    ("ErrorResponse ERROR: admin access needed", "42501"),
    ("ErrorResponse FATAL: not allowed", "42501"),
    (
        "ErrorResponse FATAL: unsupported options startup parameter: only '-c config=val' and '--config=val' are allowed",
        "42601",
    ),
    ("ErrorResponse FATAL: client connections exceeded (max_db_client_connections)", "53300"),
    ("ErrorResponse FATAL: client connections exceeded (max_user_client_connections)", "53300"),
    ("ErrorResponse FATAL: no more connections allowed (max_client_conn)", "53300"),
    ("ErrorResponse FATAL: query_wait_timeout", "53300"),
    ("ErrorResponse FATAL: query timeout", "57014"),
    ("ErrorResponse FATAL: query_timeout", "57014"),
    ("ErrorResponse FATAL: admin forced disconnect", "57P01"),
    ("ErrorResponse FATAL: client_login_timeout", "57P01"),
    ("ErrorResponse FATAL: database removed", "57P01"),
    ("ErrorResponse FATAL: client_login_timeout (server down)", "57P03"),
    ("ErrorResponse FATAL: database \"app\" is disabled", "57P03"),
    ("ErrorResponse FATAL: client_idle_timeout", "57P05"),
    ("ErrorResponse FATAL: bouncer config error", "F0000"),
];

/// All else.
pub const RULES: &[Rule] = &[];
