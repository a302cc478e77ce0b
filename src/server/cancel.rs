//! Cancel requests to servers.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use pgweir_codec::startup::CancelRequest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::connection::ServerInfo;
use super::dial::{self, Tls};
use crate::net::options::TcpOptions;

/// Asks the server to cancel what the connection `info` is running, and waits until it has taken note: the server
/// closes the socket only after it has signalled the backend.
///
/// # Errors
/// It could not be reached in time; whether the cancel took effect is then unknown.
pub async fn send(info: &ServerInfo, tls: &Tls, timeout: Duration) -> io::Result<()> {
    let attempt = async {
        let mut stream = dial::connect(&info.host, tls, TcpOptions::default()).await?;
        let mut out = BytesMut::with_capacity(16);
        CancelRequest { pid: info.pid, key: info.key.clone() }.encode(&mut out);
        stream.write_all(&out).await?;
        stream.flush().await?;
        let mut end = [0; 16];
        while stream.read(&mut end).await? > 0 {}
        Ok(())
    };
    match tokio::time::timeout(timeout, attempt).await {
        Ok(result) => result,
        Err(_) => {
            Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {timeout:?}")))
        }
    }
}
