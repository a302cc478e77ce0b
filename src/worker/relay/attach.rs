//! Getting a server: from a pool at once, in its queue, or held until a host of the kind that is needed is there.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use pgweir_codec::backend::{ErrorResponse, NoticeResponse, Severity};
use pgweir_codec::sqlstate::SqlState;

use super::{Exit, Relay};
use crate::net::clock;
use crate::pool::attach::Attaching;
use crate::pool::keep::{Claim, Kept};
use crate::pool::load::Outstanding;
use crate::pool::{AttachError, Lease, Pool};
use crate::routing::{Intent, Target};
use crate::session::Place;
use crate::worker::access::{Choice, Held, hold};
use crate::worker::phase::Phase;

/// Waiting for a server.
pub(super) enum Wait {
    /// In a pool's queue.
    InQueue(Attaching),
    /// To hear where the primary is after this moment, for its `SHOW pgweir.lsn`.
    Locating { after: Instant, look: Pin<Box<dyn Future<Output = ()> + Send>> },
    /// For a host of the kind that is needed.
    Held { primary: bool, look: Pin<Box<dyn Future<Output = ()> + Send>> },
}

pub(super) struct Waiting {
    pub(super) intent: Intent,
    since: Instant,
    /// Since the first hold: the budget is one for the whole wait.
    held: Option<Held>,
    wait: Wait,
}

impl Wait {
    /// It has come to nothing.
    fn failed(&self, since: Instant, now: Instant) {
        if let Self::InQueue(attaching) = self {
            let time = now.saturating_duration_since(since);
            attaching.pool().metrics().wait_failed(time);
        }
    }
}

impl Waiting {
    /// Its client leaves.
    pub(super) fn abandon(self, now: Instant) {
        self.wait.failed(self.since, now);
    }
}

impl Relay {
    pub(super) fn attach(&mut self, cx: &mut Context<'_>, intent: Intent) -> Result<(), Exit> {
        self.transaction_since = Some(self.now);
        let rules = self.access.offer().rules();
        self.session.follow(rules);
        if self.misplaced_since.is_some() {
            // The monitors are about to tell who the primary is; until then it would go to the same host again.
            self.begin_hold(intent, self.now, None, true);
            return Ok(());
        }
        let intent = self.guess(intent);
        self.reading = matches!(
            intent,
            Intent::ReadOnly | Intent::LooksReadOnly | Intent::Hint(Target::Replica)
        );
        self.access.see_at_least(self.session.min_lsn());
        let kept = self.kept.take();
        match self.access.choose(intent, self.now) {
            Choice::Pool(pool) => {
                self.count_on(&pool);
                if let Some(kept) = kept
                    && let Some(done) = self.claim(cx, kept, &pool, intent)
                {
                    return done;
                }
                match pool.try_attach(self.now) {
                    Some(lease) => self.attached(cx, lease, self.now),
                    None => {
                        let wait = pool.attach(self.info.holder.id, self.now);
                        self.wait(cx, intent, self.now, None, wait)
                    }
                }
            }
            Choice::Hold { primary } => {
                self.begin_hold(intent, self.now, None, primary);
                Ok(())
            }
            Choice::NoReplica => {
                let error = self.access.no_replica();
                Err(self.refuse_attach(cx, &error))
            }
            Choice::Removed => Err(self.refuse_attach(cx, &AttachError::DatabaseGone)),
        }
    }

    /// Counts the transaction for the choice among several hosts, where there is one.
    fn count_on(&mut self, pool: &Arc<Pool>) {
        self.outstanding = None;
        if self.access.place() != Place::Unknown {
            self.outstanding = Some(Outstanding::on(pool));
        }
    }

    /// The first use of the server that was kept for the client; `None` if it is to have another one.
    fn claim(
        &mut self,
        cx: &mut Context<'_>,
        kept: Kept,
        pool: &Arc<Pool>,
        intent: Intent,
    ) -> Option<Result<(), Exit>> {
        match kept.claim(pool, self.now) {
            Claim::Server(lease) => Some(self.attached(cx, lease, self.now)),
            Claim::Checking(checking) => Some(self.wait(cx, intent, self.now, None, Ok(checking))),
            Claim::Ended(words) => self.kept_ended(cx, *words).err().map(Err),
            Claim::Gone => None,
        }
    }

    /// A look at the server that is kept for the client: has it ended?
    pub(super) fn look_at_kept(&mut self, cx: &mut Context<'_>) -> Result<(), Exit> {
        let Some(words) = self.kept.as_ref().and_then(Kept::ended) else { return Ok(()) };
        self.kept = None;
        words.map_or(Ok(()), |words| self.kept_ended(cx, words))
    }

    /// PostgreSQL has ended the server that is kept for the client, which ends the client as it would have without us.
    /// Not where the entry follows roles: a switch-over says the same, and there is nothing to lose yet.
    fn kept_ended(&mut self, cx: &mut Context<'_>, words: ErrorResponse) -> Result<(), Exit> {
        if self.access.offer().tracking.is_some() {
            return Ok(());
        }
        Err(self.refuse(cx, &words.with_severity(Severity::Fatal)))
    }

    pub(super) fn wait(
        &mut self,
        cx: &mut Context<'_>,
        intent: Intent,
        since: Instant,
        held: Option<Held>,
        queue: Result<Attaching, AttachError>,
    ) -> Result<(), Exit> {
        match queue {
            Ok(attaching) => {
                self.info.enter(Phase::Waiting, since);
                self.waiting =
                    Some(Waiting { intent, since, held, wait: Wait::InQueue(attaching) });
                Ok(())
            }
            Err(AttachError::HostGone) => {
                self.begin_hold(intent, since, held, true);
                Ok(())
            }
            Err(error) => Err(self.refuse_attach(cx, &error)),
        }
    }

    pub(super) fn begin_hold(
        &mut self,
        intent: Intent,
        since: Instant,
        held: Option<Held>,
        primary: bool,
    ) {
        self.outstanding = None;
        self.info.enter(Phase::Waiting, since);
        let offer = self.access.offer();
        let held = held.unwrap_or_else(|| Held::begin(offer, self.now));
        let deadline = held.since + offer.failover_timeout;
        let look = Box::pin(hold(self.access.change(), deadline));
        let wait = Wait::Held { primary, look };
        self.waiting = Some(Waiting { intent, since, held: Some(held), wait });
    }

    pub(super) fn poll_wait(&mut self, cx: &mut Context<'_>) -> Result<bool, Exit> {
        let Some(waiting) = &mut self.waiting else { return Ok(false) };
        let outcome = match &mut waiting.wait {
            Wait::Locating { look, .. } => {
                if look.as_mut().poll(cx).is_pending() {
                    return Ok(false);
                }
                self.located(cx)?;
                return Ok(true);
            }
            Wait::InQueue(attaching) => match Pin::new(attaching).poll(cx) {
                Poll::Pending => return Ok(false),
                Poll::Ready(outcome) => outcome,
            },
            Wait::Held { primary, look } => {
                if look.as_mut().poll(cx).is_pending() {
                    return Ok(false);
                }
                let since = waiting.held.as_ref().map_or(self.now, |held| held.since);
                let (primary, held) = (*primary, self.now.saturating_duration_since(since));
                if held >= self.access.offer().failover_timeout {
                    Err(self.access.no_host(held, primary))
                } else {
                    Err(AttachError::HostGone)
                }
            }
        };
        let Some(Waiting { intent, since, held, wait }) = self.waiting.take() else {
            return Ok(false);
        };
        if outcome.as_ref().is_err_and(|error| !matches!(error, AttachError::HostGone)) {
            wait.failed(since, self.now);
        }
        drop(wait);
        match outcome {
            Ok(lease) => {
                self.served();
                drop(held);
                lease.pool().metrics().wait_ended(self.now.saturating_duration_since(since));
                self.attached(cx, lease, since)?;
            }
            // Another look: the host is gone, or something has changed.
            Err(AttachError::HostGone) => match self.access.choose(intent, self.now) {
                Choice::Pool(pool) => {
                    self.count_on(&pool);
                    match pool.try_attach(self.now) {
                        Some(lease) => {
                            self.served();
                            drop(held);
                            self.attached(cx, lease, since)?;
                        }
                        None => {
                            let wait = pool.attach(self.info.holder.id, self.now);
                            self.wait(cx, intent, since, held, wait)?;
                        }
                    }
                }
                Choice::NoReplica => {
                    let error = self.access.no_replica();
                    return Err(self.refuse_attach(cx, &error));
                }
                Choice::Hold { primary } => self.begin_hold(intent, since, held, primary),
                Choice::Removed => return Err(self.refuse_attach(cx, &AttachError::DatabaseGone)),
            },
            Err(error) => return Err(self.refuse_attach(cx, &error)),
        }
        Ok(true)
    }

    /// The client asks where the primary is. It is told by the first sample that is asked for from now on.
    pub(super) fn locate(&mut self, cx: &mut Context<'_>) -> Result<(), Exit> {
        self.look_for_primary(cx, clock::now(), self.now, None)
    }

    fn look_for_primary(
        &mut self,
        cx: &mut Context<'_>,
        after: Instant,
        since: Instant,
        held: Option<Held>,
    ) -> Result<(), Exit> {
        if let Some(whereabouts) = self.access.locate(after) {
            self.session.locate(whereabouts);
            return Ok(());
        }
        let offer = self.access.offer().clone();
        let waited = self.now.saturating_duration_since(since);
        if waited >= offer.failover_timeout {
            let error = self.access.no_host(waited, true);
            return Err(self.refuse_attach(cx, &error));
        }
        let held = match self.access.has_primary() {
            true => None,
            false => held.or_else(|| Some(Held::begin(&offer, self.now))),
        };
        self.info.enter(Phase::Waiting, since);
        let look = Box::pin(hold(self.access.next_sample(), since + offer.failover_timeout));
        let wait = Wait::Locating { after, look };
        self.waiting = Some(Waiting { intent: Intent::Unstated, since, held, wait });
        Ok(())
    }

    /// A look at where the primary is may say more than the last one; then the client's message is offered again.
    fn located(&mut self, cx: &mut Context<'_>) -> Result<(), Exit> {
        let Some(Waiting { since, held, wait: Wait::Locating { after, .. }, .. }) =
            self.waiting.take()
        else {
            return Ok(());
        };
        self.look_for_primary(cx, after, since, held)?;
        if self.waiting.is_some() {
            return Ok(());
        }
        self.info.clock.run(false, self.info.age(self.now));
        self.look_at_client(cx)
    }

    /// The wait is over: from now on a server has the request.
    fn served(&self) {
        self.info.clock.run(true, self.info.age(self.now));
    }

    /// Its pool says that it waits long (`query_wait_notify`).
    pub(super) fn notify_wait(&mut self) {
        let in_queue = |waiting: &Waiting| matches!(waiting.wait, Wait::InQueue(_));
        if self.waiting.as_ref().is_some_and(in_queue) && !self.to_client.mid_message() {
            let text = "No server connection available in postgres backend, client being queued";
            let code = SqlState::SUCCESSFUL_COMPLETION;
            NoticeResponse::new(Severity::Notice, code, text).encode(&mut self.out.to_client);
            self.insert_made();
        }
    }

    pub(super) fn attached(
        &mut self,
        cx: &mut Context<'_>,
        mut lease: Lease,
        since: Instant,
    ) -> Result<(), Exit> {
        let connection = lease.connection();
        if let Err(error) = connection.bring_here() {
            lease.close("cannot move its socket to another worker");
            let response = ErrorResponse::new(
                Severity::Fatal,
                SqlState::CONNECTION_FAILURE,
                "server conn crashed?",
            );
            return Err(self.refuse(cx, &response.detail(&error.to_string())));
        }
        connection.info.set_client(self.info.holder.id);
        let metrics = lease.pool().metrics();
        metrics.assignments.increment(1);
        metrics.received_bytes.increment(std::mem::take(&mut self.uncounted).into());
        self.to_server.mark();
        let fresh = self.may_be_moved();
        let limit = self.access.offer().max_prepared_statements;
        let state = &mut lease.connection().state;
        state.statements.set_limit(limit);
        self.session.attached(state, self.access.place(), fresh, &mut self.out);
        self.insert_made();
        self.lease = Some(lease);
        self.transaction_since = Some(since.max(self.transaction_since.unwrap_or(since)));
        self.answers_since = self.now;
        // Waiting is not running: neither for the statistics, nor for how fast this host is taken to be.
        self.query_since = self.query_since.map(|_| self.now);
        self.release = false;
        self.want[1] = 0;
        self.dry[1] = false;
        // Its host may have been given up in this very moment.
        if self.lease.as_mut().is_some_and(|lease| lease.connection().info.is_doomed()) {
            self.server_lost(cx, None, "server host is gone")?;
        }
        // Offer the messages that waited for it.
        self.look_at_client(cx)
    }
}
