//! ErrorResponse, NoticeResponse and the words of a DecodeError.

use bytes::Bytes;
use pgweir_codec::backend::{BackendKeyData, ErrorResponse, NoticeResponse, Severity};
use pgweir_codec::error::{DecodeError, Kind};
use pgweir_codec::frontend::{PasswordMessage, SaslInitialResponse, SaslResponse};
use pgweir_codec::sqlstate::SqlState;
use pgweir_codec::startup::CancelRequest;

use super::strategies::{encoded, split};

fn response(body: &'static [u8]) -> ErrorResponse {
    ErrorResponse::decode(Bytes::from_static(body)).expect("fields and an end")
}

#[test]
fn an_error_of_our_own_carries_what_clients_look_for() {
    let error =
        ErrorResponse::new(Severity::Fatal, SqlState::TOO_MANY_CONNECTIONS, "query_wait_timeout")
            .detail("It took too long.")
            .hint("Try again.");
    let body = b"SFATAL\0VFATAL\0C53300\0Mquery_wait_timeout\0DIt took too long.\0HTry again.\0\0";
    let (head, sent) = split(&encoded(|out| error.encode(out)));
    assert_eq!((head.tag, &sent[..]), (b'E', &body[..]));

    let notice =
        NoticeResponse::new(Severity::Warning, SqlState::CONFIG_FILE_ERROR, String::from("hm"));
    let (head, sent) = split(&encoded(|out| notice.encode(out)));
    assert_eq!((head.tag, &sent[..]), (b'N', &b"SWARNING\0VWARNING\0CF0000\0Mhm\0\0"[..]));
}

#[test]
fn a_servers_error_is_understood_and_goes_on_as_it_came() {
    let body = b"SFEHLER\0VERROR\0C42703\0MSpalte \xc2\xbbx\xc2\xab fehlt\0P8\0Fparse_relation.c\0L3665\0RerrorMissing\0\0";
    let error = response(body);
    assert_eq!(error.code().as_str(), "42703");
    assert_eq!(error.message(), "Spalte »x« fehlt");
    assert_eq!(error.field(b'P'), Some(&Bytes::from_static(b"8")));
    assert!(!error.is_fatal());
    assert_eq!(&split(&encoded(|out| error.encode(out))).1[..], &body[..]);
}

#[test]
fn the_severity_that_is_not_translated_counts() {
    assert!(response(b"SFATAL\0C57P01\0Mbye\0\0").is_fatal(), "before 9.6 there is only S");
    assert!(response(b"SPANIC\0VPANIC\0C57P02\0Mbye\0\0").is_fatal());
    assert!(response("SВАЖНО\0VFATAL\0C57P01\0Mbye\0\0".as_bytes()).is_fatal());
    assert!(!response(b"SFATAL\0VERROR\0C57014\0Mx\0\0").is_fatal());
}

#[test]
fn a_change_of_severity_changes_both_fields_and_no_other() {
    let error =
        response(b"SERROR\0VERROR\0C28P01\0Mno\0Fauth.c\0\0").with_severity(Severity::Fatal);
    let (_, body) = split(&encoded(|out| error.encode(out)));
    assert_eq!(&body[..], b"SFATAL\0VFATAL\0C28P01\0Mno\0Fauth.c\0\0");
    assert!(response(b"SERROR\0C28P01\0Mno\0\0").with_severity(Severity::Fatal).is_fatal());
}

/// CVE-2025-6666 was a crash of another pooler at such a message.
#[test]
fn an_error_that_lacks_fields_is_no_reason_to_fall_over() {
    let bare = response(b"\0");
    assert_eq!(bare.code(), SqlState::INTERNAL_ERROR);
    assert_eq!(bare.message(), "");
    assert!(!bare.is_fatal());
    let strange = response(b"C12\n45\0M\xff\xfe\0\0");
    assert_eq!(
        strange.code(),
        SqlState::INTERNAL_ERROR,
        "nothing that would break a line in a log"
    );
    assert_eq!(strange.message_bytes(), b"\xff\xfe");
    assert_eq!(response(b"C4270\0\0").code(), SqlState::INTERNAL_ERROR);
}

#[test]
fn a_decode_error_names_message_field_and_reason() {
    let error = |tag, field, kind| DecodeError { tag, field, kind }.to_string();
    assert_eq!(
        DecodeError::missing(b'B', "statement").to_string(),
        "message 'B', statement: the message ends before it"
    );
    assert_eq!(
        DecodeError::too_long(b'D', 70_000).to_string(),
        "message 'D', length: 70000 bytes are too many"
    );
    assert_eq!(
        error(0, "terminator", Kind::Unterminated),
        "startup packet, terminator: no terminating zero byte"
    );
    assert_eq!(
        error(7, "tag", Kind::Unknown(7)),
        "message 0x07, tag: value 7 is not in the protocol"
    );
    assert_eq!(
        error(b'Z', "end", Kind::Trailing(2)),
        "message 'Z', end: 2 bytes follow the last field"
    );
    assert_eq!(error(b'Z', "length", Kind::TooShort(-2)), "message 'Z', length: -2 is too small");
    assert_eq!(
        error(0, "version", Kind::ProtocolTwo),
        "startup packet, version: protocol version 2 is not supported"
    );
}

#[test]
fn no_secret_shows_in_debug_output() {
    let secret = Bytes::from_static(b"hunter2!");
    let shown = [
        format!("{:?}", PasswordMessage { data: secret.clone() }),
        format!("{:?}", SaslResponse { data: secret.clone() }),
        format!(
            "{:?}",
            SaslInitialResponse { mechanism: Bytes::new(), data: Some(secret.clone()) }
        ),
        format!("{:?}", BackendKeyData { pid: 1, key: secret.clone() }),
        format!("{:?}", CancelRequest { pid: 1, key: secret }),
    ];
    for text in shown {
        assert!(!text.contains("hunter2"), "{text}");
    }
}
