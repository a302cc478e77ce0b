//! Round trips, truncations, arbitrary bytes.

use bytes::Bytes;
use pgweir_codec::error::DecodeError;
use pgweir_codec::frontend::{SaslInitialResponse, SaslResponse};
use pgweir_codec::startup::StartupPacket;
use pgweir_codec::{backend, frontend};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::strategies::*;

/// The shortest front of the message's body that is itself a body: where all that follows may be any bytes.
fn open_end_of_frontend(message: &frontend::Message) -> usize {
    match message {
        frontend::Message::CopyData(_) | frontend::Message::Password(_) => 0,
        _ => usize::MAX,
    }
}

fn open_end_of_backend(message: &backend::Message) -> usize {
    use backend::Authentication as A;
    match message {
        backend::Message::CopyData(_) => 0,
        backend::Message::BackendKeyData(_) => 4 + 4,
        backend::Message::Authentication(
            A::SaslContinue { .. } | A::SaslFinal { .. } | A::Other { code: 8, .. },
        ) => 4,
        _ => usize::MAX,
    }
}

fn no_truncation_is_a_message<T: std::fmt::Debug>(
    body: &Bytes,
    open_end: usize,
    decode: impl Fn(Bytes) -> Result<T, DecodeError>,
) {
    for cut in 0..body.len() {
        let result = decode(body.slice(..cut));
        assert_eq!(result.is_err(), cut < open_end, "cut to {cut} of {body:?}: {result:?}");
    }
    let longer = Bytes::from([body, &b"\0"[..]].concat());
    let result = decode(longer);
    assert!(result.is_err() || open_end < usize::MAX, "a byte too many in {body:?}: {result:?}");
}

proptest! {
    #[test]
    fn every_frontend_message_decodes_to_itself(message in frontend_message()) {
        let (tag, body) = taken_apart(&encoded(|out| message.encode(out)));
        prop_assert_eq!(frontend::Message::decode(tag, body), Ok(message));
    }

    #[test]
    fn every_backend_message_decodes_to_itself(message in backend_message()) {
        let (tag, body) = taken_apart(&encoded(|out| message.encode(out)));
        prop_assert_eq!(backend::Message::decode(tag, body), Ok(message));
    }

    #[test]
    fn every_startup_packet_decodes_to_itself(packet in startup_packet()) {
        prop_assert_eq!(StartupPacket::decode(encoded(|out| packet.encode(out))), Ok(packet));
    }

    #[test]
    fn every_sasl_answer_decodes_to_itself(initial in sasl_initial_response(), data in bytes()) {
        let (tag, body) = taken_apart(&encoded(|out| initial.encode(out)));
        prop_assert_eq!(tag, SaslInitialResponse::TAG);
        no_truncation_is_a_message(&body, usize::MAX, SaslInitialResponse::decode);
        prop_assert_eq!(SaslInitialResponse::decode(body), Ok(initial));

        let response = SaslResponse { data };
        let (tag, body) = taken_apart(&encoded(|out| response.encode(out)));
        prop_assert_eq!(tag, SaslResponse::TAG);
        prop_assert_eq!(SaslResponse::decode(body), Ok(response));
    }

    #[test]
    fn no_truncated_frontend_message_decodes(message in frontend_message()) {
        let (tag, body) = taken_apart(&encoded(|out| message.encode(out)));
        let open_end = open_end_of_frontend(&message);
        no_truncation_is_a_message(&body, open_end, |body| frontend::Message::decode(tag, body));
    }

    #[test]
    fn no_truncated_backend_message_decodes(message in backend_message()) {
        let (tag, body) = taken_apart(&encoded(|out| message.encode(out)));
        let open_end = open_end_of_backend(&message);
        no_truncation_is_a_message(&body, open_end, |body| backend::Message::decode(tag, body));
    }

    /// What decodes is encoded to the very bytes it came from: the layouts leave no choice.
    #[test]
    fn arbitrary_bodies_never_panic_and_what_decodes_is_written_as_it_was(
        tag: u8,
        body in vec(prop_oneof![3 => 0..4u8, 1 => any::<u8>()], 0..64),
    ) {
        let body = Bytes::from(body);
        if let Ok(message) = frontend::Message::decode(tag, body.clone()) {
            prop_assert_eq!(taken_apart(&encoded(|out| message.encode(out))), (tag, body.clone()));
        }
        if let Ok(message) = backend::Message::decode(tag, body.clone()) {
            prop_assert_eq!(taken_apart(&encoded(|out| message.encode(out))), (tag, body.clone()));
        }
        if let Ok(message) = SaslInitialResponse::decode(body.clone()) {
            prop_assert_eq!(taken_apart(&encoded(|out| message.encode(out))).1, body);
        }
    }

    #[test]
    fn messages_are_appended_to_what_is_there(first in backend_message(), second in backend_message()) {
        let both = encoded(|out| {
            first.encode(out);
            second.encode(out);
        });
        let apart = [encoded(|out| first.encode(out)), encoded(|out| second.encode(out))].concat();
        prop_assert_eq!(&both[..], &apart[..]);
    }
}

#[test]
fn an_unknown_tag_is_an_error_that_names_it() {
    let error = frontend::Message::decode(b'~', Bytes::new()).unwrap_err();
    assert_eq!(error.to_string(), "message '~', tag: value 126 is not in the protocol");
    let error = backend::Message::decode(0x01, Bytes::new()).unwrap_err();
    assert_eq!(error.to_string(), "message 0x01, tag: value 1 is not in the protocol");
}

#[test]
fn a_false_count_is_refused_before_memory_is_reserved() {
    for tag in [b'D', b'T', b't'] {
        assert!(backend::Message::decode(tag, Bytes::from_static(b"\xff\xff")).is_err());
    }
    let four_billion_options = Bytes::from_static(b"\0\x03\0\0\xff\xff\xff\xff");
    assert!(backend::NegotiateProtocolVersion::decode(four_billion_options).is_err());
}

#[test]
fn a_value_of_two_gigabytes_or_less_than_null_is_refused() {
    let row = |length: i32| {
        let body = [&[0, 1][..], &length.to_be_bytes()].concat();
        backend::DataRow::decode(Bytes::from(body))
    };
    assert_eq!(row(-1), Ok(backend::DataRow { columns: vec![None] }));
    assert_eq!(row(0), Ok(backend::DataRow { columns: vec![Some(Bytes::new())] }));
    for length in [i32::MIN, -2, 1, i32::MAX] {
        assert!(row(length).is_err(), "{length}");
    }
}

#[test]
fn a_row_may_have_as_many_columns_as_sixteen_bits_count() {
    let row = backend::DataRow { columns: vec![None; usize::from(u16::MAX)] };
    let (_, body) = taken_apart(&encoded(|out| row.encode(out)));
    assert_eq!(backend::DataRow::decode(body), Ok(row));
}

#[test]
fn a_zero_byte_ends_a_text_of_our_own() {
    let (_, body) = taken_apart(&encoded(|out| {
        frontend::CopyFail { reason: Bytes::from_static(b"cut\0off") }.encode(out);
    }));
    assert_eq!(&body[..], b"cut\0");
    let (_, body) = taken_apart(&encoded(|out| frontend::query::write(out, b"SELECT 1\0;")));
    assert_eq!(&body[..], b"SELECT 1\0");
}

#[test]
fn secrets_do_not_show_when_a_message_is_logged() {
    let secret = Bytes::from_static(b"hunter2");
    let shown = [
        format!("{:?}", frontend::PasswordMessage { data: secret.clone() }),
        format!("{:?}", SaslResponse { data: secret.clone() }),
        format!(
            "{:?}",
            SaslInitialResponse {
                mechanism: Bytes::from_static(b"OAUTHBEARER"),
                data: Some(secret.clone())
            }
        ),
        format!("{:?}", backend::BackendKeyData { pid: 1, key: secret.clone() }),
        format!("{:?}", pgweir_codec::startup::CancelRequest { pid: 1, key: secret }),
    ];
    for text in shown {
        assert!(!text.contains("hunter2"), "{text}");
    }
}
