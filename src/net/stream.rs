//! One connection's socket, with or without TLS, that can move from one worker's reactor to another's.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::tls;

/// A socket that can change reactors in place, so that a TLS session around it moves too.
#[derive(Debug)]
pub struct Socket {
    io: Io,
}

#[derive(Debug)]
enum Io {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// Taken out, or lost in a failed move: every use fails.
    Nowhere,
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        Self { io: Io::Tcp(stream) }
    }
}

impl From<UnixStream> for Socket {
    fn from(stream: UnixStream) -> Self {
        Self { io: Io::Unix(stream) }
    }
}

impl Socket {
    /// Stands in where a socket was taken out: every use fails.
    pub fn nowhere() -> Self {
        Self { io: Io::Nowhere }
    }

    /// Whether it is a Unix-domain socket.
    pub fn is_unix(&self) -> bool {
        matches!(self.io, Io::Unix(_))
    }

    /// A TCP socket, to set options on.
    pub fn tcp(&self) -> Option<socket2::SockRef<'_>> {
        match &self.io {
            Io::Tcp(stream) => Some(stream.into()),
            Io::Unix(_) | Io::Nowhere => None,
        }
    }

    /// The peer's address; `None` for a Unix-domain socket.
    pub fn peer_addr(&self) -> Option<std::net::SocketAddr> {
        match &self.io {
            Io::Tcp(stream) => stream.peer_addr().ok(),
            Io::Unix(_) | Io::Nowhere => None,
        }
    }

    /// Our own address; `None` for a Unix-domain socket.
    pub fn local_addr(&self) -> Option<std::net::SocketAddr> {
        match &self.io {
            Io::Tcp(stream) => stream.local_addr().ok(),
            Io::Unix(_) | Io::Nowhere => None,
        }
    }

    /// The user id of the process on the other end of a Unix-domain socket.
    pub fn peer_uid(&self) -> Option<u32> {
        match &self.io {
            Io::Unix(stream) => stream.peer_cred().ok().map(|cred| cred.uid()),
            Io::Tcp(_) | Io::Nowhere => None,
        }
    }

    /// The process on the other end of a Unix-domain socket.
    pub fn peer_pid(&self) -> Option<u32> {
        match &self.io {
            Io::Unix(stream) => {
                stream.peer_cred().ok().and_then(|cred| cred.pid()?.try_into().ok())
            }
            Io::Tcp(_) | Io::Nowhere => None,
        }
    }

    /// A socket that came from another process, registered with the calling thread's reactor.
    ///
    /// # Errors
    /// The system's; it is no stream socket of a kind that we use.
    pub fn adopt(fd: OwnedFd) -> io::Result<Self> {
        let socket = socket2::Socket::from(fd);
        socket.set_nonblocking(true)?;
        match socket.domain()? {
            socket2::Domain::UNIX => Ok(UnixStream::from_std(OwnedFd::from(socket).into())?.into()),
            _ => Ok(TcpStream::from_std(socket.into())?.into()),
        }
    }

    /// A Unix-domain socket for a thread that may block on it.
    ///
    /// # Errors
    /// The system's; it is another kind of socket.
    pub fn into_blocking_unix(self) -> io::Result<std::os::unix::net::UnixStream> {
        let Io::Unix(stream) = self.io else { return Err(nowhere()) };
        let stream = stream.into_std()?;
        stream.set_nonblocking(false)?;
        Ok(stream)
    }

    /// Its descriptor.
    ///
    /// # Errors
    /// The socket was lost.
    pub fn fd(&self) -> io::Result<BorrowedFd<'_>> {
        match &self.io {
            Io::Tcp(stream) => Ok(stream.as_fd()),
            Io::Unix(stream) => Ok(stream.as_fd()),
            Io::Nowhere => Err(nowhere()),
        }
    }

    /// Deregisters from the reactor it lives on and registers with the calling thread's.
    ///
    /// # Errors
    /// The system's; the socket is then of no further use.
    pub fn move_here(&mut self) -> io::Result<()> {
        self.io = match std::mem::replace(&mut self.io, Io::Nowhere) {
            Io::Tcp(stream) => Io::Tcp(TcpStream::from_std(stream.into_std()?)?),
            Io::Unix(stream) => Io::Unix(UnixStream::from_std(stream.into_std()?)?),
            Io::Nowhere => return Err(nowhere()),
        };
        Ok(())
    }
}

fn nowhere() -> io::Error {
    io::Error::new(
        io::ErrorKind::NotConnected,
        "the socket was lost while it moved to another worker",
    )
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Io::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Io::Nowhere => Poll::Ready(Err(nowhere())),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Io::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Io::Nowhere => Poll::Ready(Err(nowhere())),
        }
    }

    /// A TLS session writes its records this way: several of them then take one system call.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Io::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Io::Nowhere => Poll::Ready(Err(nowhere())),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Io::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Io::Nowhere => Poll::Ready(Err(nowhere())),
        }
    }
}

/// A connection: plain, or inside TLS (either role).
#[derive(Debug)]
pub enum Stream {
    /// As it is on the wire.
    Plain(Socket),
    /// Inside TLS.
    Tls(Box<tokio_rustls::TlsStream<Socket>>),
}

impl Stream {
    /// Whether the socket is all there is to it: no TLS, whose keys only this process has.
    pub fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    /// The socket underneath.
    pub fn socket(&self) -> &Socket {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(tls) => tls.get_ref().0,
        }
    }

    /// Protocol and cipher as `SHOW CLIENTS` gives them, e.g. `TLSv1.3/TLS_AES_256_GCM_SHA384`; empty without TLS.
    pub fn tls_description(&self) -> String {
        let Self::Tls(tls) = self else { return String::new() };
        let (_, session) = tls.get_ref();
        let version = match session.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "TLS",
        };
        match session.negotiated_cipher_suite() {
            Some(suite) => format!("{version}/{}", tls::cipher_name(suite.suite())),
            None => version.to_owned(),
        }
    }

    /// The protocol that both sides agreed on (ALPN), if they named any.
    pub fn alpn_protocol(&self) -> Option<&[u8]> {
        let Self::Tls(tls) = self else { return None };
        tls.get_ref().1.alpn_protocol()
    }

    /// The certificate (DER) that the other side has shown, as far as it had to prove one: a client's is there only
    /// where `client_tls_sslmode` verifies it, and has then been verified. `None` without TLS or without one.
    pub fn peer_certificate(&self) -> Option<&CertificateDer<'static>> {
        let Self::Tls(tls) = self else { return None };
        let (_, session) = tls.get_ref();
        session.peer_certificates()?.first()
    }

    /// Moves to the calling thread's reactor.
    ///
    /// # Errors
    /// The system's; the connection has then to be closed.
    pub fn move_here(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.move_here(),
            Self::Tls(tls) => match &mut **tls {
                tokio_rustls::TlsStream::Client(client) => client.get_mut().0.move_here(),
                tokio_rustls::TlsStream::Server(server) => server.get_mut().0.move_here(),
            },
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(&mut **tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, buf),
            Self::Tls(tls) => Pin::new(&mut **tls).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(tls) => Pin::new(&mut **tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(&mut **tls).poll_shutdown(cx),
        }
    }
}
