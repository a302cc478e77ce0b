//! The command line: reads arguments, builds everything and hands it down.
//!
//! - `arguments` — what may stand on the command line
//! - `run` — start, signals, end
//! - `log` — lines as pgbouncer writes them
//! - `pidfile` — one instance at a time

mod arguments;
mod log;
mod pidfile;
mod run;

use std::path::Path;
use std::process::ExitCode;

use self::arguments::{Action, Arguments};
use crate::admin::control::with_tls;
use crate::admin::show::version;
use crate::config::Config;

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
        Action::Check(path) => check(path),
        Action::Run(path) => match run::run(path, &arguments) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("pgweir: {error}");
                ExitCode::FAILURE
            }
        },
    }
}

/// Reads the configuration and the files it names, and says what is wrong, skipped or without effect.
fn check(path: &Path) -> ExitCode {
    let config = match Config::load(path) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("pgweir: {error}");
            return ExitCode::FAILURE;
        }
    };
    for note in &config.notes {
        println!("{note}");
    }
    let databases = config.databases.len() + usize::from(config.fallback.is_some());
    match with_tls(config) {
        Ok(_) => {
            println!("{}: ok, {databases} database entries", path.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("pgweir: {error}");
            ExitCode::FAILURE
        }
    }
}
