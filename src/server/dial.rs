//! From an address to a socket, with TLS where it is asked for.

use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::config::HostAddr;
use crate::net::options::TcpOptions;
use crate::net::stream::{Socket, Stream};

/// How much TLS is wanted (`server_tls_sslmode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// None.
    Never,
    /// If the server offers it.
    IfOffered,
    /// Nothing goes over a plain socket.
    Always,
}

/// TLS towards servers.
#[derive(Clone, Debug)]
pub struct Tls {
    /// How much of it.
    pub wanted: Wanted,
    /// How certificates are checked; `None` only with [`Wanted::Never`].
    pub config: Option<Arc<rustls::ClientConfig>>,
}

/// SSLRequest: length 8, code 80877103 (manual, "SSL Session Encryption").
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// Connects; the caller sets the time limit.
///
/// # Errors
/// The system's, or what is wrong with TLS.
pub async fn connect(host: &HostAddr, tls: &Tls, options: TcpOptions) -> io::Result<Stream> {
    let (mut socket, name) = match host {
        HostAddr::Unix { path, port } => {
            let path = path.join(format!(".s.PGSQL.{port}"));
            let stream = match path.to_str().and_then(|text| text.strip_prefix('@')) {
                Some(name) => abstract_socket(name)?,
                None => UnixStream::connect(&path).await?,
            };
            // As libpq: no TLS over a Unix socket.
            return Ok(Stream::Plain(Socket::from(stream)));
        }
        HostAddr::Tcp { host, port } => {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            options.apply(socket2::SockRef::from(&stream))?;
            (Socket::from(stream), host)
        }
        HostAddr::Resolved { name, ip, port } => {
            let stream = TcpStream::connect((*ip, *port)).await?;
            options.apply(socket2::SockRef::from(&stream))?;
            (Socket::from(stream), name)
        }
    };
    let (Some(config), true) = (&tls.config, tls.wanted != Wanted::Never) else {
        return Ok(Stream::Plain(socket));
    };
    socket.write_all(&SSL_REQUEST).await?;
    let mut answer = [0];
    // One byte and no more: what follows in the clear must not be taken for part of the TLS session (CVE-2021-23222).
    socket.read_exact(&mut answer).await?;
    match answer {
        [b'S'] => {
            let name = ServerName::try_from(name.clone()).map_err(|_| {
                io::Error::new(io::ErrorKind::InvalidInput, format!("{name:?} is no name for TLS"))
            })?;
            let stream =
                tokio_rustls::TlsConnector::from(config.clone()).connect(name, socket).await?;
            Ok(Stream::Tls(Box::new(stream.into())))
        }
        [b'N'] if tls.wanted == Wanted::IfOffered => Ok(Stream::Plain(socket)),
        [b'N'] => Err(io::Error::other(
            "server refused SSL, and server_tls_sslmode asks for it; turn ssl on in postgresql.conf",
        )),
        [byte] => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("answered an SSLRequest with byte 0x{byte:02x}; is this a PostgreSQL server?"),
        )),
    }
}

fn abstract_socket(name: &str) -> io::Result<UnixStream> {
    use std::os::linux::net::SocketAddrExt;
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
    let stream = std::os::unix::net::UnixStream::connect_addr(&address)?;
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}
