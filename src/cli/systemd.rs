//! systemd: readiness, reloads and the end are told to it (sd_notify(3)), and sockets are taken over from it
//! (sd_listen_fds(3)). Without it nothing happens here.

use sd_notify::NotifyState;

use crate::config::Settings;
use crate::net::listen::{SocketFile, UnixSocket};
use crate::worker::doors::Door;

/// Tells systemd, if it has started us and wants to be told.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!("cannot tell systemd: {error}");
    }
}

/// We serve.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// A reload begins; [`ready`] ends it.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!("cannot tell systemd: {error}"),
    }
}

/// We end.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// How we are, in one line.
pub(super) fn status(text: &str) {
    tell(&[NotifyState::Status(text)]);
}

/// The listening sockets that systemd has opened for us, if it has: they take the place of `listen_addr` and
/// `unix_socket_dir`.
pub(super) fn sockets(settings: &Settings) -> Vec<Door> {
    let mut passed = listenfd::ListenFd::from_env();
    let mut doors = Vec::new();
    for at in 0..passed.len() {
        let door = match (passed.take_tcp_listener(at), passed.take_unix_listener(at)) {
            (Ok(Some(listener)), _) => listener.set_nonblocking(true).map(|()| Door::Tcp(listener)),
            (_, Ok(Some(listener))) => {
                let file = SocketFile::anothers();
                listener.set_nonblocking(true).map(|()| Door::Unix(UnixSocket { listener, file }))
            }
            (Err(error), _) | (_, Err(error)) => Err(error),
            (Ok(None), Ok(None)) => continue,
        };
        match door {
            Ok(door) => {
                tracing::info!("socket passed from service manager ({})", described(&door));
                doors.push(door);
            }
            Err(error) => tracing::warn!("socket {at} passed from service manager: {error}"),
        }
    }
    if doors.is_empty() {
        return doors;
    }
    if !settings.listen_addr.is_empty() {
        tracing::warn!("sockets passed from service manager, listen_addr ignored");
    }
    if settings.unix_socket_dir.is_some() {
        tracing::warn!("sockets passed from service manager, unix_socket_dir ignored");
    }
    doors
}

fn described(door: &Door) -> String {
    match door {
        Door::Tcp(listener) => {
            listener.local_addr().map_or_else(|_| "TCP".to_owned(), |at| at.to_string())
        }
        Door::Unix(_) => "unix".to_owned(),
    }
}
