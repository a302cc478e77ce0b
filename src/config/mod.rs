//! The configuration: pgbouncer's ini dialect, `auth_file` and `auth_hba_file`, read into typed values.
//!
//! Text goes in, a [`Config`] that cannot be wrong comes out, or one [`ConfigError`] that says where and what is
//! allowed. Reading files is [`load`]'s alone; all the rest is text to values. Nothing here acts on a setting.
//!
//! - `model` — what a configuration says, in types that cannot be wrong
//! - `load` — from files to a `Config`, and the checks that need more than one line
//! - `ini` — the dialect: text to entries, each with its place
//! - `settings` — the table of `[pgbouncer]` settings; `values` — their types
//! - `databases`, `users` — sections `[databases]`; `[users]` and `[peers]`
//! - `connstr`, `parameters` — connection strings; values that entries of several sections have
//! - `discover`, `hosts` — who else knows an entry's hosts; those that it really has
//! - `userlist` — `auth_file`
//! - `hba`, `ident`, `tokens` — `auth_hba_file`, `auth_ident_file`, and their words
//! - `ldap` — how a directory is asked
//! - `tls` — what TLS may be negotiated
//! - `reload` — what a reload changes
//! - `error`, `told` — what can be wrong; the same in parts, for columns
//! - `nearest` — the known name that a mistyped one resembles

pub mod connstr;
pub mod databases;
mod discover;
pub mod error;
pub mod hba;
mod hosts;
pub mod ident;
pub mod ini;
pub mod ldap;
pub mod load;
pub mod model;
mod nearest;
mod parameters;
pub mod reload;
pub mod settings;
pub mod tls;
mod tokens;
mod told;
pub mod userlist;
pub mod users;
mod values;

pub use discover::api_url;
pub use error::{ConfigError, Place, SetError};
pub use hba::Hba;
pub use hosts::KnownHosts;
pub use ldap::LdapOptions;
pub use load::{Examined, parse_text};
pub use model::*;
pub use reload::{Changes, Fate, changes, fate};
pub use told::Told;
