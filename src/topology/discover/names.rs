//! Addresses of names, as they change (settings `dns_max_ttl`, `dns_nxdomain_ttl`).
//!
//! They are looked up as the system does it (`getaddrinfo`: /etc/hosts and all), which tells no time to live.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::{info, warn};

use super::super::board::Board;
use super::Finding;
use crate::net::clock;

/// Longest time for one look-up; the system's resolver may try several servers.
const LIMIT: Duration = Duration::from_secs(15);

/// Least time between two look-ups of a name, and how long one is kept while a host of its is down: an orchestrator may
/// have given the name to another one.
const SOON: Duration = Duration::from_secs(1);

/// Which names are to be looked up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// The names.
    pub names: BTreeSet<String>,
    /// How long addresses are kept.
    pub ttl: Duration,
    /// How long a failure is.
    pub retry: Duration,
}

/// What is known of a name.
#[derive(Debug)]
struct Known {
    addresses: Vec<IpAddr>,
    looked: Instant,
    failed: bool,
}

/// Looks them up on and on. Ends with whoever listens.
pub(in super::super) async fn run(
    board: Arc<Board>,
    mut wanted: watch::Receiver<Names>,
    findings: mpsc::Sender<Finding>,
) {
    let mut known: BTreeMap<String, Known> = BTreeMap::new();
    loop {
        let Names { names, ttl, retry } = wanted.borrow_and_update().clone();
        known.retain(|name, _| names.contains(name));
        let now = clock::now();
        let due = |name: &String| {
            known.get(name).map_or(now, |known| {
                let keep = if known.failed { retry } else { ttl };
                let keep = if board.is_name_down(name) { keep.min(SOON) } else { keep };
                known.looked + keep.max(SOON)
            })
        };
        let next = names.iter().map(due).min();
        let mut looking = JoinSet::new();
        for name in names.iter().filter(|name| due(name) <= now).cloned() {
            looking.spawn(async move {
                let found = tokio::time::timeout(LIMIT, look_up(&name)).await;
                (name, found.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())))
            });
        }
        if looking.is_empty() {
            // A host may go down meanwhile, so not for long.
            let rest = next.map_or(ttl, |next| next.saturating_duration_since(now));
            let rest = if names.is_empty() { Duration::MAX } else { rest.min(SOON) };
            tokio::select! {
                changed = wanted.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(rest) => {}
            }
            continue;
        }
        for (name, found) in looking.join_all().await {
            let before = known.remove(&name);
            let (addresses, failed) = match found {
                Ok(addresses) => (addresses, false),
                Err(error) => {
                    if !before.as_ref().is_some_and(|before| before.failed) {
                        warn!("cannot look up {name}: {error}; its last addresses are used on");
                    }
                    (
                        before.as_ref().map(|before| before.addresses.clone()).unwrap_or_default(),
                        true,
                    )
                }
            };
            let moved = before.as_ref().is_some_and(|before| before.addresses != addresses);
            if moved {
                let list: Vec<_> = addresses.iter().map(IpAddr::to_string).collect();
                info!("{name} has other addresses than before: {}", list.join(", "));
            }
            let tell = moved || before.is_none();
            let now = Known { addresses: addresses.clone(), looked: clock::now(), failed };
            known.insert(name.clone(), now);
            if tell && findings.send(Finding::Addresses { name, addresses, moved }).await.is_err() {
                return;
            }
        }
    }
}

/// Of one family, the one that the system prefers: a server with an address of each is not two servers.
async fn look_up(name: &str) -> io::Result<Vec<IpAddr>> {
    let all = tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip());
    Ok(of_one_family(all))
}

fn of_one_family(all: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let mut all = all.peekable();
    let preferred = all.peek().map(IpAddr::is_ipv4);
    let one: BTreeSet<_> = all.filter(|ip| Some(ip.is_ipv4()) == preferred).collect();
    one.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn family(all: &[&str]) -> Vec<String> {
        let all = all.iter().map(|ip| ip.parse().unwrap());
        of_one_family(all).iter().map(IpAddr::to_string).collect()
    }

    #[test]
    fn a_server_with_an_address_of_each_family_is_one() {
        assert_eq!(family(&["::1", "127.0.0.1"]), ["::1"]);
        assert_eq!(
            family(&["10.0.0.2", "fe80::2", "10.0.0.1", "10.0.0.2"]),
            ["10.0.0.1", "10.0.0.2"]
        );
        assert_eq!(family(&[]), [] as [String; 0]);
    }
}
