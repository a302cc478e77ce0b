//! How long: waiting, running, idling, logging in, living.

use super::{SECONDS, field, live};
use crate::config::settings::{Kind, Setting};
use crate::config::values;

pub(super) const ROWS: &[Setting] = &[
    live(
        "query_wait_timeout",
        Kind::Time,
        Some("120"),
        field!(query_wait_timeout),
        "Longest a client may wait for a server; then it is disconnected. 0: for ever.",
    ),
    live(
        "query_wait_notify",
        SECONDS,
        Some("5"),
        field!(query_wait_notify),
        "A client that waits this long for a server is told so by a notice. 0: never.",
    ),
    live(
        "query_timeout",
        Kind::Time,
        Some("0"),
        field!(query_timeout),
        "Longest a query may wait or run; then its server connection is closed and the client disconnected. 0: no limit.",
    ),
    live(
        "idle_transaction_timeout",
        Kind::Time,
        Some("0"),
        field!(idle_transaction_timeout),
        "Longest a client may idle in a transaction; then it is disconnected. 0: no limit.",
    ),
    live(
        "transaction_timeout",
        Kind::Time,
        Some("0"),
        field!(transaction_timeout),
        "Longest a transaction may last; then its client is disconnected. 0: no limit.",
    ),
    live(
        "client_idle_timeout",
        Kind::Time,
        Some("0"),
        field!(client_idle_timeout),
        "Longest a client without a server may idle; then it is disconnected. 0: no limit.",
    ),
    live(
        "client_login_timeout",
        Kind::Time,
        Some("60"),
        field!(client_login_timeout),
        "Longest a login may take. 0: for ever.",
    ),
    live(
        "server_connect_timeout",
        Kind::Time,
        Some("15"),
        field!(server_connect_timeout, values::limit, values::show_limit),
        "Longest that connecting and logging in to a server may take. 0: for ever.",
    ),
    live(
        "server_login_retry",
        Kind::Time,
        Some("15"),
        field!(server_login_retry),
        "Pause after a failed connect or login before the next try.",
    ),
    live(
        "server_lifetime",
        Kind::Time,
        Some("3600"),
        field!(server_lifetime),
        "An unused server connection older than this is closed. 0: every one is used once.",
    ),
    live(
        "server_idle_timeout",
        Kind::Time,
        Some("600"),
        field!(server_idle_timeout),
        "A server connection unused this long is closed. 0: never.",
    ),
    live(
        "cancel_wait_timeout",
        Kind::Time,
        Some("10"),
        field!(cancel_wait_timeout, values::limit, values::show_limit),
        "Longest a cancel request may wait; then it is dropped. 0: for ever.",
    ),
];
