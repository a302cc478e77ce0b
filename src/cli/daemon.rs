//! `-d`: a process in the background, and a parent that stays until it serves.
//!
//! The child is the same program, begun anew with [`MARK`] in its environment and a pipe for standard output: through
//! it the parent hears that all is well, or what is not, which it then tells whoever has started it. pgbouncer's parent
//! has gone by then.

use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

/// Set for the child alone.
const MARK: &str = "PGWEIR_DAEMON";

/// What the child says when it serves.
const SERVES: &[u8] = b"serves\n";

/// Whether we are the child.
pub(super) fn is_child() -> bool {
    std::env::var_os(MARK).is_some()
}

/// Begins the child, and waits until it serves or has failed.
pub(super) fn start() -> io::Result<ExitCode> {
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_default();
    let mut child = Command::new(std::env::current_exe()?)
        .arg0(name)
        .args(words)
        .env(MARK, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut said = Vec::new();
    if let Some(mut pipe) = child.stdout.take() {
        pipe.read_to_end(&mut said)?;
    }
    if said == SERVES {
        return Ok(ExitCode::SUCCESS);
    }
    let said = String::from_utf8_lossy(&said);
    let said = said.trim_end();
    eprintln!("pgweir: {}", if said.is_empty() { "the daemon has ended at once" } else { said });
    Ok(ExitCode::FAILURE)
}

/// The child leaves the terminal.
pub(super) fn detach() -> io::Result<()> {
    rustix::process::setsid().map(drop).or_else(|error| match error {
        // It leads a session already.
        rustix::io::Errno::PERM => Ok(()),
        error => Err(error.into()),
    })
}

/// The child tells its parent that it serves, or why it does not, and lets go of the pipe.
pub(super) fn tell_parent(failure: Option<&str>) -> io::Result<()> {
    let mut pipe = io::stdout();
    match failure {
        None => pipe.write_all(SERVES)?,
        Some(text) => writeln!(pipe, "{text}")?,
    }
    pipe.flush()?;
    let null = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(null)?;
    Ok(())
}
