//! What is found out about hosts beside the file (parameter `discover`), put in force as a reload would.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::control::{Control, monitor_login};
use crate::config::{Config, Database, Discover, HostAddr, KnownHosts, Settings};
use crate::server::Target;
use crate::session::parameters::Tracked;
use crate::topology::discover::names::Names;
use crate::topology::discover::{Finding, Rhythm, Source};
use crate::worker::shared::Live;

/// As whom pg_auto_failover's own nodes ask its monitor.
const AUTOCTL_USER: &str = "autoctl_node";

/// The configuration as the files and SET have it, and what was found beside it.
#[derive(Debug)]
pub(super) struct Base {
    pub(super) config: Arc<Config>,
    pub(super) known: KnownHosts,
}

impl Base {
    /// Both, joined.
    pub(super) fn joined(&self) -> Config {
        self.config.with_hosts(&self.known)
    }

    /// Another configuration. What was found for an entry stays, unless it is to be found in another way now.
    pub(super) fn replaced_by(&self, config: Config) -> Self {
        let mut known = self.known.clone();
        let alike = |old: Arc<Database>, new: Arc<Database>| {
            (&old.hosts, &old.discover) == (&new.hosts, &new.discover)
        };
        known.found.retain(|name, _| match (entry(&self.config, name), entry(&config, name)) {
            (Some(old), Some(new)) => alike(old, new),
            _ => false,
        });
        Self { config: Arc::new(config), known }
    }
}

/// The entry with this name, `*` included.
fn entry(config: &Config, name: &str) -> Option<Arc<Database>> {
    config.databases.get(name).or(config.fallback.as_ref().filter(|all| all.name == name)).cloned()
}

/// Who is to be asked for hosts. `base`: the configuration as the files have it.
pub fn sources(base: &Config, live: &Live, tracked: &Arc<Tracked>) -> Vec<Source> {
    let mut sources: Vec<Source> = Vec::new();
    for database in base.databases.values().chain(&base.fallback) {
        let Some(discover) = &database.discover else { continue };
        let (user, dbname, password) = match discover {
            Discover::Patroni(_) => (None, None, None),
            Discover::Replication(login) => {
                (login.user.clone(), login.dbname.clone(), login.password.as_ref())
            }
            Discover::Repmgr(login) => {
                let dbname = login.dbname.clone().unwrap_or("repmgr".to_owned());
                (login.user.clone(), Some(dbname), login.password.as_ref())
            }
            Discover::AutoFailover(login) => {
                let user = login.user.clone().unwrap_or(AUTOCTL_USER.to_owned());
                let dbname = login.dbname.clone().unwrap_or("pg_auto_failover".to_owned());
                (Some(user), Some(dbname), login.password.as_ref())
            }
        };
        let Some(host) = database.hosts.first() else { continue };
        let Some(mut login) = monitor_login(live, database, host, user, password, tracked) else {
            continue;
        };
        login.dbname = dbname.unwrap_or(login.dbname);
        let same = |known: &&mut Source| {
            (&known.seeds, &known.discover, &known.login.user, &known.login.dbname)
                == (&database.hosts, discover, &login.user, &login.dbname)
        };
        if let Some(known) = sources.iter_mut().find(same) {
            known.entries.push(database.name.clone());
            continue;
        }
        sources.push(Source {
            entries: vec![database.name.clone()],
            seeds: database.hosts.clone(),
            discover: discover.clone(),
            login,
            https: live.server_tls.config.clone(),
        });
    }
    sources
}

fn rhythm(settings: &Settings) -> Rhythm {
    Rhythm {
        every: settings.discover_interval,
        limit: settings.topology_timeout,
        hold: settings.failover_timeout,
    }
}

impl Control {
    /// Begins to ask, and puts in force what is found. Ends with `stop`.
    pub async fn discover(self: Arc<Self>, stop: CancellationToken) {
        let Some(mut findings) = self.take_findings() else { return };
        self.ask_for_hosts(&*self.base().await);
        self.look_up_names(&self.shared.live());
        while let Some(Some(finding)) = stop.run_until_cancelled(findings.recv()).await {
            self.found(finding).await;
        }
    }

    /// From now on those whom this configuration names are asked.
    pub(super) fn ask_for_hosts(&self, base: &Base) {
        let live = self.shared.live();
        let sources = sources(&base.config, &live, &self.shared.tracked);
        self.topology().discover(sources, rhythm(&base.config.settings), self.findings());
    }

    /// From now on the names in this configuration are looked up.
    pub(super) fn look_up_names(&self, live: &Live) {
        let settings = &live.config.settings;
        let databases = live.config.databases.values().chain(&live.config.fallback);
        let hosts = databases.flat_map(|database| &database.hosts);
        let names = hosts.filter_map(HostAddr::to_look_up).map(str::to_owned).collect();
        let (ttl, retry) = (settings.dns_max_ttl, settings.dns_nxdomain_ttl);
        self.topology().look_up(Names { names, ttl, retry }, self.findings());
    }

    async fn found(&self, finding: Finding) {
        let mut base = self.base().await;
        let moved = match finding {
            Finding::Hosts { entries, hosts } => {
                let all = entries.into_iter().map(|name| (name, hosts.clone()));
                base.known.found.extend(all);
                None
            }
            Finding::Addresses { name, addresses, moved } => {
                base.known.addresses.insert(name.clone(), addresses);
                moved.then_some(name)
            }
        };
        let old = self.shared.live();
        let live = Live { config: Arc::new(base.joined()), ..(*old).clone() };
        if live.config.databases != old.config.databases
            || live.config.fallback != old.config.fallback
        {
            self.put_in_force(&old, live);
        }
        if let Some(name) = moved {
            self.move_to_other_address(&name);
        }
    }

    /// Servers at a name that leads elsewhere now are replaced as they come free, as `RECONNECT` does.
    fn move_to_other_address(&self, name: &str) {
        self.topology().reopen(name);
        for pool in self.shared.services.pools() {
            let at = |target: &Target| target.host.to_look_up() == Some(name);
            if pool.rules().targets.iter().any(at) {
                pool.reconnect();
            }
        }
    }
}

/// The way of the findings from who asks to who puts them in force.
#[derive(Debug)]
pub(super) struct Findings {
    pub(super) sender: mpsc::Sender<Finding>,
    pub(super) receiver: std::sync::Mutex<Option<mpsc::Receiver<Finding>>>,
}

impl Default for Findings {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(16);
        Self { sender, receiver: std::sync::Mutex::new(Some(receiver)) }
    }
}
