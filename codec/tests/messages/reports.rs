//! ErrorResponse and NoticeResponse: what is in ours, and what is made of others'.

use bytes::Bytes;
use pgweir_codec::backend::{ErrorResponse, NoticeResponse, Severity};
use pgweir_codec::sqlstate::SqlState;
use proptest::prelude::*;

use crate::strategies::*;

fn error(fields: &[(u8, &'static str)]) -> ErrorResponse {
    let fields: Vec<_> = fields
        .iter()
        .map(|(letter, text)| (*letter, Bytes::from_static(text.as_bytes())))
        .collect();
    ErrorResponse::decode(report_body_of(&fields)).unwrap()
}

fn body_of(error: &ErrorResponse) -> Bytes {
    taken_apart(&encoded(|out| error.encode(out))).1
}

#[test]
fn our_own_errors_carry_severity_twice_code_and_message_then_detail_and_hint() {
    let own = ErrorResponse::new(Severity::Fatal, SqlState::TOO_MANY_CONNECTIONS, "too many");
    assert_eq!(&body_of(&own)[..], b"SFATAL\0VFATAL\0C53300\0Mtoo many\0\0");
    let own = own.detail("100 of 100").hint("wait");
    assert_eq!(&body_of(&own)[..], b"SFATAL\0VFATAL\0C53300\0Mtoo many\0D100 of 100\0Hwait\0\0");
    assert_eq!(own.code(), SqlState::TOO_MANY_CONNECTIONS);
    assert_eq!(own.message(), "too many");
}

#[test]
fn another_detail_takes_the_place_of_the_first() {
    let own = ErrorResponse::new(Severity::Error, SqlState::INTERNAL_ERROR, "m");
    assert_eq!(own.clone().detail("one").hint("h").detail("two"), own.detail("two").hint("h"));
}

#[test]
fn another_severity_is_told_in_both_fields() {
    let own = ErrorResponse::new(Severity::Fatal, SqlState::ADMIN_SHUTDOWN, "bye");
    let milder = own.with_severity(Severity::Error);
    assert_eq!(&body_of(&milder)[..], b"SERROR\0VERROR\0C57P01\0Mbye\0\0");
    assert!(!milder.is_fatal());

    let old = error(&[(b'S', "FATAL"), (b'M', "bye")]).with_severity(Severity::Error);
    assert!(!old.is_fatal());
    assert_eq!(&body_of(&old)[..], b"SERROR\0Mbye\0VERROR\0\0");
}

#[test]
fn whether_an_error_is_fatal_is_read_from_v_before_s() {
    assert!(error(&[(b'S', "FATAL")]).is_fatal(), "servers before 9.6 send no V");
    assert!(error(&[(b'S', "PANIC")]).is_fatal());
    assert!(error(&[(b'S', "TODLICH"), (b'V', "FATAL")]).is_fatal(), "S is translated, V is not");
    assert!(!error(&[(b'S', "FATAL"), (b'V', "ERROR")]).is_fatal());
    assert!(!error(&[(b'S', "fatal")]).is_fatal());
    assert!(!error(&[(b'M', "FATAL")]).is_fatal());
    assert!(!error(&[]).is_fatal());
}

/// CVE-2025-6666 was a pooler that fell over an error without a code.
#[test]
fn an_error_without_a_code_or_with_a_strange_one_counts_as_internal() {
    assert_eq!(error(&[]).code(), SqlState::INTERNAL_ERROR);
    for code in ["", "4260", "426011", "42\u{e4}1", "42 01", "4260\n", "4260\x01"] {
        assert_eq!(error(&[(b'C', code)]).code(), SqlState::INTERNAL_ERROR, "{code:?}");
    }
    assert_eq!(error(&[(b'C', "42601")]).code(), SqlState::SYNTAX_ERROR);
    assert_eq!(error(&[(b'C', "P0001")]).code().as_str(), "P0001");
}

#[test]
fn an_error_without_a_message_has_an_empty_one() {
    assert_eq!(error(&[(b'C', "42601")]).message(), "");
    assert_eq!(error(&[(b'C', "42601")]).message_bytes(), b"");
}

#[test]
fn a_message_that_is_not_utf8_is_kept_and_shown_as_well_as_can_be() {
    let latin1 = ErrorResponse::decode(Bytes::from_static(b"Mna\xefve\0\0")).unwrap();
    assert_eq!(latin1.message_bytes(), b"na\xefve");
    assert_eq!(latin1.message(), "na\u{fffd}ve");
}

proptest! {
    #[test]
    fn unknown_fields_are_kept_in_their_order(body in report_body()) {
        let error = ErrorResponse::decode(body.clone()).unwrap();
        prop_assert_eq!(body_of(&error), &body);
        let notice = NoticeResponse::decode(body.clone()).unwrap();
        prop_assert_eq!(taken_apart(&encoded(|out| notice.encode(out))), (b'N', body));
    }

    #[test]
    fn of_a_field_that_comes_twice_the_first_counts(letter in 1..=u8::MAX, one in text(), two in text()) {
        let body = report_body_of(&[(letter, one.clone()), (letter, two)]);
        prop_assert_eq!(ErrorResponse::decode(body).unwrap().field(letter).cloned(), Some(one));
    }
}
