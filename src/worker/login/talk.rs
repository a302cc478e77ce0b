//! A session on the console: questions and answers, in both protocols.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use pgweir_codec::backend::{
    self, ErrorResponse, ParameterDescription, Severity, TransactionStatus,
};
use pgweir_codec::error::DecodeError;
use pgweir_codec::frontend::{self, Target};
use pgweir_codec::sqlstate::SqlState;

use super::Guest;
use super::admit::write_welcome;
use super::end::{End, refused};
use crate::net::stream::{Socket, Stream};
use crate::worker::console::{Asker, Console, Form, Outcome, Right};
use crate::worker::handover;
use crate::worker::visitors::Doing;

/// A console client that is there; however it leaves, the console hears of it.
struct Present {
    console: Arc<dyn Console>,
    asker: Asker,
}

impl Drop for Present {
    fn drop(&mut self) {
        self.console.left(&self.asker);
    }
}

/// What a console client has prepared.
#[derive(Debug, Default)]
struct Prepared {
    statements: HashMap<Bytes, String>,
    portals: HashMap<Bytes, Portal>,
    /// Something was refused: all is skipped up to the next Sync.
    skipping: bool,
}

#[derive(Clone, Debug)]
struct Portal {
    query: String,
    formats: Vec<i16>,
}

impl Guest<'_> {
    pub(super) async fn serve_console(
        &mut self,
        right: Right,
        application_name: String,
        minor: u16,
    ) -> Result<(), End> {
        let Some(console) = self.shared.console.get().cloned() else { return Err(End::Left) };
        let greeting = console.greeting();
        let parameters = greeting.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let key = self.shared.draw_key(minor, None);
        let tls = self.stream.tls_description();
        self.visiting.note(|visit| {
            visit.doing = Doing::OnConsole;
            visit.application_name = application_name;
            (visit.tls, visit.key) = (tls, Some(key));
        });
        let mut out = BytesMut::new();
        write_welcome(&mut out, parameters, &key, "");
        self.send(&out).await?;
        let asker = Asker { right, label: self.label.clone(), id: self.holder.id };
        let present = Present { console, asker };
        let ended = self.talk(&*present.console, &present.asker).await;
        match ended {
            Ok(()) => Err(End::Over("client close request")),
            Err(End::Left) => Err(End::Over("client unexpected eof")),
            Err(end) => Err(end),
        }
    }

    async fn talk(&mut self, console: &dyn Console, asker: &Asker) -> Result<(), End> {
        let mut prepared = Prepared::default();
        let mut out = BytesMut::new();
        loop {
            let (tag, body) = self.console_message().await?;
            self.visiting.asks();
            let outcome = match tag {
                frontend::Terminate::TAG => return Ok(()),
                frontend::Query::TAG => {
                    prepared.skipping = false;
                    let text = lossy(frontend::query::text(&body));
                    let outcome = self.put(console, asker, &text, Form::Simple, &mut out).await;
                    if outcome != Outcome::End {
                        backend::ready_for_query::write(&mut out, TransactionStatus::Idle);
                    }
                    outcome
                }
                frontend::Sync::TAG => {
                    prepared.skipping = false;
                    backend::ready_for_query::write(&mut out, TransactionStatus::Idle);
                    Outcome::Done
                }
                _ if prepared.skipping => continue,
                frontend::Execute::TAG => match prepared.portal(body) {
                    Ok(portal) => {
                        let form = Form::Extended(&portal.formats);
                        self.put(console, asker, &portal.query, form, &mut out).await
                    }
                    Err(response) => failed(&response, &mut out),
                },
                frontend::Parse::TAG
                | frontend::Bind::TAG
                | frontend::Describe::TAG
                | frontend::Close::TAG => {
                    match prepared.message(tag, body, console, asker, &mut out) {
                        Ok(outcome) => outcome,
                        Err(response) => failed(&response, &mut out),
                    }
                }
                frontend::Flush::TAG => Outcome::Done,
                frontend::CopyData::TAG
                | frontend::CopyDone::TAG
                | frontend::CopyFail::TAG
                | frontend::FunctionCall::TAG
                | frontend::PasswordMessage::TAG => {
                    let text = format!("unsupported packet type for admin console: {tag}");
                    let code = SqlState::PROTOCOL_VIOLATION;
                    ErrorResponse::new(Severity::Error, code, text).encode(&mut out);
                    backend::ready_for_query::write(&mut out, TransactionStatus::Idle);
                    self.send(&out).await?;
                    return Err(refused(code, "bad packet"));
                }
                _ => return Err(refused(SqlState::PROTOCOL_VIOLATION, "unknown pkt")),
            };
            prepared.skipping |= outcome == Outcome::Failed && tag != frontend::Query::TAG;
            // The answers of a batch go out together.
            if matches!(tag, frontend::Query::TAG | frontend::Sync::TAG | frontend::Flush::TAG)
                || outcome == Outcome::End
            {
                self.send(&out).await?;
                out.clear();
            }
            match outcome {
                Outcome::End => return Ok(()),
                Outcome::HandOver => return self.hand_over(console.version()),
                Outcome::Done | Outcome::Failed => {}
            }
        }
    }

    /// The connection is a successor's from here on.
    fn hand_over(&mut self, version: &str) -> Result<(), End> {
        let stream = std::mem::replace(&mut self.stream, Stream::Plain(Socket::nowhere()));
        let Stream::Plain(socket) = stream else { return Err(End::Left) };
        let begun = socket
            .into_blocking_unix()
            .and_then(|socket| handover::begin(self.shared, socket, version));
        if let Err(error) = begun {
            tracing::error!(of = %self.label, "cannot hand over: {error}");
        }
        Ok(())
    }

    /// Has a query answered, unless a cancel request comes before.
    async fn put(
        &self,
        console: &dyn Console,
        asker: &Asker,
        query: &str,
        form: Form<'_>,
        out: &mut BytesMut,
    ) -> Outcome {
        self.visiting.forget_cancel();
        let begun = out.len();
        tokio::select! {
            outcome = console.answer(asker, query, form, out) => return outcome,
            () = self.visiting.cancelled() => {}
        }
        out.truncate(begun);
        let text = "canceling statement due to user request";
        failed(&ErrorResponse::new(Severity::Error, SqlState::QUERY_CANCELED, text), out)
    }
}

impl Prepared {
    /// The portal that an Execute names.
    fn portal(&self, body: Bytes) -> Result<Portal, ErrorResponse> {
        self.portal_named(&frontend::Execute::decode(body).map_err(broken)?.portal)
    }

    fn portal_named(&self, name: &Bytes) -> Result<Portal, ErrorResponse> {
        self.portals.get(name).cloned().ok_or_else(|| {
            let text = format!("portal \"{}\" does not exist", lossy(name));
            ErrorResponse::new(Severity::Error, SqlState::INVALID_CURSOR_NAME, text)
        })
    }

    fn message(
        &mut self,
        tag: u8,
        body: Bytes,
        console: &dyn Console,
        asker: &Asker,
        out: &mut BytesMut,
    ) -> Result<Outcome, ErrorResponse> {
        match tag {
            frontend::Parse::TAG => {
                let parse = frontend::Parse::decode(body).map_err(broken)?;
                self.statements.insert(parse.name, lossy(&parse.query));
                out.extend_from_slice(backend::PARSE_COMPLETE);
            }
            frontend::Bind::TAG => {
                let bind = frontend::Bind::decode(body).map_err(broken)?;
                if !bind.parameters.is_empty() {
                    let text = format!(
                        "bind message supplies {} parameters, but commands of the console have none",
                        bind.parameters.len()
                    );
                    let code = SqlState::PROTOCOL_VIOLATION;
                    return Err(ErrorResponse::new(Severity::Error, code, text));
                }
                let query = self.statement(&bind.statement)?.clone();
                self.portals.insert(bind.portal, Portal { query, formats: bind.result_formats });
                out.extend_from_slice(backend::BIND_COMPLETE);
            }
            frontend::Describe::TAG => {
                let describe = frontend::Describe::decode(body).map_err(broken)?;
                let (query, formats) = match describe.target {
                    Target::Statement => (self.statement(&describe.name)?.clone(), Vec::new()),
                    Target::Portal => {
                        let Portal { query, formats } = self.portal_named(&describe.name)?;
                        (query, formats)
                    }
                };
                let mut shape = BytesMut::new();
                let outcome = console.describe(asker, &query, &formats, &mut shape);
                if describe.target == Target::Statement && outcome == Outcome::Done {
                    ParameterDescription { types: Vec::new() }.encode(out);
                }
                out.extend_from_slice(&shape);
                return Ok(outcome);
            }
            _ => {
                let close = frontend::Close::decode(body).map_err(broken)?;
                match close.target {
                    Target::Statement => drop(self.statements.remove(&close.name)),
                    Target::Portal => drop(self.portals.remove(&close.name)),
                }
                out.extend_from_slice(backend::CLOSE_COMPLETE);
            }
        }
        Ok(Outcome::Done)
    }

    fn statement(&self, name: &Bytes) -> Result<&String, ErrorResponse> {
        self.statements.get(name).ok_or_else(|| {
            let text = format!("prepared statement \"{}\" does not exist", lossy(name));
            ErrorResponse::new(Severity::Error, SqlState::INVALID_SQL_STATEMENT_NAME, text)
        })
    }
}

fn broken(error: DecodeError) -> ErrorResponse {
    ErrorResponse::new(Severity::Error, SqlState::PROTOCOL_VIOLATION, error.to_string())
}

fn failed(response: &ErrorResponse, out: &mut BytesMut) -> Outcome {
    response.encode(out);
    Outcome::Failed
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
