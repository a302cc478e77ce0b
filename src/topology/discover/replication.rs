//! Replicas by `pg_stat_replication`: a primary, or a replica that feeds others, knows who streams from it.
//!
//! It knows neither under which port such a replica listens nor by which name we reach it. So there are guesses, best
//! first, and a guess counts once a server of the same cluster answers there that is none of those we have already.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::lines::{Lines, Said};
use crate::config::{FoundHost, HostAddr};
use crate::server::Target;
use crate::server::query::Rows;

/// System identifier, start, and a row for each replica that streams: its process, `application_name`, `client_addr`.
/// Backups and logical subscribers are none. Without `pg_monitor` the address, and what they are about, is NULL.
const QUESTION: &str = "SELECT c.system_identifier, pg_catalog.pg_postmaster_start_time(), \
     s.pid, s.application_name, pg_catalog.host(s.client_addr), s.state \
     FROM pg_catalog.pg_control_system() c LEFT JOIN pg_catalog.pg_stat_replication s \
     ON (s.state IS NULL OR s.state IN ('streaming', 'catchup')) AND NOT EXISTS (SELECT FROM \
     pg_catalog.pg_replication_slots l WHERE l.active_pid = s.pid AND l.slot_type = 'logical')";

/// Of programs that stream and are no servers.
const NO_SERVERS: [&str; 3] = ["pg_receivewal", "pg_basebackup", "barman_receive_wal"];

/// How long a host that was found is kept while it is down and nobody names it.
const FORGET: Duration = Duration::from_secs(600);

/// Which server it is: cluster, and when it was started. Two addresses with one identity are one server.
type Identity = (String, String);

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Replication {
    lines: Lines,
    guesses: Lines,
    /// Hosts beside the entry's own, with when they were up or named last.
    found: Vec<(HostAddr, Instant)>,
    /// Which server a standby was found to be.
    met: HashMap<Standby, Identity>,
}

/// Who streams from a host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Standby {
    application_name: String,
    client_addr: Option<String>,
    /// Whether we may see where it comes from.
    in_sight: bool,
}

impl Replication {
    /// Asks all hosts; the entry's own are always part of the answer. `up`: which of those found are. Besides: what is to
    /// be told of a replica that cannot be found.
    ///
    /// # Errors
    /// In words: no host answers.
    pub(super) async fn ask(
        &mut self,
        seeds: &[HostAddr],
        up: impl Fn(&HostAddr) -> bool,
        login: &Target,
        limit: Duration,
        now: Instant,
    ) -> Result<(Vec<FoundHost>, Option<String>), String> {
        let known: Vec<HostAddr> =
            seeds.iter().chain(self.found.iter().map(|(host, _)| host)).cloned().collect();
        let said = self.lines.ask(&known, login, QUESTION, limit).await;
        let (mut known_by, standbys) = read(&said)?;
        for (host, seen) in &mut self.found {
            if up(host) || known_by.contains_key(host) {
                *seen = now;
            }
        }
        self.met.retain(|standby, _| standbys.contains(standby));
        self.found.retain(|(_, seen)| now.saturating_duration_since(*seen) < FORGET);
        // A server that we have under two names: the entry's own, or the first, stays.
        let mut taken: Vec<Identity> = Vec::new();
        for host in &known {
            if let Some(identity) = known_by.get(host).cloned() {
                if taken.contains(&identity) && !seeds.contains(host) {
                    known_by.remove(host);
                    self.found.retain(|(found, _)| found != host);
                } else {
                    taken.push(identity);
                }
            }
        }
        let port = seeds.first().map_or(5432, HostAddr::port);
        let mut problem = None;
        let system = taken.first().map(|(system, _)| system.clone());
        for standby in standbys {
            if self.met.get(&standby).is_some_and(|identity| taken.contains(identity)) {
                continue;
            }
            let mut guesses = guesses(&standby, port);
            // Several servers may share an address, with ports of their own.
            guesses.retain(|guess| !known_by.contains_key(guess));
            for (guess, said) in self.guesses.ask(&guesses, login, QUESTION, limit).await {
                let Some(identity) = said.ok().as_ref().and_then(identity) else { continue };
                if Some(&identity.0) != system.as_ref() {
                    continue;
                }
                self.met.insert(standby.clone(), identity.clone());
                if !taken.contains(&identity) {
                    taken.push(identity);
                    self.found.push((guess, now));
                }
                break;
            }
            if !self.met.contains_key(&standby) {
                problem = Some(standby.problem(port));
            }
        }
        let found = self.found.iter().map(|(host, _)| host);
        let all = seeds.iter().chain(found);
        let all = all.map(|addr| FoundHost { addr: addr.clone(), reads: true }).collect();
        Ok((all, problem))
    }
}

impl Standby {
    /// Why it is not among the hosts.
    fn problem(&self, port: u16) -> String {
        let name = &self.application_name;
        let tried: Vec<_> = guesses(self, port).iter().map(HostAddr::to_string).collect();
        let tried = if tried.is_empty() { "nowhere".to_owned() } else { tried.join(", ") };
        let grant = match self.in_sight {
            true => "",
            false => {
                " (where it comes from is not to be seen: GRANT pg_monitor TO the role that asks)"
            }
        };
        format!(
            "the replica with application_name={name} was looked for at {tried}{grant} and not found; \
             set application_name=HOST:PORT in its primary_conninfo, or name it in host="
        )
    }
}

/// Who is which server, and who streams from them.
fn read(said: &[Said]) -> Result<(HashMap<HostAddr, Identity>, Vec<Standby>), String> {
    let mut known = HashMap::new();
    let mut standbys = Vec::new();
    let mut errors = Vec::new();
    for (host, said) in said {
        let rows = match said {
            Ok(rows) => rows,
            Err(error) => {
                errors.push(super::named(&host.to_string(), error));
                continue;
            }
        };
        if let Some(identity) = identity(rows) {
            known.insert(host.clone(), identity);
        }
        for row in rows {
            let value = |column: usize| row.get(column).cloned().flatten();
            let (Some(_), Some(application_name)) = (value(2), value(3)) else { continue };
            let in_sight = value(5).is_some();
            let standby = Standby { application_name, client_addr: value(4), in_sight };
            if !NO_SERVERS.contains(&standby.application_name.as_str())
                && !standbys.contains(&standby)
            {
                standbys.push(standby);
            }
        }
    }
    if known.is_empty() { Err(errors.join("; ")) } else { Ok((known, standbys)) }
}

fn identity(rows: &Rows) -> Option<Identity> {
    let row = rows.first()?;
    Some((row.first()?.clone()?, row.get(1)?.clone()?))
}

/// Where a standby may be: at its `application_name`, which an operator can set to `host` or `host:port`; else at the
/// address that it comes from. `port`: of the entry's hosts.
fn guesses(standby: &Standby, port: u16) -> Vec<HostAddr> {
    let name = standby.application_name.as_str();
    let mut guesses = Vec::new();
    let with_port = name.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    match with_port {
        Some((host, port)) => {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            guesses.push(HostAddr::new(host, port));
        }
        // PostgreSQL's own name for a receiver without one is nobody's address.
        None if name != "walreceiver" && is_host_name(name) => {
            guesses.push(HostAddr::new(name, port));
        }
        None => {}
    }
    guesses.extend(standby.client_addr.as_deref().map(|address| HostAddr::new(address, port)));
    guesses
}

fn is_host_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(name: &str, address: Option<&str>) -> Vec<String> {
        let (application_name, client_addr) = (name.to_owned(), address.map(str::to_owned));
        let guesses = guesses(&Standby { application_name, client_addr, in_sight: true }, 5433);
        guesses.iter().map(HostAddr::to_string).collect()
    }

    #[test]
    fn a_standby_is_looked_for_at_its_name_and_then_where_it_comes_from() {
        assert_eq!(shown("walreceiver", Some("10.0.0.2")), ["10.0.0.2:5433"]);
        assert_eq!(shown("pg2", Some("10.0.0.2")), ["pg2:5433", "10.0.0.2:5433"]);
        assert_eq!(shown("pg2.example:6000", None), ["pg2.example:6000"]);
        assert_eq!(shown("[fe80::1]:6000", None), ["[fe80::1]:6000"]);
        assert_eq!(shown("my standby", None), [] as [String; 0]);
        assert_eq!(shown("", Some("fe80::1")), ["[fe80::1]:5433"]);
    }

    #[test]
    fn a_role_that_may_not_see_it_is_told_what_to_grant() {
        let row = ["7", "now", "77", "walreceiver"].map(|value| Some(value.to_owned()));
        let row = row.into_iter().chain([None, None]).collect();
        let (_, standbys) = read(&[(HostAddr::new("pg1", 5432), Ok(vec![row]))]).unwrap();
        let problem = standbys[0].problem(5432);
        assert!(problem.contains("at nowhere (where it comes from"), "{problem}");
        assert!(problem.contains("GRANT pg_monitor"), "{problem}");
    }

    #[test]
    fn programs_that_only_receive_wal_are_no_hosts_and_a_host_that_feeds_nobody_is_one() {
        let row = |values: [Option<&str>; 6]| values.map(|value| value.map(str::to_owned)).to_vec();
        let said = [
            row([
                Some("7"),
                Some("now"),
                Some("1"),
                Some("pg_receivewal"),
                Some("10.0.0.9"),
                Some("streaming"),
            ]),
            row([
                Some("7"),
                Some("now"),
                Some("2"),
                Some("pg2"),
                Some("10.0.0.2"),
                Some("streaming"),
            ]),
        ];
        let alone = row([Some("7"), Some("later"), None, None, None, None]);
        let (one, two) = (HostAddr::new("pg1", 5432), HostAddr::new("pg2", 5432));
        let said = [(one.clone(), Ok(said.to_vec())), (two, Ok(vec![alone]))];
        let (known, standbys) = read(&said).unwrap();
        assert_eq!(known.len(), 2);
        assert_eq!(known.get(&one), Some(&("7".to_owned(), "now".to_owned())));
        assert_eq!(standbys.len(), 1);
    }
}
