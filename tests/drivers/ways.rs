//! The ways in which each driver connects: in clear, trusted; and through TLS, verified in full,
//! with SCRAM, on both sides of pgweir.

use crate::common::home::Home;
use crate::common::tls::Authority;
use crate::common::{Login, Password, Setup, Weir};

/// The role that drivers log in as. It may create tables in the database `app`.
pub(crate) const USER: &str = "driver";
const PASSWORD: &str = "a secret: 'it'";
/// Servers in the pool: fewer than any driver's program has clients.
pub(crate) const SERVERS: u32 = 2;

/// One way.
pub(crate) struct Way<'a> {
    /// `plain` or `tls`.
    pub(crate) name: &'static str,
    /// pgweir, set up for it.
    pub(crate) weir: &'a Weir,
    /// Who signed the certificates, PEM.
    pub(crate) authority: &'a str,
    root: String,
}

impl Way<'_> {
    /// The way's login in libpq's variables.
    pub(crate) fn login(&self) -> Login {
        let login = self.weir.login(USER, "app");
        match self.name {
            "plain" => login.set("PGSSLMODE", "disable"),
            _ => login
                .password(PASSWORD)
                .set("PGHOST", "localhost")
                .set("PGSSLMODE", "verify-full")
                .set("PGSSLROOTCERT", &self.root),
        }
    }

    /// Whether it goes through TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.name == "tls"
    }

    /// The password, for those that don't read the login's variables.
    pub(crate) fn password(&self) -> &'static str {
        PASSWORD
    }
}

/// Runs a test in each way, on a server that knows how its connections must come.
pub(crate) fn each(test: impl Fn(&Way<'_>)) {
    each_with(&[], test);
}

/// As [`each`], with further settings of pgweir.
pub(crate) fn each_with(settings: &[(&str, &str)], test: impl Fn(&Way<'_>)) {
    let authority = Authority::new();
    let server = Setup::new()
        .tls(&authority.server())
        .hba("hostssl all driver 127.0.0.1/32 scram-sha-256")
        .hba("hostnossl all driver 127.0.0.1/32 trust")
        .role(USER, Password::Scram(&PASSWORD.replace('\'', "''")))
        .sql("GRANT CREATE ON SCHEMA public TO driver")
        .start();
    let home = Home::new();
    let root = home.file("root.crt", &authority.cert).display().to_string();
    let common = || {
        let setup = Weir::setup()
            .server(&server)
            .user(USER, PASSWORD)
            .setting("pool_mode", "transaction")
            .setting("default_pool_size", SERVERS)
            .setting("workers", 2);
        settings.iter().fold(setup, |setup, (key, value)| setup.setting(key, value))
    };
    let plain = common().setting("server_tls_sslmode", "disable").start();
    let tls = common()
        .tls(&authority.server())
        .setting("client_tls_sslmode", "require")
        .setting("auth_type", "scram-sha-256")
        .setting("server_tls_sslmode", "verify-ca")
        .setting("server_tls_ca_file", &root)
        .start();
    for (name, weir) in [("plain", plain), ("tls", tls)] {
        let (authority, root) = (authority.cert.as_str(), root.clone());
        test(&Way { name, weir: &weir, authority, root });
        weir.stop();
    }
}
