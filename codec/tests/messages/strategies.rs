//! Arbitrary messages of every type.

use bytes::{Bytes, BytesMut};
use pgweir_codec::frontend::{self, Target};
use pgweir_codec::sqlstate::SqlState;
use pgweir_codec::startup::{CancelRequest, StartupMessage, StartupPacket};
use pgweir_codec::{backend, head::Head};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// A text: any bytes but zero.
pub(crate) fn text() -> impl Strategy<Value = Bytes> {
    vec(1..=u8::MAX, 0..12).prop_map(Bytes::from)
}

fn name() -> impl Strategy<Value = Bytes> {
    vec(1..=u8::MAX, 1..12).prop_map(Bytes::from)
}

pub(crate) fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..24).prop_map(Bytes::from)
}

fn values() -> impl Strategy<Value = Vec<Option<Bytes>>> {
    vec(option::of(bytes()), 0..6)
}

fn formats() -> impl Strategy<Value = Vec<i16>> {
    vec(any::<i16>(), 0..6)
}

fn oids() -> impl Strategy<Value = Vec<u32>> {
    vec(any::<u32>(), 0..6)
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![Just(Target::Statement), Just(Target::Portal)]
}

fn key() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 4..=256).prop_map(Bytes::from)
}

pub(crate) fn parse() -> impl Strategy<Value = frontend::Parse> {
    (text(), text(), oids()).prop_map(|(name, query, types)| frontend::Parse { name, query, types })
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

fn function_call() -> impl Strategy<Value = frontend::FunctionCall> {
    (any::<u32>(), formats(), values(), any::<i16>()).prop_map(
        |(function, argument_formats, arguments, result_format)| frontend::FunctionCall {
            function,
            argument_formats,
            arguments,
            result_format,
        },
    )
}

pub(crate) fn sasl_initial_response() -> impl Strategy<Value = frontend::SaslInitialResponse> {
    (name(), option::of(bytes()))
        .prop_map(|(mechanism, data)| frontend::SaslInitialResponse { mechanism, data })
}

/// Any message of a client.
pub(crate) fn frontend_message() -> impl Strategy<Value = frontend::Message> {
    use frontend::Message as M;
    prop_oneof![
        bind().prop_map(M::Bind),
        (target(), text()).prop_map(|(target, name)| M::Close(frontend::Close { target, name })),
        bytes().prop_map(|data| M::CopyData(frontend::CopyData { data })),
        Just(M::CopyDone(frontend::CopyDone)),
        text().prop_map(|reason| M::CopyFail(frontend::CopyFail { reason })),
        (target(), text())
            .prop_map(|(target, name)| M::Describe(frontend::Describe { target, name })),
        (text(), any::<i32>())
            .prop_map(|(portal, max_rows)| M::Execute(frontend::Execute { portal, max_rows })),
        prop_oneof![
            Just(M::Flush(frontend::Flush)),
            Just(M::Sync(frontend::Sync)),
            Just(M::Terminate(frontend::Terminate)),
        ],
        prop_oneof![
            function_call().prop_map(M::FunctionCall),
            bytes().prop_map(|data| M::Password(frontend::PasswordMessage { data })),
        ],
        parse().prop_map(M::Parse),
        text().prop_map(|text| M::Query(frontend::Query { text })),
    ]
}

fn authentication() -> impl Strategy<Value = backend::Authentication> {
    use backend::Authentication as A;
    prop_oneof![
        Just(A::Ok),
        Just(A::CleartextPassword),
        any::<[u8; 4]>().prop_map(|salt| A::Md5Password { salt }),
        vec(name(), 0..4).prop_map(|mechanisms| A::Sasl { mechanisms }),
        bytes().prop_map(|data| A::SaslContinue { data }),
        bytes().prop_map(|data| A::SaslFinal { data }),
        prop_oneof![Just(2), Just(6), Just(7), Just(9)]
            .prop_map(|code| A::Other { code, data: Bytes::new() }),
        bytes().prop_map(|data| A::Other { code: 8, data }),
    ]
}

/// The body of an ErrorResponse or NoticeResponse.
pub(crate) fn report_body() -> impl Strategy<Value = Bytes> {
    vec((1..=u8::MAX, text()), 0..8).prop_map(|fields| report_body_of(&fields))
}

pub(crate) fn report_body_of(fields: &[(u8, Bytes)]) -> Bytes {
    let mut body = BytesMut::new();
    for (letter, text) in fields {
        body.extend_from_slice(&[*letter]);
        body.extend_from_slice(text);
        body.extend_from_slice(&[0]);
    }
    body.extend_from_slice(&[0]);
    body.freeze()
}

fn column() -> impl Strategy<Value = backend::FieldDescription> {
    (text(), any::<(u32, i16, u32, i16, i32, i16)>()).prop_map(
        |(name, (table, column, type_oid, type_size, type_modifier, format))| {
            backend::FieldDescription {
                name,
                table,
                column,
                type_oid,
                type_size,
                type_modifier,
                format,
            }
        },
    )
}

fn copy_response() -> impl Strategy<Value = backend::Message> {
    use backend::Message as M;
    (0..3, any::<u8>(), formats()).prop_map(|(which, format, column_formats)| match which {
        0 => M::CopyInResponse(backend::CopyInResponse { format, column_formats }),
        1 => M::CopyOutResponse(backend::CopyOutResponse { format, column_formats }),
        _ => M::CopyBothResponse(backend::CopyBothResponse { format, column_formats }),
    })
}

fn empty_backend_message() -> impl Strategy<Value = backend::Message> {
    use backend::Message as M;
    prop_oneof![
        Just(M::BindComplete(backend::BindComplete)),
        Just(M::CloseComplete(backend::CloseComplete)),
        Just(M::CopyDone(backend::CopyDone)),
        Just(M::EmptyQueryResponse(backend::EmptyQueryResponse)),
        Just(M::NoData(backend::NoData)),
        Just(M::ParseComplete(backend::ParseComplete)),
        Just(M::PortalSuspended(backend::PortalSuspended)),
    ]
}

fn status() -> impl Strategy<Value = backend::TransactionStatus> {
    use backend::TransactionStatus as T;
    prop_oneof![Just(T::Idle), Just(T::Active), Just(T::Failed)]
}

fn report() -> impl Strategy<Value = backend::Message> {
    use backend::Message as M;
    prop_oneof![
        report_body().prop_map(|body| {
            M::ErrorResponse(backend::ErrorResponse::decode(body).expect("a sound body"))
        }),
        report_body().prop_map(|body| {
            M::NoticeResponse(backend::NoticeResponse::decode(body).expect("a sound body"))
        }),
        text().prop_map(|text| {
            let code = SqlState::SYNTAX_ERROR;
            M::ErrorResponse(
                backend::ErrorResponse::new(backend::Severity::Error, code, &text).hint("none"),
            )
        }),
    ]
}

/// Any message of a server.
pub(crate) fn backend_message() -> impl Strategy<Value = backend::Message> {
    use backend::Message as M;
    prop_oneof![
        authentication().prop_map(M::Authentication),
        (any::<u32>(), key())
            .prop_map(|(pid, key)| M::BackendKeyData(backend::BackendKeyData { pid, key })),
        empty_backend_message(),
        text().prop_map(|tag| M::CommandComplete(backend::CommandComplete { tag })),
        copy_response(),
        bytes().prop_map(|data| M::CopyData(backend::CopyData { data })),
        values().prop_map(|columns| M::DataRow(backend::DataRow { columns })),
        report(),
        prop_oneof![
            option::of(bytes())
                .prop_map(|value| M::FunctionCallResponse(backend::FunctionCallResponse { value })),
            (any::<u32>(), vec(text(), 0..4)).prop_map(|(version, unknown_options)| {
                M::NegotiateProtocolVersion(backend::NegotiateProtocolVersion {
                    version,
                    unknown_options,
                })
            }),
            (any::<u32>(), text(), text()).prop_map(|(pid, channel, payload)| {
                M::NotificationResponse(backend::NotificationResponse { pid, channel, payload })
            }),
            oids()
                .prop_map(|types| M::ParameterDescription(backend::ParameterDescription { types })),
            (text(), text()).prop_map(|(name, value)| M::ParameterStatus(
                backend::ParameterStatus { name, value }
            )),
        ],
        status().prop_map(|status| M::ReadyForQuery(backend::ReadyForQuery { status })),
        vec(column(), 0..4)
            .prop_map(|fields| M::RowDescription(backend::RowDescription { fields })),
    ]
}

/// Any packet that opens a connection.
pub(crate) fn startup_packet() -> impl Strategy<Value = StartupPacket> {
    prop_oneof![
        Just(StartupPacket::Ssl),
        Just(StartupPacket::GssEnc),
        (any::<u32>(), key())
            .prop_map(|(pid, key)| StartupPacket::Cancel(CancelRequest { pid, key })),
        (any::<u16>(), vec((name(), text()), 0..8)).prop_map(|(minor, parameters)| {
            StartupPacket::Startup(StartupMessage { major: 3, minor, parameters })
        }),
    ]
}

/// What `encode` appends.
pub(crate) fn encoded(encode: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::new();
    encode(&mut out);
    out.freeze()
}

/// Tag and body of one whole message.
pub(crate) fn taken_apart(message: &Bytes) -> (u8, Bytes) {
    let head = Head::peek(message).expect("a sound head").expect("a whole head");
    assert_eq!(head.len, message.len(), "the head counts the whole message");
    (head.tag, message.slice(Head::SIZE..))
}
