//! The log, and what is counted: statistics, and what single statements cost.

use super::{COUNT, SECONDS, boot, field, live, own};
use crate::config::settings::{Kind, Setting};
use crate::config::values::{self, LOG_FORMATS, SYSLOG_FACILITIES};

pub(super) const ROWS: &[Setting] = &[
    live(
        "logfile",
        Kind::Path,
        None,
        field!(logfile),
        "The log is appended to this file; a reload opens it anew (rotation).",
    ),
    boot(
        "pidfile",
        Kind::Path,
        None,
        field!(pidfile),
        "The process id is written to this file after start-up; the file goes at exit.",
    ),
    live("verbose", COUNT, Some("0"), field!(verbose), "More log lines: 0 to 3."),
    live(
        "log_connections",
        Kind::Switch,
        Some("1"),
        field!(log_connections),
        "Log logins of clients and new server connections.",
    ),
    live(
        "log_disconnections",
        Kind::Switch,
        Some("1"),
        field!(log_disconnections),
        "Log why connections end.",
    ),
    live(
        "log_pooler_errors",
        Kind::Switch,
        Some("1"),
        field!(log_pooler_errors),
        "Log each error that is sent to a client.",
    ),
    live(
        "log_stats",
        Kind::Switch,
        Some("1"),
        field!(log_stats),
        "Log one line of statistics each stats_period.",
    ),
    own(live(
        "log_format",
        Kind::Choice(LOG_FORMATS),
        Some("text"),
        field!(log_format),
        "How lines are written to stderr and to logfile: text: as pgbouncer writes them; json: an object on each line.",
    )),
    own(live(
        "log_rate_limit",
        COUNT,
        Some("100"),
        field!(log_rate_limit),
        "Most warnings and errors of one kind that are logged in a second; one line tells how many more there were. 0: all.",
    )),
    live(
        "stats_period",
        SECONDS,
        Some("60"),
        field!(stats_period, values::interval),
        "Length of the period that averages are made over.",
    ),
    own(live(
        "track_queries",
        COUNT,
        Some("0"),
        field!(track_queries, values::most_queries),
        "How many statements SHOW QUERIES has figures of, at most, a statement on each host by itself: calls, errors, rows, bytes, times. What it costs: docs/queries.md. 0: none, off.",
    )),
];

pub(super) const SYSLOG: &[Setting] = &[
    live("syslog", Kind::Switch, Some("0"), field!(syslog), "Log to syslog as well."),
    live(
        "syslog_ident",
        Kind::Text,
        Some("pgbouncer"),
        field!(syslog_ident),
        "What lines in syslog begin with.",
    ),
    live(
        "syslog_facility",
        Kind::Choice(SYSLOG_FACILITIES),
        Some("daemon"),
        field!(syslog_facility),
        "The facility in syslog.",
    ),
];
