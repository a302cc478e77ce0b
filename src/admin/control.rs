//! What the console's commands and the process's signals do.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use tokio::sync::{Mutex, MutexGuard, mpsc, watch};

use super::discovery::{Base, Findings};
pub use super::parse::ShutdownMode;
use super::suspend::Undo;
use crate::auth::credentials::Credentials;
use crate::auth::mock::Crowd;
use crate::config::{
    Config, ConfigError, Database, HostAddr, KnownHosts, SecretText, Settings, SslMode,
};
use crate::net::tls::{self, TlsError};
use crate::pool::AttachError;
use crate::pool::holder::Order;
use crate::server::{Target, Tls, Wanted};
use crate::session::parameters::Tracked;
use crate::topology::discover::Finding;
use crate::topology::{Entry, Pace, Topology};
use crate::worker::service::{FALLBACK, Service, forced_credentials, target};
use crate::worker::shared::{Live, Shared};

/// Carries out commands. One reload at a time.
#[derive(Debug)]
pub struct Control {
    /// What the workers share.
    pub shared: Arc<Shared>,
    topology: Topology,
    /// One change of the configuration at a time.
    base: Mutex<Base>,
    findings: Findings,
    shutdown: watch::Sender<Option<ShutdownMode>>,
    after_reload: Box<dyn Reopen>,
}

/// What else is to be done at a reload: reopening the log.
pub trait Reopen: Send + Sync + fmt::Debug {
    /// Does it, for these settings.
    fn reopen(&self, settings: &Settings);
}

/// Why a command was not carried out; `Display` is the console's answer, pgbouncer's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// PAUSE, SUSPEND or KILL of what is paused already.
    AlreadyPaused,
    /// SUSPEND while single databases are paused.
    DatabasesPaused,
    /// RESUME of what is not paused.
    NotPaused(Option<String>),
    /// No such database entry.
    NoSuchDatabase(String),
    /// The console itself.
    Console(&'static str, String),
    /// RESUME while the process ends.
    ShuttingDown,
    /// KILL_CLIENT of nobody.
    NoSuchClient,
    /// RELOAD of a configuration that is not right; it is in the log.
    Reload,
    /// SET of an unknown key or a bad value.
    Set,
    /// SET of a TLS setting that makes no sense together with the others, as yet.
    TlsStays,
    /// SHOW FDS: sockets are handed over in another way.
    Fds,
    /// HANDOVER while something else is going on that a successor would not know of.
    Busy(&'static str),
    /// SWITCHOVER of an entry that follows no primary.
    NotFollowed(String),
    /// SWITCHOVER PREPARE where no primary is known.
    NoPrimary(String),
    /// SWITCHOVER PREPARE, and transactions go on and on.
    StillBusy {
        /// The entry.
        database: String,
        /// Servers in use.
        busy: u32,
        /// How long was waited.
        limit: std::time::Duration,
    },
    /// SWITCHOVER DONE without PREPARE.
    NoSwitchover,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyPaused => f.write_str("already suspended/paused"),
            Self::DatabasesPaused => f.write_str("cannot suspend with paused databases"),
            Self::NotPaused(None) => f.write_str("pooler is not paused/suspended"),
            Self::NotPaused(Some(database)) => write!(f, "database {database} is not paused"),
            Self::NoSuchDatabase(database) => write!(f, "no such database: {database}"),
            Self::Console(verb, database) => write!(f, "cannot {verb} admin db: {database}"),
            Self::ShuttingDown => f.write_str("pooler is shutting down"),
            Self::NoSuchClient => f.write_str("client not found"),
            Self::Reload => f.write_str("RELOAD failed, see logs for additional details"),
            Self::Set => f.write_str("SET failed"),
            Self::TlsStays => {
                f.write_str("TLS settings could not be applied, still using old configuration")
            }
            Self::Fds => f.write_str(
                "SHOW FDS serves pgbouncer's online restart alone; a new pgweir takes over with -R, by HANDOVER",
            ),
            Self::Busy(what) => write!(f, "cannot hand over: {what}"),
            Self::NotFollowed(database) => write!(
                f,
                "database {database} follows no primary: it needs target_session_attrs=read-write or primary"
            ),
            Self::NoPrimary(database) => {
                write!(f, "no primary of database {database} is known, see SHOW TOPOLOGY")
            }
            Self::StillBusy { database, busy, limit } => write!(
                f,
                "{busy} servers of database {database} are still in use after {} (failover_timeout), see SHOW CLIENTS; \
                 the switchover is called off",
                super::switchover::seconds(*limit)
            ),
            Self::NoSwitchover => {
                f.write_str("no switchover was announced, or it was over already; see SHOW EVENTS")
            }
        }
    }
}

/// Why a configuration cannot be put in force.
#[derive(Debug)]
pub enum ReloadError {
    /// The files are not right.
    Config(Box<ConfigError>),
    /// The TLS files are not right.
    Tls(TlsError),
}

impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Tls(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ReloadError {}

impl From<ConfigError> for ReloadError {
    fn from(error: ConfigError) -> Self {
        Self::Config(Box::new(error))
    }
}

impl From<TlsError> for ReloadError {
    fn from(error: TlsError) -> Self {
        Self::Tls(error)
    }
}

/// Reads the TLS files that a configuration names.
///
/// # Errors
/// What is wrong with them.
pub fn with_tls(config: Config) -> Result<Live, TlsError> {
    let settings = &config.settings;
    let client_tls = match settings.client_tls.mode {
        SslMode::Disable => None,
        _ => Some(tls::acceptor(&settings.client_tls)?),
    };
    let server_tls = match settings.server_tls.mode {
        SslMode::Disable => Tls { wanted: Wanted::Never, config: None },
        mode => {
            let wanted = if matches!(mode, SslMode::Allow | SslMode::Prefer) {
                Wanted::IfOffered
            } else {
                Wanted::Always
            };
            Tls { wanted, config: Some(tls::client_config(&settings.server_tls)?) }
        }
    };
    let crowd = Crowd::of(&config.userlist);
    let http_tls = tls::http_config(
        settings.http_tls_key_file.as_deref(),
        settings.http_tls_cert_file.as_deref(),
    )?;
    Ok(Live { config: Arc::new(config), crowd, server_tls, client_tls, http_tls })
}

/// What the monitors watch: the entries that follow roles.
pub fn entries(live: &Live, tracked: &Arc<Tracked>) -> Vec<Entry> {
    let config = &live.config;
    let watched = |database: &Arc<Database>| {
        let attrs = database.target_session_attrs?;
        let login = |host| monitor_login(live, database, host, None, None, tracked);
        let hosts = database.hosts.iter().map(login).collect::<Option<_>>()?;
        let max_replica_lag = database.max_replica_lag;
        let (name, discovered) = (database.name.clone(), database.discover.is_some());
        Some(Entry { name, attrs, max_replica_lag, hosts, discovered })
    };
    config.databases.values().chain(&config.fallback).filter_map(watched).collect()
}

/// How to ask a host what it is, or what it knows. `user`: `None`: the monitors' own.
pub(super) fn monitor_login(
    live: &Live,
    database: &Database,
    host: &HostAddr,
    user: Option<String>,
    password: Option<&SecretText>,
    tracked: &Arc<Tracked>,
) -> Option<Target> {
    let config = &live.config;
    let settings = &config.settings;
    let user = user.or_else(|| settings.topology_user.clone()).or_else(|| database.user.clone());
    let user =
        user.or_else(|| database.auth_user.clone()).or_else(|| settings.auth_user.clone())?;
    let credentials = match password {
        Some(password) => Credentials::password(password.reveal()),
        None => forced_credentials(config, database, &user),
    };
    let mut target =
        target(config, &live.server_tls, database, host, &user, credentials, tracked.clone());
    target.connect_query = None;
    if target.dbname == FALLBACK {
        // Any database will do to ask a host what it is, and this one is everywhere.
        target.dbname = "postgres".to_owned();
    }
    Some(target)
}

/// Where the monitors remember over a restart: the setting, else beside the pid file.
pub fn state_file(config: &Config) -> Option<PathBuf> {
    let settings = &config.settings;
    let beside = || settings.pidfile.as_ref().map(|pidfile| pidfile.with_extension("topology"));
    settings.topology_state_file.clone().or_else(beside)
}

/// How often the monitors ask.
pub fn pace(settings: &Settings) -> Pace {
    Pace {
        interval: settings.topology_interval,
        timeout: settings.topology_timeout,
        max_replica_lag: settings.max_replica_lag,
        split_brain: settings.split_brain,
    }
}

impl Control {
    /// Whether a successor may take over now.
    ///
    /// # Errors
    /// Why not.
    pub fn may_hand_over(&self) -> Result<(), Refused> {
        let shared = &self.shared;
        if shared.handover.is_under_way() {
            return Err(Refused::Busy("another process takes over already"));
        }
        if shared.is_suspended() {
            return Err(Refused::Busy("suspended; RESUME first"));
        }
        if shared.closing.load(Ordering::Acquire) {
            return Err(Refused::ShuttingDown);
        }
        Ok(())
    }

    /// Over these.
    pub fn new(
        shared: Arc<Shared>,
        topology: Topology,
        shutdown: watch::Sender<Option<ShutdownMode>>,
        after_reload: Box<dyn Reopen>,
    ) -> Arc<Self> {
        let base = Base { config: shared.live().config.clone(), known: KnownHosts::default() };
        let (base, findings) = (Mutex::new(base), Findings::default());
        Arc::new(Self { shared, topology, base, findings, shutdown, after_reload })
    }

    /// The configuration as the files have it; nobody else changes it meanwhile.
    pub(super) async fn base(&self) -> MutexGuard<'_, Base> {
        self.base.lock().await
    }

    /// Where those who ask for hosts send what they find.
    pub(super) fn findings(&self) -> &mpsc::Sender<Finding> {
        &self.findings.sender
    }

    /// What they have found; for one only.
    pub(super) fn take_findings(&self) -> Option<mpsc::Receiver<Finding>> {
        self.findings.receiver.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// What the monitors know.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    // ---------------------------------------------------------------- configuration

    /// Reads the files again and puts them in force; if anything is wrong with them, nothing changes.
    ///
    /// # Errors
    /// [`Refused::Reload`]; the log says what is wrong.
    pub async fn reload(&self) -> Result<(), Refused> {
        let reloaded = self.read_again().await;
        self.shared.metrics.process().reloaded(reloaded.is_ok());
        reloaded
    }

    async fn read_again(&self) -> Result<(), Refused> {
        let mut base = self.base().await;
        let old = self.shared.live();
        let read = || -> Result<_, ReloadError> {
            let (config, changes) = base.config.reload()?;
            let new = base.replaced_by(config);
            Ok((with_tls(new.joined())?, new, changes))
        };
        let (live, new, changes) = read().map_err(|error| {
            tracing::error!("{error}");
            tracing::warn!(
                "config file loading failed; the configuration in force stays as it was"
            );
            Refused::Reload
        })?;
        for key in &changes.ignored_until_restart {
            tracing::warn!("{key} has changed; that takes effect at the next start");
        }
        for note in &live.config.notes {
            tracing::warn!("{note}");
        }
        self.after_reload.reopen(&live.config.settings);
        self.put_in_force(&old, live);
        *base = new;
        self.ask_for_hosts(&base);
        Ok(())
    }

    /// `SET key = 'value'`.
    ///
    /// # Errors
    /// [`Refused::Set`], or [`Refused::TlsStays`]; the log says what is wrong.
    pub async fn set(&self, key: &str, value: &str) -> Result<(), Refused> {
        let of_tls = key.contains("_tls_") || key.contains("_tls13_");
        let mut base = self.base().await;
        let old = self.shared.live();
        let config = base.config.set(key, value).map_err(|error| {
            let phrase = if key.ends_with("tls13_ciphers") {
                "failed to set the TLSv1.3 cipher suites: "
            } else {
                ""
            };
            tracing::warn!("SET {key}: {phrase}{error}");
            if of_tls { Refused::TlsStays } else { Refused::Set }
        })?;
        let new = base.replaced_by(config);
        let as_before = |config: Config| {
            let crowd = Crowd::of(&config.userlist);
            Live { config: Arc::new(config), crowd, ..(*old).clone() }
        };
        let (live, applied) = if of_tls {
            match with_tls(new.joined()) {
                Ok(live) => (live, true),
                // As in pgbouncer: the next SET may bring what is missing, say the certificate after its key.
                Err(error) => {
                    tracing::warn!("SET {key}: {error}");
                    (as_before(new.joined()), false)
                }
            }
        } else {
            (as_before(new.joined()), true)
        };
        for note in live.config.notes.iter().filter(|note| !old.config.notes.contains(note)) {
            tracing::warn!("{note}");
        }
        // What the log goes by may be among it.
        self.after_reload.reopen(&live.config.settings);
        self.put_in_force(&old, live);
        *base = new;
        self.ask_for_hosts(&base);
        if applied { Ok(()) } else { Err(Refused::TlsStays) }
    }

    pub(super) fn put_in_force(&self, old: &Live, live: Live) {
        let settings = &live.config.settings;
        self.topology.reconfigure(entries(&live, &self.shared.tracked), pace(settings));
        let new_server_tls = old.config.settings.server_tls != settings.server_tls;
        let (config, server_tls) = (live.config.clone(), live.server_tls.clone());
        self.look_up_names(&live);
        self.shared.set_live(live);
        for service in self.shared.services.all() {
            if config.database(&service.database).is_none() {
                tracing::info!(
                    "dropping database '{}' as it does not exist anymore or inactive auto-database",
                    service.database
                );
                self.drop_service(&service);
                continue;
            }
            self.shared.services.reconfigure(&service, &config, &server_tls);
            if new_server_tls {
                service.pools().iter().for_each(|pool| pool.reconnect());
            }
        }
        self.shared.begin_minimum();
    }

    fn drop_service(&self, service: &Arc<Service>) {
        self.shared.services.remove(service);
        for client in self.shared.clients.iter() {
            if Arc::ptr_eq(&client.service, service) {
                client.holder.order(Order::DatabaseGone);
            }
        }
    }

    // ---------------------------------------------------------------- pausing

    fn services(&self, database: Option<&str>) -> Vec<Arc<Service>> {
        let all = self.shared.services.all();
        all.into_iter()
            .filter(|service| database.is_none_or(|name| service.database == name))
            .collect()
    }

    fn must_exist(&self, verb: &'static str, database: &str) -> Result<(), Refused> {
        if crate::worker::console::NAMES.contains(&database) {
            return Err(Refused::Console(verb, database.to_owned()));
        }
        match self.shared.live().config.database(database) {
            Some(_) => Ok(()),
            None => Err(Refused::NoSuchDatabase(database.to_owned())),
        }
    }

    /// `PAUSE`: no server is given out; ends when none is in use any more. Dropped before, it resumes.
    ///
    /// # Errors
    /// Paused already, or no such database.
    pub async fn pause(&self, database: Option<&str>) -> Result<(), Refused> {
        self.begin_pause(database)?;
        let undo = Undo { control: self, database, due: true };
        for service in self.services(database) {
            for pool in service.pools() {
                pool.quiet().await;
            }
        }
        undo.disarm();
        Ok(())
    }

    /// The same, without waiting.
    ///
    /// # Errors
    /// As [`Self::pause`].
    pub fn begin_pause(&self, database: Option<&str>) -> Result<(), Refused> {
        match database {
            Some(name) => {
                self.must_exist("pause", name)?;
                if self.shared.is_suspended() || self.shared.all_paused.load(Ordering::Acquire) {
                    return Err(Refused::AlreadyPaused);
                }
                self.shared.paused.insert(name.to_owned(), ());
            }
            None if self.shared.is_suspended()
                || self.shared.all_paused.swap(true, Ordering::AcqRel) =>
            {
                return Err(Refused::AlreadyPaused);
            }
            None => {}
        }
        for service in self.services(database) {
            service.pools().iter().for_each(|pool| pool.pause());
        }
        Ok(())
    }

    /// `RESUME`.
    ///
    /// # Errors
    /// Not paused, no such database, or the process ends.
    pub fn resume(&self, database: Option<&str>) -> Result<(), Refused> {
        if self.is_ending() {
            return Err(Refused::ShuttingDown);
        }
        match database {
            Some(name) => {
                self.must_exist("resume", name)?;
                if self.shared.paused.remove(name).is_none() {
                    return Err(Refused::NotPaused(Some(name.to_owned())));
                }
            }
            None if self.wake_up() => return Ok(()),
            None if !self.shared.all_paused.swap(false, Ordering::AcqRel) => {
                return Err(Refused::NotPaused(None));
            }
            None => {}
        }
        for service in self.services(database) {
            if !self.shared.is_paused(&service.database) {
                service.pools().iter().for_each(|pool| pool.resume());
            }
        }
        Ok(())
    }

    /// `KILL`: closes all clients and servers of the database at once, then pauses it.
    ///
    /// # Errors
    /// Paused already, or no such database.
    pub fn kill(&self, database: Option<&str>) -> Result<(), Refused> {
        if let Some(name) = database {
            self.must_exist("kill", name)?;
        }
        if self.shared.all_paused.load(Ordering::Acquire) {
            return Err(Refused::AlreadyPaused);
        }
        let names: Vec<String> = match database {
            Some(name) => vec![name.to_owned()],
            None => self.shared.live().config.databases.keys().cloned().collect(),
        };
        for name in names {
            self.shared.paused.insert(name, ());
        }
        for client in self.shared.clients.iter() {
            if database.is_none_or(|name| client.service.database == name) {
                client.holder.order(Order::DatabaseGone);
            }
        }
        for service in self.services(database) {
            service.pools().iter().for_each(|pool| pool.pause());
        }
        Ok(())
    }

    /// `KILL_CLIENT id`.
    ///
    /// # Errors
    /// No client has this id.
    pub fn kill_client(&self, id: u64) -> Result<(), Refused> {
        if let Some(holder) = self.shared.holder(id) {
            holder.order(Order::Kill);
            return Ok(());
        }
        self.shared.visitors.get(id).ok_or(Refused::NoSuchClient)?.kill();
        Ok(())
    }

    /// `RECONNECT`: every server is replaced when it comes free.
    ///
    /// # Errors
    /// No such database.
    pub fn reconnect(&self, database: Option<&str>) -> Result<(), Refused> {
        if let Some(name) = database {
            self.must_exist("reconnect", name)?;
        }
        for service in self.services(database) {
            service.pools().iter().for_each(|pool| pool.reconnect());
        }
        Ok(())
    }

    /// `WAIT_CLOSE`: ends when every server that is to be replaced is closed.
    ///
    /// # Errors
    /// No such database.
    pub async fn wait_close(&self, database: Option<&str>) -> Result<(), Refused> {
        if let Some(name) = database {
            self.must_exist("wait for", name)?;
        }
        for service in self.services(database) {
            for pool in service.pools() {
                pool.replaced().await;
            }
        }
        Ok(())
    }

    /// `DISABLE` and `ENABLE`: whether new clients may log in to the database.
    ///
    /// # Errors
    /// No such database.
    pub fn set_disabled(&self, database: &str, disabled: bool) -> Result<(), Refused> {
        self.must_exist(if disabled { "disable" } else { "enable" }, database)?;
        if disabled {
            self.shared.disabled.insert(database.to_owned(), ());
        } else {
            self.shared.disabled.remove(database);
        }
        Ok(())
    }

    // ---------------------------------------------------------------- the end

    /// Asks the process to end. While it already does, it ends at once.
    pub fn shutdown(&self, mode: ShutdownMode) {
        // Who is suspended could never leave.
        self.wake_up();
        // At once: whoever asks after the answer to SHUTDOWN is to find it in force.
        if mode == ShutdownMode::WaitForServers {
            self.pause_all();
        }
        self.shutdown.send_modify(|asked| {
            *asked = Some(if asked.is_some() { ShutdownMode::Immediate } else { mode });
        });
    }

    /// Whether it was asked to.
    pub fn is_ending(&self) -> bool {
        self.shutdown.borrow().is_some()
    }

    fn pause_all(&self) {
        self.shared.all_paused.store(true, Ordering::Release);
        self.shared.services.pools().iter().for_each(|pool| pool.pause());
    }

    /// Waits until no server is in use, turning away those who wait for one.
    pub async fn drain_servers(&self) {
        self.pause_all();
        loop {
            // Who has just been given a server may go on to use it first.
            tokio::time::sleep(DRAIN_LOOK).await;
            let mut busy = 0;
            for pool in self.shared.services.pools() {
                pool.pause();
                pool.dismiss_waiting(&AttachError::ShuttingDown);
                let levels = pool.levels();
                busy += levels.servers_active + levels.servers_login;
            }
            if busy == 0 {
                return;
            }
        }
    }
}

/// How often a drain looks whether it is over.
const DRAIN_LOOK: std::time::Duration = std::time::Duration::from_millis(100);
