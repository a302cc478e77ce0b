//! `postgres-protocol`, an implementation by others, sees the same things.

use bytes::{Bytes, BytesMut};
use fallible_iterator::FallibleIterator;
use pgweir_codec::backend::{
    self, Authentication, ErrorResponse, FieldDescription, TransactionStatus,
};
use pgweir_codec::frontend::{self, Target};
use postgres_protocol::message::{backend as theirs, frontend as their_frontend};
use proptest::prelude::*;

use super::strategies::{data, encoded, from_server, words};

/// What they read, put into our types; `None` for what they do not have or will not show.
fn ours(message: theirs::Message) -> Option<backend::Message> {
    use backend::Message as M;
    use theirs::Message as T;

    let text =
        |text: std::io::Result<&str>| text.ok().map(|text| Bytes::copy_from_slice(text.as_bytes()));
    let copied = Bytes::copy_from_slice;
    let other =
        |code, data: &[u8]| M::Authentication(Authentication::Other { code, data: copied(data) });
    Some(match message {
        T::AuthenticationCleartextPassword => M::Authentication(Authentication::CleartextPassword),
        T::AuthenticationGss => other(7, b""),
        T::AuthenticationKerberosV5 => other(2, b""),
        T::AuthenticationMd5Password(body) => {
            M::Authentication(Authentication::Md5Password { salt: body.salt() })
        }
        T::AuthenticationOk => M::Authentication(Authentication::Ok),
        T::AuthenticationScmCredential => other(6, b""),
        T::AuthenticationSspi => other(9, b""),
        T::AuthenticationGssContinue(body) => other(8, body.data()),
        T::AuthenticationSasl(body) => M::Authentication(Authentication::Sasl {
            mechanisms: body.mechanisms().map(|name| Ok(copied(name.as_bytes()))).collect().ok()?,
        }),
        T::AuthenticationSaslContinue(body) => {
            M::Authentication(Authentication::SaslContinue { data: copied(body.data()) })
        }
        T::AuthenticationSaslFinal(body) => {
            M::Authentication(Authentication::SaslFinal { data: copied(body.data()) })
        }
        T::BackendKeyData(body) => M::BackendKeyData(backend::BackendKeyData {
            pid: body.process_id().cast_unsigned(),
            key: copied(&body.secret_key().to_be_bytes()),
        }),
        T::BindComplete => M::BindComplete(backend::BindComplete),
        T::CloseComplete => M::CloseComplete(backend::CloseComplete),
        T::CommandComplete(body) => {
            M::CommandComplete(backend::CommandComplete { tag: text(body.tag())? })
        }
        T::CopyData(body) => M::CopyData(backend::CopyData { data: body.into_bytes() }),
        T::CopyDone => M::CopyDone(backend::CopyDone),
        T::CopyInResponse(body) => M::CopyInResponse(backend::CopyInResponse {
            format: body.format(),
            column_formats: signed(body.column_formats().collect().ok()?),
        }),
        T::CopyOutResponse(body) => M::CopyOutResponse(backend::CopyOutResponse {
            format: body.format(),
            column_formats: signed(body.column_formats().collect().ok()?),
        }),
        T::DataRow(body) => {
            let value = |range: Option<std::ops::Range<usize>>| {
                Ok(range.map(|range| body.buffer_bytes().slice(range)))
            };
            M::DataRow(backend::DataRow { columns: body.ranges().map(value).collect().ok()? })
        }
        T::EmptyQueryResponse => M::EmptyQueryResponse(backend::EmptyQueryResponse),
        T::ErrorResponse(body) => {
            M::ErrorResponse(ErrorResponse::decode(report(body.fields())?).ok()?)
        }
        T::NoData => M::NoData(backend::NoData),
        T::NoticeResponse(body) => {
            M::NoticeResponse(backend::NoticeResponse::decode(report(body.fields())?).ok()?)
        }
        T::NotificationResponse(body) => M::NotificationResponse(backend::NotificationResponse {
            pid: body.process_id().cast_unsigned(),
            channel: text(body.channel())?,
            payload: text(body.message())?,
        }),
        T::ParameterDescription(body) => M::ParameterDescription(backend::ParameterDescription {
            types: body.parameters().collect().ok()?,
        }),
        T::ParameterStatus(body) => M::ParameterStatus(backend::ParameterStatus {
            name: text(body.name())?,
            value: text(body.value())?,
        }),
        T::ParseComplete => M::ParseComplete(backend::ParseComplete),
        T::PortalSuspended => M::PortalSuspended(backend::PortalSuspended),
        T::ReadyForQuery(body) => M::ReadyForQuery(backend::ReadyForQuery {
            status: match body.status() {
                b'I' => TransactionStatus::Idle,
                b'T' => TransactionStatus::Active,
                b'E' => TransactionStatus::Failed,
                _ => return None,
            },
        }),
        T::RowDescription(body) => {
            let field = |field: theirs::Field<'_>| {
                Ok(FieldDescription {
                    name: copied(field.name().as_bytes()),
                    table: field.table_oid(),
                    column: field.column_id(),
                    type_oid: field.type_oid(),
                    type_size: field.type_size(),
                    type_modifier: field.type_modifier(),
                    format: field.format(),
                })
            };
            M::RowDescription(backend::RowDescription {
                fields: body.fields().map(field).collect().ok()?,
            })
        }
        _ => return None,
    })
}

fn signed(formats: Vec<u16>) -> Vec<i16> {
    formats.into_iter().map(u16::cast_signed).collect()
}

/// The body of an ErrorResponse from the fields they found.
fn report(mut fields: theirs::ErrorFields<'_>) -> Option<Bytes> {
    let mut body = BytesMut::new();
    while let Some(field) = fields.next().ok()? {
        body.extend_from_slice(&[field.type_()]);
        body.extend_from_slice(field.value_bytes());
        body.extend_from_slice(&[0]);
    }
    body.extend_from_slice(&[0]);
    Some(body.freeze())
}

/// Whether they read this message at all: they have no such message, only UTF-8, or only short keys.
fn beyond_them(message: &backend::Message) -> bool {
    use backend::Message as M;
    let utf8 = |text: &Bytes| std::str::from_utf8(text).is_ok();
    match message {
        M::CopyBothResponse(_) | M::FunctionCallResponse(_) | M::NegotiateProtocolVersion(_) => {
            true
        }
        M::BackendKeyData(message) => message.key.len() != 4,
        M::Authentication(Authentication::Other { code: 2 | 6 | 7 | 9, data }) => !data.is_empty(),
        M::Authentication(Authentication::Sasl { mechanisms }) => !mechanisms.iter().all(utf8),
        M::CommandComplete(message) => !utf8(&message.tag),
        M::NotificationResponse(message) => !utf8(&message.channel) || !utf8(&message.payload),
        M::ParameterStatus(message) => !utf8(&message.name) || !utf8(&message.value),
        M::RowDescription(message) => !message.fields.iter().all(|field| utf8(&field.name)),
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn they_read_what_we_write_to_clients(message in from_server()) {
        let mut bytes = encoded(|out| message.encode(out));
        let read = theirs::Message::parse(&mut bytes).ok().flatten().and_then(ours);
        match read {
            Some(read) => prop_assert_eq!(read, message),
            None => prop_assert!(beyond_them(&message), "they do not read {:?}", message),
        }
    }

    #[test]
    fn they_read_our_messages_with_words(words in prop::collection::vec(words(), 3), pid in any::<u32>()) {
        use backend::Message as M;
        let [a, b, c] = words.try_into().unwrap();
        let named = |name: String| FieldDescription {
            name: name.into(), table: pid, column: -1, type_oid: 25, type_size: -1, type_modifier: -1, format: 1,
        };
        for message in [
            M::CommandComplete(backend::CommandComplete { tag: a.clone().into() }),
            M::ParameterStatus(backend::ParameterStatus { name: a.clone().into(), value: b.clone().into() }),
            M::NotificationResponse(backend::NotificationResponse {
                pid, channel: b.clone().into(), payload: c.clone().into(),
            }),
            M::RowDescription(backend::RowDescription { fields: vec![named(a), named(b), named(c)] }),
        ] {
            let mut bytes = encoded(|out| message.encode(out));
            prop_assert_eq!(theirs::Message::parse(&mut bytes).ok().flatten().and_then(ours), Some(message));
        }
    }

    #[test]
    fn they_write_to_servers_what_we_write(
        (name, query) in (words(), words()),
        types in prop::collection::vec(any::<u32>(), 0..5),
        formats in prop::collection::vec(any::<i16>(), 0..4),
        values in prop::collection::vec(prop::option::of(data()), 0..5),
        rows in any::<i32>(),
        data in data(),
    ) {
        let text = |text: &String| Bytes::copy_from_slice(text.as_bytes());
        let same = |ours: &dyn Fn(&mut BytesMut), theirs: &dyn Fn(&mut BytesMut)| {
            assert_eq!(encoded(ours), encoded(theirs));
        };
        let parse = frontend::Parse { name: text(&name), query: text(&query), types: types.clone() };
        same(&|out| parse.encode(out), &|out| {
            their_frontend::parse(&name, &query, types.iter().copied(), out).unwrap();
        });
        let bind = frontend::Bind {
            portal: text(&name),
            statement: text(&query),
            parameter_formats: formats.clone(),
            parameters: values.clone(),
            result_formats: formats.clone(),
        };
        same(&|out| bind.encode(out), &|out| {
            let write = |value: &Option<Bytes>, out: &mut BytesMut| Ok(match value {
                None => postgres_protocol::IsNull::Yes,
                Some(value) => { out.extend_from_slice(value); postgres_protocol::IsNull::No }
            });
            let (sent, asked) = (formats.iter().copied(), formats.iter().copied());
            assert!(their_frontend::bind(&name, &query, sent, &values, write, asked, out).is_ok());
        });
        for (target, variant) in [(Target::Statement, b'S'), (Target::Portal, b'P')] {
            same(&|out| frontend::describe::write(out, target, name.as_bytes()), &|out| {
                their_frontend::describe(variant, &name, out).unwrap();
            });
            same(&|out| frontend::close::write(out, target, name.as_bytes()), &|out| {
                their_frontend::close(variant, &name, out).unwrap();
            });
        }
        same(&|out| frontend::execute::write(out, name.as_bytes(), rows), &|out| {
            their_frontend::execute(&name, rows, out).unwrap();
        });
        same(&|out| frontend::query::write(out, query.as_bytes()), &|out| {
            their_frontend::query(&query, out).unwrap();
        });
        same(&|out| frontend::CopyFail { reason: text(&query) }.encode(out), &|out| {
            their_frontend::copy_fail(&query, out).unwrap();
        });
        same(&|out| frontend::CopyData { data: data.clone() }.encode(out), &|out| {
            their_frontend::CopyData::new(data.clone()).unwrap().write(out);
        });
        let initial = frontend::SaslInitialResponse {
            mechanism: Bytes::from_static(b"SCRAM-SHA-256"), data: Some(data.clone()),
        };
        same(&|out| initial.encode(out), &|out| {
            their_frontend::sasl_initial_response("SCRAM-SHA-256", &data, out).unwrap();
        });
        same(&|out| frontend::SaslResponse { data: data.clone() }.encode(out), &|out| {
            their_frontend::sasl_response(&data, out).unwrap();
        });
        same(&|out| frontend::PasswordMessage { data: format!("{name}\0").into() }.encode(out), &|out| {
            their_frontend::password_message(name.as_bytes(), out).unwrap();
        });
    }
}

#[test]
fn the_messages_without_a_body_are_theirs() {
    assert_eq!(encoded(frontend::sync::write), encoded(their_frontend::sync));
    assert_eq!(encoded(|out| frontend::Flush.encode(out)), encoded(their_frontend::flush));
    assert_eq!(encoded(|out| frontend::Terminate.encode(out)), encoded(their_frontend::terminate));
    assert_eq!(encoded(|out| frontend::CopyDone.encode(out)), encoded(their_frontend::copy_done));
}
