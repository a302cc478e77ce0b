//! Clients as people have them: psql, pgbench, Python with psycopg and asyncpg, Node.js with
//! node-postgres, Java with JDBC.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::home::{as_service, own_group};
use super::installation::pg_bin;
use super::wait;

/// How long a client may take: pgbench runs included.
const CLIENT_DEADLINE: Duration = Duration::from_secs(120);

/// Where a client connects to, as libpq's environment variables.
#[derive(Clone, Debug)]
pub struct Login {
    env: Vec<(String, String)>,
}

impl Login {
    /// Over TCP to 127.0.0.1.
    pub fn tcp(port: u16, user: &str, database: &str) -> Self {
        Self::at("127.0.0.1", port, user, database)
    }

    /// Over TCP to this address.
    pub fn at(address: &str, port: u16, user: &str, database: &str) -> Self {
        Self::to(address, port, user, database)
    }

    /// Over the Unix socket in a folder.
    pub fn unix(dir: &Path, port: u16, user: &str, database: &str) -> Self {
        Self::to(&dir.display().to_string(), port, user, database)
    }

    fn to(host: &str, port: u16, user: &str, database: &str) -> Self {
        Self { env: Vec::new() }
            .set("PGHOST", host)
            .set("PGPORT", &port.to_string())
            .set("PGUSER", user)
            .set("PGDATABASE", database)
            .set("PGCONNECT_TIMEOUT", "30")
    }

    /// With this password.
    pub fn password(self, password: &str) -> Self {
        self.set("PGPASSWORD", password)
    }

    /// With a further variable, e.g. `PGSSLMODE`, `PGOPTIONS`, `PGAPPNAME`.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Gives the variables to a command, and takes away those that the test was started with.
    pub fn apply(&self, command: &mut Command) {
        for (name, _) in std::env::vars_os() {
            let known = name.to_str().is_some_and(|name| name.starts_with("PGWEIR"));
            if name.as_encoded_bytes().starts_with(b"PG") && !known {
                command.env_remove(name);
            }
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
    }
}

/// How a client ended.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its exit status.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Run {
    /// What it printed, without the last line break.
    ///
    /// # Panics
    /// When it failed.
    #[track_caller]
    pub fn ok(&self) -> &str {
        assert!(self.status.success(), "{}\n{}\n{}", self.status, self.stdout, self.stderr);
        self.stdout.trim_end_matches('\n')
    }

    /// What it complained about.
    ///
    /// # Panics
    /// When it did not fail.
    #[track_caller]
    pub fn failed(&self) -> &str {
        assert!(!self.status.success(), "it should have failed:\n{}", self.stdout);
        &self.stderr
    }
}

/// A client that runs beside the test; killed when dropped before its end.
#[derive(Debug)]
pub struct Job {
    what: String,
    child: Child,
    stdout: Option<JoinHandle<Vec<u8>>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
}

impl Job {
    /// Starts a command; what it prints is collected.
    pub fn start(command: &mut Command) -> Self {
        let what = format!("{command:?}");
        let mut child = own_group(command)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {what}: {error}"));
        let stdout = collect(child.stdout.take());
        let stderr = collect(child.stderr.take());
        Self { what, child, stdout, stderr }
    }

    /// Sends a signal to it.
    pub fn signal(&mut self, signal: Signal) {
        if self.child.try_wait().unwrap().is_none() {
            kill_process(Pid::from_child(&self.child), signal).unwrap();
        }
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    #[track_caller]
    pub fn finish(mut self) -> Run {
        let child = &mut self.child;
        let status = wait::value(&self.what, CLIENT_DEADLINE, || child.try_wait().unwrap());
        Run { status, stdout: text(self.stdout.take()), stderr: text(self.stderr.take()) }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> Option<JoinHandle<Vec<u8>>> {
    let mut pipe = pipe?;
    Some(thread::spawn(move || {
        let mut bytes = Vec::new();
        drop(pipe.read_to_end(&mut bytes));
        bytes
    }))
}

fn text(reader: Option<JoinHandle<Vec<u8>>>) -> String {
    let bytes = reader.and_then(|reader| reader.join().ok()).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Runs SQL in psql; prints rows without header, values separated by `|`. The first error ends it.
#[track_caller]
pub fn psql(login: &Login, sql: &str) -> Run {
    start_psql(login, sql).finish()
}

/// Starts psql beside the test.
pub fn start_psql(login: &Login, sql: &str) -> Job {
    Job::start(&mut psql_command(login, &["-At", "-c", sql]))
}

/// psql with these arguments, quiet and without ~/.psqlrc.
pub fn psql_command(login: &Login, args: &[&str]) -> Command {
    client(login, pg_bin("psql"), &["-X", "-q", "-v", "ON_ERROR_STOP=1"], args)
}

/// Runs pgbench to its end.
#[track_caller]
pub fn pgbench(login: &Login, args: &[&str]) -> Run {
    start_pgbench(login, args).finish()
}

/// Starts pgbench beside the test.
pub fn start_pgbench(login: &Login, args: &[&str]) -> Job {
    Job::start(&mut client(login, pg_bin("pgbench"), &[], args))
}

/// Runs a Python program that may import psycopg and asyncpg; `sys.argv[1:]` are `args`.
///
/// # Panics
/// When there is no such Python: a test of drivers that runs without drivers shows nothing.
#[track_caller]
pub fn python(login: &Login, program: &str, args: &[&str]) -> Run {
    let python = find_python();
    Job::start(&mut client(login, python, &["-c", program], args)).finish()
}

fn find_python() -> PathBuf {
    installed(
        "PGWEIR_PYTHON",
        concat!(env!("CARGO_MANIFEST_DIR"), "/target/python/bin/python"),
        "a Python that has psycopg and asyncpg",
    )
}

/// Runs a CommonJS program that may require pg, pg-cursor and pg-copy-streams.
///
/// # Panics
/// As [`python`].
#[track_caller]
pub fn node(login: &Login, program: &str, args: &[&str]) -> Run {
    let modules = installed(
        "PGWEIR_NODE_MODULES",
        concat!(env!("CARGO_MANIFEST_DIR"), "/target/node/node_modules"),
        "a folder with the modules of tests/drivers/package.json",
    );
    let mut command = client(login, "node".into(), &["-e", program, "--"], args);
    Job::start(command.env("NODE_PATH", modules)).finish()
}

/// Runs a Java program from its source file, with the JDBC driver.
///
/// # Panics
/// As [`python`].
#[track_caller]
pub fn java(login: &Login, source: &Path, args: &[&str]) -> Run {
    let driver =
        installed("PGWEIR_JDBC", "/usr/share/java/postgresql.jar", "PostgreSQL's JDBC driver");
    let mut command = client(login, "java".into(), &["-XX:TieredStopAtLevel=1", "-cp"], &[]);
    Job::start(command.arg(driver).arg(source).args(args)).finish()
}

/// Where `make setup` has put something, unless the variable says that it is elsewhere.
fn installed(variable: &str, default: &str, what: &str) -> PathBuf {
    let path = std::env::var_os(variable).map_or_else(|| default.into(), PathBuf::from);
    assert!(
        path.exists(),
        "{} is missing: `make setup` brings it, or set {variable} to {what}",
        path.display()
    );
    path
}

fn client(login: &Login, program: PathBuf, first: &[&str], args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(first).args(args);
    login.apply(&mut command);
    command
}

/// psql run as the user that the servers run as: for logins that trust the same user id.
pub fn psql_as_service(login: &Login, args: &[&str]) -> Command {
    let mut command = as_service(pg_bin("psql"));
    command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1"]).args(args);
    login.apply(&mut command);
    command
}
