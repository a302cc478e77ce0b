//! A socket of either end: what has arrived of a message, and which end it belongs to.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};

use pgweir_codec::head::Head;
use rustix::event::epoll;

/// What epoll reports with an event.
#[derive(Clone, Copy, Debug)]
pub(super) enum Token {
    /// The server's listening socket.
    Listener,
    /// A connection that the server accepted.
    Server(usize),
    /// A connection to the pooler.
    Client(usize),
}

impl Token {
    pub(super) fn of(number: u64) -> Self {
        let index = (number >> 2) as usize;
        match number & 3 {
            0 => Self::Listener,
            1 => Self::Server(index),
            _ => Self::Client(index),
        }
    }

    fn number(self) -> u64 {
        match self {
            Self::Listener => 0,
            Self::Server(index) => (index as u64) << 2 | 1,
            Self::Client(index) => (index as u64) << 2 | 2,
        }
    }

    /// Has epoll report when `socket` can be read.
    pub(super) fn register(self, epoll: &OwnedFd, socket: impl AsFd) {
        let data = epoll::EventData::new_u64(self.number());
        epoll::add(epoll, socket, data, epoll::EventFlags::IN).unwrap();
    }
}

/// Messages are short: one read has all that is there, and clearing the block costs nothing beside it.
const BLOCK: usize = 2 * 1024;

/// A non-blocking connection.
pub(super) struct Socket {
    stream: TcpStream,
    /// The beginning of a message whose end has not arrived.
    rest: Vec<u8>,
}

impl Socket {
    pub(super) fn new(stream: TcpStream) -> Self {
        stream.set_nonblocking(true).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, rest: Vec::new() }
    }

    pub(super) fn register(&self, epoll: &OwnedFd, token: Token) {
        token.register(epoll, &self.stream);
    }

    /// Reads once, and hands what is there to `take`, which says how much of it it took. `false` when the other
    /// side has closed.
    pub(super) fn read(&mut self, take: impl FnOnce(&[u8]) -> usize) -> bool {
        let mut block = [0; BLOCK];
        let read = match self.stream.read(&mut block) {
            Ok(0) => return false,
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return false,
            Err(error) => panic!("a socket of the bench: {error}"),
        };
        if self.rest.is_empty() {
            let taken = take(&block[..read]);
            self.rest.extend_from_slice(&block[taken..read]);
        } else {
            self.rest.extend_from_slice(&block[..read]);
            let taken = take(&self.rest);
            self.rest.drain(..taken);
        }
        true
    }

    /// Writes all: what the two ends write is far smaller than a socket's buffer.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        if let Err(error) = self.stream.write_all(bytes) {
            let gone = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
            assert!(gone.contains(&error.kind()), "a socket of the bench: {error}");
        }
    }
}

/// Gives each whole message, tag and length included, to `each`. Returns how many bytes these were.
pub(super) fn messages(bytes: &[u8], mut each: impl FnMut(u8, &[u8])) -> usize {
    let mut taken = 0;
    while let Some(head) = Head::peek(&bytes[taken..]).unwrap() {
        let Some(message) = bytes.get(taken..taken + head.len) else { break };
        each(head.tag, message);
        taken += head.len;
    }
    taken
}
