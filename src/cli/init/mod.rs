//! `pgweir init`: a configuration to begin with.
//!
//! - `hosts` — looks at a cluster's hosts (`--hosts`)
//! - `write` — the text for what was seen
//! - `compare` — a pgbouncer.ini, line by line (`--from`)
//! - `better` — what could be done otherwise than with pgbouncer
//!
//! Nothing that is there is overwritten unless `--force` says so, an `auth_file` never.

mod better;
mod compare;
mod hosts;
mod write;

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::arguments::InitLine;
use super::check::finding::Finding;

/// Why nothing was written.
#[derive(Debug)]
enum InitError {
    /// It is there already.
    Exists(PathBuf),
    /// It cannot be written, or its folder cannot be found.
    File(PathBuf, io::Error),
    /// A name in `--hosts` is none.
    NoHost(String),
    /// No host let us in: what each said.
    NobodyAnswers(Vec<(String, String)>),
    /// The hosts' system identifiers differ.
    DifferentClusters(Vec<(String, u64)>),
    /// None of the databases that were named, or none at all.
    NoDatabase(Vec<String>),
    /// The file of pgbouncer is not right.
    Configuration(Vec<Finding>),
    /// No runtime.
    System(io::Error),
}

impl fmt::Display for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists(file) => {
                write!(f, "{} is there already; --force replaces it", file.display())
            }
            Self::File(file, error) => write!(f, "cannot write {}: {error}", file.display()),
            Self::NoHost(text) => {
                write!(f, "{text:?} is no host; write NAME, NAME:PORT, [IPV6]:PORT or /DIRECTORY")
            }
            Self::NobodyAnswers(hosts) => {
                f.write_str("no host lets us in, so nothing was written:")?;
                for (host, why) in hosts {
                    write!(f, "\n    {host}: {why}")?;
                }
                f.write_str("\n(--user says as whom, PGPASSWORD has the password)")
            }
            Self::DifferentClusters(hosts) => {
                f.write_str("the hosts belong to different clusters (system identifiers), so nothing was written:")?;
                for (host, id) in hosts {
                    write!(f, "\n    {host}: {id}")?;
                }
                Ok(())
            }
            Self::NoDatabase(names) if names.is_empty() => {
                f.write_str("there is no database to serve")
            }
            Self::NoDatabase(names) => write!(f, "there is no database {}", names.join(", ")),
            Self::Configuration(findings) => {
                f.write_str("the file is not right:")?;
                for finding in findings {
                    write!(f, "\n{finding}")?;
                }
                Ok(())
            }
            Self::System(error) => error.fmt(f),
        }
    }
}

/// Does it.
pub(super) fn init(line: &InitLine) -> ExitCode {
    let told = match &line.from {
        Some(from) => compare::run(from, line.output.as_deref(), line.force),
        None => hosts::run(line),
    };
    match told {
        Ok(text) => super::print(&text, ExitCode::SUCCESS),
        Err(error) => {
            eprintln!("pgweir: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Writes a file that is not there yet, or replaces it.
fn write_file(file: &Path, text: &str, mode: u32, force: bool) -> Result<(), InitError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => InitError::Exists(file.to_owned()),
        _ => InitError::File(file.to_owned(), error),
    };
    let mut options = fs::OpenOptions::new();
    options.write(true).mode(mode);
    if !force {
        let mut new = options.create_new(true).open(file).map_err(failed)?;
        return new.write_all(text.as_bytes()).map_err(failed);
    }
    // In one step: whoever reads it meanwhile sees the old or the new one.
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = file.with_file_name(name);
    // One that was left behind has a mode of its own, or leads elsewhere.
    let _ = fs::remove_file(&beside);
    let mut new = options.create_new(true).open(&beside).map_err(failed)?;
    new.write_all(text.as_bytes()).and_then(|()| fs::rename(&beside, file)).map_err(failed)
}
