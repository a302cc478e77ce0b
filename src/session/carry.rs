//! Sessions that go on in another process (online restart): what is to be written down of a client's and a server's, and
//! how they are made anew of it.
//!
//! Only what is at rest is carried: nothing unanswered, nothing half sent. So all that is known of requests under way
//! need not be: what remains are settings, statements, and whether a transaction is open. Names, not places in lists,
//! stand for settings: the other process may track others. Fields that are missing have their usual value, and unknown
//! ones are skipped, so that versions can differ.

use std::sync::Arc;

use bytes::Bytes;
use pgweir_codec::backend::TransactionStatus;
use serde::{Deserialize, Serialize};

use super::elsewhere::Place;
use super::machine::{Replay, Rules, ServerState, Session};
use super::own::{OwnStatements, Wish, Wishes};
use super::parameters::{Parameters, Tracked};
use super::prepared::{Statement, StatementCache};
use super::read_only::{OfClient, OnServer};
use super::startup::{InForce, Setting, Startup};
use crate::routing::Target;
use crate::routing::causal::Token;
use crate::routing::own::own_command;

/// Settings and their values.
pub type Values = Vec<(String, Bytes)>;

/// A prepared statement: its number, which is part of its name on the servers, and its definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarriedStatement {
    /// See [`Statement::id`].
    pub id: u64,
    /// The Parse body after the name.
    pub definition: Bytes,
}

/// What clients asked for at startup: see [`Startup`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarriedStartup {
    /// In order.
    pub settings: Vec<CarriedSetting>,
}

/// One setting of a startup packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarriedSetting {
    /// Its name, in small letters.
    pub name: Bytes,
    /// As the client wrote it; if it is reported, as servers report it.
    pub value: Bytes,
    /// In the server's spelling.
    pub spelled: Bytes,
    /// See [`Setting::optional`].
    pub optional: bool,
    /// Whether servers report it.
    pub reported: bool,
}

impl CarriedStartup {
    fn of(startup: &Startup, tracked: &Tracked) -> Self {
        let reported = startup.tracked().iter().map(|(index, value)| {
            let name = tracked.names().get(*index).map(String::as_str).unwrap_or_default();
            let name = Bytes::from(name.to_ascii_lowercase());
            let value = value.clone();
            let spelled = value.clone();
            CarriedSetting { name, value, spelled, optional: false, reported: true }
        });
        let extras = startup.extras().iter().map(|extra| CarriedSetting {
            name: extra.name.clone(),
            value: extra.value.clone(),
            spelled: startup.value(&extra.name).cloned().unwrap_or_else(|| extra.value.clone()),
            optional: extra.optional,
            reported: false,
        });
        Self { settings: reported.chain(extras).collect() }
    }

    /// The settings alone, in order: what clients that asked for the same have in common.
    pub fn wanted(&self) -> Vec<Setting> {
        let wanted = self.settings.iter();
        wanted.map(|one| Setting::new(&one.name, &one.value, one.optional)).collect()
    }

    /// Made anew.
    pub fn revive(&self, tracked: &Tracked) -> Arc<Startup> {
        let spelling = self.settings.iter().map(|one| one.spelled.clone()).collect();
        let reported = |name: &[u8]| {
            let known = self.settings.iter().find(|one| one.name == name);
            known.filter(|one| one.reported).and_then(|_| tracked.index(name))
        };
        Startup::new(self.wanted(), spelling, reported)
    }
}

/// How clients' startups are found or made: all who asked for the same share one.
pub type Reviver<'a> = &'a mut dyn FnMut(&CarriedStartup) -> Arc<Startup>;

/// What a client's session has.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CarriedSession {
    /// `I`, `T` or `E`.
    status: u8,
    parameters: Values,
    #[serde(default)]
    startup: Option<CarriedStartup>,
    #[serde(default)]
    startup_name: Option<Bytes>,
    /// By the names that the client gave them; none for the unnamed one.
    #[serde(default)]
    statements: Vec<(Bytes, CarriedStatement)>,
    /// Commands for pgweir that it has prepared: name and text.
    #[serde(default)]
    own: Vec<(Bytes, Bytes)>,
    #[serde(default)]
    route: CarriedRoute,
    /// What its reads have to see at least: now, and as asked for at startup.
    #[serde(default)]
    min_lsn: (Option<String>, Option<String>),
    #[serde(default)]
    read_only: CarriedReadOnly,
    #[serde(default)]
    unnamed_ends: bool,
    #[serde(default)]
    reset_seen: bool,
    #[serde(default)]
    reset_all_seen: bool,
    #[serde(default)]
    restore: bool,
    /// With a server: what kind of host that is on.
    #[serde(default)]
    place: Option<u8>,
}

/// Now, and as asked for at startup: `P`, `R`, or none.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct CarriedRoute {
    now: Option<u8>,
    asked: Option<u8>,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct CarriedReadOnly {
    set: Option<bool>,
    asked: Option<bool>,
    own: bool,
}

/// What is known of the session on a server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CarriedServer {
    parameters: Values,
    /// What `RESET` returns to.
    defaults: Values,
    #[serde(default)]
    had_client: bool,
    /// Least recently used first.
    #[serde(default)]
    statements: Vec<CarriedStatement>,
    #[serde(default)]
    in_force: Option<CarriedStartup>,
    #[serde(default)]
    disturbed: bool,
    #[serde(default)]
    standby: Option<bool>,
    /// `default_transaction_read_only`: now, and after a `RESET`.
    #[serde(default)]
    read_only: (Option<bool>, Option<bool>),
}

impl Session {
    /// Whether it could go on elsewhere as it is now.
    pub fn is_at_rest(&self) -> bool {
        self.pending.is_empty()
            && !self.unsynced
            && !self.skipping
            && !self.copy_in
            && !self.batches.several()
            && self.replay != Replay::Due
            && self.lost.is_none()
            && self.held.is_none()
            && !self.has_own_portal()
    }

    /// What is to be written down of it. To be called only while it is at rest.
    pub fn carry(&self) -> CarriedSession {
        let tracked = self.parameters.tracked();
        CarriedSession {
            status: self.status.byte(),
            parameters: carry_parameters(&self.parameters),
            startup: self.startup.as_ref().map(|startup| CarriedStartup::of(startup, tracked)),
            startup_name: self.startup_name.clone(),
            statements: self
                .statements
                .iter()
                .map(|(name, statement)| (Bytes::copy_from_slice(name), statement.carry()))
                .collect(),
            own: self.own.iter().flat_map(|own| own.texts()).collect(),
            route: CarriedRoute {
                now: self.wishes.route.now.map(letter),
                asked: self.wishes.route.asked.map(letter),
            },
            min_lsn: {
                let Wish { now, asked } = self.wishes.min_lsn.get();
                let text = |token: Option<Token>| token.map(|token| token.to_string());
                (text(now), text(asked))
            },
            read_only: CarriedReadOnly {
                set: self.read_only.set,
                asked: self.read_only.asked,
                own: self.read_only.own,
            },
            unnamed_ends: self.unnamed_ends,
            reset_seen: self.reset_seen,
            reset_all_seen: self.reset_all_seen,
            restore: self.restore,
            place: Some(place_number(self.place)),
        }
    }
}

impl CarriedSession {
    /// The reported setting of this name.
    pub fn value(&self, name: &str) -> Option<&Bytes> {
        let mut all = self.parameters.iter();
        all.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Whether a transaction is open.
    pub fn in_transaction(&self) -> bool {
        self.status != TransactionStatus::Idle.byte()
    }

    /// Made anew, to go by these rules; `None` if it makes no sense.
    pub fn revive(
        self,
        rules: Rules,
        cache: &Arc<StatementCache>,
        tracked: &Arc<Tracked>,
        startups: Reviver<'_>,
    ) -> Option<Session> {
        let parameters = revive_parameters(&self.parameters, tracked);
        let mut session = Session::new(rules, cache.clone(), parameters);
        session.status = TransactionStatus::from_byte(self.status)?;
        session.startup = self.startup.as_ref().map(startups);
        session.startup_name = self.startup_name;
        for (name, statement) in &self.statements {
            session.statements.insert(name, statement.revive(cache));
        }
        let own: Vec<_> = self
            .own
            .iter()
            .filter_map(|(name, text)| Some((name.to_vec().into(), own_command(text)?)))
            .collect();
        session.own = (!own.is_empty()).then(|| Box::new(OwnStatements::of(own)));
        let token = |text: Option<String>| Token::read(text?.as_bytes());
        let (now, asked) = self.min_lsn;
        session.wishes = Wishes {
            route: Wish {
                now: self.route.now.and_then(target),
                asked: self.route.asked.and_then(target),
            },
            min_lsn: Wish { now: token(now), asked: token(asked) }.into(),
        };
        let CarriedReadOnly { set, asked, own } = self.read_only;
        session.read_only = OfClient { set, asked, own };
        session.unnamed_ends = self.unnamed_ends;
        session.reset_seen = self.reset_seen;
        session.reset_all_seen = self.reset_all_seen;
        session.restore = self.restore;
        session.place = place_of(self.place);
        Some(session)
    }
}

impl ServerState {
    /// What is to be written down of it.
    pub fn carry(&self) -> CarriedServer {
        let (startup, disturbed) = self.in_force.parts();
        let tracked = self.parameters.tracked();
        CarriedServer {
            parameters: carry_parameters(&self.parameters),
            defaults: carry_parameters(self.defaults()),
            had_client: self.had_client,
            statements: self.statements.in_order().map(|statement| statement.carry()).collect(),
            in_force: startup.map(|startup| CarriedStartup::of(startup, tracked)),
            disturbed,
            standby: self.in_hot_standby(),
            read_only: (self.read_only.now, self.read_only.own),
        }
    }
}

impl CarriedServer {
    /// Made anew.
    pub fn revive(
        self,
        cache: &StatementCache,
        tracked: &Arc<Tracked>,
        max_prepared_statements: u32,
        startups: Reviver<'_>,
    ) -> ServerState {
        let defaults = revive_parameters(&self.defaults, tracked);
        let mut server = ServerState::new(tracked.clone(), max_prepared_statements);
        server.parameters = revive_parameters(&self.parameters, tracked);
        server.go_on(defaults, self.standby);
        server.had_client = self.had_client;
        for carried in &self.statements {
            let statement = carried.revive(cache);
            // Known by another number here, it is not found on this server by that one's name.
            if statement.id() == carried.id {
                server.statements.insert(statement);
            }
        }
        server.in_force = InForce::of(self.in_force.as_ref().map(startups), self.disturbed);
        let (now, own) = self.read_only;
        server.read_only = OnServer { now, own };
        server
    }
}

impl Statement {
    fn carry(&self) -> CarriedStatement {
        CarriedStatement { id: self.id(), definition: self.definition().clone() }
    }
}

impl CarriedStatement {
    fn revive(&self, cache: &StatementCache) -> Arc<Statement> {
        cache.adopt(self.id, &self.definition)
    }
}

fn carry_parameters(parameters: &Parameters) -> Values {
    parameters.iter().map(|(name, value)| (name.to_owned(), value.clone())).collect()
}

fn revive_parameters(values: &Values, tracked: &Arc<Tracked>) -> Parameters {
    let mut parameters = Parameters::new(tracked.clone());
    for (name, value) in values {
        parameters.note(name.as_bytes(), value);
    }
    parameters.share();
    parameters
}

fn letter(target: Target) -> u8 {
    match target {
        Target::Primary => b'P',
        Target::Replica => b'R',
    }
}

fn target(letter: u8) -> Option<Target> {
    match letter {
        b'P' => Some(Target::Primary),
        b'R' => Some(Target::Replica),
        _ => None,
    }
}

fn place_number(place: Place) -> u8 {
    match place {
        Place::Unknown => 0,
        Place::Primary => 1,
        Place::Replica => 2,
        Place::Guessed => 3,
    }
}

fn place_of(number: Option<u8>) -> Place {
    match number {
        Some(1) => Place::Primary,
        Some(2) => Place::Replica,
        Some(3) => Place::Guessed,
        _ => Place::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{PoolMode, PrepareUnnamed};

    const RULES: Rules = Rules {
        mode: PoolMode::Transaction,
        follow_statements: true,
        prepare_unnamed: PrepareUnnamed::Off,
        realm: 1,
        outlives_server: false,
        holds_begin: false,
    };

    fn startup(tracked: &Tracked) -> Arc<Startup> {
        let settings = vec![
            Setting::new(b"timezone", b"utc", false),
            Setting::new(b"Work_Mem", b"1024", true),
        ];
        let spelling = vec![Bytes::from_static(b"UTC"), Bytes::from_static(b"1MB")];
        Startup::new(settings, spelling, |name| tracked.index(name))
    }

    fn through<T: Serialize + for<'a> Deserialize<'a>>(value: &T) -> T {
        let mut bytes = Vec::new();
        ciborium::into_writer(value, &mut bytes).unwrap();
        ciborium::from_reader(&bytes[..]).unwrap()
    }

    #[test]
    fn a_session_is_the_same_on_the_other_side() {
        let (tracked, cache) = (Tracked::new(&[]), Arc::<StatementCache>::default());
        let mut parameters = Parameters::new(tracked.clone());
        parameters.note(b"TimeZone", b"UTC");
        parameters.note(b"application_name", b"a\xff");
        let mut session = Session::new(RULES, cache.clone(), parameters)
            .with_startup(Some(startup(&tracked)), Some(Bytes::from_static(b"a")))
            .with_wishes(Wishes::asked(Some(Target::Replica), Token::read(b"3/16/B374D848")));
        session.wishes.min_lsn.change(|wish| wish.now = Token::read(b"1/2"));
        session.status = TransactionStatus::Failed;
        session.statements.insert(b"s1", cache.intern(b"select 1\0\0\0"));
        session.statements.insert(b"", cache.intern(b"select 2\0\0\0"));
        session.read_only = OfClient { set: Some(true), asked: None, own: true };
        session.restore = true;
        let command = own_command(b"SET pgweir.route = 'primary'").unwrap();
        session.own = Some(Box::new(OwnStatements::of(vec![(b"o"[..].into(), command)])));
        assert!(session.is_at_rest());
        let carried = through(&session.carry());
        assert!(carried.in_transaction());

        let other = Arc::<StatementCache>::default();
        other.begin_at(1 << 20);
        assert!(other.intern(b"select 0\0\0\0").id() > 1 << 20);
        let more = Tracked::new(&["IntervalStyle".into()]);
        let mut startups = |startup: &CarriedStartup| startup.revive(&more);
        let revived = carried.revive(RULES, &other, &more, &mut startups).unwrap();
        assert_eq!(revived.status, TransactionStatus::Failed);
        assert_eq!(revived.parameters().value(b"TimeZone").unwrap(), "UTC");
        assert_eq!(revived.parameters().value(b"application_name").unwrap(), &b"a\xff"[..]);
        for name in [&b"s1"[..], b""] {
            let (before, after) = (session.statements.find(name), revived.statements.find(name));
            assert_eq!(before.unwrap().server_name(), after.unwrap().server_name());
            assert_eq!(before.unwrap().text(), after.unwrap().text());
        }
        let asked = revived.startup.as_ref().unwrap();
        assert_eq!(asked.tracked(), [(2, Bytes::from_static(b"UTC"))]);
        assert_eq!(asked.extras(), [Setting::new(b"work_mem", b"1024", true)]);
        assert_eq!(asked.value(b"work_mem").unwrap(), "1MB");
        assert_eq!(revived.wishes, session.wishes);
        assert_eq!(revived.read_only, session.read_only);
        assert!(revived.restore && revived.own.is_some());
    }

    #[test]
    fn a_server_keeps_its_statements_unless_they_have_another_number_here() {
        let (tracked, cache) = (Tracked::new(&[]), StatementCache::default());
        let mut server = ServerState::new(tracked.clone(), 3);
        server.note(b"TimeZone", b"UTC");
        server.note(b"in_hot_standby", b"on");
        server.logged_in();
        server.note(b"TimeZone", b"CET");
        let (a, b) = (cache.intern(b"a\0\0\0"), cache.intern(b"b\0\0\0"));
        server.statements.insert(a.clone());
        server.statements.insert(b.clone());
        server.in_force.now_of(&startup(&tracked));
        let carried = through(&server.carry());

        let other = StatementCache::default();
        other.begin_at(100);
        let strange = other.intern(b"b\0\0\0");
        assert_ne!(strange.id(), b.id());
        let mut known = None;
        let mut startups = |startup: &CarriedStartup| {
            known.get_or_insert_with(|| startup.revive(&tracked)).clone()
        };
        let mut revived = carried.revive(&other, &tracked, 3, &mut startups);
        assert!(revived.statements.holds(a.id()) && !revived.statements.holds(b.id()));
        assert_eq!(revived.in_hot_standby(), Some(true));
        assert!(revived.in_force.suits(known.as_ref()));
        let mut sql = bytes::BytesMut::new();
        revived.write_cleaning(&mut sql);
        let sql = String::from_utf8(sql.to_vec()).unwrap();
        assert!(sql.contains("work_mem") && sql.contains("SET TimeZone='UTC';"), "{sql}");
    }

    #[test]
    fn commands_for_us_are_the_same_when_read_again() {
        for text in [
            "SET pgweir.route = replica",
            "SET LOCAL pgweir.route TO auto",
            "RESET pgweir.route",
            "SHOW pgweir.route",
            "SET pgweir.route = 'no''where'",
            "SET SERVER ROLE TO 'primary'",
            "SET LOCAL pgweir.route TO DEFAULT",
            "SET pgweir.min_lsn = '3/16/B374D848'",
            "SET pgweir.min_lsn = '16/B374D848'",
            "SET pgweir.min_lsn = ''",
            "SET pgweir.min_lsn = 'x'",
            "SET LOCAL pgweir.min_lsn = '3/16/B374D848'",
            "SET LOCAL pgweir.min_lsn = DEFAULT",
            "RESET pgweir.min_lsn",
            "SHOW pgweir.min_lsn",
            "SHOW pgweir.lsn",
            "SET pgweir.lsn = 'x'",
        ] {
            let command = own_command(text.as_bytes()).unwrap_or_else(|| panic!("{text}"));
            let again = command.text();
            assert_eq!(own_command(again.as_bytes()), Some(command), "{again}");
        }
    }
}
