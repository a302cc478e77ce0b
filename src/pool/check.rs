//! Checking connections that were unused for long, before they are given out (`server_check_query`).
//!
//! A check is made for somebody who waits, and only then: each who waits has at most one made for him. While one is
//! under way no new connection is opened for the same client.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use super::attach::Lease;
use super::error::AttachError;
use super::{Check, Idle, Pool, PoolRules};
use crate::net::clock;
use crate::server::query::{self, QueryError};

impl PoolRules {
    /// Whether a connection may be given out without a check.
    pub(super) fn is_fresh(&self, idle: &Idle, now: Instant) -> bool {
        self.check
            .as_ref()
            .is_none_or(|check| now.saturating_duration_since(idle.since) <= check.after)
    }
}

/// A connection under check. Dropped midway, it is closed.
struct Checking {
    lease: Option<Lease>,
}

impl Checking {
    /// The check is over.
    fn end(&mut self) -> Option<Lease> {
        let lease = self.lease.take()?;
        lease.pool().state().tested();
        Some(lease)
    }
}

impl Drop for Checking {
    fn drop(&mut self) {
        drop(self.end());
    }
}

impl Pool {
    /// Checks an idle connection for each who waits and has none on its way.
    pub(super) fn check_more(pool: &Arc<Self>) {
        // There is none while the process ends.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        loop {
            let Some(Idle { connection, .. }) = pool.state().take_for_check() else { return };
            let checking = Checking { lease: Some(Lease::new(pool.clone(), connection)) };
            runtime.spawn(run(checking, pool.rules()));
        }
    }

    /// The connections that would have to be checked before their use.
    pub fn unchecked(&self, now: Instant) -> HashSet<u64> {
        let rules = self.rules();
        let state = self.state();
        let stale = state.all_idle().filter(|idle| !rules.is_fresh(idle, now));
        stale.map(|idle| idle.connection.info.id).collect()
    }
}

async fn run(mut checking: Checking, rules: Arc<PoolRules>) {
    let reason = match &mut checking.lease {
        Some(lease) => failure(lease, rules.check.as_ref()).await,
        None => return,
    };
    let Some(lease) = checking.end() else { return };
    match reason {
        None => lease.give_back(clock::now()),
        Some(reason) => {
            tracing::warn!("{}: server_check_query failed: {reason}", lease.pool().name());
            lease.close("test query failed");
        }
    }
}

/// Checks a server that is nobody else's, for one client.
pub(super) async fn run_for(mut lease: Lease, answer: oneshot::Sender<Result<Lease, AttachError>>) {
    let rules = lease.pool().rules();
    let told = match failure(&mut lease, rules.check.as_ref()).await {
        None => answer.send(Ok(lease)),
        Some(reason) => {
            tracing::warn!("{}: server_check_query failed: {reason}", lease.pool().name());
            lease.close("test query failed");
            answer.send(Err(AttachError::HostGone))
        }
    };
    // The client has gone meanwhile.
    if let Err(Ok(lease)) = told {
        lease.give_back(clock::now());
    }
}

/// Why the connection is no good; `None` if it is.
async fn failure(lease: &mut Lease, check: Option<&Check>) -> Option<String> {
    let connection = lease.connection();
    if !connection.is_silent() || connection.info.is_doomed() || connection.info.close_needed() {
        return Some("idle server got dirty".to_owned());
    }
    // The rules have changed meanwhile.
    let check = check?;
    if let Err(error) = connection.bring_here() {
        return Some(error.to_string());
    }
    connection.info.set_tested(true);
    let answer = tokio::time::timeout(check.limit, query::simple(connection, &check.query)).await;
    connection.info.set_tested(false);
    match answer {
        Ok(Ok(_)) => None,
        Ok(Err(QueryError::Refused(response))) => Some(response.message()),
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(format!("no answer within {:?}", check.limit)),
    }
}
