//! `auth_ident_file`: which user names somebody may take whom the system or a certificate knows under another name.
//!
//! Lines of `map-name system-user database-user`. A line that is not understood is skipped, as in pgbouncer.

use std::collections::BTreeMap;
use std::path::Path;

use super::hba::bad_line;
use super::model::Note;
use super::tokens::{OpenQuote, Token, Tokens};

/// All maps, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdentMaps {
    maps: BTreeMap<String, Vec<Mapping>>,
}

/// A line of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mapping {
    system_user: String,
    /// `None`: every user (`all`).
    user: Option<String>,
}

impl IdentMaps {
    /// Whether there is a map of this name.
    pub fn contains(&self, map: &str) -> bool {
        self.maps.contains_key(map)
    }

    /// Whether this map lets `system_user` log in as `user`. A map that does not exist lets nobody.
    pub fn allows(&self, map: &str, system_user: &str, user: &str) -> bool {
        self.maps.get(map).is_some_and(|lines| {
            lines.iter().any(|line| {
                line.system_user == system_user
                    && line.user.as_deref().is_none_or(|mapped| mapped == user)
            })
        })
    }
}

/// Reads the text of an `auth_ident_file`, and what there is to say about its lines.
pub fn parse(text: &str, file: &Path) -> (IdentMaps, Vec<Note>) {
    let (mut all, mut notes) = (IdentMaps::default(), Vec::new());
    for (line, number) in text.split('\n').zip(1..) {
        match entry(line) {
            Ok(None) => {}
            Ok(Some((map, mapping))) => all.maps.entry(map).or_default().push(mapping),
            Err(fault) => notes.push(bad_line("ident", "auth_ident_file", file, number, fault)),
        }
    }
    (all, notes)
}

/// What is wrong with a line.
const NOT_THREE: &str = "a line is: map-name system-user database-user";

fn entry(line: &str) -> Result<Option<(String, Mapping)>, &'static str> {
    let mut tokens = Tokens::new(line);
    let mut next = || tokens.next().map_err(|OpenQuote| "a quote does not end");
    let Some(map) = next()? else { return Ok(None) };
    let (system_user, user) = (next()?.ok_or(NOT_THREE)?, next()?.ok_or(NOT_THREE)?);
    if next()?.is_some() {
        return Err(NOT_THREE);
    }
    let user = match user {
        Token::Word(all) if all == "all" => None,
        user => Some(user.into_name().ok_or(NOT_THREE)?),
    };
    let (map, system_user) = map.into_name().zip(system_user.into_name()).ok_or(NOT_THREE)?;
    Ok(Some((map, Mapping { system_user, user })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_lets_exactly_those_pairs_in_that_it_lists() {
        let text = "# maps\nstaff root ann\nstaff  \"carl c\" bob # lab\nother root all\nother x \"all\"\n";
        let (maps, notes) = parse(text, Path::new("ident"));
        assert_eq!(notes, []);
        assert!(maps.allows("staff", "root", "ann") && maps.allows("staff", "carl c", "bob"));
        assert!(!maps.allows("staff", "root", "bob") && !maps.allows("staff", "ann", "ann"));
        assert!(maps.allows("other", "root", "anyone"));
        assert!(maps.allows("other", "x", "all") && !maps.allows("other", "x", "ann"));
        assert!(!maps.allows("absent", "root", "ann"));
    }

    #[test]
    fn a_bad_line_is_skipped_and_named() {
        let text = "a b c\na b\na b c d\na,b c\na \"b c\n@a b c\nlast b c";
        let (maps, notes) = parse(text, Path::new("ident"));
        assert!(maps.allows("a", "b", "c") && maps.allows("last", "b", "c"));
        let lines: Vec<u32> = notes.iter().map(|note| note.line).collect();
        assert_eq!(lines, [2, 3, 4, 5, 6]);
        assert_eq!(
            notes[0].to_string(),
            "ident:2: ident line 2: a line is: map-name system-user database-user; could not parse ident config \
             line 2, it is skipped"
        );
    }
}
