//! A query taken apart: words, strings, blanks.

/// A query taken apart, quotes removed.
pub(super) enum Parts {
    Words { command: String, argument: String },
    Set { key: String, value: String },
}

impl Parts {
    pub(super) fn read(query: &str) -> Option<Self> {
        let mut scanner = Scanner(query);
        scanner.blanks();
        let bare = !scanner.0.starts_with('"');
        let command = scanner.word()?;
        if !scanner.blanks() || scanner.at_end() {
            scanner.end()?;
            return Some(Self::Words { command, argument: String::new() });
        }
        let argument = scanner.word()?;
        scanner.blanks();
        if bare && command.eq_ignore_ascii_case("set") && scanner.assignment() {
            scanner.blanks();
            let value = scanner.string().or_else(|| scanner.word())?;
            scanner.end()?;
            return Some(Self::Set { key: argument, value });
        }
        scanner.end()?;
        Some(Self::Words { command, argument })
    }
}

/// What is left of the query.
pub(super) struct Scanner<'a>(pub(super) &'a str);

impl Scanner<'_> {
    /// Skips blanks and says whether there were any.
    pub(super) fn blanks(&mut self) -> bool {
        let rest = self.0.trim_start_matches([' ', '\t', '\n', '\r']);
        let skipped = rest.len() < self.0.len();
        self.0 = rest;
        skipped
    }

    pub(super) fn word(&mut self) -> Option<String> {
        if self.0.starts_with('"') {
            return self.quoted('"');
        }
        let end = self.0.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let (word, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest;
        (!word.is_empty()).then(|| word.to_owned())
    }

    fn string(&mut self) -> Option<String> {
        self.quoted('\'')
    }

    /// What stands in quotes; a doubled quote is one of the content.
    fn quoted(&mut self, quote: char) -> Option<String> {
        let mut rest = self.0.strip_prefix(quote)?;
        let mut content = String::new();
        loop {
            let (before, after) = rest.split_once(quote)?;
            content.push_str(before);
            match after.strip_prefix(quote) {
                Some(more) => {
                    content.push(quote);
                    rest = more;
                }
                None => {
                    self.0 = after;
                    return Some(content);
                }
            }
        }
    }

    /// Skips `=` or `TO`, which pgbouncer lets touch the value.
    fn assignment(&mut self) -> bool {
        let rest = self.0.strip_prefix('=').or_else(|| {
            let (to, rest) = self.0.split_at_checked(2)?;
            to.eq_ignore_ascii_case("to").then_some(rest)
        });
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn at_end(&self) -> bool {
        self.0.is_empty() || self.0.starts_with(';')
    }

    /// Nothing may follow but blanks around one semicolon.
    pub(super) fn end(mut self) -> Option<()> {
        self.blanks();
        self.0 = self.0.strip_prefix(';').unwrap_or(self.0);
        self.blanks();
        self.0.is_empty().then_some(())
    }
}
