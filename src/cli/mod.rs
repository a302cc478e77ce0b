//! The command line: reads arguments, builds everything and hands it down.
//!
//! - `arguments` — what may stand on the command line
//! - `check` — what is wrong with a configuration and its hosts
//! - `run` — start, signals, end
//! - `log`, `syslog` — lines as pgbouncer writes them
//! - `daemon`, `user`, `systemd` — in the background, as whom, and under which service manager
//! - `pidfile` — one instance at a time

mod arguments;
mod check;
mod daemon;
mod log;
mod pidfile;
mod run;
mod syslog;
mod systemd;
mod user;

use std::process::ExitCode;

use clap::{Args, FromArgMatches};

use self::arguments::{Action, Arguments};
use crate::admin::show::version;

/// The program's own version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What the binary does.
pub fn main() -> ExitCode {
    let parser = lexopt::Parser::from_env();
    let mut words = std::env::args_os();
    if !arguments::is_pgbouncer(&parser) && words.nth(1).is_some_and(|word| word == "top") {
        return top(words);
    }
    // Through a link of that name it is pgbouncer, to whoever reads what it says.
    let name = if arguments::is_pgbouncer(&parser) { arguments::PGBOUNCER } else { "pgweir" };
    let arguments = match Arguments::parse(parser) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("{name}: {error}\nTry \"{name} --help\" for more information.");
            return ExitCode::FAILURE;
        }
    };
    match &arguments.action {
        Action::Help => {
            print!("{}", arguments::HELP);
            ExitCode::SUCCESS
        }
        Action::Version => {
            println!("{}", version::lines(VERSION));
            ExitCode::SUCCESS
        }
        Action::Check(path) => check::check(path),
        Action::Run(path) if arguments.daemon && !daemon::is_child() => {
            match run::may_go_to_background(path).and_then(|()| Ok(daemon::start()?)) {
                Ok(code) => code,
                Err(error) => {
                    eprintln!("{name}: {error}");
                    ExitCode::FAILURE
                }
            }
        }
        Action::Run(path) => match run::run(path, &arguments) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                if arguments.daemon {
                    let _ = daemon::tell_parent(Some(&error.to_string()));
                }
                eprintln!("{name}: {error}");
                ExitCode::FAILURE
            }
        },
    }
}

/// `pgweir top`, which reads its own words.
fn top(words: std::env::ArgsOs) -> ExitCode {
    let command = crate::top::Arguments::augment_args(clap::Command::new("pgweir top"));
    let matches = command.no_binary_name(true).get_matches_from(words);
    match crate::top::Arguments::from_arg_matches(&matches) {
        Ok(arguments) => crate::top::main(&arguments),
        Err(error) => error.exit(),
    }
}
