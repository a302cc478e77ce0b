//! pgweir itself, started from the binary under test with an ini file of its own. Or pgbouncer
//! with the same file, for tests that compare the two.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, Signal};

use super::cluster::Cluster;
use super::home::{self, Home, Process, as_service, service_can_run, write_private};
use super::postgres::{APP_PASSWORD, Postgres};
use super::psql::{Job, Login, Run, psql_as_service};
use super::tls::Certificate;
use super::wait;
use super::wire::Rows;

/// What the ini file and the files beside it shall say; [`WeirSetup::start`] starts pgweir on it.
///
/// By default it listens on 127.0.0.1 and on a Unix socket, trusts every user in its auth_file
/// (which has `app` with password `secret`), and serves `/metrics`.
#[derive(Clone, Debug)]
pub struct WeirSetup {
    databases: Vec<String>,
    settings: Vec<(String, String)>,
    users: Vec<(String, String)>,
    hba: Vec<String>,
    files: Vec<(String, String)>,
    sections: String,
    environment: Vec<(String, String)>,
    certificate: Option<Certificate>,
    #[cfg(target_os = "linux")]
    pam: Option<super::pam::Pam>,
    program: Program,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Program {
    Pgweir,
    Pgbouncer(PathBuf),
}

impl WeirSetup {
    /// The default, without a database.
    pub fn new() -> Self {
        Self {
            databases: Vec::new(),
            settings: Vec::new(),
            users: vec![("app".into(), APP_PASSWORD.into())],
            hba: Vec::new(),
            files: Vec::new(),
            sections: String::new(),
            environment: Vec::new(),
            certificate: None,
            #[cfg(target_os = "linux")]
            pam: None,
            program: Program::Pgweir,
        }
    }

    /// A variable of its environment.
    pub fn env(mut self, key: &str, value: impl ToString) -> Self {
        self.environment.push((key.to_owned(), value.to_string()));
        self
    }

    /// pgbouncer instead of pgweir, on the same configuration less `http_listen`.
    pub fn pgbouncer(self) -> Self {
        self.pgbouncer_at(&pgbouncer())
    }

    /// A certain pgbouncer.
    pub fn pgbouncer_at(mut self, program: &Path) -> Self {
        self.program = Program::Pgbouncer(program.to_owned());
        self
    }

    /// A line of `[databases]`; a second one for a name replaces the first.
    pub fn database(mut self, line: &str) -> Self {
        let name = |line: &str| line.split('=').next().unwrap_or_default().trim().to_owned();
        self.databases.retain(|known| name(known) != name(line));
        self.databases.push(line.to_owned());
        self
    }

    /// The database `app` of one server.
    pub fn server(self, server: &Postgres) -> Self {
        self.database(&format!("app = host=127.0.0.1 port={} dbname=app", server.port()))
    }

    /// The database `app` of a cluster, wherever its primary is.
    pub fn cluster(self, cluster: &Cluster) -> Self {
        self.database(&cluster.entry("app")).setting("topology_user", "app")
    }

    /// A line of `[pgbouncer]`; a second one for a key replaces the first.
    pub fn setting(mut self, key: &str, value: impl ToString) -> Self {
        self.settings.retain(|(known, _)| known != key);
        self.settings.push((key.to_owned(), value.to_string()));
        self
    }

    /// A line of the auth_file: a password, an md5 hash or a SCRAM verifier.
    pub fn user(mut self, name: &str, secret: &str) -> Self {
        self.users.retain(|(known, _)| known != name);
        self.users.push((name.to_owned(), secret.to_owned()));
        self
    }

    /// A line of auth_hba_file; the first one sets `auth_type = hba`.
    pub fn hba(mut self, line: &str) -> Self {
        self.hba.push(line.to_owned());
        self
    }

    /// Takes the lines of auth_hba_file away again.
    pub fn no_hba(mut self) -> Self {
        self.hba.clear();
        self
    }

    /// A setting whose value is a file beside the ini file, with this content.
    pub fn file_setting(mut self, key: &str, contents: &str) -> Self {
        self.files.retain(|(known, _)| known != key);
        self.files.push((key.to_owned(), contents.to_owned()));
        self
    }

    /// Further sections, such as `[users]` and `[peers]`, as they shall stand in the file.
    pub fn section(mut self, text: &str) -> Self {
        self.sections.push_str(text);
        self.sections.push('\n');
        self
    }

    /// Offers TLS to clients (`client_tls_sslmode = allow` unless set).
    pub fn tls(mut self, certificate: &Certificate) -> Self {
        self.certificate = Some(certificate.clone());
        self
    }

    /// In a system with this PAM configuration.
    #[cfg(target_os = "linux")]
    pub fn pam(mut self, pam: &super::pam::Pam) -> Self {
        self.pam = Some(pam.clone());
        self
    }

    /// Starts it, and waits until it answers.
    #[track_caller]
    pub fn start(self) -> Weir {
        self.try_start()
            .unwrap_or_else(|failed| panic!("it did not start: {}\n{}", failed.status, failed.log))
    }

    /// As [`Self::start`], for configurations that must be refused.
    ///
    /// # Errors
    /// It ended before it answered.
    pub fn try_start(self) -> Result<Weir, Refused> {
        let home = Home::new();
        let dir = home.folder("weir");
        for _ in 0..10 {
            match self.launch(&home, &dir)? {
                Some((process, port, http_port)) => {
                    let setup = self;
                    return Ok(Weir { setup, port, http_port, dir, process, home });
                }
                None => continue, // somebody else took a port meanwhile
            }
        }
        panic!("ten times in a row another process took the port")
    }

    /// Starts the program on the files in its folder.
    fn begin(&self, home: &Home, dir: &Path, options: &[&str]) -> Process {
        let stderr = dir.join("stderr");
        let output = || fs::File::options().append(true).open(&stderr).unwrap();
        let mut command = self.command(self.program(home));
        command.args(options).arg(dir.join("pgweir.ini")).stdout(output()).stderr(output());
        command.envs(self.environment.iter().cloned());
        Process::start(&mut command, home)
    }

    fn launch(&self, home: &Home, dir: &Path) -> Result<Option<(Process, u16, u16)>, Refused> {
        let (port, http_port) = (home::free_port(), home::free_port());
        self.write(dir, port, http_port);
        let stderr = dir.join("stderr");
        write_private(&stderr, "");
        let mut process = self.begin(home, dir, &[]);
        let what = format!("an answer at port {port}; log: {}", stderr.display());
        let ended = wait::value(&what, wait::DEADLINE, || match process.ended() {
            Some(status) => Some(Some(status)),
            None => answers(port).then_some(None),
        });
        let Some(status) = ended else { return Ok(Some((process, port, http_port))) };
        let log = fs::read_to_string(&stderr).unwrap();
        let log_small = log.to_lowercase();
        if log_small.contains("address already in use") {
            return Ok(None);
        }
        Err(Refused { status, log })
    }

    fn command(&self, program: PathBuf) -> Command {
        #[cfg(target_os = "linux")]
        if let Some(pam) = &self.pam {
            return pam.command(&program);
        }
        as_service(program)
    }

    fn program(&self, home: &Home) -> PathBuf {
        if let Program::Pgbouncer(program) = &self.program {
            return program.clone();
        }
        let program = pgweir();
        if service_can_run(&program) {
            return program;
        }
        // The build folder may be closed to the service user (below /root, say).
        let copy = home.path().join("pgweir");
        if !copy.exists() && fs::hard_link(&program, &copy).is_err() {
            fs::copy(&program, &copy).unwrap();
        }
        copy
    }

    fn write(&self, dir: &Path, port: u16, http_port: u16) {
        let file = |name: &str| dir.join(name).display().to_string();
        let mut settings: Vec<(String, String)> = [
            ("listen_addr", "127.0.0.1".to_owned()),
            ("listen_port", port.to_string()),
            ("unix_socket_dir", dir.display().to_string()),
            ("logfile", file("log")),
            ("auth_type", if self.hba.is_empty() { "trust" } else { "hba" }.to_owned()),
            ("auth_file", file("userlist.txt")),
            ("admin_users", "admin".to_owned()),
            ("stats_users", "stats".to_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into();
        if self.program == Program::Pgweir {
            settings.push(("http_listen".into(), format!("127.0.0.1:{http_port}")));
        }
        if !self.hba.is_empty() {
            write_private(&dir.join("hba.conf"), &(self.hba.join("\n") + "\n"));
            settings.push(("auth_hba_file".into(), file("hba.conf")));
        }
        for (key, contents) in &self.files {
            write_private(&dir.join(key), contents);
            settings.push((key.clone(), file(key)));
        }
        if let Some(certificate) = &self.certificate {
            let files = certificate.write(dir, "client-side");
            settings.push(("client_tls_sslmode".into(), "allow".into()));
            settings.push(("client_tls_cert_file".into(), files.cert.display().to_string()));
            settings.push(("client_tls_key_file".into(), files.key.display().to_string()));
            settings.push(("client_tls_ca_file".into(), files.authority.display().to_string()));
        }
        settings.retain(|(key, _)| self.settings.iter().all(|(own, _)| own != key));
        settings.extend(self.settings.iter().cloned());
        let settings: Vec<_> = settings.iter().map(|(k, v)| format!("{k} = {v}")).collect();
        let users: Vec<_> = self.users.iter().map(|(name, secret)| quoted(name, secret)).collect();
        write_private(&dir.join("userlist.txt"), &(users.join("\n") + "\n"));
        let ini = format!(
            "[databases]\n{}\n\n[pgbouncer]\n{}\n\n{}",
            self.databases.join("\n"),
            settings.join("\n"),
            self.sections
        );
        write_private(&dir.join("pgweir.ini"), &ini);
    }
}

impl Default for WeirSetup {
    fn default() -> Self {
        Self::new()
    }
}

fn quoted(name: &str, secret: &str) -> String {
    format!("\"{}\" \"{}\"", name.replace('"', "\"\""), secret.replace('"', "\"\""))
}

/// It ended instead of serving.
#[derive(Debug)]
pub struct Refused {
    /// How.
    pub status: ExitStatus,
    /// What it said.
    pub log: String,
}

/// A running pgweir. Dropped, it is ended at once; a panic in its log fails the test.
#[derive(Debug)]
pub struct Weir {
    setup: WeirSetup,
    port: u16,
    http_port: u16,
    dir: PathBuf,
    process: Process,
    home: Home, // last: dropped after the process
}

impl Weir {
    /// A default setup to add to.
    pub fn setup() -> WeirSetup {
        WeirSetup::new()
    }

    /// Its port at 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it serves HTTP.
    pub fn http(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.http_port))
    }

    /// The folder of its Unix socket, ini file, auth_file and log.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its process number.
    pub fn pid(&self) -> Pid {
        self.process.pid()
    }

    /// How a client reaches it over TCP.
    pub fn login(&self, user: &str, database: &str) -> Login {
        Login::tcp(self.port, user, database)
    }

    /// How a client reaches it over its Unix socket.
    pub fn unix_login(&self, user: &str, database: &str) -> Login {
        Login::unix(&self.dir, self.port, user, database)
    }

    /// A connection string for tokio-postgres and others.
    pub fn url(&self, user: &str, database: &str) -> String {
        format!("postgresql://{user}:{APP_PASSWORD}@127.0.0.1:{}/{database}", self.port)
    }

    /// All that it wrote to stderr, where its log goes too.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.dir.join("stderr")).unwrap_or_default()).into()
    }

    /// Waits for words in the log.
    #[track_caller]
    pub fn wait_log(&self, words: &str) {
        wait::until(&format!("{words:?} in the log"), wait::DEADLINE, || {
            self.log().contains(words)
        });
    }

    /// Runs a command on the console, as its own user over the Unix socket.
    #[track_caller]
    pub fn console(&self, sql: &str) -> Rows {
        let run = self.try_console(sql);
        rows(run.ok())
    }

    /// As [`Self::console`], for commands that may fail.
    #[track_caller]
    pub fn try_console(&self, sql: &str) -> Run {
        self.start_console(sql).finish()
    }

    /// As [`Self::console`], for commands that take their time, such as PAUSE.
    pub fn start_console(&self, sql: &str) -> Job {
        let login = self.unix_login("pgbouncer", "pgbouncer");
        let format = ["-A", "-F", FIELD, "-R", RECORD, "-P", NULL_FORMAT, "-P", "footer=off"];
        let mut command = psql_as_service(&login, &format);
        command.args(["-c", sql]);
        Job::start(&mut command)
    }

    /// Waits until one row of a SHOW has this value in this column.
    #[track_caller]
    pub fn wait_show(&self, show: &str, column: &str, value: &str) {
        wait::until(&format!("{column} = {value} in {show}"), wait::DEADLINE, || {
            self.console(show).find(column, value).is_some()
        });
    }

    /// Rewrites its files; [`Self::reload`] or a SIGHUP makes it look.
    pub fn change(&mut self, change: impl FnOnce(WeirSetup) -> WeirSetup) {
        self.setup = change(self.setup.clone());
        self.setup.write(&self.dir, self.port, self.http_port);
    }

    /// Starts a successor (`-R`) on the same files, and waits until it serves. The process before comes back.
    #[track_caller]
    pub fn reboot(&mut self) -> Process {
        let mut successor = self.setup.begin(&self.home, &self.dir, &["-R"]);
        let up = format!("[{}] LOG process up", successor.pid().as_raw_nonzero());
        wait::until(&up, wait::DEADLINE, || {
            assert!(successor.ended().is_none(), "the successor has ended:\n{}", self.log());
            self.log().contains(&up)
        });
        std::mem::replace(&mut self.process, successor)
    }

    /// A successor that is refused: its status.
    #[track_caller]
    pub fn refused_reboot(&self) -> ExitStatus {
        self.setup.begin(&self.home, &self.dir, &["-R"]).wait("the successor's end")
    }

    /// The process before goes on in the place of its successor.
    pub fn return_to(&mut self, process: Process) -> Process {
        std::mem::replace(&mut self.process, process)
    }

    /// RELOAD on the console.
    #[track_caller]
    pub fn reload(&self) {
        self.console("RELOAD");
    }

    /// GET of a path over HTTP: status and body.
    #[track_caller]
    pub fn get(&self, path: &str) -> (u16, String) {
        http_get(self.http(), path)
    }

    /// The text of `/metrics`.
    #[track_caller]
    pub fn metrics(&self) -> String {
        let (status, body) = self.get("/metrics");
        assert_eq!(status, 200, "{body}");
        body
    }

    /// Sum of a metric over all series that have these labels; `None` when there is none.
    #[track_caller]
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        sum_of(&self.metrics(), name, labels)
    }

    /// Sends a signal.
    pub fn signal(&mut self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits until it has ended by itself.
    #[track_caller]
    pub fn wait_end(&mut self) -> ExitStatus {
        self.process.wait("pgweir to end")
    }

    /// Starts it again, after its end, on the same files and ports; waits until it answers.
    #[track_caller]
    pub fn start_again(&mut self) {
        assert!(self.process.ended().is_some(), "it still runs");
        self.process = self.setup.begin(&self.home, &self.dir, &[]);
        wait::until("an answer", wait::DEADLINE, || answers(self.port));
    }

    /// Stops it as SIGINT does, and checks that it ended well.
    #[track_caller]
    pub fn stop(mut self) {
        self.signal(Signal::INT);
        let status = self.wait_end();
        assert!(status.success(), "{status}\n{}", self.log());
    }
}

impl Drop for Weir {
    fn drop(&mut self) {
        self.process.end(Duration::from_secs(2));
        let log = self.log();
        if std::thread::panicking() {
            let tail = home::tail(&self.dir.join("stderr"), 60);
            eprintln!("---- {:?} (port {}), log:\n{tail}", self.setup.program, self.port);
        } else {
            assert!(!log.contains("panicked at"), "pgweir panicked:\n{log}");
            if self.setup.program == Program::Pgweir {
                assert_no_secrets(&self.setup, &log);
            }
        }
    }
}

/// Runs the binary to its end, e.g. `["--version"]` or `["check", "FILE"]`.
#[track_caller]
pub fn run_pgweir(args: &[&str]) -> Run {
    let home = Home::new();
    let mut command = as_service(WeirSetup::new().program(&home));
    Job::start(command.args(args)).finish()
}

/// Runs the binary to its end, as the service user and as this sets it up.
pub fn run_pgweir_with(home: &Home, change: impl FnOnce(&mut Command)) -> ExitStatus {
    let mut command = as_service(WeirSetup::new().program(home));
    change(&mut command);
    command.status().unwrap()
}

/// No password, and nothing as good as one, may ever stand in a log.
fn assert_no_secrets(setup: &WeirSetup, log: &str) {
    const HARMLESS: [&str; 9] = [
        "a secret may be in it",
        "md5 secret",
        "SCRAM secret",
        "stored secret",
        "quoted secret",
        "the secret",
        "user's secret",
        "name and secret",
        "\"secret\";",
    ];
    let rest = HARMLESS.iter().fold(log.to_owned(), |log, words| log.replace(words, ""));
    let of_users = setup.users.iter().map(|(_, secret)| secret.as_str());
    // What is a name as well stands there by right.
    let is_name = |secret: &str| setup.users.iter().any(|(name, _)| name == secret);
    let all = of_users.chain([APP_PASSWORD]);
    for secret in all.filter(|secret| secret.len() > 3 && !is_name(secret)) {
        let line = rest.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "a secret in the log: {line:?}");
    }
}

/// The binary under test, where the service user can run it: in its own place, or copied to this home.
pub fn binary(home: &Home) -> PathBuf {
    WeirSetup::new().program(home)
}

/// The binary under test: `PGWEIR_BIN`, else the one that Cargo built for this test or example.
fn pgweir() -> PathBuf {
    if let Some(program) = std::env::var_os("PGWEIR_BIN") {
        return program.into();
    }
    if let Some(program) = option_env!("CARGO_BIN_EXE_pgweir") {
        return program.into();
    }
    // An example is in target/PROFILE/examples, the binary one folder up.
    let example = std::env::current_exe().unwrap();
    let program = example.ancestors().nth(2).unwrap().join("pgweir");
    assert!(program.exists(), "{}: build it or set PGWEIR_BIN", program.display());
    program
}

/// The pgbouncer to compare with.
pub fn pgbouncer() -> PathBuf {
    find_pgbouncer().expect("no pgbouncer: `make setup` installs it")
}

/// The same, if there is one: `PGWEIR_PGBOUNCER` or `PGBOUNCER`, else the first on the path.
pub fn find_pgbouncer() -> Option<PathBuf> {
    let named = ["PGWEIR_PGBOUNCER", "PGBOUNCER"].into_iter().find_map(std::env::var_os);
    if let Some(program) = named {
        return Some(program.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<_> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.iter().map(|dir| dir.join("pgbouncer")).find(|file| file.exists())
}

/// Whether somebody who speaks PostgreSQL listens: an SSLRequest is answered with one byte.
fn answers(port: u16) -> bool {
    let Ok(mut socket) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let ssl_request = [0, 0, 0, 8, 4, 210, 22, 47];
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut answer = [0];
    socket.write_all(&ssl_request).is_ok()
        && socket.read_exact(&mut answer).is_ok()
        && matches!(answer, [b'S' | b'N'])
}

// ---- psql's output as rows ----

const FIELD: &str = "\u{1f}";
const RECORD: &str = "\u{1e}";
const NULL: &str = "\u{1a}";
const NULL_FORMAT: &str = "null=\u{1a}";

fn rows(output: &str) -> Rows {
    let mut records = output.split(RECORD).map(|record| record.split(FIELD));
    let header = records.next().into_iter().flatten();
    let columns = header.map(str::to_owned).collect();
    let value = |text: &str| (text != NULL).then(|| text.to_owned());
    Rows { columns, rows: records.map(|fields| fields.map(value).collect()).collect() }
}

// ---- HTTP ----

/// GET of a path: status and body.
#[track_caller]
pub fn http_get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(wait::DEADLINE)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let chunked = head.to_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { unchunked(body) } else { body.to_owned() };
    (status.expect("a status line"), body)
}

fn unchunked(mut body: &str) -> String {
    let mut text = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).expect("a chunk's size");
        text.push_str(&rest[..size]);
        body = rest[size..].trim_start_matches("\r\n");
        if size == 0 {
            break;
        }
    }
    text
}

/// Sum of a metric in Prometheus' text format over all series that have these labels.
pub fn sum_of(text: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let values: Vec<f64> = text
        .lines()
        .filter_map(|line| line.strip_prefix(name))
        .filter(|rest| rest.starts_with(['{', ' ']))
        .filter(|rest| {
            labels.iter().all(|(label, value)| {
                let wanted = format!("{label}=\"{value}\"");
                rest.split(['{', ',', '}']).any(|part| part == wanted)
            })
        })
        .filter_map(|rest| rest.rsplit_once(' ')?.1.parse().ok())
        .collect();
    (!values.is_empty()).then(|| values.iter().sum())
}
