//! What is wrong with a line of `auth_hba_file`, in words.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::parser::{MAX_DEPTH, MAX_FILES};
use crate::config::tokens::OpenQuote;

/// What is wrong with a line.
#[derive(Debug)]
pub(super) enum Fault {
    OpenQuote,
    Ends { before: &'static str },
    Transport(String),
    NotSupported(String),
    NoName(&'static str),
    Address(String),
    Mask(String),
    Method(String),
    Further(String),
    Unreadable { file: PathBuf, source: io::Error },
    TooManyFiles,
}

impl From<OpenQuote> for Fault {
    fn from(_: OpenQuote) -> Self {
        Self::OpenQuote
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OpenQuote => f.write_str("a quote does not end"),
            Self::Ends { before } => write!(f, "the line ends before the {before}"),
            Self::Transport(word) => write!(
                f,
                "{word:?} is no kind of connection; allowed: local, host, hostssl, hostnossl"
            ),
            Self::NotSupported(word) => write!(f, "{word} is not supported"),
            Self::NoName(list) => write!(f, "a name is missing in the list of {list}"),
            Self::Address(word) => write!(
                f,
                "{word:?} is no address; allowed: all, ADDRESS/LENGTH, ADDRESS MASK (host names are not supported)"
            ),
            Self::Mask(word) => write!(f, "{word:?} is no mask for this address"),
            Self::Method(word) => write!(
                f,
                "{word:?} is no method; allowed: trust, reject, md5, password, scram-sha-256, peer, cert, ldap"
            ),
            Self::Further(word) => write!(
                f,
                "{word:?} behind the method; allowed: map=NAME, with the methods peer and cert"
            ),
            Self::Unreadable { file, source } => {
                write!(f, "cannot read {}: {source}", file.display())
            }
            Self::TooManyFiles => write!(
                f,
                "it includes more than {MAX_FILES} files, or they include each other more than {MAX_DEPTH} deep"
            ),
        }
    }
}
