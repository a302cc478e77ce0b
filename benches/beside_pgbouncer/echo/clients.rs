//! The load generator: connections through the pooler, each with the next transaction as soon as the last is answered.

use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::Instant;

use super::answers::{self, Request};
use super::socket::{Socket, Token, messages};
use super::{Load, Mode};

/// How far all of them are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Some have not logged in.
    LoggingIn,
    /// Some have not prepared their statement.
    Preparing,
    /// Each has a transaction under way.
    Running,
    /// What is under way is awaited, nothing else is sent.
    Stopping,
    /// Each has its answer.
    Stopped,
}

/// All connections of one load.
pub(super) struct Clients {
    all: Vec<Client>,
    mode: Mode,
    progress: Progress,
    /// How many have still to take the step that `progress` names.
    left: usize,
    counting: bool,
    latencies_us: Vec<f64>,
    /// Number of the transaction, which is also what it asks for.
    number: u32,
}

struct Client {
    socket: Socket,
    request: Request,
    sent: Instant,
}

const STATEMENT: &str = "P_0";
/// Numbers have seven digits.
const NUMBERS: u32 = 10_000_000;

impl Clients {
    /// Connects all, and sends their startup packets.
    pub(super) fn connect(epoll: &OwnedFd, load: &Load) -> Self {
        let startup = answers::startup();
        let all: Vec<_> = (0..load.clients)
            .map(|index| {
                let stream = TcpStream::connect(("127.0.0.1", load.port)).unwrap();
                let mut socket = Socket::new(stream);
                socket.register(epoll, Token::Client(index));
                socket.write(&startup);
                let request = match load.mode {
                    Mode::Simple => Request::simple(),
                    Mode::Extended => Request::extended(),
                    Mode::Prepared => Request::bind(STATEMENT),
                };
                Client { socket, request, sent: Instant::now() }
            })
            .collect();
        Self {
            left: all.len(),
            all,
            mode: load.mode,
            progress: Progress::LoggingIn,
            counting: false,
            latencies_us: Vec::new(),
            number: 0,
        }
    }

    pub(super) fn progress(&self) -> Progress {
        self.progress
    }

    /// From now on latencies are kept.
    pub(super) fn count(&mut self) {
        self.counting = true;
    }

    /// No further transaction. The latencies so far, in microseconds.
    pub(super) fn stop(&mut self) -> Vec<f64> {
        (self.progress, self.left) = (Progress::Stopping, self.all.len());
        std::mem::take(&mut self.latencies_us)
    }

    /// Reads what a connection has.
    pub(super) fn serve(&mut self, index: usize) {
        let mut ready = false;
        let open = self.all[index].socket.read(|bytes| {
            messages(bytes, |tag, message| match tag {
                b'Z' => ready = true,
                b'E' => panic!("the pooler said {}", String::from_utf8_lossy(message)),
                _ => {}
            })
        });
        assert!(open, "the pooler closed a connection");
        if ready {
            self.answered(index);
        }
    }

    fn answered(&mut self, index: usize) {
        if self.progress == Progress::Running {
            let now = Instant::now();
            if self.counting {
                let latency = now - self.all[index].sent;
                self.latencies_us.push(latency.as_nanos() as f64 / 1e3);
            }
            return self.send(index, now);
        }
        self.left -= 1;
        if self.left > 0 {
            return;
        }
        self.left = self.all.len();
        match self.progress {
            Progress::LoggingIn if self.mode == Mode::Prepared => {
                self.progress = Progress::Preparing;
                let prepare = answers::prepare(STATEMENT);
                self.all.iter_mut().for_each(|client| client.socket.write(&prepare));
            }
            Progress::LoggingIn | Progress::Preparing => {
                self.progress = Progress::Running;
                (0..self.all.len()).for_each(|index| self.send(index, Instant::now()));
            }
            Progress::Running | Progress::Stopping | Progress::Stopped => {
                self.progress = Progress::Stopped;
                let terminate = answers::terminate();
                self.all.iter_mut().for_each(|client| client.socket.write(&terminate));
            }
        }
    }

    fn send(&mut self, index: usize, now: Instant) {
        self.number = (self.number + 1) % NUMBERS;
        let client = &mut self.all[index];
        client.request.vary(self.number);
        client.socket.write(&client.request.bytes);
        client.sent = now;
    }
}
