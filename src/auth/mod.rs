//! Who a client is, and who we are to a server: secrets, exchanges, and where a secret comes from.
//!
//! Everything here is sans-IO: the bodies of messages go in, messages to send and verdicts come out. Nothing
//! waits, reads a clock or rolls dice except [`random`], whose results are arguments everywhere else. Sockets, and
//! running `auth_query`, are the business of `worker` and `server`.

pub mod client;
pub mod credentials;
pub mod derive;
pub mod hba;
pub mod identity;
pub mod ldap;
pub mod lookup;
pub mod md5;
pub mod mock;
pub mod outside;
mod plan;
pub mod random;
pub mod refusal;
pub mod scram;
pub mod secret;
pub mod server;

pub use client::{ClientLogin, ClientStep, Proven};
pub use credentials::Credentials;
pub use lookup::{Ask, Lookup, RowsError};
pub use mock::{Likeness, Looks};
pub use random::{Draws, MockKey};
pub use refusal::{AuthError, Reason};
pub use secret::{Secret, Verifier};
pub use server::{ServerLogin, ServerLoginError, ServerStep};
