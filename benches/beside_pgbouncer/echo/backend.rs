//! The server: trusts everybody, and answers each message with the same bytes.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::fd::OwnedFd;

use super::answers::Answers;
use super::socket::{Socket, Token, messages};

/// The server with its connections.
pub(super) struct Backend {
    listener: TcpListener,
    /// Never shrinks: a token is a place in it.
    connections: Vec<Option<Connection>>,
    answers: Answers,
    /// What the next write takes.
    output: Vec<u8>,
}

struct Connection {
    socket: Socket,
    /// After the startup packet messages have tags.
    started: bool,
}

const SSL_REQUEST: u32 = 80_877_103;
const PROTOCOL_3: u32 = 3;

impl Backend {
    pub(super) fn listen(epoll: &OwnedFd) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Token::Listener.register(epoll, &listener);
        Self { listener, connections: Vec::new(), answers: Answers::new(), output: Vec::new() }
    }

    pub(super) fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    pub(super) fn accept(&mut self, epoll: &OwnedFd) {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    let socket = Socket::new(stream);
                    socket.register(epoll, Token::Server(self.connections.len()));
                    self.connections.push(Some(Connection { socket, started: false }));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("accept: {error}"),
            }
        }
    }

    /// Reads what a connection has, and answers it in one write.
    pub(super) fn serve(&mut self, index: usize) {
        let Some(connection) = &mut self.connections[index] else { return };
        let Connection { socket, started } = connection;
        let (answers, output) = (&self.answers, &mut self.output);
        output.clear();
        let mut ended = false;
        let open = socket.read(|bytes| {
            let mut taken = 0;
            while !*started {
                let Some(packet) = untagged(&bytes[taken..]) else { return taken };
                taken += packet.len();
                match u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]) {
                    SSL_REQUEST => output.push(b'N'),
                    version if version >> 16 == PROTOCOL_3 => {
                        output.extend_from_slice(&answers.welcome);
                        *started = true;
                    }
                    _ => {
                        ended = true; // a cancel request, or nothing that we speak
                        return taken;
                    }
                }
            }
            taken
                + messages(&bytes[taken..], |tag, message| match tag {
                    b'X' => ended = true,
                    _ => answer(answers, tag, message, output),
                })
        });
        if !output.is_empty() {
            socket.write(output);
        }
        if !open || ended {
            self.connections[index] = None;
        }
    }
}

/// A packet before the tags begin, if it is whole.
fn untagged(bytes: &[u8]) -> Option<&[u8]> {
    let length = u32::from_be_bytes(*bytes.first_chunk()?) as usize;
    assert!(length >= 8, "a startup packet of {length} bytes");
    bytes.get(..length)
}

fn answer(answers: &Answers, tag: u8, message: &[u8], output: &mut Vec<u8>) {
    let answer = match tag {
        b'Q' if message.get(5..8) == Some(b"SET") => &answers.set,
        b'Q' => &answers.query,
        b'P' => &answers.parse,
        b'B' => &answers.bind,
        b'D' if message.get(5) == Some(&b'S') => &answers.describe_statement,
        b'D' => &answers.describe_portal,
        b'E' => &answers.execute,
        b'C' => &answers.close,
        b'S' => &answers.sync,
        b'H' => return,
        _ => panic!("the echoing server got a message {:?}", tag as char),
    };
    output.extend_from_slice(answer);
}
