//! What a configuration says, in types that cannot be wrong. Where it comes from is the other files' business.

mod choices;
mod discover;
mod effective;
mod entries;
mod hosts;
mod settings;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

pub use choices::{
    AuthType, CausalReads, LoadBalanceHosts, LogFormat, MetricsCompat, PoolMode, PrepareUnnamed,
    ReplicaFallback, ReplicaLag, RouteReads, SplitBrain, SslMode, SyslogFacility,
    TargetSessionAttrs,
};
pub use discover::{ApiUrl, Discover, DiscoverBy, DiscoverLogin, FoundHost};
pub use entries::{Database, Peer, User};
pub use hosts::{HostAddr, HttpAddr};
pub use settings::{Settings, TlsSettings};

use super::error::Place;
use super::hba::Hba;

/// Everything that was read from the ini file and from `auth_file`. Never changed: a reload makes a new one.
#[derive(Clone, Debug)]
pub struct Config {
    /// The ini file.
    pub path: PathBuf,
    /// Section `[pgbouncer]`.
    pub settings: Settings,
    /// Section `[databases]`, by the name that clients use; without the entry `*`.
    pub databases: BTreeMap<String, Arc<Database>>,
    /// The entry `*`.
    pub fallback: Option<Arc<Database>>,
    /// Section `[users]`.
    pub users: BTreeMap<String, User>,
    /// Section `[peers]`, by `peer_id`.
    pub peers: BTreeMap<u16, Peer>,
    /// The content of `auth_file`.
    pub userlist: Arc<Userlist>,
    /// What whoever asks over HTTP must show: `http_auth_token`, or the content of `http_auth_token_file`.
    pub http_token: Option<SecretText>,
    /// The content of `auth_hba_file` and `auth_ident_file`; empty unless `auth_type = hba`.
    pub hba: Arc<Hba>,
    /// What the files ask for and pgweir does not do, and lines that it skips: for the log and for `pgweir check`.
    pub notes: Vec<Note>,
}

/// A line of the configuration that does not have the effect that it seems to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The file.
    pub file: PathBuf,
    /// The line, counted from 1.
    pub line: u32,
    /// The key: `query_timeout`, or `users/ann query_timeout` within an entry.
    pub key: String,
    /// What there is to say about it: one sentence.
    pub sentence: String,
}

impl Note {
    /// Of what stands at this place.
    pub(in crate::config) fn at(place: &Place, key: &str, sentence: String) -> Self {
        let (file, key) = (place.file.to_path_buf(), key.to_owned());
        Self { file, line: place.line, key, sentence }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.sentence)
    }
}

/// A password or what stands for it, as a file has it. Shows nothing of itself in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(String);

impl SecretText {
    /// Wraps it.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// `auth_file`: user names with their secrets (plain, `md5…`, `SCRAM-SHA-256$…`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Userlist {
    /// By user name.
    pub users: BTreeMap<String, SecretText>,
}
