//! A text with its constants out: by which SHOW QUERIES knows a statement, and how it shows it. PURE.
//!
//! Whoever reads that may see no value of anybody's: constants, parameters and comments are out, of commands that may hold
//! secrets in other places as well (`ALTER ROLE`, `SET`) only the front is left, and where it cannot be told what is a
//! constant the text ends. What is shown is made of the very parts that are counted by, so two rows never look the same.
//!
//! Lists of constants count as one of them, however long: `IN (1, 2, 3)`, and the rows behind the first one of `VALUES`.

use std::fmt::Write;
use std::hash::{BuildHasher, Hasher};

use super::scan::{Piece, Scanner};

/// How much of a text is looked at, bytes.
pub const LOOKED_AT: usize = 4000;

/// How much of one is shown, bytes.
pub const SHOWN: usize = 1024;

/// The number of a text, by this hasher. Allocates nothing.
pub fn number(text: &[u8], hasher: &impl BuildHasher) -> u64 {
    let mut state = hasher.build_hasher();
    for part in Parts::of(text) {
        match part.what {
            What::Constant => state.write_u8(0),
            What::Text(bytes) => {
                state.write(bytes);
                state.write_u8(1);
            }
            What::Hidden => state.write_u8(2),
        }
    }
    state.finish()
}

/// The text for people: `$1`, `$2` for constants, `…` for what is not shown.
pub fn shown(text: &[u8]) -> String {
    let mut shown = String::new();
    let mut constants = 0;
    for part in Parts::of(text) {
        if part.apart && !shown.is_empty() {
            shown.push(' ');
        }
        match part.what {
            What::Constant => {
                constants += 1;
                // Writing to a String cannot fail.
                let _ = write!(shown, "${constants}");
            }
            What::Text(bytes) => shown.push_str(&String::from_utf8_lossy(bytes)),
            What::Hidden => shown.push('…'),
        }
        if shown.len() > SHOWN {
            let end = (0..=SHOWN).rev().find(|end| shown.is_char_boundary(*end));
            shown.truncate(end.unwrap_or(0));
            shown.push('…');
            return shown;
        }
    }
    if text.len() > LOOKED_AT {
        shown.push('…');
    }
    shown
}

/// A part of a text.
struct Part<'a> {
    /// Whether white space or a comment stood before it.
    apart: bool,
    what: What<'a>,
}

enum What<'a> {
    /// A constant, a parameter, or a list of them.
    Constant,
    Text(&'a [u8]),
    /// Something that is not to be known.
    Hidden,
}

/// Where in a statement the scanner is, as far as that says what is to be hidden.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At its front.
    Front,
    /// Behind CREATE or ALTER.
    Made,
    /// Behind SET; its value is still to come.
    Set,
    /// In what is hidden up to the statement's end.
    Secret,
    /// Behind IN, and behind the parenthesis that follows it.
    In,
    InList,
    /// Among the rows of VALUES, inside so many parentheses.
    Values(u32),
    Elsewhere,
}

struct Parts<'a> {
    scanner: Scanner<'a>,
    /// Only the text's front is looked at: what stands at its end may be cut.
    cut: bool,
    place: Place,
}

impl<'a> Parts<'a> {
    fn of(text: &'a [u8]) -> Self {
        let cut = text.len() > LOOKED_AT;
        let front = text.get(..LOOKED_AT).unwrap_or(text);
        Self { scanner: Scanner::new(front), cut, place: Place::Front }
    }

    fn follow(&self, word: &[u8]) -> Place {
        let is = |keyword: &str| word.eq_ignore_ascii_case(keyword.as_bytes());
        match self.place {
            Place::Front if is("CREATE") || is("ALTER") => Place::Made,
            Place::Front if is("SET") => Place::Set,
            Place::Made
                if ["ROLE", "USER", "GROUP", "SUBSCRIPTION", "SERVER"].into_iter().any(is) =>
            {
                Place::Secret
            }
            Place::Set if word == b"=" || is("TO") => Place::Secret,
            Place::Set => Place::Set,
            Place::In if word == b"(" => Place::InList,
            Place::Values(depth) => match word {
                b"(" => Place::Values(depth + 1),
                b")" if depth > 1 => Place::Values(depth - 1),
                b")" => Place::Elsewhere,
                _ if depth > 0 => Place::Values(depth),
                _ => Place::Elsewhere,
            },
            _ if is("IN") => Place::In,
            _ if is("VALUES") => Place::Values(0),
            _ => Place::Elsewhere,
        }
    }

    /// Goes past what is hidden, up to the end of its statement.
    fn skip_secret(&mut self) {
        loop {
            let mut ahead = self.scanner.clone();
            match ahead.next_piece() {
                Some(Piece::Text(b";")) => return,
                Some(Piece::Doubtful) | None => return self.scanner = Scanner::new(b""),
                Some(_) => self.scanner = ahead,
            }
        }
    }

    /// Goes past the rest of a number with a point, and in a list past more constants between commas.
    fn skip_list(&mut self) {
        let in_list = self.place == Place::InList;
        while self.skip(|ahead| match ahead.next_piece() {
            Some(Piece::Text(b".")) => is_constant(ahead),
            Some(Piece::Text(b",")) if in_list => is_constant(ahead),
            _ => Some(false),
        }) {}
    }

    /// Goes past rows of constants behind the first row of VALUES.
    fn skip_rows(&mut self) {
        while self.skip(|ahead| {
            let begins = ahead.next_piece()? == Piece::Text(b",")
                && ahead.next_piece()? == Piece::Text(b"(");
            if !begins {
                return Some(false);
            }
            loop {
                if !is_constant(ahead)? {
                    return Some(false);
                }
                match ahead.next_piece()? {
                    Piece::Text(b")") => return Some(true),
                    Piece::Text(b"," | b".") => {}
                    _ => return Some(false),
                }
            }
        }) {}
    }

    /// Goes where `taken` has gone, if it says that it belongs to a list. `None`: it came to the end; if that is where the
    /// text was cut, it is the list's.
    fn skip(&mut self, taken: impl FnOnce(&mut Scanner<'a>) -> Option<bool>) -> bool {
        let mut ahead = self.scanner.clone();
        match taken(&mut ahead) {
            Some(true) => {
                self.scanner = ahead;
                return true;
            }
            None if self.cut => self.scanner = Scanner::new(b""),
            Some(false) | None => {}
        }
        false
    }
}

/// Whether a constant comes next, or a parameter, or a word that stands for a value; `None` at the end.
fn is_constant(scanner: &mut Scanner<'_>) -> Option<bool> {
    match scanner.next_piece()? {
        Piece::Constant => Some(true),
        Piece::Text(b"$") => Some(scanner.next_piece()? == Piece::Constant),
        Piece::Text(word) => Some(
            [&b"DEFAULT"[..], b"NULL", b"TRUE", b"FALSE"]
                .into_iter()
                .any(|known| word.eq_ignore_ascii_case(known)),
        ),
        Piece::Doubtful => None,
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        let apart = self.scanner.skip_blank();
        if self.place == Place::Secret {
            self.skip_secret();
            self.place = Place::Elsewhere;
            return Some(Part { apart, what: What::Hidden });
        }
        let mut piece = self.scanner.next_piece()?;
        if piece == Piece::Text(b"$") {
            let mut ahead = self.scanner.clone();
            if ahead.next_piece() == Some(Piece::Constant) {
                (self.scanner, piece) = (ahead, Piece::Constant);
            }
        }
        let what = match piece {
            Piece::Doubtful if self.cut => return None,
            Piece::Doubtful => What::Hidden,
            Piece::Constant => {
                self.skip_list();
                if self.place == Place::Front {
                    self.place = Place::Elsewhere;
                }
                What::Constant
            }
            Piece::Text(b";") => {
                self.place = Place::Front;
                // One at the end means nothing.
                self.scanner.clone().next_piece()?;
                What::Text(b";")
            }
            Piece::Text(word) => {
                let before = self.place;
                self.place = self.follow(word);
                if before == Place::Values(1) && self.place == Place::Elsewhere {
                    self.skip_rows();
                }
                What::Text(word)
            }
        };
        Some(Part { apart, what })
    }
}

#[cfg(test)]
mod tests {
    use std::hash::RandomState;

    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn assert_shown(text: &str, expected: &str) {
        assert_eq!(shown(text.as_bytes()), expected, "{text}");
    }

    fn same(one: &str, other: &str) -> bool {
        let hasher = RandomState::new();
        let [one, other] = [one, other].map(|text| number(text.as_bytes(), &hasher));
        one == other
    }

    #[test]
    fn constants_and_comments_are_out_and_the_rest_stays_as_it_was_written() {
        assert_shown(
            "SELECT  a.b, f(17), 'it''s' /* psst */ FROM\n\tt -- me\nWHERE a=$1 AND b > -1.5;",
            "SELECT a.b, f($1), $2 FROM t WHERE a=$3 AND b > -$4",
        );
        assert_shown("select E'\\'x', $$a;b$$, $q$ c $q$::text", "select $1, $2, $3::text");
        assert_shown("select 1; select 'b' ;", "select $1; select $2");
        assert_shown("select \"Name\" from \"T 1\"", "select \"Name\" from \"T 1\"");
        assert_shown("", "");
        assert_shown(" ; ", "");
    }

    #[test]
    fn a_statement_is_the_same_by_either_protocol_and_with_whatever_is_out() {
        assert!(same("select a from t where b = $1", "select a from t where b = 17"));
        assert!(same("select 1", "select  1.25 ; -- all"));
        assert!(!same("select a", "select b"));
        assert!(!same("select a, 1", "select a"));
        assert!(!same("select f(1)", "select f(1, 2)"));
    }

    #[test]
    fn lists_count_as_one_however_long() {
        assert_shown("select a in (1, -1) in (1,2.5, $3)", "select a in ($1, -$2) in ($3)");
        assert!(same("select a in (1)", "select a in ('x', 'y', NULL)"));
        assert!(!same("select f(1)", "select f(1, 2)"));
        let insert = "insert into t values (1, now(), (2)), ('a', 1.5), (DEFAULT, $1) returning a";
        assert_shown(insert, "insert into t values ($1, now(), ($2)) returning a");
        assert_shown("values (1), (a), (2)", "values ($1), (a), ($2)");
        let long = |rows| format!("insert into t values {}", vec!["('abcdef', 1)"; rows].join(","));
        assert!(same(&long(1), &long(100)));
        for rows in 300..340 {
            assert_eq!(shown(long(rows).as_bytes()), "insert into t values ($1, $2)…", "{rows}");
            assert!(same(&long(299), &long(rows)), "{rows}");
        }
    }

    #[test]
    fn commands_that_may_hold_secrets_show_only_their_front() {
        for (text, expected) in [
            ("ALTER ROLE bob PASSWORD 'secret'", "ALTER ROLE …"),
            (
                "/* x */ alter user bob with password $$secret$$; select 1",
                "alter user …; select $1",
            ),
            ("create user mapping for secret server s options (password 'x')", "create user …"),
            ("select 1; CREATE ROLE bob LOGIN PASSWORD 'a;b\\'", "select $1; CREATE ROLE …"),
            (
                "CREATE SUBSCRIPTION s CONNECTION 'password=x' PUBLICATION p",
                "CREATE SUBSCRIPTION …",
            ),
            ("SET app.token = secret", "SET app.token = …"),
            ("set local role to secret", "set local role to …"),
            ("SET TIME ZONE 'secret'", "SET TIME ZONE $1"),
            ("create table role (a int)", "create table role (a int)"),
            ("update t set a = b", "update t set a = b"),
        ] {
            assert_shown(text, expected);
        }
        assert!(same("alter role a password 'x'", "alter role b valid until 'y'"));
    }

    #[test]
    fn where_it_is_not_clear_what_is_a_constant_the_text_ends() {
        assert_shown("insert into t values ('C:\\dir', 'secret')", "insert into t values (…");
        assert_shown("select 'secret", "select …");
        assert_shown("select 1 /* secret", "select $1 …");
        assert_shown("select $a$ secret", "select …");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        for shift in 0..4 {
            let text = format!("select {}{}", "a".repeat(shift), "ä\u{1F418}".repeat(500));
            let shown = shown(text.as_bytes());
            assert!(shown.ends_with('…') && shown.len() <= SHOWN + '…'.len_utf8(), "{shown}");
            assert!(!shown.contains('\u{FFFD}'), "{shown}");
        }
        let text = format!("select '{}secret' from t", "x".repeat(LOOKED_AT));
        assert_shown(&text, "select…");
        assert_eq!(shown(b"select \xff"), "select \u{FFFD}");
    }

    /// Not to be seen. Digits, so that it may be a number as well.
    const MARKER: &str = "90817263";

    /// Parts of texts that stand apart, and close what they open.
    fn pieces() -> impl Strategy<Value = Vec<&'static str>> {
        let all = vec![
            "select", "a", "\"T 1\"", "$1", "1", "2.5", "'b'", "E'\\'c'", "$$d$$", "null",
            "default", "in", "(", ")", ",", "values", "set", "=", "to", "create", "alter", "role",
            "user", "; select", "-- e\n", "/* f */", ".", "-", "é",
        ];
        proptest::collection::vec(proptest::sample::select(all), 0..100)
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(text in proptest::collection::vec(any::<u8>(), 0..6000)) {
            prop_assert!(shown(&text).len() <= SHOWN + '…'.len_utf8());
            let _ = number(&text, &RandomState::new());
        }

        #[test]
        fn no_constant_is_shown_wherever_it_stands_and_which_one_it_is_does_not_matter(
            before in pieces(), behind in pieces(), open in "(?s).{0,20}",
        ) {
            let with = |constant: &str| format!("{} {constant} {}{open}", before.join(" "), behind.join(" "));
            for constant in [
                MARKER.to_owned(),
                format!("{MARKER}.5"),
                format!("'{MARKER}'"),
                format!("E'\\'{MARKER}'"),
                format!("$m${MARKER}$m$"),
            ] {
                let shown = shown(with(&constant).as_bytes());
                prop_assert!(!shown.contains(MARKER), "{}", shown);
            }
            let (one, other) = (with("1"), with("'a'"));
            prop_assert!(same(&one, &other));
            prop_assert_eq!(shown(one.as_bytes()), shown(other.as_bytes()));
        }

        /// Where constants stand apart. `x'1F'` is shown as `x$1`, which is a name.
        #[test]
        fn what_is_shown_is_shown_as_it_is(pieces in pieces()) {
            let once = shown(pieces.join(" ").as_bytes());
            prop_assert_eq!(shown(once.as_bytes()), once);
        }
    }
}
