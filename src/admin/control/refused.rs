//! Why a command is not carried out, in the words of its answer.

use std::fmt;

/// Why a command was not carried out; `Display` is the console's answer, pgbouncer's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// PAUSE, SUSPEND or KILL of what is paused already.
    AlreadyPaused,
    /// SUSPEND while single databases are paused.
    DatabasesPaused,
    /// RESUME of what is not paused.
    NotPaused(Option<String>),
    /// No such database entry.
    NoSuchDatabase(String),
    /// The console itself.
    Console(&'static str, String),
    /// RESUME while the process ends.
    ShuttingDown,
    /// KILL_CLIENT of nobody.
    NoSuchClient,
    /// RELOAD of a configuration that is not right; it is in the log.
    Reload,
    /// SET of an unknown key or a bad value.
    Set,
    /// SET of a TLS setting that makes no sense together with the others, as yet.
    TlsStays,
    /// SHOW FDS: sockets are handed over in another way.
    Fds,
    /// HANDOVER while something else is going on that a successor would not know of.
    Busy(&'static str),
    /// SWITCHOVER of an entry that follows no primary.
    NotFollowed(String),
    /// SWITCHOVER PREPARE where no primary is known.
    NoPrimary(String),
    /// SWITCHOVER PREPARE, and transactions go on and on.
    StillBusy {
        /// The entry.
        database: String,
        /// Servers in use.
        busy: u32,
        /// How long was waited.
        limit: std::time::Duration,
    },
    /// SWITCHOVER DONE without PREPARE.
    NoSwitchover,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyPaused => f.write_str("already suspended/paused"),
            Self::DatabasesPaused => f.write_str("cannot suspend with paused databases"),
            Self::NotPaused(None) => f.write_str("pooler is not paused/suspended"),
            Self::NotPaused(Some(database)) => write!(f, "database {database} is not paused"),
            Self::NoSuchDatabase(database) => write!(f, "no such database: {database}"),
            Self::Console(verb, database) => write!(f, "cannot {verb} admin db: {database}"),
            Self::ShuttingDown => f.write_str("pooler is shutting down"),
            Self::NoSuchClient => f.write_str("client not found"),
            Self::Reload => f.write_str("RELOAD failed, see logs for additional details"),
            Self::Set => f.write_str("SET failed"),
            Self::TlsStays => {
                f.write_str("TLS settings could not be applied, still using old configuration")
            }
            Self::Fds => f.write_str(
                "SHOW FDS serves pgbouncer's online restart alone; a new pgweir takes over with -R, by HANDOVER",
            ),
            Self::Busy(what) => write!(f, "cannot hand over: {what}"),
            Self::NotFollowed(database) => write!(
                f,
                "database {database} follows no primary: it needs target_session_attrs=read-write or primary"
            ),
            Self::NoPrimary(database) => {
                write!(f, "no primary of database {database} is known, see SHOW TOPOLOGY")
            }
            Self::StillBusy { database, busy, limit } => write!(
                f,
                "{busy} servers of database {database} are still in use after {} (failover_timeout), see SHOW CLIENTS; \
                 the switchover is called off",
                crate::admin::switchover::seconds(*limit)
            ),
            Self::NoSwitchover => {
                f.write_str("no switchover was announced, or it was over already; see SHOW EVENTS")
            }
        }
    }
}
