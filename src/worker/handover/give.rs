//! The old process's side: a thread that gives away what has come to rest.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use super::carried::CarriedConnection;
use super::wire::{self, Hello, Switchover, ToNew, ToOld, VERSION};
use super::{Stage, lock};
use crate::auth::credentials::CarriedCredentials;
use crate::net::{clock, id, pass};
use crate::pool::Lease;
use crate::worker::cancel;
use crate::worker::client::CancelKey;
use crate::worker::shared::Shared;
use crate::worker::thread::{Client, Job};
use crate::worker::visitors::{Doing, Visitor};

/// What the thread hears of.
pub(super) enum Event {
    /// A client has come to rest.
    Client(Box<Client>),
    /// The successor has said something.
    Said(ToOld),
    /// It has closed, or cannot be understood.
    Lost(io::Error),
}

/// How often clients that were not asked yet are, and idle servers are looked for.
const ROUND: Duration = Duration::from_millis(100);

/// How long the successor may take to read its configuration and to begin.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long those who hold listening sockets may take to answer.
const ANSWERS: Duration = Duration::from_secs(5);

/// Most that is under way unanswered: the system bounds how many sockets are.
const UNDER_WAY: usize = 64;

/// New statements of the successor get numbers so far above ours: what we prepare meanwhile stays below.
const STATEMENTS_AHEAD: u64 = 1 << 20;

/// Begins to hand over to the process at the other end.
///
/// # Errors
/// It is being done already; the system's: no thread.
pub fn begin(shared: &Arc<Shared>, stream: UnixStream, program: &str) -> io::Result<()> {
    let (events, inbox) = mpsc::channel();
    {
        let mut giver = lock(&shared.handover.giver);
        if giver.is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        *giver = Some(events.clone());
    }
    let reader = stream.try_clone()?;
    std::thread::Builder::new().name("handover-reader".to_owned()).spawn(move || {
        let lost = loop {
            match wire::receive(&reader) {
                Ok(Some((said, _))) => {
                    if events.send(Event::Said(said)).is_err() {
                        return;
                    }
                }
                Ok(None) => break io::Error::new(io::ErrorKind::UnexpectedEof, "it has ended"),
                Err(error) => break error,
            }
        };
        let _ = events.send(Event::Lost(lost));
    })?;
    let giver = Giver {
        shared: shared.clone(),
        stream,
        inbox,
        program: program.to_owned(),
        waiting: VecDeque::new(),
        under_way: HashMap::new(),
        number: 0,
        given: [0, 0],
    };
    std::thread::Builder::new().name("handover".to_owned()).spawn(move || giver.run())?;
    Ok(())
}

/// Something that was sent and not answered yet.
enum Sent {
    Client(Box<Client>),
    Server(Lease),
}

struct Giver {
    shared: Arc<Shared>,
    stream: UnixStream,
    inbox: mpsc::Receiver<Event>,
    program: String,
    /// At rest, and not sent yet.
    waiting: VecDeque<Box<Client>>,
    under_way: HashMap<u64, Sent>,
    number: u64,
    /// Clients, servers.
    given: [u64; 2],
}

impl Giver {
    fn run(mut self) {
        // A lease that is given back may have something to do first: a check, a cancel request to wait for.
        let control = self.shared.handover.control.get().cloned();
        let _runtime = control.as_ref().map(tokio::runtime::Handle::enter);
        let result = self.hand_over();
        let [clients, servers] = self.given;
        match result {
            Ok(()) => {
                tracing::info!("handed {clients} clients and {servers} idle servers over");
                self.shared.handover.done.cancel();
            }
            Err(error) => {
                tracing::error!(
                    "handing over failed: {error}; serving on with all that is here ({clients} clients had gone)"
                );
                self.take_back();
            }
        }
    }

    fn hand_over(&mut self) -> io::Result<()> {
        let sockets = self.listening();
        self.introduce(&sockets)?;
        drop(sockets);
        let ToOld::Ready { pid } = self.said()? else { return Err(nonsense()) };
        tracing::info!("process {pid} takes over");
        self.let_go();
        wire::send(&self.stream, &ToNew::Over, &[])?;
        let ToOld::Serving = self.said()? else { return Err(nonsense()) };
        let mut round = None;
        loop {
            let now = clock::now();
            let due = round.is_none_or(|last| now.saturating_duration_since(last) >= ROUND);
            if due {
                round = Some(now);
                self.ask_all();
                self.give_idle(now)?;
            }
            self.give_waiting()?;
            if self.nobody_is_left() {
                return wire::send(&self.stream, &ToNew::Done, &[]);
            }
            match self.inbox.recv_timeout(ROUND) {
                Ok(Event::Client(client)) => self.waiting.push_back(client),
                Ok(Event::Said(ToOld::Taken(number))) => self.taken(number),
                Ok(Event::Said(ToOld::Refused(number))) => self.refused(number),
                Ok(Event::Said(ToOld::Cancel { pid, secret })) => self.cancel(pid, &secret),
                Ok(Event::Said(_)) => return Err(nonsense()),
                Ok(Event::Lost(error)) => return Err(error),
                Err(_) => {}
            }
        }
    }

    /// What the successor says next.
    fn said(&mut self) -> io::Result<ToOld> {
        let end = clock::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(clock::now());
            match self.inbox.recv_timeout(left) {
                Ok(Event::Said(said)) => return Ok(said),
                Ok(Event::Lost(error)) => return Err(error),
                Ok(Event::Client(client)) => self.waiting.push_back(client),
                Err(_) => return Err(io::Error::new(io::ErrorKind::TimedOut, "it says nothing")),
            }
        }
    }

    /// Duplicates of all sockets that we listen on.
    fn listening(&self) -> Vec<OwnedFd> {
        let (sender, shown) = mpsc::channel();
        self.all_answer(Stage::Showing(sender), &shown).into_iter().flatten().collect()
    }

    fn let_go(&self) {
        let (sender, done) = mpsc::channel();
        self.all_answer(Stage::Over(sender), &done);
    }

    fn all_answer<T>(&self, stage: Stage, answers: &mpsc::Receiver<T>) -> Vec<T> {
        let sender = &self.shared.handover.stage;
        let count = sender.receiver_count();
        sender.send_replace(stage);
        let end = clock::now() + ANSWERS;
        let next = || answers.recv_timeout(end.saturating_duration_since(clock::now())).ok();
        std::iter::from_fn(next).take(count).collect()
    }

    fn introduce(&self, sockets: &[OwnedFd]) -> io::Result<()> {
        let shared = &self.shared;
        let names = |map: &dashmap::DashMap<String, ()>| {
            map.iter().map(|entry| entry.key().clone()).collect()
        };
        let hello = Hello {
            version: VERSION,
            pid: std::process::id(),
            program: self.program.clone(),
            statements: shared.statements.last_id() + STATEMENTS_AHEAD,
            all_paused: shared.all_paused.load(std::sync::atomic::Ordering::Acquire),
            paused: names(&shared.paused),
            disabled: names(&shared.disabled),
            switchovers: self.switchovers(clock::now()),
        };
        let sockets: Vec<BorrowedFd<'_>> =
            sockets.iter().map(OwnedFd::as_fd).take(pass::MOST_SOCKETS).collect();
        wire::send(&self.stream, &ToNew::Hello(hello), &sockets)
    }

    fn switchovers(&self, now: Instant) -> Vec<Switchover> {
        let live = self.shared.live();
        let announced = |name: &String| {
            let (from, until) = self.shared.services.switching_over(name)?;
            let left = until.saturating_duration_since(now).as_millis();
            let (database, left) = (name.clone(), u64::try_from(left).ok()?);
            Some(Switchover { database, from: from.to_string(), left })
        };
        live.config.databases.keys().filter_map(announced).collect()
    }

    /// Asks everybody to come as soon as it is at rest.
    fn ask_all(&self) {
        for holder in self.shared.holders.iter() {
            holder.leave();
        }
    }

    fn give_waiting(&mut self) -> io::Result<()> {
        while self.under_way.len() < UNDER_WAY
            && let Some(mut client) = self.waiting.pop_front()
        {
            let number = self.number();
            let message = ToNew::Client(number, Box::new(client.relay.carry()));
            let sent = client
                .relay
                .sockets()
                .and_then(|sockets| wire::send(&self.stream, &message, &sockets));
            self.under_way.insert(number, Sent::Client(client));
            sent?;
        }
        Ok(())
    }

    /// Gives idle servers away. Those with TLS stay; they are closed at the end.
    fn give_idle(&mut self, now: Instant) -> io::Result<()> {
        for service in self.shared.services.all() {
            let credentials = service.credentials().carry();
            for pool in service.pools() {
                let mut kept = Vec::new();
                while self.under_way.len() < UNDER_WAY
                    && let Some(mut lease) = pool.try_attach(now)
                {
                    if lease.connection().stream.is_plain() {
                        self.give_server(lease, credentials.clone())?;
                    } else {
                        kept.push(lease);
                    }
                }
                kept.into_iter().for_each(|lease| lease.give_back(now));
            }
        }
        Ok(())
    }

    fn give_server(&mut self, mut lease: Lease, credentials: CarriedCredentials) -> io::Result<()> {
        let number = self.number();
        let carried = CarriedConnection::of(&mut lease, credentials);
        let message = ToNew::Server(number, Box::new(carried));
        let socket = lease.connection().stream.socket().fd();
        let sent = socket.and_then(|socket| wire::send(&self.stream, &message, &[socket]));
        self.under_way.insert(number, Sent::Server(lease));
        sent
    }

    fn number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    fn taken(&mut self, number: u64) {
        let [clients, servers] = &mut self.given;
        match self.under_way.remove(&number) {
            Some(Sent::Client(client)) => {
                *clients += 1;
                client.relay.gone();
            }
            Some(Sent::Server(lease)) => {
                *servers += 1;
                lease.hand_over();
            }
            None => {}
        }
    }

    fn refused(&mut self, number: u64) {
        if let Some(sent) = self.under_way.remove(&number) {
            self.keep(sent);
        }
    }

    /// It goes on here. A client is asked again with the next round.
    fn keep(&self, sent: Sent) {
        match sent {
            Sent::Server(lease) => lease.give_back(clock::now()),
            Sent::Client(client) => {
                client.registered.info().holder.stay();
                let workers = self.shared.handover.workers.get();
                let index =
                    client.registered.info().worker.load(std::sync::atomic::Ordering::Relaxed);
                let worker = workers.and_then(|workers| workers.get(index as usize));
                if let Some(worker) = worker {
                    // A worker that has ended ends its clients.
                    let _ = worker.send_blocking(Job::Moved(client));
                }
            }
        }
    }

    /// A cancel request that reached the successor.
    fn cancel(&self, pid: u32, secret: &[u8]) {
        let (Some(control), Some(key)) =
            (self.shared.handover.control.get(), CancelKey::of(pid, secret))
        else {
            return;
        };
        let shared = self.shared.clone();
        control.spawn(async move {
            let arrived = (clock::now(), clock::wall());
            let sender = Visitor::new(id::next(), None, None, None, arrived);
            cancel::run(&shared, &key.request(), &sender).await;
        });
    }

    fn nobody_is_left(&self) -> bool {
        let logging_in = |visitor: &Arc<Visitor>| matches!(visitor.visit().doing, Doing::LoggingIn);
        self.waiting.is_empty()
            && self.under_way.is_empty()
            && self.shared.client_count() == 0
            && !self.shared.visitors.all().iter().any(logging_in)
    }

    /// The successor is gone: all that it has not taken is ours.
    fn take_back(mut self) {
        *lock(&self.shared.handover.giver) = None;
        self.shared.handover.stage.send_replace(Stage::Own);
        for holder in self.shared.holders.iter() {
            holder.stay();
        }
        // Who came to rest until just now.
        while let Ok(event) = self.inbox.try_recv() {
            if let Event::Client(client) = event {
                self.waiting.push_back(client);
            }
        }
        for client in std::mem::take(&mut self.waiting) {
            self.keep(Sent::Client(client));
        }
        for (_, sent) in std::mem::take(&mut self.under_way) {
            self.keep(sent);
        }
    }
}

fn nonsense() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it says what makes no sense now")
}
