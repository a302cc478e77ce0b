//! Pooling against a real server: who gets which server, when, and whose reply is whose.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use common::{Setup, Weir, pgbench, psql};

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
