//! The temporary folder that servers live in, the user they run as, their ports and processes.

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::{BuildHasher, Hasher};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process, test_kill_process};
use tempfile::TempDir;

use super::wait;

/// A Unix socket's path has 107 bytes; the longest name in a home is `/n12/.s.PGSQL.65535`.
const LONGEST_PATH: usize = 80;

/// A temporary folder owned by the service user, gone with everything in it when dropped.
#[derive(Debug)]
pub struct Home {
    dir: TempDir,
    watchdog: Child,
}

impl Home {
    /// A new, empty folder with a watchdog over it.
    pub fn new() -> Self {
        let prefix = "pgweir-test-";
        let mut base = std::env::temp_dir();
        if base.as_os_str().len() + prefix.len() > LONGEST_PATH {
            base = "/tmp".into();
        }
        let dir = tempfile::Builder::new().prefix(prefix).tempdir_in(base).unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(dir.path().join("pids")).unwrap();
        give(dir.path());
        let watchdog = watch_over(dir.path());
        Self { dir, watchdog }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A new folder in it.
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir(&path).unwrap();
        give(&path);
        path
    }

    /// A new file in `self`, readable for its owner only.
    pub fn file(&self, name: &str, contents: &str) -> PathBuf {
        let path = self.path().join(name);
        write_private(&path, contents);
        path
    }

    fn pid_file(&self, pid: Pid) -> PathBuf {
        self.path().join("pids").join(pid.as_raw_nonzero().to_string())
    }
}

impl Default for Home {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // First the watchdog, so that it can't kill a process number that is in use again.
        drop(self.watchdog.kill());
        drop(self.watchdog.wait());
    }
}

/// A shell that reads from a pipe which only we hold: it ends when we do, however we end, and then
/// ends the servers and removes the folder. SIGCONT comes first because a stopped process keeps
/// SIGQUIT waiting; SIGQUIT comes before SIGKILL because a postmaster ends its children on it.
fn watch_over(dir: &Path) -> Child {
    let script = r#"
        cat >/dev/null
        cd "$1/pids" || exit 0
        for pid in *; do kill -CONT "$pid"; kill -QUIT "$pid"; done
        for second in 1 2 3 4 5 6 7; do
            left=
            for pid in *; do kill -0 "$pid" && left=yes; done
            [ "$left" ] || break
            sleep 1
        done
        for pid in *; do kill -KILL "$pid"; done
        cd / && rm -rf "$1"
    "#;
    Command::new("sh")
        .args(["-c", script, "pgweir-test-watchdog"])
        .arg(dir)
        .process_group(0) // Ctrl-C is for the test, not for its watchdog
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("cannot start sh")
}

/// Writes a file that belongs to the service user and that nobody else can read.
pub fn write_private(path: &Path, contents: &str) {
    fs::write(path, contents).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    give(path);
}

// ---- the user that servers run as ----

/// An entry of /etc/passwd.
#[derive(Clone, Debug)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
}

/// The system's name for who runs this test.
pub fn own_name() -> String {
    name_of(geteuid().as_raw())
}

/// The system's name for whom servers run as.
pub fn service_name() -> String {
    service_user().map_or_else(own_name, |user| name_of(user.uid))
}

fn name_of(uid: u32) -> String {
    let uid = uid.to_string();
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let line = passwd.lines().find(|line| line.split(':').nth(2) == Some(&uid));
    line.and_then(|line| line.split(':').next()).expect("is in /etc/passwd").to_owned()
}

/// Whom servers run as when we are root: `postgres` if the system has it, else `nobody`.
/// `None` when we are not root: then they run as we do.
pub fn service_user() -> Option<&'static User> {
    static USER: OnceLock<Option<User>> = OnceLock::new();
    USER.get_or_init(|| {
        if !geteuid().is_root() {
            return None;
        }
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let user = ["postgres", "nobody"].iter().find_map(|name| find_user(&passwd, name));
        Some(user.expect("we are root, and neither postgres nor nobody is in /etc/passwd"))
    })
    .as_ref()
}

fn find_user(passwd: &str, name: &str) -> Option<User> {
    let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut ids = line.split(':').skip(2).map(|id| id.parse().ok());
    Some(User { uid: ids.next()??, gid: ids.next()?? })
}

/// Gives a file or folder to the service user.
pub fn give(path: &Path) {
    if let Some(user) = service_user() {
        chown(path, Some(user.uid), Some(user.gid)).unwrap();
    }
}

/// A command that will run as the service user, in a folder that it may be in.
pub fn as_service(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    if let Some(user) = service_user() {
        command.uid(user.uid).gid(user.gid).env("HOME", "/");
    }
    command.current_dir("/");
    command
}

/// In a process group of its own, out of Ctrl-C's reach.
pub fn own_group(command: &mut Command) -> &mut Command {
    command.process_group(0)
}

/// Whether the service user can run this file: execute and search rights for others up to `/`.
pub fn service_can_run(program: &Path) -> bool {
    service_user().is_none()
        || program
            .ancestors()
            .all(|path| fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o001 != 0))
}

// ---- ports ----

/// Ports are taken from below the range that the system uses for outgoing connections: the port
/// of a server that a test has killed must still be free when it comes back.
const PORTS: std::ops::Range<u16> = 12_000..32_000;

/// A TCP port that nobody listens on at 127.0.0.1. Somebody else may take it before its user
/// does: who starts a server retries.
pub fn free_port() -> u16 {
    let count = u64::from(PORTS.end - PORTS.start);
    wait::value("a free port", wait::DEADLINE, || {
        let random = RandomState::new().build_hasher().finish() % count;
        let port = PORTS.start + u16::try_from(random).unwrap();
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok().map(|_| port)
    })
}

// ---- processes ----

/// A server process that is stopped when dropped, with all its children.
#[derive(Debug)]
pub struct Process {
    child: Child,
    pid: Pid,
    ended: Option<ExitStatus>,
    /// Children that may outlive it: recorded before it was killed.
    orphans: Vec<Pid>,
    pid_file: PathBuf,
}

impl Process {
    /// Starts `command` in its own process group, so that Ctrl-C reaches only the test.
    pub fn start(command: &mut Command, home: &Home) -> Self {
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let pid = Pid::from_child(&child);
        let pid_file = home.pid_file(pid);
        fs::write(&pid_file, "").unwrap();
        Self { child, pid, ended: None, orphans: Vec::new(), pid_file }
    }

    /// Its process number.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// How it ended, or `None` while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().unwrap();
            if self.ended.is_some() {
                drop(fs::remove_file(&self.pid_file));
            }
        }
        self.ended
    }

    /// Waits until it has ended.
    #[track_caller]
    pub fn wait(&mut self, what: &str) -> ExitStatus {
        wait::value(what, wait::DEADLINE, || self.ended())
    }

    /// Sends a signal to the process alone.
    pub fn signal(&mut self, signal: Signal) {
        if self.ended().is_none() {
            kill_process(self.pid, signal).unwrap();
        }
    }

    /// Sends SIGKILL, SIGSTOP or SIGCONT to the process and all its descendants, as if the whole
    /// host died, froze or came back. After SIGKILL it waits until none is left.
    pub fn signal_all(&mut self, signal: Signal) {
        if self.ended().is_some() {
            return;
        }
        // Stopped, it can neither start another child nor react while we go through them. Children
        // die first: one that sees its parent gone would still say goodbye to its client.
        let _ = kill_process(self.pid, Signal::STOP);
        let descendants = descendants(self.pid);
        for child in &descendants {
            let _ = kill_process(*child, signal);
        }
        let _ = kill_process(self.pid, signal);
        if signal == Signal::KILL {
            self.orphans = descendants;
            self.wait("the end of a killed process");
            self.wait_orphans();
        }
    }

    /// SIGKILL to the process alone: its children notice by themselves, or go on for a while.
    pub fn kill_parent_only(&mut self) {
        let _ = kill_process(self.pid, Signal::STOP);
        self.orphans = descendants(self.pid);
        self.signal(Signal::KILL);
        self.wait("the end of a killed process");
    }

    fn wait_orphans(&self) {
        wait::until("the end of a killed process's children", wait::DEADLINE, || {
            self.orphans.iter().all(|pid| !is_alive(*pid))
        });
    }

    /// Ends it and all its children: SIGQUIT, and after `patience` SIGKILL.
    pub fn end(&mut self, patience: Duration) {
        if self.ended().is_some() {
            // What kill_parent_only has left. They are dead or dying; numbers are not in use again
            // so soon.
            for pid in self.orphans.iter().filter(|pid| is_alive(**pid)) {
                let _ = kill_process(*pid, Signal::KILL);
            }
            return self.wait_orphans();
        }
        let mut family = descendants(self.pid);
        family.push(self.pid);
        for pid in &family {
            let _ = kill_process(*pid, Signal::CONT);
        }
        let _ = kill_process(self.pid, Signal::QUIT);
        let end = Instant::now() + patience;
        while self.ended().is_none() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.signal_all(Signal::KILL);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end(Duration::from_secs(5));
    }
}

/// Whether a process exists and is more than an unreaped zombie.
pub fn is_alive(pid: Pid) -> bool {
    if test_kill_process(pid).is_err() {
        return false;
    }
    stat(pid).is_none_or(|(state, _)| state != 'Z')
}

/// State and parent of a process from /proc; `None` where there is no /proc or no process.
fn stat(pid: Pid) -> Option<(char, i32)> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?; // the name may hold blanks and brackets
    let mut fields = after_name.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// All children of a process, and theirs. PostgreSQL's children lead process groups of their own,
/// so a group's signal doesn't reach them.
pub fn descendants(of: Pid) -> Vec<Pid> {
    let parents = parents();
    let mut found = vec![of];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        let raw = parent.as_raw_nonzero().get();
        found.extend(parents.iter().filter(|(_, p)| *p == raw).map(|(pid, _)| *pid));
        next += 1;
    }
    found.remove(0);
    found
}

/// (process, parent) of all processes.
fn parents() -> Vec<(Pid, i32)> {
    if let Ok(entries) = fs::read_dir("/proc/") {
        return entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(Pid::from_raw)
            .filter_map(|pid| Some((pid, stat(pid)?.1)))
            .collect();
    }
    let output = Command::new("ps").args(["-A", "-o", "pid=,ppid="]).output().expect("ps");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace().map(|field| field.parse().ok());
            Some((Pid::from_raw(fields.next()??)?, fields.next()??))
        })
        .collect()
}

/// The last lines of a file, for a failure's message.
pub fn tail(path: &Path, lines: usize) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<_> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
