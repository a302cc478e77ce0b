//! Transaction modes as PostgreSQL's grammar has them: what stands behind `BEGIN`, `START TRANSACTION` and `SET TRANSACTION`.

use super::scan::{Scanner, Token};

/// A list of transaction modes.
pub(super) struct Modes {
    /// `READ ONLY`, `READ WRITE`; `None`: they say neither.
    pub(super) read_only: Option<bool>,
    /// `ISOLATION LEVEL SERIALIZABLE`, which no replica has (manual, "Hot Standby").
    pub(super) serializable: bool,
    /// There is none.
    pub(super) is_empty: bool,
    /// `None`: up to the end of the text.
    pub(super) end: Option<AtSemicolon>,
}

/// A list of transaction modes was read up to a semicolon, which is consumed.
pub(super) struct AtSemicolon;

/// The verb that begins a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Begin,
    Start,
}

/// `BEGIN [WORK | TRANSACTION]` or `START TRANSACTION`, with modes.
pub(super) fn begin(tokens: &mut Scanner<'_>) -> Option<(Verb, Modes)> {
    let first = tokens.next()?;
    if first.is("BEGIN") {
        let mut token = tokens.next();
        if token.is_some_and(|token| token.is("WORK") || token.is("TRANSACTION")) {
            token = tokens.next();
        }
        Some((Verb::Begin, modes(tokens, token)?))
    } else if first.is("START") && tokens.next()?.is("TRANSACTION") {
        let token = tokens.next();
        Some((Verb::Start, modes(tokens, token)?))
    } else {
        None
    }
}

/// `SET TRANSACTION` with its modes.
pub(super) fn set_transaction(tokens: &mut Scanner<'_>) -> Option<Modes> {
    let is_next = |token: Option<Token<'_>>, word| token.is_some_and(|token| token.is(word));
    if !is_next(tokens.next(), "SET") || !is_next(tokens.next(), "TRANSACTION") {
        return None;
    }
    let first = tokens.next();
    modes(tokens, first)
}

/// Reads `transaction_mode [[,] …]` (gram.y); of two that contradict each other the later counts, as in PostgreSQL.
fn modes<'a>(tokens: &mut Scanner<'a>, first: Option<Token<'a>>) -> Option<Modes> {
    let mut modes = Modes { read_only: None, serializable: false, is_empty: true, end: None };
    let mut token = first;
    loop {
        match token {
            None => return Some(modes),
            Some(Token::Semicolon) => return Some(Modes { end: Some(AtSemicolon), ..modes }),
            Some(Token::Comma) if !modes.is_empty => token = Some(tokens.next()?),
            _ => {}
        }
        let word = token?;
        if word.is("READ") {
            let kind = tokens.next()?;
            modes.read_only = match kind {
                _ if kind.is("ONLY") => Some(true),
                _ if kind.is("WRITE") => Some(false),
                _ => return None,
            };
        } else if word.is("ISOLATION") {
            modes.serializable = is_serializable(tokens)?;
        } else if word.is("NOT") {
            tokens.next()?.is("DEFERRABLE").then_some(())?;
        } else if !word.is("DEFERRABLE") {
            return None;
        }
        modes.is_empty = false;
        token = tokens.next();
    }
}

/// What follows `ISOLATION`.
fn is_serializable(tokens: &mut Scanner<'_>) -> Option<bool> {
    tokens.next()?.is("LEVEL").then_some(())?;
    let level = tokens.next()?;
    if level.is("SERIALIZABLE") {
        return Some(true);
    }
    let second = tokens.next()?;
    let known = (level.is("REPEATABLE") && second.is("READ"))
        || (level.is("READ") && (second.is("COMMITTED") || second.is("UNCOMMITTED")));
    known.then_some(false)
}
