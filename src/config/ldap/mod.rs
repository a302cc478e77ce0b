//! How a directory is asked about a user: `auth_ldap_options`, and what follows `ldap` in a line of `auth_hba_file`.
//!
//! `filter` — search filters.
//!
//! PostgreSQL's options for the method: `name=value` with blanks or commas between them, parts of it in double quotes.

mod filter;

use std::fmt;
use std::net::Ipv6Addr;

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

const OPTIONS: &[&str] = &[
    "ldapserver",
    "ldapport",
    "ldapscheme",
    "ldaptls",
    "ldapprefix",
    "ldapsuffix",
    "ldapbasedn",
    "ldapbinddn",
    "ldapbindpasswd",
    "ldapsearchattribute",
    "ldapsearchfilter",
    "ldapscope",
    "ldapurl",
];

/// The options as they are given, one by one.
#[derive(Default)]
struct Given {
    servers: Option<String>,
    port: Option<u16>,
    ldaps: bool,
    start_tls: bool,
    prefix: Option<String>,
    suffix: Option<String>,
    base: Option<String>,
    bind_dn: Option<String>,
    bind_password: Option<String>,
    attribute: Option<Filter>,
    filter: Option<Filter>,
    scope: Option<LdapScope>,
}

impl LdapOptions {
    /// Reads a list of options.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn parse(text: &str) -> Result<Self, LdapFault> {
        let mut given = Given::default();
        let mut rest = text;
        while let Some(word) = next_word(&mut rest)? {
            let (option, value) = word.split_once('=').ok_or(LdapFault::NoValue)?;
            given.take(option, value)?;
        }
        given.finish()
    }

    /// The options as a list again; a password that is among them is not told.
    pub fn show(&self) -> String {
        let mut shown = vec![
            ("ldapserver", self.servers.join(" ")),
            ("ldapport", self.port.to_string()),
            match self.encryption {
                Encryption::Ldaps => ("ldapscheme", "ldaps".to_owned()),
                Encryption::StartTls => ("ldaptls", "1".to_owned()),
                Encryption::None => ("ldapscheme", "ldap".to_owned()),
            },
        ];
        match &self.method {
            LdapMethod::Bind { prefix, suffix } => {
                shown.push(("ldapprefix", prefix.clone()));
                shown.push(("ldapsuffix", suffix.clone()));
            }
            LdapMethod::SearchAndBind(search) => {
                shown.push(("ldapbasedn", search.base.clone()));
                let scope = match search.scope {
                    LdapScope::Base => "base",
                    LdapScope::One => "one",
                    LdapScope::Subtree => "sub",
                };
                shown.push(("ldapscope", scope.to_owned()));
                shown.push(("ldapsearchfilter", search.filter.text().to_owned()));
                if !search.as_user.is_empty() {
                    shown.push(("ldapbinddn", search.as_user.clone()));
                    shown.push(("ldapbindpasswd", "********".to_owned()));
                }
            }
        }
        let quoted = |(option, value): (&str, String)| {
            format!("{option}=\"{}\"", value.replace('"', "\"\""))
        };
        shown.into_iter().map(quoted).collect::<Vec<_>>().join(" ")
    }
}

impl Given {
    fn take(&mut self, option: &str, value: &str) -> Result<(), LdapFault> {
        let text = || Some(value.to_owned());
        let wrong = |option, allowed| LdapFault::Value { option, found: value.to_owned(), allowed };
        match option {
            "ldapserver" => self.servers = text(),
            "ldapport" => {
                let port = value.parse().ok().filter(|port| *port != 0);
                self.port = Some(port.ok_or(wrong("ldapport", "a number from 1 to 65535"))?);
            }
            "ldapscheme" => self.ldaps = is_ldaps(value).ok_or(wrong("ldapscheme", SCHEMES))?,
            "ldaptls" => {
                self.start_tls = match value {
                    "1" => true,
                    "0" => false,
                    _ => return Err(wrong("ldaptls", "0, 1")),
                }
            }
            "ldapprefix" => self.prefix = text(),
            "ldapsuffix" => self.suffix = text(),
            "ldapbasedn" => self.base = text(),
            "ldapbinddn" => self.bind_dn = text(),
            "ldapbindpasswd" => self.bind_password = text(),
            "ldapsearchattribute" => self.attribute = Some(attribute(value)?),
            "ldapsearchfilter" => self.filter = Some(filter(value)?),
            "ldapscope" => self.scope = Some(scope(value).ok_or(wrong("ldapscope", SCOPES))?),
            "ldapurl" => self.url(value)?,
            _ => {
                let named = option.starts_with("ldap").then(|| option.to_owned());
                return Err(LdapFault::Unknown(named));
            }
        }
        Ok(())
    }

    /// RFC 4516: `ldap[s]://host[:port]/base?attribute?scope?filter`.
    fn url(&mut self, text: &str) -> Result<(), LdapFault> {
        // Among extensions, which come last, there may be a password.
        let found = text.split('?').take(4).collect::<Vec<_>>().join("?");
        let wrong = |allowed| LdapFault::Value { option: "ldapurl", found: found.clone(), allowed };
        let (scheme, rest) = text.split_once("://").ok_or(wrong(URL))?;
        self.ldaps = is_ldaps(scheme).ok_or(wrong(URL))?;
        let (authority, rest) = rest.split_once('/').unwrap_or((rest, ""));
        // Without brackets, a colon begins the port.
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or(wrong(URL))?;
                let port = match port.strip_prefix(':') {
                    None if !port.is_empty() => return Err(wrong(URL)),
                    port => port,
                };
                (host.to_owned(), port)
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host.to_owned(), Some(port)),
                None => (authority.to_owned(), None),
            },
        };
        self.port = match port.filter(|port| !port.is_empty()) {
            None => None,
            Some(port) => Some(port.parse().ok().filter(|port| *port != 0).ok_or(wrong(URL))?),
        };
        self.servers = Some(plain(&host).ok_or(wrong(URL))?);
        let mut parts = rest.split('?');
        let mut part = || plain(parts.next().unwrap_or("")).ok_or(wrong(URL));
        let (base, attributes, depth, condition) = (part()?, part()?, part()?, part()?);
        if !part()?.is_empty() || parts.next().is_some() {
            return Err(wrong("a URL without extensions, after at most three \"?\""));
        }
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        if let Some(base) = given(&base) {
            self.base = Some(base);
        }
        // As in PostgreSQL the first of several counts.
        if let Some(first) = attributes.split(',').next().and_then(given) {
            self.attribute = Some(attribute(&first)?);
        }
        self.scope = Some(match given(&depth) {
            None => LdapScope::Base,
            Some(depth) => scope(&depth).ok_or(wrong(URL))?,
        });
        if let Some(condition) = given(&condition) {
            self.filter = Some(filter(&condition)?);
        }
        Ok(())
    }

    fn finish(self) -> Result<LdapOptions, LdapFault> {
        let searched = [
            ("ldapbasedn", self.base.is_some()),
            ("ldapbinddn", self.bind_dn.is_some()),
            ("ldapbindpasswd", self.bind_password.is_some()),
            ("ldapsearchattribute", self.attribute.is_some()),
            ("ldapsearchfilter", self.filter.is_some()),
        ];
        let searched = searched.into_iter().find(|(_, given)| *given).map(|(option, _)| option);
        let built = match (&self.prefix, &self.suffix) {
            (Some(_), _) => Some("ldapprefix"),
            (None, Some(_)) => Some("ldapsuffix"),
            (None, None) => None,
        };
        let method = match (built, searched, self.base) {
            (Some(built), Some(searched), _) => return Err(LdapFault::Mixed { built, searched }),
            (Some(_), None, _) => LdapMethod::Bind {
                prefix: self.prefix.unwrap_or_default(),
                suffix: self.suffix.unwrap_or_default(),
            },
            (None, _, None) => return Err(LdapFault::NoMethod),
            (None, _, Some(base)) => {
                let filter = match (self.attribute, self.filter) {
                    (Some(_), Some(_)) => return Err(LdapFault::AttributeAndFilter),
                    (Some(filter), None) | (None, Some(filter)) => filter,
                    (None, None) => attribute("uid")?,
                };
                LdapMethod::SearchAndBind(LdapSearch {
                    base,
                    scope: self.scope.unwrap_or(LdapScope::Subtree),
                    filter,
                    as_user: self.bind_dn.unwrap_or_default(),
                    password: SecretText::new(self.bind_password.unwrap_or_default()),
                })
            }
        };
        let servers: Vec<String> =
            self.servers.unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        if servers.is_empty() {
            return Err(LdapFault::NoServer);
        }
        if let Some(found) = servers.iter().find(|server| !is_host(server)) {
            let allowed = "names and addresses, with blanks between them";
            return Err(LdapFault::Value { option: "ldapserver", found: found.clone(), allowed });
        }
        let encryption = match (self.ldaps, self.start_tls) {
            (true, true) => return Err(LdapFault::TlsTwice),
            (true, false) => Encryption::Ldaps,
            (false, true) => Encryption::StartTls,
            (false, false) => Encryption::None,
        };
        let port = self.port.unwrap_or(if encryption == Encryption::Ldaps { 636 } else { 389 });
        Ok(LdapOptions { servers, port, encryption, method })
    }
}

const SCHEMES: &str = "ldap, ldaps";
const SCOPES: &str = "base, one, sub";
const URL: &str = "ldap[s]://host[:port]/base?attribute?scope?filter";

fn is_ldaps(scheme: &str) -> Option<bool> {
    match scheme {
        "ldap" => Some(false),
        "ldaps" => Some(true),
        _ => None,
    }
}

fn is_host(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    text.chars().all(fits) || text.parse::<Ipv6Addr>().is_ok()
}

fn scope(word: &str) -> Option<LdapScope> {
    match word {
        "base" => Some(LdapScope::Base),
        "one" => Some(LdapScope::One),
        "sub" => Some(LdapScope::Subtree),
        _ => None,
    }
}

/// The filter of `ldapsearchattribute`.
fn attribute(name: &str) -> Result<Filter, LdapFault> {
    Filter::by_attribute(name).ok_or_else(|| LdapFault::Value {
        option: "ldapsearchattribute",
        found: name.to_owned(),
        allowed: "an attribute, such as uid",
    })
}

fn filter(text: &str) -> Result<Filter, LdapFault> {
    Filter::parse(text).ok_or_else(|| LdapFault::Value {
        option: "ldapsearchfilter",
        found: text.to_owned(),
        allowed: "a filter, such as (|(uid=$username)(mail=$username))",
    })
}

/// Without `%xx`; `None` if it is no UTF-8 then.
fn plain(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, behind) = rest.split_at_checked(2)?;
        let digit = |at: usize| char::from(*digits.get(at)?).to_digit(16);
        bytes.push(u8::try_from(digit(0)? << 4 | digit(1)?).ok()?);
        rest = behind;
    }
    String::from_utf8(bytes).ok()
}

/// The next word, its quotes taken off; `None` at the end or at a comment.
fn next_word(rest: &mut &str) -> Result<Option<String>, LdapFault> {
    let text = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
    if text.is_empty() || text.starts_with('#') {
        *rest = "";
        return Ok(None);
    }
    let (mut word, mut quoted) = (String::new(), false);
    let mut characters = text.chars();
    loop {
        let before = characters.as_str();
        match characters.next() {
            None if quoted => return Err(LdapFault::OpenQuote),
            None => *rest = "",
            Some(c) if !quoted && (c.is_whitespace() || c == ',') => *rest = before,
            Some('"') if quoted && characters.as_str().starts_with('"') => {
                characters.next();
                word.push('"');
                continue;
            }
            Some('"') => {
                quoted = !quoted;
                continue;
            }
            Some(c) => {
                word.push(c);
                continue;
            }
        }
        return Ok(Some(word));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> LdapOptions {
        LdapOptions::parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}"))
    }

    fn fault(text: &str) -> String {
        LdapOptions::parse(text).expect_err(text).to_string()
    }

    fn search(text: &str) -> LdapSearch {
        match read(text).method {
            LdapMethod::SearchAndBind(search) => search,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_name_is_built_from_prefix_and_suffix() {
        let options = read(
            r#"ldapserver="one two" ldapport=3890 ldapprefix="uid=" ldapsuffix=", dc=x" # me"#,
        );
        assert_eq!(options.servers, ["one", "two"]);
        assert_eq!((options.port, options.encryption), (3890, Encryption::None));
        let (prefix, suffix) = ("uid=".to_owned(), ", dc=x".to_owned());
        assert_eq!(options.method, LdapMethod::Bind { prefix, suffix });
    }

    #[test]
    fn words_are_quoted_in_all_of_the_ways_that_postgresql_and_pgbouncer_know() {
        let plain = read("ldapserver=h ldapsuffix=@x");
        for text in [
            r#""ldapserver"=h ,"ldapsuffix"="@x""#,
            r#""ldapserver=h","ldapsuffix=@x""#,
            "ldapserver=h,ldapsuffix=@x\n",
            "  ldapserver=other ldapserver=h ldapsuffix=@\"x\" #",
        ] {
            assert_eq!(read(text), plain, "{text}");
        }
        let quotes = read(r#"ldapserver=h ldapprefix="a ""b"" #c" ldapsuffix="""#).method;
        assert_eq!(
            quotes,
            LdapMethod::Bind { prefix: "a \"b\" #c".to_owned(), suffix: String::new() }
        );
    }

    #[test]
    fn what_is_looked_for_is_an_attribute_or_a_filter_below_a_base() {
        let found = search("ldapserver=h ldapbasedn=dc=x");
        assert_eq!((found.base.as_str(), found.scope), ("dc=x", LdapScope::Subtree));
        assert_eq!((found.filter.text(), found.as_user.as_str()), ("(uid=$username)", ""));
        let text = "ldapserver=h ldapbasedn=dc=x ldapbinddn=cn=me ldapbindpasswd=hush ldapsearchattribute=mail ldapscope=one";
        let found = search(text);
        assert_eq!((found.filter.text(), found.scope), ("(mail=$username)", LdapScope::One));
        assert_eq!((found.as_user.as_str(), found.password.reveal()), ("cn=me", "hush"));
        let text = r#"ldapserver=h ldapbasedn=dc=x ldapsearchfilter="uid=$username""#;
        assert_eq!(search(text).filter.text(), "(uid=$username)");
    }

    #[test]
    fn a_url_says_all_of_it_at_once() {
        let text =
            "ldapurl=\"ldap://h:3890/dc=a%2Cb,dc=x?uid,cn?sub?(|(uid=$username)(cn=$username))\"";
        assert_eq!(fault(text), LdapFault::AttributeAndFilter.to_string());
        let text = text.replace("uid,cn", "");
        let options = read(&text);
        assert_eq!((&options.servers[..], options.port), (&["h".to_owned()][..], 3890));
        let found = search(&text);
        assert_eq!((found.base.as_str(), found.scope), ("dc=a,b,dc=x", LdapScope::Subtree));
        assert_eq!(found.filter.text(), "(|(uid=$username)(cn=$username))");

        let options = read("ldapurl=ldaps://h/dc=x?mail");
        assert_eq!((options.encryption, options.port), (Encryption::Ldaps, 636));
        let options = read("ldapurl=ldap://[::1]/dc=x?mail");
        assert_eq!((&options.servers[..], options.port), (&["::1".to_owned()][..], 389));
        let found = search("ldapurl=ldap://[::1]/dc=x?mail");
        assert_eq!((found.filter.text(), found.scope), ("(mail=$username)", LdapScope::Base));
    }

    #[test]
    fn tls_begins_with_the_first_byte_or_after_a_question() {
        let encryption = |text: &str| {
            let options = read(&format!("ldapserver=h ldapsuffix=x {text}"));
            (options.encryption, options.port)
        };
        assert_eq!(encryption("ldapscheme=ldaps"), (Encryption::Ldaps, 636));
        assert_eq!(encryption("ldaptls=1"), (Encryption::StartTls, 389));
        assert_eq!(encryption("ldaptls=0 ldapscheme=ldap"), (Encryption::None, 389));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_what_would_do() {
        for (text, words) in [
            ("", "one of ldapprefix, ldapsuffix and ldapbasedn"),
            ("ldapserver=h", "one of ldapprefix, ldapsuffix and ldapbasedn"),
            ("ldapserver=h ldapbinddn=cn=me", "one of ldapprefix, ldapsuffix and ldapbasedn"),
            ("ldapbasedn=dc=x", "ldapserver, or a host in ldapurl"),
            ("ldapurl=ldap:///dc=x", "ldapserver, or a host in ldapurl"),
            ("ldapserver=h ldapprefix=a ldapbasedn=dc=x", "ldapprefix and ldapbasedn together"),
            (
                "ldapserver=h ldapsuffix=a ldapbindpasswd=hush",
                "ldapsuffix and ldapbindpasswd together",
            ),
            (
                "ldapserver=h ldapbasedn=dc=x ldapsearchattribute=a ldapsearchfilter=(b=c)",
                "one of them",
            ),
            (
                "ldapserver=h ldapsuffix=x ldaptls=1 ldapscheme=ldaps",
                "ldaptls=1 with ldapscheme=ldaps",
            ),
            ("ldapserver=h ldapsuffix=x ldaptls=yes", "ldaptls is \"yes\"; allowed: 0, 1"),
            ("ldapserver=h ldapsuffix=x ldapport=0", "ldapport is \"0\""),
            ("ldapserver=h ldapsuffix=x ldapport=70000", "ldapport is \"70000\""),
            ("ldapserver=h ldapsuffix=x ldapscheme=ldapi", "allowed: ldap, ldaps"),
            ("ldapserver=h ldapbasedn=x ldapscope=all", "allowed: base, one, sub"),
            ("ldapserver=h ldapbasedn=x ldapsearchattribute=a)(b", "ldapsearchattribute is"),
            ("ldapserver=h ldapbasedn=x ldapsearchfilter=(a=b", "ldapsearchfilter is"),
            ("ldapserver=h ldapbasedn=x ldapsearchfilter=a=b)(c=d", "ldapsearchfilter is"),
            ("ldapserver=h ldapsufix=x", "\"ldapsufix\" is no ldap option; allowed: ldapserver, "),
            ("ldapserver=h wibble", "a word without \"=\""),
            ("ldapserver=\"h ldapsuffix=x", "a quote does not end"),
            ("ldapurl=http://h/dc=x", "ldapurl is"),
            ("ldapurl=ldap://h:0/dc=x", "ldapurl is"),
            ("ldapurl=ldap://[::1/dc=x", "ldapurl is"),
            ("ldapserver=h/x ldapsuffix=x", "ldapserver is"),
            ("ldapserver=h:1 ldapsuffix=x", "ldapserver is"),
            ("ldapurl=ldap://user@h/dc=x", "ldapserver is"),
            ("ldapurl=ldap://h/dc=%zz", "ldapurl is"),
            ("ldapurl=ldap://h/dc=x?uid?all", "ldapurl is"),
            ("ldapurl=ldap://h/dc=x?uid?sub??bindname=x", "without extensions"),
        ] {
            assert!(fault(text).contains(words), "{text}: {}", fault(text));
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let text = "ldapserver=h ldapbasedn=dc=x ldapbinddn=cn=me ldapbindpasswd=hush";
        let options = read(text);
        assert!(!format!("{options:?}{}", options.show()).contains("hush"));
        assert!(options.show().contains("ldapbindpasswd=\"********\""));
        for bad in [
            "ldapprefix=a",
            "ldapport=x",
            "hush",
            "hush=1",
            "\"",
            "ldapurl=ldap://h/????x-bindpw=hush",
        ] {
            assert!(!fault(&format!("{text} {bad}")).contains("hush"), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(
            text in "(ldap(server|port|prefix|basedn|tls|url|searchfilter)=|ldaps?://|[ -~é\"?%,(]){0,40}"
        ) {
            let _ = LdapOptions::parse(&text);
        }

        #[test]
        fn what_is_shown_can_be_read_back(
            server in "[a-z]{1,5}( [a-z]{1,5})?", port in 1..u16::MAX, prefix in "[ -~]{0,9}", suffix in "[ -~]{0,9}",
            base in "[ -~]{1,9}", search: bool, tls in 0..3,
        ) {
            let encryption =
                [Encryption::None, Encryption::StartTls, Encryption::Ldaps][usize::try_from(tls).unwrap()];
            let method = if search {
                LdapMethod::SearchAndBind(LdapSearch {
                    base, scope: LdapScope::One, filter: Filter::parse("(a=$username)").unwrap(), as_user: String::new(),
                    password: SecretText::new(String::new()),
                })
            } else {
                LdapMethod::Bind { prefix, suffix }
            };
            let servers = server.split(' ').map(str::to_owned).collect();
            let options = LdapOptions { servers, port, encryption, method };
            prop_assert_eq!(read(&options.show()), options);
        }
    }
}
