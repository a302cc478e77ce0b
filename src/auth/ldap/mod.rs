//! What a directory is asked about a user, and what is wrong when it does not confirm the password.
//!
//! A client chooses its user name, so nothing in it may change what is asked: in a name it is escaped as one value (RFC
//! 4514), in a filter it is a value by itself ([`crate::config::ldap::Filter`]).

pub mod message;

use std::fmt;

use crate::config::LdapOptions;
use crate::config::ldap::{LdapMethod, LdapSearch};
use crate::metrics::AuthFailure;

/// How to come to the name that the password is tried with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question<'a> {
    /// This is it.
    Bind {
        /// The name.
        name: String,
    },
    /// It has to be looked for like this.
    Search(&'a LdapSearch),
}

impl<'a> Question<'a> {
    /// What to ask about this user.
    ///
    /// # Errors
    /// [`DirectoryFault::Name`].
    pub fn new(options: &'a LdapOptions, user: &str) -> Result<Self, DirectoryFault> {
        match &options.method {
            LdapMethod::Bind { prefix, suffix } => {
                let user = within(prefix, suffix, user)?;
                Ok(Self::Bind { name: format!("{prefix}{user}{suffix}") })
            }
            LdapMethod::SearchAndBind(search) => Ok(Self::Search(search)),
        }
    }
}

/// The user's name as it stands in the built one: as a value if that is a distinguished name. Else, as with
/// `user@example.org` and `EXAMPLE\user`, there is no way to write what has a meaning there.
fn within(prefix: &str, suffix: &str, user: &str) -> Result<String, DirectoryFault> {
    if prefix.contains('=') || suffix.contains('=') {
        return Ok(escaped(user));
    }
    let special = |c: char| c.is_control() || "\"+,;<=>\\/".contains(c);
    if user.contains(special) { Err(DirectoryFault::Name) } else { Ok(user.to_owned()) }
}

/// As a value in a distinguished name.
fn escaped(user: &str) -> String {
    let mut value = String::with_capacity(user.len());
    let last = user.chars().count().saturating_sub(1);
    for (number, c) in user.chars().enumerate() {
        let special = match c {
            '"' | '+' | ',' | ';' | '<' | '=' | '>' | '\\' | '\0' => true,
            '#' => number == 0,
            ' ' => number == 0 || number == last,
            _ => false,
        };
        if special {
            value.push_str(&format!("\\{:02x}", u32::from(c)));
        } else {
            value.push(c);
        }
    }
    value
}

/// Why a directory did not confirm a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirectoryFault {
    /// The user's name cannot be part of the name that is built.
    Name,
    /// What TLS needs is missing here.
    Tls {
        /// What.
        why: String,
    },
    /// No server could be connected to.
    Unreachable {
        /// Which were tried, and what became of it.
        tried: Vec<(String, String)>,
    },
    /// It did not answer, or not so that it could be understood.
    Lost {
        /// The server.
        server: String,
        /// At which step.
        step: Step,
        /// What became of it.
        why: String,
    },
    /// It refused what comes before the password.
    Refused {
        /// The server.
        server: String,
        /// At which step.
        step: Step,
        /// What it said.
        said: String,
    },
    /// No entry fits, or none with a name.
    NoEntry {
        /// The server.
        server: String,
        /// What was looked for.
        filter: String,
    },
    /// More than one entry fits.
    SeveralEntries {
        /// The server.
        server: String,
        /// What was looked for.
        filter: String,
    },
    /// It does not let this name in with this password.
    NotConfirmed {
        /// The server.
        server: String,
        /// The name.
        name: String,
        /// Whether that is because of the password.
        wrong_password: bool,
        /// What it said.
        said: String,
    },
}

/// The steps of asking a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Binding as `ldapbinddn`, or as nobody.
    FirstBind,
    /// Searching.
    Search,
    /// Binding as the user.
    Bind,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FirstBind => "bind as ldapbinddn (if not given: as nobody)",
            Self::Search => "search",
            Self::Bind => "bind as the user",
        })
    }
}

impl DirectoryFault {
    /// How it is counted.
    pub fn failure(&self) -> AuthFailure {
        match self {
            Self::Name | Self::NoEntry { .. } => AuthFailure::UnknownUser,
            Self::NotConfirmed { wrong_password: true, .. } => AuthFailure::Password,
            Self::Tls { .. }
            | Self::Unreachable { .. }
            | Self::Lost { .. }
            | Self::Refused { .. }
            | Self::SeveralEntries { .. }
            | Self::NotConfirmed { wrong_password: false, .. } => AuthFailure::Lookup,
        }
    }
}

impl fmt::Display for DirectoryFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => f.write_str(
                "the user name has characters that mean something between ldapprefix and ldapsuffix",
            ),
            Self::Tls { why } => write!(f, "TLS to the directory: {why}"),
            Self::Unreachable { tried } => {
                f.write_str("no directory can be reached")?;
                for (number, (server, why)) in tried.iter().enumerate() {
                    write!(f, "{} {server}: {why}", if number == 0 { ":" } else { ";" })?;
                }
                Ok(())
            }
            Self::Lost { server, step, why } => {
                write!(f, "directory {server} did not answer ({step}): {why}")
            }
            Self::Refused { server, step, said } => {
                write!(f, "directory {server} refused ({step}): {said}")
            }
            Self::NoEntry { server, filter } => {
                write!(f, "directory {server} has no entry that fits {filter:?}")
            }
            Self::SeveralEntries { server, filter } => {
                write!(f, "directory {server} has more than one entry that fits {filter:?}")
            }
            Self::NotConfirmed { server, name, said, .. } => {
                write!(f, "directory {server} does not let {name:?} in: {said}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn options(text: &str) -> LdapOptions {
        LdapOptions::parse(&format!("ldapserver=h {text}")).expect(text)
    }

    fn asked(text: &str, user: &str) -> Result<String, DirectoryFault> {
        Question::new(&options(text), user).map(|question| match question {
            Question::Bind { name } => name,
            Question::Search(search) => search.filter.told(user),
        })
    }

    #[test]
    fn a_user_name_is_one_value_of_the_name_that_is_built() {
        let text = "ldapprefix=\"uid=\" ldapsuffix=\",dc=x\"";
        assert_eq!(asked(text, "joe"), Ok("uid=joe,dc=x".to_owned()));
        assert_eq!(asked(text, "joé"), Ok("uid=joé,dc=x".to_owned()));
        let escaped = "uid=joe\\2cou\\3dadmins\\2b#\\5c\\20,dc=x";
        assert_eq!(asked(text, "joe,ou=admins+#\\ "), Ok(escaped.to_owned()));
        assert_eq!(asked(text, "#1"), Ok("uid=\\231,dc=x".to_owned()));
    }

    #[test]
    fn where_nothing_can_be_escaped_what_has_a_meaning_is_refused() {
        for text in ["ldapsuffix=@example.org", "ldapprefix=EXAMPLE\\", "ldapprefix=\"\""] {
            assert!(asked(text, "joe").is_ok_and(|name| name.contains("joe")));
            for user in ["cn=admin,dc=x", "a\\b", "a/b", "a,b", "a\nb"] {
                assert_eq!(asked(text, user), Err(DirectoryFault::Name), "{text} {user}");
            }
        }
        let whole = asked("ldapprefix=\"\"", "joe@example.org");
        assert_eq!(whole, Ok("joe@example.org".to_owned()));
    }

    #[test]
    fn a_user_name_is_one_value_of_a_filter() {
        let text = "ldapbasedn=dc=x ldapsearchfilter=(|(uid=$username)(mail=$username))";
        assert_eq!(asked(text, "joe"), Ok("(|(uid=joe)(mail=joe))".to_owned()));
        let text = "ldapbasedn=dc=x";
        assert_eq!(asked(text, "*"), Ok("(uid=\\2a)".to_owned()));
        let escaped = "(uid=joe\\29\\28uid=\\2a)".to_owned();
        assert_eq!(asked(text, "joe)(uid=*"), Ok(escaped));
        assert_eq!(asked(text, "$username"), Ok("(uid=$username)".to_owned()));
    }

    #[test]
    fn what_is_wrong_is_counted_as_what_it_is() {
        let server = || "h".to_owned();
        let filter = || "(uid=x)".to_owned();
        let not_confirmed = |wrong_password| DirectoryFault::NotConfirmed {
            server: server(),
            name: "uid=x".to_owned(),
            wrong_password,
            said: "no".to_owned(),
        };
        for (fault, failure) in [
            (
                DirectoryFault::NoEntry { server: server(), filter: filter() },
                AuthFailure::UnknownUser,
            ),
            (
                DirectoryFault::SeveralEntries { server: server(), filter: filter() },
                AuthFailure::Lookup,
            ),
            (not_confirmed(true), AuthFailure::Password),
            (not_confirmed(false), AuthFailure::Lookup),
        ] {
            assert_eq!(fault.failure(), failure, "{fault}");
        }
        let tried =
            vec![("a:1".to_owned(), "no".to_owned()), ("b:1".to_owned(), "late".to_owned())];
        let said = DirectoryFault::Unreachable { tried }.to_string();
        assert_eq!(said, "no directory can be reached: a:1: no; b:1: late");
    }

    proptest! {
        #[test]
        fn no_user_name_changes_what_is_asked(user in "\\PC{0,12}|[-a-z*()&|!=,+<>#;\\\\\" \\x00]{0,12}") {
            let filter = asked("ldapbasedn=dc=x", &user).unwrap();
            let value = filter.strip_prefix("(uid=").and_then(|rest| rest.strip_suffix(')')).unwrap();
            prop_assert!(!value.contains(['*', '(', ')', '\0']));

            let name = asked("ldapprefix=\"uid=\" ldapsuffix=\",dc=x\"", &user).unwrap();
            let value = name.strip_prefix("uid=").and_then(|rest| rest.strip_suffix(",dc=x")).unwrap();
            prop_assert!(!value.contains([',', '+', '=', '"', '<', '>', ';', '\0']));
            let mut rest = value;
            while let Some((_, behind)) = rest.split_once('\\') {
                prop_assert!(behind.len() >= 2 && behind.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit));
                rest = &behind[2..];
            }
        }
    }
}
