//! What the tests against real servers share.
//!
//! Each part starts something real, waits until it answers, and leaves nothing behind: a
//! [`Postgres`] or a [`Cluster`] of them, a [`Weir`] (pgweir itself, or pgbouncer beside it), a
//! [`ScriptedServer`] for what no real server can be made to do, and runners for psql, pgbench,
//! Python, Node.js and Java. Nothing here sleeps and hopes: [`wait`] polls a condition and says what it waited for.
//!
//! All servers live in a [`home::Home`], a temporary folder with a watchdog: even a test process
//! that is killed leaves no server and no file. As root, everything runs as an unprivileged user,
//! because PostgreSQL and pgbouncer refuse to run as root.

#![allow(dead_code, unused_imports, reason = "each test file uses another part")]
#![allow(unreachable_pub, reason = "shared by several test crates")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]
#![allow(clippy::disallowed_methods, reason = "the harness waits in real time")]

pub mod cluster;
pub mod home;
pub mod installation;
#[cfg(target_os = "linux")]
pub mod ldap;
pub mod login;
#[cfg(target_os = "linux")]
pub mod managers;
#[cfg(target_os = "linux")]
pub mod network;
#[cfg(target_os = "linux")]
pub mod pam;
pub mod postgres;
#[cfg(target_os = "linux")]
pub mod process;
#[cfg(target_os = "linux")]
pub mod prometheus;
pub mod psql;
pub mod raw;
pub mod scripted;
pub mod terminal;
pub mod tls;
pub mod wait;
pub mod weir;
pub mod wire;

pub use cluster::Cluster;
pub use installation::{Installation, pg_bin};
#[cfg(target_os = "linux")]
pub use network::Network;
pub use postgres::{Password, Postgres, Setup};
pub use psql::{Login, Run, java, node, pgbench, psql, python};
pub use raw::Raw;
pub use rustix::process::Signal;
pub use scripted::{ScriptedServer, Step};
pub use terminal::Terminal;
pub use weir::{Weir, WeirSetup};
pub use wire::{Rows, ServerError, Wire, cancel};
