//! When it goes wrong: a server that is lost, a client that is refused.

use std::task::Context;

use pgweir_codec::backend::{ErrorResponse, Severity};
use pgweir_codec::sqlstate::SqlState;

use super::{Exit, Relay};
use crate::metrics::MoveReason;
use crate::pool::AttachError;
use crate::pool::Lease;
use crate::routing::balance::blames_host;
use crate::session::{AfterLoss, Elsewhere, Place, Refusal};
use crate::worker::broken;
use crate::worker::phase::{Exceeded, Phase};

/// How many servers in a row may die before a byte reached them, until the client is told.
const REWINDS: u8 = 3;

/// What a client is told whose message is longer than `max_packet_size`, or of a kind that is switched off.
pub(super) fn out_of_bounds(message: &[u8], fits: bool) -> ErrorResponse {
    let fatal = |code, text: &str| ErrorResponse::new(Severity::Fatal, code, text);
    if fits {
        return fatal(SqlState::FEATURE_NOT_SUPPORTED, "PQexec disallowed")
            .hint("The administrator has set disable_pqexec: use the extended query protocol.");
    }
    bad_header(message).detail("The message is longer than max_packet_size.")
}

/// The refusal of a message that cannot be one, or is not allowed to be.
pub(super) fn bad_header(message: &[u8]) -> ErrorResponse {
    let text = broken::bad_header(message);
    ErrorResponse::new(Severity::Fatal, SqlState::PROTOCOL_VIOLATION, text)
}

impl Relay {
    /// The server is gone, or must not be used any more.
    pub(super) fn server_lost(
        &mut self,
        cx: &mut Context<'_>,
        words: Option<ErrorResponse>,
        reason: &str,
    ) -> Result<(), Exit> {
        let Some(mut lease) = self.lease.take() else { return Ok(()) };
        self.outstanding = None;
        let info = lease.connection().info.clone();
        lease.pool().doubt(&info.host);
        self.session.take_host_error();
        let blamed = words.as_ref().is_none_or(|words| blames_host(words.code().as_str()));
        if blamed && !info.is_doomed() {
            lease.pool().failed(self.now);
        }
        tracing::warn!(
            of = %self.info.label(),
            "lost its server S-{:#x} at {}: {reason}",
            info.id,
            info.host
        );
        lease.close(reason);
        self.release = false;
        self.want[1] = 0;
        let cut = self.to_client.is_cut();
        self.to_client.drop_input();
        if self.rewinds < REWINDS && self.session.rewind() && self.to_server.rewind() {
            // Nothing had left: the same messages are offered again, to another server.
            self.rewinds += 1;
            return Ok(());
        }
        if !cut && self.session.may_leave_replica() {
            self.access.moved(MoveReason::Lost);
            self.offer_again();
            return Ok(());
        }
        self.to_server.drop_output();
        // It may have been carried out all the same.
        self.note_write();
        let told = words.unwrap_or_else(|| {
            ErrorResponse::new(
                Severity::Error,
                SqlState::CONNECTION_FAILURE,
                "server conn crashed?",
            )
            .detail("The connection to the server was lost while a request was under way.")
            .hint(self.session.fate().hint())
        });
        let told = told.with_severity(Severity::Error);
        self.query_since = None;
        self.transaction_since = None;
        self.session.track_loss();
        self.count_executions();
        match self.session.server_lost(&told, cut, &mut self.out) {
            AfterLoss::GoesOn => {
                self.info.enter(Phase::Idle, self.now);
                self.insert_made();
                Ok(())
            }
            AfterLoss::Close if cut => Err(Exit::Refused(told.message())),
            AfterLoss::Close => Err(self.refuse(cx, &told.with_severity(Severity::Fatal))),
        }
    }

    /// Another host is to run what the client sent (see [`Elsewhere`]).
    pub(super) fn move_on(&mut self, why: Elsewhere) {
        let Some(mut lease) = self.lease.take() else { return };
        self.outstanding = None;
        let info = lease.connection().info.clone();
        tracing::info!(of = %self.info.label(), "moves on from {}: {}", info.host, why.words());
        self.access.moved(match why {
            Elsewhere::Demoted => {
                lease.pool().doubt(&info.host);
                self.misplaced_since.get_or_insert(self.now);
                MoveReason::Demoted
            }
            Elsewhere::Refused | Elsewhere::Unknown => {
                self.refused = Some(why);
                MoveReason::Refused
            }
            Elsewhere::Conflict => MoveReason::Conflict,
        });
        lease.close(why.words());
        self.offer_again();
    }

    /// The same messages are offered again, to another server, although they had left.
    fn offer_again(&mut self) {
        self.release = false;
        self.want[1] = 0;
        self.rewinds += 1;
        self.to_client.drop_input();
        self.to_client.take_back();
        self.session.take_back();
        self.to_server.rewind();
    }

    /// Whether what it sends next may be sent once more to another server, if it turns out to be misplaced.
    pub(super) fn may_be_moved(&mut self) -> bool {
        let limit = self.access.offer().failover_timeout;
        let patient = match self.misplaced_since {
            Some(since) => self.now.saturating_duration_since(since) < limit,
            None => self.rewinds < REWINDS,
        };
        patient && !self.to_client.has_output()
    }

    /// Its server may have said that its host has another role now: the monitor is told.
    pub(super) fn look_at_role(&self, lease: &mut Lease) {
        let state = &mut lease.connection().state;
        let believed = match self.session.place() {
            Place::Unknown => return,
            Place::Primary => Some(false),
            Place::Replica | Place::Guessed => Some(true),
        };
        if state.take_role_change() && state.in_hot_standby() != believed {
            let host = lease.connection().info.host.clone();
            lease.pool().doubt(&host);
        }
    }

    /// A limit of the client was found exceeded. If it has not gone on since then, it ends, and its server with it.
    pub(super) fn overdue(&mut self, cx: &mut Context<'_>) -> Result<(), Exit> {
        // This order may have taken the place of that one.
        self.look_whether_doomed(cx)?;
        let Some(exceeded) = self.info.clock.exceeded() else { return Ok(()) };
        let (code, text) = match exceeded {
            Exceeded::Query => (SqlState::QUERY_CANCELED, "query timeout"),
            Exceeded::IdleTransaction => {
                (SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT, "idle transaction timeout")
            }
            Exceeded::Transaction => (SqlState::TRANSACTION_TIMEOUT, "transaction timeout"),
            Exceeded::ClientIdle => (SqlState::IDLE_SESSION_TIMEOUT, "client_idle_timeout"),
        };
        if let Some(lease) = self.lease.take() {
            self.session.track_loss();
            self.count_executions();
            lease.close(text);
        }
        Err(self.refuse(cx, &ErrorResponse::new(Severity::Fatal, code, text)))
    }

    /// `server_fast_close`: the server is to be replaced. Outside a transaction it goes, and the client's session with it;
    /// in one, the order comes again.
    pub(super) fn part_with_server(&mut self, cx: &mut Context<'_>) -> Result<(), Exit> {
        self.look_whether_doomed(cx)?;
        let quiet = self.session.is_quiet() && !self.to_server.has_output();
        let Some(lease) =
            self.lease.take_if(|lease| quiet && lease.connection().info.close_needed())
        else {
            return Ok(());
        };
        let text = "database configuration changed";
        lease.close(text);
        Err(self.refuse(cx, &ErrorResponse::new(Severity::Fatal, SqlState::ADMIN_SHUTDOWN, text)))
    }

    pub(super) fn refuse_with(&mut self, cx: &mut Context<'_>, refusal: &Refusal) -> Exit {
        if matches!(refusal, Refusal::Server(_) | Refusal::UnexpectedServerMessage(_))
            && let Some(mut lease) = self.lease.take()
        {
            let info = lease.connection().info.clone();
            tracing::warn!(
                of = %self.info.label(),
                "closing its server S-{:#x} at {}: {refusal}",
                info.id,
                info.host
            );
            lease.close("server sent a message that makes no sense");
        }
        self.refuse(cx, &refusal.response())
    }

    pub(super) fn refuse_attach(&mut self, cx: &mut Context<'_>, error: &AttachError) -> Exit {
        tracing::warn!(of = %self.info.label(), "{error}");
        self.refuse(cx, &error.response())
    }

    /// Tells the client as far as it can be told without waiting.
    pub(super) fn refuse(&mut self, cx: &mut Context<'_>, response: &ErrorResponse) -> Exit {
        let cut = self.to_client.is_cut();
        self.to_client.drop_input();
        // Behind half a row it would be taken for the rest of the row.
        if !cut {
            response.encode(&mut self.out.to_client);
            self.insert_made();
            let _ = self.to_client.poll_write(cx, &mut self.client);
        }
        Exit::Refused(response.message())
    }
}
