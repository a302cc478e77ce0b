//! One event as a line: as pgbouncer writes it, or as a JSON object (`log_format`).

use std::fmt;
use std::time::SystemTime;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use crate::admin::show::connection::{rfc3339_millis, timestamp_millis};

/// What an event says.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) level: Level,
    /// Whose connection it is about: `C-0x1f: DATABASE/USER@ADDRESS:PORT`, field `of`.
    pub(super) of: Option<String>,
    pub(super) message: String,
}

impl Said {
    pub(super) fn by(event: &Event<'_>) -> Self {
        let level = *event.metadata().level();
        let mut said = Self { level, of: None, message: String::new() };
        event.record(&mut said);
        said
    }

    /// The message behind whose it is.
    pub(super) fn text(&self) -> String {
        let text = match &self.of {
            Some(of) => format!("{of} {}", self.message),
            None => self.message.clone(),
        };
        text.replace('\n', "\n\t")
    }

    /// `YYYY-MM-DD HH:MM:SS.mmm UTC [PID] LEVEL message`; a message of several lines goes on behind a tab.
    pub(super) fn line(&self, now: SystemTime) -> String {
        let (time, pid) = (timestamp_millis(now), std::process::id());
        format!("{time} [{pid}] {} {}\n", self.word(), self.text())
    }

    /// One object on one line: `time`, `level`, `pid`, `message`, and where it is about a connection `connection`, `database`,
    /// `user` and `address`.
    pub(super) fn json(&self, now: SystemTime) -> String {
        let mut object = Map::new();
        let mut put = |key: &str, value: Value| drop(object.insert(key.to_owned(), value));
        put("time", rfc3339_millis(now).into());
        put("level", self.word().into());
        put("pid", std::process::id().into());
        if let Some(of) = &self.of {
            let (connection, rest) = of.split_once(": ").unwrap_or(("", of));
            let (names, address) = rest.rsplit_once('@').unwrap_or((rest, ""));
            let (database, user) = names.split_once('/').unwrap_or((names, ""));
            put("connection", connection.into());
            put("database", database.into());
            put("user", user.into());
            put("address", address.into());
        }
        put("message", self.message.clone().into());
        format!("{}\n", Value::Object(object))
    }

    /// The level's name in pgbouncer's log.
    fn word(&self) -> &'static str {
        match self.level {
            Level::ERROR => "ERROR",
            Level::WARN => "WARNING",
            Level::INFO => "LOG",
            Level::DEBUG => "DEBUG",
            Level::TRACE => "NOISE",
        }
    }

    /// Its number in syslog (RFC 5424), which the journal reads in front of a line (sd-daemon(3)).
    pub(super) fn severity(&self) -> u8 {
        match self.level {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        }
    }
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        use fmt::Write;
        // Writing to a String cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            "of" => {
                self.of = Some(format!("{value:?}"));
                Ok(())
            }
            name => write!(self.message, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(of: Option<&str>, message: &str) -> Said {
        Said { level: Level::WARN, of: of.map(str::to_owned), message: message.to_owned() }
    }

    #[test]
    fn a_line_of_text_is_pgbouncers() {
        let now = SystemTime::UNIX_EPOCH;
        let pid = std::process::id();
        let line = said(Some("C-0x1: a/b@unix(7)"), "first\nsecond").line(now);
        let expected = "C-0x1: a/b@unix(7) first\n\tsecond\n";
        assert_eq!(line, format!("1970-01-01 00:00:00.000 UTC [{pid}] WARNING {expected}"));
    }

    #[test]
    fn a_line_of_json_has_a_field_for_each_thing_and_is_one_line_whatever_is_in_it() {
        let of = "C-0x1f: app/a \"@b\n@127.0.0.1:5";
        let line = said(Some(of), "no such\nuser").json(SystemTime::UNIX_EPOCH);
        assert_eq!(line.matches('\n').count(), 1);
        let object: Value = serde_json::from_str(&line).unwrap();
        for (key, value) in [
            ("time", "1970-01-01T00:00:00.000Z"),
            ("level", "WARNING"),
            ("connection", "C-0x1f"),
            ("database", "app"),
            ("user", "a \"@b\n"),
            ("address", "127.0.0.1:5"),
            ("message", "no such\nuser"),
        ] {
            assert_eq!(object[key], value, "{key}");
        }
        assert!(!said(None, "x").json(SystemTime::UNIX_EPOCH).contains("connection"));
    }
}
