//! What may stand on the command line: pgbouncer's options, and subcommands.

use std::fmt;
use std::path::{Path, PathBuf};

use lexopt::Arg;

/// The name by which it is taken for pgbouncer: it has no subcommands then.
pub(super) const PGBOUNCER: &str = "pgbouncer";

/// Whether it was begun by that name.
pub(super) fn is_pgbouncer(parser: &lexopt::Parser) -> bool {
    let name = parser.bin_name().map(Path::new).and_then(Path::file_name);
    name.is_some_and(|name| name == PGBOUNCER)
}

/// `--help`.
pub(super) const HELP: &str = "\
pgweir: connection pooler, load balancer and failover follower for PostgreSQL

Usage: pgweir [OPTION]... FILE.ini         run
       pgweir run [OPTION]... FILE.ini     the same
       pgweir check FILE.ini               check a configuration and the hosts it follows, and exit
       pgweir top [FILE.ini|URL]           show a running one live; see pgweir top --help

Options:
  -d, --daemon     go to the background once it serves (needs pidfile)
  -u, --user=NAME  run as this user (when started by root)
  -q, --quiet      do not log to stderr
  -v, --verbose    log more; may be given several times
  -V, --version    print the version and exit
  -h, --help       print this help and exit
";

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// `run FILE`, or just `FILE`.
    Run(PathBuf),
    /// `check FILE`.
    Check(PathBuf),
    /// `--version`.
    Version,
    /// `--help`.
    Help,
}

/// The command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Arguments {
    /// What is to be done.
    pub(super) action: Action,
    /// In the background.
    pub(super) daemon: bool,
    /// As whom to run.
    pub(super) user: Option<String>,
    /// Not to stderr.
    pub(super) quiet: bool,
    /// Adds to the setting `verbose`.
    pub(super) verbose: u8,
}

/// What is wrong with a command line.
#[derive(Debug)]
pub(super) enum UsageError {
    /// Nothing to run.
    NoFile,
    /// More than one file.
    TooMany(String),
    /// The online restart, which pgweir does not have yet.
    Reboot,
    /// An unknown option.
    Option(lexopt::Error),
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFile => f.write_str("no configuration file specified"),
            Self::TooMany(more) => write!(f, "one configuration file is enough, what is {more:?}?"),
            Self::Reboot => f.write_str(
                "--reboot is not supported yet; start the new process beside the old one (so_reuseport, [peers]), then end \
                 that with SIGTERM: it goes when its last client has gone",
            ),
            Self::Option(error) => error.fmt(f),
        }
    }
}

impl From<lexopt::Error> for UsageError {
    fn from(error: lexopt::Error) -> Self {
        Self::Option(error)
    }
}

impl Arguments {
    /// Reads a command line.
    pub(super) fn parse(mut parser: lexopt::Parser) -> Result<Self, UsageError> {
        let (mut quiet, mut verbose) = (false, 0_u8);
        let (mut daemon, mut user) = (false, None);
        let mut words: Vec<std::ffi::OsString> = Vec::new();
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Short('q') | Arg::Long("quiet") => quiet = true,
                Arg::Short('v') | Arg::Long("verbose") => verbose = verbose.saturating_add(1),
                Arg::Short('V') | Arg::Long("version") => {
                    return Ok(Self::only(Action::Version));
                }
                Arg::Short('h') | Arg::Long("help") => {
                    return Ok(Self::only(Action::Help));
                }
                Arg::Short('d') | Arg::Long("daemon") => daemon = true,
                Arg::Short('R') | Arg::Long("reboot") => return Err(UsageError::Reboot),
                Arg::Short('u') | Arg::Long("user") => {
                    user = Some(parser.value()?.to_string_lossy().into_owned());
                }
                Arg::Value(word) => words.push(word),
                other => return Err(other.unexpected().into()),
            }
        }
        let mut words = words.into_iter().peekable();
        let subcommands = !is_pgbouncer(&parser);
        let command = words.next_if(|word| subcommands && (word == "run" || word == "check"));
        let path = PathBuf::from(words.next().ok_or(UsageError::NoFile)?);
        if let Some(more) = words.next() {
            return Err(UsageError::TooMany(more.to_string_lossy().into_owned()));
        }
        let check = command.is_some_and(|command| command == "check");
        let action = if check { Action::Check(path) } else { Action::Run(path) };
        Ok(Self { action, daemon, user, quiet, verbose })
    }

    fn only(action: Action) -> Self {
        Self { action, daemon: false, user: None, quiet: false, verbose: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Arguments, UsageError> {
        Arguments::parse(lexopt::Parser::from_args(words))
    }

    #[test]
    fn a_file_alone_is_run_and_options_may_follow_it() {
        let run =
            Arguments { quiet: true, verbose: 2, ..Arguments::only(Action::Run("a.ini".into())) };
        assert_eq!(parse(&["a.ini", "-q", "-vv"]).unwrap(), run);
        assert_eq!(parse(&["run", "--quiet", "-v", "-v", "a.ini"]).unwrap(), run);
        assert_eq!(parse(&["check", "a.ini"]).unwrap().action, Action::Check("a.ini".into()));
    }

    #[test]
    fn pgbouncers_options_are_understood() {
        let all = parse(&["-d", "-u", "postgres", "a.ini"]).unwrap();
        assert!(all.daemon);
        assert_eq!(all.user.as_deref(), Some("postgres"));
        let long = parse(&["--daemon", "--user=postgres", "a.ini"]).unwrap();
        assert_eq!(long, all);
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert_eq!(parse(&[]).unwrap_err().to_string(), "no configuration file specified");
        assert!(parse(&["a.ini", "b.ini"]).unwrap_err().to_string().contains("b.ini"));
        assert!(parse(&["-R", "a.ini"]).unwrap_err().to_string().contains("so_reuseport"));
        assert!(parse(&["--frobnicate"]).is_err());
        assert!(parse(&["a.ini", "-u"]).is_err());
    }
}
