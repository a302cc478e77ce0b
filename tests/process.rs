//! pgweir as a process: command line, user, daemon, service manager, system log.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use common::home::{
    self, Home, as_service, free_port, give, is_alive, own_name, service_name, write_private,
};
use common::psql::Login;
use common::weir::{binary, run_pgweir};
use common::{psql, wait};
use rustix::process::{Pid, Signal, geteuid, kill_process};

/// A folder with an ini file, and a port.
struct Place {
    home: Home,
    dir: PathBuf,
    port: u16,
}

impl Place {
    fn new(further: &str) -> Self {
        let home = Home::new();
        let dir = home.folder("weir");
        let port = free_port();
        let place = Self { home, dir, port };
        let users = place.file("users", "\"admin\" \"secret\"\n");
        let ini = format!(
            "[databases]\napp = host=127.0.0.1 port=1\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = trust\nauth_file = {}\nadmin_users = admin\nlogfile = {}\n{further}\n",
            users.display(),
            place.dir.join("log").display(),
        );
        place.file("ini", &ini);
        place
    }

    /// Further settings, which may name files of the folder as `DIR/`.
    fn with(further: &str) -> Self {
        let place = Self::new("");
        let ini = place.dir.join("ini");
        let text = fs::read_to_string(&ini).unwrap();
        let further = further.replace("DIR", &place.dir.display().to_string());
        write_private(&ini, &format!("{text}{further}\n"));
        place
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.join(name);
        write_private(&path, text);
        path
    }

    fn ini(&self) -> String {
        self.dir.join("ini").display().to_string()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    fn wait_log(&self, words: &str) {
        wait::until(&format!("{words:?} in the log"), wait::DEADLINE, || {
            self.log().contains(words)
        });
    }

    fn command(&self) -> Command {
        as_service(binary(&self.home))
    }

    fn is_up(&self) -> bool {
        let login = Login::tcp(self.port, "admin", "pgbouncer");
        psql(&login, "SHOW VERSION").status.success()
    }

    fn wait_up(&self) {
        wait::until("an answer", wait::DEADLINE, || self.is_up());
    }
}

/// Ended when it is dropped.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.0)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_command_line_is_pgbouncers() {
    let version = run_pgweir(&["-V"]);
    let lines: Vec<&str> = version.ok().lines().collect();
    assert!(lines[0].starts_with("PgBouncer 1.25.2 (pgweir "), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("tls: ")), "{lines:?}");
    let none = run_pgweir(&[]);
    assert!(none.failed().contains("no configuration file specified"), "{none:?}");
    assert!(none.failed().contains("--help\" for more information."), "{none:?}");
    assert!(run_pgweir(&["--help"]).ok().contains("--daemon"));
    run_pgweir(&["--frobnicate"]).failed();
}

#[test]
fn through_a_link_named_pgbouncer_it_is_pgbouncer() {
    let place = Place::new("");
    let link = place.home.path().join("pgbouncer");
    std::os::unix::fs::symlink(binary(&place.home), &link).unwrap();
    let none = as_service(&link).output().unwrap();
    assert_eq!(
        said(&none),
        "pgbouncer: no configuration file specified\nTry \"pgbouncer --help\" for more information.\n"
    );
    // A file of that name, and no subcommand.
    let file = as_service(&link).current_dir(&place.dir).arg("check").output().unwrap();
    assert!(said(&file).contains("cannot read check"), "{}", said(&file));
    let mut command = as_service(&link);
    let _running = Running::start(command.args(["-q", &place.ini()]));
    place.wait_up();
}

#[test]
fn root_is_refused_and_may_become_somebody_else() {
    if !geteuid().is_root() {
        eprintln!(
            "SKIPPED: only root can be refused, and only root can become another; this is {}",
            own_name()
        );
        return;
    }
    let place = Place::new("");
    let program = binary(&place.home);
    let refused = Command::new(&program).arg(place.ini()).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("PgBouncer should not run as root"), "{}", said(&refused));

    let unknown =
        Command::new(&program).args(["-u", "no-such-user", &place.ini()]).output().unwrap();
    assert!(said(&unknown).contains("there is no user \"no-such-user\""), "{}", said(&unknown));

    let name = service_name();
    let by_setting = Place::with(&format!("user = {name}"));
    for (place, args) in [(&place, vec!["-u", &name]), (&by_setting, vec![])] {
        let mut command = Command::new(&program);
        let running = Running::start(command.args(args).arg(place.ini()));
        place.wait_up();
        let status = fs::read_to_string(format!("/proc/{}/status", running.pid().as_raw_nonzero()));
        let status = status.unwrap();
        let uid = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
        let uid = uid.split_whitespace().next().unwrap();
        assert_eq!(uid, home::service_user().unwrap().uid.to_string());
        let groups = status.lines().find_map(|line| line.strip_prefix("Groups:")).unwrap();
        assert!(
            !groups.split_whitespace().any(|group| group == "0"),
            "root's groups are gone: {groups}"
        );
    }
}

#[test]
fn a_daemon_is_there_when_its_parent_goes_and_says_through_it_why_it_is_not() {
    let place = Place::with("pidfile = DIR/pid");
    let started = place.command().args(["-d", &place.ini()]).output().unwrap();
    assert!(started.status.success(), "{}", said(&started));
    assert!(place.is_up(), "it serves when the parent has gone");
    let pid_file = place.dir.join("pid");
    let pid = fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
    let pid = Pid::from_raw(pid).unwrap();
    let stop = Daemon(pid);
    assert!(place.log().contains("process up: PgBouncer"), "{}", place.log());

    let second = place.command().args(["-d", &place.ini()]).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(said(&second).contains("another instance running?"), "{}", said(&second));

    let rival = Place::with("pidfile = DIR/pid");
    let text = fs::read_to_string(rival.ini()).unwrap();
    let text = text.replace(&rival.port.to_string(), &place.port.to_string());
    write_private(Path::new(&rival.ini()), &text);
    let late = rival.command().args(["--daemon", &rival.ini()]).output().unwrap();
    assert_eq!(late.status.code(), Some(1));
    assert!(said(&late).contains("failed to listen on any address"), "{}", said(&late));
    assert!(!rival.dir.join("pid").exists(), "what does not run leaves no pid file");

    kill_process(pid, Signal::TERM).unwrap();
    wait::until("the end of the daemon", wait::DEADLINE, || !is_alive(pid));
    assert!(!pid_file.exists());
    drop(stop);

    let lost = Place::new("");
    let refused = lost.command().args(["-d", &lost.ini()]).output().unwrap();
    assert!(said(&refused).contains("daemon needs pidfile configured"), "{}", said(&refused));
}

/// Nobody's child any more.
struct Daemon(Pid);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::KILL);
    }
}

#[test]
fn the_service_manager_is_told_of_readiness_reloads_and_the_end() {
    let place = Place::new("stats_period = 1");
    let path = place.dir.join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    give(&path);
    manager.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let next = |wanted: &str| {
        let mut buffer = [0; 512];
        loop {
            let size = manager.recv(&mut buffer).unwrap();
            let text = String::from_utf8_lossy(&buffer[..size]).into_owned();
            if text.contains(wanted) {
                return text;
            }
            assert!(text.starts_with("STATUS="), "{text:?} instead of {wanted:?}");
        }
    };
    let mut command = place.command();
    let running = Running::start(command.arg(place.ini()).env("NOTIFY_SOCKET", &path));
    next("READY=1");
    assert!(place.is_up(), "it said so");
    next("STATUS=stats: ");
    running.signal(Signal::HUP);
    assert!(next("RELOADING=1").contains("MONOTONIC_USEC="));
    next("READY=1");
    running.signal(Signal::TERM);
    next("STOPPING=1");
}

#[test]
fn sockets_of_the_service_manager_take_the_place_of_our_own() {
    let place = Place::new("");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // The number of the process is to be in its environment: a shell knows its own.
    let script = "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\"";
    let mut command = as_service("/bin/sh");
    command.args(["-c", script]).arg(binary(&place.home)).arg(place.ini());
    let _running = Running::start(command.stdin(Stdio::from(std::os::fd::OwnedFd::from(listener))));
    place.wait_log("process up");
    let log = place.log();
    assert!(
        log.contains(&format!("socket passed from service manager (127.0.0.1:{port})")),
        "{log}"
    );
    assert!(log.contains("sockets passed from service manager, listen_addr ignored"), "{log}");
    let version = psql(&Login::tcp(port, "admin", "pgbouncer"), "SHOW VERSION");
    assert!(version.ok().contains("PgBouncer"), "{version:?}");
    assert!(!place.is_up(), "its own port is not listened at");
}

#[test]
fn an_abstract_socket_has_no_file() {
    let place = Place::new("");
    let name = format!("@pgweir-test-{}", place.port);
    let text = fs::read_to_string(place.ini()).unwrap();
    let text = text.replace("unix_socket_dir =", &format!("unix_socket_dir = {name}"));
    write_private(Path::new(&place.ini()), &text);
    let mut command = place.command();
    let _running = Running::start(command.arg(place.ini()));
    place.wait_up();
    let login = Login::unix(Path::new(&name), place.port, "pgbouncer", "pgbouncer");
    let command = &mut psql::psql_as_service(&login, &["-c", "SHOW VERSION"]);
    let version = psql::Job::start(command).finish();
    assert!(version.ok().contains("PgBouncer"), "the console, without a password: {version:?}");
}

#[test]
fn lines_go_to_the_system_log_too() {
    if !geteuid().is_root() {
        eprintln!("SKIPPED: only root can put a /dev/log of its own in place");
        return;
    }
    let place = Place::new("syslog = 1\nsyslog_ident = weir\nsyslog_facility = local3");
    let socket = place.dir.join("syslog");
    let logger = UnixDatagram::bind(&socket).unwrap();
    give(&socket);
    logger.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    // In a mount namespace of its own, so that the system's /dev is left alone.
    let script = "set -e; touch \"$1/null\"; mount --bind /dev/null \"$1/null\"; mount -t tmpfs none /dev; \
                  touch /dev/null; mount --bind \"$1/null\" /dev/null; ln -s \"$1/syslog\" /dev/log; \
                  exec \"$2\" -u \"$3\" \"$4\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]);
    command.arg(&place.dir).arg(binary(&place.home)).args([service_name(), place.ini()]);
    let _running = Running::start(&mut command);
    let mut buffer = [0; 2048];
    loop {
        let size = logger.recv(&mut buffer).unwrap();
        let line = String::from_utf8_lossy(&buffer[..size]).into_owned();
        // Facility 19 (local3) and severity 6 (informational): 19 * 8 + 6.
        assert!(line.starts_with("<15"), "{line}");
        assert!(line.contains(" weir["), "{line}");
        if line.contains("process up: PgBouncer") {
            assert!(line.starts_with("<158>"), "{line}");
            break;
        }
    }
}

#[test]
fn another_file_may_be_named_for_the_next_reload() {
    let place = Place::new("");
    let other = place.file("other", &fs::read_to_string(place.ini()).unwrap());
    let mut more = fs::OpenOptions::new().append(true).open(&other).unwrap();
    writeln!(more, "default_pool_size = 77").unwrap();
    let mut command = place.command();
    let _running = Running::start(command.arg(place.ini()));
    place.wait_up();
    let console =
        |sql: &str| psql(&Login::tcp(place.port, "admin", "pgbouncer"), sql).ok().to_owned();
    console(&format!("SET conffile = '{}'", other.display()));
    console("RELOAD");
    assert!(console("SHOW CONFIG").contains("default_pool_size|77|"));
}
