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
}

/// Answers queries of console clients.
pub trait Console: Send + Sync {
    /// Appends the whole answer to one query, ReadyForQuery included; `false`: close the connection.
    fn answer<'a>(
        &'a self,
        right: Right,
        client: &'a str,
        query: &'a str,
        out: &'a mut BytesMut,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>>;

    /// The parameters it greets a client with.
    fn greeting(&self) -> Vec<(&'static str, String)>;
}
