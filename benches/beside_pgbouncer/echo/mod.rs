//! The pooler alone: a server that knows one answer, and a cheap load generator, in one thread.
//!
//! PostgreSQL and pgbench cost several times what a pooler costs, so beside them a pooler is never what limits. Here
//! both ends are one epoll loop on a core of its own, and the pooler has the other core to itself.

mod answers;
mod backend;
mod clients;
mod socket;

use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::process::Pid;

use crate::measure::{self, Measure, Sample};
use crate::process;
use backend::Backend;
use clients::{Clients, Progress};

/// How a transaction is asked for; all are one SELECT, as `pgbench -S` sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Query.
    Simple,
    /// Parse of the unnamed statement, Bind, Describe, Execute, Sync.
    Extended,
    /// Bind of a statement parsed before, Describe, Execute, Sync.
    Prepared,
}

/// What to send through which pooler.
pub(crate) struct Load {
    /// The pooler's port at 127.0.0.1.
    pub(crate) port: u16,
    /// The pooler's process.
    pub(crate) pid: Pid,
    /// How.
    pub(crate) mode: Mode,
    /// Connections, each with one transaction at a time.
    pub(crate) clients: usize,
    /// How long to count.
    pub(crate) length: Duration,
}

/// The thread with the server and the load generator. Dropped, it ends.
pub(crate) struct Echo {
    port: u16,
    orders: Option<Sender<(Load, Sender<Sample>)>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// Before anything counts: each server connection has been used, each buffer has its size.
const WARM_UP: Duration = Duration::from_millis(500);
/// The longest that all clients may take for logging in, for preparing, or for their last answers.
const PATIENCE: Duration = Duration::from_secs(60);

impl Echo {
    /// Starts the thread on `core`; its server listens from now on.
    pub(crate) fn start(core: usize) -> Self {
        let (orders, inbox) = channel();
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        let backend = Backend::listen(&epoll);
        let port = backend.port();
        let thread = thread::Builder::new().name("echo".into()).spawn(move || {
            process::pin_this_thread(core);
            Engine { epoll, backend, events: Vec::with_capacity(1024) }.run(&inbox);
        });
        Self { port, orders: Some(orders), thread: Some(thread.unwrap()) }
    }

    /// The server's port at 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Runs a load to its end. `None` if the thread has panicked, which says why: a client was refused or got no answer.
    pub(crate) fn round(&self, load: Load) -> Option<Sample> {
        let (result, outcome) = channel();
        self.orders.as_ref()?.send((load, result)).ok()?;
        outcome.recv().ok()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        drop(self.orders.take());
        drop(self.thread.take().map(thread::JoinHandle::join));
    }
}

/// The loop: sockets of both ends in one epoll instance, told apart by [`socket::Token`].
struct Engine {
    epoll: OwnedFd,
    backend: Backend,
    events: Vec<epoll::Event>,
}

impl Engine {
    fn run(&mut self, orders: &Receiver<(Load, Sender<Sample>)>) {
        loop {
            match orders.try_recv() {
                Ok((load, result)) => drop(result.send(self.load(&load))),
                Err(TryRecvError::Empty) => self.turn(None),
                Err(TryRecvError::Disconnected) => return,
            }
        }
    }

    /// Serves what is ready, or returns after 10 ms.
    fn turn(&mut self, mut clients: Option<&mut Clients>) {
        let wait = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&wait)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => panic!("epoll: {error}"),
        }
        for event in self.events.drain(..) {
            match socket::Token::of(event.data.u64()) {
                socket::Token::Listener => self.backend.accept(&self.epoll),
                socket::Token::Server(index) => self.backend.serve(index),
                socket::Token::Client(index) => {
                    clients.as_mut().expect("clients end with their load").serve(index);
                }
            }
        }
    }

    fn turn_until(&mut self, progress: Progress, clients: &mut Clients) {
        let deadline = Instant::now() + PATIENCE;
        while clients.progress() != progress {
            assert!(Instant::now() < deadline, "still {:?} after {PATIENCE:?}", clients.progress());
            self.turn(Some(clients));
        }
    }

    fn load(&mut self, load: &Load) -> Sample {
        let mut clients = Clients::connect(&self.epoll, load);
        self.turn_until(Progress::Running, &mut clients);
        let warm = Instant::now() + WARM_UP;
        while Instant::now() < warm {
            self.turn(Some(&mut clients));
        }
        clients.count();
        let (from, before) = (Instant::now(), process::cpu_us(load.pid));
        let own = process::cpu_us_of_this_thread();
        while from.elapsed() < load.length {
            self.turn(Some(&mut clients));
        }
        let (seconds, cpu) = (from.elapsed().as_secs_f64(), process::cpu_us(load.pid) - before);
        let own = process::cpu_us_of_this_thread() - own;
        let latencies = clients.stop();
        self.turn_until(Progress::Stopped, &mut clients);
        let ends = own / latencies.len() as f64;
        let mut sample = measure::transactions(seconds, cpu, latencies);
        sample.insert(Measure::Busy, cpu / seconds / 1e4);
        sample.insert(Measure::Ends, ends);
        sample
    }
}
