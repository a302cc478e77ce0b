//! The pgbouncer.ini dialect: text to entries, each with the place it came from. What a key means is others' business.
//!
//! Sections, `key = value`, `'odd key' = value`, `%include FILE`, comments from `;` or `#` at the start of a line. A
//! value is the rest of its line and never quoted. Files are read through a function that the caller hands in.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{ConfigError, Place};
use super::nearest::nearest;

/// How deep `%include` may nest, as in pgbouncer.
const MAX_DEPTH: usize = 10;
/// How many includes there may be at all: nesting alone would allow a file to multiply itself without end.
const MAX_FILES: usize = 1000;

/// A section of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// `[pgbouncer]`: settings.
    Pgbouncer,
    /// `[databases]`.
    Databases,
    /// `[users]`.
    Users,
    /// `[peers]`.
    Peers,
}

impl Section {
    const ALL: [Self; 4] = [Self::Pgbouncer, Self::Databases, Self::Users, Self::Peers];

    /// Its name, as between the brackets.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pgbouncer => "pgbouncer",
            Self::Databases => "databases",
            Self::Users => "users",
            Self::Peers => "peers",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|section| section.name() == name)
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One `key = value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The section it stands in.
    pub section: Section,
    /// The key, without quotes.
    pub key: String,
    /// The value, without blanks around it; may be empty.
    pub value: String,
    /// Where it stands.
    pub at: Place,
}

/// All entries of a file and of what it includes, in their order. `read` fetches a file's text. What is not understood
/// (a line, a file that `read` could not fetch) is left out, and told in `problems`.
pub fn parse_file(
    file: &Path,
    read: &mut dyn FnMut(&Path) -> io::Result<String>,
    problems: &mut Vec<ConfigError>,
) -> Vec<Entry> {
    let text = match read(file) {
        Ok(text) => text,
        Err(source) => {
            let file = file.to_owned();
            problems.push(ConfigError::Unreadable { file, asked_at: None, source });
            return Vec::new();
        }
    };
    let section = Within::Nothing;
    let mut parser =
        Parser { read, problems, section, entries: Vec::new(), files: 0, too_many: false };
    parser.file(file, &text, 0);
    parser.entries
}

struct Parser<'a> {
    read: &'a mut dyn FnMut(&Path) -> io::Result<String>,
    problems: &'a mut Vec<ConfigError>,
    /// Carries over into an included file, and back out of it.
    section: Within,
    entries: Vec<Entry>,
    files: usize,
    /// No more files are read: one that includes itself would go on and on.
    too_many: bool,
}

/// Where a line stands.
#[derive(Clone, Copy)]
enum Within {
    /// Before the first section.
    Nothing,
    /// In one that does not exist, which was told already.
    Unknown,
    Section(Section),
}

impl Parser<'_> {
    fn file(&mut self, file: &Path, text: &str, depth: usize) {
        let file: Arc<Path> = file.into();
        for (line, number) in text.split('\n').zip(1..) {
            let at = Place { file: file.clone(), line: number };
            if let Err(problem) = self.line(line.trim_ascii(), at, depth) {
                self.problems.push(problem);
            }
        }
    }

    fn line(&mut self, mut line: &str, at: Place, depth: usize) -> Result<(), ConfigError> {
        // As in pgbouncer, a line goes on behind a section's bracket.
        loop {
            match split(line) {
                Some(Line::Nothing) => return Ok(()),
                Some(Line::Include(file)) => return self.include(Path::new(file), at, depth),
                Some(Line::Section { name, rest }) => {
                    // If it is: what follows belongs to it, and to no other.
                    self.section = Within::Unknown;
                    self.section = Within::Section(section(name, &at)?);
                    line = rest;
                }
                Some(Line::Entry { key, value }) => return self.entry(key, value, at),
                None => return Err(ConfigError::Syntax { at }),
            }
        }
    }

    fn entry(&mut self, key: &str, value: &str, at: Place) -> Result<(), ConfigError> {
        let key = key.to_owned();
        match self.section {
            Within::Nothing => Err(ConfigError::OutsideSection { at, key }),
            Within::Unknown => Ok(()),
            Within::Section(section) => {
                self.entries.push(Entry { section, key, value: value.to_owned(), at });
                Ok(())
            }
        }
    }

    fn include(&mut self, file: &Path, at: Place, depth: usize) -> Result<(), ConfigError> {
        if self.too_many {
            return Ok(());
        }
        self.files += 1;
        if depth >= MAX_DEPTH || self.files > MAX_FILES {
            self.too_many = true;
            return Err(ConfigError::TooManyIncludes { at, depth: MAX_DEPTH, files: MAX_FILES });
        }
        let text = (self.read)(file).map_err(|source| ConfigError::Unreadable {
            file: PathBuf::from(file),
            asked_at: Some(at),
            source,
        })?;
        self.file(file, &text, depth + 1);
        Ok(())
    }
}

fn section(name: &str, at: &Place) -> Result<Section, ConfigError> {
    Section::from_name(name).ok_or_else(|| ConfigError::UnknownSection {
        at: at.clone(),
        section: name.to_owned(),
        nearest: nearest(name, Section::ALL.map(Section::name)),
    })
}

/// What a line is.
#[derive(Debug, PartialEq, Eq)]
enum Line<'a> {
    /// Blank or a comment.
    Nothing,
    Section {
        name: &'a str,
        rest: &'a str,
    },
    Include(&'a str),
    Entry {
        key: &'a str,
        value: &'a str,
    },
}

/// Tells what a trimmed line is; `None` if it is nothing known.
fn split(line: &str) -> Option<Line<'_>> {
    if line.is_empty() || line.starts_with([';', '#']) {
        return Some(Line::Nothing);
    }
    if let Some(rest) = line.strip_prefix("%include") {
        let file = rest.trim_start_matches([' ', '\t']);
        return (file.len() < rest.len() && !file.is_empty()).then_some(Line::Include(file));
    }
    if let Some(rest) = line.strip_prefix('[') {
        let (name, rest) = rest.split_once(']')?;
        return Some(Line::Section { name, rest: rest.trim_ascii_start() });
    }
    let (key, rest) = match line.strip_prefix('\'') {
        Some(quoted) => quoted.split_once('\'')?,
        None => {
            let is_bare = |c: char| c.is_ascii_alphanumeric() || "_.-*".contains(c);
            line.split_at(line.find(|c| !is_bare(c))?)
        }
    };
    let value = rest.trim_start_matches([' ', '\t']).strip_prefix('=')?;
    (!key.is_empty()).then_some(Line::Entry { key, value: value.trim_ascii() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(files: &[(&str, &str)]) -> Result<Vec<Entry>, ConfigError> {
        let mut read = |path: &Path| {
            let found = files.iter().find(|(name, _)| Path::new(name) == path);
            found.map(|(_, text)| (*text).to_owned()).ok_or_else(|| io::ErrorKind::NotFound.into())
        };
        let mut problems = Vec::new();
        let entries = parse_file(Path::new("main.ini"), &mut read, &mut problems);
        problems.into_iter().next().map_or(Ok(entries), Err)
    }

    fn brief(files: &[(&str, &str)]) -> Vec<String> {
        let entries = parse(files).expect("is well formed");
        entries.iter().map(|e| format!("{} {}/{}={}", e.at, e.section, e.key, e.value)).collect()
    }

    fn refusal(text: &str) -> String {
        parse(&[("main.ini", text)]).expect_err("is refused").to_string()
    }

    #[test]
    fn an_entry_knows_its_section_and_its_line() {
        let text = "; hello\n[databases]\n\n app =  host=a  \n[pgbouncer]\nlisten_port=1\r\n";
        assert_eq!(
            brief(&[("main.ini", text)]),
            ["main.ini:4 databases/app=host=a", "main.ini:6 pgbouncer/listen_port=1"]
        );
    }

    #[test]
    fn a_comment_begins_a_line_and_elsewhere_its_sign_is_an_ordinary_character() {
        let text = "[pgbouncer]\n  # one\n;two\nserver_check_query = select 1; # not a comment";
        assert_eq!(
            brief(&[("main.ini", text)]),
            ["main.ini:4 pgbouncer/server_check_query=select 1; # not a comment"]
        );
    }

    #[test]
    fn a_key_may_be_quoted_and_a_value_may_be_blank_or_hold_an_equals_sign() {
        let text = "[databases]\n'odd = name' = host=a\n* = \nb.c-d=x==y";
        assert_eq!(
            brief(&[("main.ini", text)]),
            [
                "main.ini:2 databases/odd = name=host=a",
                "main.ini:3 databases/*=",
                "main.ini:4 databases/b.c-d=x==y"
            ]
        );
    }

    #[test]
    fn the_section_carries_into_an_included_file_and_out_of_it_again() {
        let main = "[pgbouncer]\n%include more.ini\nc = 3";
        let more = "a = 1\n[users]\nb = 2\n";
        assert_eq!(
            brief(&[("main.ini", main), ("more.ini", more)]),
            ["more.ini:1 pgbouncer/a=1", "more.ini:3 users/b=2", "main.ini:3 users/c=3"]
        );
    }

    #[test]
    fn a_missing_include_names_the_file_and_who_asked_for_it() {
        let error = refusal("\n%include nowhere.ini");
        assert!(error.starts_with("cannot read nowhere.ini (named at main.ini:2):"), "{error}");
    }

    #[test]
    fn a_file_that_includes_itself_is_refused() {
        assert!(refusal("%include main.ini").starts_with("too many nested includes (main.ini:1)"));
        let twice = "%include main.ini\n".repeat(50);
        assert!(refusal(&twice).contains("at most 10 deep"));
    }

    #[test]
    fn what_is_no_line_of_the_dialect_is_refused_without_repeating_it() {
        for text in [
            "[pgbouncer]\nfoo bar=secret",
            "[pgbouncer]\n=secret",
            "[pgbouncer]\n'secret=1",
            "[pgbouncer]\nsecret",
            "[pgbouncer]\n%includesecret",
            "[pgbouncer]\n\"secret\"=1",
        ] {
            let error = refusal(text);
            assert!(error.starts_with("syntax error in configuration (main.ini:2)"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
        assert!(refusal("[pgbouncer").starts_with("syntax error"));
    }

    #[test]
    fn an_unknown_section_is_refused_with_the_one_that_was_meant() {
        let error = refusal("[database]");
        assert!(error.contains("[database] in configuration (main.ini:1)"), "{error}");
        assert!(error.contains("did you mean \"databases\"?"), "{error}");
    }

    #[test]
    fn an_entry_before_the_first_section_is_refused() {
        assert!(refusal("listen_port = 1").contains("before the first section (main.ini:1)"));
    }

    #[test]
    fn a_comment_may_follow_a_section_on_its_line() {
        assert_eq!(brief(&[("main.ini", "[users] ; who\na = ")]), ["main.ini:2 users/a="]);
    }
}
