//! A client of a few lines: startup without password, simple queries, over a blocking socket.
//!
//! Quicker than starting psql, and for tests that must hold a connection or write exact bytes.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::{ErrorFields, Message};
use postgres_protocol::message::frontend;

/// No answer takes longer in a test that is right.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// What a connection may run over.
pub trait Socket: Read + Write + Send {}
impl Socket for rustls::StreamOwned<rustls::ClientConnection, TcpStream> {}
impl Socket for TcpStream {}
impl Socket for UnixStream {}

/// A connection, logged in.
pub struct Wire {
    socket: Box<dyn Socket>,
    input: BytesMut,
    key: (i32, i32),
}

/// Rows as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Values, in the order of the columns.
    pub rows: Vec<Vec<Option<String>>>,
}

impl Rows {
    /// Value of a column in row `row`; NULL reads as "".
    #[track_caller]
    pub fn get(&self, row: usize, column: &str) -> &str {
        let index = self.columns.iter().position(|name| name == column);
        let index = index.unwrap_or_else(|| panic!("no column {column} in {:?}", self.columns));
        let row = self.rows.get(row).unwrap_or_else(|| panic!("no row {row} in {self:?}"));
        row[index].as_deref().unwrap_or("")
    }

    /// The first row whose `column` has this value.
    pub fn find(&self, column: &str, value: &str) -> Option<usize> {
        (0..self.rows.len()).find(|row| self.get(*row, column) == value)
    }

    /// The only value of the only row; NULL reads as "".
    #[track_caller]
    pub fn one(&self) -> &str {
        match self.rows.as_slice() {
            [row] if row.len() == 1 => row[0].as_deref().unwrap_or(""),
            _ => panic!("not one value: {self:?}"),
        }
    }
}

/// What went wrong: the server's error, or the connection.
#[derive(Debug)]
pub enum ServerError {
    /// The server's ErrorResponse.
    Sql {
        /// ERROR, FATAL, PANIC.
        severity: String,
        /// SQLSTATE.
        code: String,
        /// The message.
        message: String,
    },
    /// The connection broke.
    Io(io::Error),
}

impl ServerError {
    /// The SQLSTATE, or "" when the connection broke.
    pub fn code(&self) -> &str {
        match self {
            Self::Sql { code, .. } => code,
            Self::Io(_) => "",
        }
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sql { severity, code, message } => write!(f, "{severity} {code}: {message}"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl From<io::Error> for ServerError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Wire {
    /// Over TCP to 127.0.0.1.
    ///
    /// # Errors
    /// No connection, or the login was refused or wanted a password.
    pub fn tcp(port: u16, user: &str, database: &str) -> Result<Self, ServerError> {
        let socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.set_read_timeout(Some(READ_TIMEOUT))?;
        socket.set_nodelay(true)?;
        Self::login(Box::new(socket), user, database)
    }

    /// As [`Self::tcp`], with further startup parameters.
    ///
    /// # Errors
    /// As [`Self::tcp`].
    pub fn tcp_with(
        port: u16,
        user: &str,
        database: &str,
        parameters: &[(&str, &str)],
    ) -> Result<Self, ServerError> {
        let socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.set_read_timeout(Some(READ_TIMEOUT))?;
        socket.set_nodelay(true)?;
        Self::login_with(Box::new(socket), user, database, parameters)
    }

    /// Over the Unix socket in a folder.
    ///
    /// # Errors
    /// As [`Self::tcp`].
    pub fn unix(dir: &Path, port: u16, user: &str, database: &str) -> Result<Self, ServerError> {
        let socket = UnixStream::connect(dir.join(format!(".s.PGSQL.{port}")))?;
        socket.set_read_timeout(Some(READ_TIMEOUT))?;
        Self::login(Box::new(socket), user, database)
    }

    /// Over a connection that stands already, such as one inside TLS.
    ///
    /// # Errors
    /// As [`Self::tcp`].
    pub fn login(socket: Box<dyn Socket>, user: &str, database: &str) -> Result<Self, ServerError> {
        Self::login_with(socket, user, database, &[])
    }

    fn login_with(
        socket: Box<dyn Socket>,
        user: &str,
        database: &str,
        parameters: &[(&str, &str)],
    ) -> Result<Self, ServerError> {
        let mut wire = Self { socket, input: BytesMut::new(), key: (0, 0) };
        let mut startup = BytesMut::new();
        let own = [("user", user), ("database", database)];
        frontend::startup_message(own.iter().chain(parameters).copied(), &mut startup)?;
        wire.send(&startup)?;
        wire.answer()?;
        Ok(wire)
    }

    /// Runs SQL as a simple query; rows of the last statement that has any.
    ///
    /// # Errors
    /// The server's error, or the connection broke.
    pub fn query(&mut self, sql: &str) -> Result<Rows, ServerError> {
        self.start(sql)?;
        self.answer()
    }

    /// Sends a simple query without waiting; [`Self::answer`] reads what comes of it.
    ///
    /// # Errors
    /// The connection broke.
    pub fn start(&mut self, sql: &str) -> Result<(), ServerError> {
        let mut message = BytesMut::new();
        frontend::query(sql, &mut message)?;
        self.send(&message)
    }

    /// The process number and the secret that a cancel request for this client bears.
    pub fn key(&self) -> (i32, i32) {
        self.key
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// The connection broke.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), ServerError> {
        Ok(self.socket.write_all(bytes)?)
    }

    /// Reads up to the next ReadyForQuery.
    ///
    /// # Errors
    /// The server's error (after ReadyForQuery, unless it is FATAL), or the connection broke.
    pub fn answer(&mut self) -> Result<Rows, ServerError> {
        let mut rows = Rows::default();
        let mut failed = None;
        loop {
            match self.message() {
                Ok(Message::ReadyForQuery(_)) => return failed.map_or(Ok(rows), Err),
                Ok(Message::ErrorResponse(body)) => {
                    failed = Some(error(body.fields()));
                }
                Ok(Message::RowDescription(body)) => {
                    let names = body.fields().map(|field| Ok(field.name().to_owned()));
                    rows = Rows { columns: names.collect()?, rows: Vec::new() };
                }
                Ok(Message::DataRow(body)) => {
                    let values = body.ranges().map(|range| {
                        Ok(range.map(|range| {
                            String::from_utf8_lossy(&body.buffer()[range]).into_owned()
                        }))
                    });
                    rows.rows.push(values.collect()?);
                }
                Ok(
                    Message::AuthenticationMd5Password(_)
                    | Message::AuthenticationCleartextPassword
                    | Message::AuthenticationSasl(_),
                ) => return Err(io::Error::other("the server wants a password").into()),
                Ok(Message::BackendKeyData(body)) => {
                    self.key = (body.process_id(), body.secret_key());
                }
                Ok(_) => {}
                // After FATAL the server closes: its words are worth more than the end of file.
                Err(broken) => return Err(failed.unwrap_or(broken)),
            }
        }
    }

    /// Reads the next message.
    ///
    /// # Errors
    /// The connection broke.
    pub fn message(&mut self) -> Result<Message, ServerError> {
        loop {
            if let Some(message) = Message::parse(&mut self.input)? {
                return Ok(message);
            }
            let mut block = [0; 8192];
            match self.socket.read(&mut block)? {
                0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                read => self.input.extend_from_slice(&block[..read]),
            }
        }
    }
}

/// Sends a cancel request, and returns when it has been dealt with: then the other side closes.
///
/// # Errors
/// No connection.
pub fn cancel(port: u16, (process, secret): (i32, i32)) -> io::Result<()> {
    let mut socket = TcpStream::connect(("127.0.0.1", port))?;
    socket.set_read_timeout(Some(READ_TIMEOUT))?;
    let mut request = BytesMut::new();
    frontend::cancel_request(process, secret, &mut request);
    socket.write_all(&request)?;
    match socket.read(&mut [0]) {
        Ok(0) => Ok(()),
        Ok(_) => Err(io::Error::other("an answer to a cancel request")),
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(()),
        Err(error) => Err(error),
    }
}

fn error(mut fields: ErrorFields<'_>) -> ServerError {
    let (mut severity, mut code, mut message) = <(String, String, String)>::default();
    while let Ok(Some(field)) = fields.next() {
        let value = String::from_utf8_lossy(field.value_bytes()).into_owned();
        match field.type_() {
            b'S' => severity = value,
            b'C' => code = value,
            b'M' => message = value,
            _ => {}
        }
    }
    ServerError::Sql { severity, code, message }
}
