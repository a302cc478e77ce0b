//! `pgweir top`: a live view of a console, in the terminal. Also of a pgbouncer's, as far as its SHOW commands go.
//!
//! - `arguments`, `target`, `pgpass` — where the console is, and who asks
//! - `console` — logs in, asks, comes back when it was away
//! - `model` — what is known and what is chosen (pure)
//! - `draw` — from that to cells of the screen
//! - `screen` — the terminal: keys, signals, restoring it
//! - `once` — one look as plain text
//!
//! It knows a console by its answers alone, as anybody who logs in there: nothing of the process that gives them.

pub mod arguments;
mod console;
mod draw;
pub mod model;
mod once;
mod pgpass;
mod screen;
mod target;

use std::io::IsTerminal;
use std::process::ExitCode;

pub use self::arguments::Arguments;

/// Does it, until the person at the keyboard has seen enough.
pub fn main(arguments: &Arguments) -> ExitCode {
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pgweir top: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let place = target::find(arguments, &|name| std::env::var(name).ok())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
    if arguments.once || dumb || !std::io::stdout().is_terminal() {
        let text = runtime.block_on(once::look(place, arguments.interval))?;
        return print(&text);
    }
    runtime.block_on(screen::run(place, arguments.interval))?;
    Ok(())
}

/// To standard output. Whoever reads it may have had enough (`| head`).
fn print(text: &str) -> Result<(), Box<dyn std::error::Error>> {
    use std::io::Write;
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}
