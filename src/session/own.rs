//! Commands for pgweir itself (`SET pgweir.route` and the like), answered without a server.
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
use crate::routing::own::{OwnCommand, ROUTES_HINT, own_command, route_name};
use crate::routing::{Intent, Target};

/// Where a session's transactions are to run if they say nothing themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Route {
    now: Option<Target>,
    /// What `RESET` gives.
    asked: Option<Target>,
}

impl Route {
    /// As asked for at startup.
    pub(super) fn asked(asked: Option<Target>) -> Self {
        Self { now: asked, asked }
    }

    /// `RESET`, `RESET ALL`, `DISCARD ALL`.
    /// Now, and as asked for at startup.
    pub(super) fn of(now: Option<Target>, asked: Option<Target>) -> Self {
        Self { now, asked }
    }

    /// Where they run now.
    pub(super) fn now(self) -> Option<Target> {
        self.now
    }

    /// Where they were asked to run at startup.
    pub(super) fn asked_for(self) -> Option<Target> {
        self.asked
    }

    pub(super) fn reset(&mut self) {
        self.now = self.asked;
    }

    /// The intent of a transaction whose first text says this. `local`: what holds for this transaction alone.
    pub(super) fn intent(&self, said: Intent, local: Option<Option<Target>>) -> Intent {
        match (said, local.unwrap_or(self.now)) {
            (Intent::Hint(_), _) | (_, None) => said,
            (_, Some(target)) => Intent::Hint(target),
        }
    }
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
        self.pending.write_due(&mut out.to_client);
        let answer = self.carry_out(&command, attached);
        if let OwnCommand::Show(_) = command {
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

    /// Carries out the portal, if it needs no server.
    pub(super) fn own_execute(&mut self, portal: &[u8], attached: bool) -> bool {
        let bound = self.own.as_ref().and_then(|own| own.portal.as_ref());
        let Some((_, what)) = bound.filter(|(known, _)| &known[..] == portal) else { return false };
        match what.clone() {
            Portal::Command(command) => {
                let undo = Some(self.route);
                let answer = self.carry_out(&command, attached);
                // As PostgreSQL: nothing more of the batch is carried out.
                self.skipping = answer.is_err();
                let message = answer.unwrap_or_else(|error| error).freeze();
                self.queue_reply(Local::Reply { message, undo });
            }
            Portal::Begin(held) => {
                let complete = self.hold(held);
                self.reply(Bytes::from_static(complete));
            }
        }
        true
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
        let tag = match command {
            OwnCommand::Set(target) => {
                self.route.now = *target;
                "SET"
            }
            OwnCommand::SetLocal(target) => {
                match &mut self.held {
                    Some(held) if !attached => held.place(*target),
                    _ => warn(self.in_transaction(), &mut out),
                }
                "SET"
            }
            OwnCommand::Reset => {
                self.route.reset();
                "RESET"
            }
            OwnCommand::Show(_) => {
                let value = Bytes::from_static(route_name(self.route.now).as_bytes());
                DataRow { columns: vec![Some(value)] }.encode(&mut out);
                "SHOW"
            }
            OwnCommand::BadValue { name, value } => {
                let text = format!("invalid value for parameter \"{name}\": \"{value}\"");
                ErrorResponse::new(Severity::Error, SqlState::INVALID_PARAMETER_VALUE, &text)
                    .hint(ROUTES_HINT)
                    .encode(&mut out);
                return Err(out);
            }
        };
        CommandComplete { tag: Bytes::from_static(tag.as_bytes()) }.encode(&mut out);
        Ok(out)
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
