//! Options of TCP sockets (`tcp_*`), alike for those of clients and of servers.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use socket2::SockRef;

use crate::config::Settings;

/// See the module's words. The default leaves everything to the system, keepalive off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpOptions {
    /// Setting `tcp_keepalive`.
    pub keepalive: bool,
    /// Setting `tcp_keepidle`: idle time before the first probe.
    pub idle: Option<Duration>,
    /// Setting `tcp_keepintvl`: time between probes.
    pub interval: Option<Duration>,
    /// Setting `tcp_keepcnt`: probes without an answer until the connection is dead.
    pub count: Option<u32>,
    /// Setting `tcp_user_timeout`: how long what was sent may stay unacknowledged.
    pub user_timeout: Option<Duration>,
    /// Setting `tcp_socket_buffer`: bytes of the kernel's buffer for each direction.
    pub buffer: Option<u32>,
}

impl TcpOptions {
    /// What the settings ask for.
    pub fn of(settings: &Settings) -> Self {
        Self {
            keepalive: settings.tcp_keepalive,
            idle: settings.tcp_keepidle,
            interval: settings.tcp_keepintvl,
            count: settings.tcp_keepcnt,
            user_timeout: settings.tcp_user_timeout,
            buffer: settings.tcp_socket_buffer,
        }
    }

    /// Sets them on a connected socket, and TCP_NODELAY with them: what is written is meant to leave.
    ///
    /// # Errors
    /// The system's.
    pub fn apply(&self, socket: SockRef<'_>) -> io::Result<()> {
        socket.set_tcp_nodelay(true)?;
        if let Some(bytes) = self.buffer {
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            socket.set_send_buffer_size(bytes)?;
            socket.set_recv_buffer_size(bytes)?;
        }
        if self.user_timeout.is_some() {
            socket.set_tcp_user_timeout(self.user_timeout)?;
        }
        if !self.keepalive {
            return socket.set_keepalive(false);
        }
        let mut values = socket2::TcpKeepalive::new();
        if let Some(idle) = self.idle {
            values = values.with_time(idle);
        }
        if let Some(interval) = self.interval {
            values = values.with_interval(interval);
        }
        if let Some(count) = self.count {
            values = values.with_retries(count);
        }
        socket.set_tcp_keepalive(&values)
    }
}

/// How long the kernel waits for a client's first bytes before it has the client accepted without any.
const DEFERRED: libc::c_int = 45;

/// Whether a listening TCP socket has clients accepted only once they have sent something (`tcp_defer_accept`,
/// tcp(7)): a check that connects and closes again never gets as far.
///
/// # Errors
/// The system's.
#[expect(unsafe_code, reason = "no library has this option")]
pub fn defer_accept(listener: BorrowedFd<'_>, defer: bool) -> io::Result<()> {
    let seconds = if defer { DEFERRED } else { 0 };
    // SAFETY: the kernel reads one c_int from where `seconds` is, and nothing after the call returns.
    let failed = unsafe {
        libc::setsockopt(
            listener.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT,
            (&raw const seconds).cast(),
            size_of_val(&seconds) as libc::socklen_t,
        )
    };
    if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_reaches_the_socket() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let options = TcpOptions {
            keepalive: true,
            idle: Some(Duration::from_secs(71)),
            interval: Some(Duration::from_secs(13)),
            count: Some(4),
            user_timeout: Some(Duration::from_millis(4321)),
            buffer: Some(70_000),
        };
        options.apply(SockRef::from(&stream)).unwrap();
        let socket = SockRef::from(&stream);
        assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(71));
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(13));
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 4);
        assert_eq!(socket.tcp_user_timeout().unwrap(), options.user_timeout);
        // The kernel doubles it for its own needs.
        assert_eq!(socket.send_buffer_size().unwrap(), 140_000);
        assert_eq!(socket.recv_buffer_size().unwrap(), 140_000);
        TcpOptions::default().apply(SockRef::from(&stream)).unwrap();
        assert!(!socket.keepalive().unwrap());
    }
}
