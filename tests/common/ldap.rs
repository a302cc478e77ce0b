//! A directory: Debian's slapd, over a temporary folder.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use super::home::{self, Home, Process, as_service, write_private};
use super::managers;
use super::tls::{Authority, Certificate, Files};
use super::wait;

/// What it needs.
pub const PROGRAMS: [&str; 2] = ["slapd", "slapadd"];

/// Where its schemas are.
const SCHEMAS: [&str; 2] = ["/etc/ldap/schema", "/etc/openldap/schema"];

/// A running directory, `dc=example,dc=org`. Everybody may search, but for passwords.
#[derive(Debug)]
pub struct Directory {
    port: u16,
    tls_port: u16,
    files: Files,
    log: PathBuf,
    process: Option<Process>,
    home: Home, // last: dropped after the process
}

impl Directory {
    /// With these entries (LDIF) below `dc=example,dc=org`, and a certificate for `localhost` and `127.0.0.1`.
    #[track_caller]
    pub fn start(entries: &str) -> Self {
        Self::start_with(entries, &Authority::new().server())
    }

    /// As [`Self::start`], with another certificate.
    #[track_caller]
    pub fn start_with(entries: &str, certificate: &Certificate) -> Self {
        let home = Home::new();
        let files = certificate.write(home.path(), "directory");
        let conf = write_conf(&home, &files);
        add(&home, &conf, entries);
        let log = home.file("log", "");
        let mut directory = Self { port: 0, tls_port: 0, files, log, process: None, home };
        for _ in 0..10 {
            if directory.launch(&conf) {
                return directory;
            }
        }
        panic!("slapd does not start:\n{}", home::tail(&directory.log, 30))
    }

    /// Whether it came up; it does not if somebody else took a port meanwhile.
    fn launch(&mut self, conf: &Path) -> bool {
        (self.port, self.tls_port) = (home::free_port(), home::free_port());
        let urls = format!("ldap://127.0.0.1:{} ldaps://127.0.0.1:{}", self.port, self.tls_port);
        let log = || fs::File::options().append(true).open(&self.log).unwrap();
        let mut command = as_service(managers::find("slapd").expect("is installed"));
        // With a debug level it stays in the foreground; 256 tells of each request.
        command.args(["-d", "256", "-h", &urls, "-f"]).arg(conf).stdout(log()).stderr(log());
        let mut process = Process::start(&mut command, &self.home);
        let is_up = wait::value("slapd to answer or to end", wait::DEADLINE, || {
            let ended = process.ended().map(|_| false);
            ended.or_else(|| TcpStream::connect(("127.0.0.1", self.tls_port)).ok().map(|_| true))
        });
        self.process = is_up.then_some(process);
        is_up
    }

    /// Its port at 127.0.0.1; StartTLS works there too.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its port for `ldaps`.
    pub fn tls_port(&self) -> u16 {
        self.tls_port
    }

    /// The file of who signed its certificate.
    pub fn authority(&self) -> String {
        self.files.authority.display().to_string()
    }

    /// A file beside its own.
    pub fn file(&self, name: &str, contents: &str) -> String {
        self.home.file(name, contents).display().to_string()
    }

    /// What it has said, a line per request among others.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Ends it.
    pub fn stop(&mut self) {
        self.process = None;
    }
}

fn write_conf(home: &Home, files: &Files) -> PathBuf {
    let schemas = SCHEMAS.iter().find(|folder| Path::new(folder).exists()).expect("schemas");
    let data = home.folder("data");
    let (data, dir) = (data.display(), home.path().display());
    let [authority, cert, key] =
        [&files.authority, &files.cert, &files.key].map(|file| file.display().to_string());
    write_private(
        &home.path().join("slapd.conf"),
        &format!(
            "include {schemas}/core.schema\n\
             include {schemas}/cosine.schema\n\
             include {schemas}/inetorgperson.schema\n\
             pidfile {dir}/slapd.pid\n\
             TLSCACertificateFile {authority}\n\
             TLSCertificateFile {cert}\n\
             TLSCertificateKeyFile {key}\n\
             access to attrs=userPassword by anonymous auth by * none\n\
             access to * by * read\n\
             database ldif\n\
             directory {data}\n\
             suffix \"dc=example,dc=org\"\n\
             rootdn \"cn=root,dc=example,dc=org\"\n\
             rootpw root-4711\n"
        ),
    );
    home.path().join("slapd.conf")
}

fn add(home: &Home, conf: &Path, entries: &str) {
    let base = "dn: dc=example,dc=org\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: example\n\n";
    let file = home.file("entries.ldif", &format!("{base}{entries}"));
    let mut command = as_service(managers::find("slapadd").expect("is installed"));
    let output = command.arg("-f").arg(conf).arg("-l").arg(file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
