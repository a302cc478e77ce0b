//! One PostgreSQL server: made, started, broken and removed by a test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;

use super::cluster::Cluster;
use super::home::{self, Home, Process, as_service, give, write_private};
use super::installation::{Installation, copy_folder, make_template};
#[cfg(target_os = "linux")]
use super::network::{Host, Network};
use super::psql::Login;
use super::tls::Certificate;
use super::wait;
use super::wire::{Rows, ServerError, Wire};

/// Password of the role `app`, which every server has, and which owns the database `app`.
pub const APP_PASSWORD: &str = "secret";

/// What a server shall be like; [`Setup::start`] and [`Setup::cluster`] make it so.
///
/// Every server has a superuser `postgres` (no password over its Unix socket) and a role `app`
/// with password `secret` that owns a database `app`. Without [`Setup::hba`] everybody is trusted.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    settings: Vec<(String, String)>,
    hba: Vec<String>,
    sql: Vec<String>,
    tls: Option<Certificate>,
    installation: Option<Installation>,
    anew: bool,
    own_addresses: bool,
    #[cfg(target_os = "linux")]
    hosts: Vec<Host>,
}

/// How a role proves who it is, and what the server stores for that.
#[derive(Clone, Copy, Debug)]
pub enum Password<'a> {
    /// No password.
    None,
    /// Stored as an md5 hash.
    Md5(&'a str),
    /// Stored as a SCRAM-SHA-256 verifier.
    Scram(&'a str),
}

impl Setup {
    /// The default.
    pub fn new() -> Self {
        Self::default()
    }

    /// A line of postgresql.conf.
    pub fn setting(mut self, key: &str, value: impl ToString) -> Self {
        self.settings.push((key.to_owned(), value.to_string()));
        self
    }

    /// A line of pg_hba.conf. The first call replaces `host all all 127.0.0.1/32 trust`.
    pub fn hba(mut self, line: &str) -> Self {
        self.hba.push(line.to_owned());
        self
    }

    /// A role that may log in.
    pub fn role(self, name: &str, password: Password<'_>) -> Self {
        let (encryption, password) = match password {
            Password::None => return self.sql(&format!("CREATE ROLE {name} LOGIN")),
            Password::Md5(password) => ("md5", password),
            Password::Scram(password) => ("scram-sha-256", password),
        };
        self.sql(&format!(
            "SET password_encryption = '{encryption}'; CREATE ROLE {name} LOGIN PASSWORD '{password}'"
        ))
    }

    /// SQL to run once, as superuser in the database `app`.
    pub fn sql(mut self, sql: &str) -> Self {
        self.sql.push(sql.to_owned());
        self
    }

    /// A further database, owned by `app`. (Not in a transaction with other SQL.)
    pub fn database(self, name: &str) -> Self {
        self.sql(&format!("CREATE DATABASE {name} OWNER app"))
    }

    /// Switches TLS on.
    pub fn tls(mut self, certificate: &Certificate) -> Self {
        self.tls = Some(certificate.clone());
        self
    }

    /// Another PostgreSQL than [`Installation::usual`].
    pub fn installation(mut self, installation: &Installation) -> Self {
        self.installation = Some(installation.clone());
        self
    }

    /// Puts the first server on the first host of this network, and so on, instead of all on 127.0.0.1.
    #[cfg(target_os = "linux")]
    pub fn network(mut self, network: &Network) -> Self {
        self.hosts = network.hosts().to_vec();
        self
    }

    /// Puts each server on a loopback address of its own, 127.0.0.2 and so on, all on one port.
    #[cfg(target_os = "linux")]
    pub fn own_addresses(mut self) -> Self {
        self.own_addresses = true;
        self
    }

    /// Where the server with this number is to live.
    pub(super) fn place(&self, number: usize) -> Place {
        if self.own_addresses {
            return Place::Address(u8::try_from(number + 2).unwrap());
        }
        #[cfg(target_os = "linux")]
        if !self.hosts.is_empty() {
            let host = self.hosts.get(number).expect("the network has a host for each server");
            return Place::Host(host.clone());
        }
        let _ = number;
        Place::Loopback
    }

    /// Starts one server that is no copy of the common template: it has a system identifier of its own.
    pub fn start_anew(mut self) -> Postgres {
        self.anew = true;
        self.start()
    }

    /// Starts one server.
    pub fn start(self) -> Postgres {
        self.start_in(Arc::new(Home::new()), "node0")
    }

    /// Starts a primary and `replicas` streaming replicas.
    pub fn cluster(self, replicas: usize) -> Cluster {
        Cluster::new(self, replicas)
    }

    pub(super) fn start_in(self, home: Arc<Home>, name: &str) -> Postgres {
        let installation = self.installation.clone();
        let installation = installation.unwrap_or_else(|| Installation::usual().clone());
        let mut server = Postgres::empty(home, name, installation, self.place(0));
        if self.anew {
            make_template(&server.installation, &server.data);
        } else {
            copy_folder(&server.installation.template(), &server.data).unwrap();
        }
        self.write_conf(&server);
        self.write_hba(&server);
        server.start();
        for sql in &self.sql {
            server.query(sql);
        }
        server
    }

    fn write_conf(&self, server: &Postgres) {
        let mut settings: Vec<(&str, String)> = [
            ("fsync", "off"),
            ("full_page_writes", "off"),
            ("shared_buffers", "16MB"),
            ("max_connections", "100"),
            ("wal_level", "replica"),
            ("hot_standby", "on"),
            ("wal_keep_size", "256MB"), // no slots: a replica that was away must find its WAL
            ("max_wal_senders", "10"),
            ("wal_receiver_timeout", "5s"),
            ("wal_retrieve_retry_interval", "200ms"),
            ("log_connections", "off"),
            ("log_line_prefix", "%m [%p] %u@%d "),
        ]
        .map(|(key, value)| (key, value.to_owned()))
        .into();
        if let Some(certificate) = &self.tls {
            let files = certificate.write(server.home.path(), "server");
            settings.extend([
                ("ssl", "on".to_owned()),
                ("ssl_cert_file", files.cert.display().to_string()),
                ("ssl_key_file", files.key.display().to_string()),
                ("ssl_ca_file", files.authority.display().to_string()),
            ]);
        }
        settings.extend(self.settings.iter().map(|(key, value)| (key.as_str(), value.clone())));
        let path = server.data.join("postgresql.conf");
        let mut conf = fs::read_to_string(&path).unwrap();
        for (key, value) in settings {
            conf.push_str(&format!("{key} = '{}'\n", value.replace('\'', "''")));
        }
        write_private(&path, &conf);
    }

    fn write_hba(&self, server: &Postgres) {
        let mut lines = vec![
            "local all postgres trust",
            "local replication postgres trust",
            "host replication postgres 127.0.0.1/32 trust",
            "host replication postgres 10.213.0.0/16 trust", // see network.rs
        ];
        if self.hba.is_empty() {
            lines.extend(["local all all trust", "host all all 127.0.0.1/32 trust"]);
            lines.push("host all all 10.213.0.0/16 trust");
        }
        lines.extend(self.hba.iter().map(String::as_str));
        write_private(&server.data.join("pg_hba.conf"), &(lines.join("\n") + "\n"));
    }
}

/// Where a server lives.
#[derive(Clone, Debug)]
pub enum Place {
    /// At 127.0.0.1.
    Loopback,
    /// At 127.0.0.N.
    Address(u8),
    /// On a host of its own.
    #[cfg(target_os = "linux")]
    Host(Host),
}

impl Place {
    /// Its address.
    pub fn address(&self) -> String {
        match self {
            Self::Loopback => "127.0.0.1".to_owned(),
            Self::Address(number) => format!("127.0.0.{number}"),
            #[cfg(target_os = "linux")]
            Self::Host(host) => host.address(),
        }
    }

    /// Does something there: starts a program, say.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match self {
            Self::Loopback | Self::Address(_) => work(),
            #[cfg(target_os = "linux")]
            Self::Host(host) => host.run(work),
        }
    }
}

/// A server. Dropped, it is shut down at once and its files go with its [`Home`].
#[derive(Debug)]
pub struct Postgres {
    name: String,
    installation: Installation,
    data: PathBuf,
    log: PathBuf,
    socket_dir: PathBuf,
    place: Place,
    port: u16,
    /// Started before: others know its port by now.
    port_is_known: bool,
    process: Option<Process>,
    home: Arc<Home>, // last: dropped after the process
}

impl Postgres {
    pub(super) fn empty(
        home: Arc<Home>,
        name: &str,
        installation: Installation,
        place: Place,
    ) -> Self {
        let folder = home.folder(name);
        Self {
            name: name.to_owned(),
            installation,
            data: folder.join("data"),
            log: folder.join("log"),
            socket_dir: folder,
            place,
            port: home::free_port(),
            port_is_known: false,
            process: None,
            home,
        }
    }

    /// Where it lives.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Its port there.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of its Unix socket.
    pub fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    /// Its data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The programs that it runs.
    pub fn installation(&self) -> &Installation {
        &self.installation
    }

    /// Its name within a cluster (`node0`, ...), a replica's `application_name`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All that it logged.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Moves it to another port, before its first start.
    pub(super) fn listen_at(&mut self, port: u16) {
        self.port = port;
    }

    /// How a client reaches it over TCP, without pgweir.
    pub fn login(&self, user: &str, database: &str) -> Login {
        Login::at(&self.place.address(), self.port, user, database)
    }

    /// Whether its postmaster runs (a frozen one does).
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| process.ended().is_none())
    }

    /// A new connection as superuser over the Unix socket.
    ///
    /// # Errors
    /// It is not there, or refuses.
    pub fn connect(&self, database: &str) -> Result<Wire, ServerError> {
        Wire::unix(&self.socket_dir, self.port, "postgres", database)
    }

    /// Runs SQL in the database `app` as superuser, on a connection of its own.
    #[track_caller]
    pub fn query(&self, sql: &str) -> Rows {
        self.try_query(sql).unwrap_or_else(|error| panic!("{} on {sql}: {error}", self.name))
    }

    /// As [`Self::query`].
    ///
    /// # Errors
    /// It is not there, or answers with an error.
    pub fn try_query(&self, sql: &str) -> Result<Rows, ServerError> {
        self.connect("app")?.query(sql)
    }

    /// `ALTER SYSTEM SET` and reload; an empty value resets.
    pub fn set(&self, key: &str, value: &str) {
        let mut wire = self.connect("app").unwrap();
        let value = value.replace('\'', "''");
        let sql = match value.as_str() {
            "" => format!("ALTER SYSTEM RESET {key}"),
            value => format!("ALTER SYSTEM SET {key} = '{value}'"),
        };
        wire.query(&sql).unwrap();
        wire.query("SELECT pg_reload_conf()").unwrap();
    }

    /// Starts it, on the port that it had, and waits until it answers.
    pub fn start(&mut self) {
        assert!(!self.is_running(), "{} runs already", self.name);
        for _ in 0..10 {
            let before = fs::metadata(&self.log).map_or(0, |meta| meta.len());
            self.process = Some(self.launch());
            if self.wait_ready() {
                self.port_is_known = true;
                return;
            }
            let log = fs::read(&self.log).unwrap();
            let log = String::from_utf8_lossy(&log[usize::try_from(before).unwrap()..]);
            assert!(log.contains("Address already in use"), "{} won't start:\n{log}", self.name);
            if !self.port_is_known {
                self.port = home::free_port();
            }
        }
        panic!("{}: port {} stays taken", self.name, self.port);
    }

    fn launch(&self) -> Process {
        let log = fs::File::options().create(true).append(true).open(&self.log).unwrap();
        give(&self.log);
        let mut command = as_service(self.installation.program("postgres"));
        command
            .arg("-D")
            .arg(&self.data)
            .args(["-c", &format!("port={}", self.port)])
            .args(["-c", &format!("listen_addresses={}", self.place.address())])
            .args(["-c", &format!("unix_socket_directories={}", self.socket_dir.display())])
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.place.run(|| Process::start(&mut command, &self.home))
    }

    /// Waits until it answers a query (true) or has ended (false).
    pub fn wait_ready(&mut self) -> bool {
        let what = format!("{} to answer; its log: {}", self.name, self.log.display());
        wait::value(&what, wait::DEADLINE, || {
            if !self.is_running() {
                return Some(false);
            }
            self.try_query("SELECT 1").is_ok().then_some(true)
        })
    }

    /// Sends a signal. SIGKILL, SIGSTOP and SIGCONT reach every process of the server: the host
    /// dies (none is left when this returns), freezes, or goes on. All others reach the postmaster:
    /// SIGTERM, SIGINT, SIGQUIT are PostgreSQL's smart, fast and immediate shutdown.
    pub fn kill(&mut self, signal: Signal) {
        let process = self.process.as_mut().expect("never started");
        if [Signal::KILL, Signal::STOP, Signal::CONT].contains(&signal) {
            process.signal_all(signal);
        } else {
            process.signal(signal);
        }
    }

    /// From now on its host's answers vanish on the way.
    #[cfg(target_os = "linux")]
    pub fn vanish(&self) {
        self.host().vanish();
    }

    /// Its host's answers arrive again.
    #[cfg(target_os = "linux")]
    pub fn reappear(&self) {
        self.host().reappear();
    }

    #[cfg(target_os = "linux")]
    fn host(&self) -> &Host {
        match &self.place {
            Place::Host(host) => host,
            Place::Loopback | Place::Address(_) => {
                panic!("{} has no network of its own (Setup::network)", self.name)
            }
        }
    }

    /// SIGKILL to the postmaster alone. Idle backends tell their clients (57P01) and end; one that
    /// works goes on until it next waits.
    pub fn kill_postmaster(&mut self) {
        self.process.as_mut().expect("never started").kill_parent_only();
    }

    /// Fast shutdown; returns when it has ended.
    pub fn stop(&mut self) {
        self.kill(Signal::INT);
        let process = self.process.as_mut().expect("just signalled");
        process.wait("a fast shutdown of PostgreSQL");
    }

    /// Fast shutdown and start.
    pub fn restart(&mut self) {
        self.stop();
        self.start();
    }

    /// Removes the data directory of a server that is down.
    pub fn erase(&mut self) {
        assert!(!self.is_running(), "{} runs", self.name);
        remove_shared_memory(&self.data);
        fs::remove_dir_all(&self.data).unwrap();
    }

    /// Promotes a replica; returns when it takes writes.
    pub fn promote(&self) {
        assert_eq!(self.query("SELECT pg_promote(true, 30)").one(), "t", "{}", self.name);
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "---- {} (port {}), log:\n{}",
                self.name,
                self.port,
                home::tail(&self.log, 15)
            );
        }
        let Some(mut process) = self.process.take() else { return };
        process.end(Duration::from_secs(10));
        remove_shared_memory(&self.data);
    }
}

/// A postmaster that was killed can't remove its (tiny) System V shared memory segment, and the
/// system allows only so many. `postmaster.pid`, gone after an orderly end, has its id in line 7.
pub(super) fn remove_shared_memory(data: &Path) {
    let Ok(pid_file) = fs::read_to_string(data.join("postmaster.pid")) else { return };
    let id = pid_file.lines().nth(6).and_then(|line| line.split_whitespace().nth(1));
    let Some(id) = id else { return };
    let quiet = || Stdio::null();
    drop(Command::new("ipcrm").args(["-m", id]).stdout(quiet()).stderr(quiet()).status());
}
