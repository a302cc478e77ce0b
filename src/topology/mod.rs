//! Topology: which host is the primary, which replicas are fit, and who is told when that changes.
//!
//! One monitor per distinct host asks it what it is; one [`decide::Cluster`] per database entry makes of the answers
//! what is to be believed, and everybody who cares watches the entry's [`Snapshot`]. Monitors only look: nothing here
//! promotes, and nothing here touches a client's connection. Closing the connections to a host that is down or
//! deposed is the pool's business, holding clients while there is no primary is `worker`'s.
//!
//! - `snapshot` — the plain values that others see
//! - `decide` — PURE: the rules, above all the fencing of old primaries
//! - `events` — what changed when, for the log and SHOW EVENTS
//! - `memory` — the file that outlives a restart: the fences
//! - `lag` — PURE: how far a replica is behind
//! - `ask` — the one question, and what the answer means
//! - `monitor` — when to ask, and what a broken connection says about a host
//! - `board` — where observations arrive and snapshots are published, with log lines and metrics
//! - `wanted` — what clients want to be asked sooner
//! - `discover` — which hosts a cluster has, by its manager
//! - `follow` — the handle that `cli` owns and hands down

mod ask;
mod board;
pub mod decide;
pub mod discover;
pub mod events;
mod follow;
mod lag;
mod memory;
mod monitor;
pub mod snapshot;
pub mod wanted;

pub use follow::{Entry, Pace, Topology, look_once};
pub use snapshot::{HostView, Role, Snapshot};
