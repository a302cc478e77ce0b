//! The configuration: pgbouncer's ini dialect, `auth_file` and `auth_hba_file`, read into typed values.
//!
//! Text goes in, a [`Config`] that cannot be wrong comes out, or one [`ConfigError`] that says where and what is
//! allowed. Reading files is [`load`]'s alone; all the rest is text to values. Nothing here acts on a setting.

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
