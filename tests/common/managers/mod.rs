//! Real cluster managers over real servers: repmgr, Patroni with etcd, pg_auto_failover.

pub mod auto_failover;
pub mod patroni;
pub mod repmgr;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustix::process::{Pid, Signal};

use super::home::{self, Home, Process, descendants, is_alive};
use super::postgres::remove_shared_memory;
use super::wait;
use super::wire::{Rows, ServerError, Wire};

pub use auto_failover::AutoFailover;
pub use patroni::Patroni;
pub use repmgr::Repmgr;

/// Where a program is: in PATH, beside PostgreSQL's, or where Debian keeps daemons.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/local/bin", "/usr/bin", "/usr/sbin"].map(PathBuf::from));
    folders.push(bin());
    folders.into_iter().map(|folder| folder.join(program)).find(|file| file.exists())
}

/// The folder of PostgreSQL's programs.
fn bin() -> PathBuf {
    super::pg_bin("postgres").parent().expect("a folder").to_owned()
}

/// Whether these can be used; if not, says so, so that a test can end.
pub fn are_installed(programs: &[&str]) -> bool {
    let missing: Vec<_> = programs.iter().filter(|program| find(program).is_none()).collect();
    if !missing.is_empty() {
        eprintln!("SKIPPED: {missing:?} not installed; `make setup` installs what apt has");
    }
    missing.is_empty()
}

/// A server that a manager's agent starts and stops.
#[derive(Debug)]
pub struct Managed {
    name: String,
    data: PathBuf,
    folder: PathBuf,
    superuser: String,
    port: u16,
    log: PathBuf,
    agent: Option<Process>,
    home: Arc<Home>,
}

impl Managed {
    fn new(home: &Arc<Home>, name: &str) -> Self {
        let folder = home.folder(name);
        Self {
            name: name.to_owned(),
            data: folder.join("data"),
            log: folder.join("log"),
            folder,
            superuser: home::service_name(),
            port: home::free_port(),
            agent: None,
            home: home.clone(),
        }
    }

    /// The server's port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its name in the cluster.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Starts the agent; what it says goes to the log.
    fn start(&mut self, command: &mut Command) {
        let log = fs::File::options().create(true).append(true).open(&self.log).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.agent = Some(Process::start(command, &self.home));
    }

    /// What the agent said.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Runs SQL as superuser.
    ///
    /// # Errors
    /// It is not there, or refuses.
    pub fn try_query(&self, database: &str, sql: &str) -> Result<Rows, ServerError> {
        Wire::tcp(self.port, &self.superuser, database)?.query(sql)
    }

    /// Whether it is there and in recovery, or not.
    pub fn in_recovery(&self) -> Option<bool> {
        let rows = self.try_query("postgres", "SELECT pg_is_in_recovery()").ok()?;
        Some(rows.one() == "t")
    }

    fn postmaster(&self) -> Option<Pid> {
        let text = fs::read_to_string(self.data.join("postmaster.pid")).ok()?;
        let pid = Pid::from_raw(text.lines().next()?.trim().parse().ok()?)?;
        is_alive(pid).then_some(pid)
    }

    /// SIGKILL to the agent, the server, and all that they have started: the host dies.
    pub fn kill(&mut self) {
        // The agent's server need not be its child.
        let mut family = Vec::new();
        if let Some(agent) = &mut self.agent {
            if agent.ended().is_none() {
                family.extend(descendants(agent.pid()));
            }
            agent.signal_all(Signal::KILL);
        }
        if let Some(postmaster) = self.postmaster() {
            family.push(postmaster);
            family.extend(descendants(postmaster));
        }
        for pid in &family {
            let _ = rustix::process::kill_process(*pid, Signal::KILL);
        }
        wait::until("the end of a killed server", wait::DEADLINE, || {
            family.iter().all(|pid| !is_alive(*pid))
        });
        remove_shared_memory(&self.data);
    }

    /// Asks the agent to end, which ends its server.
    pub fn stop(&mut self) {
        let agent = self.agent.as_mut().expect("never started");
        agent.signal(Signal::TERM);
        agent.wait("an orderly end of a cluster manager's agent");
    }
}

impl Drop for Managed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "---- {} (port {}), log:\n{}",
                self.name,
                self.port,
                home::tail(&self.log, 20)
            );
        }
        self.kill();
    }
}

/// Makes the role and the database `app`.
fn make_app(node: &Managed) {
    let password = super::postgres::APP_PASSWORD;
    let sql = [
        format!("CREATE ROLE app LOGIN PASSWORD '{password}'"),
        "GRANT pg_monitor TO app".to_owned(),
    ];
    for sql in sql {
        node.try_query("postgres", &sql).unwrap();
    }
    node.try_query("postgres", "CREATE DATABASE app OWNER app").unwrap();
}

/// Waits until this many servers stream from a node.
fn wait_streaming(node: &Managed, count: usize) {
    let sql = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
    wait::until(&format!("{count} replicas that stream"), 2 * wait::DEADLINE, || {
        node.try_query("postgres", sql).is_ok_and(|rows| rows.one() == count.to_string())
    });
}

fn path(path: &Path) -> String {
    path.display().to_string()
}
