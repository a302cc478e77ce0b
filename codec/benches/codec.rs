//! What the codec costs: heads of a result, typical messages, an error of our own.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pgweir_codec::backend::{self, DataRow, ErrorResponse, Severity};
use pgweir_codec::frontend::{self, Bind, Parse};
use pgweir_codec::head::Head;
use pgweir_codec::sqlstate::SqlState;

fn row() -> DataRow {
    let value = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
    DataRow { columns: vec![value("1048576"), value("somebody@example.org"), None, value("t")] }
}

/// The body of what is encoded.
fn body(encode: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut message = BytesMut::new();
    encode(&mut message);
    message.split_off(Head::SIZE).freeze()
}

fn scan(mut stream: &[u8]) -> usize {
    let mut count = 0;
    while let Ok(Some(head)) = Head::peek(stream) {
        count += 1;
        stream = stream.get(head.len..).unwrap_or_default();
    }
    count
}

fn heads(criterion: &mut Criterion) {
    let mut stream = BytesMut::new();
    (0..1000).for_each(|_| row().encode(&mut stream));
    let mut group = criterion.benchmark_group("heads");
    group.throughput(Throughput::Elements(1000));
    group.bench_function("of 1000 DataRows", |bencher| bencher.iter(|| scan(black_box(&stream))));
    group.finish();
}

fn decoding(criterion: &mut Criterion) {
    let parse = body(|out| {
        let query = Bytes::from_static(b"SELECT id, mail FROM account WHERE id = $1 AND active");
        Parse { name: Bytes::from_static(b"s1"), query, types: vec![20] }.encode(out);
    });
    let bind = body(|out| {
        let message = Bind {
            portal: Bytes::new(),
            statement: Bytes::from_static(b"s1"),
            parameter_formats: vec![1],
            parameters: vec![Some(Bytes::from_static(&[0; 8]))],
            result_formats: vec![1],
        };
        message.encode(out);
    });
    let row = body(|out| row().encode(out));
    let status = body(|out| backend::parameter_status::write(out, b"TimeZone", b"Etc/UTC"));

    let mut group = criterion.benchmark_group("decode");
    group.bench_function("Parse", |bencher| {
        bencher.iter(|| Parse::decode(black_box(parse.clone())))
    });
    group.bench_function("Parse in place", |bencher| {
        bencher.iter(|| frontend::parse::peek(black_box(&parse)).is_ok());
    });
    group.bench_function("Bind", |bencher| bencher.iter(|| Bind::decode(black_box(bind.clone()))));
    group.bench_function("Bind, names in place", |bencher| {
        bencher.iter(|| frontend::bind::peek_names(black_box(&bind)).is_ok());
    });
    group.bench_function("DataRow", |bencher| {
        bencher.iter(|| DataRow::decode(black_box(row.clone())))
    });
    group.bench_function("ParameterStatus in place", |bencher| {
        bencher.iter(|| backend::parameter_status::peek(black_box(&status)).is_ok());
    });
    group.bench_function("ReadyForQuery in place", |bencher| {
        bencher.iter(|| backend::ready_for_query::peek(black_box(b"I")));
    });
    group.finish();
}

fn encoding(criterion: &mut Criterion) {
    let mut out = BytesMut::with_capacity(1024);
    criterion.bench_function("encode/ErrorResponse of our own", |bencher| {
        bencher.iter(|| {
            out.clear();
            ErrorResponse::new(
                Severity::Fatal,
                SqlState::TOO_MANY_CONNECTIONS,
                "no more connections allowed",
            )
            .detail("max_client_conn")
            .encode(black_box(&mut out));
        });
    });
}

criterion_group!(benches, heads, decoding, encoding);
criterion_main!(benches);
