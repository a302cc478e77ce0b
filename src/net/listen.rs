//! The listening sockets. None is registered with a reactor yet.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use socket2::{Domain, Protocol, Socket, Type};

/// Listens on one TCP address.
///
/// # Errors
/// The system's, with the address in its text.
pub fn tcp(address: SocketAddr, backlog: u32, reuseport: bool) -> io::Result<TcpListener> {
    let listen = || -> io::Result<TcpListener> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM.nonblocking(),
            Some(Protocol::TCP),
        )?;
        socket.set_reuse_address(true)?;
        if reuseport {
            socket.set_reuse_port(true)?;
        }
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.bind(&address.into())?;
        socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        Ok(socket.into())
    };
    listen().map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
    })
}

/// The addresses that one entry of `listen_addr` stands for: `*` is every address of both families.
///
/// # Errors
/// The name does not resolve.
pub async fn resolve(entry: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if entry == "*" {
        return Ok(vec![
            SocketAddr::new(IpAddr::from([0, 0, 0, 0]), port),
            SocketAddr::new(IpAddr::from([0u16; 8]), port),
        ]);
    }
    Ok(tokio::net::lookup_host((entry, port)).await?.collect())
}

/// A listening Unix-domain socket.
#[derive(Debug)]
pub struct UnixSocket {
    /// The listener itself.
    pub listener: UnixListener,
    /// Its file.
    pub file: SocketFile,
}

/// The file of a Unix-domain socket, if it has one that is ours; dropping this removes it.
#[derive(Debug)]
pub struct SocketFile(Option<PathBuf>);

/// Listens on `DIR/.s.PGSQL.PORT`; where DIR begins with `@`, in the abstract namespace, without a file.
///
/// # Errors
/// Another process listens there, or the system's.
pub fn unix(dir: &Path, port: u16, mode: u32, group: Option<&str>) -> io::Result<UnixSocket> {
    unix_at(unix_path(dir, port), mode, group)
}

/// The same, by the whole name of the socket.
///
/// # Errors
/// As [`unix`].
pub fn unix_at(path: PathBuf, mode: u32, group: Option<&str>) -> io::Result<UnixSocket> {
    if let Some(name) = path.to_str().and_then(|path| path.strip_prefix('@')) {
        return abstract_unix(name);
    }
    let with_path = |error: io::Error| {
        io::Error::new(error.kind(), format!("cannot listen on unix:{}: {error}", path.display()))
    };
    if UnixStream::connect(&path).is_ok() {
        let kind = io::ErrorKind::AddrInUse;
        return Err(io::Error::new(
            kind,
            format!("unix socket {} is in use, cannot continue", path.display()),
        ));
    }
    match std::fs::symlink_metadata(&path) {
        // One that an earlier process has left.
        Ok(found) if found.file_type().is_socket() => {
            std::fs::remove_file(&path).map_err(with_path)?;
        }
        Ok(_) => return Err(with_path(io::Error::other("there is a file that is no socket"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(with_path(error)),
    }
    let group = group.map(group_id).transpose()?;
    let listener = UnixListener::bind(&path).map_err(with_path)?;
    listener.set_nonblocking(true).map_err(with_path)?;
    if let Some(group) = group {
        std::os::unix::fs::chown(&path, None, Some(group)).map_err(with_path)?;
    }
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).map_err(with_path)?;
    Ok(UnixSocket { listener, file: SocketFile(Some(path)) })
}

/// Connects to the socket that [`unix`] listens on.
///
/// # Errors
/// The system's: nobody listens there.
pub fn connect_unix(dir: &Path, port: u16) -> io::Result<UnixStream> {
    use std::os::linux::net::SocketAddrExt;
    let path = unix_path(dir, port);
    match path.to_str().and_then(|path| path.strip_prefix('@')) {
        Some(name) => {
            UnixStream::connect_addr(&std::os::unix::net::SocketAddr::from_abstract_name(name)?)
        }
        None => UnixStream::connect(path),
    }
}

/// `DIR/.s.PGSQL.PORT`.
pub fn unix_path(dir: &Path, port: u16) -> PathBuf {
    dir.join(format!(".s.PGSQL.{port}"))
}

impl UnixSocket {
    /// A socket that another process has listened on at this path until now: its file is ours from here on.
    ///
    /// # Errors
    /// The system's.
    pub fn inherit(listener: UnixListener, path: PathBuf) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let is_file = !path.to_string_lossy().starts_with('@');
        Ok(Self { listener, file: SocketFile(is_file.then_some(path)) })
    }
}

fn abstract_unix(name: &str) -> io::Result<UnixSocket> {
    use std::os::linux::net::SocketAddrExt;
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
    let listener = UnixListener::bind_addr(&address).map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on unix:@{name}: {error}"))
    })?;
    listener.set_nonblocking(true)?;
    Ok(UnixSocket { listener, file: SocketFile::anothers() })
}

/// The number of a group: as it is, or of that name in /etc/group.
fn group_id(group: &str) -> io::Result<u32> {
    if let Ok(id) = group.parse() {
        return Ok(id);
    }
    let groups = std::fs::read_to_string(GROUPS)?;
    find_group(&groups, group).ok_or_else(|| {
        let text = format!("unix_socket_group: no group {group:?} in {GROUPS}");
        io::Error::new(io::ErrorKind::NotFound, text)
    })
}

const GROUPS: &str = "/etc/group";

/// `name:password:id:members`, a line for each (group(5)).
fn find_group(groups: &str, name: &str) -> Option<u32> {
    let line = groups.lines().find(|line| line.split(':').next() == Some(name))?;
    line.split(':').nth(2)?.parse().ok()
}

impl SocketFile {
    /// Where it is.
    pub fn path(&self) -> Option<&Path> {
        self.0.as_deref()
    }

    /// It stays where it is: another process listens there now.
    pub fn leave(&mut self) {
        self.0 = None;
    }

    /// None: it is somebody else's, or the socket has none.
    pub fn anothers() -> Self {
        Self(None)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_socket_stays_and_a_socket_that_was_left_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (file, socket) = (folder.path().join("file"), folder.path().join("socket"));
        std::fs::write(&file, "precious").unwrap();
        let refused = unix_at(file.clone(), 0o600, None).unwrap_err().to_string();
        assert!(refused.contains("no socket"), "{refused}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");

        drop(UnixListener::bind(&socket).unwrap()); // leaves its file
        let again = unix_at(socket.clone(), 0o600, None).unwrap();
        assert!(UnixStream::connect(&socket).is_ok());
        assert!(unix_at(socket.clone(), 0o600, None).unwrap_err().to_string().contains("in use"));
        drop(again);
        assert!(!socket.exists());
    }

    #[test]
    fn a_group_is_found_by_its_whole_name_or_is_its_number() {
        let groups = "root:x:0:\npost:x:7:\npostgres:x:104:ann,bob\nbroken\n";
        assert_eq!(find_group(groups, "postgres"), Some(104));
        assert_eq!((find_group(groups, "postg"), find_group(groups, "broken")), (None, None));
        assert_eq!(group_id("104").unwrap(), 104);
        assert!(group_id("no such group").unwrap_err().to_string().contains("no such group"));
    }
}
