//! Configuration files: read or refused, with a text that can be shown.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgweir::config::parse_text;

fuzz_target!(|text: &str| {
    if let Err(error) = parse_text(text) {
        assert!(!error.to_string().is_empty());
    }
});
