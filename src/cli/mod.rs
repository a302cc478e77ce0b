//! The command line: reads arguments, builds everything and hands it down.
//!
//! - `arguments` — what may stand on the command line
//! - `check` — what is wrong with a configuration and its hosts
//! - `run` — start, signals, end
//! - `log` — lines as pgbouncer writes them
//! - `pidfile` — one instance at a time

mod arguments;
mod check;
mod log;
mod pidfile;
mod run;

use std::process::ExitCode;

use self::arguments::{Action, Arguments};
use crate::admin::show::version;

/// The program's own version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What the binary does.
pub fn main() -> ExitCode {
    let arguments = match Arguments::parse(lexopt::Parser::from_env()) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("pgweir: {error}\nTry \"pgweir --help\" for more information.");
            return ExitCode::FAILURE;
        }
    };
    match &arguments.action {
        Action::Help => {
            print!("{}", arguments::HELP);
            ExitCode::SUCCESS
        }
        Action::Version => {
            println!("{}", version::line(VERSION));
            ExitCode::SUCCESS
        }
        Action::Check(path) => check::check(path),
        Action::Run(path) => match run::run(path, &arguments) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("pgweir: {error}");
                ExitCode::FAILURE
            }
        },
    }
}
