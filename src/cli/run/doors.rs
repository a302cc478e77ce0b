//! Where clients come in: taken over from the process before, or opened.

use std::io;
use std::path::Path;

use super::StartError;
use crate::cli::systemd;
use crate::cli::takeover::Takeover;
use crate::config::Settings;
use crate::net::listen::{self, UnixSocket};
use crate::worker::doors::Door;

/// Those that the service manager has opened, else those of the settings. `reboot`: an old process has some.
pub(super) async fn find(
    settings: &Settings,
    reboot: bool,
    old: Option<&mut Takeover>,
) -> Result<Vec<Door>, StartError> {
    let given = systemd::sockets(settings);
    if given.is_empty() {
        return open(settings, old).await;
    }
    if reboot {
        let text = "sockets come from the service manager, which keeps them over a restart";
        return Err(StartError::Takeover(text.to_owned()));
    }
    Ok(given)
}

async fn open(
    settings: &Settings,
    mut old: Option<&mut Takeover>,
) -> Result<Vec<Door>, StartError> {
    let mut doors = Vec::new();
    for entry in &settings.listen_addr {
        let addresses = match listen::resolve(entry, settings.listen_port).await {
            Ok(addresses) => addresses,
            Err(error) => {
                tracing::warn!("listen_addr {entry:?}: {error}");
                continue;
            }
        };
        for address in addresses {
            let listener = match old.as_mut().and_then(|old| old.tcp(address)) {
                Some(listener) => listener.set_nonblocking(true).map(|()| listener),
                None => listen::tcp(address, settings.listen_backlog, settings.so_reuseport),
            };
            match listener {
                Ok(listener) => {
                    tracing::info!("listening on {address}");
                    doors.push(Door::Tcp(listener));
                }
                Err(error) => tracing::warn!("{error}"),
            }
        }
    }
    if doors.is_empty() && !settings.listen_addr.is_empty() {
        let list = settings.listen_addr.join(",");
        let text = format!(
            "failed to listen on any address in listen_addr list: {list} (Address already in use?)"
        );
        return Err(StartError::System(io::Error::new(io::ErrorKind::AddrInUse, text)));
    }
    if let Some(dir) = &settings.unix_socket_dir {
        let group = settings.unix_socket_group.as_deref();
        let path = listen::unix_path(dir, settings.listen_port);
        let socket = match old.as_mut().and_then(|old| old.unix(&path)) {
            Some(listener) => UnixSocket::inherit(listener, path)?,
            None => listen::unix(dir, settings.listen_port, settings.unix_socket_mode, group)?,
        };
        let place = socket.file.path().map_or_else(|| dir.display(), Path::display);
        tracing::info!("listening on unix:{place}");
        doors.push(Door::Unix(socket));
    }
    if doors.is_empty() { Err(StartError::NowhereToListen) } else { Ok(doors) }
}
