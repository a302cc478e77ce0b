//! What is wrong with options, in words.

use std::fmt;

use super::parse::OPTIONS;

/// Why options cannot be used. Values that may be secret are never among the facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LdapFault {
    /// A quote does not end.
    OpenQuote,
    /// A word without `=`.
    NoValue,
    /// There is no such option. Its name is told if it begins as they all do: anything else may be part of a password.
    Unknown(Option<String>),
    /// The option has no such value.
    Value {
        /// The option.
        option: &'static str,
        /// What was found; no secret.
        found: String,
        /// What would do.
        allowed: &'static str,
    },
    /// Options for a name that is built, and others for one that is looked for.
    Mixed {
        /// One of the first kind.
        built: &'static str,
        /// One of the second kind.
        searched: &'static str,
    },
    /// Neither kind.
    NoMethod,
    /// Both ways to say what is looked for.
    AttributeAndFilter,
    /// Nothing says where the directory is.
    NoServer,
    /// `ldaptls` within `ldaps`.
    TlsTwice,
}

impl fmt::Display for LdapFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OpenQuote => f.write_str("a quote does not end"),
            Self::NoValue => f.write_str("a word without \"=\"; allowed: option=value"),
            Self::Unknown(option) => {
                match option {
                    Some(option) => write!(f, "{option:?} is no ldap option")?,
                    None => f.write_str("a word begins with no ldap option")?,
                }
                write!(f, "; allowed: {}", OPTIONS.join(", "))
            }
            Self::Value { option, found, allowed } => {
                write!(f, "{option} is {found:?}; allowed: {allowed}")
            }
            Self::Mixed { built, searched } => write!(
                f,
                "{built} and {searched} together; allowed: either ldapprefix and ldapsuffix, or ldapbasedn with \
                 ldapbinddn, ldapbindpasswd, ldapsearchattribute and ldapsearchfilter"
            ),
            Self::NoMethod => {
                f.write_str("one of ldapprefix, ldapsuffix and ldapbasedn must be given")
            }
            Self::AttributeAndFilter => {
                f.write_str("ldapsearchattribute and ldapsearchfilter together; allowed: one of them")
            }
            Self::NoServer => f.write_str(
                "ldapserver, or a host in ldapurl, must be given; pgweir looks for none in DNS (SRV)",
            ),
            Self::TlsTwice => {
                f.write_str("ldaptls=1 with ldapscheme=ldaps; allowed: one of them")
            }
        }
    }
}

impl std::error::Error for LdapFault {}
