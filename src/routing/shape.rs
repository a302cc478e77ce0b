//! A number for a text that is the same whatever constants are in it: what is known of one holds for all of its shape.
//! PURE.
//!
//! Many drivers put values into the text. What the grammar says does not depend on them, so one look at a text serves
//! for all that differ in constants, in comments and in white space only.

use std::hash::{BuildHasher, Hasher};

use super::scan::{Piece, Scanner};

/// The number, by this hasher; `None` for a text of which it cannot be told what its constants are.
pub fn shape(text: &[u8], hasher: &impl BuildHasher) -> Option<u64> {
    let mut state = hasher.build_hasher();
    let mut scanner = Scanner::new(text);
    while let Some(piece) = scanner.next_piece() {
        match piece {
            Piece::Constant => state.write_u8(0),
            // Never empty, and none holds a zero: no two rows of pieces write the same bytes.
            Piece::Text(bytes) => {
                state.write(bytes);
                state.write_u8(1);
            }
            Piece::Doubtful => return None,
        }
    }
    Some(state.finish())
}

/// The text for a person, with `?` in the place of its constants, which may be secrets.
pub fn without_constants(text: &[u8]) -> String {
    let mut scanner = Scanner::new(text);
    let mut shown = String::new();
    while let Some(piece) = scanner.next_piece() {
        if !shown.is_empty() {
            shown.push(' ');
        }
        match piece {
            Piece::Constant => shown.push('?'),
            Piece::Text(bytes) => shown.push_str(&String::from_utf8_lossy(bytes)),
            Piece::Doubtful => shown.push('…'),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::RandomState;

    fn same(one: &str, other: &str) -> bool {
        let hasher = RandomState::new();
        let [one, other] = [one, other].map(|text| shape(text.as_bytes(), &hasher).unwrap());
        one == other
    }

    #[test]
    fn constants_comments_and_space_do_not_count() {
        assert!(same("select * from t where a = 1", "select *  from t where a = 22 -- all"));
        assert!(same("select 'a' || $$b$$", "/* x */ select 'it''s' || $q$ b $q$"));
        assert!(same("select E'a'", "select 'a'"));
        assert!(same("select 1.5", "select 17.25"));
    }

    #[test]
    fn a_text_is_shown_without_its_constants() {
        let text = "select 'secret' , f(17) -- psst\nfrom t where a = $1 and b = 'x";
        let shown = "select ? , f ( ? ) from t where a = $ ? and b = …";
        assert_eq!(without_constants(text.as_bytes()), shown);
    }

    #[test]
    fn everything_else_does() {
        assert!(!same("select a from t", "select b from t"));
        assert!(!same("select \"a\" from t", "select \"b\" from t"));
        assert!(!same("select f(1)", "select g(1)"));
        assert!(!same("select a + 1", "select a - 1"));
        assert!(!same("select ab", "select a b"));
        assert!(!same("select a", "select a from t"));
        assert!(!same("select $1", "select 1"));
    }

    #[test]
    fn a_text_whose_end_is_not_clear_has_none() {
        assert_eq!(shape(b"select 'a", &RandomState::new()), None);
        assert_eq!(shape(br"select '\'", &RandomState::new()), None);
    }
}
