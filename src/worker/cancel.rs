//! Cancel requests: from the key that a client was given to the server it holds, and never to another's query.

use std::sync::Arc;

use pgweir_codec::startup::CancelRequest;

use super::client::CancelKey;
use super::shared::Shared;
use crate::metrics::CancelResult;
use crate::server;

/// Carries out a cancel request; the client that sent it is told nothing either way, as PostgreSQL does it.
pub async fn run(shared: &Arc<Shared>, request: &CancelRequest) -> CancelResult {
    let key = CancelKey::of(request.pid, &request.key);
    let Some(client) =
        key.and_then(|key| shared.clients.get(&key).map(|client| Arc::clone(&client)))
    else {
        return CancelResult::Unknown;
    };
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
    let live = shared.live();
    let sent =
        server::cancel::send(&server, &live.server_tls, live.config.settings.cancel_wait_timeout)
            .await;
    drop(under_way);
    match sent {
        Ok(()) => CancelResult::Sent,
        Err(error) => {
            tracing::warn!("{}: cancel request to {} failed: {error}", client.label(), server.host);
            CancelResult::Failed
        }
    }
}
