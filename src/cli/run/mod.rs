//! Start, signals, end.
//!
//! - `build` — what the threads share, and the monitors
//! - `doors` — where clients come in
//! - `http` — the sockets of HTTP, and what is served on them
//! - `rounds` — what recurs
//! - `signals` — signals, as pgbouncer has them
//! - `end` — waiting for the end
//! - `error` — why the process does not start

mod build;
mod doors;
mod end;
mod error;
mod http;
mod rounds;
mod signals;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use build::build;
use end::end;
pub(super) use error::StartError;
use http::{Http, open_webs, open_webs_soon};
use rounds::{rounds, statistics};
use signals::Signals;
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::VERSION;
use super::arguments::Arguments;
use super::log::{Log, Rotation};
use super::pidfile::PidFile;
use super::successor::Belongings;
use super::takeover::{self, Takeover};
use super::{daemon, systemd, user};
use crate::admin::compat;
use crate::admin::console::Console;
use crate::admin::control::{self, Control};
use crate::admin::marks::Marks;
use crate::admin::show::version;
use crate::config::{Config, Settings};
use crate::net::clock;
use crate::net::reactor::Reactor;
use crate::worker::deal::Dealer;
use crate::worker::doors::Door;
use crate::worker::thread::Workers;

/// How long a successor looks at the hosts before it serves, at most: it is told soon by those that are alive, and after
/// `topology_timeout` that the others are not.
const FIRST_LOOK: Duration = Duration::from_secs(5);

/// How long the control tasks may take to end.
const LAST_MOMENT: Duration = Duration::from_secs(3);

/// What can be known to be wrong before the child begins.
pub(super) fn may_go_to_background(path: &Path) -> Result<(), StartError> {
    let config = Config::load(path).map_err(|error| StartError::Config(error.into()))?;
    match config.settings.pidfile {
        Some(_) => Ok(()),
        None => Err(StartError::DaemonWithoutPidfile),
    }
}

/// Runs until it is asked to end.
pub(super) fn run(path: &Path, arguments: &Arguments) -> Result<(), StartError> {
    let config = Config::load(path).map_err(|error| StartError::Config(error.into()))?;
    if arguments.daemon {
        daemon::detach()?;
    }
    if let Some(name) = arguments.user.as_ref().or(config.settings.user.as_ref()) {
        user::become_user(name)?;
    }
    user::refuse_root()?;
    let quiet = arguments.quiet || arguments.daemon;
    let log = Log::start(&config.settings, quiet, arguments.verbose)?;
    for note in &config.notes {
        tracing::warn!("{note}");
    }
    raise_file_limit(config.settings.max_client_conn);
    let takeover = if arguments.reboot { takeover::begin(&config.settings) } else { Ok(None) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Reactor::CONTROL.enter();
    let result = match takeover {
        Ok(takeover) => runtime.block_on(serve(config, log, arguments, takeover)),
        Err(error) => Err(error),
    };
    if let Err(error) = &result {
        tracing::error!("{error}");
    }
    result
}

/// Builds everything, hands it down, and takes it apart at the end.
async fn serve(
    config: Config,
    log: Arc<Log>,
    arguments: &Arguments,
    mut takeover: Option<Takeover>,
) -> Result<(), StartError> {
    let live = control::with_tls(config).map_err(|error| StartError::Config(error.into()))?;
    let settings = live.config.settings.clone();
    let write_pidfile = || settings.pidfile.as_deref().map(PidFile::write).transpose();
    // The old process has one.
    let mut pidfile = if takeover.is_some() { None } else { write_pidfile()? };
    // Before anybody can know that we are there.
    let signals = Signals::new()?;
    let doors = doors::find(&settings, arguments.reboot, takeover.as_mut()).await?;
    let mut webs = match &takeover {
        Some(_) => Vec::new(),
        None => open_webs(&settings)?,
    };

    let (shared, topology) = build(live);
    if let Some(takeover) = &mut takeover {
        takeover.adopt_state(&shared);
        // Nobody is to wait here for what the old process knows already.
        let _ = tokio::time::timeout(FIRST_LOOK, topology.first_look()).await;
        takeover.adopt_switchovers(&topology);
        takeover.ready()?;
        pidfile = write_pidfile()?;
        webs = open_webs_soon(&settings)?;
    }
    let _ = shared.handover.control.set(tokio::runtime::Handle::current());
    shared.begin_minimum();

    let (shutdown, mut asked) = watch::channel(None);
    let control =
        Control::new(shared.clone(), topology.clone(), shutdown, Box::new(Rotation(log.clone())));
    let marks = Arc::new(Marks::new(clock::now()));
    // Set once, here.
    let _ = shared.console.set(Arc::new(Console::new(control.clone(), marks.clone(), VERSION)));

    let count = worker_count(&settings);
    shared.metrics.process().workers.set(count);
    shared.metrics.append(compat::appendix(control.clone(), marks.clone(), VERSION));
    let (tasks, stop, close_doors) =
        (TaskTracker::new(), CancellationToken::new(), CancellationToken::new());
    let doors = doors.into_iter().map(|door| {
        // The Unix socket stays open to the end, for the console.
        let until = if matches!(door, Door::Tcp(_)) { &close_doors } else { &stop };
        (door, until.child_token())
    });
    let workers = Workers::start(count as usize, doors.collect(), &shared)?;
    let dealer = Dealer::new(workers.all().to_vec(), workers.next().clone(), &shared);
    let dealer = Arc::new(Mutex::new(dealer));
    let webs_end = stop.child_token();
    let http = Arc::new(Http {
        settings: settings.clone(),
        shared: shared.clone(),
        topology: topology.clone(),
        dealer: dealer.clone(),
    });
    let web = http.serve(webs, webs_end.clone())?;
    let belongings = Arc::new(Belongings {
        pidfile_path: settings.pidfile.clone(),
        pidfile: std::sync::Mutex::new(pidfile),
        webs: std::sync::Mutex::new(webs_end),
        open_webs: Box::new(move |until| http.serve_again(until)),
    });
    tasks.spawn(belongings.clone().follow(shared.handover.follow(), stop.clone()));
    tasks.spawn(rounds(shared.clone(), dealer.clone(), log.clone(), stop.clone()));
    tasks.spawn(control.clone().discover(stop.clone()));
    tasks.spawn(statistics(shared.clone(), marks, stop.clone()));
    tasks.spawn(signals.obey(control.clone(), stop.clone()));
    tracing::info!("process up: {}, {count} workers", version::line(VERSION));
    if let Some(takeover) = takeover {
        takeover.serve(&shared, &workers)?;
    }
    systemd::ready();
    if arguments.daemon {
        daemon::tell_parent(None)?;
    }

    end(&control, &shared, &mut asked, &close_doors).await;

    systemd::stopping();
    stop.cancel();
    shared.derivations.stop();
    close_doors.cancel();
    tasks.close();
    let _ = tokio::time::timeout(LAST_MOMENT, tasks.wait()).await;
    if let Some(web) = web {
        let _ = tokio::task::spawn_blocking(move || web.join()).await;
    }
    // The workers' threads are joined; the runtime has to go on meanwhile, for what they ask of it.
    let ending = shared.clone();
    let _ = tokio::task::spawn_blocking(move || workers.stop(&ending)).await;
    shared.services.stop().await;
    for pool in shared.services.pools() {
        pool.evacuate();
    }
    topology.shutdown().await;
    log.settle(true);
    Ok(())
}

/// Descriptors are cheap and a limit hit at night is not: takes all that the hard limit allows.
fn raise_file_limit(max_client_conn: u32) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let limit = if setrlimit(Resource::Nofile, raised).is_ok() { raised } else { limit };
    let shown = |limit: Option<u64>| {
        limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string())
    };
    tracing::info!(
        "kernel file descriptor limit: {} (hard: {}); max_client_conn: {max_client_conn}",
        shown(limit.current),
        shown(limit.maximum)
    );
}

fn worker_count(settings: &Settings) -> u32 {
    let cores = || {
        std::thread::available_parallelism()
            .map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(1))
    };
    settings.workers.unwrap_or_else(cores).max(1)
}
