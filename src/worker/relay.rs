//! The relay: one client's task. It carries out what its session says, on both sockets, with no second task and no
//! channel in between.
//!
//! Each turn: look at what the client sent, get a server if one is wanted, write to it, read from it, write to the
//! client, read from the client; until nothing moves any more. Back-pressure is in the order: nobody is read from
//! while what he sent before cannot be written.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Instant;

use pgweir_codec::backend::{ErrorResponse, Severity};
use pgweir_codec::error::DecodeError;
use pgweir_codec::head::Head;
use pgweir_codec::sqlstate::SqlState;

use super::client::ClientInfo;
use super::service::{Access, Choice, Held, hold};
use crate::net::buffers::SMALL;
use crate::net::clock;
use crate::net::lane::{Lane, Read};
use crate::net::stream::Stream;
use crate::pool::attach::Attaching;
use crate::pool::holder::Order;
use crate::pool::{AttachError, Lease};
use crate::routing::Intent;
use crate::session::{AfterLoss, FromClient, FromServer, Outbox, Refusal, Session, Then};

/// Why a client's task ends.
#[derive(Debug)]
pub enum Exit {
    /// The client said good-bye.
    Terminated,
    /// The client closed its end, or its socket broke.
    Gone(Option<io::Error>),
    /// It was told why.
    Refused(String),
    /// It goes on elsewhere.
    Move(u16),
}

/// How many servers in a row may die before a byte reached them, until the client is told.
const REWINDS: u8 = 3;

/// Waiting for a server.
enum Wait {
    /// In a pool's queue.
    InQueue(Attaching),
    /// For a host of the kind that is needed.
    Held { primary: bool, look: Pin<Box<dyn Future<Output = ()> + Send>> },
}

struct Waiting {
    intent: Intent,
    since: Instant,
    /// Since the first hold: the budget is one for the whole wait.
    held: Option<Held>,
    wait: Wait,
}

/// See the module's words.
pub struct Relay {
    client: Stream,
    info: Arc<ClientInfo>,
    access: Access,
    session: Session,
    to_server: Lane,
    to_client: Lane,
    out: Outbox,
    lease: Option<Lease>,
    waiting: Option<Waiting>,
    /// The transaction is over: the server goes back once all it has said was looked at.
    release: bool,
    /// How many unseen bytes the next look at either side needs.
    want: [usize; 2],
    /// How often this transaction was offered to another server.
    rewinds: u8,
    transaction_since: Option<Instant>,
    query_since: Option<Instant>,
    now: Instant,
}

impl Relay {
    /// A client that is logged in. `early`: what it has already sent beyond its login.
    pub fn new(
        client: Stream,
        info: Arc<ClientInfo>,
        access: Access,
        session: Session,
        early: &[u8],
    ) -> Self {
        let mut to_server = Lane::default();
        to_server.preload(early);
        Self {
            client,
            info,
            access,
            session,
            to_server,
            to_client: Lane::default(),
            out: Outbox::default(),
            lease: None,
            waiting: None,
            release: false,
            want: [0, 0],
            rewinds: 0,
            transaction_since: None,
            query_since: None,
            now: clock::now(),
        }
    }

    /// Registers the client's socket with the calling thread's reactor.
    ///
    /// # Errors
    /// The system's; the client is then lost.
    pub fn bring_here(&mut self) -> io::Result<()> {
        self.client.move_here()
    }

    /// Runs until the client is gone or is to move.
    pub async fn run(&mut self) -> Exit {
        let exit = {
            let mut first = true;
            std::future::poll_fn(|cx| {
                if std::mem::take(&mut first) {
                    self.info.holder.listen(cx.waker());
                }
                self.poll(cx)
            })
            .await
        };
        if !matches!(exit, Exit::Move(_)) {
            self.part();
        }
        exit
    }

    /// The client is gone: what becomes of its server.
    fn part(&mut self) {
        self.waiting = None;
        let Some(mut lease) = self.lease.take() else { return };
        // What it sent before it left still goes to the server: it may be a COMMIT.
        let mut cx = Context::from_waker(std::task::Waker::noop());
        if self.to_server.has_output() {
            let _ = self.to_server.poll_write(&mut cx, &mut lease.connection().stream);
        }
        if self.session.is_quiet() && !self.to_server.mid_message() && !self.to_client.mid_message()
        {
            lease.reset_and_give_back();
        } else {
            lease.close("client disconnect while server was not ready");
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Exit> {
        self.now = clock::now();
        loop {
            match self.turn(cx) {
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(exit) => return Poll::Ready(exit),
            }
        }
    }

    /// One round; `true` if anything moved.
    fn turn(&mut self, cx: &mut Context<'_>) -> Result<bool, Exit> {
        self.obey(cx)?;
        self.look_at_client(cx)?;
        let mut moved = self.poll_wait(cx)?;
        moved |= self.serve(cx)?;
        moved |= self.write_to_client(cx)?;
        moved |= self.read_from_client(cx)?;
        Ok(moved)
    }

    /// Does what was ordered from outside.
    fn obey(&mut self, cx: &mut Context<'_>) -> Result<(), Exit> {
        let Some(order) = self.info.holder.take_order() else { return Ok(()) };
        let fatal = |code, text| ErrorResponse::new(Severity::Fatal, code, text);
        match order {
            Order::LookAtServer => {
                let doomed =
                    self.lease.as_mut().is_some_and(|lease| lease.connection().info.is_doomed());
                if doomed { self.server_lost(cx, None, "server host is gone") } else { Ok(()) }
            }
            Order::Kill => {
                Err(self.refuse(cx, &fatal(SqlState::ADMIN_SHUTDOWN, "admin forced disconnect")))
            }
            Order::DatabaseGone => {
                Err(self.refuse(cx, &fatal(SqlState::ADMIN_SHUTDOWN, "database removed")))
            }
            Order::Shutdown => {
                Err(self.refuse(cx, &fatal(SqlState::ADMIN_SHUTDOWN, "server shutting down")))
            }
            Order::Move(worker) => {
                let idle = self.lease.is_none() && self.waiting.is_none();
                if idle && self.to_client.is_empty() { Err(Exit::Move(worker)) } else { Ok(()) }
            }
        }
    }

    // ---------------------------------------------------------------- client

    fn read_from_client(&mut self, cx: &mut Context<'_>) -> Result<bool, Exit> {
        let stuck = match self.waiting {
            // Read on, to notice when it leaves; but only so much.
            Some(_) => self.to_server.unseen().len() >= SMALL / 2,
            None => self.to_server.has_output(),
        };
        if stuck {
            return Ok(false);
        }
        match self.to_server.poll_read(cx, &mut self.client, self.want[0]) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(Read::Bytes(count))) => {
                self.count(|pool| &pool.received_bytes, count);
                Ok(true)
            }
            Poll::Ready(Ok(Read::Closed)) => Err(Exit::Gone(None)),
            Poll::Ready(Err(error)) => Err(Exit::Gone(Some(error))),
        }
    }

    fn write_to_client(&mut self, cx: &mut Context<'_>) -> Result<bool, Exit> {
        if !self.to_client.has_output() {
            return Ok(false);
        }
        match self.to_client.poll_write(cx, &mut self.client) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(())) => Ok(true),
            Poll::Ready(Err(error)) => Err(Exit::Gone(Some(error))),
        }
    }

    /// Hands the session every message that has arrived from the client, as far as it can go on.
    fn look_at_client(&mut self, cx: &mut Context<'_>) -> Result<(), Exit> {
        while self.waiting.is_none() {
            let unseen = self.to_server.unseen();
            let head = match Head::peek(unseen) {
                Ok(Some(head)) => head,
                Ok(None) => break,
                Err(error) => return Err(self.refuse_client(cx, error)),
            };
            let have = unseen.get(..head.len.min(unseen.len())).unwrap_or_default();
            let state = self.lease.as_mut().map(|lease| &mut lease.connection().state);
            let verdict = self.session.client_message(head, have, state, &mut self.out);
            self.query_since.get_or_insert(self.now);
            match verdict {
                FromClient::NeedMore(want) => {
                    self.want[0] = want;
                    break;
                }
                FromClient::Attach(intent) => self.attach(cx, intent)?,
                FromClient::Forward { skip } => {
                    self.release = false;
                    self.insert_made();
                    self.to_server.skip(skip);
                    self.to_server.forward(head.len - skip);
                    self.want[0] = 0;
                }
                FromClient::Swallow => {
                    self.insert_made();
                    self.to_server.skip(head.len);
                    self.want[0] = 0;
                }
                FromClient::Terminate => return Err(Exit::Terminated),
                FromClient::Refuse(refusal) => return Err(self.refuse_with(cx, &refusal)),
            }
        }
        if !self.to_client.mid_message() {
            self.session.end_of_batch(&mut self.out);
            self.insert_made();
        }
        Ok(())
    }

    /// Puts what the session made in line.
    fn insert_made(&mut self) {
        self.to_server.insert(&mut self.out.to_server);
        self.to_client.insert(&mut self.out.to_client);
    }

    // ---------------------------------------------------------------- getting a server

    fn attach(&mut self, cx: &mut Context<'_>, intent: Intent) -> Result<(), Exit> {
        self.transaction_since = Some(self.now);
        self.info.requested(self.now);
        match self.access.choose(intent) {
            Choice::Pool(pool) => match pool.try_attach(self.now) {
                Some(lease) => self.attached(cx, lease, self.now),
                None => {
                    let wait = pool.attach(self.now);
                    self.wait(cx, intent, self.now, None, wait)
                }
            },
            Choice::Hold { primary } => {
                self.begin_hold(intent, self.now, None, primary);
                Ok(())
            }
            Choice::Removed => Err(self.refuse_attach(cx, &AttachError::DatabaseGone)),
        }
    }

    fn wait(
        &mut self,
        cx: &mut Context<'_>,
        intent: Intent,
        since: Instant,
        held: Option<Held>,
        queue: Result<Attaching, AttachError>,
    ) -> Result<(), Exit> {
        match queue {
            Ok(attaching) => {
                self.info.set_waiting(true);
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

    fn begin_hold(&mut self, intent: Intent, since: Instant, held: Option<Held>, primary: bool) {
        self.info.set_waiting(true);
        let offer = self.access.offer();
        let held = held.unwrap_or_else(|| Held::begin(offer, self.now));
        let deadline = held.since + offer.failover_timeout;
        let look = Box::pin(hold(self.access.change(), deadline));
        let wait = Wait::Held { primary, look };
        self.waiting = Some(Waiting { intent, since, held: Some(held), wait });
    }

    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Result<bool, Exit> {
        let Some(waiting) = &mut self.waiting else { return Ok(false) };
        let outcome = match &mut waiting.wait {
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
                    let database = self.info.database.clone();
                    Err(AttachError::NoHost { database, held, primary })
                } else {
                    Err(AttachError::HostGone)
                }
            }
        };
        let Some(Waiting { intent, since, held, .. }) = self.waiting.take() else {
            return Ok(false);
        };
        match outcome {
            Ok(lease) => {
                self.info.set_waiting(false);
                drop(held);
                lease.pool().metrics().wait_ended(self.now.saturating_duration_since(since));
                self.attached(cx, lease, since)?;
            }
            // Another look: the host is gone, or something has changed.
            Err(AttachError::HostGone) => match self.access.choose(intent) {
                Choice::Pool(pool) => match pool.try_attach(self.now) {
                    Some(lease) => {
                        self.info.set_waiting(false);
                        drop(held);
                        self.attached(cx, lease, since)?;
                    }
                    None => {
                        let wait = pool.attach(self.now);
                        self.wait(cx, intent, since, held, wait)?;
                    }
                },
                Choice::Hold { primary } => self.begin_hold(intent, since, held, primary),
                Choice::Removed => return Err(self.refuse_attach(cx, &AttachError::DatabaseGone)),
            },
            Err(error) => return Err(self.refuse_attach(cx, &error)),
        }
        Ok(true)
    }

    fn attached(
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
        lease.pool().metrics().assignments.increment(1);
        self.to_server.mark();
        self.session.attached(&mut lease.connection().state, &mut self.out);
        self.insert_made();
        self.lease = Some(lease);
        self.transaction_since = Some(since.max(self.transaction_since.unwrap_or(since)));
        self.release = false;
        self.want[1] = 0;
        // Its host may have been given up in this very moment.
        if self.lease.as_mut().is_some_and(|lease| lease.connection().info.is_doomed()) {
            self.server_lost(cx, None, "server host is gone")?;
        }
        // Offer the messages that waited for it.
        self.look_at_client(cx)
    }

    // ---------------------------------------------------------------- server

    /// Writes to the server and reads from it.
    fn serve(&mut self, cx: &mut Context<'_>) -> Result<bool, Exit> {
        let mut moved = false;
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
                    moved = true;
                }
                Poll::Ready(Err(error)) => {
                    // It may have said why before it closed.
                    self.read_last_words(cx)?;
                    self.server_lost(cx, None, &error.to_string())?;
                    return Ok(true);
                }
            }
        }
        if self.lease.is_some() && !self.to_client.has_output() {
            moved |= self.read_from_server(cx)?;
        }
        Ok(moved)
    }

    fn read_from_server(&mut self, cx: &mut Context<'_>) -> Result<bool, Exit> {
        let Some(lease) = &mut self.lease else { return Ok(false) };
        match self.to_client.poll_read(cx, &mut lease.connection().stream, self.want[1]) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(Read::Bytes(count))) => {
                self.count(|pool| &pool.sent_bytes, count);
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

    fn read_last_words(&mut self, cx: &mut Context<'_>) -> Result<(), Exit> {
        while self.lease.is_some() && self.read_from_server(cx)? {}
        Ok(())
    }

    /// Hands the session every message that has arrived from the server.
    fn look_at_server(&mut self, cx: &mut Context<'_>) -> Result<(), Exit> {
        while let Some(lease) = &mut self.lease {
            let unseen = self.to_client.unseen();
            let head = match Head::peek(unseen) {
                Ok(Some(head)) => head,
                Ok(None) => break,
                Err(error) => return Err(self.refuse_with(cx, &Refusal::Server(error))),
            };
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
                    self.insert_made();
                    self.to_client.forward(head.len);
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
                FromServer::Refuse(refusal) => return Err(self.refuse_with(cx, &refusal)),
            };
            self.want[1] = 0;
            self.follow_up(then);
        }
        if self.release && self.to_client.unseen().is_empty() && !self.to_client.mid_message() {
            self.give_back();
        }
        Ok(())
    }

    fn follow_up(&mut self, then: Then) {
        if then == Then::GoOn {
            return;
        }
        let Some(lease) = &mut self.lease else { return };
        if let Some(since) = self.query_since.take() {
            lease.pool().metrics().query_ended(self.now.saturating_duration_since(since));
        }
        let over = then == Then::Release || !self.session.in_transaction();
        if over && let Some(since) = self.transaction_since.take() {
            lease.pool().metrics().transaction_ended(self.now.saturating_duration_since(since));
        }
        self.release = then == Then::Release;
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

    fn give_back(&mut self) {
        self.release = false;
        self.rewinds = 0;
        self.to_server.unmark();
        let Some(lease) = self.lease.take() else { return };
        if self.access.offer().reset_always {
            lease.reset_and_give_back();
        } else {
            lease.give_back(self.now);
        }
    }

    /// The server is gone, or must not be used any more.
    fn server_lost(
        &mut self,
        cx: &mut Context<'_>,
        words: Option<ErrorResponse>,
        reason: &str,
    ) -> Result<(), Exit> {
        let Some(mut lease) = self.lease.take() else { return Ok(()) };
        let info = lease.connection().info.clone();
        lease.pool().doubt(&info.host);
        tracing::warn!(
            "{}: lost its server S-{:#x} at {}: {reason}",
            self.info.label(),
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
        self.to_server.drop_output();
        let told = words.unwrap_or_else(|| {
            ErrorResponse::new(Severity::Error, SqlState::CONNECTION_FAILURE, "server conn crashed?")
                .detail("The connection to the server was lost while a request was under way.")
                .hint("Whether the request was carried out is unknown. The next transaction runs on a new server connection.")
        });
        let told = told.with_severity(Severity::Error);
        self.query_since = None;
        self.transaction_since = None;
        match self.session.server_lost(&told, cut, &mut self.out) {
            AfterLoss::GoesOn => {
                self.insert_made();
                Ok(())
            }
            AfterLoss::Close if cut => Err(Exit::Refused(told.message())),
            AfterLoss::Close => Err(self.refuse(cx, &told.with_severity(Severity::Fatal))),
        }
    }

    // ---------------------------------------------------------------- refusing

    fn refuse_client(&mut self, cx: &mut Context<'_>, error: DecodeError) -> Exit {
        self.refuse_with(cx, &Refusal::Client(error))
    }

    fn refuse_with(&mut self, cx: &mut Context<'_>, refusal: &Refusal) -> Exit {
        if matches!(refusal, Refusal::Server(_) | Refusal::UnexpectedServerMessage(_))
            && let Some(mut lease) = self.lease.take()
        {
            let info = lease.connection().info.clone();
            tracing::warn!("S-{:#x} at {}: {refusal:?}", info.id, info.host);
            lease.close("server sent a message that makes no sense");
        }
        self.refuse(cx, &refusal.response())
    }

    fn refuse_attach(&mut self, cx: &mut Context<'_>, error: &AttachError) -> Exit {
        tracing::warn!("{}: {error}", self.info.label());
        self.refuse(cx, &error.response())
    }

    /// Tells the client as far as it can be told without waiting.
    fn refuse(&mut self, cx: &mut Context<'_>, response: &ErrorResponse) -> Exit {
        self.to_client.drop_input();
        if !self.to_client.is_cut() {
            response.encode(&mut self.out.to_client);
            self.insert_made();
            let _ = self.to_client.poll_write(cx, &mut self.client);
        }
        Exit::Refused(response.message())
    }

    // ---------------------------------------------------------------- figures

    fn count(
        &self,
        total: impl Fn(&crate::metrics::PoolMetrics) -> &crate::metrics::Total,
        bytes: usize,
    ) {
        if let Some(lease) = &self.lease {
            total(lease.pool().metrics()).increment(bytes as u64);
        }
    }
}
