//! What can be wrong with a configuration: facts in, one line for the operator out. No secret is ever among the facts.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::ini::Section;

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, as it was named.
    pub file: Arc<Path>,
    /// The line, counted from 1.
    pub line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// Why a configuration was refused. At start-up fatal; at a reload the old one stays in force, whole.
#[derive(Debug)]
pub enum ConfigError {
    /// A file could not be read.
    Unreadable {
        /// Which.
        file: PathBuf,
        /// The line that asked for it; `None` for the ini file itself.
        asked_at: Option<Place>,
        /// What the system said.
        source: io::Error,
    },
    /// A line is neither section, entry, include nor comment. The line is not kept: it may hold a password.
    Syntax {
        /// Where.
        at: Place,
    },
    /// `%include` within `%include`, too deep or too often.
    TooManyIncludes {
        /// The include that was one too many.
        at: Place,
        /// How deep they may nest.
        depth: usize,
        /// How many files there may be.
        files: usize,
    },
    /// A section that does not exist.
    UnknownSection {
        /// Where.
        at: Place,
        /// Its name.
        section: String,
        /// The existing one it resembles.
        nearest: Option<&'static str>,
    },
    /// An entry before the first section.
    OutsideSection {
        /// Where.
        at: Place,
        /// Its key.
        key: String,
    },
    /// A key that `[pgbouncer]` does not have.
    UnknownSetting {
        /// Where.
        at: Place,
        /// The key.
        key: String,
        /// The existing one it resembles.
        nearest: Option<&'static str>,
    },
    /// A value in `[pgbouncer]` that its key does not allow.
    InvalidValue {
        /// Where.
        at: Place,
        /// The key.
        key: &'static str,
        /// What was found.
        value: String,
        /// What would do.
        allowed: String,
    },
    /// The value of an entry is not a list of `key=value`.
    EntrySyntax {
        /// Where.
        at: Place,
        /// The section.
        section: Section,
        /// The entry's name.
        entry: String,
        /// What is wrong.
        fault: super::connstr::Fault,
    },
    /// A key that entries of this section do not have.
    UnknownParameter {
        /// Where.
        at: Place,
        /// The section.
        section: Section,
        /// The entry's name.
        entry: String,
        /// The key.
        key: String,
        /// The existing one it resembles.
        nearest: Option<&'static str>,
    },
    /// A value in an entry that its key does not allow.
    InvalidParameter {
        /// Where.
        at: Place,
        /// The section.
        section: Section,
        /// The entry's name.
        entry: String,
        /// The key.
        key: String,
        /// What was found.
        value: String,
        /// What would do.
        allowed: String,
    },
    /// A port of an entry that is none.
    InvalidPort {
        /// Where.
        at: Place,
        /// The entry's name.
        entry: String,
        /// What was found.
        port: String,
    },
    /// Neither one port for all hosts nor one for each.
    PortsDoNotMatchHosts {
        /// Where.
        at: Place,
        /// The entry's name.
        entry: String,
        /// Hosts given.
        hosts: usize,
        /// Ports given.
        ports: usize,
    },
    /// A host is missing and there is no default.
    HostMissing {
        /// Where.
        at: Place,
        /// The section.
        section: Section,
        /// The entry's name.
        entry: String,
    },
    /// A name of the console's.
    ReservedDatabase {
        /// Where.
        at: Place,
        /// The name.
        name: String,
    },
    /// A name that PostgreSQL or pgbouncer could not hold.
    NameTooLong {
        /// Where.
        at: Place,
        /// The name.
        name: String,
        /// Bytes at most.
        limit: usize,
    },
    /// `auth_dbname` names the console.
    ReservedAuthDatabase {
        /// Where; `None` after a `SET`.
        at: Option<Place>,
        /// The name.
        name: String,
    },
    /// An entry with `target_session_attrs` has nobody as whom its hosts can be watched.
    MonitorWithoutLogin {
        /// Where; `None` after a `SET`.
        at: Option<Place>,
        /// The entry's name.
        entry: String,
    },
    /// `auth_file` has a line that is not `"name" "secret"`.
    BrokenAuthFile {
        /// Where.
        at: Place,
        /// What is wrong.
        fault: super::userlist::Fault,
    },
    /// TLS for clients without a certificate.
    ClientTlsWithoutCertificate {
        /// Where TLS is asked for; `None` after a `SET`.
        at: Option<Place>,
    },
    /// `http_auth_token` and `http_auth_token_file`: which of them counts?
    TwoHttpTokens {
        /// Where the file is named; `None` after a `SET`.
        at: Option<Place>,
    },
    /// `http_auth_token_file` without a token in it.
    NoHttpToken {
        /// Where it is named; `None` after a `SET`.
        at: Option<Place>,
        /// The file.
        file: PathBuf,
    },
    /// `auth_type` needs another setting, or another value of it.
    AuthTypeRequires {
        /// Where `auth_type` stands; `None` after a `SET`.
        at: Option<Place>,
        /// The value of `auth_type`.
        auth_type: &'static str,
        /// What it needs.
        setting: &'static str,
    },
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// `; did you mean "x"?` where something resembles it.
struct Hint(Option<&'static str>);

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(nearest) => write!(f, "; did you mean \"{nearest}\"?"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { file, asked_at: None, source } => {
                write!(f, "cannot read {}: {source}", file.display())
            }
            Self::Unreadable { file, asked_at: Some(at), source } => {
                write!(f, "cannot read {} (named at {at}): {source}", file.display())
            }
            Self::Syntax { at } => write!(
                f,
                "syntax error in configuration ({at}); a line is [section], key = value, \
                 'odd key' = value, %include FILE, or a comment that begins with ; or #"
            ),
            Self::TooManyIncludes { at, depth, files } => write!(
                f,
                "too many nested includes ({at}); at most {depth} deep and {files} files: does a file \
                 include itself?"
            ),
            Self::UnknownSection { at, section, nearest } => {
                let hint = Hint(*nearest);
                write!(
                    f,
                    "unrecognized section: [{section}] in configuration ({at}){hint}; allowed: \
                     [pgbouncer], [databases], [users], [peers]"
                )
            }
            Self::OutsideSection { at, key } => write!(
                f,
                "parameter {key} stands before the first section ({at}); begin the file with [pgbouncer]"
            ),
            Self::UnknownSetting { at, key, nearest } => {
                let hint = Hint(*nearest);
                write!(f, "unknown parameter: pgbouncer/{key} in configuration ({at}){hint}")
            }
            Self::InvalidValue { at, key, value, allowed } => write!(
                f,
                "invalid value \"{value}\" for parameter {key} in configuration ({at}); allowed: {allowed}"
            ),
            Self::EntrySyntax { at, section, entry, fault } => {
                write!(f, "syntax error in connection string of {section}/{entry} ({at}): {fault}")
            }
            Self::UnknownParameter { at, section, entry, key, nearest } => {
                let kind = match section {
                    Section::Users => "user",
                    Section::Peers => "peer",
                    Section::Databases | Section::Pgbouncer => "connection",
                };
                let hint = Hint(*nearest);
                write!(f, "unrecognized {kind} parameter: {key} in {section}/{entry} ({at}){hint}")
            }
            Self::InvalidParameter { at, section, entry, key, value, allowed } => write!(
                f,
                "invalid value \"{value}\" for parameter {key} of {section}/{entry} in configuration \
                 ({at}); allowed: {allowed}"
            ),
            Self::InvalidPort { at, entry, port } => write!(
                f,
                "invalid port: {port} in databases/{entry} ({at}); allowed: 1 to 65535, one for all \
                 hosts or a comma-separated list with one for each"
            ),
            Self::PortsDoNotMatchHosts { at, entry, hosts, ports } => write!(
                f,
                "databases/{entry} has {hosts} hosts but {ports} ports ({at}); give one port for all \
                 hosts or one for each"
            ),
            Self::HostMissing { at, section: Section::Peers, entry } => {
                write!(f, "host was not provided for peer {entry} ({at}); add host=ADDRESS")
            }
            Self::HostMissing { at, section, entry } => write!(
                f,
                "{section}/{entry} has no host ({at}) and unix_socket_dir is empty; add host=ADDRESS or \
                 host=/DIRECTORY"
            ),
            Self::ReservedDatabase { at, name } => write!(
                f,
                "database name \"{name}\" is reserved ({at}); it is the console: choose another name and \
                 keep dbname={name} if the server's database is called so"
            ),
            Self::NameTooLong { at, name, limit } => {
                write!(f, "name \"{name}\" is too long ({at}); at most {limit} bytes")
            }
            Self::ReservedAuthDatabase { at, name } => {
                write!(f, "cannot use the reserved \"{name}\" database as an auth_dbname")?;
                match at {
                    Some(at) => write!(f, " ({at})"),
                    None => Ok(()),
                }
            }
            Self::MonitorWithoutLogin { at, entry } => {
                write!(
                    f,
                    "databases/{entry} has target_session_attrs, but nobody to log in as to watch its \
                     hosts; add topology_user = NAME to [pgbouncer], or user=NAME to the entry, or \
                     auth_user"
                )?;
                match at {
                    Some(at) => write!(f, " ({at})"),
                    None => Ok(()),
                }
            }
            Self::BrokenAuthFile { at, fault } => {
                write!(f, "broken auth file ({at}): {fault}; a line is \"name\" \"secret\"; nothing of the file was used")
            }
            Self::ClientTlsWithoutCertificate { at: _ } => f.write_str(
                "To allow TLS connections from clients, client_tls_key_file and client_tls_cert_file \
                 must be set.",
            ),
            Self::TwoHttpTokens { at: _ } => f.write_str(
                "http_auth_token and http_auth_token_file are both set; take one of them away",
            ),
            Self::NoHttpToken { at: _, file } => {
                let file = file.display();
                write!(
                    f,
                    "http_auth_token_file {file}: there is to be one token in it, without blanks"
                )
            }
            Self::AuthTypeRequires { at: _, auth_type, setting } => {
                write!(f, "auth_type={auth_type} requires {setting}")
            }
        }
    }
}

/// Why the console's `SET` was refused.
#[derive(Debug)]
pub enum SetError {
    /// No such setting.
    Unknown {
        /// The key.
        key: String,
        /// The existing one it resembles.
        nearest: Option<&'static str>,
    },
    /// The key does not allow the value.
    Invalid {
        /// The key.
        key: &'static str,
        /// What was given.
        value: String,
        /// What would do.
        allowed: String,
    },
    /// The value alone is fine, but not with the rest of the configuration.
    Conflict(Box<ConfigError>),
}

impl std::error::Error for SetError {}

impl From<ConfigError> for SetError {
    fn from(error: ConfigError) -> Self {
        Self::Conflict(Box::new(error))
    }
}

impl fmt::Display for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { key, nearest } => {
                write!(f, "unknown parameter: pgbouncer/{key}{}", Hint(*nearest))
            }
            Self::Invalid { key, value, allowed } => {
                write!(f, "invalid value \"{value}\" for parameter {key}; allowed: {allowed}")
            }
            Self::Conflict(error) => error.fmt(f),
        }
    }
}
