//! Sections `[users]` and `[peers]`.

use super::databases::pairs;
use super::error::ConfigError;
use super::ini::{Entry, Section};
use super::model::{HostAddr, Peer, PoolMode, User};
use super::parameters::{count, limit, parameter, pool_size, seconds, unknown, wait};
use super::values::Value;

/// Bytes of a name, as in pgbouncer.
const MAX_NAME: usize = 127;

/// The keys of a user.
pub const KEYS: [&str; 10] = [
    "pool_mode",
    "pool_size",
    "reserve_pool_size",
    "max_user_connections",
    "max_user_client_connections",
    "query_wait_timeout",
    "query_timeout",
    "idle_transaction_timeout",
    "transaction_timeout",
    "client_idle_timeout",
];
/// Reads one entry of `[users]`.
///
/// # Errors
/// All that is wrong with it, at least one.
pub(super) fn read_user(entry: &Entry) -> Result<User, Vec<ConfigError>> {
    if entry.key.len() > MAX_NAME {
        let (at, name) = (entry.at.clone(), entry.key.clone());
        return Err(vec![ConfigError::NameTooLong { at, name, limit: MAX_NAME }]);
    }
    let mut user = User::default();
    let pairs = pairs(entry).map_err(|problem| vec![problem])?;
    let problems = pairs.iter().filter_map(|(key, value)| set(&mut user, entry, key, value).err());
    let problems: Vec<_> = problems.collect();
    if problems.is_empty() { Ok(user) } else { Err(problems) }
}

fn set(user: &mut User, entry: &Entry, key: &str, value: &str) -> Result<(), ConfigError> {
    match key {
        "pool_mode" => user.pool_mode = Some(parameter(entry, key, value, PoolMode::read)?),
        "pool_size" => user.pool_size = pool_size(entry, key, value)?,
        "reserve_pool_size" => user.reserve_pool_size = count(entry, key, value)?,
        "max_user_connections" => user.max_user_connections = limit(entry, key, value)?,
        "max_user_client_connections" => {
            user.max_user_client_connections = limit(entry, key, value)?;
        }
        "query_wait_timeout" => user.query_wait_timeout = wait(entry, key, value)?,
        "query_timeout" => user.query_timeout = seconds(entry, key, value)?,
        "idle_transaction_timeout" => user.idle_transaction_timeout = seconds(entry, key, value)?,
        "transaction_timeout" => user.transaction_timeout = seconds(entry, key, value)?,
        "client_idle_timeout" => user.client_idle_timeout = seconds(entry, key, value)?,
        _ => return Err(unknown(entry, key, KEYS)),
    }
    Ok(())
}

/// Reads one entry of `[peers]`: its `peer_id`, and what it is.
pub(super) fn read_peer(entry: &Entry) -> Result<(u16, Peer), ConfigError> {
    let invalid = |key: &str, value: &str, allowed: &str| ConfigError::InvalidParameter {
        at: entry.at.clone(),
        section: Section::Peers,
        entry: entry.key.clone(),
        key: key.to_owned(),
        value: value.to_owned(),
        allowed: allowed.to_owned(),
    };
    let Some(id) = entry.key.parse().ok().filter(|id: &u16| *id > 0) else {
        return Err(invalid("peer_id", &entry.key, "1 to 65535, the peer's own peer_id"));
    };
    let (mut host, mut port, mut size) = (None, DEFAULT_PORT, None);
    for (key, value) in pairs(entry)? {
        match key.as_str() {
            "host" => host = Some(value),
            "port" => {
                let number = value.parse().ok().filter(|port: &u16| *port > 0);
                port = number.ok_or_else(|| invalid("port", &value, "1 to 65535"))?;
            }
            "pool_size" => size = pool_size(entry, &key, &value)?,
            _ => return Err(unknown(entry, &key, ["host", "port", "pool_size"])),
        }
    }
    let Some(host) = host else {
        let (at, name) = (entry.at.clone(), entry.key.clone());
        return Err(ConfigError::HostMissing { at, section: Section::Peers, entry: name });
    };
    Ok((id, Peer { host: HostAddr::new(&host, port), pool_size: size }))
}

/// The port of a peer that names none.
const DEFAULT_PORT: u16 = 6432;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::parse_text;
    use super::*;

    fn refusal(text: &str) -> String {
        parse_text(text).expect_err("is refused").to_string()
    }

    #[test]
    fn a_user_may_have_a_mode_and_a_size() {
        let config =
            parse_text("[users]\nann = pool_mode=transaction pool_size=3\n'b ob' = pool_size=0")
                .expect("is well formed");
        let ann = User {
            pool_mode: Some(PoolMode::Transaction),
            pool_size: Some(Some(3)),
            ..User::default()
        };
        assert_eq!(config.users["ann"], ann);
        assert_eq!(config.users["b ob"].pool_size, Some(None));
        assert!(config.notes.is_empty());
    }

    #[test]
    fn a_users_limits_count_before_the_databases_and_the_global_ones() {
        let config = parse_text(
            "[databases]\napp = reserve_pool=2 max_db_connections=7\n\
             [users]\nann = reserve_pool_size=0 max_user_connections=3 max_user_client_connections=4\n\
             bob = max_user_connections=0\n\
             [pgbouncer]\nreserve_pool_size=1\nmax_user_connections=9\nmin_pool_size=5",
        )
        .expect("is well formed");
        let app = &config.databases["app"];
        assert_eq!(config.reserve_pool_size(app, "ann"), 0);
        assert_eq!(config.reserve_pool_size(app, "bob"), 2);
        assert_eq!(config.max_user_connections("ann"), Some(3));
        assert_eq!(config.max_user_connections("bob"), Some(9));
        assert_eq!(config.max_user_client_connections("ann"), Some(4));
        assert_eq!(config.max_user_client_connections("bob"), None);
        assert_eq!(config.max_db_connections(app), Some(7));
        assert_eq!(config.max_db_client_connections(app), None);
        assert_eq!(config.min_pool_size(app), 5);
    }

    #[test]
    fn a_users_timeouts_count_before_the_databases_and_the_global_ones() {
        let config = parse_text(
            "[databases]\napp = query_wait_timeout=0\n\
             [users]\nann = query_timeout=5 query_wait_timeout=3 client_idle_timeout=0\n\
             bob = idle_transaction_timeout=6 transaction_timeout=7\n\
             [pgbouncer]\nclient_idle_timeout=1.5\nquery_timeout=0",
        )
        .expect("is well formed");
        let (app, seconds) = (&config.databases["app"], Duration::from_secs);
        assert_eq!(config.query_wait_timeout(app, "ann"), Some(seconds(3)));
        assert_eq!(config.query_wait_timeout(app, "bob"), None);
        assert_eq!(config.query_timeout("ann"), Some(seconds(5)));
        assert_eq!(config.query_timeout("bob"), None);
        assert_eq!(config.idle_transaction_timeout("bob"), Some(seconds(6)));
        assert_eq!(config.transaction_timeout("bob"), Some(seconds(7)));
        assert_eq!(config.client_idle_timeout("ann"), Some(Duration::from_millis(1500)));
        assert!(config.has_timeouts() && !parse_text("").expect("is empty").has_timeouts());
    }

    #[test]
    fn a_users_unknown_key_or_bad_value_is_refused() {
        let error = refusal("[users]\nann = pool_mod=session");
        assert!(
            error.starts_with("unrecognized user parameter: pool_mod in users/ann (parse_text:2)"),
            "{error}"
        );
        assert!(refusal("[users]\nann = query_timeout=0.5").contains("allowed: a whole number"));
        assert!(
            refusal("[users]\nann = password=x")
                .starts_with("unrecognized user parameter: password")
        );
    }

    #[test]
    fn a_peer_has_a_host_and_pgbouncers_port() {
        let config = parse_text("[peers]\n1 = host=/run port=6433 pool_size=5\n2=host=b")
            .expect("is well formed");
        let first = Peer { host: HostAddr::new("/run", 6433), pool_size: Some(Some(5)) };
        let second = Peer { host: HostAddr::new("b", 6432), pool_size: None };
        let [note] = &config.notes[..] else { panic!("{:?}", config.notes) };
        assert!(note.to_string().contains("without peer_id"), "{note}");
        assert_eq!(config.peers.into_iter().collect::<Vec<_>>(), [(1, first), (2, second)]);
        assert!(parse_text("[pgbouncer]\npeer_id=1\n[peers]\n2=host=b").unwrap().notes.is_empty());
        assert!(refusal("[peers]\n0 = host=a").contains("peer_id"));
        assert!(refusal("[peers]\n1 = port=6432").starts_with("host was not provided for peer 1"));
        assert!(refusal("[peers]\n1 = host=a port=x").contains("allowed: 1 to 65535"));
        assert!(refusal("[pgbouncer]\npeer_id=16384").contains("from 0 to 16383"));
    }
}
