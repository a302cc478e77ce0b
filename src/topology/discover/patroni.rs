//! What Patroni's `GET /cluster` says. PURE.
//!
//! Any member answers for the whole cluster, from what it last read of the cluster's store. One that is cut off from the
//! store says what was true then; the leader holds its lock in the store, so its word is as fresh as can be.

use std::time::{Duration, SystemTime};

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::config::{ApiUrl, FoundHost, HostAddr, api_url};

/// Where it is asked.
pub(super) const PATH: &str = "/cluster";

/// The answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cluster {
    /// Its PostgreSQL servers.
    pub(super) hosts: Vec<FoundHost>,
    /// The REST APIs of all members.
    pub(super) apis: Vec<ApiUrl>,
    /// The leader's server, and its REST API.
    pub(super) leader: Option<(HostAddr, Option<ApiUrl>)>,
    /// When the leader is to hand over.
    pub(super) switchover: Option<SystemTime>,
}

/// Reads it. A member that has not told where its server is does not count.
///
/// # Errors
/// In words.
pub(super) fn read(answer: &Value) -> Result<Cluster, String> {
    let members = answer.get("members").and_then(Value::as_array);
    let members = members.ok_or("its answer names no members; is this Patroni's REST API?")?;
    let mut cluster = Cluster::default();
    for member in members {
        let text = |key: &str| member.get(key).and_then(Value::as_str);
        let api = text("api_url").and_then(|url| api_url(url).ok());
        cluster.apis.extend(api.clone());
        let port = member.get("port").and_then(Value::as_u64);
        let port = port.map_or(Ok(5432), u16::try_from);
        let (Some(host), Ok(port)) = (text("host"), port) else { continue };
        let addr = HostAddr::new(host, port);
        // Patroni before 3 says "master" in places.
        if matches!(text("role"), Some("leader" | "standby_leader" | "master")) {
            cluster.leader = Some((addr.clone(), api));
        }
        let kept_from_reads = member.pointer("/tags/noloadbalance").is_some_and(is_true);
        cluster.hosts.push(FoundHost { addr, reads: !kept_from_reads });
    }
    let at = answer.pointer("/scheduled_switchover/at").and_then(Value::as_str);
    cluster.switchover = at.map(moment).transpose()?;
    Ok(cluster)
}

fn is_true(value: &Value) -> bool {
    match value {
        Value::Bool(yes) => *yes,
        Value::String(text) => ["true", "yes", "on", "1"].contains(&text.as_str()),
        _ => false,
    }
}

/// `2026-11-25T18:00:00+00:00`, with or without fractions.
fn moment(text: &str) -> Result<SystemTime, String> {
    let at = OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|error| format!("cannot read the time of its switchover, {text:?}: {error}"))?;
    let micros = u64::try_from(at.unix_timestamp_nanos() / 1000).unwrap_or_default();
    Ok(SystemTime::UNIX_EPOCH + Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(text: &str) -> Result<Cluster, String> {
        read(&serde_json::from_str(text).unwrap())
    }

    #[test]
    fn members_are_hosts_and_the_leaders_word_can_be_known() {
        let found = cluster(
            r#"{"members": [
                {"name": "a", "role": "leader", "state": "running", "host": "10.0.0.1", "port": 5433,
                 "api_url": "http://10.0.0.1:8008/patroni", "timeline": 2},
                {"name": "b", "role": "replica", "state": "streaming", "host": "10.0.0.2", "port": 5432,
                 "api_url": "https://10.0.0.2:8008/patroni", "tags": {"noloadbalance": true}},
                {"name": "c", "role": "sync_standby", "state": "starting", "host": "10.0.0.3"},
                {"name": "d", "role": "replica", "state": "stopped"}],
               "scheduled_switchover": {"at": "1970-01-01T01:00:01.500000+01:00", "from": "a"}}"#,
        );
        let found = found.unwrap();
        let hosts: Vec<_> =
            found.hosts.iter().map(|host| (host.addr.to_string(), host.reads)).collect();
        let expected = [("10.0.0.1:5433", true), ("10.0.0.2:5432", false), ("10.0.0.3:5432", true)];
        assert_eq!(hosts, expected.map(|(host, reads)| (host.to_owned(), reads)));
        let apis: Vec<_> = found.apis.iter().map(ApiUrl::to_string).collect();
        assert_eq!(apis, ["http://10.0.0.1:8008", "https://10.0.0.2:8008"]);
        let leader = found.leader.map(|(addr, api)| (addr.to_string(), api));
        assert_eq!(leader, Some(("10.0.0.1:5433".to_owned(), found.apis.first().cloned())));
        assert_eq!(found.switchover, Some(SystemTime::UNIX_EPOCH + Duration::from_millis(1500)));
    }

    #[test]
    fn what_is_no_cluster_is_told() {
        assert!(cluster("{}").unwrap_err().contains("names no members"));
        assert!(cluster("[1]").is_err());
        assert_eq!(cluster(r#"{"members": []}"#), Ok(Cluster::default()));
        let broken = r#"{"members": [], "scheduled_switchover": {"at": "soon"}}"#;
        assert!(cluster(broken).unwrap_err().contains("\"soon\""));
        let odd = r#"{"members": [{"host": "x", "port": 70000}, {"host": 7}, 3]}"#;
        assert_eq!(cluster(odd).map(|cluster| cluster.hosts.len()), Ok(0));
    }
}
