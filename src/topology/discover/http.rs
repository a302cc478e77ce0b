//! A question to a REST API: `GET`, and JSON as the answer.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::config::ApiUrl;

/// Longest answer, bytes. A member of a cluster takes about 300.
const LONGEST: usize = 1024 * 1024;

/// Asks. `tls`: how certificates are checked.
///
/// # Errors
/// In words, without the URL.
pub(super) async fn get(
    url: &ApiUrl,
    path: &str,
    tls: Option<&Arc<rustls::ClientConfig>>,
    limit: Duration,
) -> Result<Value, String> {
    let asking = async {
        let stream = TcpStream::connect((url.host.as_str(), url.port)).await?;
        if !url.tls {
            return ask(stream, url, path).await;
        }
        let Some(config) = tls else {
            return Err(io::Error::other(
                "https needs server_tls_sslmode, which says how its certificate is checked",
            ));
        };
        let mut config = (**config).clone();
        // Ours would offer PostgreSQL's.
        config.alpn_protocols.clear();
        let name = ServerName::try_from(url.host.clone())
            .map_err(|_| io::Error::other("its host is no name for TLS"))?;
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        ask(connector.connect(name, stream).await?, url, path).await
    };
    match tokio::time::timeout(limit, asking).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {limit:?} (topology_timeout)")),
    }
}

async fn ask(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    url: &ApiUrl,
    path: &str,
) -> io::Result<Value> {
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let request = Request::get(path)
        .header(header::HOST, url.authority())
        .header(header::USER_AGENT, "pgweir")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(io::Error::other)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(io::Error::other)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LONGEST).collect().await;
        let body = body.map_err(io::Error::other)?.to_bytes();
        if !status.is_success() {
            return Err(io::Error::other(format!("answered {status} to GET {path}")));
        }
        serde_json::from_slice(&body).map_err(|error| {
            io::Error::other(format!("its answer to GET {path} is no JSON: {error}"))
        })
    };
    // The connection is driven beside the answer, and ends with it.
    tokio::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        broken = connection => match broken {
            Ok(()) => answer.await,
            Err(error) => Err(io::Error::other(error)),
        },
    }
}
