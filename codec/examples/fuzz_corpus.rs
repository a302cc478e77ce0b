//! Writes the seeds of the fuzz targets, one message or short exchange a file, to fuzz/corpus:
//! `cargo run -p pgweir-codec --example fuzz_corpus`

use std::path::Path;
use std::{fs, io};

use bytes::{Bytes, BytesMut};
use pgweir_codec::backend::{self, Authentication, ErrorResponse, Severity, TransactionStatus};
use pgweir_codec::frontend::{self, Target};
use pgweir_codec::sqlstate::SqlState;
use pgweir_codec::startup::{CancelRequest, StartupMessage, StartupPacket};

fn main() -> io::Result<()> {
    for (name, packet) in startup() {
        let mut bytes = BytesMut::new();
        packet.encode(&mut bytes);
        write("startup", name, &bytes)?;
    }
    for (name, messages) in frontend() {
        let mut bytes = BytesMut::new();
        messages.iter().for_each(|message| message.encode(&mut bytes));
        write("frontend", name, &bytes)?;
    }
    for (name, messages) in backend() {
        let mut bytes = BytesMut::new();
        messages.iter().for_each(|message| message.encode(&mut bytes));
        write("backend", name, &bytes)?;
    }
    Ok(())
}

fn write(target: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), bytes)
}

fn text(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn startup() -> Vec<(&'static str, StartupPacket)> {
    let parameters = vec![
        (text("user"), text("postgres")),
        (text("database"), text("postgres")),
        (text("application_name"), text("psql")),
        (text("options"), text("-c search_path=a,b")),
        (text("_pq_.command_tag_format"), text("1")),
    ];
    vec![
        ("ssl_request", StartupPacket::Ssl),
        ("gssenc_request", StartupPacket::GssEnc),
        ("cancel_3_0", StartupPacket::Cancel(CancelRequest { pid: 4711, key: text("k3y!") })),
        (
            "cancel_3_2",
            StartupPacket::Cancel(CancelRequest { pid: 4711, key: Bytes::from(vec![7; 32]) }),
        ),
        ("startup_3_2", StartupPacket::Startup(StartupMessage { major: 3, minor: 2, parameters })),
    ]
}

fn frontend() -> Vec<(&'static str, Vec<frontend::Message>)> {
    use frontend::Message as M;
    let query = |sql| M::Query(frontend::Query { text: text(sql) });
    let parse = M::Parse(frontend::Parse {
        name: text("s1"),
        query: text("SELECT * FROM t WHERE id = $1"),
        types: vec![20],
    });
    let bind = M::Bind(frontend::Bind {
        portal: text("p1"),
        statement: text("s1"),
        parameter_formats: vec![1, 0],
        parameters: vec![Some(Bytes::from_static(&[0, 0, 0, 0, 0, 0, 0, 7])), None],
        result_formats: vec![1],
    });
    let describe = |target| M::Describe(frontend::Describe { target, name: text("s1") });
    let execute = M::Execute(frontend::Execute { portal: text("p1"), max_rows: 0 });
    let close = M::Close(frontend::Close { target: Target::Portal, name: text("p1") });
    let call = M::FunctionCall(frontend::FunctionCall {
        function: 952,
        argument_formats: vec![1],
        arguments: vec![Some(Bytes::from_static(&[0, 0, 0, 1]))],
        result_format: 1,
    });
    let data = M::CopyData(frontend::CopyData { data: text("1\tone\n") });
    let fail = M::CopyFail(frontend::CopyFail { reason: text("no more") });
    let password = M::Password(frontend::PasswordMessage {
        data: text("md5d41d8cd98f00b204e9800998ecf8427e\0"),
    });
    let mut initial = BytesMut::new();
    frontend::SaslInitialResponse {
        mechanism: text("SCRAM-SHA-256"),
        data: Some(text("n,,n=,r=fyko+d2lbbFgONRv9qkxdawL")),
    }
    .encode(&mut initial);
    let sasl = M::Password(frontend::PasswordMessage { data: initial.freeze().slice(5..) });
    vec![
        ("query", vec![query("BEGIN; SELECT 1"), query("COMMIT")]),
        (
            "extended",
            vec![
                parse,
                describe(Target::Statement),
                bind,
                describe(Target::Portal),
                execute,
                close,
                M::Flush(frontend::Flush),
                M::Sync(frontend::Sync),
            ],
        ),
        (
            "copy_in",
            vec![query("COPY t FROM STDIN"), data.clone(), M::CopyDone(frontend::CopyDone)],
        ),
        ("copy_fail", vec![data, fail]),
        ("function_call", vec![call]),
        ("password", vec![password]),
        ("sasl_initial_response", vec![sasl]),
        ("terminate", vec![M::Terminate(frontend::Terminate)]),
    ]
}

fn backend() -> Vec<(&'static str, Vec<backend::Message>)> {
    use backend::Message as M;
    let ready = |status| M::ReadyForQuery(backend::ReadyForQuery { status });
    let done = |tag| M::CommandComplete(backend::CommandComplete { tag: text(tag) });
    let setting = |name, value| {
        M::ParameterStatus(backend::ParameterStatus { name: text(name), value: text(value) })
    };
    let column = backend::FieldDescription {
        name: text("id"),
        table: 16_384,
        column: 1,
        type_oid: 20,
        type_size: 8,
        type_modifier: -1,
        format: 0,
    };
    let columns = M::RowDescription(backend::RowDescription { fields: vec![column; 2] });
    let row = M::DataRow(backend::DataRow { columns: vec![Some(text("7")), None] });
    let error =
        ErrorResponse::new(Severity::Error, SqlState::SYNTAX_ERROR, "syntax error at \"x\"")
            .detail("It is not SQL.")
            .hint("Write SQL.");
    let notice = backend::NoticeResponse::new(
        Severity::Warning,
        SqlState::INVALID_SQL_STATEMENT_NAME,
        "there is no transaction in progress",
    );
    let notification = M::NotificationResponse(backend::NotificationResponse {
        pid: 4711,
        channel: text("jobs"),
        payload: text("42"),
    });
    let mechanisms = vec![text("SCRAM-SHA-256-PLUS"), text("SCRAM-SHA-256")];
    let copy_in = backend::CopyInResponse { format: 0, column_formats: vec![0, 0] };
    let copy_out = backend::CopyOutResponse { format: 1, column_formats: vec![1] };
    let copy_both = backend::CopyBothResponse { format: 0, column_formats: vec![] };
    let data = M::CopyData(backend::CopyData { data: text("1\tone\n") });
    vec![
        (
            "login",
            vec![
                M::Authentication(Authentication::Sasl { mechanisms }),
                M::Authentication(Authentication::SaslContinue {
                    data: text("r=fyko,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"),
                }),
                M::Authentication(Authentication::SaslFinal { data: text("v=6rriTRBi23WpRR") }),
                M::Authentication(Authentication::Ok),
                setting("server_version", "18.0"),
                setting("client_encoding", "UTF8"),
                M::BackendKeyData(backend::BackendKeyData {
                    pid: 4711,
                    key: Bytes::from(vec![7; 32]),
                }),
                ready(TransactionStatus::Idle),
            ],
        ),
        ("md5", vec![M::Authentication(Authentication::Md5Password { salt: *b"salt" })]),
        ("password", vec![M::Authentication(Authentication::CleartextPassword)]),
        ("gss", vec![M::Authentication(Authentication::Other { code: 8, data: text("token") })]),
        (
            "negotiate",
            vec![M::NegotiateProtocolVersion(backend::NegotiateProtocolVersion {
                version: 3 << 16,
                unknown_options: vec![text("_pq_.command_tag_format")],
            })],
        ),
        (
            "rows",
            vec![
                columns.clone(),
                row.clone(),
                row.clone(),
                done("SELECT 2"),
                ready(TransactionStatus::Active),
            ],
        ),
        (
            "extended",
            vec![
                M::ParseComplete(backend::ParseComplete),
                M::ParameterDescription(backend::ParameterDescription { types: vec![20, 25] }),
                columns,
                M::BindComplete(backend::BindComplete),
                M::NoData(backend::NoData),
                row,
                M::PortalSuspended(backend::PortalSuspended),
                M::EmptyQueryResponse(backend::EmptyQueryResponse),
                M::CloseComplete(backend::CloseComplete),
                ready(TransactionStatus::Idle),
            ],
        ),
        ("error", vec![M::ErrorResponse(error), ready(TransactionStatus::Failed)]),
        ("notice", vec![M::NoticeResponse(notice), notification]),
        ("copy_in", vec![M::CopyInResponse(copy_in)]),
        (
            "copy_out",
            vec![
                M::CopyOutResponse(copy_out),
                data,
                M::CopyDone(backend::CopyDone),
                done("COPY 1"),
            ],
        ),
        ("copy_both", vec![M::CopyBothResponse(copy_both)]),
        (
            "function_call",
            vec![M::FunctionCallResponse(backend::FunctionCallResponse { value: Some(text("1")) })],
        ),
    ]
}
