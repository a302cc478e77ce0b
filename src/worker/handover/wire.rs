//! What the two processes say to each other: CBOR (RFC 8949) in messages of [`pass`].

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::carried::{CarriedClient, CarriedConnection};
use crate::net::pass;

/// Both sides must speak the same. Fields may be added without a new number; what they mean must not change.
pub const VERSION: u32 = 1;

/// From the old process to the new one.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToNew {
    /// What there is. Its sockets are those that it listens on.
    Hello(Hello),
    /// Accepting is the new one's from now on.
    Over,
    /// A client; its socket, and its server's if it has one. To be answered with this number.
    Client(u64, Box<CarriedClient>),
    /// An idle server connection; its socket. To be answered with this number.
    Server(u64, Box<CarriedConnection>),
    /// Nothing more comes.
    Done,
}

/// From the new process to the old one.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToOld {
    /// It could begin to accept.
    Ready {
        /// Its process id.
        pid: u32,
    },
    /// It accepts.
    Serving,
    /// It has what was sent under this number.
    Taken(u64),
    /// It has no place for it, now: the old one goes on with it.
    Refused(u64),
    /// A cancel request for a client that it does not know.
    Cancel {
        /// Of the key.
        pid: u32,
        /// Of the key.
        secret: Vec<u8>,
    },
}

/// What the new process has to know before it takes anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`VERSION`].
    pub version: u32,
    /// The old process.
    pub pid: u32,
    /// Its version, for the log.
    pub program: String,
    /// New prepared statements must have higher numbers.
    pub statements: u64,
    /// `PAUSE` is in force for all.
    #[serde(default)]
    pub all_paused: bool,
    /// Databases for which it is.
    #[serde(default)]
    pub paused: Vec<String>,
    /// Databases that are switched off (`DISABLE`).
    #[serde(default)]
    pub disabled: Vec<String>,
    /// Switchovers that were announced (`SWITCHOVER PREPARE`).
    #[serde(default)]
    pub switchovers: Vec<Switchover>,
}

/// New transactions of a database wait for another primary than the present one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switchover {
    /// Name of the entry.
    pub database: String,
    /// The primary that it is from.
    pub from: String,
    /// For how long yet, at most, milliseconds.
    pub left: u64,
}

/// Sends one message.
///
/// # Errors
/// As [`pass::send`].
pub fn send<T: Serialize>(
    to: &UnixStream,
    message: &T,
    sockets: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let mut payload = Vec::new();
    ciborium::into_writer(message, &mut payload).map_err(io::Error::other)?;
    pass::send(to, &payload, sockets)
}

/// Receives one message; `None` if the other side has closed.
///
/// # Errors
/// As [`pass::receive`]; what it says cannot be read ([`io::ErrorKind::InvalidData`]).
pub fn receive<T: DeserializeOwned>(from: &UnixStream) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let Some((payload, sockets)) = pass::receive(from)? else { return Ok(None) };
    let message = ciborium::from_reader(&payload[..])
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
    Ok(Some((message, sockets)))
}
