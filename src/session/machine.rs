//! The session machine: which message goes where, and when a server may be given back.
//!
//! One machine serves one client. It is *detached* (no server) or *attached*; in transaction mode it detaches at the
//! ReadyForQuery that says idle while nothing is unanswered. Two flags refine that:
//!
//! - `skipping`: an error made the server skip requests until Sync, so requests that arrive until then are dropped;
//! - `copy_in`: the server reads COPY data, and ignores Sync and Flush (manual, "COPY Operations").
//!
//! A client whose server died inside a transaction is *lost* until it ends the transaction; see [`super::lost`].

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use pgweir_codec::backend::{self, TransactionStatus};
use pgweir_codec::frontend;

use super::Outbox;
use super::batches::Batches;
use super::begin::Held;
use super::elsewhere::Place;
use super::lost::Lost;
use super::own::{OwnStatements, Whereabouts, Wishes};
use super::parameters::{Parameters, Tracked};
use super::pipeline::{Expect, Pipeline};
use super::prepared::{ClientStatements, ServerStatements, StatementCache};
use super::queries::{Named, Owner};
use super::read_only::{OfClient, OnServer};
use super::startup::{self, InForce, Startup};
use super::tracker::Tracker;
use crate::config::{PoolMode, PrepareUnnamed};

/// Most requests of one client that may be unanswered while more are read from it. Far above any driver's pipeline.
/// PostgreSQL sends what it has once that is 8 KiB, which far fewer answers are, so this cannot come to a standstill.
const PIPELINE_LIMIT: usize = 32 * 1024;

/// What does not change during a session.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Setting `pool_mode`.
    pub mode: PoolMode,
    /// Whether named statements follow the client (`max_prepared_statements` > 0, not in session mode).
    pub follow_statements: bool,
    /// Setting `prepare_unnamed`; counts only with `follow_statements`.
    pub prepare_unnamed: PrepareUnnamed,
    /// A number that tells the pools of one database entry and server user from others.
    pub realm: u64,
    /// Whether the client outlives its server: the entry follows roles (`target_session_attrs`).
    pub outlives_server: bool,
    /// Whether a bare BEGIN waits for its transaction's first statement, which may say where it is to run.
    pub holds_begin: bool,
}

/// What pgweir knows of the session on one server connection. Lives as long as the connection.
#[derive(Debug)]
pub struct ServerState {
    /// A client has had it, and may have left settings that nobody knows of.
    pub had_client: bool,
    /// Where it is.
    pub host: Named,
    /// The statements it holds.
    pub statements: ServerStatements,
    /// Its reported settings.
    pub parameters: Parameters,
    /// What they were when the connection was new: where `RESET` returns to.
    defaults: Parameters,
    /// What a client asked for at startup and is in force here.
    pub in_force: InForce,
    /// Whether it says that it is in hot standby; `None` before PostgreSQL 14.
    standby: Option<bool>,
    /// It has said so, or taken it back, since the last look.
    role_changed: bool,
    pub(super) read_only: OnServer,
}

impl ServerState {
    /// A fresh server session.
    pub fn new(tracked: Arc<Tracked>, max_prepared_statements: u32) -> Self {
        let statements = ServerStatements::new(max_prepared_statements);
        let parameters = Parameters::new(tracked);
        Self {
            had_client: false,
            host: Named::default(),
            statements,
            defaults: parameters.clone(),
            parameters,
            in_force: InForce::default(),
            standby: None,
            role_changed: false,
            read_only: OnServer::default(),
        }
    }

    /// It has reported a setting.
    pub fn note(&mut self, name: &[u8], value: &[u8]) {
        if name == b"in_hot_standby" {
            let standby = Some(value == b"on");
            self.role_changed = self.standby != standby;
            self.standby = standby;
        }
        self.read_only.note(name, value);
        self.parameters.note(name, value);
    }

    /// Whether it is in hot standby, as it last said; `None` before PostgreSQL 14.
    pub fn in_hot_standby(&self) -> Option<bool> {
        self.standby
    }

    /// Whether it has told its host's role, or another one, since the last call.
    pub fn take_role_change(&mut self) -> bool {
        std::mem::take(&mut self.role_changed)
    }

    /// The login is over: what is known of the settings now is what `RESET` returns to.
    pub fn logged_in(&mut self) {
        self.defaults = self.parameters.clone();
        self.read_only.logged_in();
    }

    /// Somebody ran a reset query that no client saw.
    pub fn was_reset(&mut self) {
        self.in_force.disturb();
    }

    /// What `RESET` returns to.
    pub(super) fn defaults(&self) -> &Parameters {
        &self.defaults
    }

    /// As it was in another process: what `RESET` returns to, and the role that it last told.
    pub(super) fn go_on(&mut self, defaults: Parameters, standby: Option<bool>) {
        self.defaults = defaults;
        self.standby = standby;
    }

    /// Writes what takes away all that clients have set and that is known; `false` if there is nothing. For questions
    /// of our own, which must not run by a client's `search_path` or `role`.
    pub fn write_cleaning(&mut self, sql: &mut BytesMut) -> bool {
        self.in_force.become_of(None, sql);
        self.defaults.write_changes(&self.parameters, sql);
        self.read_only.write(None, sql);
        !sql.is_empty()
    }
}

/// What happened since the last look, for the statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Parses that clients sent with a name.
    pub client_parses: u64,
    /// Parses that servers were sent for named statements.
    pub server_parses: u64,
    /// Binds of named statements.
    pub binds: u64,
    /// Statements closed on a server to make room.
    pub evictions: u64,
    /// Requests answered up to ReadyForQuery.
    pub queries: u64,
}

/// Whether the batch under way can be run again as it was sent; see [`super::unnamed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replay {
    /// No. A kept statement, or with an entry that follows roles anything, as the first of a transaction -> `Possible`.
    No,
    /// Nothing but that batch was sent, and the client has seen nothing of it. Anything else -> `No`; the server
    /// refuses the stored form -> `Due`.
    Possible,
    /// At the batch's ReadyForQuery it is offered again -> `No`.
    Due,
}

/// One client's session. See the module's words.
#[derive(Debug)]
pub struct Session {
    pub(super) rules: Rules,
    pub(super) cache: Arc<StatementCache>,
    pub(super) pending: Pipeline,
    pub(super) batches: Batches,
    /// Extended-protocol requests went out since the last Sync.
    pub(super) unsynced: bool,
    pub(super) skipping: bool,
    pub(super) copy_in: bool,
    pub(super) flush_wanted: bool,
    /// Whether the unnamed statement, and the statement bound last, do nothing but end a transaction.
    pub(super) unnamed_ends: bool,
    pub(super) bound_ends: bool,
    /// Nothing that was done since the attachment has left for either side.
    pub(super) untouched: bool,
    /// How many answers of our own stood in the queue then.
    pub(super) answered_before: usize,
    pub(super) replay: Replay,
    /// What kind of host the attached server is on.
    pub(super) place: Place,
    /// Nothing waits to be written to the client, and the request was not moved too often: it may be run again.
    pub(super) fresh: bool,
    /// The next unnamed Parse goes on as it is, kept or not.
    pub(super) as_sent: bool,
    /// The transaction status that the client was last told.
    pub(super) status: TransactionStatus,
    pub(super) statements: ClientStatements,
    pub(super) parameters: Parameters,
    /// What it asked for at startup, but its name.
    pub(super) startup: Option<Arc<Startup>>,
    /// The `application_name` that it gave at startup.
    pub(super) startup_name: Option<Bytes>,
    /// A `RESET` came by since the last ReadyForQuery that said idle.
    pub(super) reset_seen: bool,
    /// What it asked for at startup is to be set again before its next message (it keeps its server).
    pub(super) restore: bool,
    /// It has changed its `application_name`.
    pub(super) renamed: bool,
    pub(super) lost: Option<Box<Lost>>,
    pub(super) held: Option<Held>,
    pub(super) wishes: Wishes,
    /// The answer to the last [`FromClient::Locate`](super::FromClient::Locate), until the client has it.
    pub(super) whereabouts: Option<Box<Whereabouts>>,
    pub(super) own: Option<Box<OwnStatements>>,
    /// `RESET ALL` came by since the last ReadyForQuery.
    pub(super) reset_all_seen: bool,
    pub(super) read_only: OfClient,
    pub(super) tally: Tally,
    /// There was an error for which the host is to blame, since the last look.
    pub(super) host_error: bool,
    /// Whose statements it runs, if they may be counted.
    pub(super) owner: Option<Arc<Owner>>,
    pub(super) tracker: Option<Box<Tracker>>,
}

impl Session {
    /// A reload may have changed what it goes by; that counts between transactions.
    pub fn follow(&mut self, rules: Rules) {
        if !self.in_transaction() {
            self.rules = rules;
        }
    }

    /// A session after login: idle, detached. `parameters` are the values the client was told at login.
    pub fn new(rules: Rules, cache: Arc<StatementCache>, parameters: Parameters) -> Self {
        Self {
            rules,
            cache,
            pending: Pipeline::default(),
            batches: Batches::default(),
            unsynced: false,
            skipping: false,
            copy_in: false,
            flush_wanted: false,
            unnamed_ends: false,
            bound_ends: false,
            untouched: false,
            answered_before: 0,
            replay: Replay::No,
            place: Place::Unknown,
            fresh: false,
            as_sent: false,
            status: TransactionStatus::Idle,
            statements: ClientStatements::default(),
            parameters,
            startup: None,
            startup_name: None,
            reset_seen: false,
            restore: false,
            renamed: false,
            lost: None,
            held: None,
            wishes: Wishes::default(),
            whereabouts: None,
            own: None,
            reset_all_seen: false,
            read_only: OfClient::default(),
            tally: Tally::default(),
            host_error: false,
            owner: None,
            tracker: None,
        }
    }

    /// What the client asked for at startup, and its `application_name` if it gave one: what `RESET` returns to.
    pub fn with_startup(mut self, startup: Option<Arc<Startup>>, name: Option<Bytes>) -> Self {
        self.startup = startup;
        self.startup_name = name;
        self
    }

    /// What holds for its transactions unless they say otherwise, as asked for at startup.
    pub fn with_wishes(mut self, wishes: Wishes) -> Self {
        self.wishes = wishes;
        self
    }

    /// An answer to [`FromClient::Locate`](super::FromClient::Locate) that nobody took is old by now.
    pub fn forget_whereabouts(&mut self) {
        self.whereabouts = None;
    }

    /// Whether the client has changed its `application_name` since the last call.
    pub fn take_renamed(&mut self) -> bool {
        std::mem::take(&mut self.renamed)
    }

    /// The client's reported settings.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// What the client asked for at startup.
    pub fn startup(&self) -> Option<&Arc<Startup>> {
        self.startup.as_ref()
    }

    /// How many named statements the client holds.
    pub fn prepared_statements(&self) -> usize {
        self.statements.len()
    }

    /// Whether the client is inside a transaction block, as far as it was told.
    pub fn in_transaction(&self) -> bool {
        self.status != TransactionStatus::Idle
    }

    /// Whether a server could be given back now with nothing in flight on it.
    pub fn is_quiet(&self) -> bool {
        self.pending.is_empty() && !self.unsynced && !self.copy_in && !self.in_transaction()
    }

    /// Whether so much is unanswered that the client must wait: each request is remembered until its answer comes, and
    /// millions of the shortest fit into the sockets' buffers.
    pub fn is_full(&self) -> bool {
        self.pending.len() >= PIPELINE_LIMIT
    }

    /// Whether the server owes an answer.
    pub fn awaits_answer(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The counts since the last call.
    pub fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// Whether there was an error for which the server's host is to blame, since the last call.
    pub fn take_host_error(&mut self) -> bool {
        std::mem::take(&mut self.host_error)
    }

    /// A server was attached: brings it to the client's settings. `fresh`: nothing that the client was answered before
    /// still waits to be written, and its request was not moved too often.
    pub fn attached(
        &mut self,
        server: &mut ServerState,
        place: Place,
        fresh: bool,
        out: &mut Outbox,
    ) {
        server.had_client = true;
        self.place = place;
        self.fresh = fresh;
        self.untouched = true;
        self.answered_before = self.pending.len();
        self.replay = Replay::No;
        self.as_sent = false;
        self.restore = false;
        self.reset_seen = false;
        let mut sql = BytesMut::new();
        let extras = self.startup.as_ref().filter(|startup| !startup.extras().is_empty());
        if !server.in_force.suits(extras) {
            server.in_force.become_of(extras, &mut sql);
        }
        self.parameters.write_changes(&server.parameters, &mut sql);
        self.write_read_only(server, &mut sql);
        self.send_hidden(&sql, out);
        self.send_begin(&mut out.to_server);
    }

    /// The server was given back: who is idle holds no memory for requests.
    pub fn detached(&mut self) {
        self.pending.rest();
        self.place = Place::Unknown;
    }

    /// Sends a query of our own ahead of the client's next message.
    fn send_hidden(&mut self, sql: &[u8], out: &mut Outbox) {
        if !sql.is_empty() {
            frontend::query::write(&mut out.to_server, sql);
            self.pending.push(Expect::Parameters);
        }
    }

    /// The client has run `RESET` or `DISCARD ALL`, and the transaction is over. What went back to the server's own
    /// values goes back to what the client asked for at startup, and the client is told.
    pub(super) fn after_reset(&mut self, server: &ServerState, out: &mut Outbox) {
        let name =
            self.startup_name.as_ref().zip(self.parameters.tracked().index(b"application_name"));
        let name = name.map(|(value, index)| (index, value.clone()));
        let given = self.startup.iter().flat_map(|startup| startup.tracked()).cloned();
        for (index, value) in given.chain(name).collect::<Vec<_>>() {
            let now = self.parameters.at(index);
            if now != Some(&value) && now == server.defaults.at(index) {
                if let Some(name) = self.parameters.tracked().names().get(index) {
                    backend::parameter_status::write(&mut out.to_client, name.as_bytes(), &value);
                    self.renamed |= name == "application_name";
                }
                self.parameters.set(index, value);
            }
        }
        self.read_only.after_reset(server.read_only);
        self.restore = self.rules.mode == PoolMode::Session;
    }

    /// In session mode: sets again what a `RESET` has taken away, before the client's next message.
    pub(super) fn restore_startup(&mut self, server: &ServerState, out: &mut Outbox) {
        self.restore = false;
        let mut sql = BytesMut::new();
        if let Some(startup) = &self.startup {
            startup::write_restore(startup, &mut sql);
        }
        self.parameters.write_changes(&server.parameters, &mut sql);
        self.send_hidden(&sql, out);
    }

    /// Bytes have left for the server: from now on nothing can be taken back.
    pub fn committed(&mut self) {
        self.untouched = false;
    }

    /// Whether what was sent since the attachment may be wanted once more ([`Then::Replay`](super::Then::Replay)).
    pub fn may_replay(&self) -> bool {
        self.replay != Replay::No
    }

    /// Too much would have to be kept for it.
    pub fn give_up_replay(&mut self) {
        if self.replay == Replay::Possible {
            self.replay = Replay::No;
        }
    }

    /// Whether the client keeps its server until it leaves (session mode).
    pub fn keeps_server(&self) -> bool {
        self.rules.mode == PoolMode::Session
    }

    /// The server failed before a byte reached it: undoes all since the attachment, so that the same messages can be
    /// offered again with another server. `false` if something has already left; then see [`Self::server_lost`].
    pub fn rewind(&mut self) -> bool {
        if !self.untouched {
            return false;
        }
        self.batches.settle();
        self.track_again();
        while self.pending.len() > self.answered_before
            && let Some(entry) = self.pending.pop_last()
        {
            self.forget(entry, None);
        }
        self.unsynced = self.answered_before > 0;
        self.skipping = false;
        self.copy_in = false;
        self.replay = Replay::No;
        self.begin_again();
        true
    }
}

/// The body of a message that begins at its tag.
pub(super) fn body(message: &[u8]) -> &[u8] {
    message.get(5..).unwrap_or_default()
}

pub(super) fn name_end(body: &[u8]) -> Option<usize> {
    memchr::memchr(0, body)
}

pub(super) fn up_to_nul(text: &[u8]) -> &[u8] {
    text.get(..name_end(text).unwrap_or(text.len())).unwrap_or_default()
}
