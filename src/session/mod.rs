//! One client's protocol state, without I/O: what each message means for the attachment to a server.
//!
//! The room is fed message heads (and the few bytes of a body that matter) from either side and answers with
//! verdicts: forward, swallow, attach a server, give it back. Bytes that it makes itself go to an [`Outbox`]. It holds
//! no socket, reads no clock and knows neither pools nor hosts, so every rule here can be tested with plain values.
//!
//! - `machine` — the state machine: its state, attachment, rewinding
//! - `from_client`, `from_server` — its transitions: requests; replies, transaction boundaries, COPY, errors until Sync
//! - `extended` — of these, the requests that prepare, bind, describe and close
//! - `begin` — a BEGIN that is held back until its transaction can be placed
//! - `own` — commands for pgweir itself, answered without a server
//! - `read_only` — sessions whose transactions are read-only unless they say otherwise
//! - `loss` — its transitions when the attached server dies
//! - `elsewhere` — its transitions when another kind of host is to run what it sent
//! - `verdict` — what it says to do with a message
//! - `pipeline` — what was asked and is not yet answered, in order
//! - `batches` — what batches that are not answered yet are to change
//! - `prepared` — named statements that follow a client over many servers
//! - `unnamed` — which unnamed statements are kept under a name
//! - `queries` — what statements cost, by their texts
//! - `latency` — how long they took
//! - `tracker` — which statement each request of a client is
//! - `parameters` — the reported settings (client_encoding, TimeZone, …) that follow a client
//! - `startup` — what a client asked for at startup: settings that hold for its session
//! - `carry` — sessions that go on in another process
//! - `lost` — a client whose server died inside a transaction, until it says ROLLBACK

pub mod batches;
mod begin;
pub mod carry;
pub mod elsewhere;
mod extended;
mod from_client;
mod from_server;
mod latency;
mod loss;
pub mod lost;
pub mod machine;
pub mod own;
pub mod parameters;
pub mod pipeline;
pub mod prepared;
pub mod queries;
pub mod read_only;
pub mod startup;
#[cfg(test)]
mod tests;
mod tracker;
pub mod unnamed;
pub mod verdict;

pub use elsewhere::{Elsewhere, Place};
pub use machine::{Rules, ServerState, Session, Tally};
pub use verdict::{AfterLoss, FromClient, FromServer, Refusal, Then};

use bytes::BytesMut;

/// Bytes that the session makes itself, to be sent before the message just looked at.
#[derive(Debug, Default)]
pub struct Outbox {
    /// For the server: hidden Parses, renamed Binds, parameter changes.
    pub to_server: BytesMut,
    /// For the client: replies that no server was asked for.
    pub to_client: BytesMut,
}

impl Outbox {
    /// Whether there is nothing to send either way.
    pub fn is_empty(&self) -> bool {
        self.to_server.is_empty() && self.to_client.is_empty()
    }
}
