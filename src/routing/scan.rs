//! SQL text as tokens, as far as routing needs: words, semicolons, commas, and "something else".
//!
//! Follows PostgreSQL's scan.l for whatever can hide a semicolon: comments (nested), strings, quoted names, dollar
//! quotes. Where the meaning depends on what we do not know (a backslash in a plain string, which
//! `standard_conforming_strings` decides; a quote that never ends), it says [`Token::Doubtful`] and the caller gives up.
//!
//! The bytes are in the client's encoding. In none that PostgreSQL allows for clients is a quote, a dash, a slash or
//! a dollar part of a longer character; a backslash may be, and is doubtful anyway.

/// One token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A keyword or a plain name.
    Word(&'a [u8]),
    /// `;`
    Semicolon,
    /// `,`
    Comma,
    /// A string, a number, an operator, a quoted name …
    Other,
    /// It cannot be told what this is, nor what follows.
    Doubtful,
}

impl Token<'_> {
    /// Whether it is this keyword, given in capitals.
    pub(super) fn is(&self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case(keyword.as_bytes()))
    }
}

/// A token as its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A string or a number.
    Constant,
    /// Anything else.
    Text(&'a [u8]),
    /// As [`Token::Doubtful`].
    Doubtful,
}

/// Takes a text apart. After [`Token::Doubtful`] it ends.
#[derive(Clone, Debug)]
pub(super) struct Scanner<'a> {
    rest: &'a [u8],
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { rest: text }
    }

    /// The next token, and the bytes that it stands for.
    pub(super) fn next_spelled(&mut self) -> Option<(Token<'a>, &'a [u8])> {
        while self.comment().is_some() {}
        let from = self.rest;
        let token = self.next()?;
        Some((token, from.get(..from.len() - self.rest.len()).unwrap_or_default()))
    }

    /// As the next token, but with its bytes where it is no constant.
    pub(super) fn next_piece(&mut self) -> Option<Piece<'a>> {
        Some(match self.next_spelled()? {
            (Token::Doubtful, _) => Piece::Doubtful,
            (Token::Other, [b'\'' | b'0'..=b'9', ..] | [b'e' | b'E', b'\'', ..]) => Piece::Constant,
            (Token::Other, [b'$', _, .., b'$'] | b"$$") => Piece::Constant,
            (_, bytes) => Piece::Text(bytes),
        })
    }

    /// The content of the comment that comes next, if one does: without its marks, white space before it skipped.
    ///
    /// `None` also for a block comment that does not end.
    pub(super) fn comment(&mut self) -> Option<&'a [u8]> {
        self.skip_space();
        match self.rest {
            [b'-', b'-', rest @ ..] => {
                let end = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
                let (content, after) = rest.split_at(end);
                self.rest = after;
                Some(content)
            }
            [b'/', b'*', rest @ ..] => {
                let end = block_comment_end(rest)?;
                let (content, after) = rest.split_at(end);
                self.rest = after.get(2..).unwrap_or_default();
                Some(content)
            }
            _ => None,
        }
    }

    /// Goes past white space and comments; whether there were any.
    pub(super) fn skip_blank(&mut self) -> bool {
        let before = self.rest.len();
        while self.comment().is_some() {}
        self.rest.len() < before
    }

    fn skip_space(&mut self) {
        let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c);
        let end = self.rest.iter().position(|byte| !is_space(byte)).unwrap_or(self.rest.len());
        self.skip(end);
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    fn doubtful(&mut self) -> Token<'a> {
        self.rest = &[];
        Token::Doubtful
    }

    /// Goes past a quoted thing; `content` is what follows its opening quote.
    fn quoted(&mut self, content: &'a [u8], quote: u8, backslash: Backslash) -> Token<'a> {
        let mut rest = content;
        loop {
            let Some(at) = memchr::memchr2(quote, b'\\', rest) else { return self.doubtful() };
            let (found, after) = rest.split_at(at);
            debug_assert!(found.len() == at);
            rest = match (after, backslash) {
                ([b'\\', _, rest @ ..], Backslash::Escapes) => rest,
                ([b'\\', rest @ ..], Backslash::Plain) => rest,
                ([b'\\', ..], _) => return self.doubtful(),
                // A doubled quote stands for itself.
                ([_, next, rest @ ..], _) if *next == quote => rest,
                ([_, rest @ ..], _) => {
                    self.rest = rest;
                    return Token::Other;
                }
                ([], _) => return self.doubtful(),
            };
        }
    }

    /// `$tag$ … $tag$`, or a parameter, or a lonely dollar.
    fn dollar(&mut self) -> Token<'a> {
        let tag_len = self.rest.iter().skip(1).position(|byte| !is_tag(*byte));
        let opening = tag_len.and_then(|len| self.rest.split_at_checked(len + 2));
        let starts_as_tag = self.rest.get(1).is_some_and(|byte| !byte.is_ascii_digit());
        match opening {
            Some((tag, content)) if starts_as_tag && tag.ends_with(b"$") => {
                let Some(end) = memchr::memmem::find(content, tag) else { return self.doubtful() };
                self.rest = content.get(end + tag.len()..).unwrap_or_default();
            }
            _ => self.skip(1),
        }
        Token::Other
    }

    fn word(&mut self) -> Token<'a> {
        let end = self.rest.iter().position(|byte| !is_word(*byte)).unwrap_or(self.rest.len());
        let (word, after) = self.rest.split_at(end);
        match (word, after) {
            (b"e" | b"E", [b'\'', content @ ..]) => self.quoted(content, b'\'', Backslash::Escapes),
            _ => {
                self.rest = after;
                Token::Word(word)
            }
        }
    }
}

impl<'a> Iterator for Scanner<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        while self.comment().is_some() {}
        let (first, after) = self.rest.split_first()?;
        Some(match first {
            b';' => {
                self.rest = after;
                Token::Semicolon
            }
            b',' => {
                self.rest = after;
                Token::Comma
            }
            // A comment that does not end.
            b'/' if after.starts_with(b"*") => self.doubtful(),
            b'\'' => self.quoted(after, b'\'', Backslash::Doubtful),
            b'"' => self.quoted(after, b'"', Backslash::Plain),
            b'$' => self.dollar(),
            b'0'..=b'9' => {
                let end =
                    self.rest.iter().position(|byte| !is_tag(*byte)).unwrap_or(self.rest.len());
                self.skip(end);
                Token::Other
            }
            byte if is_word(*byte) => self.word(),
            _ => {
                self.rest = after;
                Token::Other
            }
        })
    }
}

/// What a backslash means inside quotes.
#[derive(Clone, Copy)]
enum Backslash {
    /// It takes the next byte with it (`E'…'`).
    Escapes,
    /// Nothing (quoted names).
    Plain,
    /// That depends on the session.
    Doubtful,
}

fn is_tag(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn is_word(byte: u8) -> bool {
    is_tag(byte) || byte == b'$'
}

/// Where the comment's closing `*/` is; `content` follows its opening.
fn block_comment_end(content: &[u8]) -> Option<usize> {
    let mut depth = 1_u32;
    let mut at = 0;
    loop {
        let rest = content.get(at..)?;
        at += memchr::memchr2(b'*', b'/', rest)?;
        match content.get(at..at + 2)? {
            b"*/" if depth == 1 => return Some(at),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            b"/*" => (depth, at) = (depth + 1, at + 2),
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<Token<'_>> {
        Scanner::new(text.as_bytes()).collect()
    }

    #[test]
    fn words_and_marks_come_one_by_one_and_comments_do_not_come_at_all() {
        let read = tokens("/* a /* nested */ one */ begin--x\n work,; -- end");
        assert_eq!(
            read,
            [Token::Word(b"begin"), Token::Word(b"work"), Token::Comma, Token::Semicolon]
        );
    }

    #[test]
    fn quotes_hide_semicolons() {
        for text in
            ["'a;''b'", "E'a\\';b'", "\"a;\"\"\\b\"", "$$a;b$$", "$t$ ; $$ ; $t$", "$a1$;$b$;$a1$"]
        {
            assert_eq!(tokens(text), [Token::Other], "{text}");
        }
    }

    #[test]
    fn what_does_not_end_or_depends_on_the_session_is_doubtful() {
        for text in [
            "'a",
            "\"a",
            "/* a",
            "/* a /* b */",
            "$$ a",
            "$t$ a $$",
            "'a\\'",
            "E'a\\",
            "E'a' 'b\\'",
        ] {
            assert_eq!(tokens(text).last(), Some(&Token::Doubtful), "{text}");
        }
    }

    #[test]
    fn a_dollar_inside_a_name_or_before_a_number_opens_nothing() {
        assert_eq!(tokens("a$b$ ; c"), [Token::Word(b"a$b$"), Token::Semicolon, Token::Word(b"c")]);
        assert_eq!(
            tokens("$1;$2"),
            [Token::Other, Token::Other, Token::Semicolon, Token::Other, Token::Other]
        );
    }
}
