//! The bytes that the echoing server and its clients say.

use crate::common::scripted::reply;

/// The server's answers, one per message of a client.
pub(super) struct Answers {
    /// To a startup packet.
    pub(super) welcome: Vec<u8>,
    /// To Query with a SELECT.
    pub(super) query: Vec<u8>,
    /// To Query with a SET, which a pooler may send.
    pub(super) set: Vec<u8>,
    /// To Parse.
    pub(super) parse: Vec<u8>,
    /// To Bind.
    pub(super) bind: Vec<u8>,
    /// To Describe of a statement.
    pub(super) describe_statement: Vec<u8>,
    /// To Describe of a portal.
    pub(super) describe_portal: Vec<u8>,
    /// To Execute.
    pub(super) execute: Vec<u8>,
    /// To Close.
    pub(super) close: Vec<u8>,
    /// To Sync.
    pub(super) sync: Vec<u8>,
}

impl Answers {
    pub(super) fn new() -> Self {
        let query = reply::one_value("abalance", "0");
        let row_description = query[..=length_word(&query)].to_vec();
        let row_and_complete = query[row_description.len()..query.len() - 6].to_vec();
        let int4_parameter = reply::message(b't', &[0, 1, 0, 0, 0, 23]);
        Self {
            welcome: reply::welcome(),
            set: [reply::complete("SET"), reply::ready(b'I')].concat(),
            parse: reply::message(b'1', &[]),
            bind: reply::message(b'2', &[]),
            describe_statement: [int4_parameter, row_description.clone()].concat(),
            describe_portal: row_description,
            execute: row_and_complete,
            close: reply::message(b'3', &[]),
            sync: reply::ready(b'I'),
            query,
        }
    }
}

/// The number in the length word of the first message.
fn length_word(bytes: &[u8]) -> usize {
    u32::from_be_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]) as usize
}

/// A client's request, with a number of seven digits in it that changes each time.
pub(super) struct Request {
    /// The messages.
    pub(super) bytes: Vec<u8>,
    digits: usize,
}

const DIGITS: &str = "1000000";

impl Request {
    /// One Query.
    pub(super) fn simple() -> Self {
        let sql = format!("SELECT abalance FROM pgbench_accounts WHERE aid = {DIGITS};\0");
        Self::of(reply::message(b'Q', sql.as_bytes()))
    }

    /// Bind of a statement, Describe and Execute of the unnamed portal, Sync, as libpq sends them.
    pub(super) fn bind(statement: &str) -> Self {
        let mut bind = format!("\0{statement}\0").into_bytes();
        bind.extend([0, 0, 0, 1, 0, 0, 0, DIGITS.len() as u8]); // all text; one parameter
        bind.extend(DIGITS.as_bytes());
        bind.extend([0, 1, 0, 0]); // results as text
        Self::of([reply::message(b'B', &bind), portal(), sync()].concat())
    }

    /// Parse of the unnamed statement, and the same.
    pub(super) fn extended() -> Self {
        Self::of([parse(""), Self::bind("").bytes].concat())
    }

    fn of(bytes: Vec<u8>) -> Self {
        let digits = bytes.windows(DIGITS.len()).position(|part| part == DIGITS.as_bytes());
        Self { bytes, digits: digits.unwrap() }
    }

    /// Writes another number into the request.
    pub(super) fn vary(&mut self, number: u32) {
        let mut left = number;
        for digit in self.bytes[self.digits..self.digits + DIGITS.len()].iter_mut().rev() {
            *digit = b'0' + (left % 10) as u8;
            left /= 10;
        }
    }
}

/// StartupMessage of protocol 3.0 for user and database `app`.
pub(super) fn startup() -> Vec<u8> {
    let body = b"\0\x03\0\0user\0app\0database\0app\0client_encoding\0UTF8\0\0";
    [&(body.len() as u32 + 4).to_be_bytes(), body.as_slice()].concat()
}

/// Parse and Sync.
pub(super) fn prepare(statement: &str) -> Vec<u8> {
    [parse(statement), sync()].concat()
}

/// Terminate.
pub(super) fn terminate() -> Vec<u8> {
    reply::message(b'X', &[])
}

fn parse(statement: &str) -> Vec<u8> {
    let body = format!("{statement}\0SELECT abalance FROM pgbench_accounts WHERE aid = $1;\0\0\0");
    reply::message(b'P', body.as_bytes())
}

fn portal() -> Vec<u8> {
    [reply::message(b'D', b"P\0"), reply::message(b'E', &[0, 0, 0, 0, 0])].concat()
}

fn sync() -> Vec<u8> {
    reply::message(b'S', &[])
}
