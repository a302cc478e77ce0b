//! LDAP's messages (RFC 4511), as many as it takes to try a password: requests to bytes, bytes to answers.
//!
//! Answers are read flat, from the outside in, within [`MAX_ANSWER`]: nothing that a server sends can make us go deep or
//! keep much.

use bytes::{Buf, BytesMut};

use crate::config::ldap::{Comparison, Condition, LdapScope, LdapSearch};

/// Longest answer that is taken, bytes: names and words for people, no attributes.
pub const MAX_ANSWER: usize = 64 * 1024;
/// More entries than one are as good as many.
const ENTRIES: u8 = 2;
/// StartTLS (RFC 4511, 4.14).
const START_TLS: &[u8] = b"1.3.6.1.4.1.1466.20037";

// BER: class, kind and number of what follows.
const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const ENUMERATED: u8 = 0x0a;
const SEQUENCE: u8 = 0x30;
const BIND_REQUEST: u8 = 0x60;
const BIND_RESPONSE: u8 = 0x61;
const SEARCH_REQUEST: u8 = 0x63;
const SEARCH_ENTRY: u8 = 0x64;
const SEARCH_DONE: u8 = 0x65;
const SEARCH_REFERENCE: u8 = 0x73;
const EXTENDED_REQUEST: u8 = 0x77;
const EXTENDED_RESPONSE: u8 = 0x78;
const INTERMEDIATE_RESPONSE: u8 = 0x79;
/// `[n]`, without parts of its own.
const CONTEXT: u8 = 0x80;
/// `[n]`, with parts.
const CONTEXT_PARTS: u8 = 0xa0;

/// A bind with name and password; both empty: as nobody.
pub fn bind(id: u8, name: &str, password: &str) -> Vec<u8> {
    let version = element(INTEGER, &[3]);
    let parts = [version, element(OCTETS, name.as_bytes()), element(CONTEXT, password.as_bytes())];
    request(id, BIND_REQUEST, &parts.concat())
}

/// A search for the names of the entries that fit this user.
pub fn search(id: u8, search: &LdapSearch, user: &str, seconds: u8) -> Vec<u8> {
    let scope = match search.scope {
        LdapScope::Base => 0,
        LdapScope::One => 1,
        LdapScope::Subtree => 2,
    };
    let parts = [
        element(OCTETS, search.base.as_bytes()),
        element(ENUMERATED, &[scope]),
        // Aliases are not followed.
        element(ENUMERATED, &[0]),
        element(INTEGER, &[ENTRIES]),
        element(INTEGER, &[seconds & 0x7f]),
        element(BOOLEAN, &[0]),
        condition(search.filter.condition(), user),
        // No attributes.
        element(SEQUENCE, &element(OCTETS, b"1.1")),
    ];
    request(id, SEARCH_REQUEST, &parts.concat())
}

/// The question before TLS.
pub fn start_tls(id: u8) -> Vec<u8> {
    request(id, EXTENDED_REQUEST, &element(CONTEXT, START_TLS))
}

fn request(id: u8, tag: u8, parts: &[u8]) -> Vec<u8> {
    element(SEQUENCE, &[element(INTEGER, &[id & 0x7f]), element(tag, parts)].concat())
}

fn condition(condition: &Condition, user: &str) -> Vec<u8> {
    let many = |conditions: &[Condition]| {
        conditions.iter().flat_map(|one| self::condition(one, user)).collect::<Vec<u8>>()
    };
    match condition {
        Condition::And(conditions) => element(CONTEXT_PARTS, &many(conditions)),
        Condition::Or(conditions) => element(CONTEXT_PARTS | 1, &many(conditions)),
        Condition::Not(one) => element(CONTEXT_PARTS | 2, &self::condition(one, user)),
        Condition::Present(attribute) => element(CONTEXT | 7, attribute.as_bytes()),
        Condition::Compare { attribute, how, value } => {
            let number = match how {
                Comparison::Equal => 3,
                Comparison::GreaterOrEqual => 5,
                Comparison::LessOrEqual => 6,
                Comparison::Approximately => 8,
            };
            let parts = [element(OCTETS, attribute.as_bytes()), element(OCTETS, &value.with(user))];
            element(CONTEXT_PARTS | number, &parts.concat())
        }
        Condition::Substrings { attribute, parts } => {
            let last = parts.len().saturating_sub(1);
            let mut strings = Vec::new();
            for (number, part) in parts.iter().enumerate() {
                let part = part.with(user);
                let place = match number {
                    0 => 0,
                    number if number == last => 2,
                    _ => 1,
                };
                if !part.is_empty() {
                    strings.extend(element(CONTEXT | place, &part));
                }
            }
            let parts = [element(OCTETS, attribute.as_bytes()), element(SEQUENCE, &strings)];
            element(CONTEXT_PARTS | 4, &parts.concat())
        }
        Condition::Extensible { attribute, rule, dn, value } => {
            let named = |number, name: &Option<String>| {
                name.as_ref()
                    .map_or_else(Vec::new, |name| element(CONTEXT | number, name.as_bytes()))
            };
            let mut parts = named(1, rule);
            parts.extend(named(2, attribute));
            parts.extend(element(CONTEXT | 3, &value.with(user)));
            if *dn {
                parts.extend(element(CONTEXT | 4, &[0xff]));
            }
            element(CONTEXT_PARTS | 9, &parts)
        }
    }
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 6);
    out.push(tag);
    match u8::try_from(content.len()) {
        Ok(short @ 0..=127) => out.push(short),
        _ => {
            // Of what we send, nothing is near 4 GiB: a password has at most 64 KiB.
            let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
            out.push(0x84);
            out.extend(length.to_be_bytes());
        }
    }
    out.extend(content);
    out
}

/// What a server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To a bind.
    Bound(Outcome),
    /// A name that fits.
    Entry(String),
    /// There is no more that fits.
    Searched(Outcome),
    /// To what was asked before TLS.
    Extended(Outcome),
    /// It names other servers, or tells how far it is: not followed.
    Aside,
    /// It says goodbye, unasked.
    Goodbye(Outcome),
}

/// How something went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// LDAP's code; 0 is success.
    pub code: u32,
    /// The server's words.
    pub words: String,
}

impl Outcome {
    /// Success.
    pub const SUCCESS: u32 = 0;
    /// More entries than were asked for.
    pub const SIZE_LIMIT_EXCEEDED: u32 = 4;
    /// A wrong password, or a name that there is none for.
    pub const INVALID_CREDENTIALS: u32 = 49;
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self.code {
            1 => "operations error",
            2 => "protocol error",
            3 => "time limit exceeded",
            4 => "size limit exceeded",
            7 => "authentication method not supported",
            8 => "stronger authentication required",
            10 => "referral",
            11 => "administrative limit exceeded",
            13 => "confidentiality required",
            32 => "no such object",
            34 => "invalid DN syntax",
            48 => "inappropriate authentication",
            49 => "invalid credentials",
            50 => "insufficient access rights",
            51 => "busy",
            52 => "unavailable",
            53 => "unwilling to perform",
            _ => "",
        };
        write!(f, "{name}{}({})", if name.is_empty() { "" } else { " " }, self.code)?;
        if !self.words.is_empty() {
            write!(f, ": {:?}", self.words)?;
        }
        Ok(())
    }
}

/// What a server sent is no LDAP, or longer than [`MAX_ANSWER`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonsense;

impl std::fmt::Display for Nonsense {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("what it sent is no LDAP, or too long; is that the directory's port?")
    }
}

impl std::error::Error for Nonsense {}

/// Takes the next answer out of what has come; `None`: it is not all there yet.
///
/// # Errors
/// The connection is of no further use.
pub fn next_answer(inbox: &mut BytesMut) -> Result<Option<Answer>, Nonsense> {
    let Some((tag, header, length)) = header(inbox)? else { return Ok(None) };
    if tag != SEQUENCE || length > MAX_ANSWER {
        return Err(Nonsense);
    }
    if inbox.len() < header + length {
        return Ok(None);
    }
    inbox.advance(header);
    let message = inbox.split_to(length);
    answer(&message).map(Some)
}

fn answer(message: &[u8]) -> Result<Answer, Nonsense> {
    let mut rest = message;
    let id = number(part(&mut rest, INTEGER)?)?;
    let (tag, mut parts) = any_part(&mut rest)?;
    match tag {
        _ if id == 0 => Ok(Answer::Goodbye(outcome(&mut parts)?)),
        BIND_RESPONSE => Ok(Answer::Bound(outcome(&mut parts)?)),
        SEARCH_ENTRY => Ok(Answer::Entry(text(part(&mut parts, OCTETS)?)?)),
        SEARCH_DONE => Ok(Answer::Searched(outcome(&mut parts)?)),
        EXTENDED_RESPONSE => Ok(Answer::Extended(outcome(&mut parts)?)),
        SEARCH_REFERENCE | INTERMEDIATE_RESPONSE => Ok(Answer::Aside),
        _ => Err(Nonsense),
    }
}

fn outcome(parts: &mut &[u8]) -> Result<Outcome, Nonsense> {
    let code = number(part(parts, ENUMERATED)?)?;
    let _matched = part(parts, OCTETS)?;
    let words = String::from_utf8_lossy(part(parts, OCTETS)?).chars().take(200).collect();
    Ok(Outcome { code, words })
}

fn part<'a>(rest: &mut &'a [u8], tag: u8) -> Result<&'a [u8], Nonsense> {
    let (found, content) = any_part(rest)?;
    if found == tag { Ok(content) } else { Err(Nonsense) }
}

fn any_part<'a>(rest: &mut &'a [u8]) -> Result<(u8, &'a [u8]), Nonsense> {
    let (tag, header, length) = header(rest)?.ok_or(Nonsense)?;
    let content = rest.get(header..).ok_or(Nonsense)?;
    let (content, behind) = content.split_at_checked(length).ok_or(Nonsense)?;
    *rest = behind;
    Ok((tag, content))
}

/// What follows, how long that is said, and how long it is; `None`: it is not all there yet.
fn header(bytes: &[u8]) -> Result<Option<(u8, usize, usize)>, Nonsense> {
    let (tag, first) = match bytes {
        [tag, first, ..] => (*tag, *first),
        _ => return Ok(None),
    };
    if first < 0x80 {
        return Ok(Some((tag, 2, usize::from(first))));
    }
    let digits = usize::from(first & 0x7f);
    // LDAP has no lengths that are told later (RFC 4511, 5.1).
    if !(1..=4).contains(&digits) {
        return Err(Nonsense);
    }
    let Some(digits) = bytes.get(2..2 + digits) else { return Ok(None) };
    let length = digits.iter().fold(0_u32, |length, digit| length << 8 | u32::from(*digit));
    let length = usize::try_from(length).map_err(|_| Nonsense)?;
    Ok(Some((tag, 2 + digits.len(), length)))
}

fn number(content: &[u8]) -> Result<u32, Nonsense> {
    match content {
        [first, ..] if content.len() <= 4 && *first < 0x80 => {
            Ok(content.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
        }
        _ => Err(Nonsense),
    }
}

fn text(content: &[u8]) -> Result<String, Nonsense> {
    String::from_utf8(content.to_vec()).map_err(|_| Nonsense)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::LdapOptions;
    use crate::config::ldap::LdapMethod;

    fn all(bytes: &[u8]) -> Vec<Result<Answer, Nonsense>> {
        let mut inbox = BytesMut::from(bytes);
        std::iter::from_fn(|| next_answer(&mut inbox).transpose()).take(20).collect()
    }

    fn result(tag: u8, id: u8, code: u8, words: &str) -> Vec<u8> {
        let parts =
            [element(ENUMERATED, &[code]), element(OCTETS, b""), element(OCTETS, words.as_bytes())];
        request(id, tag, &parts.concat())
    }

    fn went(code: u32, words: &str) -> Outcome {
        Outcome { code, words: words.to_owned() }
    }

    #[test]
    fn a_bind_is_what_the_standard_says() {
        let expected = b"\x30\x13\x02\x01\x01\x60\x0e\x02\x01\x03\x04\x04cn=a\x80\x03pwd";
        assert_eq!(bind(1, "cn=a", "pwd"), expected);
        let long = bind(1, "", &"x".repeat(300));
        assert_eq!(long[..7], [0x30, 0x84, 0, 0, 1, 0x40, 2]);
        assert_eq!(start_tls(1), b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037");
    }

    #[test]
    fn a_search_has_every_kind_of_condition_in_it() {
        let asked = |filter: &str| {
            let text =
                format!("ldapserver=h ldapbasedn=b ldapscope=one ldapsearchfilter=\"{filter}\"");
            let LdapMethod::SearchAndBind(options) = LdapOptions::parse(&text).unwrap().method
            else {
                panic!()
            };
            search(2, &options, "j", 10)
        };
        let before = b"\x04\x01b\x0a\x01\x01\x0a\x01\x00\x02\x01\x02\x02\x01\x0a\x01\x01\x00";
        let behind = b"\x30\x05\x04\x031.1";
        for (filter, bytes) in [
            ("(a=$username)", &b"\xa3\x06\x04\x01a\x04\x01j"[..]),
            ("(&(a=*)(!(b>=1)))", b"\xa0\x0d\x87\x01a\xa2\x08\xa5\x06\x04\x01b\x04\x011"),
            ("(|(a<=1)(a~=1))", b"\xa1\x10\xa6\x06\x04\x01a\x04\x011\xa8\x06\x04\x01a\x04\x011"),
            ("(a=x*$username*z)", b"\xa4\x0e\x04\x01a\x30\x09\x80\x01x\x81\x01j\x82\x01z"),
            ("(a=*y*)", b"\xa4\x08\x04\x01a\x30\x03\x81\x01y"),
            ("(a:dn:1.2:=v)", b"\xa9\x0e\x81\x031.2\x82\x01a\x83\x01v\x84\x01\xff"),
        ] {
            let parts = [&before[..], bytes, behind].concat();
            assert_eq!(asked(filter), request(2, SEARCH_REQUEST, &parts), "{filter}");
        }
    }

    #[test]
    fn answers_are_read_one_by_one_as_they_come() {
        let entry =
            request(2, SEARCH_ENTRY, &[element(OCTETS, b"uid=a"), element(SEQUENCE, b"")].concat());
        let stream = [
            result(BIND_RESPONSE, 1, 49, "no"),
            entry,
            request(2, SEARCH_REFERENCE, &element(OCTETS, b"ldap://elsewhere")),
            result(SEARCH_DONE, 2, 0, ""),
            result(EXTENDED_RESPONSE, 0, 52, "bye"),
        ]
        .concat();
        assert_eq!(
            all(&stream),
            [
                Ok(Answer::Bound(went(49, "no"))),
                Ok(Answer::Entry("uid=a".to_owned())),
                Ok(Answer::Aside),
                Ok(Answer::Searched(went(0, ""))),
                Ok(Answer::Goodbye(went(52, "bye"))),
            ]
        );
        for end in 0..stream.len() {
            assert!(all(&stream[..end]).iter().all(Result::is_ok), "{end}");
        }
        assert_eq!(went(49, "no").to_string(), "invalid credentials (49): \"no\"");
        assert_eq!(went(80, "").to_string(), "(80)");
    }

    #[test]
    fn what_is_no_ldap_is_told_at_once() {
        for bytes in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            b"SSH-2.0-OpenSSH",
            b"\x30\x80\x02",
            b"\x30\x85\x00",
            b"\x30\x84\x7f\xff\xff\xff",
            b"\x30\x00",
            b"\x30\x03\x02\x01\x01",
            b"\x30\x05\x02\x01\x01\x61\x00",
            b"\x30\x05\x02\x01\x01\x61\x7f",
            b"\x30\x05\x02\x01\xff\x61\x00",
            b"\x30\x05\x02\x01\x01\x42\x00",
        ] {
            assert_eq!(all(bytes).first(), Some(&Err(Nonsense)), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = all(&bytes);
            let _ = all(&[&[0x30, 0x82, 0, 62, 2, 1, 1][..], &bytes].concat());
            let _ = all(&request(1, BIND_RESPONSE, &bytes));
        }
    }
}
