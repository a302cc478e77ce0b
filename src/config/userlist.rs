//! `auth_file`: lines of `"name" "secret"`. The secret's kind (plain, md5, SCRAM) is `auth`'s business.

use std::fmt;
use std::path::Path;

use super::error::{ConfigError, Place};
use super::model::{SecretText, Userlist};

/// Bytes of a name, as in pgbouncer.
const MAX_NAME: usize = 127;
/// Bytes of a secret, as in pgbouncer 1.26.
const MAX_SECRET: usize = 65_535;

/// What is wrong with a line. Holds nothing of the line: it may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Something other than a quote where the name should begin.
    NoName,
    /// The name's closing quote is missing.
    OpenName,
    /// The name is empty or too long.
    NameLength,
    /// No second quoted word.
    NoSecret,
    /// The secret's closing quote is missing.
    OpenSecret,
    /// The secret is too long.
    SecretLength,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoName => f.write_str("the line does not begin with a quoted name"),
            Self::OpenName => f.write_str("the name's closing quote is missing"),
            Self::NameLength => write!(f, "the name must have 1 to {MAX_NAME} bytes"),
            Self::NoSecret => f.write_str("no quoted secret follows the name"),
            Self::OpenSecret => f.write_str("the secret's closing quote is missing"),
            Self::SecretLength => write!(f, "the secret must have at most {MAX_SECRET} bytes"),
        }
    }
}

/// Reads the text of an `auth_file`. Of two lines for a name the later one counts. Lines that are not understood are told
/// in `problems` ([`ConfigError::BrokenAuthFile`]). pgbouncer keeps the users so far; half a list would lock out whoever
/// stands below the slip, so pgweir takes the whole file or nothing.
pub fn parse(text: &str, file: &Path, problems: &mut Vec<ConfigError>) -> Userlist {
    let mut list = Userlist::default();
    for (line, number) in text.split('\n').zip(1..) {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(';') {
            continue;
        }
        match entry(line) {
            Ok((name, secret)) => {
                list.users.insert(name, SecretText::new(secret));
            }
            Err(fault) => {
                let at = Place { file: file.into(), line: number };
                problems.push(ConfigError::BrokenAuthFile { at, fault });
            }
        }
    }
    list
}

fn entry(line: &str) -> Result<(String, String), Fault> {
    let rest = line.strip_prefix('"').ok_or(Fault::NoName)?;
    let (name, rest) = quoted(rest).ok_or(Fault::OpenName)?;
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(Fault::NameLength);
    }
    let rest = rest.trim_ascii_start().strip_prefix('"').ok_or(Fault::NoSecret)?;
    let (secret, _ignored) = quoted(rest).ok_or(Fault::OpenSecret)?;
    if secret.len() > MAX_SECRET {
        return Err(Fault::SecretLength);
    }
    Ok((name, secret))
}

/// The word up to the closing quote, with doubled quotes made single, and what follows.
fn quoted(mut rest: &str) -> Option<(String, &str)> {
    let mut word = String::new();
    loop {
        let (part, after) = rest.split_once('"')?;
        word.push_str(part);
        let Some(more) = after.strip_prefix('"') else {
            return Some((word, after));
        };
        word.push('"');
        rest = more;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(String, String)>, String> {
        let mut problems = Vec::new();
        let list = parse(text, Path::new("users.txt"), &mut problems);
        if let Some(problem) = problems.first() {
            return Err(problem.to_string());
        }
        let users = list.users.into_iter();
        Ok(users.map(|(name, secret)| (name, secret.reveal().to_owned())).collect())
    }

    #[test]
    fn names_and_secrets_are_quoted_and_the_rest_of_a_line_is_ignored() {
        let text =
            "; people\n\n  \"ann\" \"md5abc\" whatever\r\n\"b\"\"ob\"\t\"p\"\"w d\"\n\"carl\"\"\"";
        // The last line has a name that ends in a quote and goes on: no secret follows.
        assert!(read(text).expect_err("carl is broken").contains("users.txt:5"));
        let text = text.replace("\"carl\"\"\"", "\"carl\" \"\"");
        let expected = [("ann", "md5abc"), ("b\"ob", "p\"w d"), ("carl", "")];
        let expected = expected.map(|(n, s)| (n.to_owned(), s.to_owned()));
        assert_eq!(read(&text).expect("is well formed"), expected);
    }

    #[test]
    fn a_later_line_for_a_name_wins() {
        let users = read("\"a\" \"1\"\n\"a\" \"2\"").expect("is well formed");
        assert_eq!(users, [("a".to_owned(), "2".to_owned())]);
    }

    #[test]
    fn a_broken_line_refuses_the_file_and_shows_nothing_of_the_secret() {
        for line in [
            "hunter2",
            "\"hunter2",
            "\"a\" hunter2",
            "\"a\" \"hunter2",
            "\"\" \"hunter2\"",
            "# hunter2",
        ] {
            let error = read(&format!("\"ok\" \"x\"\n{line}")).expect_err("is broken");
            assert!(error.starts_with("broken auth file (users.txt:2): "), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn names_and_secrets_have_pgbouncers_limits() {
        let name = "n".repeat(MAX_NAME);
        assert!(read(&format!("\"{name}\" \"\"")).is_ok());
        assert!(read(&format!("\"{name}n\" \"\"")).is_err());
        let secret = "s".repeat(MAX_SECRET);
        assert!(read(&format!("\"a\" \"{secret}\"")).is_ok());
        assert!(read(&format!("\"a\" \"{secret}s\"")).is_err());
    }
}
