//! One line of `auth_hba_file`, field by field.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::fault::Fault;
use super::{HbaDatabases, HbaMethod, HbaRule, HbaUsers, Origin, ReadFile, Transport};
use crate::config::ldap::LdapOptions;
use crate::config::tokens::{Token, Tokens};

/// How deep name files may include each other: `@a` that holds `@b` that holds …
pub(super) const MAX_DEPTH: usize = 8;

/// How many name files one line may read in all.
pub(super) const MAX_FILES: usize = 64;

pub(super) struct Parsed {
    pub(super) rule: HbaRule,
    /// The address has bits that the mask leaves out.
    pub(super) host_bits: bool,
}

/// One line on its way to a rule.
pub(super) struct Parser<'a> {
    tokens: Tokens<'a>,
    /// Relative name files are beside it.
    file: &'a Path,
    read: ReadFile<'a>,
    files: usize,
}

impl<'a> Parser<'a> {
    pub(super) fn new(line: &'a str, file: &'a Path, read: ReadFile<'a>) -> Self {
        Self { tokens: Tokens::new(line), file, read, files: 0 }
    }

    pub(super) fn rule(&mut self, line: u32) -> Result<Option<Parsed>, Fault> {
        let transport = match self.tokens.next()? {
            None => return Ok(None),
            Some(Token::Word(word)) => match word.as_str() {
                "local" => Transport::Local,
                "host" => Transport::Host,
                "hostssl" => Transport::HostSsl,
                "hostnossl" => Transport::HostNoSsl,
                _ => return Err(Fault::Transport(word)),
            },
            Some(other) => return Err(Fault::Transport(other.into_name().unwrap_or_default())),
        };
        let (mut databases, mut users) = (HbaDatabases::default(), HbaUsers::default());
        self.list(&mut databases)?;
        self.list(&mut users)?;
        let (origin, host_bits) = match transport {
            Transport::Local => (Origin::Any, false),
            _ => self.origin()?,
        };
        let method = self.method()?;
        let rule = HbaRule { line, transport, databases, users, origin, method };
        Ok(Some(Parsed { rule, host_bits }))
    }

    /// Names with commas between them.
    fn list<N: Names>(&mut self, names: &mut N) -> Result<(), Fault> {
        loop {
            match self.tokens.next()? {
                None => return Err(Fault::Ends { before: N::WHAT }),
                Some(Token::Comma) => return Err(Fault::NoName(N::WHAT)),
                Some(token) => self.take(token, names, self.file.to_owned(), 0)?,
            }
            if self.tokens.peek()? != Some(Token::Comma) {
                return Ok(());
            }
            self.tokens.next()?;
        }
    }

    /// A word of a list; `@file` brings the names of that file.
    fn take<N: Names>(
        &mut self,
        token: Token,
        names: &mut N,
        from: PathBuf,
        depth: usize,
    ) -> Result<(), Fault> {
        let named = match token {
            Token::Comma => return Ok(()),
            Token::Word(word) => return names.word(word),
            Token::Quoted(name) => {
                names.name(name);
                return Ok(());
            }
            Token::File(named) => named,
        };
        self.files += 1;
        if depth == MAX_DEPTH || self.files > MAX_FILES {
            return Err(Fault::TooManyFiles);
        }
        let file = from.parent().unwrap_or(Path::new("")).join(named);
        let text = match (self.read)(&file) {
            Ok(text) => text,
            Err(source) => return Err(Fault::Unreadable { file, source }),
        };
        for line in text.lines() {
            let mut tokens = Tokens::new(line);
            while let Some(token) = tokens.next()? {
                self.take(token, names, file.clone(), depth + 1)?;
            }
        }
        Ok(())
    }

    fn origin(&mut self) -> Result<(Origin, bool), Fault> {
        let word = self.word("address")?;
        match word.as_str() {
            "all" => return Ok((Origin::Any, false)),
            "samehost" | "samenet" => return Err(Fault::NotSupported(word)),
            _ => {}
        }
        let (address, length) = match word.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (word.as_str(), None),
        };
        let address: IpAddr = address.parse().map_err(|_| Fault::Address(word.clone()))?;
        let mask = match length {
            Some(length) => {
                mask_of(address, length).ok_or_else(|| Fault::Mask(length.to_owned()))?
            }
            None => {
                let mask = self.word("mask")?;
                mask.parse().map_err(|_| Fault::Mask(mask))?
            }
        };
        match (address, mask) {
            (IpAddr::V4(address), IpAddr::V4(mask)) => {
                let (address, mask) = (address.to_bits(), mask.to_bits());
                let network = address & mask;
                Ok((Origin::V4 { network, mask }, network != address))
            }
            (IpAddr::V6(address), IpAddr::V6(mask)) => {
                let (address, mask) = (address.to_bits(), mask.to_bits());
                let network = address & mask;
                Ok((Origin::V6 { network, mask }, network != address))
            }
            (_, mask) => Err(Fault::Mask(mask.to_string())),
        }
    }

    fn method(&mut self) -> Result<HbaMethod, Fault> {
        let word = self.word("method")?;
        let method = match word.as_str() {
            "ldap" => {
                // Its options are in a language of their own.
                let options = LdapOptions::parse(self.tokens.clone().rest());
                return Ok(match options {
                    Ok(options) => HbaMethod::Ldap(Box::new(options)),
                    Err(fault) => HbaMethod::Unusable { method: "ldap", why: fault.to_string() },
                });
            }
            "pam" => {
                let why = "it works as auth_type only, as in pgbouncer".to_owned();
                return Ok(HbaMethod::Unusable { method: "pam", why });
            }
            "peer" => return Ok(HbaMethod::Peer { map: self.map()? }),
            "cert" => return Ok(HbaMethod::Cert { map: self.map()? }),
            "trust" => HbaMethod::Trust,
            "reject" => HbaMethod::Reject,
            "password" => HbaMethod::Password,
            "md5" => HbaMethod::Md5,
            "scram-sha-256" => HbaMethod::ScramSha256,
            _ => return Err(Fault::Method(word)),
        };
        self.end()?;
        Ok(method)
    }

    /// `map=NAME` or `map="NAME"`, if it is there; then the end of the line.
    fn map(&mut self) -> Result<Option<String>, Fault> {
        let Some(token) = self.tokens.next()? else { return Ok(None) };
        let map = match &token {
            Token::Word(word) => word.strip_prefix("map="),
            _ => None,
        };
        let map = match map {
            Some("") => match self.tokens.next()? {
                Some(Token::Quoted(name)) => name,
                _ => return Err(Fault::Further("map=".to_owned())),
            },
            Some(name) => name.to_owned(),
            None => return Err(further(token)),
        };
        self.end()?;
        Ok(Some(map))
    }

    fn end(&mut self) -> Result<(), Fault> {
        self.tokens.next()?.map_or(Ok(()), |token| Err(further(token)))
    }

    /// A word that is no name, so not in quotes.
    fn word(&mut self, what: &'static str) -> Result<String, Fault> {
        match self.tokens.next()? {
            Some(Token::Word(word)) => Ok(word),
            None => Err(Fault::Ends { before: what }),
            Some(token) => {
                let word = token.into_name().unwrap_or_default();
                Err(if what == "method" { Fault::Method(word) } else { Fault::Address(word) })
            }
        }
    }
}

fn further(token: Token) -> Fault {
    Fault::Further(token.into_name().unwrap_or_else(|| ",".to_owned()))
}

/// The mask of that many bits; `None` if the address has not that many.
fn mask_of(address: IpAddr, length: &str) -> Option<IpAddr> {
    if !length.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let length: u32 = length.parse().ok()?;
    match address {
        IpAddr::V4(_) => {
            let host = 32_u32.checked_sub(length)?;
            Some(IpAddr::V4(u32::MAX.checked_shl(host).unwrap_or(0).into()))
        }
        IpAddr::V6(_) => {
            let host = 128_u32.checked_sub(length)?;
            Some(IpAddr::V6(u128::MAX.checked_shl(host).unwrap_or(0).into()))
        }
    }
}

/// A list of names that can be read from a line and from name files.
trait Names {
    /// What it is a list of.
    const WHAT: &'static str;
    /// Takes an unquoted word, keyword or name.
    fn word(&mut self, word: String) -> Result<(), Fault>;
    /// Takes a name.
    fn name(&mut self, name: String);
}

impl Names for HbaDatabases {
    const WHAT: &'static str = "databases";

    fn word(&mut self, word: String) -> Result<(), Fault> {
        match word.as_str() {
            "all" => self.all = true,
            "sameuser" => self.same_user = true,
            "replication" => self.replication = true,
            "samerole" | "samegroup" => return Err(Fault::NotSupported(word)),
            _ => self.name(word),
        }
        Ok(())
    }

    fn name(&mut self, name: String) {
        self.names.insert(name);
    }
}

impl Names for HbaUsers {
    const WHAT: &'static str = "users";

    fn word(&mut self, word: String) -> Result<(), Fault> {
        match word.as_str() {
            "all" => self.all = true,
            group if group.starts_with('+') => return Err(Fault::NotSupported(word)),
            _ => self.name(word),
        }
        Ok(())
    }

    fn name(&mut self, name: String) {
        self.names.insert(name);
    }
}
