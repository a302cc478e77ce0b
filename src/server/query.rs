//! Questions of our own to a server: `auth_query`, the topology monitor's, `server_reset_query`.

use std::fmt;
use std::io;

use bytes::{Buf, Bytes, BytesMut};
use pgweir_codec::backend::{self, ErrorResponse};
use pgweir_codec::error::DecodeError;
use pgweir_codec::frontend;
use pgweir_codec::head::Head;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::connection::Connection;
use crate::net::stream::Stream;

/// Longest message that an answer to a question of our own may hold, bytes.
const LIMIT: usize = 1024 * 1024;

/// One message.
pub(super) struct Incoming {
    pub(super) tag: u8,
    pub(super) body: Bytes,
}

/// Reads one whole message.
pub(super) async fn read(stream: &mut Stream, inbox: &mut BytesMut) -> io::Result<Incoming> {
    loop {
        let head = Head::peek(inbox).map_err(io::Error::other)?;
        if let Some(head) = head {
            if head.len > LIMIT {
                return Err(io::Error::other(DecodeError::too_long(head.tag, head.len)));
            }
            if inbox.len() >= head.len {
                let mut message = inbox.split_to(head.len);
                message.advance(Head::SIZE);
                return Ok(Incoming { tag: head.tag, body: message.freeze() });
            }
        }
        if stream.read_buf(inbox).await? == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the server closed the connection",
            ));
        }
    }
}

/// Why a question got no answer.
#[derive(Debug)]
pub enum QueryError {
    /// The socket broke.
    Io(io::Error),
    /// The server said no.
    Refused(Box<ErrorResponse>),
    /// Its answer makes no sense.
    Protocol(String),
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Refused(response) => {
                write!(f, "{} ({})", response.message(), response.code().as_str())
            }
            Self::Protocol(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for QueryError {}

impl From<io::Error> for QueryError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<DecodeError> for QueryError {
    fn from(error: DecodeError) -> Self {
        Self::Protocol(error.to_string())
    }
}

/// Rows in text form; `None` is NULL.
pub type Rows = Vec<Vec<Option<String>>>;

/// An answer with the names of its columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// In the order of the values.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Rows,
    /// How many parameters a statement has that was described.
    pub parameters: usize,
}

/// Runs `sql` by the simple protocol.
///
/// # Errors
/// After [`QueryError::Refused`] the connection is ready for the next question; after the others it is of no use.
pub async fn simple(connection: &mut Connection, sql: &str) -> Result<Rows, QueryError> {
    simple_bytes(connection, sql.as_bytes()).await
}

/// As [`simple`], for SQL in whatever encoding.
///
/// # Errors
/// As [`simple`].
pub async fn simple_bytes(connection: &mut Connection, sql: &[u8]) -> Result<Rows, QueryError> {
    Ok(ask(connection, sql).await?.rows)
}

/// As [`simple`], for whoever looks for columns by their names.
///
/// # Errors
/// As [`simple`].
pub async fn named(connection: &mut Connection, sql: &str) -> Result<Answer, QueryError> {
    ask(connection, sql.as_bytes()).await
}

async fn ask(connection: &mut Connection, sql: &[u8]) -> Result<Answer, QueryError> {
    let mut out = BytesMut::with_capacity(sql.len() + 6);
    frontend::query::write(&mut out, sql);
    exchange(connection, &out).await
}

/// Runs `sql` with one text parameter, `$1`, by the extended protocol, so that the value needs no quoting.
///
/// # Errors
/// As [`simple`].
pub async fn with_parameter(
    connection: &mut Connection,
    sql: &str,
    value: &str,
) -> Result<Rows, QueryError> {
    let mut out = BytesMut::with_capacity(sql.len() + value.len() + 64);
    frontend::parse::write(&mut out, b"", sql.as_bytes(), &[0, 0]);
    frontend::Bind {
        portal: Bytes::new(),
        statement: Bytes::new(),
        parameter_formats: Vec::new(),
        parameters: vec![Some(Bytes::copy_from_slice(value.as_bytes()))],
        result_formats: Vec::new(),
    }
    .encode(&mut out);
    frontend::execute::write(&mut out, b"", 0);
    frontend::sync::write(&mut out);
    Ok(exchange(connection, &out).await?.rows)
}

/// Runs `sql` by the extended protocol with NULL for each parameter, whatever there are. `types`: what is known of them, as
/// in [`frontend::parse::View::types`].
///
/// # Errors
/// As [`simple`].
pub async fn with_nulls(
    connection: &mut Connection,
    sql: &[u8],
    types: &[u8],
) -> Result<Rows, QueryError> {
    let mut out = BytesMut::with_capacity(sql.len() + types.len() + 64);
    frontend::parse::write(&mut out, b"", sql, types);
    frontend::describe::write(&mut out, frontend::Target::Statement, b"");
    frontend::sync::write(&mut out);
    let described = exchange(connection, &out).await?;
    out.clear();
    frontend::Bind {
        portal: Bytes::new(),
        statement: Bytes::new(),
        parameter_formats: Vec::new(),
        parameters: vec![None; described.parameters],
        result_formats: Vec::new(),
    }
    .encode(&mut out);
    frontend::execute::write(&mut out, b"", 0);
    frontend::sync::write(&mut out);
    Ok(exchange(connection, &out).await?.rows)
}

async fn exchange(connection: &mut Connection, out: &[u8]) -> Result<Answer, QueryError> {
    connection.stream.write_all(out).await?;
    connection.stream.flush().await?;
    answer(connection).await
}

async fn answer(connection: &mut Connection) -> Result<Answer, QueryError> {
    let mut inbox = BytesMut::new();
    let mut all = Answer::default();
    let mut refused = None;
    loop {
        let Incoming { tag, body } = read(&mut connection.stream, &mut inbox).await?;
        match tag {
            backend::ReadyForQuery::TAG => {
                return match refused {
                    None => Ok(all),
                    Some(response) => Err(QueryError::Refused(Box::new(response))),
                };
            }
            backend::RowDescription::TAG => {
                let described = backend::RowDescription::decode(body)?;
                all.columns = described.fields.into_iter().map(|field| text(&field.name)).collect();
            }
            backend::ParameterDescription::TAG => {
                all.parameters = backend::ParameterDescription::decode(body)?.types.len();
            }
            backend::DataRow::TAG => {
                let row = backend::DataRow::decode(body)?;
                let values = row.columns.into_iter();
                all.rows.push(values.map(|value| value.map(|bytes| text(&bytes))).collect());
            }
            // As for a client's: the server holds no statements any more.
            backend::CommandComplete::TAG
                if matches!(&body[..], b"DISCARD ALL\0" | b"DEALLOCATE ALL\0") =>
            {
                connection.state.statements.clear();
            }
            backend::ParameterStatus::TAG => {
                let status = backend::ParameterStatus::decode(body)?;
                connection.state.note(&status.name, &status.value);
            }
            ErrorResponse::TAG => {
                let response = ErrorResponse::decode(body)?;
                if response.is_fatal() {
                    return Err(QueryError::Refused(Box::new(response)));
                }
                refused.get_or_insert(response);
            }
            _ => {}
        }
    }
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
