//! How many: clients, and servers in a pool, in a database, for a user.

use super::{COUNT, field, live};
use crate::config::settings::{Kind, Setting};
use crate::config::values::POOL_MODES;

pub(super) const ROWS: &[Setting] = &[
    live(
        "pool_mode",
        Kind::Choice(POOL_MODES),
        Some("session"),
        field!(pool_mode),
        "When a server goes back to its pool. A user's value counts before a database's, and that before this one.",
    ),
    live(
        "max_client_conn",
        COUNT,
        Some("100"),
        field!(max_client_conn),
        "Clients at most, those that are logging in included; the console is exempt.",
    ),
    live(
        "default_pool_size",
        COUNT,
        Some("20"),
        field!(default_pool_size),
        "Server connections per database and user. 0: no limit.",
    ),
    live(
        "min_pool_size",
        COUNT,
        Some("0"),
        field!(min_pool_size),
        "Server connections that a pool keeps open while it has a client, or where its database entry has a user. Never more than the pool's size.",
    ),
    live(
        "reserve_pool_size",
        COUNT,
        Some("0"),
        field!(reserve_pool_size),
        "Server connections above the pool's size, for clients that wait longer than reserve_pool_timeout.",
    ),
    live(
        "reserve_pool_timeout",
        Kind::Time,
        Some("5"),
        field!(reserve_pool_timeout),
        "How long a client waits before the reserve is used. 0: it is not.",
    ),
    live(
        "max_db_connections",
        COUNT,
        Some("0"),
        field!(max_db_connections),
        "Server connections per database, over all users and hosts. At the limit an idle one of another user makes room, else clients wait. 0: no limit.",
    ),
    live(
        "max_user_connections",
        COUNT,
        Some("0"),
        field!(max_user_connections),
        "Server connections per server user, over all databases. At the limit an idle one of another database makes room, else clients wait. 0: no limit.",
    ),
    live(
        "max_db_client_connections",
        COUNT,
        Some("0"),
        field!(max_db_client_connections),
        "Clients per database, those that are logging in included. 0: no limit.",
    ),
    live(
        "max_user_client_connections",
        COUNT,
        Some("0"),
        field!(max_user_client_connections),
        "Clients per user, those that are logging in included. 0: no limit.",
    ),
    live(
        "autodb_idle_timeout",
        Kind::Time,
        Some("3600"),
        field!(autodb_idle_timeout),
        "A database that only the entry `*` stands for is forgotten, with its statistics, when it was without clients and servers this long. 0: never.",
    ),
    live(
        "pool_idle_timeout",
        Kind::Time,
        Some("0"),
        field!(pool_idle_timeout),
        "A pool is forgotten, with its statistics, when it was without clients and servers this long. 0: never.",
    ),
    live(
        "server_round_robin",
        Kind::Switch,
        Some("0"),
        field!(server_round_robin),
        "0: the server used last is used next; 1: the one unused longest.",
    ),
];
