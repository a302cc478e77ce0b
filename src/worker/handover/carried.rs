//! A client and a server connection, as they are written down for another process.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::auth::credentials::CarriedCredentials;
use crate::session::carry::{CarriedServer, CarriedSession};

/// A client, beside its socket.
#[derive(Debug, Serialize, Deserialize)]
pub struct CarriedClient {
    /// The database that it asked for.
    pub database: String,
    /// As whom it logged in.
    pub user: String,
    /// What its pools log in with where the configuration has nothing better.
    pub credentials: CarriedCredentials,
    /// What it calls itself now.
    pub application_name: String,
    /// Since when it is there.
    pub accepted: SystemTime,
    /// For how long.
    pub age: Duration,
    /// Its cancel key: process id and secret.
    pub key: (u32, Bytes),
    /// Its session.
    pub session: CarriedSession,
    /// What it sent that nobody has looked at.
    pub early: Bytes,
    /// It may have written something that its reads must see (`causal_reads`).
    #[serde(default)]
    pub wrote: bool,
    /// The server that it holds.
    #[serde(default)]
    pub server: Option<CarriedConnection>,
}

/// A server connection, beside its socket.
#[derive(Debug, Serialize, Deserialize)]
pub struct CarriedConnection {
    /// Of its pool: the database entry.
    pub database: String,
    /// Of its pool: the server user.
    pub user: String,
    /// Of its pool: the host, or the list of hosts.
    pub hosts: String,
    /// What its pool logs in with where the configuration has nothing better.
    pub credentials: CarriedCredentials,
    /// The host that it is to.
    pub host: String,
    /// Process id of the backend.
    pub pid: u32,
    /// Its cancel key.
    pub key: Bytes,
    /// Since when it is open.
    pub opened: SystemTime,
    /// For how long.
    pub age: Duration,
    /// What its session holds.
    pub state: CarriedServer,
    /// What servers of its pool say at login.
    #[serde(default)]
    pub welcome: Vec<(Bytes, Bytes)>,
}
