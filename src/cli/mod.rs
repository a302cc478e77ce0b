//! The command line: reads arguments, builds everything and hands it down.
//!
//! - `arguments` — what may stand on the command line
//! - `check` — what is wrong with a configuration and its hosts
//! - `effective` — every setting that is in force (`pgweir config`)
//! - `init` — a configuration for hosts, or from pgbouncer's
//! - `facts` — what a server says of itself
//! - `pages` — man page and completions
//! - `run` — start, signals, end
//! - `log` — lines as pgbouncer writes them, or in JSON
//! - `daemon`, `user`, `systemd` — in the background, as whom, and under which service manager
//! - `takeover`, `successor` — the online restart: the new process's side, and the old one's
//! - `pidfile` — one instance at a time

mod arguments;
mod check;
mod daemon;
mod effective;
mod facts;
mod init;
mod log;
mod pages;
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
    let program = std::env::args_os().next();
    // Through a link of that name it is pgbouncer, to whoever reads what it says.
    let by_link = arguments::is_pgbouncer(program.as_ref());
    let name = if by_link { arguments::PGBOUNCER } else { "pgweir" };
    let arguments = match Arguments::parse(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("{name}: {error}\nTry \"{name} --help\" for more information.");
            return ExitCode::from(error.code());
        }
    };
    match &arguments.action {
        Action::Print(text) => print(text, ExitCode::SUCCESS),
        Action::Version => {
            println!("{}", version::lines(VERSION));
            ExitCode::SUCCESS
        }
        Action::Check(line) => check::check(line),
        Action::Config(line) => effective::show(line),
        Action::Init(line) => init::init(line),
        Action::Top(line) => crate::top::main(line),
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

/// To standard output, and the code to end with. Whoever reads it may stop in the middle (`| head`): that is no error.
fn print(text: &str, code: ExitCode) -> ExitCode {
    use std::io::{ErrorKind, Write};
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("pgweir: standard output: {error}");
            ExitCode::FAILURE
        }
        _ => code,
    }
}
