//! What looks at, or writes, only a part agrees with the full types.

use bytes::Bytes;
use pgweir_codec::backend::{self, ParameterStatus, ReadyForQuery, parameter_status};
use pgweir_codec::frontend::{self, Bind, Close, Describe, Parse, Sync, bind, parse, target_name};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::strategies::*;

/// Bodies that are sound, cut short, too long, or made up.
fn bodies(sound: impl Strategy<Value = Bytes> + 'static) -> impl Strategy<Value = Bytes> {
    let cut = |(body, cut): (Bytes, usize)| body.slice(..cut.min(body.len()));
    let sound = sound.boxed();
    prop_oneof![
        sound.clone(),
        (sound.clone(), 0..32usize).prop_map(cut),
        (sound, bytes()).prop_map(|(body, more)| Bytes::from([body, more].concat())),
        vec(prop_oneof![2 => Just(0), 1 => Just(b'S'), 1 => any::<u8>()], 0..16)
            .prop_map(Bytes::from),
    ]
}

fn body_of(encode: impl FnOnce(&mut bytes::BytesMut)) -> Bytes {
    taken_apart(&encoded(encode)).1
}

proptest! {
    #[test]
    fn a_parse_read_in_place_is_the_parse_or_the_same_error(
        body in bodies(parse().prop_map(|parse| body_of(|out| parse.encode(out)))),
    ) {
        let view = parse::peek(&body);
        let full = Parse::decode(body.clone());
        prop_assert_eq!(view.map(|_| ()), full.clone().map(|_| ()));
        if let (Ok(view), Ok(full)) = (view, full) {
            prop_assert_eq!((view.name, view.query), (&full.name[..], &full.query[..]));
            let types: Vec<u32> = view.types[2..]
                .chunks_exact(4)
                .map(|oid| u32::from_be_bytes(oid.try_into().unwrap()))
                .collect();
            prop_assert_eq!(types, full.types);
            let again = body_of(|out| parse::write(out, view.name, view.query, view.types));
            prop_assert_eq!(again, body);
        }
    }

    #[test]
    fn the_names_of_a_bind_are_known_once_both_have_arrived(message in bind()) {
        let body = body_of(|out| message.encode(out));
        let rest_at = message.portal.len() + message.statement.len() + 2;
        for have in 0..=body.len() {
            let names = bind::peek_names(&body[..have]).unwrap();
            let expected = (have >= rest_at).then_some(bind::Names {
                portal: &message.portal,
                statement: &message.statement,
                rest_at,
            });
            prop_assert_eq!(names, expected);
        }
    }

    #[test]
    fn a_renamed_bind_is_the_bind_with_another_statement(message in bind(), statement in text()) {
        let original = encoded(|out| message.encode(out));
        let names = bind::peek_names(&original[5..]).unwrap().unwrap();
        let renamed = encoded(|out| {
            bind::write_renamed_head(out, original.len(), names.portal, &statement, names.rest_at);
            out.extend_from_slice(&original[5 + names.rest_at..]);
        });
        let (tag, body) = taken_apart(&renamed);
        prop_assert_eq!(tag, Bind::TAG);
        prop_assert_eq!(Bind::decode(body), Ok(Bind { statement, ..message }));
    }

    #[test]
    fn the_target_read_in_place_is_that_of_the_describe_or_close(
        body in bodies(text().prop_map(|name| Bytes::from([&b"S"[..], &name, b"\0"].concat()))),
    ) {
        let describe = Describe::decode(body.clone());
        prop_assert_eq!(
            target_name(Describe::TAG, &body),
            describe.as_ref().map(|full| (full.target, &full.name[..])).map_err(|error| *error)
        );
        let close = Close::decode(body.clone());
        prop_assert_eq!(
            target_name(Close::TAG, &body),
            close.as_ref().map(|full| (full.target, &full.name[..])).map_err(|error| *error)
        );
    }

    #[test]
    fn a_parameter_status_read_in_place_is_the_message_or_the_same_error(
        body in bodies((text(), text()).prop_map(|(name, value)| {
            body_of(|out| parameter_status::write(out, &name, &value))
        })),
    ) {
        let full = ParameterStatus::decode(body.clone());
        prop_assert_eq!(
            parameter_status::peek(&body),
            full.as_ref().map(|full| (&full.name[..], &full.value[..])).map_err(|error| *error)
        );
    }

    #[test]
    fn the_transaction_status_read_in_place_is_that_of_the_message(
        body in bodies(Just(Bytes::from_static(b"T"))),
    ) {
        let full = ReadyForQuery::decode(body.clone());
        prop_assert_eq!(backend::ready_for_query::peek(&body), full.map(|full| full.status));
    }

    #[test]
    fn the_front_of_a_query_is_the_front_of_its_text(text in text(), cut in 0..16usize) {
        let body = body_of(|out| frontend::query::write(out, &text));
        prop_assert_eq!(frontend::query::text(&body), &text[..]);
        let front = &body[..cut.min(body.len())];
        prop_assert_eq!(frontend::query::text(front), &text[..cut.min(text.len())]);
    }
}

#[test]
fn a_name_with_a_zero_byte_does_not_break_a_renamed_bind() {
    let message = Bind {
        portal: Bytes::new(),
        statement: Bytes::new(),
        parameter_formats: vec![],
        parameters: vec![],
        result_formats: vec![1],
    };
    let original = encoded(|out| message.encode(out));
    let renamed = encoded(|out| {
        bind::write_renamed_head(out, original.len(), b"", b"cut\0off", 2);
        out.extend_from_slice(&original[5 + 2..]);
    });
    let statement = Bytes::from_static(b"cut");
    assert_eq!(Bind::decode(taken_apart(&renamed).1), Ok(Bind { statement, ..message }));
}

#[test]
fn the_whole_messages_kept_as_constants_are_what_is_encoded() {
    assert_eq!(encoded(|out| backend::ParseComplete.encode(out)), backend::PARSE_COMPLETE);
    assert_eq!(encoded(|out| backend::BindComplete.encode(out)), backend::BIND_COMPLETE);
    assert_eq!(encoded(|out| backend::CloseComplete.encode(out)), backend::CLOSE_COMPLETE);
    assert_eq!(encoded(|out| backend::NoData.encode(out)), backend::NO_DATA);
    assert_eq!(encoded(|out| frontend::Terminate.encode(out)), frontend::TERMINATE);
    assert_eq!(encoded(frontend::sync::write), encoded(|out| Sync.encode(out)));
}
