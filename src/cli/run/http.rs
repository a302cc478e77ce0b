//! HTTP: its sockets, and what is served on them.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::{LAST_MOMENT, StartError};
use crate::cli::VERSION;
use crate::config::{HttpAddr, Settings};
use crate::net::{clock, listen};
use crate::topology::Topology;
use crate::web::{self, Pooler, Web};
use crate::worker::deal::Dealer;
use crate::worker::levels;
use crate::worker::shared::Shared;

/// What is served; begun at the start, and anew when a successor has given up.
pub(super) struct Http {
    pub(super) settings: Settings,
    pub(super) shared: Arc<Shared>,
    pub(super) topology: Topology,
    pub(super) dealer: Arc<Mutex<Dealer>>,
}

impl Http {
    /// Serves on these, if there are any.
    pub(super) fn serve(
        &self,
        doors: Vec<web::Door>,
        until: CancellationToken,
    ) -> Result<Option<JoinHandle<()>>, StartError> {
        match doors.is_empty() {
            true => Ok(None),
            false => Ok(Some(web::start(doors, self.web(), until)?)),
        }
    }

    /// Opens the sockets and serves on them, as soon as another process lets go of them.
    pub(super) fn serve_again(self: &Arc<Self>, until: CancellationToken) {
        let http = self.clone();
        // It may take a moment, in which the thread sleeps.
        thread::spawn(move || {
            let begun = open_webs_soon(&http.settings).and_then(|doors| http.serve(doors, until));
            if let Err(error) = begun {
                tracing::error!("{error}");
            }
        });
    }

    fn web(&self) -> Web {
        let Self { shared, topology, dealer, .. } = self;
        let pooler = Pooler::new(shared.clone(), topology.clone(), VERSION);
        let (levels_of, topology, dealer) = (shared.clone(), topology.clone(), dealer.clone());
        let metrics = shared.metrics.clone();
        let before_scrape = move || {
            levels::refresh(&levels_of);
            topology.refresh_metrics();
            dealer.blocking_lock().publish(&levels_of);
        };
        Web { metrics, before_scrape: Arc::new(before_scrape), source: Arc::new(pooler) }
    }
}

/// Opens the sockets of `http_listen`.
pub(super) fn open_webs(settings: &Settings) -> Result<Vec<web::Door>, StartError> {
    let mut doors = Vec::new();
    for address in &settings.http_listen {
        let door = match address {
            HttpAddr::Tcp(address) => {
                listen::tcp(*address, settings.listen_backlog, false).map(web::Door::Tcp)
            }
            HttpAddr::Unix(path) => {
                listen::unix_at(path.clone(), settings.http_socket_mode, None).map(web::Door::Unix)
            }
        };
        doors.push(
            door.map_err(|error| io::Error::new(error.kind(), format!("http_listen: {error}")))?,
        );
        tracing::info!("serving http on {address}");
    }
    Ok(doors)
}

/// As [`open_webs`], where another process is about to let go of them. Blocks meanwhile.
pub(super) fn open_webs_soon(settings: &Settings) -> Result<Vec<web::Door>, StartError> {
    let end = clock::now() + LAST_MOMENT;
    loop {
        match open_webs(settings) {
            Err(StartError::System(error))
                if error.kind() == io::ErrorKind::AddrInUse && clock::now() < end =>
            {
                thread::sleep(Duration::from_millis(20));
            }
            other => return other,
        }
    }
}
