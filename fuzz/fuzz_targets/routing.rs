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
    let _ = (ends_transaction(text), first_statement(text), own::own_command(text));
    // A BEGIN that is held back says nothing of itself, ends nothing, and is no command for us.
    if bare_begin(text).is_some() {
        assert_eq!(intent(text), Intent::Unstated);
        assert_eq!(first_statement(text), Intent::Unstated);
        assert!(ends_transaction(text).is_none() && own::own_command(text).is_none());
    }
    let _ = (grammar::look(text), shape::without_constants(text));
    let _ = shape::shape(text, &RandomState::new());
    if let Some(cut) = text.get(..text.len() / 2) {
        let _ = (intent(cut), ends_transaction(cut));
    }
});
