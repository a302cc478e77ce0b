//! A client that speaks in single messages, with pgweir's own codec: for what [`super::Wire`] cannot say or read.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use pgweir_codec::backend::{self, ErrorResponse};
use pgweir_codec::frontend;
use pgweir_codec::startup::{CancelRequest, StartupMessage};

/// A socket to a PostgreSQL port.
pub struct Raw {
    socket: TcpStream,
    input: BytesMut,
}

/// What came during a login.
#[derive(Debug, Default)]
pub struct Welcome {
    /// NegotiateProtocolVersion.
    pub negotiated: Option<backend::NegotiateProtocolVersion>,
    /// ParameterStatus, in order.
    pub parameters: Vec<(String, String)>,
    /// BackendKeyData.
    pub pid: u32,
    /// BackendKeyData.
    pub key: Bytes,
}

impl Welcome {
    /// The value of a reported setting; the last one told.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().rev().find(|(known, _)| known == name).map(|(_, value)| &value[..])
    }
}

/// An answer up to ReadyForQuery, or to the end of the connection.
#[derive(Debug, Default)]
pub struct Answer {
    /// Rows of text; NULL reads as "".
    pub rows: Vec<Vec<String>>,
    /// ErrorResponse, the last.
    pub error: Option<ErrorResponse>,
    /// ParameterStatus, in order.
    pub parameters: Vec<(String, String)>,
    /// Whether the connection ended instead of ReadyForQuery.
    pub closed: bool,
}

impl Answer {
    /// SQLSTATE of the error; empty without one.
    pub fn code(&self) -> String {
        self.error.as_ref().map_or_else(String::new, |error| error.code().as_str().to_owned())
    }

    /// The error's text; empty without one.
    pub fn message(&self) -> String {
        self.error.as_ref().map_or_else(String::new, ErrorResponse::message)
    }

    /// The only value of the only row.
    #[track_caller]
    pub fn one(&self) -> &str {
        match &self.rows[..] {
            [row] if row.len() == 1 => &row[0],
            _ => panic!("not one value: {self:?}"),
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Raw {
    /// Connects to 127.0.0.1.
    #[track_caller]
    pub fn connect(port: u16) -> Self {
        let socket = TcpStream::connect(("127.0.0.1", port)).expect("no connection");
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        socket.set_nodelay(true).unwrap();
        Self { socket, input: BytesMut::new() }
    }

    /// Logs in as `app` in database `app`; an error comes back as the server told it.
    pub fn login(
        port: u16,
        minor: u16,
        parameters: &[(&str, &str)],
    ) -> Result<(Self, Welcome), ErrorResponse> {
        let own = [("user", "app"), ("database", "app")];
        let parameters: Vec<_> = own.iter().chain(parameters).copied().collect();
        let mut raw = Self::connect(port);
        raw.startup(minor, &parameters);
        raw.welcome().map(|welcome| (raw, welcome))
    }

    /// Sends a StartupMessage.
    pub fn startup(&mut self, minor: u16, parameters: &[(&str, &str)]) {
        let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        let parameters = parameters.iter().map(|(name, value)| (bytes(name), bytes(value)));
        let mut out = BytesMut::new();
        StartupMessage { major: 3, minor, parameters: parameters.collect() }.encode(&mut out);
        self.send(&out);
    }

    /// Reads up to ReadyForQuery.
    pub fn welcome(&mut self) -> Result<Welcome, ErrorResponse> {
        let mut welcome = Welcome::default();
        loop {
            let (tag, body) = self.read().expect("the connection ended during login");
            match tag {
                backend::NegotiateProtocolVersion::TAG => {
                    let told = backend::NegotiateProtocolVersion::decode(body).unwrap();
                    assert_eq!(welcome.negotiated.replace(told), None, "negotiated twice");
                }
                backend::ParameterStatus::TAG => {
                    let status = backend::ParameterStatus::decode(body).unwrap();
                    welcome.parameters.push((text(&status.name), text(&status.value)));
                }
                backend::BackendKeyData::TAG => {
                    let data = backend::BackendKeyData::decode(body).unwrap();
                    (welcome.pid, welcome.key) = (data.pid, data.key);
                }
                ErrorResponse::TAG => return Err(ErrorResponse::decode(body).unwrap()),
                backend::ReadyForQuery::TAG => return Ok(welcome),
                _ => {}
            }
        }
    }

    /// Sends bytes as they are.
    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).expect("the connection is closed");
    }

    /// The same to somebody who may have closed already: what he said before is read afterwards.
    pub fn send_in_vain(&mut self, bytes: &[u8]) {
        let _ = self.socket.write_all(bytes);
    }

    /// Sends a simple query.
    #[track_caller]
    pub fn start(&mut self, sql: &str) {
        let mut out = BytesMut::new();
        frontend::query::write(&mut out, sql.as_bytes());
        self.send(&out);
    }

    /// Runs a simple query.
    #[track_caller]
    pub fn query(&mut self, sql: &str) -> Answer {
        self.start(sql);
        self.answer()
    }

    /// The value that a simple query gives.
    #[track_caller]
    pub fn value(&mut self, sql: &str) -> String {
        self.query(sql).one().to_owned()
    }

    /// Reads up to ReadyForQuery or to the end of the connection.
    pub fn answer(&mut self) -> Answer {
        let mut answer = Answer::default();
        loop {
            let Some((tag, body)) = self.read() else {
                answer.closed = true;
                return answer;
            };
            match tag {
                backend::ReadyForQuery::TAG => return answer,
                backend::DataRow::TAG => {
                    let row = backend::DataRow::decode(body).unwrap();
                    let value = |value: Option<Bytes>| text(&value.unwrap_or_default());
                    answer.rows.push(row.columns.into_iter().map(value).collect());
                }
                backend::ParameterStatus::TAG => {
                    let status = backend::ParameterStatus::decode(body).unwrap();
                    answer.parameters.push((text(&status.name), text(&status.value)));
                }
                ErrorResponse::TAG => answer.error = Some(ErrorResponse::decode(body).unwrap()),
                _ => {}
            }
        }
    }

    /// The next message; `None` when the connection has ended.
    pub fn read(&mut self) -> Option<(u8, Bytes)> {
        loop {
            if let Some(length) = self.input.get(1..5) {
                let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
                if self.input.len() > length {
                    let message = self.input.split_to(1 + length).freeze();
                    return Some((message[0], message.slice(5..)));
                }
            }
            if !self.receive() {
                return None;
            }
        }
    }

    /// Reads once; `false` when the other side has closed.
    fn receive(&mut self) -> bool {
        let mut block = [0; 8192];
        match self.socket.read(&mut block) {
            Ok(count) => {
                self.input.extend_from_slice(&block[..count]);
                count > 0
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => false,
            Err(error) => panic!("no answer: {error}"),
        }
    }

    /// Waits until bytes of the next message have come, and leaves them.
    pub fn begins_to_answer(&mut self) {
        while self.input.is_empty() && self.receive() {}
    }

    /// All that comes until the other side closes, as it is.
    pub fn rest(&mut self) -> BytesMut {
        while self.receive() {}
        self.input.split()
    }
}

/// Sends a cancel request with a key of any length, and waits until the other side has closed.
pub fn cancel(port: u16, pid: u32, key: &[u8]) {
    let mut raw = Raw::connect(port);
    let mut out = BytesMut::new();
    CancelRequest { pid, key: Bytes::copy_from_slice(key) }.encode(&mut out);
    raw.send(&out);
    assert_eq!(raw.read(), None, "an answer to a cancel request");
}
