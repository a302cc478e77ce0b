//! What a startup packet asks for: who for which database, settings, protocol version.

use bytes::{Bytes, BytesMut};
use pgweir_codec::backend::Severity;
use pgweir_codec::options;
use pgweir_codec::sqlstate::SqlState;
use pgweir_codec::startup::{self, StartupMessage};

use super::Guest;
use super::end::{End, fatal, refused};
use crate::routing::own::{self, LSN, MIN_LSN, PGDOG_ROLE, ROUTE, Value};
use crate::session::own::{Wishes, bad_value, fixed};
use crate::session::parameters::Tracked;
use crate::session::startup::{Setting, normalise};

/// Longest user or database name, bytes: pgbouncer's MAX_USERNAME and MAX_DBNAME.
const NAME_LIMIT: usize = 128;

/// What a startup packet asks for.
pub(super) struct Request {
    pub(super) user: String,
    pub(super) database: String,
    /// The minor version of protocol 3 that the connection goes on with: 0 or 2.
    pub(super) minor: u16,
    /// In order, but `application_name`.
    pub(super) settings: Vec<Setting>,
    pub(super) application_name: Option<Bytes>,
    /// What holds for its transactions unless they say otherwise (`pgweir.route`, `pgweir.min_lsn`).
    pub(super) wishes: Wishes,
    pub(super) replication: Option<Replication>,
}

/// A replication connection (manual, "Streaming Replication Protocol").
#[derive(Debug)]
pub(super) struct Replication {
    /// Whether it is for physical replication, which belongs to no database.
    pub(super) physical: bool,
    /// What the client's startup packet says beyond user and database.
    pub(super) parameters: Vec<(String, String)>,
}

/// Whether the client asks for a replication connection.
fn read_replication(message: &StartupMessage) -> Result<Option<Replication>, End> {
    let mut all = message.parameters.iter().rev();
    let Some((_, value)) = all.find(|(name, _)| name == &b"replication"[..]) else {
        return Ok(None);
    };
    let physical = match &value.to_ascii_lowercase()[..] {
        b"false" | b"off" | b"no" | b"0" => return Ok(None),
        b"true" | b"on" | b"yes" | b"1" => true,
        // This one PostgreSQL takes in small letters only.
        b"database" if &value[..] == b"database" => false,
        _ => {
            let value = String::from_utf8_lossy(value);
            let text = format!("invalid value for parameter \"replication\": \"{value}\"");
            let response = fatal(SqlState::INVALID_PARAMETER_VALUE, &text);
            let hint = "Valid values are: \"false\", 0, \"true\", 1, \"database\".";
            return Err(End::Refused(Box::new(response.hint(hint))));
        }
    };
    let ours = |name: &[u8]| {
        matches!(name, b"user" | b"database" | b"replication") || startup::is_protocol_option(name)
    };
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let others = message.parameters.iter().filter(|(name, _)| !ours(name));
    // One, and only what the HBA rules are asked about: of several, PostgreSQL and we would not take the same.
    let kind = if physical { "true" } else { "database" };
    let parameters = std::iter::once(("replication".to_owned(), kind.to_owned()))
        .chain(others.map(|(name, value)| (text(name), text(value))))
        .collect();
    Ok(Some(Replication { physical, parameters }))
}

impl Guest<'_> {
    pub(super) fn read_request(&self, message: &StartupMessage) -> Result<Request, End> {
        let (mut user, mut database, mut settings) = (None, None, self.settings());
        let replication = read_replication(message)?;
        // As in PostgreSQL: what stands in the packet itself comes after what stands in its `options`.
        // A replication connection takes everything to its own server as it is.
        let options =
            message.parameters.iter().filter(|(name, _)| name == OPTIONS && replication.is_none());
        for (_, value) in options {
            settings.read_options(value)?;
        }
        for (name, value) in &message.parameters {
            let text = || String::from_utf8_lossy(value).into_owned();
            match &name[..] {
                b"user" => user = Some(text()),
                b"database" => database = Some(text()),
                b"replication" => {}
                OPTIONS => {}
                option if startup::is_protocol_option(option) => {}
                name if replication.is_none() => settings.push(name, value, false),
                _ => {}
            }
        }
        let user = user.filter(|user| !user.is_empty());
        let user = user.ok_or_else(|| {
            refused(SqlState::INVALID_AUTHORIZATION_SPECIFICATION, "no username supplied")
        })?;
        if user.len() >= NAME_LIMIT {
            return Err(refused(
                SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
                "username too long",
            ));
        }
        let database =
            database.filter(|database| !database.is_empty()).unwrap_or_else(|| user.clone());
        if database.len() >= NAME_LIMIT {
            return Err(refused(SqlState::INVALID_CATALOG_NAME, "database name too long"));
        }
        let (mut settings, application_name) = settings.finish();
        let wishes = take_wishes(&mut settings)?;
        Ok(Request {
            user,
            database,
            minor: message.spoken_minor(),
            settings,
            application_name,
            wishes,
            replication,
        })
    }

    fn settings(&self) -> Settings<'_> {
        let ignored = &self.live.config.settings.ignore_startup_parameters;
        Settings { tracked: &self.shared.tracked, ignored, list: Vec::new() }
    }

    /// Who asks for another protocol version than we speak, or for protocol options, is told what it gets.
    pub(super) async fn negotiate(&mut self, message: &StartupMessage) -> Result<(), End> {
        let Some(told) = message.negotiate() else { return Ok(()) };
        let mut out = BytesMut::new();
        told.encode(&mut out);
        self.send(&out).await
    }
}

/// Takes out what is for pgweir itself, by our names for it or by pgdog's.
fn take_wishes(settings: &mut Vec<Setting>) -> Result<Wishes, End> {
    let (mut route, mut min_lsn) = (None, None);
    for name in [PGDOG_ROLE, ROUTE, MIN_LSN, LSN] {
        let at = settings.iter().position(|setting| setting.name == name.as_bytes());
        let Some(value) = at.map(|at| settings.remove(at).value) else { continue };
        let refused = |response| End::Refused(Box::new(response));
        let Some(setting) = own::Setting::called(name) else {
            return Err(refused(fixed(Severity::Fatal, name)));
        };
        match setting.read(&value) {
            Some(Value::Route(asked)) => route = asked,
            Some(Value::MinLsn(asked)) => min_lsn = asked,
            None => {
                let value = String::from_utf8_lossy(&value);
                return Err(refused(bad_value(Severity::Fatal, name, &value)));
            }
        }
    }
    Ok(Wishes::asked(route, min_lsn))
}

/// The startup parameter that holds settings as command-line switches.
const OPTIONS: &[u8] = b"options";

/// Settings as they are read from a startup packet.
struct Settings<'a> {
    tracked: &'a Tracked,
    /// Setting `ignore_startup_parameters`; compared exactly, as in pgbouncer.
    ignored: &'a [String],
    list: Vec<Setting>,
}

impl Settings<'_> {
    fn read_options(&mut self, value: &[u8]) -> Result<(), End> {
        // As in pgbouncer: its name in the list stands for all settings in there that nobody knows.
        let optional = self.ignores(OPTIONS);
        let settings = options::parse(value).map_err(|options::BadOptions| {
            let text = "unsupported options startup parameter: only '-c config=val' and '--config=val' are allowed";
            refused(SqlState::SYNTAX_ERROR, text)
        })?;
        settings.iter().for_each(|(name, value)| self.push(name, value, optional));
        Ok(())
    }

    fn ignores(&self, name: &[u8]) -> bool {
        self.ignored.iter().any(|ignored| ignored.as_bytes() == name)
    }

    fn push(&mut self, name: &[u8], value: &[u8], optional: bool) {
        // As in pgbouncer: tracked ones cannot be ignored.
        if self.tracked.index(name).is_some() || !self.ignores(name) {
            self.list.push(Setting::new(name, value, optional));
        }
    }

    /// In order; `application_name`, which no server refuses and which differs from client to client, apart.
    fn finish(self) -> (Vec<Setting>, Option<Bytes>) {
        let mut settings = normalise(self.list);
        let at = settings.iter().position(|setting| setting.name == b"application_name"[..]);
        let name = at.map(|at| settings.remove(at).value);
        (settings, name)
    }
}
