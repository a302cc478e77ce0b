//! Commands for pgweir itself (`SET pgweir.route` and the like), answered without a server. `SHOW pgweir.lsn` alone has to
//! be told first where the primary is ([`FromClient::Locate`]).
//!
//! In all modes, in both protocols, and inside of transactions too: PostgreSQL would take the setting for somebody's, keep
//! it on a server that others use, and not know it where it was not set. The answer comes in its turn: a simple query
//! waits until all before it was answered, the parts of a batch stand in the queue of what is unanswered.
//!
//! What is set holds for the next transaction that is given a server, and is not undone by a ROLLBACK. A value that there is
//! not is an error, but does not fail the transaction: its server knows nothing of it. In a failed transaction PostgreSQL
//! says what it says to all.

use bytes::{Bytes, BytesMut};
use pgweir_codec::backend::{
    self, CommandComplete, DataRow, ErrorResponse, NoticeResponse, RowDescription, Severity,
    TransactionStatus,
};
use pgweir_codec::frontend::{self, Target as Described};
use pgweir_codec::sqlstate::SqlState;

use super::Outbox;
use super::begin::Held;
use super::machine::Session;
use super::pipeline::{Expect, Local};
use super::verdict::FromClient;
use crate::routing::causal::Token;
use crate::routing::own::{LSN, MIN_LSN, OwnCommand, Setting, Value, own_command, route_name};
use crate::routing::{Intent, Target};

/// Something that a session has said of all its transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish<T> {
    /// What holds.
    pub(super) now: Option<T>,
    /// As asked for at startup: what `RESET` gives.
    pub(super) asked: Option<T>,
}

impl<T: Copy> Wish<T> {
    /// As asked for at startup.
    fn asked(asked: Option<T>) -> Self {
        Self { now: asked, asked }
    }

    fn reset(&mut self) {
        self.now = self.asked;
    }
}

impl<T> Default for Wish<T> {
    fn default() -> Self {
        Self { now: None, asked: None }
    }
}

/// What few sessions have, and costs the others a pointer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rare<T>(Option<Box<T>>);

impl<T: Copy + Default + PartialEq> Rare<T> {
    pub(super) fn get(&self) -> T {
        self.0.as_deref().copied().unwrap_or_default()
    }

    pub(super) fn change(&mut self, change: impl FnOnce(&mut T)) {
        let mut value = self.get();
        change(&mut value);
        *self = Self::from(value);
    }
}

impl<T: Default + PartialEq> From<T> for Rare<T> {
    fn from(value: T) -> Self {
        Self((value != T::default()).then(|| Box::new(value)))
    }
}

/// All that a session has said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Where its transactions are to run if they say nothing themselves.
    pub(super) route: Wish<Target>,
    /// What its reads have to see at least.
    pub(super) min_lsn: Rare<Wish<Token>>,
}

impl Wishes {
    /// As asked for at startup.
    pub fn asked(route: Option<Target>, min_lsn: Option<Token>) -> Self {
        Self { route: Wish::asked(route), min_lsn: Rare::from(Wish::asked(min_lsn)) }
    }

    /// Whether any of it needs an entry that follows roles.
    pub fn follow_roles(&self) -> bool {
        self.min_lsn.get().now.is_some()
    }

    /// What `RESET` gives.
    fn asked_for(&self, setting: Setting) -> Value {
        match setting {
            Setting::Route => Value::Route(self.route.asked),
            Setting::MinLsn => Value::MinLsn(self.min_lsn.get().asked),
        }
    }

    /// `RESET ALL`, `DISCARD ALL`.
    pub(super) fn reset(&mut self) {
        self.route.reset();
        self.min_lsn.change(Wish::reset);
    }

    /// The intent of a transaction whose first text says this. `local`: what holds for this transaction alone.
    pub(super) fn intent(&self, said: Intent, local: Option<Option<Target>>) -> Intent {
        match (said, local.unwrap_or(self.route.now)) {
            (Intent::Hint(_), _) | (_, None) => said,
            (_, Some(target)) => Intent::Hint(target),
        }
    }
}

/// Where the primary is, as the client is told by `SHOW pgweir.lsn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// There, or further, after all that was committed when it was asked for.
    At(Token),
    /// Nobody knows: the entry follows no roles.
    NotFollowed,
}

/// What a client is told who wants what only an entry that follows roles has.
pub fn not_followed(severity: Severity, name: &str) -> ErrorResponse {
    let text = format!("\"{name}\" needs a database entry that follows the primary");
    ErrorResponse::new(severity, SqlState::FEATURE_NOT_SUPPORTED, &text)
        .hint("Name its hosts and target_session_attrs in [databases] of pgweir.")
}

/// What a client is told who wants to set what cannot be set.
pub fn fixed(severity: Severity, name: &str) -> ErrorResponse {
    let text = format!("parameter \"{name}\" cannot be changed");
    ErrorResponse::new(severity, SqlState::CANT_CHANGE_RUNTIME_PARAM, &text)
}

/// What a client is told who asks where the primary is behind a COMMIT that may not be done yet.
fn too_early() -> ErrorResponse {
    let text = format!("\"{LSN}\" cannot be told behind a COMMIT in the same batch");
    ErrorResponse::new(Severity::Error, SqlState::FEATURE_NOT_SUPPORTED, &text)
        .hint("Send a Sync after the COMMIT.")
}

/// What a client is told whose value there is not.
pub fn bad_value(severity: Severity, name: &str, value: &str) -> ErrorResponse {
    let text = format!("invalid value for parameter \"{name}\": \"{value}\"");
    let hint = Setting::called(name).map_or("", Setting::hint);
    ErrorResponse::new(severity, SqlState::INVALID_PARAMETER_VALUE, &text).hint(hint)
}

/// Statements that are commands for us, and the portal that runs without a server.
#[derive(Debug, Default)]
pub(super) struct OwnStatements {
    /// By the client's names. No driver has more than a few.
    statements: Vec<(Box<[u8]>, OwnCommand)>,
    portal: Option<(Box<[u8]>, Portal)>,
}

/// What was bound.
#[derive(Clone, Debug)]
pub(super) enum Portal {
    /// A command for us.
    Command(OwnCommand),
    /// A BEGIN that is to be held back.
    Begin(Held),
}

impl OwnStatements {
    /// Prepared before, in another process.
    pub(super) fn of(statements: Vec<(Box<[u8]>, OwnCommand)>) -> Self {
        Self { statements, portal: None }
    }

    /// Names and texts.
    pub(super) fn texts(&self) -> impl Iterator<Item = (Bytes, Bytes)> {
        self.statements
            .iter()
            .map(|(name, command)| (Bytes::copy_from_slice(name), Bytes::from(command.text())))
    }

    fn forget(&mut self, name: &[u8]) -> bool {
        let before = self.statements.len();
        self.statements.retain(|(known, _)| &known[..] != name);
        self.statements.len() < before
    }

    fn forget_portal(&mut self, name: &[u8]) -> bool {
        self.portal.take_if(|(known, _)| &known[..] == name).is_some()
    }
}

impl Session {
    /// A simple query, all of it: answered here if it is for us. `None`: it is not.
    pub(super) fn own_query(
        &mut self,
        text: &[u8],
        attached: bool,
        out: &mut Outbox,
    ) -> Option<FromClient> {
        let command = own_command(text)?;
        if self.status == TransactionStatus::Failed || attached && self.unsynced {
            return None;
        }
        if attached && !self.pending.is_empty() {
            return Some(FromClient::Wait);
        }
        if self.lacks_whereabouts(&command) {
            return Some(FromClient::Locate);
        }
        self.pending.write_due(&mut out.to_client);
        let answer = self.carry_out(&command, attached);
        if let (OwnCommand::Show(_), Ok(_)) = (&command, &answer) {
            describe(&command, &mut out.to_client);
        }
        out.to_client.extend_from_slice(&answer.unwrap_or_else(|error| error));
        backend::ready_for_query::write(&mut out.to_client, self.status);
        Some(FromClient::Swallow)
    }

    /// The body of a Parse, all of it: answered here if it is for us.
    pub(super) fn own_parse(&mut self, body: &[u8]) -> bool {
        // What makes no sense is left to the server.
        let Ok(view) = frontend::parse::peek(body) else { return false };
        let name = view.name;
        if let Some(own) = &mut self.own {
            own.forget(name);
        }
        let Some(command) = own_command(view.query) else { return false };
        let taken = !name.is_empty() && self.statements.find(name).is_some();
        if taken || self.status == TransactionStatus::Failed {
            return false;
        }
        if name.is_empty() {
            self.unnamed_is_gone();
        }
        self.own.get_or_insert_default().statements.push((name.into(), command));
        self.reply(Bytes::from_static(backend::PARSE_COMPLETE));
        true
    }

    /// Answers a Bind of a statement that is for us.
    pub(super) fn own_bind(&mut self, portal: &[u8], statement: &[u8]) -> bool {
        let Some(own) = &mut self.own else { return false };
        own.forget_portal(portal);
        let known = own.statements.iter().find(|(name, _)| &name[..] == statement);
        let Some((_, command)) = known else { return false };
        own.portal = Some((portal.into(), Portal::Command(command.clone())));
        self.reply(Bytes::from_static(backend::BIND_COMPLETE));
        true
    }

    /// A portal that needs no server was bound.
    pub(super) fn bind_here(&mut self, portal: &[u8], what: Portal) {
        self.own.get_or_insert_default().portal = Some((portal.into(), what));
        self.reply(Bytes::from_static(backend::BIND_COMPLETE));
    }

    /// Answers a Describe of a statement or a portal that needs no server.
    pub(super) fn own_describe(&mut self, what: Described, name: &[u8]) -> bool {
        let Some(own) = &self.own else { return false };
        let command = match (what, &own.portal) {
            (Described::Statement, _) => own
                .statements
                .iter()
                .find(|(known, _)| &known[..] == name)
                .map(|(_, command)| Some(command)),
            (Described::Portal, Some((known, portal))) if &known[..] == name => match portal {
                Portal::Command(command) => Some(Some(command)),
                Portal::Begin(_) => Some(None),
            },
            (Described::Portal, _) => None,
        };
        let Some(command) = command else { return false };
        let mut out = BytesMut::new();
        if what == Described::Statement {
            backend::ParameterDescription { types: Vec::new() }.encode(&mut out);
        }
        match command {
            Some(command) => describe(command, &mut out),
            None => out.extend_from_slice(backend::NO_DATA),
        }
        self.reply(out.freeze());
        true
    }

    /// Answers a Close of a statement or a portal that no server knows.
    pub(super) fn own_close(&mut self, what: Described, name: &[u8]) -> bool {
        let Some(own) = &mut self.own else { return false };
        let known = match what {
            Described::Statement => own.forget(name),
            Described::Portal => own.forget_portal(name),
        };
        if known {
            self.reply(Bytes::from_static(backend::CLOSE_COMPLETE));
        }
        known
    }

    /// Whether some portal is bound that needs no server.
    pub(super) fn has_own_portal(&self) -> bool {
        self.own.as_ref().is_some_and(|own| own.portal.is_some())
    }

    /// Carries out the portal, if it needs no server. `None`: it is not for us.
    pub(super) fn own_execute(&mut self, portal: &[u8], attached: bool) -> Option<FromClient> {
        let bound = self.own.as_ref().and_then(|own| own.portal.as_ref());
        let (_, what) = bound.filter(|(known, _)| &known[..] == portal)?;
        match what.clone() {
            Portal::Command(command) => {
                if self.lacks_whereabouts(&command) {
                    // What the client sent before may be committed first.
                    if attached && self.pending.any(Expect::may_commit) {
                        return Some(FromClient::Wait);
                    }
                    // And nobody can wait for what is answered with the Sync alone.
                    if attached && self.pending.any(Expect::commits_unsaid) {
                        self.skipping = true;
                        let mut message = BytesMut::new();
                        too_early().encode(&mut message);
                        self.queue_reply(Local::Reply { message: message.freeze(), undo: None });
                        return Some(FromClient::Swallow);
                    }
                    return Some(FromClient::Locate);
                }
                let before = self.wishes.clone();
                let answer = self.carry_out(&command, attached);
                // As PostgreSQL: nothing more of the batch is carried out.
                self.skipping = answer.is_err();
                let message = answer.unwrap_or_else(|error| error).freeze();
                let undo = (self.wishes != before).then(|| Box::new(before));
                self.queue_reply(Local::Reply { message, undo });
            }
            Portal::Begin(held) => {
                let complete = self.hold(held);
                self.reply(Bytes::from_static(complete));
            }
        }
        Some(FromClient::Swallow)
    }

    /// Whether it is asked where the primary is, and that is not known yet.
    fn lacks_whereabouts(&self, command: &OwnCommand) -> bool {
        matches!(command, OwnCommand::Show(LSN)) && self.whereabouts.is_none()
    }

    /// The answer to [`FromClient::Locate`].
    pub fn locate(&mut self, whereabouts: Whereabouts) {
        self.whereabouts = Some(Box::new(whereabouts));
    }

    /// What the reads of the transaction that comes next, or is open, have to see at least.
    pub fn min_lsn(&self) -> Option<Token> {
        let local = self.held.as_ref().and_then(Held::min_lsn);
        local.unwrap_or(self.wishes.min_lsn.get().now)
    }

    /// The batch is over: a portal lives as long as its transaction.
    pub(super) fn end_own_portal(&mut self) {
        if !self.in_transaction()
            && let Some(own) = &mut self.own
        {
            own.portal = None;
        }
    }

    /// Carries out a command. The answer but for its ReadyForQuery; `Err`: an error.
    fn carry_out(&mut self, command: &OwnCommand, attached: bool) -> Result<BytesMut, BytesMut> {
        let mut out = BytesMut::new();
        if let OwnCommand::Set(Value::MinLsn(Some(_)))
        | OwnCommand::SetLocal(Value::MinLsn(Some(_))) = command
            && !self.rules.outlives_server
        {
            not_followed(Severity::Error, MIN_LSN).encode(&mut out);
            return Err(out);
        }
        let tag = match command {
            OwnCommand::Set(value) => {
                self.wish(*value);
                "SET"
            }
            OwnCommand::SetLocal(value) => {
                self.wish_locally(*value, attached, &mut out);
                "SET"
            }
            OwnCommand::Reset(setting) => {
                self.wish(self.wishes.asked_for(*setting));
                "RESET"
            }
            OwnCommand::ResetLocal(setting) => {
                self.wish_locally(self.wishes.asked_for(*setting), attached, &mut out);
                "SET"
            }
            OwnCommand::Show(LSN) => match self.whereabouts.take().map(|told| *told) {
                Some(Whereabouts::At(token)) => {
                    shown(&token.to_string(), &mut out);
                    "SHOW"
                }
                Some(Whereabouts::NotFollowed) | None => {
                    not_followed(Severity::Error, LSN).encode(&mut out);
                    return Err(out);
                }
            },
            OwnCommand::Show(MIN_LSN) => {
                let token = self.min_lsn().map(|token| token.to_string());
                shown(&token.unwrap_or_default(), &mut out);
                "SHOW"
            }
            OwnCommand::Show(_) => {
                shown(route_name(self.wishes.route.now), &mut out);
                "SHOW"
            }
            OwnCommand::BadValue { name, value } => {
                bad_value(Severity::Error, name, value).encode(&mut out);
                return Err(out);
            }
            OwnCommand::Fixed(name) => {
                fixed(Severity::Error, name).encode(&mut out);
                return Err(out);
            }
        };
        CommandComplete { tag: Bytes::from_static(tag.as_bytes()) }.encode(&mut out);
        Ok(out)
    }

    fn wish(&mut self, value: Value) {
        match value {
            Value::Route(target) => self.wishes.route.now = target,
            Value::MinLsn(token) => self.wishes.min_lsn.change(|wish| wish.now = token),
        }
    }

    fn wish_locally(&mut self, value: Value, attached: bool, out: &mut BytesMut) {
        match &mut self.held {
            Some(held) if !attached => held.place(value),
            _ => warn(self.in_transaction(), out),
        }
    }

    /// Queues an answer of ours behind what is unanswered.
    pub(super) fn reply(&mut self, message: Bytes) {
        self.queue_reply(Local::Reply { message, undo: None });
    }

    fn queue_reply(&mut self, reply: Local) {
        self.unsynced = true;
        self.pending.push(Expect::Local(reply));
    }
}

fn shown(value: &str, out: &mut BytesMut) {
    DataRow { columns: vec![Some(Bytes::copy_from_slice(value.as_bytes()))] }.encode(out);
}

fn describe(command: &OwnCommand, out: &mut BytesMut) {
    match command {
        OwnCommand::Show(name) => RowDescription::text(&[name]).encode(out),
        _ => out.extend_from_slice(backend::NO_DATA),
    }
}

/// `SET LOCAL` that has no effect; as PostgreSQL says it, where it says something.
fn warn(in_transaction: bool, out: &mut BytesMut) {
    let (code, text) = if in_transaction {
        (SqlState::WARNING, "SET LOCAL comes too late: the transaction runs on its server already")
    } else {
        (SqlState::NO_ACTIVE_SQL_TRANSACTION, "SET LOCAL can only be used in transaction blocks")
    };
    NoticeResponse::new(Severity::Warning, code, text).encode(out);
}
