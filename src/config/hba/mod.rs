//! `auth_hba_file`: who may come from where, and how they prove who they are.
//!
//! pgbouncer's subset of PostgreSQL's pg_hba.conf. A line that is not understood is skipped, as in pgbouncer, and
//! leaves a note that names it. Which line counts for a client is decided in `auth`.

mod fault;
mod parser;

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::path::Path;

use parser::{Parsed, Parser};

use super::ident::IdentMaps;
use super::ldap::LdapOptions;
use super::model::Note;

/// `auth_hba_file` and `auth_ident_file`. Empty unless `auth_type = hba`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hba {
    /// In the order of the file: the first that fits counts.
    pub rules: Vec<HbaRule>,
    /// The maps that rules name with `map=`.
    pub maps: IdentMaps,
}

/// One line of `auth_hba_file`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HbaRule {
    /// The line, counted from 1.
    pub line: u32,
    /// Which connections.
    pub transport: Transport,
    /// To which databases.
    pub databases: HbaDatabases,
    /// As which users.
    pub users: HbaUsers,
    /// From where. For `local` always [`Origin::Any`].
    pub origin: Origin,
    /// How the client proves who it is.
    pub method: HbaMethod,
}

/// The first field of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// `local`: the Unix-domain socket.
    Local,
    /// `host`: TCP.
    Host,
    /// `hostssl`: TCP with TLS.
    HostSsl,
    /// `hostnossl`: TCP without TLS.
    HostNoSsl,
}

/// The second field: a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HbaDatabases {
    /// `all`: every database, but no physical replication.
    pub all: bool,
    /// `sameuser`: the database of the user's name.
    pub same_user: bool,
    /// `replication`: physical replication.
    pub replication: bool,
    /// Names.
    pub names: HashSet<String>,
}

/// The third field: a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HbaUsers {
    /// `all`.
    pub all: bool,
    /// Names.
    pub names: HashSet<String>,
}

/// The address field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `all`
    Any,
    /// `address/length` or `address mask`, IPv4. Numbers with the first byte highest.
    V4 {
        /// The network, its host bits cleared.
        network: u32,
        /// Its mask.
        mask: u32,
    },
    /// The same for IPv6.
    V6 {
        /// The network, its host bits cleared.
        network: u128,
        /// Its mask.
        mask: u128,
    },
}

/// The method field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HbaMethod {
    /// `trust`
    Trust,
    /// `reject`
    Reject,
    /// `password`: in the clear.
    Password,
    /// `md5`
    Md5,
    /// `scram-sha-256`
    ScramSha256,
    /// `peer`: whom the system says the other process belongs to.
    Peer {
        /// `map=`
        map: Option<String>,
    },
    /// `cert`: whom the client's certificate names.
    Cert {
        /// `map=`
        map: Option<String>,
    },
    /// `ldap`: a directory tells whether the password is right.
    Ldap(Box<LdapOptions>),
    /// Known, and of no use as it stands. Whoever the line fits is refused: skipping it would let a later, looser line
    /// decide.
    Unusable {
        /// `ldap` with options that cannot be meant, or `pam`.
        method: &'static str,
        /// What is wrong.
        why: String,
    },
}

/// Reads a file that a line or a setting names.
pub type ReadFile<'a> = &'a mut dyn FnMut(&Path) -> io::Result<String>;

/// Reads the text of an `auth_hba_file`, the name files it includes, and what there is to say about its lines.
pub fn parse(text: &str, file: &Path, maps: IdentMaps, read: ReadFile<'_>) -> (Hba, Vec<Note>) {
    let (mut hba, mut notes) = (Hba { rules: Vec::new(), maps }, Vec::new());
    for (line, number) in text.split('\n').zip(1..) {
        match Parser::new(line, file, &mut *read).rule(number) {
            Ok(None) => {}
            Ok(Some(Parsed { rule, host_bits })) => {
                let remarks = remarks(&rule, &hba.maps).chain(host_bits.then(|| {
                    "the address has bits set that its mask leaves out; they count for nothing"
                        .to_owned()
                }));
                notes.extend(remarks.map(|remark| {
                    note("auth_hba_file", file, number, format!("hba line {number}: {remark}"))
                }));
                hba.rules.push(rule);
            }
            Err(fault) => notes.push(bad_line("hba", "auth_hba_file", file, number, fault)),
        }
    }
    (hba, notes)
}

/// What a line that was understood means, where that is hardly what was meant.
fn remarks(rule: &HbaRule, maps: &IdentMaps) -> impl Iterator<Item = String> + use<> {
    let method = match (&rule.method, rule.transport) {
        (HbaMethod::Unusable { method, why }, _) => {
            Some(format!("{method}: {why}; this line refuses everyone"))
        }
        (HbaMethod::Peer { .. }, Transport::Host | Transport::HostSsl | Transport::HostNoSsl) => {
            Some("peer works on local lines only; this line refuses everyone".to_owned())
        }
        (HbaMethod::Cert { .. }, Transport::Local | Transport::HostNoSsl) => {
            Some("cert needs TLS; this line refuses everyone".to_owned())
        }
        _ => None,
    };
    let map = match &rule.method {
        HbaMethod::Peer { map: Some(map) } | HbaMethod::Cert { map: Some(map) }
            if !maps.contains(map) =>
        {
            Some(format!("auth_ident_file has no map {map:?}; this line refuses everyone"))
        }
        _ => None,
    };
    method.into_iter().chain(map)
}

fn note(key: &str, file: &Path, line: u32, sentence: String) -> Note {
    Note { file: file.to_owned(), line, key: key.to_owned(), sentence }
}

/// pgbouncer's two warnings, in one line.
pub(super) fn bad_line(
    kind: &str,
    key: &str,
    file: &Path,
    line: u32,
    fault: impl fmt::Display,
) -> Note {
    let sentence = format!(
        "{kind} line {line}: {fault}; could not parse {kind} config line {line}, it is skipped"
    );
    note(key, file, line, sentence)
}

#[cfg(test)]
mod tests;
