//! From an address to a socket, with TLS where it is asked for.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UnixStream};

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

/// Why there is no socket.
#[derive(Debug)]
pub(super) enum NoSocket {
    /// The name has no address.
    Unresolved(io::Error),
    /// No address can be reached.
    Unreachable(io::Error),
}

impl From<NoSocket> for io::Error {
    fn from(error: NoSocket) -> Self {
        match error {
            NoSocket::Unresolved(error) | NoSocket::Unreachable(error) => error,
        }
    }
}

impl From<io::Error> for NoSocket {
    fn from(error: io::Error) -> Self {
        Self::Unreachable(error)
    }
}

/// Connects; the caller sets the time limit.
///
/// # Errors
/// The system's, or what is wrong with TLS.
pub async fn connect(host: &HostAddr, tls: &Tls, options: TcpOptions) -> io::Result<Stream> {
    encrypt(reach(host, options).await?, host, tls).await
}

/// A socket to the host.
pub(super) async fn reach(host: &HostAddr, options: TcpOptions) -> Result<Socket, NoSocket> {
    let stream = match host {
        HostAddr::Unix { path, port } => {
            let path = path.join(format!(".s.PGSQL.{port}"));
            let stream = match path.to_str().and_then(|text| text.strip_prefix('@')) {
                Some(name) => abstract_socket(name)?,
                None => UnixStream::connect(&path).await?,
            };
            return Ok(Socket::from(stream));
        }
        HostAddr::Tcp { host, port } => {
            let addresses = tokio::net::lookup_host((host.as_str(), *port)).await;
            let addresses: Vec<_> = addresses.map_err(NoSocket::Unresolved)?.collect();
            first_of(&addresses, options).await?
        }
        HostAddr::Resolved { ip, port, .. } => {
            first_of(&[SocketAddr::new(*ip, *port)], options).await?
        }
    };
    Ok(Socket::from(stream))
}

/// A connection to the first of these addresses that can be reached.
async fn first_of(addresses: &[SocketAddr], options: TcpOptions) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match connect_to(*address, options).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn connect_to(address: SocketAddr, options: TcpOptions) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Before the handshake, which agrees on the scale of the window: a buffer made small afterwards leaves one that
    // opens and closes in tiny steps.
    options.apply(socket2::SockRef::from(&socket))?;
    socket.connect(address).await
}

/// TLS over the socket, as it is wanted.
pub(super) async fn encrypt(mut socket: Socket, host: &HostAddr, tls: &Tls) -> io::Result<Stream> {
    let name = match host {
        // As libpq: no TLS over a Unix socket.
        HostAddr::Unix { .. } => return Ok(Stream::Plain(socket)),
        HostAddr::Tcp { host: name, .. } | HostAddr::Resolved { name, .. } => name,
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
            let connector = tokio_rustls::TlsConnector::from(config.clone());
            let stream = connector.connect(name, socket).await.map_err(in_openssls_words)?;
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

/// Monitoring looks for OpenSSL's words in the log.
fn in_openssls_words(error: io::Error) -> io::Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(_)) => {
            io::Error::new(error.kind(), format!("certificate verify failed: {error}"))
        }
        _ => error,
    }
}

fn abstract_socket(name: &str) -> io::Result<UnixStream> {
    use std::os::linux::net::SocketAddrExt;
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
    let stream = std::os::unix::net::UnixStream::connect_addr(&address)?;
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}
