//! tokio-postgres: prepared statements in transactions, portals, COPY, pipelining, cancels.

use std::pin::pin;
use std::time::Duration;

use ::tokio_postgres::error::SqlState;
use ::tokio_postgres::{Client, Config, NoTls};
use bytes::Bytes;
use futures_util::{SinkExt, TryStreamExt, future};

use crate::rustls_for::Connector;
use crate::ways::{self, USER, Way};

#[test]
fn tokio_postgres_works_in_transaction_mode() {
    ways::each(|way| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut client = connect(way).await;
            transactions(&mut client).await;
            portals(&mut client).await;
            copies(&mut client).await;
            errors(&mut client).await;
            cancels(way, &client).await;
            many_at_once(way).await;
        });
    });
}

async fn connect(way: &Way<'_>) -> Client {
    let mut config = Config::new();
    config.host("localhost").hostaddr([127, 0, 0, 1].into()).port(way.weir.port());
    config.user(USER).dbname("app").password(way.password());
    if way.is_tls() {
        config.ssl_mode(::tokio_postgres::config::SslMode::Require);
        let (client, connection) = config.connect(connector(way)).await.unwrap();
        tokio::spawn(connection);
        client
    } else {
        let (client, connection) = config.connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }
}

fn connector(way: &Way<'_>) -> Connector {
    Connector::trusting(way.authority)
}

async fn transactions(client: &mut Client) {
    let statement = client.prepare("SELECT $1::int4 + 1").await.unwrap();
    for number in 0..20 {
        let block = client.transaction().await.unwrap();
        let row = block.query_one(&statement, &[&number]).await.unwrap();
        assert_eq!(row.get::<_, i32>(0), number + 1);
        block.commit().await.unwrap();
    }
}

async fn portals(client: &mut Client) {
    let block = client.transaction().await.unwrap();
    let portal = block.bind("SELECT generate_series(1, 10)", &[]).await.unwrap();
    let mut numbers = Vec::new();
    loop {
        let rows = block.query_portal(&portal, 3).await.unwrap();
        if rows.is_empty() {
            break;
        }
        numbers.extend(rows.iter().map(|row| row.get::<_, i32>(0)));
    }
    assert_eq!(numbers, (1..=10).collect::<Vec<_>>());
    block.commit().await.unwrap();
}

async fn copies(client: &mut Client) {
    let block = client.transaction().await.unwrap();
    block.batch_execute("CREATE TEMP TABLE copied (n int) ON COMMIT DROP").await.unwrap();
    let mut sink = pin!(block.copy_in("COPY copied FROM STDIN").await.unwrap());
    for number in 0..1000 {
        sink.send(Bytes::from(format!("{number}\n"))).await.unwrap();
    }
    assert_eq!(sink.finish().await.unwrap(), 1000);
    let out = block.copy_out("COPY copied TO STDOUT").await.unwrap();
    let bytes: Vec<Bytes> = out.try_collect().await.unwrap();
    assert_eq!(bytes.concat().iter().filter(|byte| **byte == b'\n').count(), 1000);
    block.commit().await.unwrap();
}

async fn errors(client: &mut Client) {
    let block = client.transaction().await.unwrap();
    let failed = block.query("SELECT 1 / $1::int4", &[&0]).await.unwrap_err();
    assert_eq!(failed.code(), Some(&SqlState::DIVISION_BY_ZERO));
    let failed = block.query("SELECT 1", &[]).await.unwrap_err();
    assert_eq!(failed.code(), Some(&SqlState::IN_FAILED_SQL_TRANSACTION));
    block.rollback().await.unwrap();
    let failed = client.prepare("SELECT FROM WHERE").await.unwrap_err();
    assert_eq!(failed.code(), Some(&SqlState::SYNTAX_ERROR));
    client.query_one("SELECT 1", &[]).await.unwrap();
}

/// The query of the client that asks is stopped, its neighbour's is not, and both live on.
async fn cancels(way: &Way<'_>, client: &Client) {
    let other = connect(way).await;
    let token = client.cancel_token();
    let sleeping = client.batch_execute("SELECT pg_sleep(1000)");
    let innocent = other.batch_execute("SELECT count(*) FROM generate_series(1, 3000000)");
    let cancelling = async {
        // Until the query runs there is nothing to cancel, so more than one may be needed.
        loop {
            let sent = match way.is_tls() {
                true => token.cancel_query(connector(way)).await,
                false => token.cancel_query(NoTls).await,
            };
            sent.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let cancelled = async {
        tokio::select! {
            result = sleeping => result,
            () = cancelling => unreachable!("it goes on until the query ends"),
        }
    };
    let (cancelled, innocent) = tokio::join!(cancelled, innocent);
    assert_eq!(cancelled.unwrap_err().code(), Some(&SqlState::QUERY_CANCELED));
    innocent.unwrap();
    client.batch_execute("SELECT 1").await.unwrap();
}

/// Ten clients on two servers, each with ten queries under way (tokio-postgres pipelines them).
async fn many_at_once(way: &Way<'_>) {
    future::join_all((0..10).map(|number| async move {
        let client = connect(way).await;
        let statement = client.prepare("SELECT $1::text").await.unwrap();
        let queries = (0..10).map(|round| {
            let (client, statement) = (&client, &statement);
            async move {
                let tag = format!("client {number} round {round}");
                let row = client.query_one(statement, &[&tag]).await.unwrap();
                assert_eq!(row.get::<_, String>(0), tag);
            }
        });
        future::join_all(queries).await;
    }))
    .await;
}
