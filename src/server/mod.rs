//! One connection to a PostgreSQL server: dial, log in, ask, cancel.
//!
//! What is opened here is a [`Connection`] that is ready for queries. Who uses it when is the pool's business; which
//! host it should go to was decided before.

pub mod cancel;
pub mod connection;
pub mod dial;
pub mod login;
pub mod query;

pub use connection::{Connection, Origin, ServerInfo};
pub use dial::{Tls, Wanted};
pub use login::{OpenError, Target, UNNUMBERED, Welcome, open};
