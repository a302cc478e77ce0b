//! Who knows the hosts of an entry, and what was found there.

use std::fmt;

use super::{HostAddr, SecretText};

/// Parameter `discover`: by whom the hosts of an entry are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiscoverBy {
    /// The servers themselves, in `pg_stat_replication`.
    Replication,
    /// repmgr, in its table `repmgr.nodes`.
    Repmgr,
    /// Patroni, by its REST API.
    Patroni,
    /// pg_auto_failover, at its monitor.
    AutoFailover,
}

/// Parameters `discover` and `discover_from`: who knows the hosts of an entry, and how that one is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Discover {
    /// `pg_stat_replication` of the entry's hosts. No host of its own.
    Replication(DiscoverLogin),
    /// `repmgr.nodes`, at the entry's hosts and those of the login.
    Repmgr(DiscoverLogin),
    /// The REST API at one of these; at least one.
    Patroni(Vec<ApiUrl>),
    /// The monitor; at least one host.
    AutoFailover(DiscoverLogin),
}

/// How a server is asked for the hosts of its cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiscoverLogin {
    /// Where, besides at the entry's hosts.
    pub hosts: Vec<HostAddr>,
    /// In which database.
    pub dbname: Option<String>,
    /// As whom; `None`: as the monitors.
    pub user: Option<String>,
    /// His password; `None`: `auth_file`'s.
    pub password: Option<SecretText>,
    /// Which of the formations of a pg_auto_failover monitor; `None`: `default`.
    pub formation: Option<String>,
}

/// A host that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundHost {
    /// Where it is.
    pub addr: HostAddr,
    /// Whether its manager lets it serve reads.
    pub reads: bool,
}

/// Where a REST API is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ApiUrl {
    /// `https`
    pub tls: bool,
    /// Name or number (IPv6 without brackets).
    pub host: String,
    /// Port.
    pub port: u16,
}

impl ApiUrl {
    /// `host:port`
    pub fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

impl fmt::Display for ApiUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())
    }
}
