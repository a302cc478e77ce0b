//! `auth_hba_file`: who may come from where, and how they prove who they are.
//!
//! pgbouncer's subset of PostgreSQL's pg_hba.conf. A line that is not understood is skipped, as in pgbouncer, and
//! leaves a note that names it. Which line counts for a client is decided in `auth`.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::ident::IdentMaps;
use super::ldap::LdapOptions;
use super::model::Note;
use super::tokens::{OpenQuote, Token, Tokens};

/// How deep name files may include each other: `@a` that holds `@b` that holds …
const MAX_DEPTH: usize = 8;
/// How many name files one line may read in all.
const MAX_FILES: usize = 64;

/// `auth_hba_file` and `auth_ident_file`. Empty unless `auth_type = hba`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hba {
    /// In the order of the file: the first that fits counts.
    pub rules: Vec<HbaRule>,
    /// The maps that rules name with `map=`.
    pub maps: IdentMaps,
}

/// One line of `auth_hba_file`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HbaRule {
    /// The line, counted from 1.
    pub line: u32,
    /// Which connections.
    pub transport: Transport,
    /// To which databases.
    pub databases: HbaDatabases,
    /// As which users.
    pub users: HbaUsers,
    /// From where. For `local` always [`Origin::Any`].
    pub origin: Origin,
    /// How the client proves who it is.
    pub method: HbaMethod,
}

/// The first field of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// `local`: the Unix-domain socket.
    Local,
    /// `host`: TCP.
    Host,
    /// `hostssl`: TCP with TLS.
    HostSsl,
    /// `hostnossl`: TCP without TLS.
    HostNoSsl,
}

/// The second field: a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HbaDatabases {
    /// `all`: every database, but no physical replication.
    pub all: bool,
    /// `sameuser`: the database of the user's name.
    pub same_user: bool,
    /// `replication`: physical replication.
    pub replication: bool,
    /// Names.
    pub names: HashSet<String>,
}

/// The third field: a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HbaUsers {
    /// `all`.
    pub all: bool,
    /// Names.
    pub names: HashSet<String>,
}

/// The address field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `all`
    Any,
    /// `address/length` or `address mask`, IPv4. Numbers with the first byte highest.
    V4 {
        /// The network, its host bits cleared.
        network: u32,
        /// Its mask.
        mask: u32,
    },
    /// The same for IPv6.
    V6 {
        /// The network, its host bits cleared.
        network: u128,
        /// Its mask.
        mask: u128,
    },
}

/// The method field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HbaMethod {
    /// `trust`
    Trust,
    /// `reject`
    Reject,
    /// `password`: in the clear.
    Password,
    /// `md5`
    Md5,
    /// `scram-sha-256`
    ScramSha256,
    /// `peer`: whom the system says the other process belongs to.
    Peer {
        /// `map=`
        map: Option<String>,
    },
    /// `cert`: whom the client's certificate names.
    Cert {
        /// `map=`
        map: Option<String>,
    },
    /// `ldap`: a directory tells whether the password is right.
    Ldap(Box<LdapOptions>),
    /// Known, and of no use as it stands. Whoever the line fits is refused: skipping it would let a later, looser line
    /// decide.
    Unusable {
        /// `ldap` with options that cannot be meant, or `pam`.
        method: &'static str,
        /// What is wrong.
        why: String,
    },
}

/// Reads a file that a line or a setting names.
pub type ReadFile<'a> = &'a mut dyn FnMut(&Path) -> io::Result<String>;

/// Reads the text of an `auth_hba_file`, the name files it includes, and what there is to say about its lines.
pub fn parse(text: &str, file: &Path, maps: IdentMaps, read: ReadFile<'_>) -> (Hba, Vec<Note>) {
    let (mut hba, mut notes) = (Hba { rules: Vec::new(), maps }, Vec::new());
    for (line, number) in text.split('\n').zip(1..) {
        let mut parser = Parser { tokens: Tokens::new(line), file, read: &mut *read, files: 0 };
        match parser.rule(number) {
            Ok(None) => {}
            Ok(Some(Parsed { rule, host_bits })) => {
                let remarks = remarks(&rule, &hba.maps).chain(host_bits.then(|| {
                    "the address has bits set that its mask leaves out; they count for nothing"
                        .to_owned()
                }));
                notes.extend(remarks.map(|remark| {
                    note("auth_hba_file", file, number, format!("hba line {number}: {remark}"))
                }));
                hba.rules.push(rule);
            }
            Err(fault) => notes.push(bad_line("hba", "auth_hba_file", file, number, fault)),
        }
    }
    (hba, notes)
}

/// What a line that was understood means, where that is hardly what was meant.
fn remarks(rule: &HbaRule, maps: &IdentMaps) -> impl Iterator<Item = String> + use<> {
    let method = match (&rule.method, rule.transport) {
        (HbaMethod::Unusable { method, why }, _) => {
            Some(format!("{method}: {why}; this line refuses everyone"))
        }
        (HbaMethod::Peer { .. }, Transport::Host | Transport::HostSsl | Transport::HostNoSsl) => {
            Some("peer works on local lines only; this line refuses everyone".to_owned())
        }
        (HbaMethod::Cert { .. }, Transport::Local | Transport::HostNoSsl) => {
            Some("cert needs TLS; this line refuses everyone".to_owned())
        }
        _ => None,
    };
    let map = match &rule.method {
        HbaMethod::Peer { map: Some(map) } | HbaMethod::Cert { map: Some(map) }
            if !maps.contains(map) =>
        {
            Some(format!("auth_ident_file has no map {map:?}; this line refuses everyone"))
        }
        _ => None,
    };
    method.into_iter().chain(map)
}

fn note(key: &str, file: &Path, line: u32, sentence: String) -> Note {
    Note { file: file.to_owned(), line, key: key.to_owned(), sentence }
}

/// pgbouncer's two warnings, in one line.
pub(super) fn bad_line(
    kind: &str,
    key: &str,
    file: &Path,
    line: u32,
    fault: impl fmt::Display,
) -> Note {
    let sentence = format!(
        "{kind} line {line}: {fault}; could not parse {kind} config line {line}, it is skipped"
    );
    note(key, file, line, sentence)
}

/// What is wrong with a line.
#[derive(Debug)]
enum Fault {
    OpenQuote,
    Ends { before: &'static str },
    Transport(String),
    NotSupported(String),
    NoName(&'static str),
    Address(String),
    Mask(String),
    Method(String),
    Further(String),
    Unreadable { file: PathBuf, source: io::Error },
    TooManyFiles,
}

impl From<OpenQuote> for Fault {
    fn from(_: OpenQuote) -> Self {
        Self::OpenQuote
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OpenQuote => f.write_str("a quote does not end"),
            Self::Ends { before } => write!(f, "the line ends before the {before}"),
            Self::Transport(word) => write!(
                f,
                "{word:?} is no kind of connection; allowed: local, host, hostssl, hostnossl"
            ),
            Self::NotSupported(word) => write!(f, "{word} is not supported"),
            Self::NoName(list) => write!(f, "a name is missing in the list of {list}"),
            Self::Address(word) => write!(
                f,
                "{word:?} is no address; allowed: all, ADDRESS/LENGTH, ADDRESS MASK (host names are not supported)"
            ),
            Self::Mask(word) => write!(f, "{word:?} is no mask for this address"),
            Self::Method(word) => write!(
                f,
                "{word:?} is no method; allowed: trust, reject, md5, password, scram-sha-256, peer, cert, ldap"
            ),
            Self::Further(word) => write!(
                f,
                "{word:?} behind the method; allowed: map=NAME, with the methods peer and cert"
            ),
            Self::Unreadable { file, source } => {
                write!(f, "cannot read {}: {source}", file.display())
            }
            Self::TooManyFiles => write!(
                f,
                "it includes more than {MAX_FILES} files, or they include each other more than {MAX_DEPTH} deep"
            ),
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

struct Parsed {
    rule: HbaRule,
    /// The address has bits that the mask leaves out.
    host_bits: bool,
}

/// One line on its way to a rule.
struct Parser<'a> {
    tokens: Tokens<'a>,
    /// Relative name files are beside it.
    file: &'a Path,
    read: ReadFile<'a>,
    files: usize,
}

impl Parser<'_> {
    fn rule(&mut self, line: u32) -> Result<Option<Parsed>, Fault> {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn no_files(_: &Path) -> io::Result<String> {
        Err(io::Error::from(io::ErrorKind::NotFound))
    }

    fn read(text: &str) -> (Vec<HbaRule>, Vec<String>) {
        let (hba, notes) = parse(text, Path::new("hba"), IdentMaps::default(), &mut no_files);
        (hba.rules, notes.iter().map(Note::to_string).collect())
    }

    fn one(line: &str) -> HbaRule {
        let (rules, notes) = read(line);
        assert_eq!(notes, Vec::<String>::new(), "{line}");
        let [rule] = rules.try_into().expect("one rule");
        rule
    }

    fn fault(line: &str) -> String {
        let (rules, notes) = read(line);
        assert_eq!((rules.len(), notes.len()), (0, 1), "{line}");
        notes[0].clone()
    }

    fn names<const N: usize>(names: [&str; N]) -> HashSet<String> {
        names.map(str::to_owned).into()
    }

    #[test]
    fn every_field_is_read() {
        let rule =
            one("hostssl app,\"all\",sameuser ann , \"b b\" 10.1.0.0/16 scram-sha-256 # staff");
        assert_eq!(rule.transport, Transport::HostSsl);
        assert_eq!(
            rule.databases,
            HbaDatabases { same_user: true, names: names(["app", "all"]), ..Default::default() }
        );
        assert_eq!(rule.users, HbaUsers { all: false, names: names(["ann", "b b"]) });
        assert_eq!(rule.origin, Origin::V4 { network: 0x0a01_0000, mask: 0xffff_0000 });
        assert_eq!(rule.method, HbaMethod::ScramSha256);
        let rule = one("local all,replication all md5");
        assert!(rule.databases.all && rule.databases.replication && rule.users.all);
        assert_eq!((rule.transport, rule.method), (Transport::Local, HbaMethod::Md5));
    }

    #[test]
    fn addresses_have_a_length_or_a_mask() {
        let origin = |text: &str| one(&format!("host all all {text} trust")).origin;
        assert_eq!(origin("all"), Origin::Any);
        assert_eq!(origin("0.0.0.0/0"), Origin::V4 { network: 0, mask: 0 });
        let same = Origin::V4 { network: 0x7f00_0000, mask: 0xff00_0000 };
        assert_eq!((origin("127.0.0.0/8"), origin("127.0.0.0 255.0.0.0")), (same, same));
        assert_eq!(origin("::1/128"), Origin::V6 { network: 1, mask: u128::MAX });
        assert_eq!(origin("::/0"), Origin::V6 { network: 0, mask: 0 });
        assert_eq!(
            origin("fe80:: ffc0::"),
            Origin::V6 { network: 0xfe80 << 112, mask: 0xffc0 << 112 }
        );
        let (rules, notes) = read("host all all 10.1.2.3/8 trust");
        assert_eq!(rules[0].origin, Origin::V4 { network: 0x0a00_0000, mask: 0xff00_0000 });
        assert!(notes[0].contains("bits set"), "{notes:?}");
    }

    #[test]
    fn peer_and_cert_take_a_map_and_the_others_take_nothing() {
        let maps = super::super::ident::parse("m a b\n\"m m\" a b", Path::new("ident")).0;
        let text =
            "local all all peer map=m\nhost all all all cert map=\"m m\"\nlocal all all peer";
        let (hba, notes) = parse(text, Path::new("hba"), maps, &mut no_files);
        assert_eq!(notes, []);
        let methods: Vec<HbaMethod> = hba.rules.into_iter().map(|rule| rule.method).collect();
        assert_eq!(
            methods,
            [
                HbaMethod::Peer { map: Some("m".to_owned()) },
                HbaMethod::Cert { map: Some("m m".to_owned()) },
                HbaMethod::Peer { map: None },
            ]
        );
        for line in
            ["local all all md5 map=m", "local all all peer map=m x", "local all all peer x"]
        {
            assert!(fault(line).contains("behind the method"), "{line}");
        }
    }

    #[test]
    fn what_follows_ldap_are_its_options_up_to_the_end_of_the_line() {
        let method =
            one("host all all all ldap ldapserver=h ldapprefix=\"cn=\" ldapsuffix=\", dc=x\" # x")
                .method;
        let HbaMethod::Ldap(options) = method else { panic!("{method:?}") };
        assert_eq!(options.servers, ["h"]);
    }

    #[test]
    fn a_bad_line_is_skipped_and_named_with_place_and_reason() {
        let (rules, notes) =
            read("host all all all trust\n\nhost all all all gss\nlocal all all md5\n");
        assert_eq!(rules.iter().map(|rule| rule.line).collect::<Vec<_>>(), [1, 4]);
        assert_eq!(
            notes,
            [
                "hba:3: hba line 3: \"gss\" is no method; allowed: trust, reject, md5, password, scram-sha-256, peer, \
              cert, ldap; could not parse hba config line 3, it is skipped"
            ]
        );
        for (line, reason) in [
            ("hosts all all all trust", "no kind of connection"),
            ("\"host\" all all all trust", "no kind of connection"),
            ("host", "the line ends before the databases"),
            ("host all", "the line ends before the users"),
            ("host all all", "the line ends before the address"),
            ("host all all all", "the line ends before the method"),
            ("host all all 10.0.0.1 trust", "\"trust\" is no mask"),
            ("host all all 10.0.0.1", "the line ends before the mask"),
            ("host all, all all trust", "\"trust\" is no address"),
            ("host ,all all all trust", "a name is missing in the list of databases"),
            ("host samerole all all trust", "samerole is not supported"),
            ("host all +staff all trust", "+staff is not supported"),
            ("host all all samenet trust", "samenet is not supported"),
            ("host all all db.example trust", "is no address"),
            ("host all all 10.0.0.0/33 trust", "\"33\" is no mask"),
            ("host all all 10.0.0.0/+8 trust", "\"+8\" is no mask"),
            ("host all all ::/129 trust", "\"129\" is no mask"),
            ("host all all 10.0.0.0 ffff:: trust", "is no mask"),
            ("host all all all \"trust\"", "is no method"),
            ("host all all all any", "is no method"),
            ("host all all \"all trust", "a quote does not end"),
            ("host @gone all all trust", "cannot read gone"),
        ] {
            assert!(fault(line).contains(reason), "{line}: {}", fault(line));
        }
    }

    #[test]
    fn lines_that_refuse_everyone_stay_and_are_named() {
        for (line, word) in [
            ("host all all all ldap ldapurl=\"ldap://x/dc=a,b\" \"", "ldap: a quote does not end"),
            ("host all all all ldap", "ldap: one of ldapprefix"),
            ("local all all pam", "pam: it works as auth_type only"),
            ("host all all all peer", "local lines only"),
            ("local all all cert", "cert needs TLS"),
            ("host all all all cert map=absent", "no map \"absent\""),
        ] {
            let (rules, notes) = read(line);
            assert_eq!((rules.len(), notes.len()), (1, 1), "{line}: {notes:?}");
            assert!(notes[0].contains(word), "{notes:?}");
        }
    }

    #[test]
    fn names_come_from_files_beside_the_file_and_from_files_that_these_name() {
        let mut read = |file: &Path| match file.to_str() {
            Some("/etc/w/users") => Ok("ann bob,carl\n\n# nobody\n@more\n".to_owned()),
            Some("/etc/w/more") => Ok("\"all\"\n".to_owned()),
            Some("/abs/dbs") => Ok("app\nsameuser".to_owned()),
            Some("/etc/w/loop") => Ok("@loop".to_owned()),
            _ => no_files(file),
        };
        let text = "host @/abs/dbs x,@users all trust\nhost all @loop all trust";
        let (hba, notes) = parse(text, Path::new("/etc/w/hba"), IdentMaps::default(), &mut read);
        let [rule] = hba.rules.try_into().expect("one rule");
        assert_eq!(
            rule.users,
            HbaUsers { all: false, names: names(["x", "ann", "bob", "carl", "all"]) }
        );
        assert_eq!(rule.databases.names, names(["app"]));
        assert!(rule.databases.same_user);
        assert_eq!(notes.len(), 1);
        assert!(notes[0].sentence.contains("include each other"), "{notes:?}");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic_and_each_line_is_a_rule_or_a_note_or_nothing(
            text in "((host|local|hostssl) [ -~\\té]{0,40}\n|[ -~\n]{0,30}|host (all|@f|\"a\"|,)* all (all|::1/12|1.2.3.4/9) (md5|cert|ldap)\n){0,6}"
        ) {
            let mut read = |_: &Path| Ok("@f x".to_owned());
            let (hba, notes) = parse(&text, Path::new("hba"), IdentMaps::default(), &mut read);
            let lines = text.split('\n').count();
            prop_assert!(hba.rules.len() <= lines);
            prop_assert!(hba.rules.is_sorted_by_key(|rule| rule.line));
            for note in notes {
                prop_assert!(note.line as usize <= lines);
            }
        }

        #[test]
        fn a_length_and_its_mask_mean_the_same(address: u32, length in 0..=32_u32) {
            let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
            let (ip, mask_ip) = (std::net::Ipv4Addr::from(address), std::net::Ipv4Addr::from(mask));
            let (by_length, _) = read(&format!("host all all {ip}/{length} trust"));
            let (by_mask, _) = read(&format!("host all all {ip} {mask_ip} trust"));
            prop_assert_eq!(&by_length[0].origin, &by_mask[0].origin);
            let expected = Origin::V4 { network: address & mask, mask };
            prop_assert_eq!(by_length[0].origin, expected);
        }
    }
}
