//! What `/metrics` costs where there are many pools: `POOLS` (1000) of them, each with a client and a server that have
//! worked. The time is that of the whole request, as a scraper sees it, and beside it pgweir's CPU time: on a machine that
//! has other things to do only that compares. Prints, and writes nothing.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark may fail loudly")]
#![allow(clippy::disallowed_methods, reason = "it measures real time")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use common::weir::http_get;
use common::{Weir, Wire};

/// How often it is scraped.
const SCRAPES: usize = 30;

/// What is to be kept, milliseconds for 1,000 pools.
const BOUND: f64 = 50.0;

fn main() {
    if std::env::args().any(|arg| arg == "--list" || arg == "--test") {
        return; // `cargo test --benches` asks
    }
    let pools = std::env::var("POOLS").map_or(1000, |pools| pools.parse().unwrap());
    let port = serve();
    for compat in ["pgbouncer_exporter", "off"] {
        let mut setup = Weir::setup()
            .setting("pool_mode", "transaction")
            .setting("max_client_conn", pools + 10)
            .setting("server_tls_sslmode", "disable")
            .setting("metrics_compat", compat);
        for pool in 0..pools {
            setup = setup
                .database(&format!("customer_{pool:04} = host=127.0.0.1 port={port} dbname=app"));
        }
        let weir = setup.start();
        let mut clients: Vec<Wire> = (0..pools)
            .map(|pool| Wire::tcp(weir.port(), "app", &format!("customer_{pool:04}")).unwrap())
            .collect();
        for _ in 0..3 {
            clients.iter_mut().for_each(|client| drop(client.query("SELECT 1").unwrap()));
        }
        let (mut times, mut size, mut samples) = (Vec::new(), 0, 0);
        let before = cpu(&weir);
        for _ in 0..SCRAPES {
            let begun = Instant::now();
            let (status, body) = http_get(weir.http(), "/metrics");
            times.push(begun.elapsed());
            assert_eq!(status, 200);
            size = body.len();
            samples = body.lines().filter(|line| !line.starts_with('#')).count();
        }
        let cpu = (cpu(&weir) - before) / SCRAPES as f64;
        times.sort();
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let median = ms(times[SCRAPES / 2]);
        println!(
            "{pools} pools, metrics_compat = {compat}: {median:.1} ms in the median ({:.1} to {:.1}), \
             {cpu:.1} ms of CPU, {samples} samples, {:.1} MB; bound {BOUND} ms: {}",
            ms(times[0]),
            ms(times[SCRAPES - 1]),
            size as f64 / 1e6,
            if median <= BOUND { "kept" } else { "exceeded" }
        );
        drop(clients);
        weir.stop();
    }
}

/// CPU time that pgweir has used, milliseconds.
fn cpu(weir: &Weir) -> f64 {
    let of_process = |text: String| -> f64 {
        let (_, fields) = text.rsplit_once(')').unwrap();
        let ticks = fields.split_whitespace().skip(11).take(2);
        ticks.map(|ticks| ticks.parse::<f64>().unwrap()).sum()
    };
    let stat = format!("/proc/{}/stat", weir.pid().as_raw_nonzero());
    let ticks_per_second = rustix::param::clock_ticks_per_second() as f64;
    of_process(std::fs::read_to_string(stat).unwrap()) * 1e3 / ticks_per_second
}

/// A server that lets everybody in and answers every query with nothing; its port.
fn serve() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let socket = socket.unwrap();
            std::thread::Builder::new().stack_size(64 * 1024).spawn(|| drop(talk(socket))).unwrap();
        }
    });
    port
}

fn talk(mut socket: TcpStream) -> io::Result<()> {
    const READY: &[u8] = b"Z\0\0\0\x05I";
    message(&mut socket, 0)?;
    // AuthenticationOk, BackendKeyData.
    socket.write_all(&[b"R\0\0\0\x08\0\0\0\0K\0\0\0\x0c\0\0\0\x07\0\0\0\x07", READY].concat())?;
    loop {
        match message(&mut socket, 1)? {
            b'Q' => socket.write_all(&[b"C\0\0\0\x0dSELECT 0\0", READY].concat())?,
            b'X' => return Ok(()),
            _ => {}
        }
    }
}

/// Reads a message whose length stands behind so many bytes; its first byte.
fn message(socket: &mut TcpStream, tag: usize) -> io::Result<u8> {
    let mut head = vec![0; tag + 4];
    socket.read_exact(&mut head)?;
    let length = u32::from_be_bytes(head[tag..].try_into().unwrap()) as usize;
    socket.read_exact(&mut vec![0; length - 4])?;
    Ok(head[0])
}
