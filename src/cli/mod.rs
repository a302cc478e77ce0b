//! The command line: reads arguments, builds everything and hands it down.
//!
//! - `arguments` — what may stand on the command line
//! - `check` — what is wrong with a configuration and its hosts
//! - `run` — start, signals, end
//! - `log` — lines as pgbouncer writes them, or in JSON
//! - `daemon`, `user`, `systemd` — in the background, as whom, and under which service manager
//! - `takeover`, `successor` — the online restart: the new process's side, and the old one's
//! - `pidfile` — one instance at a time

mod arguments;
mod check;
mod daemon;
mod log;
mod pidfile;
mod run;
mod successor;
mod systemd;
mod takeover;
mod user;

use std::process::ExitCode;

use self::arguments::{Action, Arguments};
use crate::admin::show::version;

/// The program's own version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What the binary does.
pub fn main() -> ExitCode {
    let parser = lexopt::Parser::from_env();
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
