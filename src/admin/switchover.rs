//! `SWITCHOVER PREPARE` and `DONE`: a planned change of the primary that no client gets an error of.
//!
//! Before somebody demotes the primary: new transactions that need it wait, those under way end. Then the command
//! returns, and the cluster manager can do its work. As soon as another host is the primary, clients go on there.

use std::time::Duration;

use super::control::{Control, Refused};
use crate::config::{HostAddr, TargetSessionAttrs};
use crate::net::clock;

/// How often it is looked whether transactions are still under way.
const DRAIN_LOOK: Duration = Duration::from_millis(10);

impl Control {
    /// `SWITCHOVER PREPARE`: of one database entry, or of all that follow a primary. Ends when no transaction is under way
    /// on the primary.
    ///
    /// # Errors
    /// No such database; no primary; or transactions that have not ended within `failover_timeout`: then all is as before.
    pub async fn prepare_switchover(&self, database: Option<&str>) -> Result<(), Refused> {
        let names = self.followed(database)?;
        let limit = self.shared.live().config.settings.failover_timeout;
        let until = clock::now() + limit;
        let mut hosts = Vec::new();
        for name in &names {
            match self.topology().announce_switchover(name, until) {
                Some(host) => hosts.push((name, host)),
                None => {
                    self.give_up(&names);
                    return Err(Refused::NoPrimary(name.clone()));
                }
            }
        }
        for (name, host) in &hosts {
            loop {
                let busy = self.busy(name, host);
                if busy == 0 {
                    break;
                }
                if clock::now() >= until {
                    self.give_up(&names);
                    return Err(Refused::StillBusy { database: (*name).clone(), busy, limit });
                }
                tokio::time::sleep(DRAIN_LOOK).await;
            }
        }
        Ok(())
    }

    /// `SWITCHOVER DONE`: whoever is the primary serves.
    ///
    /// # Errors
    /// No such database, or no switchover was announced (any more).
    pub fn end_switchover(&self, database: Option<&str>) -> Result<(), Refused> {
        let names = self.followed(database)?;
        let ended = names.iter().filter(|name| self.topology().end_switchover(name)).count();
        if ended == 0 { Err(Refused::NoSwitchover) } else { Ok(()) }
    }

    /// How many servers on this host are in use by clients of this entry.
    fn busy(&self, database: &str, host: &HostAddr) -> u32 {
        let services = self.shared.services.all();
        let of_entry = services.iter().filter(|service| service.database == database);
        let pools = of_entry.flat_map(|service| service.pools());
        let on_host = pools.filter(|pool| pool.name().host == host.to_string());
        on_host.map(|pool| pool.levels().servers_active).sum()
    }

    fn give_up(&self, names: &[String]) {
        for name in names {
            self.topology().end_switchover(name);
        }
    }

    /// The entries that follow a primary: this one, or all.
    fn followed(&self, database: Option<&str>) -> Result<Vec<String>, Refused> {
        let live = self.shared.live();
        let databases = &live.config.databases;
        let follows = |name: &str| {
            let attrs = databases.get(name).and_then(|database| database.target_session_attrs);
            attrs.is_some_and(TargetSessionAttrs::wants_primary)
        };
        match database {
            Some(name) if follows(name) => Ok(vec![name.to_owned()]),
            Some(name) if databases.contains_key(name) => {
                Err(Refused::NotFollowed(name.to_owned()))
            }
            Some(name) => Err(Refused::NoSuchDatabase(name.to_owned())),
            None => Ok(databases.keys().filter(|name| follows(name)).cloned().collect()),
        }
    }
}

/// For a message.
pub(super) fn seconds(limit: Duration) -> String {
    format!("{} s", limit.as_secs_f64())
}
