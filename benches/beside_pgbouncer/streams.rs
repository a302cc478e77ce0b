//! Much data through one client: a large result, COPY out, COPY in.

use std::time::{Duration, Instant};

use crate::client::Client;
use crate::measure::{Measure, Sample};
use crate::poolers::Pooler;
use crate::process::cpu_us;

/// Which way the data goes. Each transfer has 100 MB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    /// DataRows of 10 KB: all that counts is moving bytes.
    LongRows,
    /// DataRows of 100 bytes: each has a head to look at.
    ShortRows,
    /// CopyData of 100 bytes to the client.
    CopyOut,
    /// CopyData of 8 KB from the client, as psql sends it, in writes of 64 KB.
    CopyIn,
}

const LONG_ROWS: &str = "SELECT repeat('x', 10000) FROM generate_series(1, 10000)";
const SHORT_ROWS: &str = "SELECT repeat('x', 99) FROM generate_series(1, 1000000)";
/// The server reads the lines, and then has no place for them: what counts is the way to it.
const COPY_IN: &str = "COPY pgbench_tellers (filler) FROM STDIN WHERE false";
const TRANSFER: usize = 100_000_000;
/// One read of the client.
const BLOCK: usize = 256 * 1024;

/// Transfers one after the other for `length` at least.
pub(crate) fn round(pooler: &Pooler, stream: Stream, length: Duration) -> Sample {
    let mut client = Client::plain(pooler.port());
    let mut block = vec![0; BLOCK];
    let copy_data = copy_data();
    let mut bytes = 0.0;
    let (from, before) = (Instant::now(), cpu_us(pooler.pid()));
    while from.elapsed() < length {
        bytes += match stream {
            Stream::LongRows => receive(&mut client, LONG_ROWS, &mut block),
            Stream::ShortRows => receive(&mut client, SHORT_ROWS, &mut block),
            Stream::CopyOut => {
                receive(&mut client, &format!("COPY ({SHORT_ROWS}) TO STDOUT"), &mut block)
            }
            Stream::CopyIn => send(&mut client, &copy_data, &mut block),
        };
    }
    let (seconds, cpu) = (from.elapsed().as_secs_f64(), cpu_us(pooler.pid()) - before);
    Sample::from([
        (Measure::Throughput, bytes / seconds / 1e6),
        (Measure::CpuPerGb, cpu / bytes * 1e3),
    ])
}

fn receive(client: &mut Client, sql: &str, block: &mut [u8]) -> f64 {
    client.query(sql);
    client.until(b'Z', block) as f64
}

fn send(client: &mut Client, copy_data: &[u8], block: &mut [u8]) -> f64 {
    client.query(COPY_IN);
    client.until(b'G', block);
    let writes = TRANSFER.div_ceil(copy_data.len());
    for _ in 0..writes {
        client.send(copy_data);
    }
    client.send(&[b'c', 0, 0, 0, 4]);
    client.until(b'Z', block);
    (writes * copy_data.len()) as f64
}

/// Eight messages of 8 KB with lines of 64 bytes.
fn copy_data() -> Vec<u8> {
    const BODY: usize = 8192;
    let line = [b"y".repeat(63), b"\n".to_vec()].concat();
    let length = u32::try_from(BODY + 4).unwrap().to_be_bytes();
    [b"d", length.as_slice(), &line.repeat(BODY / line.len())].concat().repeat(8)
}
