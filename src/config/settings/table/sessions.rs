//! What becomes of a session's traces: servers checked and made clean, parameters and statements that follow a client.

use super::{COUNT, boot, field, live};
use crate::config::settings::{Kind, Setting};
use crate::config::values::PREPARE_UNNAMED;

pub(super) const ROWS: &[Setting] = &[
    live(
        "server_check_delay",
        Kind::Time,
        Some("30"),
        field!(server_check_delay),
        "A server connection unused for longer than this is checked by server_check_query before its use.",
    ),
    live(
        "server_check_query",
        Kind::Text,
        Some("<empty>"),
        field!(server_check_query),
        "The query of that check; `<empty>`: an empty query; blank: no check.",
    ),
    live(
        "server_fast_close",
        Kind::Switch,
        Some("0"),
        field!(server_fast_close),
        "Close a session-mode server that is to be replaced as soon as no transaction runs, and its client with it.",
    ),
    live(
        "server_reset_query",
        Kind::Text,
        Some("DISCARD ALL"),
        field!(server_reset_query),
        "Run when a client gives its server back in session mode. Empty: none.",
    ),
    live(
        "server_reset_query_always",
        Kind::Switch,
        Some("0"),
        field!(server_reset_query_always),
        "Run server_reset_query in the other modes as well.",
    ),
    boot(
        "track_extra_parameters",
        Kind::List,
        Some("IntervalStyle"),
        field!(track_extra_parameters),
        "Parameters kept per client besides DateStyle, client_encoding, TimeZone, standard_conforming_strings and application_name. The server must report them.",
    ),
    live(
        "ignore_startup_parameters",
        Kind::List,
        Some(""),
        field!(ignore_startup_parameters),
        "Startup parameters that are accepted and dropped. `options` in it: settings inside `options` that PostgreSQL does not know are dropped, the others applied.",
    ),
    live(
        "max_prepared_statements",
        COUNT,
        Some("200"),
        field!(max_prepared_statements),
        "Named prepared statements kept per server connection in transaction and statement mode. 0: they pass through untouched.",
    ),
    live(
        "prepare_unnamed",
        Kind::Choice(PREPARE_UNNAMED),
        Some("auto"),
        field!(prepare_unnamed),
        "Unnamed statements (SELECT, INSERT, UPDATE, DELETE, MERGE, VALUES, WITH) that PostgreSQL parses once per server and not at each use: auto takes texts seen several times in one pool, on takes all, off takes none. Not texts with string constants. Needs max_prepared_statements. Once kept, a text may get a generic plan: see docs/sessions.md.",
    ),
];
