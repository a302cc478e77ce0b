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

#[test]
fn tokio_postgres_works_through_tls_and_scram_in_transaction_mode() {
    let authority = Authority::new();
    let server = Setup::new()
        .hba("host all all 127.0.0.1/32 scram-sha-256")
        .role("driver", Password::Scram("a secret"))
        .start();
    let weir = Weir::setup()
        .server(&server)
        .tls(&authority.server())
        .setting("client_tls_sslmode", "require")
        .setting("auth_type", "scram-sha-256")
        .setting("pool_mode", "transaction")
        .setting("default_pool_size", 2)
        .user("driver", "a secret")
        .start();
    let url = format!(
        "host=localhost hostaddr=127.0.0.1 port={} user=driver password='a secret' dbname=app sslmode=require",
        weir.port()
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let tls = rustls_for::Connector::trusting(&authority.cert);
        let (mut client, connection) = tokio_postgres::connect(&url, tls).await.unwrap();
        let connection = tokio::spawn(connection);
        let statement = client.prepare("SELECT $1::int4 + 1").await.unwrap();
        for number in 0..20 {
            let block = client.transaction().await.unwrap();
            let row = block.query_one(&statement, &[&number]).await.unwrap();
            assert_eq!(row.get::<_, i32>(0), number + 1);
            block.commit().await.unwrap();
        }
        drop(client);
        connection.await.unwrap().unwrap();
    });
    weir.stop();
}

/// TLS for tokio-postgres, over the rustls that pgweir itself uses.
mod rustls_for {
    use std::io;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::task::{Context, Poll};

    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, ServerName};
    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
    use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};

    #[derive(Clone)]
    pub(super) struct Connector(Arc<rustls::ClientConfig>, String);

    impl Connector {
        /// Trusts the authority with this certificate (PEM).
        pub(super) fn trusting(pem: &str) -> Self {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let config = rustls::ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
            Self(Arc::new(config), String::new())
        }
    }

    impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> MakeTlsConnect<S> for Connector {
        type Stream = Stream<S>;
        type TlsConnect = Self;
        type Error = io::Error;

        fn make_tls_connect(&mut self, domain: &str) -> io::Result<Self> {
            Ok(Self(self.0.clone(), domain.to_owned()))
        }
    }

    impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> TlsConnect<S> for Connector {
        type Stream = Stream<S>;
        type Error = io::Error;
        type Future = Pin<Box<dyn Future<Output = io::Result<Stream<S>>> + Send>>;

        fn connect(self, stream: S) -> Self::Future {
            let name = ServerName::try_from(self.1).unwrap();
            let connect = tokio_rustls::TlsConnector::from(self.0).connect(name, stream);
            Box::pin(async move { Ok(Stream(connect.await?)) })
        }
    }

    pub(super) struct Stream<S>(tokio_rustls::client::TlsStream<S>);

    impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Stream<S> {
        fn channel_binding(&self) -> ChannelBinding {
            ChannelBinding::none()
        }
    }

    impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(cx, buf)
        }
    }

    impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.0).poll_write(cx, buf)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_shutdown(cx)
        }
    }
}
