//! Waiting for the end, which may change its mind about how.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::admin::control::{Control, ShutdownMode};
use crate::worker::shared::Shared;

/// Waits until the process is to end, in the way it was asked.
pub(super) async fn end(
    control: &Arc<Control>,
    shared: &Arc<Shared>,
    asked: &mut watch::Receiver<Option<ShutdownMode>>,
    close_doors: &CancellationToken,
) {
    loop {
        let mode = *asked.borrow_and_update();
        let changed = asked.changed();
        match mode {
            None => tokio::select! {
                _ = changed => {}
                () = shared.handover.done() => return,
            },
            Some(ShutdownMode::Immediate) => return,
            Some(mode) => {
                close_doors.cancel();
                shared.closing.store(true, Ordering::Release);
                let drained = async {
                    match mode {
                        ShutdownMode::WaitForServers => {
                            control.drain_servers().await;
                            tracing::info!("server connections dropped, exiting");
                        }
                        _ => {
                            shared.no_clients().await;
                            tracing::info!("client connections dropped, exiting");
                        }
                    }
                };
                tokio::select! {
                    () = drained => return,
                    _ = changed => {}
                }
            }
        }
    }
}
