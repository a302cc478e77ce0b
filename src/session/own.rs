//! Commands for pgweir itself (`SET pgweir.route` and the like), answered without a server.
//!
//! Outside of a transaction, in both protocols. Inside one they go to PostgreSQL, to which `pgweir.route` is a setting of
//! somebody's like any other: where the transaction runs is decided already.

use bytes::{Bytes, BytesMut};
use pgweir_codec::backend::{
    self, CommandComplete, DataRow, ErrorResponse, RowDescription, Severity, TransactionStatus,
};
use pgweir_codec::frontend::Target as Described;
use pgweir_codec::sqlstate::SqlState;

use super::Outbox;
use super::machine::Session;
use super::pipeline::{Expect, Local};
use crate::routing::own::{OwnCommand, own_command, route_name};
use crate::routing::{Intent, Target};

/// Where a session's transactions are to run if they say nothing themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Route {
    now: Option<Target>,
    /// What `RESET` gives.
    asked: Option<Target>,
    /// What the unnamed statement is, if it is a command for us.
    pub(super) statement: Option<OwnCommand>,
}

impl Route {
    /// As asked for at startup.
    pub(super) fn asked(asked: Option<Target>) -> Self {
        Self { now: asked, asked, statement: None }
    }

    /// The intent of a transaction whose first text says this.
    pub(super) fn intent(&self, said: Intent) -> Intent {
        match (said, self.now) {
            (Intent::Hint(_), _) | (_, None) => said,
            (_, Some(target)) => Intent::Hint(target),
        }
    }

    fn apply(&mut self, command: &OwnCommand) {
        match command {
            OwnCommand::Set(target) => self.now = *target,
            OwnCommand::Reset => self.now = self.asked,
            OwnCommand::BadValue(_) | OwnCommand::Show(_) => {}
        }
    }

    /// The answer but for its ReadyForQuery; `Err`: an error.
    fn answer(&self, command: &OwnCommand) -> Result<BytesMut, BytesMut> {
        let mut out = BytesMut::new();
        let tag = match command {
            OwnCommand::Set(_) => "SET",
            OwnCommand::Reset => "RESET",
            OwnCommand::Show(_) => {
                let value = Bytes::from_static(route_name(self.now).as_bytes());
                DataRow { columns: vec![Some(value)] }.encode(&mut out);
                "SHOW"
            }
            OwnCommand::BadValue(value) => {
                let text = format!("invalid value for parameter \"pgweir.route\": \"{value}\"");
                ErrorResponse::new(Severity::Error, SqlState::INVALID_PARAMETER_VALUE, &text)
                    .hint("Available values: primary, replica, auto.")
                    .encode(&mut out);
                return Err(out);
            }
        };
        CommandComplete { tag: Bytes::from_static(tag.as_bytes()) }.encode(&mut out);
        Ok(out)
    }
}

fn describe(command: &OwnCommand, out: &mut BytesMut) {
    match command {
        OwnCommand::Show(name) => RowDescription::text(&[name]).encode(out),
        _ => out.extend_from_slice(backend::NO_DATA),
    }
}

impl Session {
    /// A simple query: answered here if it is for us.
    pub(super) fn own_query(&mut self, text: &[u8], out: &mut Outbox) -> bool {
        let Some(command) = own_command(text) else { return false };
        let to_client = &mut out.to_client;
        self.pending.write_due(to_client);
        self.route.apply(&command);
        if let OwnCommand::Show(_) = command {
            describe(&command, to_client);
        }
        to_client.extend_from_slice(&self.route.answer(&command).unwrap_or_else(|error| error));
        backend::ready_for_query::write(to_client, TransactionStatus::Idle);
        true
    }

    /// An unnamed Parse: answered here if it is for us.
    pub(super) fn own_parse(&mut self, text: &[u8]) -> bool {
        self.route.statement = own_command(text);
        let own = self.route.statement.is_some();
        if own {
            self.reply(Bytes::from_static(backend::PARSE_COMPLETE));
        }
        own
    }

    /// Whether the unnamed statement is a command for us.
    pub(super) fn is_own(&self, statement: &[u8]) -> bool {
        statement.is_empty() && self.route.statement.is_some()
    }

    pub(super) fn own_bind(&mut self) {
        self.reply(Bytes::from_static(backend::BIND_COMPLETE));
    }

    pub(super) fn own_describe(&mut self, what: Described) {
        let Some(command) = self.route.statement.clone() else { return };
        let mut out = BytesMut::new();
        if what == Described::Statement {
            backend::ParameterDescription { types: Vec::new() }.encode(&mut out);
        }
        describe(&command, &mut out);
        self.reply(out.freeze());
    }

    pub(super) fn own_execute(&mut self) {
        let Some(command) = self.route.statement.clone() else { return };
        self.route.apply(&command);
        let answer = self.route.answer(&command);
        // As PostgreSQL: nothing more of the batch is carried out.
        self.skipping = answer.is_err();
        self.reply(answer.unwrap_or_else(|error| error).freeze());
    }

    fn reply(&mut self, message: Bytes) {
        self.unsynced = true;
        self.pending.push(Expect::Local(Local::Reply(message)));
    }
}
