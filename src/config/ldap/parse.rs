//! From a list of options, or a URL among them, to [`LdapOptions`]; and back.

use std::net::Ipv6Addr;

use super::{Encryption, Filter, LdapFault, LdapMethod, LdapOptions, LdapScope, LdapSearch};
use crate::config::SecretText;

pub(super) const OPTIONS: &[&str] = &[
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
