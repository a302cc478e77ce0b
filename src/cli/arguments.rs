//! What may stand on the command line: pgbouncer's options, and subcommands.

use std::fmt;
use std::path::PathBuf;

use lexopt::Arg;

/// `--help`.
pub(super) const HELP: &str = "\
pgweir: connection pooler, load balancer and failover follower for PostgreSQL

Usage: pgweir [OPTION]... FILE.ini         run in the foreground
       pgweir run [OPTION]... FILE.ini     the same
       pgweir check FILE.ini               check a configuration and the hosts it follows, and exit

Options:
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
    /// An option of pgbouncer's that pgweir does not have yet.
    NotYet(&'static str, &'static str),
    /// An unknown option.
    Option(lexopt::Error),
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFile => f.write_str("no configuration file specified"),
            Self::TooMany(more) => write!(f, "one configuration file is enough, what is {more:?}?"),
            Self::NotYet(option, instead) => write!(f, "{option} is not supported yet; {instead}"),
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
        let mut words: Vec<std::ffi::OsString> = Vec::new();
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Short('q') | Arg::Long("quiet") => quiet = true,
                Arg::Short('v') | Arg::Long("verbose") => verbose = verbose.saturating_add(1),
                Arg::Short('V') | Arg::Long("version") => {
                    return Ok(Self { action: Action::Version, quiet, verbose });
                }
                Arg::Short('h') | Arg::Long("help") => {
                    return Ok(Self { action: Action::Help, quiet, verbose });
                }
                Arg::Short('d') | Arg::Long("daemon") => {
                    return Err(UsageError::NotYet(
                        "--daemon",
                        "let the service manager put it in the background",
                    ));
                }
                Arg::Short('R') | Arg::Long("reboot") => {
                    return Err(UsageError::NotYet(
                        "--reboot",
                        "start several processes with so_reuseport",
                    ));
                }
                Arg::Short('u') | Arg::Long("user") => {
                    return Err(UsageError::NotYet("--user", "start it as that user"));
                }
                Arg::Value(word) => words.push(word),
                other => return Err(other.unexpected().into()),
            }
        }
        let mut words = words.into_iter().peekable();
        let command = words.next_if(|word| word == "run" || word == "check");
        let path = PathBuf::from(words.next().ok_or(UsageError::NoFile)?);
        if let Some(more) = words.next() {
            return Err(UsageError::TooMany(more.to_string_lossy().into_owned()));
        }
        let check = command.is_some_and(|command| command == "check");
        let action = if check { Action::Check(path) } else { Action::Run(path) };
        Ok(Self { action, quiet, verbose })
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
        let run = Arguments { action: Action::Run("a.ini".into()), quiet: true, verbose: 2 };
        assert_eq!(parse(&["a.ini", "-q", "-vv"]).unwrap(), run);
        assert_eq!(parse(&["run", "--quiet", "-v", "-v", "a.ini"]).unwrap(), run);
        assert_eq!(parse(&["check", "a.ini"]).unwrap().action, Action::Check("a.ini".into()));
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert_eq!(parse(&[]).unwrap_err().to_string(), "no configuration file specified");
        assert!(parse(&["a.ini", "b.ini"]).unwrap_err().to_string().contains("b.ini"));
        assert!(parse(&["-d", "a.ini"]).unwrap_err().to_string().contains("--daemon"));
        assert!(parse(&["--frobnicate"]).is_err());
    }
}
