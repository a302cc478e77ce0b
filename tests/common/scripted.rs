//! A server that does exactly what a script says: for faults that no real server can be made to
//! have, such as garbage at login, or an end in the middle of a message.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::SockRef;

/// One thing that the server does.
#[derive(Clone, Debug)]
pub enum Step {
    /// Reads the StartupMessage; says `N` to an SSLRequest or GSSENCRequest before it.
    Startup,
    /// Reads one message with this tag. Another one ends the connection and is noted as surprise.
    Message(u8),
    /// Reads this many bytes, whatever they are.
    Read(usize),
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Does nothing more, and keeps the connection open until the server is dropped.
    Hang,
    /// Closes as an orderly peer does (FIN). The end of a script does the same.
    Close,
    /// Closes with a reset (RST).
    Reset,
}

impl Step {
    /// A whole trusting login: startup, AuthenticationOk, parameters, key, ReadyForQuery.
    pub fn login() -> Vec<Self> {
        vec![Self::Startup, Self::Send(reply::welcome())]
    }

    /// Waits for a Query and sends these bytes.
    pub fn query(answer: Vec<u8>) -> Vec<Self> {
        vec![Self::Message(b'Q'), Self::Send(answer)]
    }
}

/// The server. Dropped, it closes all its connections.
#[derive(Debug)]
pub struct ScriptedServer {
    port: u16,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    seen: Mutex<Vec<Seen>>,
}

/// What a connection was sent by its peer.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// All bytes that were read.
    pub bytes: Vec<u8>,
    /// Why the script ended early, if it did.
    pub surprise: Option<String>,
    /// The script has come to its end (or to `Hang`).
    pub done: bool,
}

impl ScriptedServer {
    /// Plays the same script on every connection.
    pub fn start(script: Vec<Step>) -> Self {
        Self::start_each(move |_| script.clone())
    }

    /// Plays on connection number `n`, from 0, the script that `scripts(n)` gives.
    pub fn start_each(scripts: impl Fn(usize) -> Vec<Step> + Send + 'static) -> Self {
        let socket = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = socket.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        let for_listener = shared.clone();
        let listener = thread::spawn(move || listen(&socket, &for_listener, &scripts));
        Self { port, shared, listener: Some(listener) }
    }

    /// Its port at 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What happened on each connection so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(("127.0.0.1", self.port))); // wakes the listener
        if let Some(listener) = self.listener.take() {
            drop(listener.join());
        }
    }
}

fn listen(socket: &TcpListener, shared: &Arc<Shared>, scripts: &dyn Fn(usize) -> Vec<Step>) {
    let mut players = Vec::new();
    for (number, stream) in socket.incoming().enumerate() {
        if shared.stop.load(Ordering::SeqCst) {
            break;
        }
        let Ok(stream) = stream else { continue };
        shared.seen.lock().unwrap().push(Seen::default());
        let (script, shared) = (scripts(number), shared.clone());
        players.push(thread::spawn(move || {
            let mut player = Player { stream, number, shared };
            let end = player.play(script);
            player.note(|seen| {
                seen.surprise = end.err();
                seen.done = seen.surprise.is_none();
            });
        }));
    }
    for player in players {
        drop(player.join());
    }
}

struct Player {
    stream: TcpStream,
    number: usize,
    shared: Arc<Shared>,
}

impl Player {
    fn play(&mut self, script: Vec<Step>) -> Result<(), String> {
        // Short, so that a dropped server need not wait for a silent peer.
        self.stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        self.stream.set_nodelay(true).unwrap();
        for step in script {
            match step {
                Step::Startup => self.startup()?,
                Step::Message(tag) => self.message(tag)?,
                Step::Read(count) => drop(self.read(count)?),
                Step::Send(bytes) => {
                    self.stream.write_all(&bytes).map_err(|error| format!("send: {error}"))?;
                }
                Step::Hang => {
                    self.note(|seen| seen.done = true);
                    while !self.stopped() {
                        thread::sleep(Duration::from_millis(10));
                    }
                    return Ok(());
                }
                Step::Close => return Ok(()),
                Step::Reset => {
                    SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn startup(&mut self) -> Result<(), String> {
        const SSL_REQUEST: u32 = 80_877_103;
        const GSSENC_REQUEST: u32 = 80_877_104;
        loop {
            let length = self.word()?;
            let code = self.word()?;
            self.read(length.saturating_sub(8) as usize)?;
            if !matches!(code, SSL_REQUEST | GSSENC_REQUEST) {
                return Ok(());
            }
            self.stream.write_all(b"N").map_err(|error| format!("send: {error}"))?;
        }
    }

    fn message(&mut self, wanted: u8) -> Result<(), String> {
        let tag = self.read(1)?[0];
        if tag != wanted {
            return Err(format!("wanted message {:?}, got {:?}", wanted as char, tag as char));
        }
        let length = self.word()?;
        self.read(length.saturating_sub(4) as usize).map(drop)
    }

    fn word(&mut self) -> Result<u32, String> {
        let bytes = self.read(4)?;
        Ok(u32::from_be_bytes(bytes.try_into().expect("four bytes were read")))
    }

    fn read(&mut self, count: usize) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let mut block = vec![0; count];
        while bytes.len() < count {
            match self.stream.read(&mut block[bytes.len()..]) {
                Ok(0) => return Err("the peer closed".to_owned()),
                Ok(read) => {
                    let new = block[bytes.len()..][..read].to_vec();
                    self.note(|seen| seen.bytes.extend_from_slice(&new));
                    bytes.extend(new);
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    if self.stopped() {
                        return Err("the test ended".to_owned());
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("read: {error}")),
            }
        }
        Ok(bytes)
    }

    fn stopped(&self) -> bool {
        self.shared.stop.load(Ordering::SeqCst)
    }

    fn note(&self, note: impl FnOnce(&mut Seen)) {
        note(&mut self.shared.seen.lock().unwrap()[self.number]);
    }
}

/// Messages of a server, as bytes. By hand, so that a test can break them.
pub mod reply {
    /// A message: tag, length, body.
    pub fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[tag], length.as_slice(), body].concat()
    }

    /// AuthenticationOk.
    pub fn authentication_ok() -> Vec<u8> {
        message(b'R', &[0, 0, 0, 0])
    }

    /// ParameterStatus.
    pub fn parameter(name: &str, value: &str) -> Vec<u8> {
        message(b'S', format!("{name}\0{value}\0").as_bytes())
    }

    /// BackendKeyData of protocol 3.0.
    pub fn key_data(pid: u32, secret: u32) -> Vec<u8> {
        message(b'K', &[pid.to_be_bytes(), secret.to_be_bytes()].concat())
    }

    /// ReadyForQuery: `I`, `T` or `E`.
    pub fn ready(status: u8) -> Vec<u8> {
        message(b'Z', &[status])
    }

    /// CommandComplete.
    pub fn complete(tag: &str) -> Vec<u8> {
        message(b'C', format!("{tag}\0").as_bytes())
    }

    /// ErrorResponse.
    pub fn error(severity: &str, code: &str, text: &str) -> Vec<u8> {
        message(b'E', format!("S{severity}\0V{severity}\0C{code}\0M{text}\0\0").as_bytes())
    }

    /// One row with one text column, complete and ready: the answer to `SELECT 1`.
    pub fn one_value(name: &str, value: &str) -> Vec<u8> {
        let mut column = format!("{name}\0").into_bytes();
        column.extend([0, 0, 0, 0, 0, 0]); // no table
        column.extend([0, 0, 0, 25, 255, 255, 255, 255, 255, 255, 0, 0]); // text, any size, as text
        let length = u32::try_from(value.len()).unwrap().to_be_bytes();
        [
            message(b'T', &[&[0, 1], column.as_slice()].concat()),
            message(b'D', &[&[0, 1], length.as_slice(), value.as_bytes()].concat()),
            complete("SELECT 1"),
            ready(b'I'),
        ]
        .concat()
    }

    /// All that a server says after a login that needs no password.
    pub fn welcome() -> Vec<u8> {
        let mut bytes = authentication_ok();
        for (name, value) in [
            ("server_version", "15.0"),
            ("server_encoding", "UTF8"),
            ("client_encoding", "UTF8"),
            ("DateStyle", "ISO, MDY"),
            ("TimeZone", "Etc/UTC"),
            ("standard_conforming_strings", "on"),
            ("integer_datetimes", "on"),
            ("in_hot_standby", "off"),
            ("default_transaction_read_only", "off"),
        ] {
            bytes.extend(parameter(name, value));
        }
        bytes.extend(key_data(4711, 42));
        bytes.extend(ready(b'I'));
        bytes
    }
}
