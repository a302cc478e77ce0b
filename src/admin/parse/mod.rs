//! The console's grammar, which is pgbouncer's: `WORD [WORD]` or `SET WORD (= | TO) VALUE`.
//!
//! A word is `[0-9a-z_]+` in either case, or in double quotes anything; a value is a word or a
//! string in single quotes. One command per query, with or without a semicolon. There are no
//! comments, and an empty query is an error: pgbouncer's users script against exactly that.
//! Checked against pgbouncer 1.18 (live) and 1.25.2.

mod command;
mod scanner;

use std::fmt;

pub use command::{Command, Right, ShutdownMode};
use scanner::{Parts, Scanner};

use super::show::{ClientSetting, Show};

/// Longest command word in bytes, as in pgbouncer.
const MAX_COMMAND: usize = 15;
/// Longest argument or key in bytes, as in pgbouncer (a database name has at most 63).
const MAX_ARGUMENT: usize = 63;
/// Longest value of a SET in bytes, as in pgbouncer.
const MAX_VALUE: usize = 255;

/// Why a query is no command. `Display` is the message for the client, word for word as
/// pgbouncer's, to be sent as ERROR 08P01.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// The grammar does not fit, or there is no such command or SHOW.
    Invalid {
        /// The whole query as it came.
        query: String,
    },
    /// A part is longer than its limit, or SET has an empty key.
    BadArguments,
    /// DISABLE or ENABLE without a database.
    DatabaseRequired,
    /// KILL_CLIENT without a number.
    InvalidClient,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid { query } => write!(f, "invalid command '{query}', use SHOW HELP;"),
            Self::BadArguments => f.write_str("bad arguments"),
            Self::DatabaseRequired => f.write_str("a database is required"),
            Self::InvalidClient => f.write_str("invalid client pointer supplied"),
        }
    }
}

impl std::error::Error for ParseError {}

/// Reads one query.
///
/// # Errors
/// A [`ParseError`], whose text goes to the client; the console stays open.
pub fn parse(query: &str) -> Result<Command, ParseError> {
    let invalid = || ParseError::Invalid { query: query.to_owned() };
    if let Some(command) = own(query) {
        return command.ok_or_else(invalid);
    }
    match Parts::read(query).ok_or_else(invalid)? {
        Parts::Set { key, value } => {
            if key.is_empty() || key.len() > MAX_ARGUMENT || value.len() > MAX_VALUE {
                return Err(ParseError::BadArguments);
            }
            Ok(match ClientSetting::named(&key) {
                Some(setting) => Command::SetIgnored(setting),
                None => Command::Set { key: key.to_ascii_lowercase(), value },
            })
        }
        Parts::Words { command, argument } => {
            if command.len() > MAX_COMMAND || argument.len() > MAX_ARGUMENT {
                return Err(ParseError::BadArguments);
            }
            words(&command, argument)?.ok_or_else(invalid)
        }
    }
}

/// A command of ours, which have a grammar of their own: the outer `None` is none of them, the inner one none that is
/// right.
#[expect(clippy::option_option, reason = "ours and wrong is not the same as not ours")]
fn own(query: &str) -> Option<Option<Command>> {
    let mut scanner = Scanner(query);
    scanner.blanks();
    let first = scanner.word()?;
    scanner.blanks();
    let second = || -> Option<(String, Scanner<'_>)> {
        let mut rest = Scanner(scanner.0);
        let word = rest.word()?;
        rest.blanks();
        Some((word, rest))
    };
    match &*first.to_ascii_lowercase() {
        "explain" => {
            let route = second().filter(|(word, _)| word.eq_ignore_ascii_case("route"));
            Some(route.map(|(_, rest)| Command::ExplainRoute(rest.0.to_owned())))
        }
        "switchover" => Some(second().and_then(|(word, mut rest)| {
            let database = rest.word().filter(|name| name.len() <= MAX_ARGUMENT);
            rest.end()?;
            match &*word.to_ascii_lowercase() {
                "prepare" => Some(Command::SwitchoverPrepare(database)),
                "done" => Some(Command::SwitchoverDone(database)),
                _ => None,
            }
        })),
        _ => None,
    }
}

/// A command of one or two words; `None` when there is no such command.
fn words(command: &str, argument: String) -> Result<Option<Command>, ParseError> {
    // An empty pair of quotes is as good as no argument.
    let database = (!argument.is_empty()).then(|| argument.clone());
    let command = match &*command.to_ascii_lowercase() {
        "show" | "select" if argument.eq_ignore_ascii_case("fds") => Command::ShowFds,
        "show" | "select" => return Ok(Show::named(&argument).map(Command::Show)),
        "shutdown" => return Ok(shutdown_mode(&argument).map(Command::Shutdown)),
        "reload" if argument.is_empty() => Command::Reload,
        "reset" if argument.eq_ignore_ascii_case("queries") => Command::ResetQueries,
        "suspend" if argument.is_empty() => Command::Suspend,
        "handover" if argument.is_empty() => Command::HandOver,
        "pause" => Command::Pause(database),
        "resume" => Command::Resume(database),
        "disable" => Command::Disable(database.ok_or(ParseError::DatabaseRequired)?),
        "enable" => Command::Enable(database.ok_or(ParseError::DatabaseRequired)?),
        "kill" => Command::Kill(database),
        "kill_client" => {
            // Also as SHOW CLIENTS has it in `ptr`.
            let id = match argument.strip_prefix("0x") {
                Some(pointer) => u64::from_str_radix(pointer, 16),
                None => argument.parse(),
            };
            Command::KillClient(id.map_err(|_| ParseError::InvalidClient)?)
        }
        "reconnect" => Command::Reconnect(database),
        "wait_close" => Command::WaitClose(database),
        _ => return Ok(None),
    };
    Ok(Some(command))
}

fn shutdown_mode(argument: &str) -> Option<ShutdownMode> {
    match &*argument.to_ascii_lowercase() {
        "" => Some(ShutdownMode::Immediate),
        "wait_for_servers" => Some(ShutdownMode::WaitForServers),
        "wait_for_clients" => Some(ShutdownMode::WaitForClients),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
