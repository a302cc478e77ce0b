//! What clients ask for at startup, tried on a server once: who asks for what PostgreSQL refuses is told so at login,
//! in its words, and later clients that ask for the same need no server for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use pgweir_codec::backend::{ErrorResponse, Severity};

use super::access::Access;
use super::service::Service;
use crate::net::clock;
use crate::pool::AttachError;
use crate::server::Connection;
use crate::server::query::{self, QueryError};
use crate::session::startup::{self, Setting, Startup};

/// Most combinations of settings that are remembered per service; each is no longer than a startup packet. With more,
/// those that no client and no server uses make room.
const LIMIT: usize = 256;

/// SQLSTATE of a setting that the server does not know (undefined_object).
const UNKNOWN: &str = "42704";

/// What the clients of one service have asked for and its servers have accepted.
#[derive(Debug, Default)]
pub struct Startups {
    known: Mutex<HashMap<Vec<Setting>, Arc<Startup>>>,
}

impl Startups {
    fn find(&self, wanted: &[Setting]) -> Option<Arc<Startup>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(wanted).filter(|startup| !startup.is_doubtful()).cloned()
    }

    /// Remembers it, unless somebody else was faster; all clients are to share one.
    fn remember(&self, wanted: Vec<Setting>, startup: Arc<Startup>) -> Arc<Startup> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(earlier) = known.get(&wanted).filter(|earlier| !earlier.is_doubtful()) {
            return earlier.clone();
        }
        if known.len() >= LIMIT {
            known.retain(|_, startup| Arc::strong_count(startup) > 1);
        }
        if known.len() < LIMIT || known.contains_key(&wanted) {
            known.insert(wanted, startup.clone());
        }
        startup
    }

    /// What another process's servers have accepted.
    pub fn adopt(
        &self,
        wanted: Vec<Setting>,
        revive: impl FnOnce() -> Arc<Startup>,
    ) -> Arc<Startup> {
        self.find(&wanted).unwrap_or_else(|| self.remember(wanted, revive()))
    }

    /// Forgets all: the servers may be others now.
    pub fn clear(&self) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Why a client does not get what it asked for.
#[derive(Debug)]
pub enum StartupError {
    /// There is no server to try it on.
    NoServer(AttachError),
    /// The server refuses it, in its own words.
    Refused(Box<ErrorResponse>),
    /// The server broke.
    Broken(String),
}

/// Finds what a client asked for, `settings` in order, among what is known to be good, or tries it on a server.
///
/// # Errors
/// See [`StartupError`]; the client is to be told and closed.
pub async fn accept(
    service: &Service,
    access: &mut Access,
    settings: Vec<Setting>,
) -> Result<Arc<Startup>, StartupError> {
    if let Some(known) = service.startups.find(&settings) {
        return Ok(known);
    }
    let mut lease = access.attach(clock::now()).await.map_err(StartupError::NoServer)?;
    let connection = lease.connection();
    connection.bring_here().map_err(|error| StartupError::Broken(error.to_string()))?;
    // What cannot be cleaned counts as clean from here on, and must not go back.
    if let Err(error) = clean(connection).await {
        lease.close("could not be cleaned of a client's settings");
        return Err(StartupError::Broken(error.to_string()));
    }
    let accepted = attempt(connection, settings.clone()).await;
    let usable = match &accepted {
        Ok(_) => true,
        Err(StartupError::Refused(response)) => !response.is_fatal(),
        Err(_) => false,
    };
    if usable {
        lease.give_back(clock::now());
    }
    Ok(service.startups.remember(settings, accepted?))
}

/// Sets them on a clean server. Those that may be left out, and that the server does not know, are.
async fn attempt(
    connection: &mut Connection,
    mut settings: Vec<Setting>,
) -> Result<Arc<Startup>, StartupError> {
    loop {
        let mut sql = BytesMut::new();
        startup::write_calls(settings.iter().map(|s| (&s.name, Some(&s.value))), &mut sql);
        if sql.is_empty() {
            return Ok(Startup::new(settings, Vec::new(), |_| None));
        }
        match query::simple_bytes(connection, &sql).await {
            Ok(rows) => {
                let spelling: Vec<_> = rows
                    .into_iter()
                    .flatten()
                    .map(|value| Bytes::from(value.unwrap_or_default()))
                    .collect();
                if spelling.len() != settings.len() {
                    return Err(StartupError::Broken("set_config gave no value".to_owned()));
                }
                let known = &connection.state.parameters;
                let reported = |name: &[u8]| {
                    known.tracked().index(name).filter(|index| known.at(*index).is_some())
                };
                let accepted = Startup::new(settings, spelling, reported);
                connection.state.in_force.now_of(&accepted);
                return Ok(accepted);
            }
            Err(QueryError::Refused(response)) => {
                let unknown = unknown_option(&settings, &response);
                let Some(unknown) = unknown else {
                    return Err(StartupError::Refused(response));
                };
                settings.remove(unknown);
            }
            Err(error) => return Err(failed(error)),
        }
    }
}

/// Which of the settings that may be left out the server does not know. Its text may be in any language, but it has
/// the name in double quotes, or in the quotes of that language.
fn unknown_option(settings: &[Setting], response: &ErrorResponse) -> Option<usize> {
    if response.code().as_str() != UNKNOWN {
        return None;
    }
    let text = response.message();
    let named = |setting: &Setting| {
        let name = String::from_utf8_lossy(&setting.name).into_owned();
        let word = |part: &str| part == name;
        text.split(|letter: char| !letter.is_alphanumeric() && !matches!(letter, '_' | '.'))
            .any(word)
    };
    settings.iter().position(|setting| setting.optional && named(setting))
}

/// Takes away what clients have set on a server, so that a question of our own runs by the server's own settings.
///
/// # Errors
/// As [`query::simple`].
pub async fn clean(connection: &mut Connection) -> Result<(), QueryError> {
    let mut sql = BytesMut::new();
    if connection.state.write_cleaning(&mut sql) {
        query::simple_bytes(connection, &sql).await?;
    }
    Ok(())
}

/// As [`clean`], and takes away what clients have left that is not known: what they `SET` in a transaction, their role,
/// their temporary tables. Only for a server that a client has had since.
///
/// # Errors
/// As [`query::simple`].
pub async fn clean_of_all(connection: &mut Connection) -> Result<(), QueryError> {
    clean(connection).await?;
    if std::mem::take(&mut connection.state.had_client) {
        query::simple(connection, "DISCARD ALL").await?;
        connection.state.was_reset();
    }
    Ok(())
}

fn failed(error: QueryError) -> StartupError {
    match error {
        QueryError::Refused(response) => StartupError::Refused(response),
        other => StartupError::Broken(other.to_string()),
    }
}

impl StartupError {
    /// What the client is told before it is closed.
    pub fn response(&self) -> ErrorResponse {
        match self {
            Self::NoServer(error) => error.response(),
            Self::Refused(response) => response.as_ref().clone().with_severity(Severity::Fatal),
            Self::Broken(_) => AttachError::HostGone.response(),
        }
    }
}

impl std::fmt::Display for StartupError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoServer(error) => error.fmt(f),
            Self::Refused(response) => {
                let (text, code) = (response.message(), response.code());
                write!(f, "the server refused a startup parameter: {text} ({code})")
            }
            Self::Broken(reason) => write!(f, "startup parameters could not be tried: {reason}"),
        }
    }
}

impl std::error::Error for StartupError {}

#[cfg(test)]
mod tests {
    use pgweir_codec::sqlstate::SqlState;

    use super::*;

    fn setting(name: &str, optional: bool) -> Setting {
        Setting::new(name.as_bytes(), b"1", optional)
    }

    #[test]
    fn only_an_optional_setting_that_the_server_names_as_unknown_is_left_out() {
        let settings = [setting("work", false), setting("a", true), setting("work_m", true)];
        let refused = |code: &[u8], text: &str| {
            ErrorResponse::new(Severity::Error, SqlState::from_bytes(code), text)
        };
        let unknown = |text| unknown_option(&settings, &refused(b"42704", text));
        assert_eq!(unknown("unrecognized configuration parameter \"work_m\""), Some(2));
        assert_eq!(unknown("unrecognized configuration parameter \"work\""), None);
        assert_eq!(unknown("paramètre de configuration « a » non reconnu"), Some(1));
        let invalid = refused(b"22023", "invalid value for parameter \"a\": \"1\"");
        assert_eq!(unknown_option(&settings, &invalid), None);
    }

    #[test]
    fn what_is_known_is_bounded_shared_and_forgotten_when_in_doubt() {
        let startups = Startups::default();
        let make = |number: usize| {
            let wanted = vec![setting(&format!("x{number}"), false)];
            let startup = Startup::new(wanted.clone(), vec![Bytes::new()], |_| None);
            (wanted, startup)
        };
        let (wanted, first) = make(0);
        let held = startups.remember(wanted.clone(), first);
        let shared = startups.remember(wanted.clone(), make(0).1);
        assert!(Arc::ptr_eq(&held, &shared));
        for number in 1..3 * LIMIT {
            let (wanted, startup) = make(number);
            startups.remember(wanted, startup);
        }
        assert!(startups.known.lock().unwrap().len() <= LIMIT);
        assert!(startups.find(&wanted).is_some(), "it is in use");
        held.doubt();
        assert!(startups.find(&wanted).is_none());
    }
}
