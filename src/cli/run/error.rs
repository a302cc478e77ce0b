//! Why the process does not start.

use std::fmt;
use std::io;

use crate::admin::control::ReloadError;

/// Why it does not run.
#[derive(Debug)]
pub(in crate::cli) enum StartError {
    /// The configuration is not right.
    Config(ReloadError),
    /// The system refuses something.
    System(io::Error),
    /// No address to listen on.
    NowhereToListen,
    /// `-R`, and the old process does not hand over.
    Takeover(String),
    /// `-d` without a pidfile: nobody would find the daemon again.
    DaemonWithoutPidfile,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::System(error) => error.fmt(f),
            Self::Takeover(text) => write!(f, "--reboot: {text}"),
            Self::DaemonWithoutPidfile => {
                f.write_str("daemon needs pidfile configured; set pidfile in [pgbouncer]")
            }
            Self::NowhereToListen => f.write_str(
                "nowhere to listen on; set listen_addr or unix_socket_dir in [pgbouncer]",
            ),
        }
    }
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}
