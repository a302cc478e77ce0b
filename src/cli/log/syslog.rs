//! Lines to the system's log (settings `syslog`, `syslog_ident`, `syslog_facility`).

use std::io;

use syslog::{Facility, Formatter3164, Logger, LoggerBackend};
use tracing::Level;

use crate::config::{Settings, SyslogFacility};

/// A connection to the system's log.
pub(super) struct Syslog(Logger<LoggerBackend, Formatter3164>);

impl std::fmt::Debug for Syslog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Syslog")
    }
}

impl Syslog {
    /// As the settings ask for it; `None`: they do not.
    ///
    /// # Errors
    /// Nobody listens at /dev/log.
    pub(super) fn of(settings: &Settings) -> io::Result<Option<Self>> {
        if !settings.syslog {
            return Ok(None);
        }
        let formatter = Formatter3164 {
            facility: facility(settings.syslog_facility),
            hostname: None,
            process: settings.syslog_ident.clone(),
            pid: std::process::id(),
        };
        let logger = syslog::unix(formatter).map_err(|error| {
            io::Error::other(format!("syslog = 1: {error}; does a system logger run?"))
        })?;
        Ok(Some(Self(logger)))
    }

    /// One line. As in pgbouncer, what is less than LOG does not go there.
    pub(super) fn write(&mut self, level: Level, text: &str) {
        let text = text.replace(['\n', '\t'], " ");
        // A logger that restarts has nowhere to write to for a moment; there is nobody to tell.
        let _ = match level {
            Level::ERROR => self.0.err(text),
            Level::WARN => self.0.warning(text),
            Level::INFO => self.0.info(text),
            _ => Ok(()),
        };
    }
}

fn facility(facility: SyslogFacility) -> Facility {
    match facility {
        SyslogFacility::Auth => Facility::LOG_AUTH,
        SyslogFacility::AuthPriv => Facility::LOG_AUTHPRIV,
        SyslogFacility::Daemon => Facility::LOG_DAEMON,
        SyslogFacility::User => Facility::LOG_USER,
        SyslogFacility::Local0 => Facility::LOG_LOCAL0,
        SyslogFacility::Local1 => Facility::LOG_LOCAL1,
        SyslogFacility::Local2 => Facility::LOG_LOCAL2,
        SyslogFacility::Local3 => Facility::LOG_LOCAL3,
        SyslogFacility::Local4 => Facility::LOG_LOCAL4,
        SyslogFacility::Local5 => Facility::LOG_LOCAL5,
        SyslogFacility::Local6 => Facility::LOG_LOCAL6,
        SyslogFacility::Local7 => Facility::LOG_LOCAL7,
    }
}
