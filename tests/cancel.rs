//! Cancel requests: they stop the query of the client that asked, and never another's.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use common::psql::start_psql;
use common::{Postgres, Setup, Signal, Weir, Wire, cancel, wait};

const CANCELED: &str = "57014";
const SLEEPING: &str = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND query LIKE '%pg_sleep%' AND state = 'active'";

fn start(server: &Postgres, pool_size: u32) -> Weir {
    Weir::setup()
        .server(server)
        .setting("pool_mode", "transaction")
        .setting("default_pool_size", pool_size)
        .start()
}

fn client(weir: &Weir) -> Wire {
    Wire::tcp(weir.port(), "app", "app").unwrap()
}

fn wait_sleeping(server: &Postgres, sleepers: u32) {
    wait::until(&format!("{sleepers} sleepers"), wait::DEADLINE, || {
        server.query(SLEEPING).one() == sleepers.to_string()
    });
}

#[test]
fn control_c_in_psql_stops_its_query_and_no_other() {
    let server = Setup::new().start();
    let weir = start(&server, 2);
    let mut other = client(&weir);
    other.start("SELECT pg_sleep(600), 'undisturbed'").unwrap();
    let mut psql = start_psql(&weir.login("app", "app"), "SELECT pg_sleep(600)");
    wait_sleeping(&server, 2);

    psql.signal(Signal::INT);
    let words = psql.finish().failed().to_owned();
    assert!(words.contains("canceling statement due to user request"), "{words}");
    wait_sleeping(&server, 1);

    cancel(weir.port(), other.key()).unwrap();
    assert_eq!(other.answer().unwrap_err().code(), CANCELED);
    assert_eq!(other.query("SELECT 1").unwrap().one(), "1");
    weir.stop();
}

#[test]
fn a_driver_cancels_its_own_query() {
    let server = Setup::new().start();
    let weir = start(&server, 1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let no_tls = tokio_postgres::NoTls;
        let (client, connection) =
            tokio_postgres::connect(&weir.url("app", "app"), no_tls).await.unwrap();
        let connection = tokio::spawn(connection);
        let token = client.cancel_token();
        let stop = async {
            while server.query(SLEEPING).one() != "1" {
                tokio::task::yield_now().await;
            }
            token.cancel_query(no_tls).await.unwrap();
        };
        let (query, ()) = tokio::join!(client.batch_execute("SELECT pg_sleep(600)"), stop);
        assert_eq!(query.unwrap_err().code().unwrap().code(), CANCELED);
        let row = client.query_one("SELECT 1", &[]).await.unwrap();
        assert_eq!(row.get::<_, i32>(0), 1);
        drop(client);
        connection.await.unwrap().unwrap();
    });
    weir.stop();
}

#[test]
fn a_cancel_for_an_idle_client_or_with_a_wrong_key_does_nothing() {
    let server = Setup::new().start();
    let weir = start(&server, 1);
    let (mut worker, mut idle) = (client(&weir), client(&weir));
    idle.query("SELECT 1").unwrap();
    worker.start("SELECT pg_sleep(600)").unwrap();
    wait_sleeping(&server, 1);
    let (process, secret) = worker.key();

    cancel(weir.port(), idle.key()).unwrap();
    cancel(weir.port(), (process, secret ^ 1)).unwrap();
    cancel(weir.port(), (process ^ 1, secret)).unwrap();
    cancel(weir.port(), (0, 0)).unwrap();
    assert_eq!(weir.metric("pgweir_cancel_requests_total", &[("result", "idle")]), Some(1.0));
    assert_eq!(weir.metric("pgweir_cancel_requests_total", &[("result", "unknown")]), Some(3.0));
    assert_eq!(server.query(SLEEPING).one(), "1");

    cancel(weir.port(), worker.key()).unwrap();
    assert_eq!(worker.answer().unwrap_err().code(), CANCELED);
    assert_eq!(idle.query("SELECT 2").unwrap().one(), "2");
    weir.stop();
}

#[test]
fn a_cancel_from_a_client_in_the_queue_does_not_reach_who_holds_the_server() {
    let server = Setup::new().start();
    let weir = start(&server, 1);
    let (mut holder, mut waiter) = (client(&weir), client(&weir));
    holder.start("SELECT pg_sleep(600)").unwrap();
    wait_sleeping(&server, 1);
    waiter.start("SELECT 'served'").unwrap();
    weir.wait_show("SHOW POOLS", "cl_waiting", "1");

    cancel(weir.port(), waiter.key()).unwrap();
    assert_eq!(server.query(SLEEPING).one(), "1");

    cancel(weir.port(), holder.key()).unwrap();
    assert_eq!(holder.answer().unwrap_err().code(), CANCELED);
    assert_eq!(waiter.answer().unwrap().one(), "served");
    weir.stop();
}

#[test]
fn random_cancels_never_stop_the_query_of_a_client_that_did_not_ask() {
    let server = Setup::new().start();
    let weir = start(&server, 2);
    let mut clients: Vec<_> = (0..20).map(|_| client(&weir)).collect();
    let keys: Vec<_> = clients.iter().map(Wire::key).collect();
    // Clients with an even number ask to be cancelled, those with an odd one never do.
    let asked: Vec<_> = keys.iter().map(|_| AtomicU32::new(0)).collect();
    let stopped: Vec<_> = keys.iter().map(|_| AtomicU32::new(0)).collect();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let victim = rand::random_range(0..10) * 2;
                    asked[victim].fetch_add(1, Ordering::SeqCst);
                    cancel(weir.port(), keys[victim]).unwrap();
                }
            });
        }
        let runs: Vec<_> = clients
            .iter_mut()
            .enumerate()
            .map(|(number, client)| {
                let (asked, stopped) = (&asked, &stopped);
                scope.spawn(move || {
                    for turn in 0..80 {
                        let tag = format!("{number}/{turn}");
                        let answer = client.query(&format!("SELECT '{tag}' FROM pg_sleep(0.004)"));
                        match answer {
                            Ok(rows) => assert_eq!(rows.one(), tag),
                            Err(error) => {
                                assert_eq!(error.code(), CANCELED, "{tag}: {error}");
                                let stopped = stopped[number].fetch_add(1, Ordering::SeqCst) + 1;
                                let asked = asked[number].load(Ordering::SeqCst);
                                assert!(
                                    stopped <= asked,
                                    "{tag}: stopped {stopped}, asked {asked}"
                                );
                            }
                        }
                    }
                })
            })
            .collect();
        let ends: Vec<_> = runs.into_iter().map(thread::ScopedJoinHandle::join).collect();
        over.store(true, Ordering::Relaxed);
        ends.into_iter().for_each(|end| end.unwrap());
    });
    let stopped: Vec<_> = stopped.iter().map(|count| count.load(Ordering::SeqCst)).collect();
    assert!(stopped.iter().sum::<u32>() > 0, "no cancel ever hit: the test shows nothing");
    assert_eq!(stopped.iter().skip(1).step_by(2).sum::<u32>(), 0, "{stopped:?}");
    weir.stop();
}

#[test]
fn a_cancel_that_comes_too_late_does_not_stop_the_next_client() {
    let server = Setup::new().start();
    let weir = start(&server, 1);
    let (mut asker, mut next) = (client(&weir), client(&weir));
    let (port, key) = (weir.port(), asker.key());
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    cancel(port, key).unwrap();
                }
            });
        }
        // Quick queries: most cancels are sent when theirs has just ended.
        let quick = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                if let Err(error) = asker.query("SELECT 1") {
                    assert_eq!(error.code(), CANCELED, "{error}");
                }
            }
        });
        let slow: Result<Vec<_>, _> =
            (0..300).map(|_| next.query("SELECT pg_sleep(0.002)")).collect();
        over.store(true, Ordering::Relaxed);
        quick.join().unwrap();
        slow.unwrap();
    });
    weir.stop();
}

#[test]
fn a_cancel_reaches_the_client_in_its_transaction_and_rollback_frees_the_server() {
    let server = Setup::new().start();
    let weir = start(&server, 1);
    let (mut first, mut second) = (client(&weir), client(&weir));
    first.query("BEGIN").unwrap();
    first.start("SELECT pg_sleep(600)").unwrap();
    wait_sleeping(&server, 1);
    second.start("SELECT 'served'").unwrap();
    weir.wait_show("SHOW POOLS", "cl_waiting", "1");
    cancel(weir.port(), first.key()).unwrap();
    assert_eq!(first.answer().unwrap_err().code(), CANCELED);
    assert_eq!(first.query("SELECT 1").unwrap_err().code(), "25P02");
    first.query("ROLLBACK").unwrap();
    assert_eq!(second.answer().unwrap().one(), "served");
    weir.stop();
}
