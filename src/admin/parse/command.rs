//! The commands there are, and the right that each takes.

use crate::admin::show::{ClientSetting, Show};
pub use crate::worker::console::Right;

/// What the console was asked to do. A database of `None` stands for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `SHOW x` or `SELECT x`.
    Show(Show),
    /// `SET key = value`.
    Set {
        /// The setting, in lower case.
        key: String,
        /// Its new value, unquoted.
        value: String,
    },
    /// `SET` of what every PostgreSQL client may set: NOTICE `SET ignored`, tag `SET`.
    SetIgnored(ClientSetting),
    /// `RELOAD`.
    Reload,
    /// `RESET QUERIES`; ours.
    ResetQueries,
    /// `PAUSE [db]`.
    Pause(Option<String>),
    /// `RESUME [db]`.
    Resume(Option<String>),
    /// `DISABLE db`.
    Disable(String),
    /// `ENABLE db`.
    Enable(String),
    /// `KILL [db]`.
    Kill(Option<String>),
    /// `KILL_CLIENT id`, the id of SHOW CLIENTS.
    KillClient(u64),
    /// `RECONNECT [db]`.
    Reconnect(Option<String>),
    /// `WAIT_CLOSE [db]`.
    WaitClose(Option<String>),
    /// `SWITCHOVER PREPARE [db]`; ours.
    SwitchoverPrepare(Option<String>),
    /// `SWITCHOVER DONE [db]`; ours.
    SwitchoverDone(Option<String>),
    /// `EXPLAIN ROUTE sql`; ours. The text as it came.
    ExplainRoute(String),
    /// `SHOW FDS`, which serves pgbouncer's online restart.
    ShowFds,
    /// `HANDOVER`: what `-R` of a new process says; ours.
    HandOver,
    /// `SUSPEND`.
    Suspend,
    /// `SHUTDOWN [mode]`.
    Shutdown(ShutdownMode),
}

/// When SHUTDOWN lets the process end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownMode {
    /// Now, without a reply.
    Immediate,
    /// When no server is in use any more.
    WaitForServers,
    /// When the last client has gone.
    WaitForClients,
}

impl Command {
    /// The command as pgbouncer's log names it, for those that are logged there.
    pub fn in_pgbouncers_words(&self) -> Option<String> {
        let (verb, database) = match self {
            Self::Reload => ("RELOAD", &None),
            Self::Suspend => ("SUSPEND", &None),
            Self::Shutdown(_) => ("SHUTDOWN", &None),
            Self::Pause(database) => ("PAUSE", database),
            Self::Resume(database) => ("RESUME", database),
            Self::Kill(database) => ("KILL", database),
            Self::Reconnect(database) => ("RECONNECT", database),
            Self::WaitClose(database) => ("WAIT_CLOSE", database),
            Self::Disable(database) => return Some(format!("DISABLE '{database}'")),
            Self::Enable(database) => return Some(format!("ENABLE '{database}'")),
            _ => return None,
        };
        Some(match database {
            Some(database) => format!("{verb} '{database}'"),
            None => verb.to_owned(),
        })
    }

    /// The right the command takes. Without it the answer is the error `admin access needed`.
    pub fn needs(&self) -> Right {
        match self {
            Self::Show(_) | Self::SetIgnored(_) | Self::ExplainRoute(_) => Right::Stats,
            Self::Set { .. }
            | Self::Reload
            | Self::ResetQueries
            | Self::Pause(_)
            | Self::Resume(_)
            | Self::Disable(_)
            | Self::Enable(_)
            | Self::Kill(_)
            | Self::KillClient(_)
            | Self::Reconnect(_)
            | Self::WaitClose(_)
            | Self::SwitchoverPrepare(_)
            | Self::SwitchoverDone(_)
            | Self::ShowFds
            | Self::Suspend
            | Self::Shutdown(_) => Right::Admin,
            Self::HandOver => Right::Owner,
        }
    }
}
