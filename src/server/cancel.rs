//! Cancel requests to servers.

use std::io;

use bytes::BytesMut;
use pgweir_codec::startup::CancelRequest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::connection::ServerInfo;
use super::dial::{self, Tls};
use crate::config::HostAddr;
use crate::net::options::TcpOptions;

/// Asks the server to cancel what the connection `info` is running, and waits until it has taken note: the server
/// closes the socket only after it has signalled the backend. The caller sets the time limit.
///
/// # Errors
/// It could not be reached; whether the cancel took effect is then unknown.
pub async fn send(info: &ServerInfo, tls: &Tls) -> io::Result<()> {
    let request = CancelRequest { pid: info.pid, key: info.key.clone() };
    pass_on(&info.host, tls, &request).await
}

/// Sends this request, and waits until the other side closes.
///
/// # Errors
/// As [`send`].
pub async fn pass_on(host: &HostAddr, tls: &Tls, request: &CancelRequest) -> io::Result<()> {
    let mut stream = dial::connect(host, tls, TcpOptions::default()).await?;
    let mut out = BytesMut::with_capacity(16);
    request.encode(&mut out);
    stream.write_all(&out).await?;
    stream.flush().await?;
    let mut end = [0; 16];
    while stream.read(&mut end).await? > 0 {}
    Ok(())
}
