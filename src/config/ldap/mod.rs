//! How a directory is asked about a user: `auth_ldap_options`, and what follows `ldap` in a line of `auth_hba_file`.
//!
//! `parse` — from text and back; `filter` — search filters; `fault` — what is wrong.
//!
//! PostgreSQL's options for the method: `name=value` with blanks or commas between them, parts of it in double quotes.

mod fault;
mod filter;
mod parse;

pub use self::fault::LdapFault;
pub use self::filter::{Comparison, Condition, Filter, Value};
use super::SecretText;

/// Where the directory is and how it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LdapOptions {
    /// `ldapserver`, or the host of `ldapurl`: tried in this order. At least one; an IPv6 address without brackets.
    pub servers: Vec<String>,
    /// `ldapport`.
    pub port: u16,
    /// How much of the way is encrypted: `ldapscheme` and `ldaptls`.
    pub encryption: Encryption,
    /// How the password is tried.
    pub method: LdapMethod,
}

/// How much of the way to the directory is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// Nothing.
    None,
    /// TLS after a question in the clear (`ldaptls=1`).
    StartTls,
    /// TLS from the first byte (`ldapscheme=ldaps`).
    Ldaps,
}

/// How a user's password is tried at the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LdapMethod {
    /// The name is built from the user's.
    Bind {
        /// `ldapprefix`: what comes before the user's name.
        prefix: String,
        /// `ldapsuffix`: what comes after it.
        suffix: String,
    },
    /// The name is looked for first.
    SearchAndBind(LdapSearch),
}

/// Which entry is the user's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LdapSearch {
    /// `ldapbasedn`: below which entry.
    pub base: String,
    /// How far below.
    pub scope: LdapScope,
    /// `ldapsearchfilter`; that of `ldapsearchattribute` (`uid` if not given) is `(uid=$username)`.
    pub filter: Filter,
    /// `ldapbinddn`: who looks for it. Empty: nobody in particular.
    pub as_user: String,
    /// `ldapbindpasswd`.
    pub password: SecretText,
}

/// How far below the base an entry may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LdapScope {
    /// It is the base itself.
    Base,
    /// Right below it.
    One,
    /// Anywhere below it, or the base itself.
    Subtree,
}

#[cfg(test)]
mod tests;
