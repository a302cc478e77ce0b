//! Agreement with the crate postgres-protocol, where it has the message.

use bytes::{Bytes, BytesMut};
use fallible_iterator::FallibleIterator;
use pgweir_codec::backend::{self, Authentication, TransactionStatus};
use pgweir_codec::frontend::{self, Target};
use pgweir_codec::startup::{CancelRequest, StartupMessage, StartupPacket};
use postgres_protocol::IsNull;
use postgres_protocol::message::backend::Message as Theirs;
use postgres_protocol::message::frontend as their;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::strategies::*;

fn read_by_them(ours: &backend::Message) -> Theirs {
    let mut bytes = BytesMut::from(&encoded(|out| ours.encode(out))[..]);
    let theirs = Theirs::parse(&mut bytes).expect("a sound message").expect("a whole message");
    assert!(bytes.is_empty());
    theirs
}

fn written_by_them(write: impl FnOnce(&mut BytesMut)) -> frontend::Message {
    let (tag, body) = taken_apart(&encoded(write));
    frontend::Message::decode(tag, body).expect("a sound message")
}

/// postgres-protocol wants UTF-8.
fn utf8() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9 _äß.-]{0,12}"
}

fn is_utf8(message: &backend::Message) -> bool {
    let sound = |text: &Bytes| std::str::from_utf8(text).is_ok();
    match message {
        backend::Message::CommandComplete(m) => sound(&m.tag),
        backend::Message::NotificationResponse(m) => sound(&m.channel) && sound(&m.payload),
        backend::Message::ParameterStatus(m) => sound(&m.name) && sound(&m.value),
        backend::Message::RowDescription(m) => m.fields.iter().all(|field| sound(&field.name)),
        backend::Message::Authentication(Authentication::Sasl { mechanisms }) => {
            mechanisms.iter().all(sound)
        }
        _ => true,
    }
}

fn agree_on_authentication(ours: &Authentication, theirs: Theirs) -> bool {
    match (ours, theirs) {
        (Authentication::Ok, Theirs::AuthenticationOk) => true,
        (Authentication::CleartextPassword, Theirs::AuthenticationCleartextPassword) => true,
        (Authentication::Md5Password { salt }, Theirs::AuthenticationMd5Password(body)) => {
            *salt == body.salt()
        }
        (Authentication::Sasl { mechanisms }, Theirs::AuthenticationSasl(body)) => {
            let theirs: Vec<Bytes> =
                body.mechanisms().map(|name| Ok(Bytes::from(name.to_owned()))).collect().unwrap();
            *mechanisms == theirs
        }
        (Authentication::SaslContinue { data }, Theirs::AuthenticationSaslContinue(body)) => {
            data == body.data()
        }
        (Authentication::SaslFinal { data }, Theirs::AuthenticationSaslFinal(body)) => {
            data == body.data()
        }
        (Authentication::Other { code: 2, .. }, Theirs::AuthenticationKerberosV5) => true,
        (Authentication::Other { code: 6, .. }, Theirs::AuthenticationScmCredential) => true,
        (Authentication::Other { code: 7, .. }, Theirs::AuthenticationGss) => true,
        (Authentication::Other { code: 8, .. }, Theirs::AuthenticationGssContinue(_)) => true,
        (Authentication::Other { code: 9, .. }, Theirs::AuthenticationSspi) => true,
        _ => false,
    }
}

fn fields_agree(
    ours: impl Fn(u8) -> Option<Bytes>,
    mut theirs: postgres_protocol::message::backend::ErrorFields<'_>,
) -> bool {
    let mut seen = Vec::new();
    while let Some(field) = theirs.next().unwrap() {
        if !seen.contains(&field.type_()) {
            seen.push(field.type_());
            if ours(field.type_()).as_deref() != Some(field.value_bytes()) {
                return false;
            }
        }
    }
    true
}

fn formats_agree(ours: &[i16], theirs: impl FallibleIterator<Item = u16>) -> bool {
    let theirs: Vec<i16> = theirs.map(|format| Ok(format.cast_signed())).collect().ok().unwrap();
    ours == theirs
}

fn agree(ours: &backend::Message, theirs: Theirs) -> bool {
    use backend::Message as Ours;
    match (ours, theirs) {
        (Ours::Authentication(ours), theirs) => agree_on_authentication(ours, theirs),
        (Ours::BackendKeyData(ours), Theirs::BackendKeyData(body)) => {
            ours.pid == body.process_id().cast_unsigned()
                && ours.key == body.secret_key().to_be_bytes()[..]
        }
        (Ours::BindComplete(_), Theirs::BindComplete)
        | (Ours::CloseComplete(_), Theirs::CloseComplete)
        | (Ours::CopyDone(_), Theirs::CopyDone)
        | (Ours::EmptyQueryResponse(_), Theirs::EmptyQueryResponse)
        | (Ours::NoData(_), Theirs::NoData)
        | (Ours::ParseComplete(_), Theirs::ParseComplete)
        | (Ours::PortalSuspended(_), Theirs::PortalSuspended) => true,
        (Ours::CommandComplete(ours), Theirs::CommandComplete(body)) => {
            ours.tag == body.tag().unwrap()
        }
        (Ours::CopyData(ours), Theirs::CopyData(body)) => ours.data == body.data(),
        (Ours::CopyInResponse(ours), Theirs::CopyInResponse(body)) => {
            ours.format == body.format()
                && formats_agree(&ours.column_formats, body.column_formats())
        }
        (Ours::CopyOutResponse(ours), Theirs::CopyOutResponse(body)) => {
            ours.format == body.format()
                && formats_agree(&ours.column_formats, body.column_formats())
        }
        (Ours::DataRow(ours), Theirs::DataRow(body)) => {
            let buffer = body.buffer_bytes();
            let theirs: Vec<_> = body
                .ranges()
                .map(|range| Ok(range.map(|range| buffer.slice(range))))
                .collect()
                .unwrap();
            ours.columns == theirs
        }
        (Ours::ErrorResponse(ours), Theirs::ErrorResponse(body)) => {
            fields_agree(|letter| ours.field(letter).cloned(), body.fields())
        }
        (Ours::NoticeResponse(ours), Theirs::NoticeResponse(body)) => {
            fields_agree(|letter| ours.field(letter).cloned(), body.fields())
        }
        (Ours::NotificationResponse(ours), Theirs::NotificationResponse(body)) => {
            ours.pid == body.process_id().cast_unsigned()
                && ours.channel == body.channel().unwrap()
                && ours.payload == body.message().unwrap()
        }
        (Ours::ParameterDescription(ours), Theirs::ParameterDescription(body)) => {
            ours.types == body.parameters().collect::<Vec<_>>().unwrap()
        }
        (Ours::ParameterStatus(ours), Theirs::ParameterStatus(body)) => {
            ours.name == body.name().unwrap() && ours.value == body.value().unwrap()
        }
        (Ours::ReadyForQuery(ours), Theirs::ReadyForQuery(body)) => {
            let byte = match ours.status {
                TransactionStatus::Idle => b'I',
                TransactionStatus::Active => b'T',
                TransactionStatus::Failed => b'E',
            };
            body.status() == byte
        }
        (Ours::RowDescription(ours), Theirs::RowDescription(body)) => {
            let theirs: Vec<_> = body
                .fields()
                .map(|field| {
                    Ok(backend::FieldDescription {
                        name: Bytes::from(field.name().to_owned()),
                        table: field.table_oid(),
                        column: field.column_id(),
                        type_oid: field.type_oid(),
                        type_size: field.type_size(),
                        type_modifier: field.type_modifier(),
                        format: field.format(),
                    })
                })
                .collect()
                .unwrap();
            ours.fields == theirs
        }
        _ => false,
    }
}

/// What postgres-protocol knows; it has no longer keys and no replication.
fn is_theirs_too(message: &backend::Message) -> bool {
    match message {
        backend::Message::BackendKeyData(data) => data.key.len() == 4,
        backend::Message::CopyBothResponse(_)
        | backend::Message::FunctionCallResponse(_)
        | backend::Message::NegotiateProtocolVersion(_) => false,
        message => is_utf8(message),
    }
}

proptest! {
    #[test]
    fn what_we_encode_they_read_as_we_meant_it(message in backend_message()) {
        if is_theirs_too(&message) {
            let theirs = read_by_them(&message);
            prop_assert!(agree(&message, theirs), "{message:?}");
        }
    }

    #[test]
    fn texts_that_we_encode_they_read_as_we_meant_them(pid: u32, one in utf8(), two in utf8(), key: [u8; 4]) {
        let (one, two) = (Bytes::from(one), Bytes::from(two));
        let mechanism = Bytes::from_static(b"SCRAM-SHA-256");
        let messages: [backend::Message; 6] = [
            backend::Message::CommandComplete(backend::CommandComplete { tag: one.clone() }),
            backend::Message::ParameterStatus(backend::ParameterStatus { name: one.clone(), value: two.clone() }),
            backend::Message::NotificationResponse(backend::NotificationResponse {
                pid,
                channel: one.clone(),
                payload: two,
            }),
            backend::Message::BackendKeyData(backend::BackendKeyData { pid, key: Bytes::copy_from_slice(&key) }),
            backend::Message::Authentication(Authentication::Sasl { mechanisms: vec![mechanism; 2] }),
            backend::Message::RowDescription(backend::RowDescription {
                fields: vec![backend::FieldDescription {
                    name: one,
                    table: pid,
                    column: -1,
                    type_oid: 25,
                    type_size: -1,
                    type_modifier: -1,
                    format: 1,
                }],
            }),
        ];
        for message in messages {
            let theirs = read_by_them(&message);
            prop_assert!(agree(&message, theirs), "{message:?}");
        }
    }

    #[test]
    fn a_bind_of_theirs_is_read_as_they_meant_it(
        portal in utf8(),
        statement in utf8(),
        parameter_formats in vec(0..2i16, 0..4),
        parameters in vec(option::of(bytes()), 0..4),
        result_formats in vec(0..2i16, 0..4),
    ) {
        let read = written_by_them(|out| {
            let serialize = |value: Option<Bytes>, out: &mut BytesMut| Ok(match value {
                Some(value) => {
                    out.extend_from_slice(&value);
                    IsNull::No
                }
                None => IsNull::Yes,
            });
            let (formats, values) = (parameter_formats.clone(), parameters.clone());
            let written =
                their::bind(&portal, &statement, formats, values, serialize, result_formats.clone(), out);
            assert!(written.is_ok());
        });
        let meant = frontend::Bind {
            portal: portal.into(),
            statement: statement.into(),
            parameter_formats,
            parameters,
            result_formats,
        };
        prop_assert_eq!(read, frontend::Message::Bind(meant));
    }

    #[test]
    fn what_they_write_we_read_as_they_meant_it(
        one in utf8(),
        two in utf8(),
        types in vec(any::<u32>(), 0..4),
        rows: i32,
        data in bytes(),
    ) {
        use frontend::Message as M;
        let (name, query) = (Bytes::from(one.clone()), Bytes::from(two.clone()));
        for (byte, target) in [(b'S', Target::Statement), (b'P', Target::Portal)] {
            prop_assert_eq!(
                written_by_them(|out| their::close(byte, &one, out).unwrap()),
                M::Close(frontend::Close { target, name: name.clone() })
            );
            prop_assert_eq!(
                written_by_them(|out| their::describe(byte, &one, out).unwrap()),
                M::Describe(frontend::Describe { target, name: name.clone() })
            );
        }
        prop_assert_eq!(
            written_by_them(|out| their::parse(&one, &two, types.clone(), out).unwrap()),
            M::Parse(frontend::Parse { name: name.clone(), query: query.clone(), types })
        );
        prop_assert_eq!(
            written_by_them(|out| their::execute(&one, rows, out).unwrap()),
            M::Execute(frontend::Execute { portal: name.clone(), max_rows: rows })
        );
        prop_assert_eq!(
            written_by_them(|out| their::query(&two, out).unwrap()),
            M::Query(frontend::Query { text: query })
        );
        prop_assert_eq!(
            written_by_them(|out| their::copy_fail(&one, out).unwrap()),
            M::CopyFail(frontend::CopyFail { reason: name.clone() })
        );
        prop_assert_eq!(
            written_by_them(|out| their::CopyData::new(data.clone()).unwrap().write(out)),
            M::CopyData(frontend::CopyData { data: data.clone() })
        );
        prop_assert_eq!(
            written_by_them(|out| their::password_message(one.as_bytes(), out).unwrap()),
            M::Password(frontend::PasswordMessage { data: [name.clone(), Bytes::from_static(b"\0")].concat().into() })
        );
        prop_assert_eq!(
            written_by_them(|out| their::sasl_response(&data, out).unwrap()),
            M::Password(frontend::PasswordMessage { data: data.clone() })
        );
        let (_, body) =
            taken_apart(&encoded(|out| their::sasl_initial_response("SCRAM-SHA-256", &data, out).unwrap()));
        prop_assert_eq!(
            frontend::SaslInitialResponse::decode(body),
            Ok(frontend::SaslInitialResponse {
                mechanism: Bytes::from_static(b"SCRAM-SHA-256"),
                data: Some(data),
            })
        );
    }

    #[test]
    fn a_startup_message_of_theirs_is_read_as_they_meant_it(
        parameters in vec(("[a-z_]{1,10}", utf8()), 0..6),
        pid: i32,
        key: i32,
    ) {
        let pairs = parameters.iter().map(|(name, value)| (&name[..], &value[..]));
        let packet = encoded(|out| their::startup_message(pairs, out).unwrap());
        let parameters =
            parameters.iter().map(|(name, value)| (name.clone().into(), value.clone().into())).collect();
        let meant = StartupMessage { major: 3, minor: 0, parameters };
        prop_assert_eq!(StartupPacket::decode(packet), Ok(StartupPacket::Startup(meant)));

        let cancel = encoded(|out| their::cancel_request(pid, key, out));
        let key = Bytes::copy_from_slice(&key.to_be_bytes());
        let meant = CancelRequest { pid: pid.cast_unsigned(), key };
        prop_assert_eq!(StartupPacket::decode(cancel), Ok(StartupPacket::Cancel(meant)));
    }
}

#[test]
fn their_messages_without_a_body_are_ours() {
    use frontend::Message as M;
    assert_eq!(written_by_them(their::sync), M::Sync(frontend::Sync));
    assert_eq!(written_by_them(their::flush), M::Flush(frontend::Flush));
    assert_eq!(written_by_them(their::terminate), M::Terminate(frontend::Terminate));
    assert_eq!(written_by_them(their::copy_done), M::CopyDone(frontend::CopyDone));
    assert_eq!(StartupPacket::decode(encoded(their::ssl_request)), Ok(StartupPacket::Ssl));
}
