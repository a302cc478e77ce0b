//! The tick: clients that have exceeded one of their limits are told to end.

use std::time::Instant;

use super::phase::Timeouts;
use super::shared::Shared;
use crate::config::Config;
use crate::pool::holder::Order;

/// Looks at all clients. Costs nothing where no limit is set.
pub fn tick(shared: &Shared, now: Instant) {
    let live = shared.live();
    if !live.config.has_timeouts() {
        return;
    }
    for client in shared.clients.iter() {
        let timeouts = timeouts(&live.config, &client.service.user, &client.user);
        if client.clock.is_overdue(&timeouts, client.age(now)) {
            client.holder.order(Order::Overdue);
        }
    }
}

/// The limits of a client: those on queries and transactions are the server user's.
fn timeouts(config: &Config, server_user: &str, user: &str) -> Timeouts {
    Timeouts {
        query: config.query_timeout(server_user),
        idle_transaction: config.idle_transaction_timeout(server_user),
        transaction: config.transaction_timeout(server_user),
        client_idle: config.client_idle_timeout(user),
    }
}
