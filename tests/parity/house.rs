//! A house: one configuration, under which both poolers run, and the conversations held there.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;

use crate::common::tls::Authority;
use crate::common::{Postgres, Setup, Weir, WeirSetup};
use crate::talk::{PGBOUNCERS_OWN, PGWEIRS_OWN, Talk};
use crate::transcript::Line;

/// A version of pgbouncer: major, minor.
pub type Version = (u32, u32);

/// What all houses stand on.
pub struct Ground {
    /// The server behind both poolers.
    pub server: Postgres,
    /// Who signs certificates.
    pub authority: Authority,
    /// The pgbouncer beside.
    pub pgbouncer: PathBuf,
    /// Its version.
    pub version: Version,
}

impl Ground {
    /// Starts the server.
    pub fn new(pgbouncer: &Path) -> Self {
        let (pgbouncer, version) = (pgbouncer.to_owned(), version(pgbouncer));
        let server = Setup::new()
            .setting("max_connections", 300)
            .setting("timezone", "Etc/UTC")
            .setting("datestyle", "ISO, MDY")
            .setting("lc_messages", "C")
            .sql("CREATE ROLE other LOGIN; CREATE ROLE md5er LOGIN; CREATE ROLE scrammer LOGIN")
            .database("second")
            .database("own_a")
            .database("own_b")
            .sql("CREATE ROLE locked LOGIN PASSWORD 'right'; CREATE ROLE opened LOGIN PASSWORD 'right'")
            .sql("CREATE ROLE nologin NOLOGIN")
            .hba("host all locked 127.0.0.1/32 scram-sha-256")
            .hba("host all opened 127.0.0.1/32 scram-sha-256")
            .hba("host all all 127.0.0.1/32 trust")
            .hba("host replication all 127.0.0.1/32 trust")
            .hba("local all all trust")
            .sql("CREATE TABLE kept (n int); GRANT ALL ON kept TO PUBLIC")
            .start();
        Self { server, authority: Authority::new(), pgbouncer, version }
    }

    /// A setup with the database `app`, and the users that most conversations need.
    pub fn setup(&self) -> WeirSetup {
        let port = self.server.port();
        let setup = Weir::setup()
            .server(&self.server)
            .database(&format!("second = host=127.0.0.1 port={port} dbname=second"))
            .setting("server_login_retry", 1)
            .setting("tcp_defer_accept", 0);
        ["admin", "stats", "other"].into_iter().fold(setup, |setup, name| setup.user(name, name))
    }
}

type Script = Box<dyn Fn(&mut Talk<'_>) + Send + Sync>;

/// One configuration and what is said under it.
pub struct House {
    name: &'static str,
    setup: fn(&Ground) -> WeirSetup,
    since: Version,
    conversations: Vec<(String, Version, Script)>,
}

/// What both sides said in a conversation.
pub struct Said {
    /// House and conversation.
    pub name: String,
    /// By pgbouncer; `None` where it is too old, or not there.
    pub theirs: Option<Vec<Line>>,
    /// By pgweir.
    pub ours: Vec<Line>,
}

impl House {
    /// A house without conversations.
    pub fn new(name: &'static str, setup: fn(&Ground) -> WeirSetup) -> Self {
        Self { name, setup, since: (0, 0), conversations: Vec::new() }
    }

    /// Its configuration needs a pgbouncer of at least this version.
    pub fn since(mut self, major: u32, minor: u32) -> Self {
        self.since = (major, minor);
        self
    }

    /// A conversation held in it.
    pub fn talk(
        self,
        name: impl Into<String>,
        script: impl Fn(&mut Talk<'_>) + Send + Sync + 'static,
    ) -> Self {
        let since = self.since;
        self.talk_since(since, name, script)
    }

    /// A conversation about what pgbouncer has had since a version only.
    pub fn talk_since(
        mut self,
        since: Version,
        name: impl Into<String>,
        script: impl Fn(&mut Talk<'_>) + Send + Sync + 'static,
    ) -> Self {
        let name = format!("{}/{}", self.name, name.into());
        self.conversations.push((name, since.max(self.since), Box::new(script)));
        self
    }

    /// Names of all conversations.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.conversations.iter().map(|(name, ..)| &name[..])
    }

    /// Keeps the conversations whose name has this part.
    pub fn keep(&mut self, part: &str) {
        self.conversations.retain(|(name, ..)| name.contains(part));
    }

    /// Starts both poolers, and holds the conversations with both at the same time.
    pub fn hold(&self, ground: &Ground) -> Vec<Said> {
        if self.conversations.is_empty() {
            return Vec::new();
        }
        let setup = || (self.setup)(ground);
        let ours = setup().start();
        let theirs =
            (ground.version >= self.since).then(|| setup().pgbouncer_at(&ground.pgbouncer).start());
        let hold = |weir: &Weir, own: &'static str, script: &Script| {
            let mut talk = Talk::new(ground, weir, own);
            let ended = catch_unwind(AssertUnwindSafe(|| script(&mut talk)));
            if let Err(panic) = ended {
                let what = panic.downcast::<String>().map_or("?".to_owned(), |what| *what);
                talk.note(format!("BROKEN OFF: {what}"));
            }
            talk.transcript()
        };
        let both = |(name, since, script): &(String, Version, Script)| {
            let other = theirs.as_ref().filter(|_| ground.version >= *since);
            thread::scope(|scope| {
                let other =
                    other.map(|weir| scope.spawn(move || hold(weir, PGBOUNCERS_OWN, script)));
                let ours = hold(&ours, PGWEIRS_OWN, script);
                let theirs = other.map(|other| other.join().unwrap());
                Said { name: name.clone(), theirs, ours }
            })
        };
        self.conversations.iter().map(both).collect()
    }
}

/// TLS as clients speak it who check nothing but that authority, with a certificate or without.
pub fn tls_client(ground: &Ground, user: Option<&str>) -> Arc<rustls::ClientConfig> {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let certificate =
        |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().into_owned();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate(&ground.authority.cert)).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    Arc::new(match user {
        None => builder.with_no_client_auth(),
        Some(user) => {
            let signed = ground.authority.client(user);
            let key = PrivateKeyDer::from_pem_slice(signed.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![certificate(&signed.cert)], key).unwrap()
        }
    })
}

/// Major and minor number of a pgbouncer.
fn version(program: &Path) -> Version {
    let output = Command::new(program).arg("--version").output().unwrap().stdout;
    let output = String::from_utf8(output).unwrap();
    let numbers = output.strip_prefix("PgBouncer ").and_then(|rest| rest.split_whitespace().next());
    let mut numbers = numbers.unwrap_or_default().split('.').filter_map(|part| part.parse().ok());
    let (Some(major), Some(minor)) = (numbers.next(), numbers.next()) else {
        panic!("{}: no version in {output:?}", program.display())
    };
    (major, minor)
}
