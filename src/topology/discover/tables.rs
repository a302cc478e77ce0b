//! What cluster managers write down in tables of PostgreSQL. PURE.

use crate::config::{FoundHost, HostAddr, connstr};
use crate::server::query::Rows;

/// repmgr's nodes, whatever their state: one that is down today is a standby tomorrow. A witness has other data.
pub(super) const REPMGR: &str =
    "SELECT conninfo FROM repmgr.nodes WHERE type <> 'witness' ORDER BY node_id";

/// pg_auto_failover's nodes, with their formations. A node that is being dropped is none any more.
pub(super) const AUTO_FAILOVER: &str = "SELECT nodehost, nodeport, formationid FROM pgautofailover.node \
     WHERE goalstate::text <> 'dropped' AND groupid = 0 ORDER BY nodeid";

/// Reads [`REPMGR`].
///
/// # Errors
/// In words.
pub(super) fn repmgr(rows: &Rows) -> Result<Vec<FoundHost>, String> {
    rows.iter()
        .map(|row| {
            let conninfo = row.first().and_then(Option::as_deref).unwrap_or_default();
            address(conninfo).map(host).ok_or_else(|| {
                "a conninfo in repmgr.nodes names no host as \"host=NAME port=NUMBER\" would"
                    .to_owned()
            })
        })
        .collect()
}

/// Reads [`AUTO_FAILOVER`].
///
/// # Errors
/// In words.
pub(super) fn auto_failover(rows: &Rows, formation: &str) -> Result<Vec<FoundHost>, String> {
    let ours = rows.iter().filter(|row| text(row, 2) == Some(formation));
    ours.map(|row| {
        let port = text(row, 1).and_then(|port| port.parse().ok());
        match (text(row, 0), port) {
            (Some(name), Some(port)) => Ok(host(HostAddr::new(name, port))),
            _ => Err("a node in pgautofailover.node has no host and port".to_owned()),
        }
    })
    .collect()
}

fn text(row: &[Option<String>], column: usize) -> Option<&str> {
    row.get(column).and_then(Option::as_deref)
}

fn host(addr: HostAddr) -> FoundHost {
    FoundHost { addr, reads: true }
}

/// The host of a libpq connection string in its keyword form. libpq quotes with `\`, pgbouncer's grammar by doubling; a
/// host and a port need neither.
fn address(conninfo: &str) -> Option<HostAddr> {
    let pairs = connstr::parse(conninfo).ok()?;
    let last = |wanted: &str| {
        pairs.iter().rev().find(|(key, _)| key == wanted).map(|(_, value)| value.as_str())
    };
    let name = last("host").or_else(|| last("hostaddr"))?;
    let port = last("port").map_or(Some(5432), |port| port.parse().ok())?;
    Some(HostAddr::new(name, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[&[&str]]) -> Rows {
        let row = |row: &&[&str]| row.iter().map(|value| Some((*value).to_owned())).collect();
        rows.iter().map(row).collect()
    }

    fn shown(found: Result<Vec<FoundHost>, String>) -> Result<Vec<String>, String> {
        found.map(|found| found.iter().map(|host| host.addr.to_string()).collect())
    }

    #[test]
    fn a_node_of_repmgrs_is_where_its_conninfo_leads() {
        let nodes = rows(&[
            &["host=pg1 user=repmgr dbname=repmgr connect_timeout=2"],
            &["port=5433 hostaddr=10.0.0.2"],
            &["host='/run/postgresql' port=5434"],
        ]);
        let expected = ["pg1:5432", "10.0.0.2:5433", "/run/postgresql:5434"];
        assert_eq!(shown(repmgr(&nodes)), Ok(expected.map(str::to_owned).to_vec()));
        for nonsense in ["", "dbname=repmgr", "host=x port=many", "password='geheim"] {
            let error = repmgr(&rows(&[&[nonsense]])).unwrap_err();
            assert!(error.contains("host=NAME") && !error.contains("geheim"), "{error}");
        }
    }

    #[test]
    fn a_monitors_other_formations_are_others_business() {
        let nodes = rows(&[&["a", "5001", "default"], &["b", "5002", "other"]]);
        assert_eq!(shown(auto_failover(&nodes, "other")), Ok(vec!["b:5002".to_owned()]));
        assert!(auto_failover(&rows(&[&["a", "x", "default"]]), "default").is_err());
    }
}
