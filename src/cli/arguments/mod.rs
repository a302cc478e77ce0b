//! What may stand on the command line: pgbouncer's options, and subcommands.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueHint};
use clap_complete::Shell;

use super::pages;
use crate::config::databases::DEFAULT_PORT;
use crate::top;

/// The name by which it is taken for pgbouncer: it has no subcommands then.
pub(super) const PGBOUNCER: &str = "pgbouncer";

/// Whether it was begun by that name.
pub(super) fn is_pgbouncer(program: Option<&OsString>) -> bool {
    let name = program.map(Path::new).and_then(Path::file_name);
    name.is_some_and(|name| name == PGBOUNCER)
}

/// Exit code for a command line that is not understood: pgbouncer's, where it is its command line.
const USAGE: u8 = 1;
/// The same for a subcommand, whose 1 says that something was found.
const USAGE_OF_SUBCOMMAND: u8 = 2;

/// Where a package puts the configuration; for subcommands that change nothing.
const FILE: &str = "/etc/pgweir/pgweir.ini";

/// Below the options in the long help, and in the man page.
const MORE: &str = "\
Signals: HUP reloads; TERM ends when the last client has gone, INT when no server is in use; a second one, or QUIT, \
ends at once.

Exit codes: 0 in order; 1 what is fatal; 2 a subcommand's line that is not understood.

Through a link named pgbouncer it is pgbouncer: no subcommands.";

/// Connection pooler, load balancer and failover follower for PostgreSQL
///
/// FILE is a pgbouncer.ini, with pgweir's own settings if there are any. Without a subcommand it is run.
#[derive(Debug, Parser)]
#[command(
    name = "pgweir",
    version,
    disable_version_flag = true,
    disable_help_subcommand = true,
    args_override_self = true,
    infer_long_args = true,
    override_usage = "pgweir [OPTION]... FILE.ini\n       pgweir COMMAND [OPTION]... [FILE.ini]",
    after_long_help = MORE
)]
struct Line {
    #[command(flatten)]
    run: RunLine,
    #[command(subcommand)]
    command: Option<Command>,
}

/// As pgbouncer has it.
#[derive(Debug, Parser)]
#[command(
    name = PGBOUNCER,
    version,
    disable_version_flag = true,
    args_override_self = true,
    infer_long_args = true,
    override_usage = "pgbouncer [OPTION]... FILE.ini"
)]
struct PgbouncerLine {
    #[command(flatten)]
    run: RunLine,
}

/// What `run` takes, and the line without a subcommand.
#[derive(Args, Debug)]
struct RunLine {
    /// The configuration
    #[arg(value_name = "FILE.ini", value_hint = ValueHint::FilePath)]
    files: Vec<PathBuf>,
    /// Go to the background once it serves (needs pidfile)
    #[arg(short, long)]
    daemon: bool,
    /// Take over from the process that serves now, without dropping a client
    #[arg(short = 'R', long)]
    reboot: bool,
    /// Run as this user (when started by root)
    #[arg(short, long, value_name = "NAME")]
    user: Option<String>,
    /// Do not log to stderr
    #[arg(short, long)]
    quiet: bool,
    /// Log more; may be given several times
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,
    /// Print the version and exit
    #[arg(short = 'V', long, action = ArgAction::Version)]
    version: Option<bool>,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
enum Command {
    /// Run; the same as without a subcommand
    #[command(version, disable_version_flag = true)]
    Run(RunLine),
    /// Check a configuration, and the hosts that it names
    ///
    /// First the files alone: all that is wrong with them, with file and line. Then the hosts, all at once: name, TCP, TLS,
    /// the logins that pools, auth_query and monitors need, role, lag, rights, and room for the pools. Exit code 0: nothing
    /// is wrong (warnings and notes may be there); 1: errors; 2: the command line is not understood.
    Check(CheckLine),
    /// Print every setting that is in force with a file: value, default, where it comes from
    Config(ConfigLine),
    /// Write a configuration: for the hosts of a cluster, or from a pgbouncer.ini
    ///
    /// With --hosts the hosts are looked at, and a commented file is written, with an auth_file beside it. The password
    /// is taken from PGPASSWORD. With --from each line of a pgbouncer.ini is told to be the same, to have no effect, or
    /// what could be better; --output writes the file with that in it.
    #[command(
        override_usage = "pgweir init --hosts HOST,... [OPTION]...\n       pgweir init --from FILE.ini [OPTION]..."
    )]
    Init(InitLine),
    /// Show a console live: hosts, pools, clients, rates, events, warnings
    Top(top::Arguments),
    /// Print the man page (of a subcommand, if one is named)
    #[command(hide = true)]
    Man {
        /// The subcommand
        command: Option<String>,
    },
    /// Print completions for a shell
    #[command(hide = true)]
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// What `config` takes.
#[derive(Args, Clone, Debug, PartialEq)]
pub(super) struct ConfigLine {
    /// The configuration
    #[arg(value_name = "FILE.ini", value_hint = ValueHint::FilePath, default_value = FILE)]
    pub(super) file: PathBuf,
    /// Only what a line of a file says
    #[arg(long)]
    pub(super) set: bool,
    /// Print JSON (docs/check.md)
    #[arg(long)]
    pub(super) json: bool,
}

/// What `init` takes.
#[derive(Args, Clone, Debug, PartialEq)]
pub(super) struct InitLine {
    /// The cluster's hosts, as NAME or NAME:PORT
    #[arg(long, value_name = "HOST,...", value_delimiter = ',', conflicts_with = "from")]
    #[arg(required_unless_present = "from")]
    pub(super) hosts: Vec<String>,
    /// The port of hosts that name none
    #[arg(long, default_value_t = DEFAULT_PORT)]
    pub(super) port: u16,
    /// As whom to look at the hosts, and later to watch them
    #[arg(long, value_name = "NAME", default_value = "postgres")]
    pub(super) user: String,
    /// The databases to serve; all that there are if none is named
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    pub(super) dbname: Vec<String>,
    /// Who else knows the cluster's hosts: replication, repmgr, patroni
    #[arg(long, value_name = "BY", value_parser = ["replication", "repmgr", "patroni"])]
    pub(super) discover: Option<String>,
    /// A configuration of pgbouncer
    #[arg(long, value_name = "FILE.ini", value_hint = ValueHint::FilePath)]
    pub(super) from: Option<PathBuf>,
    /// What to write [default with --hosts: pgweir.ini]
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) output: Option<PathBuf>,
    /// Replace the file if it is there
    #[arg(long)]
    pub(super) force: bool,
}

/// What `check` takes.
#[derive(Args, Clone, Debug, PartialEq)]
pub(super) struct CheckLine {
    /// The configuration
    #[arg(value_name = "FILE.ini", value_hint = ValueHint::FilePath, default_value = FILE)]
    pub(super) file: PathBuf,
    /// Look at the files only, not at the hosts
    #[arg(long = "static", alias = "offline")]
    pub(super) offline: bool,
    /// Print JSON (docs/check.md)
    #[arg(long)]
    pub(super) json: bool,
    /// Longest for each step at a host [default: server_connect_timeout, at most 5]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(super) timeout: Option<f64>,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.001..=3600.0).contains(seconds));
    seconds.ok_or_else(|| "seconds, from 0.001 to 3600".to_owned())
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    /// `run FILE`, or just `FILE`.
    Run(PathBuf),
    /// `check FILE`.
    Check(CheckLine),
    /// `config FILE`.
    Config(ConfigLine),
    /// `init`.
    Init(InitLine),
    /// `top`.
    Top(top::Arguments),
    /// `--version`.
    Version,
    /// `--help`, of the program or of a subcommand; `man`; `completions`: the text.
    Print(String),
}

/// The command line.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Arguments {
    /// What is to be done.
    pub(super) action: Action,
    /// In the background.
    pub(super) daemon: bool,
    /// Take over from the running process.
    pub(super) reboot: bool,
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
    /// A subcommand behind what belongs to `run`.
    Misplaced,
    /// What is not among the options, the subcommands, or their values.
    Unknown {
        /// In words, one line.
        words: String,
        /// To be told to the system.
        code: u8,
    },
}

impl UsageError {
    /// What the process is to end with.
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::NoFile | Self::TooMany(_) | Self::Misplaced => USAGE,
            Self::Unknown { code, .. } => *code,
        }
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFile => f.write_str("no configuration file specified"),
            Self::TooMany(more) => write!(f, "one configuration file is enough, what is {more:?}?"),
            Self::Misplaced => {
                f.write_str("a file or an option that belongs to run stands before a subcommand")
            }
            Self::Unknown { words, .. } => f.write_str(words),
        }
    }
}

impl RunLine {
    fn says_something(&self) -> bool {
        let Self { files, daemon, reboot, user, quiet, verbose, version: _ } = self;
        !files.is_empty() || *daemon || *reboot || user.is_some() || *quiet || *verbose > 0
    }

    /// Options may stand before `run`, too.
    fn with(self, before: Self) -> Self {
        Self {
            files: [before.files, self.files].concat(),
            daemon: self.daemon || before.daemon,
            reboot: self.reboot || before.reboot,
            user: self.user.or(before.user),
            quiet: self.quiet || before.quiet,
            verbose: self.verbose.saturating_add(before.verbose),
            version: None,
        }
    }

    fn read(self) -> Result<Arguments, UsageError> {
        let Self { files, daemon, reboot, user, quiet, verbose, version: _ } = self;
        let mut files = files.into_iter();
        let action = Action::Run(files.next().ok_or(UsageError::NoFile)?);
        match files.next() {
            Some(more) => Err(UsageError::TooMany(more.display().to_string())),
            None => Ok(Arguments { action, daemon, reboot, user, quiet, verbose }),
        }
    }
}

impl Arguments {
    /// Reads a command line, the program's name first.
    pub(super) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, UsageError> {
        let words: Vec<OsString> = words.into_iter().collect();
        let parsed = if is_pgbouncer(words.first()) {
            PgbouncerLine::try_parse_from(&words).map(|line| (line.run, None))
        } else {
            Line::try_parse_from(&words).map(|line| (line.run, line.command))
        };
        let (run, command) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => return Self::instead(&error, &words),
        };
        match command {
            None => run.read(),
            Some(Command::Run(more)) => more.with(run).read(),
            Some(_) if run.says_something() => Err(UsageError::Misplaced),
            Some(Command::Check(line)) => Ok(Self::only(Action::Check(line))),
            Some(Command::Config(line)) => Ok(Self::only(Action::Config(line))),
            Some(Command::Init(line)) => Ok(Self::only(Action::Init(line))),
            Some(Command::Top(line)) => Ok(Self::only(Action::Top(line))),
            Some(Command::Man { command }) => {
                let page = pages::man(Line::command(), command.as_deref());
                page.map(|page| Self::only(Action::Print(page))).ok_or_else(|| {
                    UsageError::Unknown {
                        words: format!("there is no subcommand {}", command.unwrap_or_default()),
                        code: USAGE_OF_SUBCOMMAND,
                    }
                })
            }
            Some(Command::Completions { shell }) => {
                Ok(Self::only(Action::Print(pages::completions(Line::command(), shell))))
            }
        }
    }

    /// What the parser has to say instead of a command line.
    fn instead(error: &clap::Error, words: &[OsString]) -> Result<Self, UsageError> {
        match error.kind() {
            ErrorKind::DisplayVersion => return Ok(Self::only(Action::Version)),
            ErrorKind::DisplayHelp => return Ok(Self::only(Action::Print(error.to_string()))),
            _ => {}
        }
        // Usage and the way to --help come below, and are said otherwise here.
        let text = error.to_string();
        let told = text.lines().take_while(|line| !line.starts_with("Usage:")).map(str::trim);
        let told = told.filter(|line| !line.is_empty() && !line.starts_with("tip: to pass "));
        let told = told.collect::<Vec<_>>().join("; ").replace(":; ", ": ");
        let of_subcommand = !is_pgbouncer(words.first())
            && words.get(1).and_then(|word| word.to_str()).is_some_and(|word| {
                word != "run" && Line::command().find_subcommand(word).is_some()
            });
        let code = if of_subcommand { USAGE_OF_SUBCOMMAND } else { USAGE };
        let words = told.strip_prefix("error: ").unwrap_or(&told).to_owned();
        Err(UsageError::Unknown { words, code })
    }

    fn only(action: Action) -> Self {
        Self { action, daemon: false, reboot: false, user: None, quiet: false, verbose: 0 }
    }
}

#[cfg(test)]
mod tests;
