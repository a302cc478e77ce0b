//! Random messages.

use bytes::{Bytes, BytesMut};
use pgweir_codec::backend::{
    self, ErrorResponse, FieldDescription, NoticeResponse, TransactionStatus,
};
use pgweir_codec::frontend::{self, Target};
use pgweir_codec::head::Head;
use proptest::prelude::*;

/// Any bytes that a zero-terminated text can hold.
pub(crate) fn text() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(1..=255u8, 0..24).prop_map(Bytes::from)
}

/// The same, for places where an empty text means the end.
fn some_text() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(1..=255u8, 1..24).prop_map(Bytes::from)
}

/// UTF-8, for the crates that insist on it.
pub(crate) fn words() -> impl Strategy<Value = String> {
    "[^\0]{0,16}"
}

pub(crate) fn data() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..48).prop_map(Bytes::from)
}

fn values() -> impl Strategy<Value = Vec<Option<Bytes>>> {
    prop::collection::vec(prop::option::of(data()), 0..6)
}

fn formats() -> impl Strategy<Value = Vec<i16>> {
    prop::collection::vec(any::<i16>(), 0..5)
}

fn oids() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(any::<u32>(), 0..6)
}

pub(crate) fn key() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 4..=256).prop_map(Bytes::from)
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![Just(Target::Statement), Just(Target::Portal)]
}

pub(crate) fn bind() -> impl Strategy<Value = frontend::Bind> {
    (text(), text(), formats(), values(), formats()).prop_map(
        |(portal, statement, parameter_formats, parameters, result_formats)| frontend::Bind {
            portal,
            statement,
            parameter_formats,
            parameters,
            result_formats,
        },
    )
}

pub(crate) fn parse() -> impl Strategy<Value = frontend::Parse> {
    (text(), text(), oids()).prop_map(|(name, query, types)| frontend::Parse { name, query, types })
}

pub(crate) fn from_client() -> impl Strategy<Value = frontend::Message> {
    use frontend::Message as M;
    let function_call = (any::<u32>(), formats(), values(), any::<i16>()).prop_map(
        |(function, argument_formats, arguments, result_format)| {
            M::FunctionCall(frontend::FunctionCall {
                function,
                argument_formats,
                arguments,
                result_format,
            })
        },
    );
    prop_oneof![
        bind().prop_map(M::Bind),
        (target(), text()).prop_map(|(target, name)| M::Close(frontend::Close { target, name })),
        data().prop_map(|data| M::CopyData(frontend::CopyData { data })),
        Just(M::CopyDone(frontend::CopyDone)),
        text().prop_map(|reason| M::CopyFail(frontend::CopyFail { reason })),
        (target(), text())
            .prop_map(|(target, name)| M::Describe(frontend::Describe { target, name })),
        (text(), any::<i32>())
            .prop_map(|(portal, max_rows)| M::Execute(frontend::Execute { portal, max_rows })),
        Just(M::Flush(frontend::Flush)),
        function_call,
        parse().prop_map(M::Parse),
        data().prop_map(|data| M::Password(frontend::PasswordMessage { data })),
        text().prop_map(|text| M::Query(frontend::Query { text })),
        Just(M::Sync(frontend::Sync)),
        Just(M::Terminate(frontend::Terminate)),
    ]
}

fn authentication() -> impl Strategy<Value = backend::Authentication> {
    use backend::Authentication as A;
    prop_oneof![
        Just(A::Ok),
        Just(A::CleartextPassword),
        any::<[u8; 4]>().prop_map(|salt| A::Md5Password { salt }),
        prop::collection::vec(some_text(), 0..4).prop_map(|mechanisms| A::Sasl { mechanisms }),
        data().prop_map(|data| A::SaslContinue { data }),
        data().prop_map(|data| A::SaslFinal { data }),
        (prop_oneof![Just(2u32), 6..=9u32], data())
            .prop_map(|(code, data)| A::Other { code, data }),
    ]
}

/// The body of an ErrorResponse or NoticeResponse: any letters in any order, even twice.
fn report_body() -> impl Strategy<Value = Bytes> {
    prop::collection::vec((1..=255u8, text()), 0..8).prop_map(|fields| {
        let mut body = BytesMut::new();
        for (letter, text) in fields {
            body.extend_from_slice(&[letter]);
            body.extend_from_slice(&text);
            body.extend_from_slice(&[0]);
        }
        body.extend_from_slice(&[0]);
        body.freeze()
    })
}

fn field() -> impl Strategy<Value = FieldDescription> {
    (text(), any::<(u32, i16, u32, i16, i32, i16)>()).prop_map(
        |(name, (table, column, type_oid, type_size, type_modifier, format))| FieldDescription {
            name,
            table,
            column,
            type_oid,
            type_size,
            type_modifier,
            format,
        },
    )
}

fn status() -> impl Strategy<Value = TransactionStatus> {
    prop_oneof![
        Just(TransactionStatus::Idle),
        Just(TransactionStatus::Active),
        Just(TransactionStatus::Failed)
    ]
}

pub(crate) fn from_server() -> impl Strategy<Value = backend::Message> {
    use backend::Message as M;
    let copy = || (any::<u8>(), formats());
    let login = prop_oneof![
        authentication().prop_map(M::Authentication),
        (any::<u32>(), key())
            .prop_map(|(pid, key)| M::BackendKeyData(backend::BackendKeyData { pid, key })),
        (any::<u32>(), prop::collection::vec(text(), 0..4)).prop_map(
            |(version, unknown_options)| {
                M::NegotiateProtocolVersion(backend::NegotiateProtocolVersion {
                    version,
                    unknown_options,
                })
            }
        ),
        (text(), text())
            .prop_map(|(name, value)| M::ParameterStatus(backend::ParameterStatus { name, value })),
        status().prop_map(|status| M::ReadyForQuery(backend::ReadyForQuery { status })),
    ];
    let empty = prop_oneof![
        Just(M::BindComplete(backend::BindComplete)),
        Just(M::CloseComplete(backend::CloseComplete)),
        Just(M::CopyDone(backend::CopyDone)),
        Just(M::EmptyQueryResponse(backend::EmptyQueryResponse)),
        Just(M::NoData(backend::NoData)),
        Just(M::ParseComplete(backend::ParseComplete)),
        Just(M::PortalSuspended(backend::PortalSuspended)),
    ];
    let copies = prop_oneof![
        copy().prop_map(|(format, column_formats)| {
            M::CopyBothResponse(backend::CopyBothResponse { format, column_formats })
        }),
        data().prop_map(|data| M::CopyData(backend::CopyData { data })),
        copy().prop_map(|(format, column_formats)| {
            M::CopyInResponse(backend::CopyInResponse { format, column_formats })
        }),
        copy().prop_map(|(format, column_formats)| {
            M::CopyOutResponse(backend::CopyOutResponse { format, column_formats })
        }),
    ];
    let answers = prop_oneof![
        text().prop_map(|tag| M::CommandComplete(backend::CommandComplete { tag })),
        values().prop_map(|columns| M::DataRow(backend::DataRow { columns })),
        report_body().prop_map(|body| M::ErrorResponse(
            ErrorResponse::decode(body).expect("made well-formed")
        )),
        prop::option::of(data())
            .prop_map(|value| M::FunctionCallResponse(backend::FunctionCallResponse { value })),
        report_body().prop_map(|body| M::NoticeResponse(
            NoticeResponse::decode(body).expect("made well-formed")
        )),
        (any::<u32>(), text(), text()).prop_map(|(pid, channel, payload)| {
            M::NotificationResponse(backend::NotificationResponse { pid, channel, payload })
        }),
        oids().prop_map(|types| M::ParameterDescription(backend::ParameterDescription { types })),
        prop::collection::vec(field(), 0..5)
            .prop_map(|fields| M::RowDescription(backend::RowDescription { fields })),
    ];
    prop_oneof![5 => login, 7 => empty, 4 => copies, 8 => answers]
}

/// Every tag that a client may send after its login.
pub(crate) const FROM_CLIENT: &[u8] = b"BCDEFHPQSXcdfp";

/// Every tag that a server may send.
pub(crate) const FROM_SERVER: &[u8] = b"123ACDEGHIKNRSTVWZcdnstv";

/// Takes exactly one message apart.
pub(crate) fn split(message: &[u8]) -> (Head, Bytes) {
    let head = Head::peek(message).expect("a sound head").expect("a whole head");
    assert_eq!(head.len, message.len(), "the length word tells the whole length");
    (head, Bytes::copy_from_slice(message.get(Head::SIZE..).expect("as long as its head")))
}

pub(crate) fn encoded(encode: impl FnOnce(&mut BytesMut)) -> BytesMut {
    let mut out = BytesMut::new();
    encode(&mut out);
    out
}
