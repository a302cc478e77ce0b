//! A [`ConfigError`] in parts, for who shows it in columns: what is wrong, what was found, what is allowed, what to do.

use super::error::{ConfigError, Place};
use super::ini::Section;

/// See the module's words. No part has a secret in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The line, if it is one's.
    pub at: Option<Place>,
    /// What is wrong, without place and value.
    pub what: String,
    /// The value that stands there.
    pub found: Option<String>,
    /// What could stand there.
    pub allowed: Option<String>,
    /// What to do.
    pub advice: Option<String>,
}

impl Told {
    fn new(at: Option<&Place>, what: String) -> Self {
        Self { at: at.cloned(), what, found: None, allowed: None, advice: None }
    }

    fn found(self, found: impl ToString) -> Self {
        Self { found: Some(found.to_string()), ..self }
    }

    fn allowed(self, allowed: impl ToString) -> Self {
        Self { allowed: Some(allowed.to_string()), ..self }
    }

    fn advice(self, advice: impl ToString) -> Self {
        Self { advice: Some(advice.to_string()), ..self }
    }

    /// The name that was meant, if one resembles it.
    fn nearest(self, nearest: Option<&'static str>, otherwise: &str) -> Self {
        match nearest {
            Some(nearest) => self.advice(format!("did you mean \"{nearest}\"?")),
            None => self.advice(otherwise),
        }
    }
}

const SECTIONS: &str = "[pgbouncer], [databases], [users], [peers]";
const REMOVE: &str = "remove it; docs/settings.md has all that there is";

impl ConfigError {
    /// It in parts.
    pub fn told(&self) -> Told {
        let at = |at, what: String| Told::new(Some(at), what);
        match self {
            Self::Unreadable { file, asked_at, source } => {
                let what = format!("cannot read {}", file.display());
                Told::new(asked_at.as_ref(), what)
                    .found(source)
                    .advice("name a file that is there, and that the user it runs as may read")
            }
            Self::Syntax { at: place } => at(place, "the line is not understood".to_owned())
                .allowed("[section], key = value, 'odd key' = value, %include FILE, or a comment that begins with ; or #"),
            Self::TooManyIncludes { at: place, depth, files } => {
                at(place, "too many nested includes".to_owned())
                    .allowed(format!("{depth} deep and {files} files"))
                    .advice("look whether a file includes itself")
            }
            Self::UnknownSection { at: place, section, nearest } => {
                at(place, format!("there is no section [{section}]"))
                    .allowed(SECTIONS)
                    .nearest(*nearest, "remove it with its lines, which were not looked at")
            }
            Self::OutsideSection { at: place, key } => {
                at(place, format!("{key} stands before the first section"))
                    .advice("begin the file with [pgbouncer]")
            }
            Self::UnknownSetting { at: place, key, nearest } => {
                at(place, format!("[pgbouncer] has no setting {key}")).nearest(*nearest, REMOVE)
            }
            Self::InvalidValue { at: place, key, value, allowed } => {
                at(place, format!("invalid value for {key}")).found(value).allowed(allowed)
            }
            Self::EntrySyntax { at: place, section, entry, fault } => {
                at(place, format!("syntax error in {section}/{entry}: {fault}"))
            }
            Self::UnknownParameter { at: place, section, entry, key, nearest } => {
                at(place, format!("{section}/{entry}: there is no parameter {key}"))
                    .nearest(*nearest, "remove it")
            }
            Self::InvalidParameter { at: place, section, entry, key, value, allowed } => {
                at(place, format!("{section}/{entry}: invalid value for {key}"))
                    .found(value)
                    .allowed(allowed)
            }
            Self::InvalidPort { at: place, entry, port } => {
                at(place, format!("databases/{entry}: invalid port"))
                    .found(port)
                    .allowed("1 to 65535, one for all hosts or a comma-separated list with one for each")
            }
            Self::PortsDoNotMatchHosts { at: place, entry, hosts, ports } => {
                at(place, format!("databases/{entry}: the ports do not match the hosts"))
                    .found(format!("{ports} ports, {hosts} hosts"))
                    .allowed("one port for all hosts or one for each")
            }
            Self::HostMissing { at: place, section: Section::Peers, entry } => {
                at(place, format!("peers/{entry} has no host")).advice("add host=ADDRESS")
            }
            Self::HostMissing { at: place, section, entry } => {
                at(place, format!("{section}/{entry} has no host, and unix_socket_dir is empty"))
                    .advice("add host=ADDRESS or host=/DIRECTORY")
            }
            Self::ReservedDatabase { at: place, name } => {
                at(place, format!("database name \"{name}\" is reserved: it is the console"))
                    .advice(format!("choose another name, and keep dbname={name} if the server's database is called so"))
            }
            Self::NameTooLong { at: place, name, limit } => {
                at(place, "the name is too long".to_owned())
                    .found(name)
                    .allowed(format!("{limit} bytes"))
            }
            Self::ReservedAuthDatabase { at: place, name } => {
                Told::new(place.as_ref(), "auth_dbname names the console".to_owned())
                    .found(name)
                    .advice("name an entry of [databases]")
            }
            Self::MonitorWithoutLogin { at: place, entry } => {
                let what = format!(
                    "databases/{entry} has target_session_attrs, but nobody to log in as to watch its hosts"
                );
                Told::new(place.as_ref(), what).advice(
                    "add topology_user = NAME to [pgbouncer], or user=NAME to the entry, or auth_user",
                )
            }
            Self::BrokenAuthFile { at: place, fault } => {
                at(place, format!("broken auth file: {fault}")).allowed("\"name\" \"secret\"")
            }
            Self::ClientTlsWithoutCertificate { at: place } => {
                Told::new(place.as_ref(), "TLS with clients needs a certificate".to_owned())
                    .advice("set client_tls_key_file and client_tls_cert_file")
            }
            Self::TwoHttpTokens { at: place } => {
                let what = "http_auth_token and http_auth_token_file are both set";
                Told::new(place.as_ref(), what.to_owned()).advice("take one of them away")
            }
            Self::NoHttpToken { at: place, file } => {
                let what = format!("http_auth_token_file {} has no token", file.display());
                Told::new(place.as_ref(), what).allowed("one word")
            }
            Self::AuthTypeRequires { at: place, auth_type, setting } => {
                Told::new(place.as_ref(), format!("auth_type={auth_type} requires {setting}"))
                    .advice(format!("set {setting}"))
            }
        }
    }
}
