//! Protocol versions: which a client gets, and the cancel keys that go with them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use std::time::Duration;

use common::raw::{self, Raw};
use common::scripted::reply;
use common::{ScriptedServer, Setup, Step, Weir, wait};

const VERSION_3: u32 = 3 << 16;

fn sleeping(server: &common::Postgres) -> bool {
    let asked = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(100)' AND state = 'active'";
    server.query(asked).one() == "1"
}

/// Each version with a cancel that must arrive by the key that was given, and by no other.
#[test]
fn each_protocol_version_has_its_cancel_keys_and_they_cancel() {
    let server = Setup::new().start();
    let weir = Weir::setup().server(&server).setting("pool_mode", "transaction").start();
    for (asked, negotiated, key) in [
        (0, None, 4),
        (1, Some(VERSION_3), 4),
        (2, None, 32),
        (3, Some(VERSION_3 | 2), 32),
        (9999, Some(VERSION_3 | 2), 32),
    ] {
        let (mut client, welcome) = Raw::login(weir.port(), asked, &[]).unwrap();
        assert_eq!(welcome.negotiated.as_ref().map(|told| told.version), negotiated, "3.{asked}");
        assert_eq!(welcome.key.len(), key, "3.{asked}");
        client.start("SELECT pg_sleep(100)");
        wait::until("the query runs", Duration::from_secs(20), || sleeping(&server));
        for wrong in [&[7; 4][..], &[7; 32], &[7; 256], &[&welcome.key[..], &[0]].concat()] {
            raw::cancel(weir.port(), welcome.pid, wrong);
        }
        assert!(sleeping(&server), "a wrong key cancels nothing");
        raw::cancel(weir.port(), welcome.pid, &welcome.key);
        assert_eq!(client.answer().code(), "57014", "3.{asked}");
    }
    weir.stop();
}

#[test]
fn protocol_options_are_named_as_unknown_and_the_login_goes_on() {
    let server = Setup::new().start();
    let weir = Weir::setup().server(&server).start();
    let options = [("_pq_.first", "on"), ("application_name", "me"), ("_pq_.second", "")];
    for (minor, version) in [(0, VERSION_3), (2, VERSION_3 | 2)] {
        let (mut client, welcome) = Raw::login(weir.port(), minor, &options).unwrap();
        let told = welcome.negotiated.unwrap();
        assert_eq!(told.version, version);
        assert_eq!(told.unknown_options, [&b"_pq_.first"[..], b"_pq_.second"]);
        assert_eq!(client.value("SELECT 1"), "1");
    }
    // The console too.
    let mut console = Raw::connect(weir.port());
    console.startup(9999, &[("user", "app"), ("database", "pgbouncer")]);
    let told = console.read().unwrap();
    assert_eq!(told.0, b'v');
    weir.stop();
}

/// A server that speaks 3.2 may give a key of up to 256 bytes; it must come back to it whole.
#[test]
fn a_servers_long_cancel_key_is_kept_and_sent_back() {
    let key: Vec<u8> = (0..=255).collect();
    let data = reply::message(b'K', &[&77_u32.to_be_bytes()[..], &key].concat());
    let server = ScriptedServer::start_each(move |connection| match connection {
        0 => vec![
            Step::Startup,
            Step::Send([reply::authentication_ok(), data.clone(), reply::ready(b'I')].concat()),
            Step::Message(b'Q'),
            Step::Hang,
        ],
        _ => vec![Step::Startup],
    });
    let weir = Weir::setup()
        .database(&format!("app = host=127.0.0.1 port={} dbname=app", server.port()))
        .start();
    let (mut client, welcome) = Raw::login(weir.port(), 0, &[]).unwrap();
    client.start("SELECT pg_sleep(100)");
    wait::until("the query runs", Duration::from_secs(20), || server.seen()[0].done);
    raw::cancel(weir.port(), welcome.pid, &welcome.key);
    let request = [&80_877_102_u32.to_be_bytes()[..], &77_u32.to_be_bytes(), &key].concat();
    wait::until("the server gets the request", Duration::from_secs(20), || {
        server.seen().iter().any(|seen| seen.bytes.ends_with(&request))
    });
    drop(client);
    weir.stop();
}
