//! What recurs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::admin::marks::Marks;
use crate::cli::log::Log;
use crate::cli::systemd;
use crate::net::clock;
use crate::pool::janitor;
use crate::worker::deal::Dealer;
use crate::worker::overdue;
use crate::worker::shared::Shared;

/// How often prepared statements that nobody holds any more are forgotten.
const FORGET_ROUND: Duration = Duration::from_secs(10);

/// What recurs: the janitor's rounds and the dealer's. All go by one tick: each wakes a process that has nothing to do.
pub(super) async fn rounds(
    shared: Arc<Shared>,
    dealer: Arc<Mutex<Dealer>>,
    log: Arc<Log>,
    stop: CancellationToken,
) {
    let mut tick = tokio::time::interval(janitor::ROUND);
    let mut forgot = clock::now();
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = stop.cancelled() => return,
        }
        let now = clock::now();
        let stays = !shared.handover.is_under_way();
        shared.services.sweep(&shared.live().config, now, stays);
        overdue::tick(&shared, now);
        dealer.lock().await.round(&shared, now);
        log.settle(false);
        if now.saturating_duration_since(forgot) >= FORGET_ROUND {
            forgot = now;
            shared.statements.sweep();
        }
    }
}

/// One line each `stats_period`, as pgbouncer.
pub(super) async fn statistics(shared: Arc<Shared>, marks: Arc<Marks>, stop: CancellationToken) {
    loop {
        let settings = shared.live().config.settings.clone();
        tokio::select! {
            () = tokio::time::sleep(settings.stats_period) => {}
            () = stop.cancelled() => return,
        }
        let averages = marks.advance(&shared.services, clock::now()).averages();
        let line = format!(
            "stats: {} xacts/s, {} queries/s, {} client parses/s, {} server parses/s, {} binds/s, in {} B/s, \
             out {} B/s, xact {} us, query {} us, wait {} us",
            averages.transactions,
            averages.queries,
            averages.client_parses,
            averages.server_parses,
            averages.binds,
            averages.received_bytes,
            averages.sent_bytes,
            averages.transaction_us,
            averages.query_us,
            averages.wait_us
        );
        systemd::status(&line);
        if settings.log_stats {
            tracing::info!("{line}");
        }
    }
}
