//! Why TLS settings cannot be used.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why the TLS settings of one side cannot be used. Each names the setting and the file.
#[derive(Debug)]
pub enum TlsError {
    /// A file is needed and not given.
    NotSet {
        /// The setting that is missing.
        setting: String,
        /// What needs it.
        because: String,
    },
    /// A file cannot be read.
    Unreadable {
        /// The setting that names it.
        setting: String,
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file's content is not what it should be.
    Content {
        /// The setting that names it.
        setting: String,
        /// The file.
        file: PathBuf,
        /// What is wrong.
        what: String,
    },
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSet { setting, because } => write!(f, "{setting} is not set; {because}"),
            Self::Unreadable { setting, file, source } => {
                write!(f, "{setting}: cannot read {}: {source}", file.display())
            }
            Self::Content { setting, file, what } => {
                write!(f, "{setting}: {}: {what}", file.display())
            }
        }
    }
}

impl std::error::Error for TlsError {}
