//! Other poolers (section `[peers]`): cancel requests for their clients are passed on to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use dashmap::DashMap;
use tokio::sync::Semaphore;

use super::client::CancelKey;
use super::shared::Live;
use crate::config::Peer;
use crate::metrics::CancelResult;
use crate::server;
use crate::server::{Tls, Wanted};

/// Requests on their way to each peer, by `peer_id`.
#[derive(Debug, Default)]
pub struct Peers(DashMap<u16, Arc<Traffic>>);

/// Those for one peer.
#[derive(Debug)]
struct Traffic {
    size: Option<u32>,
    room: Semaphore,
    waiting: AtomicU32,
    active: AtomicU32,
}

/// How many requests wait for room, and how many are being sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Levels {
    /// Those that wait.
    pub waiting: u32,
    /// Those that are being sent.
    pub active: u32,
}

impl Traffic {
    fn new(size: Option<u32>) -> Self {
        let room = size.map_or(Semaphore::MAX_PERMITS, |size| size as usize);
        let (waiting, active) = Default::default();
        Self { size, room: Semaphore::new(room), waiting, active }
    }
}

/// Counts one as long as it is there.
struct Counted<'a>(&'a AtomicU32);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicU32) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many may be on their way at once.
pub fn pool_size(live: &Live, peer: &Peer) -> Option<u32> {
    peer.pool_size.unwrap_or(live.config.settings.default_pool_size)
}

impl Peers {
    fn traffic(&self, id: u16, size: Option<u32>) -> Arc<Traffic> {
        let mut traffic = self.0.entry(id).or_insert_with(|| Arc::new(Traffic::new(size)));
        if traffic.size != size {
            *traffic = Arc::new(Traffic::new(size));
        }
        traffic.clone()
    }

    /// What is under way to a peer.
    pub fn levels(&self, id: u16) -> Levels {
        self.0.get(&id).map_or_else(Levels::default, |traffic| Levels {
            waiting: traffic.waiting.load(Ordering::Relaxed),
            active: traffic.active.load(Ordering::Relaxed),
        })
    }

    /// Passes a cancel request on to the peer whose client has this key.
    pub async fn pass_on(&self, live: &Live, key: &CancelKey) -> CancelResult {
        let id = key.peer();
        let Some(peer) = live.config.peers.get(&id) else { return CancelResult::Unknown };
        let Some(hops) = key.hops().checked_sub(1) else { return CancelResult::Unknown };
        let traffic = self.traffic(id, pool_size(live, peer));
        let limit = live.config.settings.cancel_wait_timeout;
        let attempt = async {
            let room = {
                let _waiting = Counted::new(&traffic.waiting);
                traffic.room.acquire().await
            };
            let _active = Counted::new(&traffic.active);
            let request = key.with_hops(hops).request();
            let sent = server::cancel::pass_on(&peer.host, &PLAIN, &request).await;
            drop(room);
            sent
        };
        match tokio::time::timeout(limit, attempt).await {
            Ok(Ok(())) => CancelResult::Sent,
            Ok(Err(error)) => {
                tracing::warn!("peer-{id}@{}: cancel request failed: {error}", peer.host);
                CancelResult::Failed
            }
            Err(_) => CancelResult::TimedOut,
        }
    }
}

/// Cancel requests to peers are not encrypted, as pgbouncer's: a key serves only once, and only to cancel.
const PLAIN: Tls = Tls { wanted: Wanted::Never, config: None };
