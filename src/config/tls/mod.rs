//! What TLS may be negotiated (`*_tls_protocols`, `*_tls_ciphers`, `*_tls13_ciphers`, `*_tls_ecdhcurve`), in OpenSSL's
//! words, since pgbouncer has them.
//!
//! pgweir's TLS library knows TLS 1.2 and 1.3, and of those only what is sound: key exchange with curves and AEAD
//! ciphers. So the words of a list choose among the suites below. A word that chooses none of them has no effect, as in
//! OpenSSL, and leaves a note; a list that leaves nothing is refused.

use std::fmt;

use super::values::{Allowed, Value};

/// A cipher suite that pgweir has.
#[derive(Debug, PartialEq, Eq)]
pub struct Suite {
    /// OpenSSL's name.
    pub name: &'static str,
    /// IANA's number.
    pub number: u16,
    /// OpenSSL's words for its parts.
    parts: &'static [&'static str],
}

/// The suites of TLS 1.2, the best first.
pub const SUITES_12: &[Suite] = &[
    suite("ECDHE-ECDSA-AES256-GCM-SHA384", 0xc02c, &["ECDSA", "aECDSA", "AES", "AESGCM", "AES256"]),
    suite("ECDHE-ECDSA-AES128-GCM-SHA256", 0xc02b, &["ECDSA", "aECDSA", "AES", "AESGCM", "AES128"]),
    suite("ECDHE-ECDSA-CHACHA20-POLY1305", 0xcca9, &["ECDSA", "aECDSA", "CHACHA20"]),
    suite("ECDHE-RSA-AES256-GCM-SHA384", 0xc030, &["aRSA", "AES", "AESGCM", "AES256"]),
    suite("ECDHE-RSA-AES128-GCM-SHA256", 0xc02f, &["aRSA", "AES", "AESGCM", "AES128"]),
    suite("ECDHE-RSA-CHACHA20-POLY1305", 0xcca8, &["aRSA", "CHACHA20"]),
];

/// OpenSSL's words that mean every suite of [`SUITES_12`].
const EVERY_SUITE: &[&str] =
    &["ALL", "DEFAULT", "HIGH", "TLSv1.2", "ECDHE", "EECDH", "kECDHE", "kEECDH", "ECDH"];

/// The suites of TLS 1.3, the best first.
pub const SUITES_13: &[Suite] = &[
    suite("TLS_AES_256_GCM_SHA384", 0x1302, &[]),
    suite("TLS_AES_128_GCM_SHA256", 0x1301, &[]),
    suite("TLS_CHACHA20_POLY1305_SHA256", 0x1303, &[]),
];

/// OpenSSL has them, pgweir has not.
const OTHER_SUITES_13: &[&str] = &["TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_8_SHA256"];

/// Names of a curve for key exchange, and IANA's number of its group. The best first.
pub const CURVES: &[(&[&str], u16)] = &[
    (&["X25519", "x25519"], 0x001d),
    (&["prime256v1", "secp256r1", "P-256"], 0x0017),
    (&["secp384r1", "P-384"], 0x0018),
];

const fn suite(name: &'static str, number: u16, parts: &'static [&'static str]) -> Suite {
    Suite { name, number, parts }
}

impl Suite {
    fn is_meant_by(&self, part: &str) -> bool {
        self.name == part || self.parts.contains(&part) || EVERY_SUITE.contains(&part)
    }
}

/// Declares a setting's type: the text as it stands, and what it comes to. Shown, also by `Debug`, as the text.
macro_rules! chosen {
    ($(#[$doc:meta])* $type:ident { $(#[$field_doc:meta])* $field:ident: $of:ty }) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq)]
        pub struct $type {
            text: String,
            $(#[$field_doc])*
            pub $field: $of,
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.text)
            }
        }
    };
}

chosen! {
    /// `*_tls_protocols`.
    Protocols {
        /// Which of those that pgweir has; at least one.
        versions: Versions
    }
}

chosen! {
    /// `*_tls_ciphers`.
    Ciphers {
        /// In this order; `None`: all of [`SUITES_12`], in the order of the client.
        suites: Option<Vec<&'static Suite>>
    }
}

chosen! {
    /// `*_tls13_ciphers`.
    #[derive(Default)]
    Ciphers13 {
        /// In this order; `None`: all of [`SUITES_13`], in the order of the client.
        suites: Option<Vec<&'static Suite>>
    }
}

chosen! {
    /// `*_tls_ecdhcurve`.
    Curves {
        /// Numbers of the groups, in this order; `None`: all of [`CURVES`].
        groups: Option<Vec<u16>>
    }
}

/// Versions of TLS that pgweir has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    /// TLS 1.2 and 1.3.
    Both,
    /// TLS 1.2 alone.
    Only12,
    /// TLS 1.3 alone.
    Only13,
}

impl Default for Protocols {
    fn default() -> Self {
        Self { text: "secure".to_owned(), versions: Versions::Both }
    }
}

impl Default for Ciphers {
    fn default() -> Self {
        Self { text: "default".to_owned(), suites: None }
    }
}

impl Default for Curves {
    fn default() -> Self {
        Self { text: "auto".to_owned(), groups: None }
    }
}

/// Words of a list: OpenSSL takes colons, commas and blanks between them.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([':', ',', ';', ' ']).filter(|word| !word.is_empty())
}

fn protocol(word: &str) -> Option<&'static [&'static str]> {
    Some(match word {
        "all" | "legacy" | "tlsv1" => &["tlsv1.0", "tlsv1.1", "tlsv1.2", "tlsv1.3"],
        "default" | "secure" => &["tlsv1.2", "tlsv1.3"],
        "tlsv1.0" => &["tlsv1.0"],
        "tlsv1.1" => &["tlsv1.1"],
        "tlsv1.2" => &["tlsv1.2"],
        "tlsv1.3" => &["tlsv1.3"],
        _ => return None,
    })
}

impl Value for Protocols {
    fn read(text: &str) -> Result<Self, Allowed> {
        let refuse = || {
            "tlsv1.2, tlsv1.3, secure (both) or all, with commas between; of TLS 1.0 and 1.1, which pgweir does not \
             have, 1.2 and 1.3 take the place"
                .to_owned()
        };
        let lower = text.to_ascii_lowercase();
        let mut chosen: Vec<&str> = Vec::new();
        for word in words(&lower) {
            let (unwanted, name) = match word.strip_prefix('!') {
                Some(name) => (true, name),
                None => (false, word),
            };
            let versions = protocol(name).ok_or_else(refuse)?;
            if unwanted {
                chosen.retain(|version| !versions.contains(version));
            } else {
                chosen.extend(versions);
            }
        }
        let versions = match (chosen.contains(&"tlsv1.2"), chosen.contains(&"tlsv1.3")) {
            (true, true) => Versions::Both,
            (true, false) => Versions::Only12,
            (false, true) => Versions::Only13,
            // Stronger than what was asked for; a note says so.
            (false, false) if !chosen.is_empty() => Versions::Both,
            (false, false) => return Err(refuse()),
        };
        Ok(Self { text: text.to_owned(), versions })
    }

    fn show(&self) -> Option<String> {
        Some(self.text.clone())
    }
}

impl Value for Ciphers {
    fn read(text: &str) -> Result<Self, Allowed> {
        let whole = text.to_ascii_lowercase();
        let suites = match whole.as_str() {
            "" | "default" | "secure" | "fast" | "normal" | "all" => None,
            _ => Some(evaluate(text)),
        };
        if suites.as_ref().is_some_and(Vec::is_empty) {
            return Err(format!(
                "default, or a list in OpenSSL's words that leaves at least one of {}",
                names(SUITES_12)
            ));
        }
        Ok(Self { text: text.to_owned(), suites })
    }

    fn show(&self) -> Option<String> {
        Some(self.text.clone())
    }
}

/// A cipher list as OpenSSL reads it (`openssl ciphers`, "CIPHER LIST FORMAT"): `A+B` is what both mean; `!` takes out
/// for good, `-` takes out, a `+` in front moves to the end, `@STRENGTH` sorts.
fn evaluate(text: &str) -> Vec<&'static Suite> {
    let mut list: Vec<&'static Suite> = Vec::new();
    let mut dead: Vec<&'static Suite> = Vec::new();
    for word in words(text) {
        let (operator, meant) = operator_and_suites(word);
        match operator {
            Some('@') if word == "@STRENGTH" => {
                list.sort_by_key(|suite| suite.parts.contains(&"AES128"));
            }
            Some('@') => {}
            Some('!') => {
                list.retain(|suite| !meant.contains(suite));
                dead.extend(meant);
            }
            Some('-') => list.retain(|suite| !meant.contains(suite)),
            Some(_) => {
                let (moved, kept) = list.into_iter().partition(|suite| meant.contains(suite));
                let moved: Vec<_> = moved;
                list = kept;
                list.extend(moved);
            }
            None => {
                let new = meant.into_iter().filter(|suite| !dead.contains(suite));
                let new: Vec<_> = new.filter(|suite| !list.contains(suite)).collect();
                list.extend(new);
            }
        }
    }
    list
}

/// What stands in front of a word of a cipher list, and which suites the rest means.
fn operator_and_suites(word: &str) -> (Option<char>, Vec<&'static Suite>) {
    let operator = word.chars().next().filter(|first| "!-+@".contains(*first));
    let rest = word.strip_prefix(['!', '-', '+', '@']).unwrap_or(word);
    let all_parts = |suite: &&Suite| rest.split('+').all(|part| suite.is_meant_by(part));
    (operator, SUITES_12.iter().filter(all_parts).collect())
}

impl Value for Ciphers13 {
    fn read(text: &str) -> Result<Self, Allowed> {
        let refuse = |word: &str| {
            let have = names(SUITES_13);
            format!("a list of {have} ({word}failed to set the TLSv1.3 cipher suites)")
        };
        let mut suites: Vec<&'static Suite> = Vec::new();
        for word in words(text) {
            match SUITES_13.iter().find(|suite| suite.name == word) {
                Some(suite) if suites.contains(&suite) => {}
                Some(suite) => suites.push(suite),
                None if OTHER_SUITES_13.contains(&word) => {}
                None => return Err(refuse(&format!("{word}: "))),
            }
        }
        let given = words(text).next().is_some();
        if given && suites.is_empty() {
            return Err(refuse("none of them: "));
        }
        Ok(Self { text: text.to_owned(), suites: given.then_some(suites) })
    }

    fn show(&self) -> Option<String> {
        // Not given and empty are the same.
        (!self.text.is_empty()).then(|| self.text.clone())
    }
}

impl Value for Curves {
    fn read(text: &str) -> Result<Self, Allowed> {
        let groups = match text {
            "auto" | "none" => None,
            _ => {
                let group = |word| CURVES.iter().find(|(names, _)| names.contains(&word));
                let groups: Option<Vec<u16>> =
                    words(text).map(|word| group(word).map(|(_, group)| *group)).collect();
                let groups = groups.filter(|groups| !groups.is_empty());
                Some(
                    groups
                        .ok_or("auto, none, X25519, prime256v1, secp384r1, or a list of these")?,
                )
            }
        };
        Ok(Self { text: text.to_owned(), groups })
    }

    fn show(&self) -> Option<String> {
        Some(self.text.clone())
    }
}

fn names(suites: &[Suite]) -> String {
    suites.iter().map(|suite| suite.name).collect::<Vec<_>>().join(", ")
}

/// What of a setting's value (which is one it allows) has no effect; `None` if all of it has.
pub(super) fn without_effect(key: &str, text: &str) -> Option<String> {
    let (_, setting) = key.split_once('_')?;
    let idle: Vec<&str> = match setting {
        "tls_protocols" => {
            let lower = text.to_ascii_lowercase();
            let old = |word: &&str| ["tlsv1.0", "tlsv1.1", "tlsv1", "all", "legacy"].contains(word);
            return words(&lower).any(|word| old(&word)).then(|| {
                format!(
                    "pgweir has TLS 1.2 and 1.3 only; what {key} says of older ones has no effect"
                )
            });
        }
        "tls_ciphers" if Ciphers::read(text).is_ok_and(|ciphers| ciphers.suites.is_some()) => {
            let idle = |word: &&str| {
                let (operator, meant) = operator_and_suites(word);
                operator.is_none() && meant.is_empty()
            };
            words(text).filter(idle).collect()
        }
        "tls13_ciphers" => words(text).filter(|word| OTHER_SUITES_13.contains(word)).collect(),
        "tls_ecdhcurve" if text == "none" => {
            return Some(format!(
                "pgweir exchanges keys with curves only; {key} = none is as auto"
            ));
        }
        _ => return None,
    };
    (!idle.is_empty())
        .then(|| format!("{key} names what chooses no cipher that pgweir has: {}", idle.join(", ")))
}

#[cfg(test)]
mod tests;
