//! What a worker asks of the console. The console itself lives above this room and is handed down.

use std::future::Future;
use std::pin::Pin;

use bytes::BytesMut;

/// Names that clients reach the console by.
pub const NAMES: [&str; 2] = ["pgbouncer", "pgweir"];

/// What somebody on the console may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// Look (`stats_users`).
    Stats,
    /// Everything (`admin_users`).
    Admin,
    /// To take this process's place as well: the system user that it runs as, on the Unix socket.
    Owner,
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Asker {
    /// What it may do.
    pub right: Right,
    /// How it stands in the log.
    pub label: String,
    /// The number of its connection.
    pub id: u64,
}

/// How an answer is to be sent.
#[derive(Clone, Copy, Debug)]
pub enum Form<'a> {
    /// By the simple query protocol: rows in text, their description before them.
    Simple,
    /// By the extended one: the formats of the columns as a Bind has them, and no description.
    Extended(&'a [i16]),
}

/// How a query went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Well.
    Done,
    /// It was refused.
    Failed,
    /// The connection is to be closed without an answer: the process ends.
    End,
    /// Well: a successor is at the other end, and is to be given everything.
    HandOver,
}

/// Answers queries of console clients.
pub trait Console: Send + Sync {
    /// Appends the answer to one query, without ReadyForQuery. If it is dropped before, what it waited for is undone.
    fn answer<'a>(
        &'a self,
        asker: &'a Asker,
        query: &'a str,
        form: Form<'a>,
        out: &'a mut BytesMut,
    ) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

    /// Appends what a query's answer looks like in these formats: RowDescription, NoData or an ErrorResponse.
    fn describe(&self, asker: &Asker, query: &str, formats: &[i16], out: &mut BytesMut) -> Outcome;

    /// A console client has gone.
    fn left(&self, asker: &Asker);

    /// The version of the program.
    fn version(&self) -> &str;

    /// The parameters it greets a client with.
    fn greeting(&self) -> Vec<(&'static str, String)>;
}
