//! The relay: one client's task. It carries out what its session says, on both sockets, with no second task and no
//! channel in between.
//!
//! Each turn: look at what the client sent, get a server if one is wanted, write to it, read from it, write to the
//! client, read from the client; until nothing moves any more. Back-pressure is in the order: nobody is read from
//! while what he sent before cannot be written.
//!
//! - `attach` — getting a server
//! - `serve` — the server's side of a turn
//! - `guess` — whether what is to be placed only reads
//! - `end` — lost servers, refused clients
//! - `leave` — a client that goes on in another process

mod attach;
mod end;
mod guess;
mod leave;
mod serve;

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use pgweir_codec::backend::{ErrorResponse, Severity};
use pgweir_codec::frontend;
use pgweir_codec::head::Head;
use pgweir_codec::sqlstate::SqlState;

use self::attach::Waiting;
use self::end::{bad_header, out_of_bounds};
use self::serve::run_behind;
use super::access::Access;
use super::client::ClientInfo;
use super::phase::Phase;
use crate::net::buffers::{LARGE, SMALL};
use crate::net::clock;
use crate::net::lane::{Lane, Read};
use crate::net::stream::Stream;
use crate::pool::Lease;
use crate::pool::holder::{Order, Rest};
use crate::pool::keep::Kept;
use crate::pool::load::Outstanding;
use crate::session::{Elsewhere, FromClient, Outbox, Session};

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
    /// It goes on in another process.
    Leave,
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
    /// While it uses or waits for one of several hosts.
    outstanding: Option<Outstanding>,
    /// The server is of use to nobody else.
    own_server: bool,
    /// Claim to the server whose process id it was told, until it first asks for one.
    kept: Option<Kept>,
    waiting: Option<Waiting>,
    /// Bytes that came while it had no server: they count for the one that they go to.
    uncounted: u32,
    /// The transaction is over: the server goes back once all it has said was looked at.
    release: bool,
    /// How many unseen bytes the next look at either side needs.
    want: [usize; 2],
    /// Whether the client's, the server's socket has nothing more to read until the next wake-up: then it is not asked
    /// again. The reactor does not run while a task does.
    dry: [bool; 2],
    /// The client's next message waits for an answer of the server's ([`FromClient::Wait`]).
    held_back: bool,
    /// How often this transaction was offered to another server.
    rewinds: u8,
    /// Since when it has been sent to hosts that turned out to be no primary any more.
    misplaced_since: Option<Instant>,
    /// A replica has refused what looked like a read.
    refused: Option<Elsewhere>,
    /// This transaction is placed by what it says alone.
    no_guess: bool,
    /// It has said, or looks, as if it only read.
    reading: bool,
    transaction_since: Option<Instant>,
    query_since: Option<Instant>,
    /// Nothing of the answer to that query has come yet.
    is_first_byte_due: bool,
    /// From when on the time of what is answered next counts (`SHOW QUERIES`).
    answers_since: Instant,
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
        let now = clock::now();
        info.enter(Phase::Idle, now);
        let mut relay = Self {
            client,
            info,
            access,
            session,
            to_server,
            to_client: Lane::default(),
            out: Outbox::default(),
            lease: None,
            outstanding: None,
            own_server: false,
            kept: None,
            waiting: None,
            uncounted: 0,
            release: false,
            want: [0, 0],
            dry: [false, false],
            held_back: false,
            rewinds: 0,
            misplaced_since: None,
            refused: None,
            no_guess: false,
            reading: false,
            transaction_since: None,
            query_since: None,
            is_first_byte_due: false,
            answers_since: now,
            now,
        };
        relay.heed_min_lsn();
        relay
    }

    /// A client with a server of its own, which is closed with it: a replication connection.
    pub fn with_own_server(mut self, mut lease: Lease) -> Self {
        lease.connection().info.set_client(self.info.holder.id);
        self.lease = Some(lease);
        self.own_server = true;
        self.info.enter(Phase::Holding, self.now);
        self
    }

    /// A client that was told the process id of a server which is kept for it.
    pub fn with_kept(mut self, kept: Kept) -> Self {
        self.kept = Some(kept);
        self
    }

    /// Registers the client's socket with the calling thread's reactor.
    ///
    /// # Errors
    /// The system's; the client is then lost.
    pub fn bring_here(&mut self) -> io::Result<()> {
        self.client.move_here()
    }

    /// Runs until the client is gone or is to move.
    pub fn run(&mut self) -> impl Future<Output = Exit> + '_ {
        let mut first = true;
        std::future::poll_fn(move |cx| {
            if std::mem::take(&mut first) {
                self.info.holder.listen(cx.waker());
            }
            let exit = ready!(self.poll(cx));
            if !matches!(exit, Exit::Move(_) | Exit::Leave) {
                self.part();
            }
            Poll::Ready(exit)
        })
    }

    /// The client is gone: what becomes of its server.
    fn part(&mut self) {
        if let Some(waiting) = self.waiting.take() {
            waiting.abandon(self.now);
        }
        self.kept = None;
        let Some(mut lease) = self.lease.take() else { return };
        // What it sent before it left still goes to the server: it may be a COMMIT.
        let mut cx = Context::from_waker(std::task::Waker::noop());
        if self.to_server.has_output() {
            let _ = self.to_server.poll_write(&mut cx, &mut lease.connection().stream);
        }
        if self.own_server {
            lease.close("client disconnect");
        } else if self.server_is_clean() {
            self.return_to_pool(lease);
        } else {
            lease.close("client disconnect while server was not ready");
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Exit> {
        self.now = clock::now();
        self.dry = [false, false];
        if let Err(exit) = self.obey(cx) {
            return Poll::Ready(exit);
        }
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
        match self.info.holder.rest() {
            Rest::None => {}
            Rest::Leaving => {
                if self.may_leave() {
                    self.prepare_to_leave();
                    return Err(Exit::Leave);
                }
            }
            Rest::Wanted | Rest::Still => return self.keep_still(cx),
        }
        self.look_at_client(cx)?;
        let mut moved = self.poll_wait(cx)?;
        moved |= self.serve(cx)?;
        moved |= self.write_to_client(cx)?;
        moved |= self.read_from_client(cx)?;
        Ok(moved)
    }

    /// While it is suspended nothing is read from either side; what was read leaves.
    fn keep_still(&mut self, cx: &mut Context<'_>) -> Result<bool, Exit> {
        let moved = self.write_to_client(cx)? | self.write_to_server(cx)?;
        let to_server = self.lease.is_some() && self.to_server.has_output();
        if !to_server && !self.to_client.has_output() {
            self.info.holder.is_still();
        }
        Ok(moved)
    }

    /// Does what was ordered from outside.
    fn obey(&mut self, cx: &mut Context<'_>) -> Result<(), Exit> {
        let Some(order) = self.info.holder.take_order() else { return Ok(()) };
        let fatal = |code, text| ErrorResponse::new(Severity::Fatal, code, text);
        match order {
            Order::LookAtServer => self.look_whether_doomed(cx),
            Order::Kill => {
                Err(self.refuse(cx, &fatal(SqlState::ADMIN_SHUTDOWN, "admin forced disconnect")))
            }
            Order::DatabaseGone => {
                Err(self.refuse(cx, &fatal(SqlState::ADMIN_SHUTDOWN, "database removed")))
            }
            Order::Shutdown => {
                Err(self.refuse(cx, &fatal(SqlState::ADMIN_SHUTDOWN, "server shutting down")))
            }
            Order::SuspendTimeout => {
                Err(self.refuse(cx, &fatal(SqlState::ADMIN_SHUTDOWN, "suspend_timeout")))
            }
            Order::Overdue => self.overdue(cx),
            // These two may have taken the place of an order to look.
            Order::NotifyWait => {
                self.look_whether_doomed(cx)?;
                self.notify_wait();
                Ok(())
            }
            Order::CloseServer => self.part_with_server(cx),
            Order::Move(worker) => {
                self.look_whether_doomed(cx)?;
                let idle = self.lease.is_none() && self.waiting.is_none();
                if idle && self.to_client.is_empty() { Err(Exit::Move(worker)) } else { Ok(()) }
            }
        }
    }

    fn look_whether_doomed(&mut self, cx: &mut Context<'_>) -> Result<(), Exit> {
        self.look_at_kept(cx)?;
        let doomed = self.lease.as_mut().is_some_and(|lease| lease.connection().info.is_doomed());
        if doomed { self.server_lost(cx, None, "server host is gone") } else { Ok(()) }
    }

    // ---------------------------------------------------------------- client

    fn read_from_client(&mut self, cx: &mut Context<'_>) -> Result<bool, Exit> {
        let stuck = match self.waiting {
            // Read on, to notice when it leaves; but only so much.
            Some(_) => self.has_read_enough(),
            // As a backend: who does not read its answers is asked no further questions. What pgweir itself answers
            // would else be kept without bound.
            None => {
                self.to_server.has_output()
                    || self.to_client.has_output()
                    || self.session.is_full()
                    || self.held_back && self.has_read_enough()
            }
        };
        if stuck || self.dry[0] {
            return Ok(false);
        }
        match self.to_server.poll_read(cx, &mut self.client, self.want[0]) {
            Poll::Pending => {
                self.dry[0] = true;
                Ok(false)
            }
            Poll::Ready(Ok(Read::Bytes(count))) => {
                if let Some(lease) = &self.lease {
                    lease.pool().metrics().received_bytes.increment(count as u64);
                } else {
                    let count = u32::try_from(count).unwrap_or(u32::MAX);
                    self.uncounted = self.uncounted.saturating_add(count);
                }
                Ok(true)
            }
            Poll::Ready(Ok(Read::Closed)) => Err(Exit::Gone(None)),
            Poll::Ready(Err(error)) => Err(Exit::Gone(Some(error))),
        }
    }

    /// Whether as much has come from a client that must wait as is kept for it.
    fn has_read_enough(&self) -> bool {
        self.to_server.unseen().len() >= SMALL / 2
    }

    fn write_to_client(&mut self, cx: &mut Context<'_>) -> Result<bool, Exit> {
        if !self.to_client.has_output() {
            return Ok(false);
        }
        self.session.told();
        match self.to_client.poll_write(cx, &mut self.client) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(())) => Ok(true),
            Poll::Ready(Err(error)) => Err(Exit::Gone(Some(error))),
        }
    }

    /// Hands the session every message that has arrived from the client, as far as it can go on.
    fn look_at_client(&mut self, cx: &mut Context<'_>) -> Result<(), Exit> {
        self.held_back = false;
        while self.waiting.is_none() {
            let unseen = self.to_server.unseen();
            let head = match Head::peek(unseen) {
                Ok(Some(head)) => head,
                Ok(None) => break,
                Err(error) => {
                    let response = bad_header(unseen).detail(&error.to_string());
                    return Err(self.refuse(cx, &response));
                }
            };
            // Between transactions a reload counts at once.
            let bounds = match &self.lease {
                Some(_) => self.access.bounds(),
                None => self.access.offer().bounds,
            };
            if !bounds.fits(head) || !bounds.allow(head) {
                let response = out_of_bounds(unseen, bounds.fits(head));
                return Err(self.refuse(cx, &response));
            }
            let have = unseen.get(..head.len.min(unseen.len())).unwrap_or_default();
            let state = self.lease.as_mut().map(|lease| &mut lease.connection().state);
            let first = !self.session.in_transaction();
            let verdict = self.session.client_message(head, have, state, &mut self.out);
            if self.query_since.is_none() && !is_part_of_another(head.tag) {
                self.query_since = Some(self.now);
                self.is_first_byte_due = true;
                self.answers_since = self.now;
                if first && self.lease.is_some() {
                    // In session mode, where a server is held between transactions too.
                    self.transaction_since.get_or_insert(self.now);
                }
                self.info.clock.request(first, self.info.age(self.now));
            }
            match verdict {
                FromClient::NeedMore(want) => {
                    self.want[0] = want;
                    break;
                }
                FromClient::Wait => {
                    self.held_back = true;
                    break;
                }
                FromClient::Attach(intent) => self.attach(cx, intent)?,
                FromClient::Locate => self.locate(cx)?,
                FromClient::Forward { skip } => {
                    let run = run_behind(
                        unseen,
                        head,
                        head.tag == frontend::CopyData::TAG && bounds.are_wide(),
                    );
                    self.release = false;
                    self.insert_made();
                    self.to_server.skip(skip);
                    self.to_server.forward(head.len - skip + run);
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
        self.session.forget_whereabouts();
        if !self.to_client.mid_message() {
            self.session.end_of_batch(&mut self.out);
            self.insert_made();
        }
        if self.session.may_replay() && self.to_server.kept() > LARGE {
            self.session.give_up_replay();
        }
        if self.session.may_replay() {
            self.to_server.hold();
        } else {
            self.to_server.let_go();
        }
        // What was answered here, or has not arrived in full, is no query that runs.
        let runs = self.lease.is_some() && self.session.awaits_answer();
        if self.query_since.is_some() && self.waiting.is_none() && !runs {
            self.query_since = None;
            self.heed_min_lsn();
            self.info.enter(
                match (self.session.in_transaction(), &self.lease) {
                    (true, _) => Phase::InTransaction,
                    (false, Some(_)) => Phase::Holding,
                    (false, None) => Phase::Idle,
                },
                self.now,
            );
        }
        Ok(())
    }

    /// Puts what the session made in line.
    fn insert_made(&mut self) {
        self.to_server.insert(&mut self.out.to_server);
        self.to_client.insert(&mut self.out.to_client);
    }
}

/// Whether nobody answers a message of this kind: it asks for nothing new.
fn is_part_of_another(tag: u8) -> bool {
    use frontend::{CopyData, CopyDone, CopyFail, Flush};
    matches!(tag, Flush::TAG | CopyData::TAG | CopyDone::TAG | CopyFail::TAG)
}
