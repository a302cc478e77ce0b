//! What a text says of the transaction that it begins, and whether it does no more than end one.

use super::hint::{self, Target};
use super::modes::{self, Modes, Verb};
use super::scan::{Scanner, Token};

/// Where a transaction may run, as far as its first statement tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// It does not say.
    Unstated,
    /// It says that it only reads: `BEGIN` or `START TRANSACTION` with `READ ONLY`.
    ReadOnly,
    /// It says that it writes, `READ WRITE`, or wants what no replica has, `SERIALIZABLE`.
    ReadWrite,
    /// It is one statement outside of a block that only reads, by PostgreSQL's grammar (`route_reads = auto`).
    LooksReadOnly,
    /// A comment says where to run it.
    Hint(Target),
}

/// How a statement ends a transaction block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionEnd {
    /// `COMMIT`, `END`.
    Commit,
    /// `ROLLBACK`, `ABORT`.
    Rollback,
}

/// A text at least this long may have been cut by the caller: it looks at the first 4096 bytes of a message, of which
/// five are the head.
const CUT_FROM: usize = 4096 - 5;

/// Reads the intent from the first (up to 4096) bytes of a query text.
///
/// A text that goes on after `BEGIN READ ONLY;` is read-only if nothing in it can run outside of that transaction.
pub fn intent(text: &[u8]) -> Intent {
    // The common path: the first word is neither BEGIN nor START, and no comment leads.
    if !may_begin(text) {
        return Intent::Unstated;
    }
    match hint::leading(text) {
        Some(target) => Intent::Hint(target),
        None => begins(text).unwrap_or(Intent::Unstated),
    }
}

/// `None`: it does not say, or is in doubt.
fn begins(text: &[u8]) -> Option<Intent> {
    let mut tokens = Scanner::new(text);
    let (_, mut modes) = modes::begin(&mut tokens)?;
    if modes.read_only.is_none() && !modes.serializable {
        // The next statement may say so: BEGIN; SET TRANSACTION READ ONLY.
        modes.end?;
        modes = modes::set_transaction(&mut tokens)?;
    }
    Some(said(&modes, &mut tokens, text))
}

/// What a transaction says of itself by its modes; what follows them is still to be read from `tokens`.
fn said(modes: &Modes, tokens: &mut Scanner<'_>, text: &[u8]) -> Intent {
    let whole = text.len() < CUT_FROM;
    match modes.read_only {
        _ if modes.serializable => Intent::ReadWrite,
        Some(false) => Intent::ReadWrite,
        // The text may have been cut in front of a READ WRITE.
        Some(true) if modes.end.is_none() && whole => Intent::ReadOnly,
        Some(true) if modes.end.is_some() && stays_inside(tokens, whole).is_some() => {
            Intent::ReadOnly
        }
        Some(true) | None => Intent::Unstated,
    }
}

/// A BEGIN that says nothing of where its transaction may run, see [`bare_begin`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BareBegin {
    /// What it is answered by, and all that has to be said of one without modes: `BEGIN` or `START TRANSACTION`.
    pub tag: &'static str,
    /// It has modes.
    pub has_modes: bool,
}

/// Whether the whole text is a BEGIN that any host can run and that does not say on which it is to.
pub fn bare_begin(text: &[u8]) -> Option<BareBegin> {
    // The common path: the first word is neither BEGIN nor START, and no comment leads.
    if !may_begin(text) || text.len() >= CUT_FROM || hint::leading(text).is_some() {
        return None;
    }
    let mut tokens = Scanner::new(text);
    let (verb, modes) = modes::begin(&mut tokens)?;
    let bare = modes.read_only.is_none() && !modes.serializable;
    let alone = modes.end.is_none() || tokens.all(|token| token == Token::Semicolon);
    let tag = match verb {
        Verb::Begin => "BEGIN",
        Verb::Start => "START TRANSACTION",
    };
    (bare && alone).then_some(BareBegin { tag, has_modes: !modes.is_empty })
}

/// Whether a look at more than the first byte is due to tell whether a text begins a transaction.
fn may_begin(text: &[u8]) -> bool {
    matches!(first_byte(text), Some(b'b' | b'B' | b's' | b'S' | b'/' | b'-'))
}

/// The first byte that is no white space.
fn first_byte(text: &[u8]) -> Option<&u8> {
    text.iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c))
}

/// What the first statement after a bare BEGIN says of its transaction.
pub fn first_statement(text: &[u8]) -> Intent {
    if let Some(target) = hint::leading(text) {
        return Intent::Hint(target);
    }
    let mut tokens = Scanner::new(text);
    match modes::set_transaction(&mut tokens) {
        Some(modes) => said(&modes, &mut tokens, text),
        None => Intent::Unstated,
    }
}

/// Whether nothing of the rest of a text can run outside of the read-only transaction that was begun in front of it.
fn stays_inside(tokens: &mut Scanner<'_>, whole: bool) -> Option<()> {
    let mut at_start = true;
    let mut setting = false;
    let mut ended = false;
    for token in tokens {
        match token {
            Token::Doubtful => return None,
            Token::Semicolon => (at_start, setting) = (true, false),
            _ if at_start => {
                let ends = ["COMMIT", "END", "ROLLBACK", "ABORT"].iter().any(|word| token.is(word));
                // PREPARE TRANSACTION ends it, too; a second BEGIN and RESET may change the mode.
                let doubtful =
                    ["PREPARE", "BEGIN", "START", "RESET"].iter().any(|word| token.is(word));
                if ended || doubtful {
                    return None;
                }
                (at_start, ended, setting) = (false, ends, token.is("SET"));
            }
            // SET TRANSACTION READ WRITE, SET transaction_read_only = off, SET "transaction_read_only" = off
            Token::Word(_) | Token::Other if setting => {
                let harmless = token.is("LOCAL") || token.is("SESSION");
                let about_mode = ["TRANSACTION", "TRANSACTION_READ_ONLY", "CHARACTERISTICS"];
                if token == Token::Other || about_mode.iter().any(|word| token.is(word)) {
                    return None;
                }
                // The name was read; the values do not matter.
                setting = harmless;
            }
            _ => {}
        }
    }
    whole.then_some(())
}

/// Whether the text begins as a statement that PostgreSQL makes a plan for; all others are utility commands.
pub fn is_plannable(text: &[u8]) -> bool {
    const PLANNED: [&str; 7] = ["SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "VALUES", "WITH"];
    let mut scanner = Scanner::new(text);
    scanner.next().is_some_and(|first| PLANNED.iter().any(|keyword| first.is(keyword)))
}

/// Whether the text begins as one that asks for a plan.
pub fn is_explain(text: &[u8]) -> bool {
    Scanner::new(text).next().is_some_and(|first| first.is("EXPLAIN"))
}

/// Whether the whole text is one statement that ends a transaction block, and how.
///
/// Not for what leaves one open (`ROLLBACK TO`, `AND CHAIN`), nor for two-phase commits (`COMMIT PREPARED`).
pub fn ends_transaction(text: &[u8]) -> Option<TransactionEnd> {
    let mut tokens = Scanner::new(text);
    let verb = tokens.next()?;
    let end = if verb.is("COMMIT") || verb.is("END") {
        TransactionEnd::Commit
    } else if verb.is("ROLLBACK") || verb.is("ABORT") {
        TransactionEnd::Rollback
    } else {
        return None;
    };
    let mut token = tokens.next();
    if token.is_some_and(|token| token.is("WORK") || token.is("TRANSACTION")) {
        token = tokens.next();
    }
    if token.is_some_and(|token| token.is("AND")) {
        let no_chain = tokens.next()?.is("NO") && tokens.next()?.is("CHAIN");
        no_chain.then_some(())?;
        token = tokens.next();
    }
    let nothing_follows = token.is_none_or(|token| token == Token::Semicolon)
        && tokens.all(|token| token == Token::Semicolon);
    nothing_follows.then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_transaction_that_says_read_only_may_run_on_a_replica() {
        for text in [
            "BEGIN READ ONLY",
            "begin read only;",
            "begin work read only",
            "Begin Transaction Read Only ; ",
            "START TRANSACTION READ ONLY",
            "start transaction isolation level repeatable read, read only",
            "start transaction read only isolation level repeatable read not deferrable",
            "begin isolation level read committed, read only, deferrable;",
            "BEGIN ISOLATION LEVEL READ UNCOMMITTED READ ONLY",
            "begin read write, read only",
            " \n/* a /* b */ c */begin--x\nread/**/only -- y",
            "begin read only; -- nothing more\n ; ",
            "begin; set transaction read only",
            "begin isolation level repeatable read; set transaction read only; select 1; commit",
        ] {
            assert_eq!(intent(text.as_bytes()), Intent::ReadOnly, "{text}");
        }
    }

    #[test]
    fn everything_else_is_unstated() {
        for text in [
            "",
            " ",
            "-- begin read only",
            "begin",
            "begin;",
            "start transaction",
            "begin read only,",
            "begin , read only",
            "begin read",
            "begin only",
            "begin work transaction read only",
            "start read only",
            "begin isolation level read only",
            "begin isolation level bogus, read only",
            "begin not read only",
            "begin \"read\" only",
            "begin read only 'x'",
            "select 'begin read only'",
            "begin read only /*",
            "set transaction read only",
            "beginread only",
            "select 1; begin read only",
        ] {
            assert_eq!(intent(text.as_bytes()), Intent::Unstated, "{text}");
        }
    }

    #[test]
    fn a_read_only_transaction_with_its_statements_in_one_text_is_read_only() {
        for text in [
            "begin read only; select 1",
            "begin read only; select 'commit; insert'; select $$;commit;$$, \";end;\"",
            "begin read only; set local statement_timeout = 5; select 1;",
            "begin read only; set search_path to transaction; select 1;",
            "begin read only; select 1; commit",
            "begin read only; select 1; end; ; -- done",
            "begin read only; select 1; rollback and chain;",
        ] {
            assert_eq!(intent(text.as_bytes()), Intent::ReadOnly, "{text}");
        }
    }

    #[test]
    fn a_text_that_may_leave_its_read_only_transaction_goes_to_the_primary() {
        for text in [
            "begin read only; select 1; commit; insert into t values (1)",
            "begin read only; commit; select 1",
            "begin read only; end; begin; update t set a = 1; commit",
            "begin read only; rollback; insert into t values (1)",
            "begin read only; abort /* x */; insert into t values (1)",
            "begin read only; prepare transaction 'a'",
            "begin read only; set transaction read write; insert into t values (1)",
            "begin read only; SET LOCAL transaction_read_only = off; insert into t values (1)",
            "begin read only; set \"transaction_read_only\" = off; insert into t values (1)",
            "begin read only; set session characteristics as transaction read write; select 1",
            "begin read only; reset all; select 1",
            "begin read only; select 'a\\'; commit; insert into t values ('b')",
            "begin read only; select 'open",
        ] {
            assert_eq!(intent(text.as_bytes()), Intent::Unstated, "{text}");
        }
    }

    #[test]
    fn a_text_that_may_have_been_cut_is_read_only_by_its_first_statement_alone() {
        let long = |text: &str| format!("{text}{}", " ".repeat(5000));
        let cut = |text: String| intent(&text.as_bytes()[..CUT_FROM]);
        assert_eq!(cut(long("begin read only;")), Intent::Unstated, "what comes next was not seen");
        assert_eq!(cut(long("begin read only")), Intent::Unstated, "a READ WRITE may follow");
        assert_eq!(cut(long("begin read only; select 1")), Intent::Unstated);
        assert_eq!(cut(long("/* pgweir: route=replica */ select")), Intent::Hint(Target::Replica));
    }

    #[test]
    fn what_says_read_write_is_known_as_such() {
        for text in [
            "begin read write",
            "begin read only, read write",
            "begin read only read write",
            "start transaction read write; insert into t values (1); commit",
            "begin; set transaction read write",
            "begin isolation level serializable",
            "begin isolation level serializable read only deferrable",
            "begin; set transaction isolation level serializable, read only",
        ] {
            assert_eq!(intent(text.as_bytes()), Intent::ReadWrite, "{text}");
        }
        for text in ["set transaction read write", "set transaction isolation level serializable"] {
            assert_eq!(first_statement(text.as_bytes()), Intent::ReadWrite, "{text}");
        }
    }

    #[test]
    fn a_bare_begin_is_known_as_such() {
        for text in [
            "begin",
            "BEGIN;",
            "begin work ;;",
            "begin isolation level repeatable read",
            "begin deferrable",
        ] {
            let bare = bare_begin(text.as_bytes()).expect(text);
            let modes = text.contains("deferrable") || text.contains("level");
            assert_eq!((bare.tag, bare.has_modes), ("BEGIN", modes), "{text}");
        }
        let start = bare_begin(b"/* x */ start transaction isolation level read committed -- y");
        assert_eq!(start, Some(BareBegin { tag: "START TRANSACTION", has_modes: true }));
        for text in [
            "begin read only",
            "begin read write",
            "begin isolation level serializable",
            "begin; select 1",
            "/* pgweir: route=replica */ begin",
            "begin bogus",
            "start",
            "select 1",
            "",
        ] {
            assert_eq!(bare_begin(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn the_first_statement_after_a_bare_begin_may_say_where_it_runs() {
        for text in [
            "set transaction read only",
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;",
            "set transaction read only; select 1",
        ] {
            assert_eq!(first_statement(text.as_bytes()), Intent::ReadOnly, "{text}");
        }
        let hinted = b"/* pgweir: route=replica */ select 1";
        assert_eq!(first_statement(hinted), Intent::Hint(Target::Replica));
        for text in [
            "set transaction isolation level read committed",
            "set transaction read only; set transaction read write; insert into t values (1)",
            "set transaction read only; commit; insert into t values (1)",
            "set local x = 1",
            "select 1",
            "",
        ] {
            assert_eq!(first_statement(text.as_bytes()), Intent::Unstated, "{text}");
        }
    }

    #[test]
    fn a_hint_goes_before_what_the_statement_says() {
        let text = b"/* pgweir: route=primary */ begin read only";
        assert_eq!(intent(text), Intent::Hint(Target::Primary));
        assert_eq!(intent(b"/*NO LOAD BALANCE*/ select 1"), Intent::Hint(Target::Primary));
        assert_eq!(intent(b"/* hello */ begin read only"), Intent::ReadOnly);
    }

    #[test]
    fn a_text_that_is_nothing_but_the_end_of_a_transaction_is_known_as_such() {
        for text in [
            "COMMIT",
            "commit;",
            "end",
            "End Work ;;",
            "/* x */ commit transaction and no chain -- y",
        ] {
            assert_eq!(ends_transaction(text.as_bytes()), Some(TransactionEnd::Commit), "{text}");
        }
        for text in ["rollback", "ABORT;", "rollback work", "abort transaction and no chain;"] {
            assert_eq!(ends_transaction(text.as_bytes()), Some(TransactionEnd::Rollback), "{text}");
        }
    }

    #[test]
    fn what_leaves_a_transaction_open_or_does_more_than_end_it_is_no_end() {
        for text in [
            "",
            ";",
            "commit and chain",
            "rollback and chain",
            "commit and",
            "commit and no",
            "rollback to savepoint a",
            "rollback to a",
            "rollback work to savepoint a",
            "commit prepared 'a'",
            "rollback prepared 'a'",
            "commit; select 1",
            "commit; commit",
            "commit work transaction",
            "select 1; commit",
            "commits",
            "\"commit\"",
            "commit /*",
        ] {
            assert_eq!(ends_transaction(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (intent(&text), ends_transaction(&text));
        }

        #[test]
        fn no_text_of_meaningful_pieces_breaks_it_or_leaves_read_only(
            pieces in proptest::collection::vec(proptest::sample::select(vec![
                "begin ", "read ", "only ", "write ", ";", "commit", ",", "'", "\"", "$$", "$a$", "/*", "*/", "--",
                "\n", "\\", "insert ", "set ", "transaction ", "E'", "isolation ", "level ", "start ", "é", "work ",
            ]), 0..30)
        ) {
            let text = format!("begin read only;{}", pieces.concat());
            let after_commit = format!("begin read only;{};commit;insert into t values (1)", pieces.concat());
            let _ = (intent(text.as_bytes()), ends_transaction(text.as_bytes()));
            // Read-only in spite of the COMMIT only if that is quoted or commented away, up to the end.
            if intent(after_commit.as_bytes()) == Intent::ReadOnly {
                let open = pieces.concat();
                prop_assert!(["--", "'", "\"", "$", "/*"].iter().any(|quote| open.contains(quote)));
            }
        }
    }
}
