//! Parameters `discover` and `discover_from` of an entry: who else knows its hosts, and where that one is asked.

use super::connstr;
use super::databases::DEFAULT_PORT;
use super::model::{ApiUrl, Discover, DiscoverBy, DiscoverLogin, HostAddr, SecretText};
use super::values::Allowed;

/// The values of `discover`.
pub(super) const DISCOVER: [(&str, Option<DiscoverBy>); 5] = [
    ("off", None),
    ("replication", Some(DiscoverBy::Replication)),
    ("repmgr", Some(DiscoverBy::Repmgr)),
    ("patroni", Some(DiscoverBy::Patroni)),
    ("pg_auto_failover", Some(DiscoverBy::AutoFailover)),
];

/// Patroni's, of its REST API.
const API_PORT: u16 = 8008;

/// Reads `discover`.
pub(super) fn by(text: &str) -> Result<Option<DiscoverBy>, Allowed> {
    let known = DISCOVER.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    let names = || DISCOVER.map(|(name, _)| name).join(", ");
    known.map(|(_, by)| *by).ok_or_else(|| format!("one of {}", names()))
}

/// As `discover` has it.
pub(super) fn name(by: DiscoverBy) -> &'static str {
    DISCOVER.iter().find(|(_, known)| *known == Some(by)).map_or("off", |(name, _)| name)
}

impl Discover {
    /// As `discover` has it.
    pub fn name(&self) -> &'static str {
        name(match self {
            Self::Replication(_) => DiscoverBy::Replication,
            Self::Repmgr(_) => DiscoverBy::Repmgr,
            Self::Patroni(_) => DiscoverBy::Patroni,
            Self::AutoFailover(_) => DiscoverBy::AutoFailover,
        })
    }
}

/// Joins both. `from`: `discover_from` as it stands, if it is there.
pub(super) fn read(by: DiscoverBy, from: Option<&str>) -> Result<Discover, Allowed> {
    let login = || from.map_or(Ok(DiscoverLogin::default()), login);
    match by {
        DiscoverBy::Replication => {
            let login = login()?;
            match login.hosts.is_empty() {
                true => Ok(Discover::Replication(login)),
                false => {
                    Err("no host=: with discover=replication the entry's hosts are asked"
                        .to_owned())
                }
            }
        }
        DiscoverBy::Repmgr => Ok(Discover::Repmgr(login()?)),
        DiscoverBy::Patroni => {
            let urls = from.map(|list| list.split(',').map(|url| api_url(url.trim())).collect());
            Ok(Discover::Patroni(urls.transpose()?.unwrap_or_default()))
        }
        DiscoverBy::AutoFailover => {
            let login = login()?;
            match login.hosts.is_empty() {
                false => Ok(Discover::AutoFailover(login)),
                true => Err("discover=pg_auto_failover to be told where the monitor is: \
                             discover_from='host=MONITOR port=5432'"
                    .to_owned()),
            }
        }
    }
}

/// `host=a,b port=5432 dbname=x user=y password=z`, each of them optional.
fn login(text: &str) -> Result<DiscoverLogin, Allowed> {
    const KEYS: &str = "'host=… port=… dbname=… user=… password=…', each of them optional";
    let mut found = DiscoverLogin::default();
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    let pairs = connstr::parse(text).map_err(|fault| format!("{KEYS}: {fault}"))?;
    for (key, value) in pairs {
        match key.as_str() {
            "host" => hosts = value.split(',').map(|host| host.trim().to_owned()).collect(),
            "port" => {
                let port = |word: &str| word.trim().parse().ok().filter(|port: &u16| *port != 0);
                let all: Option<Vec<u16>> = value.split(',').map(port).collect();
                ports = all.ok_or_else(|| "port= to be from 1 to 65535".to_owned())?;
            }
            "dbname" => found.dbname = Some(value),
            "user" => found.user = Some(value),
            "password" => found.password = Some(SecretText::new(value)),
            "formation" => found.formation = Some(value),
            key => return Err(format!("{KEYS}; not {key}=")),
        }
    }
    if ports.len() > 1 && ports.len() != hosts.len() {
        return Err("one port, or as many as host= has names".to_owned());
    }
    let first = ports.first().copied().unwrap_or(DEFAULT_PORT);
    let each = ports.into_iter().chain(std::iter::repeat(first));
    found.hosts = hosts.iter().zip(each).map(|(host, port)| HostAddr::new(host, port)).collect();
    Ok(found)
}

/// Reads `http://host:port`, where all but the host may be left out; a path is ignored, as is a trailing slash.
///
/// # Errors
/// What is allowed, in words.
pub fn api_url(text: &str) -> Result<ApiUrl, Allowed> {
    let allowed = || "URLs of Patroni's REST API, as http://pg1:8008,http://pg2:8008".to_owned();
    let (tls, rest) = match text.split_once("://") {
        Some(("http", rest)) => (false, rest),
        Some(("https", rest)) => (true, rest),
        Some(_) => return Err(allowed()),
        None => (false, text),
    };
    let place = rest.split('/').next().unwrap_or_default();
    let (host, port) = match place.rsplit_once(':') {
        // An IPv6 number without a port: its last colon is not one before a port.
        Some((host, _)) if host.starts_with('[') && place.ends_with(']') => (place, None),
        Some((host, port)) => (host, Some(port)),
        None => (place, None),
    };
    let port = match port {
        Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or_else(allowed)?,
        None => API_PORT,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    if host.is_empty() { Err(allowed()) } else { Ok(ApiUrl { tls, host, port }) }
}

/// Patroni's REST API beside a host of the entry.
pub(super) fn api_of(host: &HostAddr) -> Option<ApiUrl> {
    match host {
        HostAddr::Tcp { host, .. } => {
            Some(ApiUrl { tls: false, host: host.clone(), port: API_PORT })
        }
        HostAddr::Unix { .. } | HostAddr::Resolved { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        api_url(text).map_or_else(|allowed| allowed, |url| url.to_string())
    }

    #[test]
    fn an_api_is_named_by_as_little_as_its_host() {
        assert_eq!(shown("pg1"), "http://pg1:8008");
        assert_eq!(shown("pg1:80"), "http://pg1:80");
        assert_eq!(shown("https://pg1/patroni"), "https://pg1:8008");
        assert_eq!(shown("http://10.0.0.1:8009/"), "http://10.0.0.1:8009");
        assert_eq!(shown("http://[fe80::1]:8009"), "http://[fe80::1]:8009");
        assert_eq!(shown("[fe80::1]"), "http://[fe80::1]:8008");
        for nonsense in ["", "ftp://pg1", "pg1:0", "pg1:x", "http://", "http://:8008"] {
            assert!(shown(nonsense).starts_with("URLs of"), "{nonsense}");
        }
    }

    #[test]
    fn a_login_says_as_much_as_it_likes() {
        let from = "host=a,b port=1,2 dbname=d user=u password='p q'";
        let Ok(Discover::Repmgr(found)) = read(DiscoverBy::Repmgr, Some(from)) else { panic!() };
        let hosts: Vec<_> = found.hosts.iter().map(HostAddr::to_string).collect();
        assert_eq!(hosts, ["a:1", "b:2"]);
        assert_eq!((found.dbname.as_deref(), found.user.as_deref()), (Some("d"), Some("u")));
        assert_eq!(
            found.password.map(|password| password.reveal().to_owned()),
            Some("p q".to_owned())
        );
        let nothing = read(DiscoverBy::Repmgr, None);
        assert_eq!(nothing, Ok(Discover::Repmgr(DiscoverLogin::default())));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for (by, from, words) in [
            (DiscoverBy::Repmgr, Some("hots=a password=geheim"), "not hots="),
            (DiscoverBy::Repmgr, Some("password='geheim"), "does not end"),
            (DiscoverBy::Repmgr, Some("port=0"), "1 to 65535"),
            (DiscoverBy::Repmgr, Some("host=a port=1,2"), "as many as"),
            (DiscoverBy::Replication, Some("host=a"), "no host="),
            (DiscoverBy::AutoFailover, None, "where the monitor is"),
            (DiscoverBy::AutoFailover, Some("user=u"), "where the monitor is"),
            (DiscoverBy::Patroni, Some("http://a,ftp://b"), "URLs of"),
        ] {
            let allowed = read(by, from).expect_err("is refused");
            assert!(allowed.contains(words) && !allowed.contains("geheim"), "{allowed}");
        }
    }
}
