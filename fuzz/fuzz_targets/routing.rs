//! Texts of SQL: what they ask for is found without a panic, and a cut text is no worse.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::hash::RandomState;

use pgweir::routing::{
    Intent, bare_begin, ends_transaction, first_statement, grammar, hint, intent, own, shape,
};

fuzz_target!(|text: &[u8]| {
    // A comment is stronger than what the statement says.
    match hint::leading(text) {
        Some(target) => assert_eq!(intent(text), Intent::Hint(target)),
        None => assert!(!matches!(intent(text), Intent::Hint(_))),
    }
    let _ = ends_transaction(text);
    if bare_begin(text).is_some() {
        assert_eq!(intent(text), Intent::Unstated);
    }
    let _ = (first_statement(text), own::own_command(text));
    let _ = (grammar::look(text), shape::without_constants(text));
    let _ = shape::shape(text, &RandomState::new());
    if let Some(cut) = text.get(..text.len() / 2) {
        let _ = (intent(cut), ends_transaction(cut));
    }
});
