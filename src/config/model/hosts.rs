//! Where a server is, and where HTTP is served.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// One host of a database entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostAddr {
    /// TCP. `host` is a name or a number (IPv6 without brackets).
    Tcp {
        /// Name or number.
        host: String,
        /// Port.
        port: u16,
    },
    /// The Unix-domain socket `PATH/.s.PGSQL.PORT`; a path that begins with `@` is abstract.
    Unix {
        /// Directory.
        path: PathBuf,
        /// Port in the file's name.
        port: u16,
    },
    /// One of the addresses of a name that has several.
    Resolved {
        /// The name: what a certificate is to bear.
        name: String,
        /// The address.
        ip: IpAddr,
        /// Port.
        port: u16,
    },
}

impl HostAddr {
    /// As `host=` has it: a directory or an abstract socket's name, else a name or a number.
    pub fn new(host: &str, port: u16) -> Self {
        if host.starts_with(['/', '@']) {
            return Self::Unix { path: PathBuf::from(host), port };
        }
        Self::Tcp { host: host.to_owned(), port }
    }

    /// The port.
    pub fn port(&self) -> u16 {
        match self {
            Self::Tcp { port, .. } | Self::Unix { port, .. } | Self::Resolved { port, .. } => *port,
        }
    }

    /// The name, if it is one that has to be looked up.
    pub fn to_look_up(&self) -> Option<&str> {
        match self {
            Self::Tcp { host: name, .. } | Self::Resolved { name, .. } => {
                name.parse::<IpAddr>().is_err().then_some(name)
            }
            Self::Unix { .. } => None,
        }
    }

    /// All but the port: name, number, directory, or a name with one of its addresses.
    pub fn place(&self) -> String {
        match self {
            Self::Resolved { name, ip, .. } => format!("{name}({ip})"),
            Self::Tcp { .. } | Self::Unix { .. } => self.name(),
        }
    }

    /// Name, number or directory, without the port.
    pub fn name(&self) -> String {
        match self {
            Self::Tcp { host: name, .. } | Self::Resolved { name, .. } => name.clone(),
            Self::Unix { path, .. } => path.display().to_string(),
        }
    }
}

impl fmt::Display for HostAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix { path, port } => write!(f, "{}:{port}", path.display()),
            Self::Resolved { port, .. } => write!(f, "{}:{port}", self.place()),
        }
    }
}

/// Where HTTP is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpAddr {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix-domain socket, by its whole name; one that begins with `@` is abstract.
    Unix(PathBuf),
}

impl fmt::Display for HttpAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
