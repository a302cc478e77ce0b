//! Drivers that people use, in transaction mode, with few servers.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use common::{Password, Setup, Weir, psql, python, tls::Authority};

#[test]
fn psycopg_works_through_tls_and_scram_in_transaction_mode() {
    let authority = Authority::new();
    let certificate = authority.server();
    let server = Setup::new()
        .hba("host all all 127.0.0.1/32 scram-sha-256")
        .role("driver", Password::Scram("a secret"))
        .start();
    let weir = Weir::setup()
        .server(&server)
        .tls(&certificate)
        .setting("client_tls_sslmode", "require")
        .setting("auth_type", "scram-sha-256")
        .setting("pool_mode", "transaction")
        .setting("default_pool_size", 2)
        .setting("workers", 2)
        .user("driver", "a secret")
        .start();
    let login = weir.login("driver", "app").password("a secret").set("PGSSLMODE", "require");
    python(&login, PSYCOPG, &[]).ok();
    weir.stop();
}

/// What an application does: prepared statements, transactions, pipelines, cursors, COPY, errors.
const PSYCOPG: &str = r#"
import asyncio, psycopg

with psycopg.connect("dbname=app", prepare_threshold=0) as conn:
    assert conn.pgconn.ssl_in_use
    for n in range(20):
        assert conn.execute("select %s::int + 1", (n,)).fetchone() == (n + 1,)
        conn.commit()
    conn.execute("create temp table t (n int) on commit drop")
    with conn.cursor().copy("copy t from stdin") as copy:
        for n in range(1000):
            copy.write_row((n,))
    assert conn.execute("select count(*) from t").fetchone() == (1000,)
    with conn.cursor(name="c") as cursor:
        cursor.execute("select n from t order by n")
        assert [row[0] for row in cursor.fetchmany(3)] == [0, 1, 2]
    conn.rollback()
    with conn.pipeline():
        cursors = [conn.execute("select %s::text", (f"tag {n}",)) for n in range(50)]
    assert [c.fetchone()[0] for c in cursors] == [f"tag {n}" for n in range(50)]
    conn.commit()
    try:
        conn.execute("select 1/0")
        raise SystemExit("no error")
    except psycopg.errors.DivisionByZero:
        conn.rollback()
    assert conn.execute("select 1").fetchone() == (1,)

async def main():
    async def one(tag):
        async with await psycopg.AsyncConnection.connect("dbname=app", prepare_threshold=1) as conn:
            for n in range(20):
                cursor = await conn.execute("select %s::text", (f"{tag} {n}",))
                assert await cursor.fetchone() == (f"{tag} {n}",)
                await conn.commit()
    await asyncio.gather(*(one(f"client {n}") for n in range(20)))
asyncio.run(main())
"#;

#[test]
fn psql_describes_tables_and_copies_both_ways() {
    let server = Setup::new().start();
    let weir = Weir::setup().server(&server).setting("pool_mode", "transaction").start();
    let login = weir.login("app", "app");
    psql(&login, "CREATE TABLE described (number int PRIMARY KEY, word text)").ok();
    let run =
        psql(&login, "INSERT INTO described SELECT n, 'word ' || n FROM generate_series(1, 3) n");
    run.ok();
    let shown = psql(&login, "\\d described");
    assert!(shown.ok().contains("number|integer"), "{shown:?}");
    let copied = psql(&login, "\\copy described TO STDOUT");
    assert_eq!(copied.ok().lines().count(), 3, "{copied:?}");
    weir.stop();
}

#[test]
fn a_cancel_request_stops_this_clients_query_and_no_other() {
    let server = Setup::new().start();
    let weir = Weir::setup()
        .server(&server)
        .setting("pool_mode", "transaction")
        .setting("default_pool_size", 2)
        .start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let url = weir.url("app", "app");
    runtime.block_on(async {
        let (client, connection) =
            tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        let (other, other_connection) =
            tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        tokio::spawn(other_connection);
        let cancel = client.cancel_token();
        let sleeping = client.batch_execute("SELECT pg_sleep(1000)");
        let innocent = other.batch_execute("SELECT count(*) FROM generate_series(1, 3000000)");
        let cancelling = async {
            // Until the query runs there is nothing to cancel, so more than one may be needed.
            loop {
                cancel.cancel_query(tokio_postgres::NoTls).await.unwrap();
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        let cancelled = async {
            tokio::select! {
                result = sleeping => result,
                () = cancelling => unreachable!("it goes on until the query ends"),
            }
        };
        let (cancelled, innocent) = tokio::join!(cancelled, innocent);
        assert_eq!(cancelled.unwrap_err().code().unwrap().code(), "57014");
        innocent.unwrap();
        client.batch_execute("SELECT 1").await.unwrap();
    });
    weir.stop();
}
