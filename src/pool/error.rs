//! Why a client could not be given a server.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use pgweir_codec::backend::{ErrorResponse, Severity};
use pgweir_codec::sqlstate::SqlState;

use crate::topology::snapshot::Snapshot;

/// See the module's words. `Display` is for the operator, [`AttachError::response`] for the client.
#[derive(Clone, Debug)]
pub enum AttachError {
    /// No connection came free in time. Retrying helps only once load falls.
    WaitedTooLong {
        /// Which pool.
        pool: String,
        /// How long.
        waited: Duration,
        /// Servers in use.
        in_use: u32,
        /// The limit.
        pool_size: Option<u32>,
        /// Others that wait.
        waiting: u32,
        /// Why there is no server at all, as a client may know it; `None` if there is one.
        failing: Option<String>,
    },
    /// No connection came free within `query_timeout`.
    QueryTimeout {
        /// Which pool.
        pool: String,
        /// How long.
        waited: Duration,
    },
    /// The server refused to let us in, in its own words.
    Refused {
        /// Which pool.
        pool: String,
        /// The server's words.
        response: Box<ErrorResponse>,
    },
    /// No server can be reached, and it is not yet time for another try.
    Failing {
        /// Which pool.
        pool: String,
        /// The last attempt's outcome, as a client may know it.
        reason: String,
    },
    /// The pool's host is gone: another must be chosen.
    HostGone,
    /// No host of the kind that is needed was known for too long.
    NoHost {
        /// The database entry.
        database: String,
        /// How long the client was held.
        held: Duration,
        /// Whether it needed the primary.
        primary: bool,
        /// What was known of the hosts at its end.
        hosts: Option<Arc<Snapshot>>,
    },
    /// The database entry is gone.
    DatabaseGone,
    /// The process ends.
    ShuttingDown,
}

impl AttachError {
    /// What the client is told before it is closed: it names no host. Texts are pgbouncer's where it has one.
    pub fn response(&self) -> ErrorResponse {
        let fatal = |code, text: &str| ErrorResponse::new(Severity::Fatal, code, text);
        match self {
            Self::WaitedTooLong { waited, failing, .. } => {
                let seconds = waited.as_secs();
                let (detail, hint) = match failing {
                    Some(reason) => (
                        format!("No server could be had within {seconds} s: {reason}."),
                        "Retry later, or ask the administrator why: the log names the server.",
                    ),
                    None => (
                        format!("No server connection came free within {seconds} s."),
                        "Retry later, or ask the administrator to raise pool_size.",
                    ),
                };
                fatal(SqlState::TOO_MANY_CONNECTIONS, "query_wait_timeout")
                    .detail(&detail)
                    .hint(hint)
            }
            Self::QueryTimeout { .. } => fatal(SqlState::QUERY_CANCELED, "query_timeout")
                .detail("The query was still waiting for a server connection."),
            Self::Refused { response, .. } => {
                response.as_ref().clone().with_severity(Severity::Fatal)
            }
            Self::Failing { reason, .. } => fatal(
                SqlState::SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION,
                &format!(
                    "server login has been failing, cached error: {reason} (server_login_retry)"
                ),
            ),
            Self::HostGone => fatal(SqlState::CONNECTION_FAILURE, "server conn crashed?"),
            Self::NoHost { held, primary, hosts, .. } => {
                let kind = if *primary { "primary" } else { "replica" };
                let held = held.as_secs();
                // Who is not to wait for a replica (`replica_fallback = error`) was not held.
                let (told, setting) = match held {
                    0 if !primary => (String::new(), "replica_fallback"),
                    _ => (format!("The client was held for {held} s. "), "failover_timeout"),
                };
                let (detail, hint) = match hosts {
                    Some(hosts) => (told + &hosts.census(), hosts.advice(*primary)),
                    None => (told.trim_end().to_owned(), "Retry later."),
                };
                fatal(
                    SqlState::CANNOT_CONNECT_NOW,
                    &format!("no {kind} is known for this database ({setting})"),
                )
                .detail(&detail)
                .hint(hint)
            }
            Self::DatabaseGone => fatal(SqlState::ADMIN_SHUTDOWN, "database removed"),
            Self::ShuttingDown => fatal(SqlState::ADMIN_SHUTDOWN, "server shutting down"),
        }
    }
}

impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WaitedTooLong { pool, waited, failing: Some(reason), .. } => {
                write!(
                    f,
                    "query_wait_timeout: pool {pool}: no server to be had for {waited:.1?}, last error: {reason}"
                )
            }
            Self::WaitedTooLong { pool, waited, in_use, pool_size, waiting, failing: None } => {
                let size =
                    pool_size.map_or_else(|| "unlimited".to_owned(), |size| size.to_string());
                write!(
                    f,
                    "query_wait_timeout: pool {pool}: no server free after {waited:.1?}; {in_use} of {size} in use, \
                     {waiting} more waiting; raise pool_size or look in SHOW SERVERS for transactions left open"
                )
            }
            Self::QueryTimeout { pool, waited } => {
                write!(f, "query_timeout: pool {pool}: no server free after {waited:.1?}")
            }
            Self::Refused { pool, response } => {
                write!(
                    f,
                    "pool {pool}: the server refused: {} ({})",
                    response.message(),
                    response.code().as_str()
                )
            }
            Self::Failing { pool, reason } => {
                write!(
                    f,
                    "pool {pool}: server login has been failing, cached error: {reason} (server_login_retry)"
                )
            }
            Self::HostGone => f.write_str("the pool's host is gone"),
            Self::NoHost { database, held, primary, hosts } => {
                let kind = if *primary { "primary" } else { "replica" };
                write!(f, "no {kind} of {database} known for {held:.1?} (failover_timeout)")?;
                if let Some(hosts) = hosts {
                    write!(f, ": {}", hosts.census().trim_end_matches('.'))?;
                }
                f.write_str("; SHOW TOPOLOGY says what each host answers")
            }
            Self::DatabaseGone => f.write_str("database removed"),
            Self::ShuttingDown => f.write_str("server shutting down"),
        }
    }
}

impl std::error::Error for AttachError {}
