//! The pid file: one instance at a time.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A pid file that is ours; it is removed with this value.
#[derive(Debug)]
pub(super) struct PidFile(PathBuf);

impl PidFile {
    /// Writes it.
    ///
    /// # Errors
    /// Another instance runs, or the file cannot be written.
    pub(super) fn write(path: &Path) -> io::Result<Self> {
        if let Ok(text) = fs::read_to_string(path) {
            let alive =
                match text.trim().parse::<i32>().ok().and_then(rustix::process::Pid::from_raw) {
                    Some(pid) => {
                        rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH)
                    }
                    // Something we did not write: better not to touch it.
                    None => true,
                };
            if alive {
                let text =
                    format!("pidfile '{}' exists, another instance running?", path.display());
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
            }
            fs::remove_file(path)?;
            tracing::info!("stale pidfile '{}' removed", path.display());
        }
        let with_path = |error: io::Error| {
            io::Error::new(error.kind(), format!("pidfile '{}': {error}", path.display()))
        };
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(path)
            .map_err(with_path)?;
        writeln!(file, "{}", std::process::id()).map_err(with_path)?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
