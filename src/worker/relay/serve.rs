//! The server's side: writing to it, reading from it, giving it back.

use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use pgweir_codec::backend::{CopyData, DataRow};
use pgweir_codec::error::DecodeError;
use pgweir_codec::head::Head;

use super::{Exit, Relay};
use crate::net::lane::Read;
use crate::pool::Lease;
use crate::session::{FromServer, Place, Refusal, Then};
use crate::worker::phase::Phase;

/// How many bytes of messages of the same kind stand whole behind this one, if it is one of a stream: what holds for
/// one row or piece of COPY data holds for those behind it.
pub(super) fn run_behind(unseen: &[u8], head: Head, stream: bool) -> usize {
    match unseen.get(head.len..) {
        Some(behind) if stream => Head::run(behind, head.tag),
        _ => 0,
    }
}

impl Relay {
    /// Writes to the server and reads from it.
    pub(super) fn serve(&mut self, cx: &mut Context<'_>) -> Result<bool, Exit> {
        let mut moved = self.write_to_server(cx)?;
        if self.release {
            self.give_back_if_done();
        }
        if self.lease.is_some() && !self.to_client.has_output() {
            moved |= self.read_from_server(cx)?;
        }
        Ok(moved)
    }

    pub(super) fn write_to_server(&mut self, cx: &mut Context<'_>) -> Result<bool, Exit> {
        if self.to_server.has_output()
            && let Some(lease) = &mut self.lease
        {
            match self.to_server.poll_write(cx, &mut lease.connection().stream) {
                Poll::Pending => {
                    if !self.to_server.is_marked() {
                        self.session.committed();
                    }
                }
                Poll::Ready(Ok(())) => {
                    self.session.committed();
                    return Ok(true);
                }
                Poll::Ready(Err(error)) => {
                    // It may have said why before it closed.
                    self.read_last_words(cx)?;
                    self.server_lost(cx, None, &error.to_string())?;
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    pub(super) fn read_from_server(&mut self, cx: &mut Context<'_>) -> Result<bool, Exit> {
        let Some(lease) = &mut self.lease else { return Ok(false) };
        if self.dry[1] {
            return Ok(false);
        }
        match self.to_client.poll_read(cx, &mut lease.connection().stream, self.want[1]) {
            Poll::Pending => {
                self.dry[1] = true;
                Ok(false)
            }
            Poll::Ready(Ok(Read::Bytes(count))) => {
                let metrics = lease.pool().metrics();
                metrics.sent_bytes.increment(count as u64);
                if std::mem::take(&mut self.is_first_byte_due)
                    && let Some(since) = self.query_since
                {
                    metrics.first_byte_time.record(self.now.saturating_duration_since(since));
                }
                self.look_at_server(cx)?;
                Ok(true)
            }
            Poll::Ready(Ok(Read::Closed)) => {
                self.server_lost(cx, None, "server closed the connection")?;
                Ok(true)
            }
            Poll::Ready(Err(error)) => {
                self.server_lost(cx, None, &error.to_string())?;
                Ok(true)
            }
        }
    }

    pub(super) fn read_last_words(&mut self, cx: &mut Context<'_>) -> Result<(), Exit> {
        while self.lease.is_some() && self.read_from_server(cx)? {}
        Ok(())
    }

    /// Hands the session every message that has arrived from the server.
    pub(super) fn look_at_server(&mut self, cx: &mut Context<'_>) -> Result<(), Exit> {
        while let Some(lease) = &mut self.lease {
            let unseen = self.to_client.unseen();
            let head = match Head::peek(unseen) {
                Ok(Some(head)) => head,
                Ok(None) => break,
                Err(error) => return Err(self.refuse_with(cx, &Refusal::Server(error))),
            };
            let bounds = self.access.bounds();
            if !bounds.fits(head) {
                let error = DecodeError::too_long(head.tag, head.len);
                return Err(self.refuse_with(cx, &Refusal::Server(error)));
            }
            let have = unseen.get(..head.len.min(unseen.len())).unwrap_or_default();
            let verdict = self.session.server_message(
                head,
                have,
                &mut lease.connection().state,
                &mut self.out,
            );
            let then = match verdict {
                FromServer::NeedMore(want) => {
                    self.want[1] = want;
                    break;
                }
                FromServer::Forward(then) => {
                    let stream =
                        matches!(head.tag, DataRow::TAG | CopyData::TAG) && bounds.are_wide();
                    let run = run_behind(unseen, head, stream);
                    self.insert_made();
                    self.to_client.forward(head.len + run);
                    self.session.passed_on(head.len + run);
                    then
                }
                FromServer::Swallow(then) => {
                    self.insert_made();
                    self.to_client.skip(head.len);
                    then
                }
                FromServer::LastWords(words) => {
                    self.to_client.skip(head.len);
                    return self.server_lost(cx, Some(words), "server said good-bye");
                }
                FromServer::CannotBegin(words) => {
                    self.to_client.skip(head.len);
                    return self.server_lost(cx, Some(words), "it refuses to begin a transaction");
                }
                FromServer::Elsewhere(why) => {
                    self.to_client.skip(head.len);
                    self.move_on(why);
                    return Ok(());
                }
                FromServer::Refuse(refusal) => return Err(self.refuse_with(cx, &refusal)),
            };
            self.want[1] = 0;
            if then == Then::Replay {
                self.to_client.take_back();
                self.to_server.rewind();
                return self.look_at_client(cx);
            }
            self.follow_up(then);
        }
        self.count_executions();
        if !self.session.may_replay() {
            self.to_server.let_go();
        }
        self.give_back_if_done();
        Ok(())
    }

    /// Counts what was answered with the bytes at hand (`SHOW QUERIES`).
    pub(super) fn count_executions(&mut self) {
        if self.session.has_executions() {
            self.session.take_executions(self.now.saturating_duration_since(self.answers_since));
            self.answers_since = self.now;
        }
    }

    /// Gives the server back if its transaction is over and all it has said was looked at.
    fn give_back_if_done(&mut self) {
        if self.release && self.to_client.unseen().is_empty() && self.server_is_clean() {
            self.give_back();
        }
    }

    /// Whether another client could have the server now: nothing is unanswered, and it was sent no half message. A COPY
    /// that fails ends the transaction while the client is still in the middle of its data.
    pub(super) fn server_is_clean(&self) -> bool {
        self.session.is_quiet()
            && !self.to_client.mid_message()
            && !self.to_server.has_output()
            && !self.to_server.mid_message()
    }

    /// Gives a clean server back, reset where that is asked for.
    pub(super) fn return_to_pool(&mut self, lease: Lease) {
        if self.session.keeps_server() || self.access.offer().reset_always {
            lease.reset_and_give_back();
        } else {
            lease.give_back(self.now);
        }
    }

    pub(super) fn follow_up(&mut self, then: Then) {
        if then == Then::GoOn {
            return;
        }
        let Some(lease) = &mut self.lease else { return };
        if let Some(since) = self.query_since.take() {
            let took = self.now.saturating_duration_since(since);
            lease.pool().metrics().query_time.record(took);
            if self.outstanding.is_some() {
                lease.pool().load().answered(took, self.now);
            }
        }
        if self.session.take_host_error() {
            lease.pool().failed(self.now);
        }
        let over = then == Then::Release || !self.session.in_transaction();
        if over && let Some(since) = self.transaction_since.take() {
            let took = self.now.saturating_duration_since(since);
            lease.pool().metrics().transaction_time.record(took);
        }
        self.release = then == Then::Release;
        let phase = match then {
            Then::Release => Phase::Idle,
            _ if self.session.awaits_answer() => Phase::Running,
            _ if self.session.in_transaction() => Phase::InTransaction,
            _ => Phase::Holding,
        };
        match phase {
            // The next of a pipeline, and a transaction of its own.
            Phase::Running if over => {
                self.transaction_since = Some(self.now);
                self.info.clock.run(true, self.info.age(self.now));
            }
            phase => self.info.enter(phase, self.now),
        }
        if self.session.take_renamed()
            && let Some(name) = self.session.parameters().value(b"application_name")
        {
            self.info.rename(name);
        }
        let tally = self.session.take_tally();
        if tally.client_parses + tally.server_parses + tally.binds > 0 {
            let metrics = lease.pool().metrics();
            metrics.client_parses.increment(tally.client_parses);
            metrics.server_parses.increment(tally.server_parses);
            metrics.binds.increment(tally.binds);
            metrics.evictions.increment(tally.evictions);
            let server = lease.connection();
            server.info.set_prepared(server.state.statements.len());
            let held = u32::try_from(self.session.prepared_statements()).unwrap_or(u32::MAX);
            self.info.prepared.store(held, Ordering::Relaxed);
        }
    }

    /// The transaction that ends may have written: what its client reads next shall have it.
    pub(super) fn note_write(&mut self) {
        if self.session.place() == Place::Primary && !self.reading {
            self.access.wrote();
        }
        self.show_needs();
    }

    /// What its reads have to see at least is what it has said.
    pub(super) fn heed_min_lsn(&mut self) {
        self.access.see_at_least(self.session.min_lsn());
        self.show_needs();
    }

    fn show_needs(&self) {
        let needs = self.access.needs().unwrap_or(0);
        if self.info.needs.load(Ordering::Relaxed) != needs {
            self.info.needs.store(needs, Ordering::Relaxed);
        }
    }

    pub(super) fn give_back(&mut self) {
        self.release = false;
        self.rewinds = 0;
        self.misplaced_since = None;
        self.no_guess = false;
        self.refused = None;
        self.outstanding = None;
        self.to_server.unmark();
        if let Some(mut lease) = self.lease.take() {
            self.look_at_role(&mut lease);
            self.note_write();
            self.session.detached();
            self.return_to_pool(lease);
        }
    }
}
