//! Discovery: which hosts a cluster has, by whoever manages it (parameter `discover` of a database entry).
//!
//! A manager is asked for hosts, never for roles: its word on those is seconds late, and the monitors ask the servers
//! themselves. What it names takes the place of the entry's own list, which is how it was reached first. A manager that
//! does not answer changes nothing.
//!
//! - `patroni`, `http` — Patroni's REST API
//! - `tables` — repmgr's nodes, and those of pg_auto_failover's monitor
//! - `replication` — who streams from the hosts that are known
//! - `lines` — questions to many servers at once
//! - `names` — addresses of names, which no manager knows but the system
//! - `planned` — PURE: switchovers that a manager has planned (Patroni)

mod http;
mod lines;
pub mod names;
mod patroni;
mod planned;
mod replication;
mod tables;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{info, warn};

use self::lines::{Lines, Said};
use self::planned::{Planned, Step, Word};
use self::replication::Replication;
use super::board::Board;
use super::snapshot::Snapshot;
use crate::config::{ApiUrl, Discover, DiscoverLogin, FoundHost, HostAddr};
use crate::net::clock;
use crate::server::Target;
use crate::server::query::Rows;

/// Somebody who knows hosts, and the entries whose hosts he knows.
#[derive(Clone, Debug)]
pub struct Source {
    /// The entries' names, at least one.
    pub entries: Vec<String>,
    /// Their hosts, as the file has them.
    pub seeds: Vec<HostAddr>,
    /// Who, and how he is asked.
    pub discover: Discover,
    /// How to log in at a server, whichever: `host` and `timeout` in here do not count.
    pub login: Target,
    /// How the certificate of an `https` API is checked.
    pub https: Option<Arc<rustls::ClientConfig>>,
}

/// How often, and what is too late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rhythm {
    /// `discover_interval`
    pub every: Duration,
    /// `topology_timeout`
    pub limit: Duration,
    /// `failover_timeout`: how long transactions are held for a switchover at most.
    pub hold: Duration,
}

/// What was found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The hosts of some entries.
    Hosts {
        /// The entries' names.
        entries: Vec<String>,
        /// Their hosts, at least one.
        hosts: Vec<FoundHost>,
    },
    /// The addresses of a name.
    Addresses {
        /// The name.
        name: String,
        /// Its addresses; none: it was never found.
        addresses: Vec<IpAddr>,
        /// Whether they were others before.
        moved: bool,
    },
}

/// What was said in one round.
#[derive(Debug, Default)]
struct Round {
    hosts: Vec<FoundHost>,
    word: Word,
    /// What is to be told although there is an answer.
    problem: Option<String>,
}

/// Asks on and on. Ends with whoever listens.
pub(super) async fn run(
    board: Arc<Board>,
    source: Source,
    rhythm: Rhythm,
    findings: mpsc::Sender<Finding>,
) {
    let (entries, by) = (source.entries.clone(), source.discover.name());
    let name = entries.join(", ");
    let mut asker = Asker::new(source);
    let mut planned = Planned::default();
    let mut told: Vec<FoundHost> = Vec::new();
    let mut problem: Option<String> = None;
    loop {
        let began = clock::now();
        let believed = entries.first().and_then(|entry| board.snapshot(entry));
        let answer = asker.ask(believed.as_deref(), rhythm.limit).await;
        let mut word = None;
        match answer {
            Ok(round) => {
                match (&round.problem, &problem) {
                    (Some(why), known) if known.as_ref() != Some(why) => {
                        warn!(database = name, "discover={by}: {why}");
                    }
                    (None, Some(_)) => info!(database = name, "discover={by}: all hosts are known"),
                    _ => {}
                }
                problem = round.problem;
                word = Some(round.word);
                if !round.hosts.is_empty() && round.hosts != told {
                    told.clone_from(&round.hosts);
                    let finding = Finding::Hosts { entries: entries.clone(), hosts: round.hosts };
                    if findings.send(finding).await.is_err() {
                        return;
                    }
                }
            }
            Err(why) if problem.as_ref() != Some(&why) => {
                warn!(database = name, "discover={by}: {why}; the hosts stay as they are");
                problem = Some(why);
            }
            Err(_) => {}
        }
        let until = began + rhythm.every;
        loop {
            act(&board, &entries, planned.step(word.take().as_ref(), clock::wall()), rhythm.hold);
            let rest = until.saturating_duration_since(clock::now());
            let begun = matches!(planned, Planned::Begun { .. });
            match planned.next(clock::wall()).filter(|next| *next < rest) {
                None => {
                    tokio::time::sleep(rest).await;
                    break;
                }
                Some(next) => tokio::time::sleep(next).await,
            }
            if begun {
                // Whether it was called off only the manager can say.
                break;
            }
        }
    }
}

fn act(board: &Board, entries: &[String], step: Step, hold: Duration) {
    for entry in entries {
        match step {
            Step::Nothing => {}
            Step::Hold => {
                board.announce_switchover(entry, clock::now() + hold);
            }
            Step::LetGo => {
                board.end_switchover(entry);
            }
        }
    }
}

/// Asks once: the hosts.
///
/// # Errors
/// In words.
pub async fn ask_once(source: &Source, limit: Duration) -> Result<Vec<FoundHost>, String> {
    let round = Asker::new(source.clone()).ask(None, limit).await?;
    match round.hosts.is_empty() {
        false => Ok(round.hosts),
        true => Err("it names no hosts".to_owned()),
    }
}

/// Asks one source, round by round.
#[derive(Debug)]
struct Asker {
    source: Source,
    /// Patroni's APIs, as it has named them.
    apis: Vec<ApiUrl>,
    lines: Lines,
    replication: Replication,
}

impl Asker {
    fn new(source: Source) -> Self {
        let (apis, lines, replication) = (Vec::new(), Lines::default(), Replication::default());
        Self { source, apis, lines, replication }
    }

    /// `believed`: what the monitors know of an entry's hosts.
    async fn ask(&mut self, believed: Option<&Snapshot>, limit: Duration) -> Result<Round, String> {
        let mut problem = None;
        let hosts = match self.source.discover.clone() {
            Discover::Patroni(urls) => return self.ask_patroni(&urls, limit).await,
            Discover::Repmgr(login) => {
                let hosts = self.askable(believed, &login);
                let said = self.lines.ask(&hosts, &self.source.login, tables::REPMGR, limit).await;
                let primary = believed.and_then(Snapshot::primary).map(|host| &host.addr);
                agreed(said, primary, tables::repmgr)?
            }
            Discover::AutoFailover(login) => {
                let login_as = &self.source.login;
                let said = self.lines.ask(&login.hosts, login_as, tables::AUTO_FAILOVER, limit);
                let formation = login.formation.as_deref().unwrap_or("default");
                let read = |rows: &Rows| tables::auto_failover(rows, formation);
                agreed(said.await, None, read)?
            }
            Discover::Replication(_) => {
                let up = |addr: &HostAddr| {
                    believed.and_then(|all| all.host(addr)).is_some_and(|host| host.up)
                };
                let Source { seeds, login, .. } = &self.source;
                let asked = self.replication.ask(seeds, up, login, limit, clock::now());
                let (hosts, unfound) = asked.await?;
                problem = unfound;
                hosts
            }
        };
        Ok(Round { hosts, word: Word::default(), problem })
    }

    /// Whom to ask of those who all have the same tables: hosts that are up, if any is known to be.
    fn askable(&self, believed: Option<&Snapshot>, login: &DiscoverLogin) -> Vec<HostAddr> {
        let up = believed.into_iter().flat_map(|all| &all.hosts).filter(|host| host.up);
        let mut hosts: Vec<HostAddr> = up.map(|host| host.addr.clone()).collect();
        if hosts.is_empty() {
            hosts.clone_from(&self.source.seeds);
        }
        hosts.extend(login.hosts.iter().cloned());
        hosts
    }

    async fn ask_patroni(&mut self, urls: &[ApiUrl], limit: Duration) -> Result<Round, String> {
        let mut answers = Vec::new();
        let mut errors = Vec::new();
        for urls in [&self.apis[..], urls] {
            if !answers.is_empty() {
                break;
            }
            let mut asking = JoinSet::new();
            for url in urls.iter().cloned() {
                let tls = self.source.https.clone();
                asking.spawn(async move {
                    let answer = http::get(&url, patroni::PATH, tls.as_ref(), limit).await;
                    (url, answer.and_then(|answer| patroni::read(&answer)))
                });
            }
            for (url, answer) in asking.join_all().await {
                match answer {
                    Ok(cluster) => answers.push((url, cluster)),
                    Err(error) => errors.push(format!("{url}: {error}")),
                }
            }
        }
        if answers.is_empty() {
            errors.sort();
            errors.dedup();
            return Err(errors.join("; "));
        }
        // The leader's word, if it could be asked; else what anybody says.
        let leads = |(url, cluster): &&(ApiUrl, patroni::Cluster)| {
            cluster.leader.as_ref().is_some_and(|(_, api)| api.as_ref() == Some(url))
        };
        let leader = answers.iter().find(leads).map(|(_, cluster)| cluster.clone());
        let word = match &leader {
            Some(cluster) => Word {
                plan: Some(cluster.switchover),
                leader: cluster.leader.as_ref().map(|(addr, _)| addr.clone()),
            },
            None => Word::default(),
        };
        let counts = match leader {
            Some(cluster) => vec![cluster],
            None => answers.into_iter().map(|(_, cluster)| cluster).collect(),
        };
        self.apis = counts.iter().flat_map(|cluster| cluster.apis.iter().cloned()).collect();
        self.apis.sort();
        self.apis.dedup();
        let hosts = counts.into_iter().flat_map(|cluster| cluster.hosts);
        Ok(Round { hosts: in_order(hosts), word, problem: None })
    }
}

/// What the primary says, or else what anybody says.
fn agreed(
    said: Vec<Said>,
    primary: Option<&HostAddr>,
    read: impl Fn(&Rows) -> Result<Vec<FoundHost>, String>,
) -> Result<Vec<FoundHost>, String> {
    let (mut all, mut errors) = (Vec::new(), Vec::new());
    for (addr, said) in said {
        match said.and_then(|rows| read(&rows)) {
            Ok(hosts) if Some(&addr) == primary => return Ok(in_order(hosts)),
            Ok(hosts) => all.push(hosts),
            Err(error) => errors.push(named(&addr.to_string(), &error)),
        }
    }
    if all.is_empty() {
        return Err(errors.join("; "));
    }
    Ok(in_order(all.into_iter().flatten()))
}

/// An error with its host's name, which most have already.
fn named(host: &str, error: &str) -> String {
    if error.contains(host) { error.to_owned() } else { format!("{host}: {error}") }
}

/// Each once, in an order that does not depend on who said it first.
fn in_order(hosts: impl IntoIterator<Item = FoundHost>) -> Vec<FoundHost> {
    let mut hosts: Vec<FoundHost> = hosts.into_iter().collect();
    hosts.sort_by(|a, b| a.addr.cmp(&b.addr));
    hosts.dedup_by(|a, b| a.addr == b.addr);
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(names: &[&str]) -> Vec<FoundHost> {
        let host = |name: &&str| FoundHost { addr: HostAddr::new(name, 5432), reads: true };
        names.iter().map(host).collect()
    }

    fn said(host: &str, nodes: Result<&[&str], &str>) -> Said {
        let row = |name: &&str| vec![Some((*name).to_owned())];
        let rows = nodes.map(|nodes| nodes.iter().map(row).collect()).map_err(str::to_owned);
        (HostAddr::new(host, 5432), rows)
    }

    fn read(rows: &Rows) -> Result<Vec<FoundHost>, String> {
        let names: Vec<_> = rows.iter().flatten().flatten().map(String::as_str).collect();
        Ok(found(&names))
    }

    #[test]
    fn the_primarys_word_counts_before_that_of_one_who_may_be_behind() {
        let all = || vec![said("a", Ok(&["a", "b", "old"])), said("b", Ok(&["b", "a"]))];
        let primary = HostAddr::new("b", 5432);
        assert_eq!(agreed(all(), Some(&primary), read), Ok(found(&["a", "b"])));
        assert_eq!(agreed(all(), None, read), Ok(found(&["a", "b", "old"])), "anybody's");
    }

    #[test]
    fn only_if_nobody_answers_it_is_an_error() {
        let one = || said("a", Err("a:5432 is not there"));
        let two = || said("b", Err("no right"));
        assert_eq!(agreed(vec![one(), said("b", Ok(&["b"]))], None, read), Ok(found(&["b"])));
        let error = agreed(vec![one(), two()], None, read);
        assert_eq!(error, Err("a:5432 is not there; b:5432: no right".to_owned()));
    }
}
