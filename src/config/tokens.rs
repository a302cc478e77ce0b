//! The words of `auth_hba_file` and `auth_ident_file`, one line at a time.

/// What a line is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A word as it stands: may be a keyword.
    Word(String),
    /// A word in quotes: never a keyword.
    Quoted(String),
    /// `@` and a file name.
    File(String),
    /// `,`
    Comma,
}

impl Token {
    /// The word, quoted or not.
    pub(super) fn into_name(self) -> Option<String> {
        match self {
            Self::Word(name) | Self::Quoted(name) => Some(name),
            Self::File(_) | Self::Comma => None,
        }
    }
}

/// A quote that does not end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OpenQuote;

/// The rest of a line.
#[derive(Clone, Debug)]
pub(super) struct Tokens<'a>(&'a str);

impl<'a> Tokens<'a> {
    pub(super) fn new(line: &'a str) -> Self {
        Self(line)
    }

    /// The next token; `None` at the end of the line or at a comment.
    pub(super) fn next(&mut self) -> Result<Option<Token>, OpenQuote> {
        let rest = self.0.trim_start();
        let mut characters = rest.chars();
        let (token, rest) = match characters.next() {
            None | Some('#') => {
                self.0 = "";
                return Ok(None);
            }
            Some(',') => (Token::Comma, characters.as_str()),
            Some('"') => {
                let (name, rest) = quoted(characters.as_str())?;
                (Token::Quoted(name), rest)
            }
            Some('@') => match characters.as_str().strip_prefix('"') {
                Some(rest) => {
                    let (name, rest) = quoted(rest)?;
                    (Token::File(name), rest)
                }
                None => {
                    let (name, rest) = word(characters.as_str());
                    (Token::File(name.to_owned()), rest)
                }
            },
            Some(_) => {
                let (name, rest) = word(rest);
                (Token::Word(name.to_owned()), rest)
            }
        };
        self.0 = rest;
        Ok(Some(token))
    }

    /// What follows, for a language of its own.
    pub(super) fn rest(self) -> &'a str {
        self.0
    }

    /// The next token, left where it is.
    pub(super) fn peek(&self) -> Result<Option<Token>, OpenQuote> {
        self.clone().next()
    }
}

fn word(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| c.is_whitespace() || matches!(c, ',' | '#' | '"'));
    text.split_at_checked(end.unwrap_or(text.len())).unwrap_or((text, ""))
}

/// The word up to the closing quote, with doubled quotes made single, and what follows.
fn quoted(mut rest: &str) -> Result<(String, &str), OpenQuote> {
    let mut word = String::new();
    loop {
        let (part, after) = rest.split_once('"').ok_or(OpenQuote)?;
        word.push_str(part);
        let Some(more) = after.strip_prefix('"') else { return Ok((word, after)) };
        word.push('"');
        rest = more;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(line: &str) -> Result<Vec<Token>, OpenQuote> {
        let mut tokens = Tokens::new(line);
        std::iter::from_fn(|| tokens.next().transpose()).collect()
    }

    #[test]
    fn words_quotes_files_and_commas_are_told_apart() {
        let word = |text: &str| Token::Word(text.to_owned());
        let quoted = |text: &str| Token::Quoted(text.to_owned());
        let file = |text: &str| Token::File(text.to_owned());
        assert_eq!(
            all("a,\"b \"\"c\"\"\" @f , @\"g h\"\tmap=x# @y"),
            Ok(vec![
                word("a"),
                Token::Comma,
                quoted("b \"c\""),
                file("f"),
                Token::Comma,
                file("g h"),
                word("map=x"),
            ])
        );
        assert_eq!(all("  # nothing"), Ok(vec![]));
        assert_eq!(all("a \"b"), Err(OpenQuote));
    }
}
