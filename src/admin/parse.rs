//! The console's grammar, which is pgbouncer's: `WORD [WORD]` or `SET WORD (= | TO) VALUE`.
//!
//! A word is `[0-9a-z_]+` in either case, or in double quotes anything; a value is a word or a
//! string in single quotes. One command per query, with or without a semicolon. There are no
//! comments, and an empty query is an error: pgbouncer's users script against exactly that.
//! Checked against pgbouncer 1.18 (live) and 1.25.2.

use std::fmt;

use super::show::{ClientSetting, Show};

/// Longest command word in bytes, as in pgbouncer.
const MAX_COMMAND: usize = 15;
/// Longest argument or key in bytes, as in pgbouncer (a database name has at most 63).
const MAX_ARGUMENT: usize = 63;
/// Longest value of a SET in bytes, as in pgbouncer.
const MAX_VALUE: usize = 255;

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

pub use crate::worker::console::Right;

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

/// A query taken apart, quotes removed.
enum Parts {
    Words { command: String, argument: String },
    Set { key: String, value: String },
}

impl Parts {
    fn read(query: &str) -> Option<Self> {
        let mut scanner = Scanner(query);
        scanner.blanks();
        let bare = !scanner.0.starts_with('"');
        let command = scanner.word()?;
        if !scanner.blanks() || scanner.at_end() {
            scanner.end()?;
            return Some(Self::Words { command, argument: String::new() });
        }
        let argument = scanner.word()?;
        scanner.blanks();
        if bare && command.eq_ignore_ascii_case("set") && scanner.assignment() {
            scanner.blanks();
            let value = scanner.string().or_else(|| scanner.word())?;
            scanner.end()?;
            return Some(Self::Set { key: argument, value });
        }
        scanner.end()?;
        Some(Self::Words { command, argument })
    }
}

/// What is left of the query.
struct Scanner<'a>(&'a str);

impl Scanner<'_> {
    /// Skips blanks and says whether there were any.
    fn blanks(&mut self) -> bool {
        let rest = self.0.trim_start_matches([' ', '\t', '\n', '\r']);
        let skipped = rest.len() < self.0.len();
        self.0 = rest;
        skipped
    }

    fn word(&mut self) -> Option<String> {
        if self.0.starts_with('"') {
            return self.quoted('"');
        }
        let end = self.0.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let (word, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest;
        (!word.is_empty()).then(|| word.to_owned())
    }

    fn string(&mut self) -> Option<String> {
        self.quoted('\'')
    }

    /// What stands in quotes; a doubled quote is one of the content.
    fn quoted(&mut self, quote: char) -> Option<String> {
        let mut rest = self.0.strip_prefix(quote)?;
        let mut content = String::new();
        loop {
            let (before, after) = rest.split_once(quote)?;
            content.push_str(before);
            match after.strip_prefix(quote) {
                Some(more) => {
                    content.push(quote);
                    rest = more;
                }
                None => {
                    self.0 = after;
                    return Some(content);
                }
            }
        }
    }

    /// Skips `=` or `TO`, which pgbouncer lets touch the value.
    fn assignment(&mut self) -> bool {
        let rest = self.0.strip_prefix('=').or_else(|| {
            let (to, rest) = self.0.split_at_checked(2)?;
            to.eq_ignore_ascii_case("to").then_some(rest)
        });
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn at_end(&self) -> bool {
        self.0.is_empty() || self.0.starts_with(';')
    }

    /// Nothing may follow but blanks around one semicolon.
    fn end(mut self) -> Option<()> {
        self.blanks();
        self.0 = self.0.strip_prefix(';').unwrap_or(self.0);
        self.blanks();
        self.0.is_empty().then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn database(name: &str) -> Option<String> {
        Some(name.to_owned())
    }

    #[track_caller]
    fn refused(query: &str, message: &str) {
        assert_eq!(parse(query).unwrap_err().to_string(), message, "{query}");
    }

    #[track_caller]
    fn invalid(query: &str) {
        refused(query, &format!("invalid command '{query}', use SHOW HELP;"));
    }

    #[test]
    fn every_command_is_understood_in_either_case_with_and_without_semicolon() {
        let cases = [
            ("SHOW POOLS", Command::Show(Show::Pools)),
            ("RELOAD", Command::Reload),
            ("PAUSE", Command::Pause(None)),
            ("PAUSE app", Command::Pause(database("app"))),
            ("RESUME", Command::Resume(None)),
            ("RESUME app", Command::Resume(database("app"))),
            ("DISABLE app", Command::Disable("app".to_owned())),
            ("ENABLE app", Command::Enable("app".to_owned())),
            ("KILL", Command::Kill(None)),
            ("KILL app", Command::Kill(database("app"))),
            ("KILL_CLIENT 17", Command::KillClient(17)),
            ("RECONNECT", Command::Reconnect(None)),
            ("RECONNECT app", Command::Reconnect(database("app"))),
            ("WAIT_CLOSE", Command::WaitClose(None)),
            ("WAIT_CLOSE app", Command::WaitClose(database("app"))),
            ("SWITCHOVER PREPARE", Command::SwitchoverPrepare(None)),
            ("SWITCHOVER PREPARE app", Command::SwitchoverPrepare(database("app"))),
            ("SWITCHOVER DONE app", Command::SwitchoverDone(database("app"))),
            ("SUSPEND", Command::Suspend),
            ("HANDOVER", Command::HandOver),
            ("SHUTDOWN", Command::Shutdown(ShutdownMode::Immediate)),
            ("SHUTDOWN WAIT_FOR_SERVERS", Command::Shutdown(ShutdownMode::WaitForServers)),
            ("SHUTDOWN WAIT_FOR_CLIENTS", Command::Shutdown(ShutdownMode::WaitForClients)),
        ];
        for (query, command) in cases {
            assert_eq!(parse(query).as_ref(), Ok(&command));
            let loose = format!(" \t{}\r\n ; ", query.to_lowercase().replace(' ', " \n "));
            assert_eq!(parse(&loose).as_ref(), Ok(&command), "{loose:?}");
        }
    }

    #[test]
    fn explain_route_takes_the_text_as_it_is() {
        let explained = |sql: &str| Ok(Command::ExplainRoute(sql.to_owned()));
        assert_eq!(parse("EXPLAIN ROUTE select 1;"), explained("select 1;"));
        assert_eq!(parse(" explain\nroute /* x */ begin"), explained("/* x */ begin"));
        invalid("EXPLAIN select 1");
        invalid("EXPLAIN");
        invalid("SWITCHOVER");
        invalid("SWITCHOVER NOW");
        invalid("SWITCHOVER PREPARE app now");
    }

    #[test]
    fn a_name_keeps_its_case_and_may_be_quoted() {
        assert_eq!(parse("PAUSE App"), Ok(Command::Pause(database("App"))));
        assert_eq!(parse(r#"pause "my-db";"#), Ok(Command::Pause(database("my-db"))));
        assert_eq!(parse(r#"pause "a""b""#), Ok(Command::Pause(database("a\"b"))));
        assert_eq!(parse(r#"pause "a b;c""#), Ok(Command::Pause(database("a b;c"))));
        assert_eq!(parse(r#"pause "bücher""#), Ok(Command::Pause(database("bücher"))));
        assert_eq!(parse(r#"pause """#), Ok(Command::Pause(None)));
        assert_eq!(parse(r#""show" "Version""#), Ok(Command::Show(Show::Version)));
    }

    #[test]
    fn select_is_another_word_for_show() {
        assert_eq!(parse("SELECT version"), Ok(Command::Show(Show::Version)));
        invalid("SELECT 1");
        invalid("SELECT version()");
    }

    #[test]
    fn set_takes_a_word_or_a_string() {
        let set = |key: &str, value: &str| {
            Ok(Command::Set { key: key.to_owned(), value: value.to_owned() })
        };
        for query in [
            "SET max_client_conn = 50",
            "set max_client_conn=50;",
            "SET MAX_CLIENT_CONN TO 50",
            "SET max_client_conn to50",
            "SET max_client_conn TO '50'",
            r#"SET "max_client_conn" ="50" ;"#,
        ] {
            assert_eq!(parse(query), set("max_client_conn", "50"), "{query}");
        }
        assert_eq!(parse("SET a = 'it''s 2.5, or -1;'"), set("a", "it's 2.5, or -1;"));
        assert_eq!(parse("SET a = ''"), set("a", ""));
    }

    #[test]
    fn set_of_what_is_not_a_word_needs_quotes() {
        for query in [
            "SET x=2.5",
            "SET x = -1",
            "SET x = a,b",
            "SET x = a b",
            "SET x =",
            "SET x = 'a';;",
            "SET x = 'a",
            "SET max_client_conn",
            "SET max_client_conn 5",
            "SETa=b",
            "SET = b",
            r#""SET" a = b"#,
        ] {
            invalid(query);
        }
    }

    #[test]
    fn what_drivers_set_at_connect_is_ignored_kindly() {
        for query in ["SET client_encoding = 'utf8'", "set DateStyle TO ISO", "SET timezone='x'"] {
            assert!(matches!(parse(query), Ok(Command::SetIgnored(_))), "{query}");
        }
    }

    #[test]
    fn anything_else_is_answered_with_the_query_as_it_came() {
        for query in [
            "",
            ";",
            " ",
            "-- hi",
            "/* x */ show version",
            "show/**/version",
            "FOO",
            "FOO;",
            "FOO bar;",
            "show version;;",
            "SHOW",
            "SHOW;",
            "SHOW foo",
            "SHOW versionx",
            "SHOW version 1",
            "SHOW 'version'",
            r#"show"version""#,
            "PAUSE a b",
            "PAUSE my-db",
            "PAUSE 'app'",
            r#"PAUSE "app"#,
            "RELOAD foo",
            "SUSPEND foo",
            "SHUTDOWN foo",
            "ABCDEFGHIJKLMNO",
            "PÄUSE",
        ] {
            invalid(query);
        }
    }

    #[test]
    fn too_long_or_missing_parts_have_errors_of_their_own() {
        refused("ABCDEFGHIJKLMNOP", "bad arguments");
        refused(&format!("PAUSE {}", "a".repeat(64)), "bad arguments");
        assert!(parse(&format!("PAUSE {}", "a".repeat(63))).is_ok());
        refused(&format!("SET {} = 1", "a".repeat(64)), "bad arguments");
        refused(&format!("SET a = '{}'", "a".repeat(256)), "bad arguments");
        assert!(parse(&format!("SET a = '{}'", "a".repeat(255))).is_ok());
        refused(r#"SET "" = 1"#, "bad arguments");
        refused("DISABLE", "a database is required");
        refused("ENABLE;", "a database is required");
        refused("KILL_CLIENT", "invalid client pointer supplied");
        refused("KILL_CLIENT 0x", "invalid client pointer supplied");
        assert_eq!(parse("KILL_CLIENT 0x1f"), Ok(Command::KillClient(31)));
    }

    #[test]
    fn who_may_only_look_may_show_and_set_what_is_ignored() {
        for query in ["SHOW POOLS", "SHOW HELP", "SHOW timezone", "SET timezone = 'x'"] {
            assert_eq!(parse(query).unwrap().needs(), Right::Stats, "{query}");
        }
        for query in ["SET a = 1", "PAUSE", "RELOAD", "KILL_CLIENT 1", "SHUTDOWN", "RECONNECT"] {
            assert_eq!(parse(query).unwrap().needs(), Right::Admin, "{query}");
        }
        assert!(Right::Admin > Right::Stats);
    }

    proptest! {
        #[test]
        fn no_query_breaks_the_parser_and_a_refusal_repeats_it(query in "(?s).{0,80}") {
            if let Err(ParseError::Invalid { query: found }) = parse(&query) {
                prop_assert_eq!(found, query);
            }
        }

        #[test]
        fn any_name_in_quotes_comes_out_as_it_is(name in "(?s).{1,15}") {
            let query = format!("PAUSE \"{}\"", name.replace('"', "\"\""));
            prop_assert_eq!(parse(&query), Ok(Command::Pause(Some(name))));
        }
    }
}
