//! The last changes of the hosts, as SHOW EVENTS has them.

use std::time::SystemTime;

use crate::topology::Topology;
use crate::topology::events::Event;

/// Something that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRow {
    /// When.
    pub time: SystemTime,
    /// The entry of `[databases]`.
    pub database: String,
    /// The host with its port, if it was one.
    pub host: Option<String>,
    /// What: a host's new role or `down`, or a word or two.
    pub event: &'static str,
    /// The timeline it is about.
    pub timeline: Option<u32>,
    /// In a sentence.
    pub detail: String,
}

/// All that are kept, oldest first.
pub fn events(topology: &Topology) -> Vec<EventRow> {
    let row = |event: Event| EventRow {
        time: event.at,
        host: event.host.map(|host| host.to_string()),
        event: event.what.name(),
        timeline: event.what.timeline(),
        detail: event.what.detail(),
        database: event.database,
    };
    topology.events().into_iter().map(row).collect()
}
