//! Sockets, TLS, lent buffers, and the one reader of time.
//!
//! Nothing in here knows the PostgreSQL protocol: bytes come and go, streams change reactors, buffers are lent.

pub mod buffers;
pub mod clock;
pub mod id;
pub mod lane;
pub mod listen;
pub mod options;
pub mod pass;
pub mod reactor;
pub mod stream;
pub mod tls;
