//! Texts as SHOW QUERIES has them: no constant is ever shown, and texts that differ in constants only are one.
//!
//! A constant is put where the text has its first `@`, or behind it.
#![no_main]

use std::hash::RandomState;

use libfuzzer_sys::fuzz_target;
use pgweir::routing::normal::{LOOKED_AT, SHOWN, number, shown};

/// Not to be seen. Digits, so that it may be a number as well.
const MARKER: &str = "90817263";

fuzz_target!(|text: &[u8]| {
    let hasher = RandomState::new();
    assert!(shown(text).len() <= SHOWN + '…'.len_utf8());
    let _ = number(text, &hasher);

    let at = text.iter().position(|byte| *byte == b'@').unwrap_or(text.len());
    let (before, behind) = text.split_at(at);
    // Where a quote or a comment is open, the constant would be part of a name or of nothing.
    let is_open = before.len() > LOOKED_AT || shown(before).contains('…');
    let holds_marker = text.windows(MARKER.len()).any(|bytes| bytes == MARKER.as_bytes());
    if is_open || holds_marker {
        return;
    }
    let with = |constant: &str| [before, b"\n ", constant.as_bytes(), b" ", behind].concat();
    let constants = [
        MARKER.to_owned(),
        format!("{MARKER}.5"),
        format!("'{MARKER}'"),
        format!("E'\\'{MARKER}'"),
        format!("$m${MARKER}$m$"),
    ];
    for constant in &constants {
        let text = with(constant);
        let shown = shown(&text);
        assert!(!shown.contains(MARKER), "{shown:?}");
    }
    let (one, other) = (with("1"), with("'a'"));
    if one.len().max(other.len()) <= LOOKED_AT {
        assert_eq!(number(&one, &hasher), number(&other, &hasher));
        assert_eq!(shown(&one), shown(&other));
    }
});
