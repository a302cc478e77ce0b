//! Texts of SQL: what they ask for is found without a panic, and a cut text is no worse.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgweir::routing::{Intent, ends_transaction, hint, intent};

fuzz_target!(|text: &[u8]| {
    // A comment is stronger than what the statement says.
    match hint::leading(text) {
        Some(target) => assert_eq!(intent(text), Intent::Hint(target)),
        None => assert!(!matches!(intent(text), Intent::Hint(_))),
    }
    let _ = ends_transaction(text);
    if let Some(cut) = text.get(..text.len() / 2) {
        let _ = (intent(cut), ends_transaction(cut));
    }
});
