//! Cancel requests: from the key that a client was given to the server it holds, and never to another's query.

use std::sync::Arc;

use pgweir_codec::startup::CancelRequest;

use super::client::{CancelKey, MAX_HOPS};
use super::shared::Shared;
use super::visitors::{Doing, Visitor};
use crate::metrics::CancelResult;
use crate::server;

/// Carries out a cancel request; the client that sent it is told nothing either way, as PostgreSQL does it.
pub async fn run(shared: &Arc<Shared>, request: &CancelRequest, sender: &Visitor) -> CancelResult {
    let Some(mut key) = CancelKey::of(request.pid, &request.key) else {
        return CancelResult::Unknown;
    };
    let live = shared.live();
    let own = live.config.settings.peer_id;
    if own != 0 && key.peer() == own {
        // It may have come by way of others.
        key = key.with_hops(MAX_HOPS);
    } else if own != 0 && !shared.clients.contains(&key) {
        // Not of a client from before we had a number.
        sender.note(|visit| visit.doing = Doing::CancelGoes);
        return shared.peers.pass_on(&live, &key).await;
    }
    let Some(client) = shared.clients.get(&key).map(|client| Arc::clone(&client)) else {
        let asked = shared.visitors.cancel(&key) || shared.handover.ask_old(&key);
        return if asked { CancelResult::Sent } else { CancelResult::Unknown };
    };
    sender.note(|visit| {
        visit.doing = Doing::CancelWaits;
        visit.user = client.user.to_string();
        visit.database.clone_from(&client.service.database);
    });
    let id = client.holder.id;
    let pools = client.service.pools();
    let Some(server) =
        pools.iter().flat_map(|pool| pool.servers()).find(|server| server.client() == id)
    else {
        return CancelResult::Idle;
    };
    // From here on the server will not be given to another client until the request has arrived. If it was given
    // back before, the query has ended and there is nothing to cancel.
    let under_way = server.cancel_begins();
    if server.client() != id {
        return CancelResult::Idle;
    }
    sender.note(|visit| visit.doing = Doing::CancelGoes);
    let sent = server::cancel::send(&server, &live.server_tls);
    let sent = tokio::time::timeout(live.config.settings.cancel_wait_timeout, sent).await;
    drop(under_way);
    match sent {
        Ok(Ok(())) => CancelResult::Sent,
        Ok(Err(error)) => {
            tracing::warn!(of = %client.label(), "cancel request to {} failed: {error}", server.host);
            CancelResult::Failed
        }
        Err(_) => CancelResult::TimedOut,
    }
}
