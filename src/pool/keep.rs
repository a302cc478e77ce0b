//! Servers that are kept for clients in session mode: a client is told its server's process id at login, and finds that
//! server when it first asks for something.
//!
//! A kept server is idle, for whoever needs it more: those who wait and for whom none can be opened, PAUSE, RECONNECT,
//! other pools' claims, ageing. Nobody has to be asked for it, so a client that never asks keeps nobody waiting. Its
//! client then gets another one like anybody else.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pgweir_codec::backend::ErrorResponse;
use tokio::sync::oneshot;

use super::attach::{Attaching, Lease};
use super::state::Ticket;
use super::{Idle, Pool, check};
use crate::net::clock;

/// Longest that a login waits for a server that it can do without.
const PATIENCE: Duration = Duration::from_secs(1);

/// A client's claim to a server that is kept for it. Dropped unused, the server is idle like any other.
#[derive(Debug)]
pub struct Kept {
    pool: Arc<Pool>,
    /// Its number ([`crate::server::ServerInfo::id`]).
    server: u64,
}

/// What became of a server that was kept.
#[derive(Debug)]
pub enum Claim {
    /// It is there.
    Server(Lease),
    /// It is there, and is checked first (`server_check_query`).
    Checking(Attaching),
    /// It has ended, with these words.
    Ended(Box<ErrorResponse>),
    /// It serves somebody else, was closed, or belongs to another pool.
    Gone,
}

impl Pool {
    /// Keeps a server for a client that logs in, and says its process id: one that is idle, or one that may be opened
    /// without anybody having to wait or to make room for it. Opening takes turns, a few at a time.
    pub async fn keep_for(self: &Arc<Self>, client: u64) -> Option<(Kept, u32)> {
        let kept = async {
            let _turn = self.keeping.acquire().await.ok()?;
            let now = clock::now();
            // Unused for long or not: it is checked when it is used.
            if let Some(Idle { connection, since, .. }) = self.take_good(now, |_| Duration::ZERO) {
                return Lease::new(self.clone(), connection).keep_since(since, client, now);
            }
            let opened = Self::open_to_keep(self, now)?.await.ok()?;
            opened.keep_for(client, clock::now())
        };
        tokio::time::timeout(PATIENCE, kept).await.ok().flatten()
    }

    fn take_kept(&self, server: u64) -> Option<Idle> {
        self.state().take_kept(|idle| idle.connection.info.id == server)
    }
}

impl Lease {
    /// Keeps it for a client that has not used it, and says its process id; `None` if somebody else needs it now.
    pub fn keep_for(self, client: u64, now: Instant) -> Option<(Kept, u32)> {
        self.keep_since(now, client, now)
    }

    /// The same with one that was unused since then.
    fn keep_since(mut self, since: Instant, client: u64, now: Instant) -> Option<(Kept, u32)> {
        let client = NonZeroU64::new(client)?;
        let (pool, info) = (self.pool().clone(), self.connection().info.clone());
        let connection = self.take()?;
        let kept = pool.rest(connection, since, now, false, Some(client));
        Pool::open_more(&pool);
        kept.then(|| (Kept { pool, server: info.id }, info.pid))
    }
}

impl Kept {
    /// The client asks for something, and is to have a server of this pool.
    pub fn claim(self, pool: &Arc<Pool>, now: Instant) -> Claim {
        if !Arc::ptr_eq(&self.pool, pool) {
            return Claim::Gone;
        }
        let Some(mut idle) = pool.take_kept(self.server) else { return Claim::Gone };
        let fresh = pool.rules().is_fresh(&idle, now);
        let silent = idle.connection.is_silent();
        let words = if silent { None } else { idle.connection.last_words() };
        let of_use = silent && !idle.connection.info.is_doomed();
        let of_use = of_use && !idle.connection.info.close_needed();
        let lease = Lease::new(pool.clone(), idle.connection);
        if !of_use {
            lease.close("idle server got dirty");
            return words.map_or(Claim::Gone, |words| Claim::Ended(Box::new(words)));
        }
        if fresh {
            return Claim::Server(lease);
        }
        let (sender, answer) = oneshot::channel();
        tokio::spawn(check::run_for(lease, sender));
        Claim::Checking(Attaching { pool: pool.clone(), ticket: Ticket::NONE, answer })
    }

    /// Whether its server has ended, and with what words. If so, it is closed.
    pub fn ended(&self) -> Option<Option<ErrorResponse>> {
        {
            let mut state = self.pool.state();
            let mut kept = state.all_kept();
            let idle = kept.find(|idle| idle.connection.info.id == self.server)?;
            if idle.connection.is_silent() {
                return None;
            }
        }
        let mut idle = self.pool.take_kept(self.server)?;
        let words = idle.connection.last_words();
        Lease::new(self.pool.clone(), idle.connection).close("idle server got dirty");
        Some(words)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(Idle { connection, since, .. }) = self.pool.take_kept(self.server) {
            self.pool.rest(connection, since, clock::now(), false, None);
        }
    }
}
