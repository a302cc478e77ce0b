//! Reading and writing in place agrees with the full types.

use bytes::{Bytes, BytesMut};
use pgweir_codec::frontend::{self, Bind, Close, Describe, Execute, Parse, Query, Target};
use pgweir_codec::{backend, head::Head};
use proptest::prelude::*;

use super::strategies::{bind, encoded, parse, split, text};

fn mostly_text() -> impl Strategy<Value = Bytes> {
    let byte = prop_oneof![Just(0u8), Just(b'S'), Just(b'P'), Just(1), any::<u8>()];
    prop::collection::vec(byte, 0..24).prop_map(Bytes::from)
}

proptest! {
    #[test]
    fn a_parse_read_in_place_is_the_same(message in parse(), name in text()) {
        let (_, body) = split(&encoded(|out| message.encode(out)));
        let view = frontend::parse::peek(&body).unwrap();
        prop_assert_eq!(view.name, &message.name);
        prop_assert_eq!(view.query, &message.query);

        let mut renamed = BytesMut::new();
        frontend::parse::write(&mut renamed, &name, view.query, view.types);
        prop_assert_eq!(Parse::decode(split(&renamed).1), Ok(Parse { name, ..message }));
    }

    #[test]
    fn what_no_parse_is_in_full_is_none_in_place(body in mostly_text()) {
        prop_assert_eq!(frontend::parse::peek(&body).err(), Parse::decode(body.clone()).err());
    }

    #[test]
    fn the_names_of_a_bind_are_seen_as_soon_as_they_are_there(message in bind()) {
        let (_, body) = split(&encoded(|out| message.encode(out)));
        let rest_at = message.portal.len() + message.statement.len() + 2;
        for len in 0..=body.len() {
            let names = frontend::bind::peek_names(&body[..len]).unwrap();
            prop_assert_eq!(names.is_some(), len >= rest_at);
            if let Some(names) = names {
                prop_assert_eq!(names.portal, &message.portal);
                prop_assert_eq!(names.statement, &message.statement);
                prop_assert_eq!(names.rest_at, rest_at);
            }
        }
    }

    #[test]
    fn a_bind_with_a_new_front_is_the_same_but_for_the_statement(message in bind(), statement in text()) {
        let original = encoded(|out| message.encode(out));
        let (head, body) = split(&original);
        let names = frontend::bind::peek_names(&body).unwrap().unwrap();

        let mut renamed = BytesMut::new();
        frontend::bind::write_renamed_head(&mut renamed, head.len, names.portal, &statement, names.rest_at);
        renamed.extend_from_slice(&original[Head::SIZE + names.rest_at..]);

        prop_assert_eq!(Bind::decode(split(&renamed).1), Ok(Bind { statement, ..message }));
    }

    #[test]
    fn the_target_of_a_describe_or_close_is_the_same_in_place(body in mostly_text()) {
        let describe = Describe::decode(body.clone());
        let close = Close::decode(body.clone());
        match frontend::target_name(Describe::TAG, &body) {
            Ok((target, name)) => {
                let name = Bytes::copy_from_slice(name);
                prop_assert_eq!(describe, Ok(Describe { target, name: name.clone() }));
                prop_assert_eq!(close, Ok(Close { target, name }));
            }
            Err(error) => {
                prop_assert_eq!(describe, Err(error));
                prop_assert_eq!(close.err(), frontend::target_name(Close::TAG, &body).err());
            }
        }
    }

    #[test]
    fn a_parameter_status_is_the_same_in_place(body in mostly_text()) {
        let peeked = backend::parameter_status::peek(&body).map(|(name, value)| backend::ParameterStatus {
            name: Bytes::copy_from_slice(name),
            value: Bytes::copy_from_slice(value),
        });
        prop_assert_eq!(peeked, backend::ParameterStatus::decode(body));
    }

    #[test]
    fn a_query_may_be_looked_at_before_all_of_it_is_there(query in text()) {
        let (_, body) = split(&encoded(|out| frontend::query::write(out, &query)));
        for len in 0..=body.len() {
            prop_assert_eq!(frontend::query::text(&body[..len]), &query[..len.min(query.len())]);
        }
    }

    #[test]
    fn what_is_written_in_place_is_what_the_types_write(name in text(), rows in any::<i32>()) {
        for target in [Target::Statement, Target::Portal] {
            let describe = Describe { target, name: name.clone() };
            prop_assert_eq!(
                encoded(|out| frontend::describe::write(out, target, &name)),
                encoded(|out| describe.encode(out))
            );
            let close = Close { target, name: name.clone() };
            prop_assert_eq!(
                encoded(|out| frontend::close::write(out, target, &name)),
                encoded(|out| close.encode(out))
            );
        }
        let execute = Execute { portal: name.clone(), max_rows: rows };
        prop_assert_eq!(
            encoded(|out| frontend::execute::write(out, &name, rows)),
            encoded(|out| execute.encode(out))
        );
    }
}

#[test]
fn the_ready_made_messages_are_what_the_types_write() {
    assert_eq!(encoded(|out| frontend::Terminate.encode(out)), frontend::TERMINATE);
    assert_eq!(encoded(|out| frontend::Sync.encode(out)), encoded(frontend::sync::write));
    assert_eq!(encoded(|out| backend::ParseComplete.encode(out)), backend::PARSE_COMPLETE);
    assert_eq!(encoded(|out| backend::BindComplete.encode(out)), backend::BIND_COMPLETE);
    assert_eq!(encoded(|out| backend::CloseComplete.encode(out)), backend::CLOSE_COMPLETE);
    assert_eq!(encoded(|out| backend::NoData.encode(out)), backend::NO_DATA);
}

/// Otherwise a name could smuggle fields of its own making into the message.
#[test]
fn a_text_with_a_zero_byte_ends_there() {
    let sent = encoded(|out| frontend::query::write(out, b"select 1\0; drop table t"));
    assert_eq!(Query::decode(split(&sent).1).unwrap().text, "select 1");
}
