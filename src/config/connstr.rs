//! Connection strings: `key=value key='va''lue'`, as the values of `[databases]`, `[users]` and `[peers]`.
//!
//! pgbouncer's grammar: blanks may stand around `=`, a quote within quotes is doubled, no value is empty.

use std::fmt;

/// What is wrong with a connection string. Holds no value: it may be a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A key without `=`.
    NoEquals {
        /// The key.
        key: String,
    },
    /// An `=` without a key.
    NoKey,
    /// Nothing behind `=`.
    EmptyValue {
        /// The key.
        key: String,
    },
    /// The closing quote is missing.
    OpenQuote {
        /// The key.
        key: String,
    },
    /// Something stands directly behind the closing quote.
    NoBlankAfterQuote {
        /// The key.
        key: String,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The word may be the tail of a password with a blank in it, so it is not shown.
            Self::NoEquals { .. } => f.write_str(
                "a key without \"=\"; write key=value, and quote values that hold blanks: key='a b'",
            ),
            Self::NoKey => f.write_str("a \"=\" without a key before it"),
            Self::EmptyValue { key } => {
                write!(f, "{key} has an empty value; leave the key out to get its default")
            }
            Self::OpenQuote { key } => write!(f, "the quoted value of {key} does not end"),
            Self::NoBlankAfterQuote { key } => write!(
                f,
                "no blank behind the quoted value of {key}; a quote within quotes is doubled: 'it''s'"
            ),
        }
    }
}

/// Splits a connection string into keys and values, in their order, duplicates included.
///
/// # Errors
/// The first [`Fault`].
pub fn parse(text: &str) -> Result<Vec<(String, String)>, Fault> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_ascii_start();
    while !rest.is_empty() {
        let end = rest.find(|c: char| c == '=' || is_blank(c)).unwrap_or(rest.len());
        let (key, after) = rest.split_at(end);
        let key = key.to_owned();
        let Some(after) = after.trim_ascii_start().strip_prefix('=') else {
            return Err(Fault::NoEquals { key });
        };
        if key.is_empty() {
            return Err(Fault::NoKey);
        }
        let (value, after) = value(&key, after.trim_ascii_start())?;
        if value.is_empty() {
            return Err(Fault::EmptyValue { key });
        }
        pairs.push((key, value));
        rest = after.trim_ascii_start();
    }
    Ok(pairs)
}

/// ASCII only, as in pgbouncer: a password may end in a blank of another kind.
fn is_blank(c: char) -> bool {
    c.is_ascii_whitespace()
}

/// Reads one value; returns it and what follows.
fn value<'a>(key: &str, text: &'a str) -> Result<(String, &'a str), Fault> {
    let Some(mut rest) = text.strip_prefix('\'') else {
        let (value, after) = text.split_at(text.find(is_blank).unwrap_or(text.len()));
        return Ok((value.to_owned(), after));
    };
    let mut value = String::new();
    loop {
        let Some((part, after)) = rest.split_once('\'') else {
            return Err(Fault::OpenQuote { key: key.to_owned() });
        };
        value.push_str(part);
        match after.strip_prefix('\'') {
            Some(after) => {
                value.push('\'');
                rest = after;
            }
            None if after.is_empty() || after.starts_with(is_blank) => {
                return Ok((value, after));
            }
            None => return Err(Fault::NoBlankAfterQuote { key: key.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse(text).expect("is well formed")
    }

    fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn pairs_are_separated_by_blanks_which_may_also_stand_around_the_equals_sign() {
        let expected = owned(&[("host", "a,b"), ("port", "5433"), ("user", "x=y")]);
        assert_eq!(pairs("host=a,b  port = 5433\tuser=x=y "), expected);
        assert_eq!(pairs("  "), []);
    }

    #[test]
    fn a_quoted_value_may_hold_blanks_and_doubled_quotes() {
        let expected = owned(&[("password", "it's a secret"), ("host", "a")]);
        assert_eq!(pairs("password='it''s a secret' host=a"), expected);
        assert_eq!(pairs("a='''' "), owned(&[("a", "'")]));
    }

    #[test]
    fn an_empty_value_is_a_syntax_error_quoted_or_not() {
        for text in ["user=", "user= ", "user=''"] {
            assert_eq!(parse(text), Err(Fault::EmptyValue { key: "user".to_owned() }), "{text}");
        }
    }

    #[test]
    fn broken_quoting_and_lone_words_are_syntax_errors() {
        let key = || "a".to_owned();
        assert_eq!(parse("a='b"), Err(Fault::OpenQuote { key: key() }));
        assert_eq!(parse("a='b'c=d"), Err(Fault::NoBlankAfterQuote { key: key() }));
        assert_eq!(parse("a"), Err(Fault::NoEquals { key: key() }));
        assert_eq!(parse("=b"), Err(Fault::NoKey));
    }

    #[test]
    fn the_tail_of_an_unquoted_password_is_not_repeated() {
        let fault = parse("password=correct horse").expect_err("is a lone word");
        assert!(!fault.to_string().contains("horse"), "{fault}");
    }
}
