//! `route_reads = auto` and `shadow`: whether what the client has sent is one statement outside of a block that only reads.

use std::sync::Arc;

use pgweir_codec::frontend::{self, Bind, Close, Describe, Execute, Parse, Query, Sync};
use pgweir_codec::head::Head;

use super::Relay;
use crate::config::RouteReads;
use crate::routing::Intent;
use crate::session::{Elsewhere, Session};
use crate::worker::access::Access;
use crate::worker::trials::Request;

impl Relay {
    /// The intent, if it says nothing itself: that of a read, if what is to be placed is one.
    pub(super) fn guess(&mut self, intent: Intent) -> Intent {
        if intent != Intent::Unstated || self.no_guess || self.session.keeps_server() {
            return intent;
        }
        if self.session.in_transaction() {
            return intent;
        }
        let Some((reads, mode)) = self.access.reads() else { return intent };
        let reads = reads.clone();
        let Some((text, types)) = lone_text(self.to_server.unseen(), &self.session) else {
            return intent;
        };
        if let Some(why) = self.refused.take() {
            self.no_guess = true;
            match why {
                Elsewhere::Unknown => reads.was_unknown(text, self.now),
                Elsewhere::Refused => reads.was_refused(text),
                Elsewhere::Demoted | Elsewhere::Conflict => {}
            }
            return intent;
        }
        let is_read = reads.only_reads(text);
        if !is_read && reads.wants_catalog(self.now) {
            let access = Access::new(&self.info.service, self.info.holder.id);
            tokio::spawn(reads.clone().learn(access));
        }
        if mode == RouteReads::Shadow {
            if let Some(number) = reads.see(text, is_read, self.now) {
                reads.request(Request {
                    number,
                    text: text.into(),
                    types: types.into(),
                    service: Arc::downgrade(&self.info.service),
                    parameters: self.session.parameters().clone(),
                    startup: self.session.startup().cloned(),
                });
            }
            if reads.begins_trials(self.now) {
                tokio::spawn(reads.try_all());
            }
            return intent;
        }
        if is_read { Intent::LooksReadOnly } else { intent }
    }
}

/// The text of the one statement that the bytes at hand ask for: a simple query, or a batch of the extended protocol
/// with a single Execute that has arrived up to its Sync. What else may be in it is not known: `None`. With what is said of
/// its parameters, as in [`frontend::parse::View::types`].
fn lone_text<'a>(mut bytes: &'a [u8], session: &'a Session) -> Option<(&'a [u8], &'a [u8])> {
    let (mut parsed, mut bound, mut executes) = (None, None, 0);
    loop {
        let head = Head::peek(bytes).ok()??;
        let message = bytes.get(..head.len)?;
        let body = message.get(Head::SIZE..)?;
        match head.tag {
            Query::TAG if parsed.is_none() && bound.is_none() && executes == 0 => {
                return Some((frontend::query::text(body), &[0, 0]));
            }
            Parse::TAG if parsed.is_none() => parsed = Some(frontend::parse::peek(body).ok()?),
            Bind::TAG if bound.is_none() => {
                let name = frontend::bind::peek_names(body).ok()??.statement;
                let here = parsed.as_ref().filter(|parsed| parsed.name == name);
                let here = here.map(|parsed| (parsed.query, parsed.types));
                bound = Some(here.or_else(|| session.statement_parts(name))?);
            }
            Describe::TAG | Close::TAG => {}
            Execute::TAG => executes += 1,
            Sync::TAG => return bound.filter(|_| executes == 1),
            _ => return None,
        }
        bytes = bytes.get(head.len..)?;
    }
}
