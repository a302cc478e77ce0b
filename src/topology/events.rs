//! The story of the hosts: what changed when, for the log and for SHOW EVENTS.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tracing::{error, info, warn};

use super::snapshot::{HostView, Role, Snapshot, Unfit};
use crate::config::HostAddr;

/// How many are kept.
const KEPT: usize = 1000;

/// Of clients, while there is no primary.
const WAIT: &str = "clients that need one wait, up to failover_timeout";

/// Something that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: SystemTime,
    /// The entry of `[databases]`.
    pub database: String,
    /// Which host, if it was one.
    pub host: Option<HostAddr>,
    /// What.
    pub what: What,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A host has another role, is down, or is not used for another reason than before.
    Host {
        /// The role before, or `down`.
        from: &'static str,
        /// The role now, or `down`.
        to: &'static str,
        /// The timeline it is on.
        timeline: Option<u32>,
        /// What is wrong with it.
        why: Option<Arc<str>>,
    },
    /// A host belongs to the entry from now on.
    Joined,
    /// A host does not any more.
    Left,
    /// There is no primary any more, or there is none for another reason than before.
    NoPrimary {
        /// Why, and what to do.
        why: Option<Arc<str>>,
    },
    /// There is one again.
    PrimaryFound {
        /// The timeline it is on.
        timeline: Option<u32>,
        /// How long there was none.
        missing: Duration,
    },
    /// Several hosts say that they are the primary, and none is believed.
    SplitBrain,
    /// A switchover was announced: new transactions wait.
    SwitchoverAnnounced,
    /// They wait no longer for it.
    SwitchoverOver,
}

impl What {
    /// A word or two.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Host { to, .. } => to,
            Self::Joined => "joined",
            Self::Left => "left",
            Self::NoPrimary { .. } => "no primary",
            Self::PrimaryFound { .. } => "primary found",
            Self::SplitBrain => "split brain",
            Self::SwitchoverAnnounced => "switchover announced",
            Self::SwitchoverOver => "switchover over",
        }
    }

    /// The timeline it is about.
    pub fn timeline(&self) -> Option<u32> {
        match self {
            Self::Host { timeline, .. } | Self::PrimaryFound { timeline, .. } => *timeline,
            _ => None,
        }
    }

    /// In a sentence.
    pub fn detail(&self) -> String {
        match self {
            Self::Host { from, why: None, .. } => format!("was {from}"),
            Self::Host { from, why: Some(why), .. } => format!("was {from}; {why}"),
            Self::Joined => "named by the configuration or the cluster manager".to_owned(),
            Self::Left => "named by neither any more; transactions on it end, and no new ones begin".to_owned(),
            Self::NoPrimary { why: None } => WAIT.to_owned(),
            Self::NoPrimary { why: Some(why) } => format!("{why}; {WAIT}"),
            Self::PrimaryFound { missing, .. } => {
                format!("there was none for {} ms; clients that waited go on", missing.as_millis())
            }
            Self::SplitBrain => "several hosts say that they are the primary and none is believed; no writes until all \
                                 but one of them stop, see SHOW TOPOLOGY"
                .to_owned(),
            Self::SwitchoverAnnounced => "new transactions that need the primary wait".to_owned(),
            Self::SwitchoverOver => "transactions go to the primary again".to_owned(),
        }
    }
}

impl Event {
    /// Writes it to the log, once.
    fn log(&self) {
        let database = self.database.as_str();
        let (event, detail) = (self.what.name(), self.what.detail());
        match (&self.what, &self.host) {
            (What::SplitBrain, _) => error!(database, event, detail, "topology"),
            (What::NoPrimary { .. }, _) => warn!(database, event, detail, "topology"),
            (What::Host { why, timeline, .. }, Some(host)) => match why {
                Some(_) => warn!(database, %host, event, timeline, detail, "topology"),
                None => info!(database, %host, event, timeline, detail, "topology"),
            },
            (_, Some(host)) => {
                info!(database, %host, event, timeline = self.what.timeline(), detail, "topology");
            }
            (_, None) => info!(database, event, detail, "topology"),
        }
    }
}

/// The last events, oldest first.
#[derive(Debug, Default)]
pub(super) struct Events {
    last: VecDeque<Event>,
}

impl Events {
    /// Notes what differs between two looks at an entry's hosts, in the order in which it explains itself: hosts first.
    pub(super) fn note(
        &mut self,
        database: &str,
        old: &Snapshot,
        new: &Snapshot,
        missing: Option<Duration>,
        at: SystemTime,
    ) {
        let listed = |all: &Snapshot, beside: &Snapshot| -> Vec<HostAddr> {
            let only = all.hosts.iter().filter(|host| beside.host(&host.addr).is_none());
            only.map(|host| host.addr.clone()).collect()
        };
        for (hosts, what) in [(listed(new, old), What::Joined), (listed(old, new), What::Left)] {
            for host in hosts {
                let (database, what) = (database.to_owned(), what.clone());
                self.add(Event { at, database, host: Some(host), what });
            }
        }
        for host in &new.hosts {
            if let Some(what) = host_changed(old.host(&host.addr), host) {
                self.add(Event {
                    at,
                    database: database.to_owned(),
                    host: Some(host.addr.clone()),
                    what,
                });
            }
        }
        let primary = new.primary().map(|primary| primary.addr.clone());
        let mut all = |host, what| {
            self.add(Event { at, database: database.to_owned(), host, what });
        };
        if new.split_brain && !old.split_brain {
            all(None, What::SplitBrain);
        }
        match (old.switching_over.is_some(), new.switching_over.is_some()) {
            (false, true) => all(None, What::SwitchoverAnnounced),
            (true, false) => all(None, What::SwitchoverOver),
            _ => {}
        }
        match (old.primary_missing_since, new.primary()) {
            (None, None) if new.switching_over.is_none() => {
                let why = new.tell_no_primary().map(Arc::from);
                all(None, What::NoPrimary { why });
            }
            (Some(_), Some(found)) => {
                let (timeline, missing) = (found.timeline, missing.unwrap_or_default());
                all(primary, What::PrimaryFound { timeline, missing });
            }
            _ => {}
        }
    }

    /// Notes why there is no primary, if there was none before and the reason is another one now: from the start, or
    /// because of what was mended or broke since.
    pub(super) fn note_reason(
        &mut self,
        database: &str,
        old: &Snapshot,
        new: &Snapshot,
        at: SystemTime,
    ) {
        if old.primary_missing_since.is_none() || old.no_primary() == new.no_primary() {
            return;
        }
        if let Some(why) = new.tell_no_primary() {
            let what = What::NoPrimary { why: Some(why.into()) };
            self.add(Event { at, database: database.to_owned(), host: None, what });
        }
    }

    fn add(&mut self, event: Event) {
        event.log();
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(event);
    }

    /// All that are kept.
    pub(super) fn all(&self) -> Vec<Event> {
        self.last.iter().cloned().collect()
    }
}

fn host_changed(old: Option<&HostView>, new: &HostView) -> Option<What> {
    let (old_role, old_up) = old.map_or((Role::Unknown, false), |old| (old.role, old.up));
    let unasked = old.is_none_or(|old| old.unfit == Some(Unfit::Unasked));
    let same_error = old.is_some_and(|old| old.last_error == new.last_error);
    if old.is_none() && !new.up && new.last_error.is_none() {
        return None; // just joined
    }
    let in_order = new.up && new.role != Role::Deposed;
    if old_role == new.role && old_up == new.up && (in_order || same_error) {
        return None;
    }
    let from = if unasked { Role::Unknown.name() } else { state(old_role, old_up) };
    let to = state(new.role, new.up);
    let why = new.last_error.clone().filter(|_| !in_order);
    Some(What::Host { from, to, timeline: new.timeline, why })
}

fn state(role: Role, up: bool) -> &'static str {
    if up { role.name() } else { "down" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_thousand_are_kept() {
        let mut events = Events::default();
        for number in 0..KEPT + 5 {
            let what = What::NoPrimary { why: None };
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(number as u64);
            events.add(Event { at, database: "app".to_owned(), host: None, what });
        }
        let all = events.all();
        assert_eq!(all.len(), KEPT);
        assert_eq!(all[0].at, SystemTime::UNIX_EPOCH + Duration::from_secs(5));
    }
}
