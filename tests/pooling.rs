//! Pooling against a real server: who gets which server, when, and whose reply is whose.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use common::{Postgres, Setup, Weir, Wire, pgbench, psql};

#[test]
fn psql_reaches_the_server_in_transaction_mode() {
    let server = Setup::new().start();
    let weir = Weir::setup().server(&server).setting("pool_mode", "transaction").start();
    let answer = psql(&weir.login("app", "app"), "SELECT 40 + 2");
    assert_eq!(answer.ok().trim(), "42");
    weir.stop();
}

#[test]
fn pgbench_runs_in_every_query_mode() {
    let server = Setup::new().start();
    let weir = Weir::setup().server(&server).setting("pool_mode", "transaction").start();
    let login = weir.login("app", "app");
    pgbench(&login, &["-i", "-q"]).ok();
    for mode in ["simple", "extended", "prepared"] {
        for script in ["-S", "-N"] {
            // As many clients as servers: pgbench prepares with a blocking call in the middle of its transactions, so
            // with fewer servers it would wait for itself, whatever pooler is in between.
            let run =
                pgbench(&login, &[script, "-M", mode, "-c", "20", "-j", "2", "-t", "100", "-n"]);
            assert!(run.ok().contains("number of failed transactions: 0"), "{run:?}");
        }
    }
    weir.stop();
}

/// Every reply must be the asker's own, whatever the pool does with connections.
#[test]
fn two_hundred_clients_on_five_servers_each_get_their_own_replies() {
    const CLIENTS: usize = 200;
    const TRANSACTIONS: usize = 500;
    let server = Setup::new().start();
    let weir = Weir::setup()
        .server(&server)
        .setting("pool_mode", "transaction")
        .setting("default_pool_size", "5")
        .setting("max_client_conn", "300")
        .setting("workers", "2")
        .start();
    let url = weir.url("app", "app");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let asked = runtime.block_on(async {
        let mut clients = tokio::task::JoinSet::new();
        for client in 0..CLIENTS {
            clients.spawn(tagged_client(url.clone(), client, TRANSACTIONS));
        }
        let mut asked = 0;
        while let Some(done) = clients.join_next().await {
            asked += done.unwrap();
        }
        asked
    });
    assert_eq!(asked, CLIENTS * TRANSACTIONS);
    let servers = server.query("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'");
    assert!(servers.one().parse::<u32>().unwrap() <= 5, "pool_size is exact");
    weir.stop();
}

/// Simple and extended queries, single statements and transaction blocks in turn, each with a tag of its own.
async fn tagged_client(url: String, client: usize, transactions: usize) -> usize {
    let (mut session, connection) =
        tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let prepared = session.prepare("SELECT $1::text || ' prepared'").await.unwrap();
    for number in 0..transactions {
        let tag = format!("client {client} number {number}");
        match number % 4 {
            0 => {
                let rows = session.simple_query(&format!("SELECT '{tag}'")).await.unwrap();
                let value = rows.iter().find_map(|message| match message {
                    tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                    _ => None,
                });
                assert_eq!(value.as_deref(), Some(tag.as_str()));
            }
            1 => {
                let row = session.query_one(&prepared, &[&tag]).await.unwrap();
                assert_eq!(row.get::<_, String>(0), format!("{tag} prepared"));
            }
            2 => {
                let block = session.transaction().await.unwrap();
                let first = block.query_one("SELECT $1::text", &[&tag]).await.unwrap();
                let second = block.query_one(&prepared, &[&tag]).await.unwrap();
                assert_eq!(first.get::<_, String>(0), tag);
                assert_eq!(second.get::<_, String>(0), format!("{tag} prepared"));
                block.commit().await.unwrap();
            }
            // Pipelined: both are under way at once.
            _ => {
                let (other, params): (String, [&(dyn tokio_postgres::types::ToSql + Sync); 1]) =
                    (tag.clone(), [&tag]);
                let other_params: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&other];
                let (a, b) = tokio::join!(
                    session.query_one(&prepared, &params),
                    session.query_one(&prepared, &other_params)
                );
                let expected = format!("{tag} prepared");
                assert_eq!(a.unwrap().get::<_, String>(0), expected);
                assert_eq!(b.unwrap().get::<_, String>(0), expected);
            }
        }
    }
    drop(session);
    connection.await.unwrap().unwrap();
    transactions
}

/// One client before one server, which has to be checked whenever it was idle.
fn start_with_check(query: &str, delay: &str) -> (Postgres, Weir, Wire) {
    let server = Setup::new().start();
    let weir = Weir::setup()
        .server(&server)
        .setting("pool_mode", "transaction")
        .setting("default_pool_size", 1)
        .setting("server_check_delay", delay)
        .setting("server_check_query", query)
        .start();
    let wire = Wire::tcp(weir.port(), "app", "app").unwrap();
    (server, weir, wire)
}

#[test]
fn a_server_that_was_idle_is_checked_before_its_use_and_stays_if_it_passes() {
    let (_server, weir, mut wire) = start_with_check("SET work_mem = 7777", "0");
    let pid = wire.query("SELECT pg_backend_pid()").unwrap().one().to_owned();
    assert_eq!(wire.query("SHOW work_mem").unwrap().one(), "7777kB");
    assert_eq!(wire.query("SELECT pg_backend_pid()").unwrap().one(), pid);
    weir.stop();
}

#[test]
fn a_server_that_fails_its_check_is_replaced_and_no_client_notices() {
    let (_server, weir, mut wire) = start_with_check("SELECT 1/0", "0");
    let pid = wire.query("SELECT pg_backend_pid()").unwrap().one().to_owned();
    assert_ne!(wire.query("SELECT pg_backend_pid()").unwrap().one(), pid);
    weir.wait_log("server_check_query failed: division by zero");
    weir.wait_log("closing because: test query failed");
    weir.console("SET server_check_query = ''");
    let pid = wire.query("SELECT pg_backend_pid()").unwrap().one().to_owned();
    assert_eq!(wire.query("SELECT pg_backend_pid()").unwrap().one(), pid);
    weir.stop();
}

#[test]
fn a_server_is_used_once_it_was_idle_for_server_check_delay_and_an_empty_query_will_do() {
    let (_server, weir, mut wire) = start_with_check("<empty>", "0.3");
    let pid = wire.query("SELECT pg_backend_pid()").unwrap().one().to_owned();
    weir.wait_show("SHOW SERVERS", "state", "used");
    weir.wait_show("SHOW POOLS", "sv_used", "1");
    assert_eq!(wire.query("SELECT pg_backend_pid()").unwrap().one(), pid);
    weir.stop();
}

#[test]
fn a_server_that_is_being_checked_is_shown_as_tested() {
    let (server, weir, mut wire) = start_with_check("SELECT pg_advisory_xact_lock_shared(1)", "0");
    wire.query("SELECT 1").unwrap();
    // The check takes as long as somebody else holds the lock.
    let mut holder = server.connect("app").unwrap();
    holder.query("SELECT pg_advisory_lock(1)").unwrap();
    wire.start("SELECT 2").unwrap();
    weir.wait_show("SHOW SERVERS", "state", "tested");
    weir.wait_show("SHOW POOLS", "sv_tested", "1");
    weir.wait_show("SHOW POOLS", "sv_active", "0");
    holder.query("SELECT pg_advisory_unlock(1)").unwrap();
    assert_eq!(wire.answer().unwrap().one(), "2");
    weir.wait_show("SHOW POOLS", "sv_tested", "0");
    weir.stop();
}

#[test]
fn with_many_clients_and_a_check_before_each_use_everybody_is_served() {
    let (_server, weir, _) = start_with_check("<empty>", "0");
    weir.console("SET default_pool_size = 3");
    let clients: Vec<_> = (0..8)
        .map(|n: i32| {
            let mut wire = Wire::tcp(weir.port(), "app", "app").unwrap();
            std::thread::spawn(move || {
                for _ in 0..100 {
                    assert_eq!(wire.query(&format!("SELECT {n}")).unwrap().one(), n.to_string());
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    weir.stop();
}

#[test]
fn with_server_fast_close_a_session_parts_with_its_old_server_as_soon_as_no_transaction_runs() {
    let server = Setup::new().start();
    let weir = Weir::setup().server(&server).setting("server_fast_close", 1).start();
    let log_in = || Wire::tcp(weir.port(), "app", "app").unwrap();
    let (mut idle, mut busy) = (log_in(), log_in());
    idle.query("SELECT 1").unwrap();
    busy.query("BEGIN").unwrap();
    weir.console("RECONNECT");
    let told = "FATAL 57P01: database configuration changed";
    assert_eq!(idle.answer().unwrap_err().to_string(), told);
    assert_eq!(busy.query("SELECT 2").unwrap().one(), "2");
    busy.query("COMMIT").unwrap();
    assert_eq!(busy.answer().unwrap_err().to_string(), told);
    assert_eq!(log_in().query("SELECT 3").unwrap().one(), "3");
    // Without it a session keeps its server.
    weir.console("SET server_fast_close = 0");
    let mut kept = log_in();
    kept.query("SELECT 4").unwrap();
    weir.console("RECONNECT");
    kept.query("SELECT pg_sleep(1)").unwrap();
    drop(kept);
    weir.stop();
}

#[test]
fn a_pool_without_clients_and_servers_is_forgotten_after_its_time_and_comes_back_when_needed() {
    let server = Setup::new().start();
    let weir = Weir::setup()
        .server(&server)
        .database(&format!("* = host=127.0.0.1 port={} dbname=app", server.port()))
        .setting("autodb_idle_timeout", "0.5")
        .setting("server_idle_timeout", "0.1")
        .start();
    let has_pool = |name: &str| weir.console("SHOW POOLS").find("database", name).is_some();
    for database in ["app", "auto", "kept"] {
        drop(Wire::tcp(weir.port(), "app", database).unwrap());
    }
    let mut kept = Wire::tcp(weir.port(), "app", "kept").unwrap();
    weir.wait_log("auto/app: forgotten");
    assert!(!has_pool("auto"));
    assert!(has_pool("kept"), "it has a client");
    assert!(has_pool("app"), "it has an entry of its own");
    weir.console("SET pool_idle_timeout = '0.5'");
    weir.wait_log("app/app: forgotten");
    assert!(!has_pool("app") && has_pool("kept"));
    assert_eq!(kept.query("SELECT 1").unwrap().one(), "1");
    for database in ["app", "auto"] {
        let mut wire = Wire::tcp(weir.port(), "app", database).unwrap();
        assert_eq!(wire.query("SELECT 2").unwrap().one(), "2");
    }
    drop(kept);
    weir.stop();
}

#[test]
fn a_databases_own_server_lifetime_counts_before_the_global_one() {
    let server = Setup::new().start();
    let entry = |name: &str, more: &str| {
        format!("{name} = host=127.0.0.1 port={} dbname=app {more}", server.port())
    };
    let weir = Weir::setup()
        .database(&entry("short", "server_lifetime=1"))
        .database(&entry("long", "server_lifetime=0"))
        .setting("pool_mode", "transaction")
        .start();
    let shown = weir.console("SHOW DATABASES");
    let lifetime = |name| shown.get(shown.find("name", name).unwrap(), "server_lifetime");
    assert_eq!((lifetime("short"), lifetime("long")), ("1", "3600"), "0 inherits here");
    let log_in = |database: &str| Wire::tcp(weir.port(), "app", database).unwrap();
    let (mut short, mut long) = (log_in("short"), log_in("long"));
    let pid = |wire: &mut Wire| wire.query("SELECT pg_backend_pid()").unwrap().one().to_owned();
    let (old, kept) = (pid(&mut short), pid(&mut long));
    weir.wait_log("closing because: server lifetime over");
    assert_ne!(pid(&mut short), old);
    assert_eq!(pid(&mut long), kept);
    weir.stop();
}
