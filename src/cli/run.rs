//! Start, signals, end.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use dashmap::DashMap;
use tokio::signal::unix::{Signal, SignalKind, signal};
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
use crate::admin::control::{self, Control, ShutdownMode};
use crate::admin::marks::Marks;
use crate::admin::show::version;
use crate::config::{Config, HostAddr, HttpAddr, Settings};
use crate::metrics::Metrics;
use crate::net::clock;
use crate::net::listen::{self, UnixSocket};
use crate::net::reactor::Reactor;
use crate::pool::janitor;
use crate::session::parameters::Tracked;
use crate::topology::Topology;
use crate::topology::wanted::Wanted;
use crate::web::{self, Pooler, Web};
use crate::worker::deal::Dealer;
use crate::worker::doors::Door;
use crate::worker::levels;
use crate::worker::overdue;
use crate::worker::service::{self, Services};
use crate::worker::shared::Shared;
use crate::worker::thread::Workers;
use crate::worker::view::Snapshots;

/// Why it does not run.
#[derive(Debug)]
pub(super) enum StartError {
    /// The configuration is not right.
    Config(control::ReloadError),
    /// The system refuses something.
    System(io::Error),
    /// No address to listen on.
    NowhereToListen,
    /// `-R`, and the old process does not hand over.
    Takeover(String),
    /// `-d` without a pidfile: nobody would find the daemon again.
    DaemonWithoutPidfile,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::System(error) => error.fmt(f),
            Self::Takeover(text) => write!(f, "--reboot: {text}"),
            Self::DaemonWithoutPidfile => {
                f.write_str("daemon needs pidfile configured; set pidfile in [pgbouncer]")
            }
            Self::NowhereToListen => f.write_str(
                "nowhere to listen on; set listen_addr or unix_socket_dir in [pgbouncer]",
            ),
        }
    }
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

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

/// The monitors, as workers see them.
struct Monitors(Topology);

impl service::Topology for Monitors {
    fn watch(&self, database: &str) -> Option<Snapshots> {
        self.0.watch(database)
    }

    fn wanted(&self, database: &str) -> Option<Arc<Wanted>> {
        self.0.wanted(database)
    }

    fn suspect(&self, host: &HostAddr) {
        self.0.suspect(host);
    }
}

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
    let mut doors = systemd::sockets(&settings);
    if arguments.reboot && !doors.is_empty() {
        let text = "sockets come from the service manager, which keeps them over a restart";
        return Err(StartError::Takeover(text.to_owned()));
    }
    if doors.is_empty() {
        doors = open_doors(&settings, takeover.as_mut()).await?;
    }
    let mut webs = match &takeover {
        Some(_) => Vec::new(),
        None => open_webs(&settings)?,
    };

    let metrics = Metrics::new(VERSION);
    metrics.record_globally();
    let tracked = Tracked::new(&settings.track_extra_parameters);
    let holders = Arc::new(DashMap::new());
    let topology = Topology::start(
        control::entries(&live, &tracked),
        control::pace(&settings),
        metrics.clone(),
        control::state_file(&live.config),
    );
    let monitors = Arc::new(Monitors(topology.clone()));
    let services = Services::new(metrics.clone(), holders.clone(), monitors, tracked.clone());
    let shared = Shared::new(live, metrics.clone(), holders, services, tracked);
    if let Some(takeover) = &mut takeover {
        takeover.adopt_state(&shared);
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
    metrics.process().workers.set(count);
    metrics.append(compat::appendix(control.clone(), marks.clone(), VERSION));
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
    let web = match webs.is_empty() {
        true => None,
        false => Some(web::start(webs, web_of(&shared, &topology, &dealer), webs_end.clone())?),
    };
    let open_again = {
        let (shared, topology, dealer) = (shared.clone(), topology.clone(), dealer.clone());
        let settings = settings.clone();
        move |until: CancellationToken| {
            let (web, settings) = (web_of(&shared, &topology, &dealer), settings.clone());
            // It may take a moment, in which the thread sleeps.
            std::thread::spawn(move || {
                let begun = open_webs_soon(&settings).and_then(|doors| match doors.is_empty() {
                    true => Ok(()),
                    false => web::start(doors, web, until).map(drop).map_err(StartError::from),
                });
                if let Err(error) = begun {
                    tracing::error!("{error}");
                }
            });
        }
    };
    let belongings = Arc::new(Belongings {
        pidfile_path: settings.pidfile.clone(),
        pidfile: std::sync::Mutex::new(pidfile),
        webs: std::sync::Mutex::new(webs_end),
        open_webs: Box::new(open_again),
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

/// How long the control tasks may take to end.
const LAST_MOMENT: std::time::Duration = std::time::Duration::from_secs(3);

fn worker_count(settings: &Settings) -> u32 {
    let cores = || {
        std::thread::available_parallelism()
            .map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(1))
    };
    settings.workers.unwrap_or_else(cores).max(1)
}

/// Waits until the process is to end, in the way it was asked.
async fn end(
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

async fn open_doors(
    settings: &Settings,
    mut old: Option<&mut Takeover>,
) -> Result<Vec<Door>, StartError> {
    let mut doors = Vec::new();
    for entry in &settings.listen_addr {
        let addresses = match listen::resolve(entry, settings.listen_port).await {
            Ok(addresses) => addresses,
            Err(error) => {
                tracing::warn!("listen_addr {entry:?}: {error}");
                continue;
            }
        };
        for address in addresses {
            let listener = match old.as_mut().and_then(|old| old.tcp(address)) {
                Some(listener) => listener.set_nonblocking(true).map(|()| listener),
                None => listen::tcp(address, settings.listen_backlog, settings.so_reuseport),
            };
            match listener {
                Ok(listener) => {
                    tracing::info!("listening on {address}");
                    doors.push(Door::Tcp(listener));
                }
                Err(error) => tracing::warn!("{error}"),
            }
        }
    }
    if doors.is_empty() && !settings.listen_addr.is_empty() {
        let list = settings.listen_addr.join(",");
        let text = format!(
            "failed to listen on any address in listen_addr list: {list} (Address already in use?)"
        );
        return Err(StartError::System(io::Error::new(io::ErrorKind::AddrInUse, text)));
    }
    if let Some(dir) = &settings.unix_socket_dir {
        let group = settings.unix_socket_group.as_deref();
        let path = listen::unix_path(dir, settings.listen_port);
        let socket = match old.as_mut().and_then(|old| old.unix(&path)) {
            Some(listener) => UnixSocket::inherit(listener, path)?,
            None => listen::unix(dir, settings.listen_port, settings.unix_socket_mode, group)?,
        };
        let place = socket.file.path().map_or_else(|| dir.display(), Path::display);
        tracing::info!("listening on unix:{place}");
        doors.push(Door::Unix(socket));
    }
    if doors.is_empty() { Err(StartError::NowhereToListen) } else { Ok(doors) }
}

fn open_webs(settings: &Settings) -> Result<Vec<web::Door>, StartError> {
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
fn open_webs_soon(settings: &Settings) -> Result<Vec<web::Door>, StartError> {
    let end = clock::now() + LAST_MOMENT;
    loop {
        match open_webs(settings) {
            Err(StartError::System(error))
                if error.kind() == io::ErrorKind::AddrInUse && clock::now() < end =>
            {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            other => return other,
        }
    }
}

/// What recurs: the janitor's rounds and the dealer's. All go by one tick: each wakes a process that has nothing to do.
async fn rounds(
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

/// How often prepared statements that nobody holds any more are forgotten.
const FORGET_ROUND: std::time::Duration = std::time::Duration::from_secs(10);

/// One line each `stats_period`, as pgbouncer.
async fn statistics(shared: Arc<Shared>, marks: Arc<Marks>, stop: CancellationToken) {
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

fn web_of(shared: &Arc<Shared>, topology: &Topology, dealer: &Arc<Mutex<Dealer>>) -> Web {
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

/// The signals, caught from the beginning.
struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    user1: Signal,
    user2: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
        })
    }

    /// Does what pgbouncer does at each.
    async fn obey(mut self, control: Arc<Control>, stop: CancellationToken) {
        loop {
            tokio::select! {
                _ = self.hangup.recv() => {
                    tracing::info!("got SIGHUP, re-reading config");
                    systemd::reloading();
                    // What was wrong is in the log.
                    let _ = control.reload().await;
                    systemd::ready();
                }
                _ = self.terminate.recv() => {
                    if control.is_ending() {
                        tracing::info!("got SIGTERM while shutting down, fast exit");
                    } else {
                        tracing::info!("got SIGTERM, shutting down, waiting for all clients disconnect");
                    }
                    control.shutdown(ShutdownMode::WaitForClients);
                }
                _ = self.interrupt.recv() => {
                    if control.is_ending() {
                        tracing::info!("got SIGINT while shutting down, fast exit");
                    } else {
                        tracing::info!(
                            "got SIGINT, shutting down, waiting for all servers connections to be released"
                        );
                    }
                    control.shutdown(ShutdownMode::WaitForServers);
                }
                _ = self.quit.recv() => {
                    tracing::info!("got SIGQUIT, fast exit");
                    control.shutdown(ShutdownMode::Immediate);
                }
                _ = self.user1.recv() => {
                    tracing::info!("got SIGUSR1, pausing all activity");
                    if let Err(refused) = control.begin_pause(None) {
                        tracing::warn!("{refused}");
                    }
                }
                _ = self.user2.recv() => {
                    if control.is_ending() {
                        tracing::info!("got SIGUSR2 while shutting down, ignoring");
                    } else {
                        tracing::info!("got SIGUSR2, continuing from PAUSE");
                        if let Err(refused) = control.resume(None) {
                            tracing::warn!("{refused}");
                        }
                    }
                }
                () = stop.cancelled() => return,
            }
        }
    }
}
