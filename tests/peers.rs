//! Several poolers behind one address: a cancel request that reaches the wrong one is passed on.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use std::time::Duration;

use common::{Postgres, Setup, Weir, Wire, cancel, wait};

fn start(server: &Postgres, id: u16) -> Weir {
    Weir::setup().server(server).setting("pool_mode", "transaction").setting("peer_id", id).start()
}

/// Tells each of the others.
fn introduce(peers: &mut [Weir]) {
    let lines: Vec<String> = (1..)
        .zip(peers.iter())
        .map(|(id, peer)| format!("{id} = host=127.0.0.1 port={} pool_size=3", peer.port()))
        .collect();
    for peer in peers {
        peer.change(|setup| setup.section(&format!("[peers]\n{}", lines.join("\n"))));
        peer.reload();
    }
}

fn wait_sleeping(server: &Postgres) {
    let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND state = 'active' \
                    AND pid <> pg_backend_pid()";
    wait::until("a sleeper", wait::DEADLINE, || server.query(sleeping).one() == "1");
}

#[test]
fn a_cancel_request_finds_its_client_by_way_of_any_peer() {
    let server = Setup::new().start();
    let mut peers = [start(&server, 1), start(&server, 2), start(&server, 3)];
    introduce(&mut peers);
    let shown = peers[0].console("SHOW PEERS");
    assert_eq!(shown.get(1, "port"), peers[1].port().to_string());
    assert_eq!(shown.get(1, "pool_size"), "3");
    assert_eq!(peers[0].console("SHOW PEER_POOLS").rows.len(), 3);

    let mut client = Wire::tcp(peers[0].port(), "app", "app").unwrap();
    for through in [&peers[1], &peers[2], &peers[0]] {
        client.start("SELECT pg_sleep(600)").unwrap();
        wait_sleeping(&server);
        cancel(through.port(), client.key()).unwrap();
        assert_eq!(client.answer().unwrap_err().code(), "57014");
    }
    assert_eq!(client.query("SELECT 1").unwrap().one(), "1");
    for peer in peers {
        peer.stop();
    }
}

/// pgbouncer has peers since 1.19.
fn pgbouncer_with_peers() -> Option<std::path::PathBuf> {
    let program = common::weir::find_pgbouncer()?;
    let said = std::process::Command::new(&program).arg("-V").output().ok()?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let minor: u32 = said.strip_prefix("PgBouncer 1.")?.split('.').next()?.parse().ok()?;
    (minor >= 19).then_some(program)
}

#[test]
fn requests_are_passed_on_to_and_from_a_pgbouncer() {
    let Some(program) = pgbouncer_with_peers() else {
        eprintln!("SKIPPED: no pgbouncer from 1.19 on; set PGWEIR_PGBOUNCER");
        return;
    };
    let server = Setup::new().start();
    let setup = |id: u16| {
        Weir::setup().server(&server).setting("pool_mode", "transaction").setting("peer_id", id)
    };
    let theirs = setup(2).pgbouncer_at(&program).start();
    let peers = format!("[peers]\n2 = host=127.0.0.1 port={}", theirs.port());
    let ours = setup(1).section(&peers).start();
    let mut theirs = theirs;
    let port = ours.port();
    theirs.change(|setup| setup.section(&format!("[peers]\n1 = host=127.0.0.1 port={port}")));
    theirs.signal(common::Signal::HUP);
    theirs.wait_log("re-reading config");
    for (home, other) in [(&ours, &theirs), (&theirs, &ours)] {
        let mut client = Wire::tcp(home.port(), "app", "app").unwrap();
        client.start("SELECT pg_sleep(600)").unwrap();
        wait_sleeping(&server);
        cancel(other.port(), client.key()).unwrap();
        assert_eq!(client.answer().unwrap_err().code(), "57014");
    }
}

#[test]
fn a_request_for_a_peer_that_is_not_there_or_that_goes_round_ends() {
    let server = Setup::new().start();
    let mut peers = [start(&server, 1), start(&server, 2)];
    // Each believes that the third is the other.
    let [a, b] = &mut peers;
    let (port_a, port_b) = (a.port(), b.port());
    a.change(|setup| setup.section(&format!("[peers]\n3 = host=127.0.0.1 port={port_b}")));
    b.change(|setup| setup.section(&format!("[peers]\n3 = host=127.0.0.1 port={port_a}")));
    a.reload();
    b.reload();
    let lost = start(&server, 3);
    let mut client = Wire::tcp(lost.port(), "app", "app").unwrap();
    client.start("SELECT pg_sleep(600)").unwrap();
    wait_sleeping(&server);
    cancel(port_a, client.key()).unwrap();
    let unknown = [("result", "unknown")];
    wait::until("the end of the round", Duration::from_secs(30), || {
        let count =
            |weir: &Weir| weir.metric("pgweir_cancel_requests_total", &unknown).unwrap_or(0.0);
        count(&peers[0]) + count(&peers[1]) == 1.0
    });
    let sent = [("result", "sent")];
    let count = |weir: &Weir| weir.metric("pgweir_cancel_requests_total", &sent).unwrap_or(0.0);
    assert_eq!(count(&peers[0]) + count(&peers[1]), 3.0, "the key has room for three");
    cancel(lost.port(), client.key()).unwrap();
    assert_eq!(client.answer().unwrap_err().code(), "57014");
    for peer in peers {
        peer.stop();
    }
    lost.stop();
}

#[test]
fn clients_from_before_a_reload_gave_the_number_can_still_cancel() {
    let server = Setup::new().start();
    let mut weir = Weir::setup().server(&server).setting("pool_mode", "transaction").start();
    let mut client = Wire::tcp(weir.port(), "app", "app").unwrap();
    weir.change(|setup| setup.setting("peer_id", 7).section("[peers]\n8 = host=127.0.0.1 port=1"));
    weir.reload();
    client.start("SELECT pg_sleep(600)").unwrap();
    wait_sleeping(&server);
    cancel(weir.port(), client.key()).unwrap();
    assert_eq!(client.answer().unwrap_err().code(), "57014");
    weir.stop();
}
