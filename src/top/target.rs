//! Where the console is, and who asks: from arguments, environment and ini file, in this order of weight.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::arguments::Arguments;
use super::pgpass;
use crate::auth::credentials::Credentials;
use crate::auth::secret::Secret;
use crate::config::{Config, ConfigError, HostAddr, Settings, SslMode, TlsSettings, connstr};
use crate::net::tls;
use crate::server::dial::{Tls, Wanted};
use crate::server::login::Target;

/// The port of pgbouncer, and ours.
const PORT: u16 = 6432;
/// Where both put their Unix socket unless told otherwise.
const SOCKETS: &str = "/tmp";
/// Looked for where nothing says where the console is.
const INI_FILES: [&str; 3] =
    ["pgweir.ini", "/etc/pgweir/pgweir.ini", "/etc/pgbouncer/pgbouncer.ini"];

/// Why it is not known where the console is.
#[derive(Debug)]
pub(super) enum NotFound {
    /// The ini file.
    Config(Box<ConfigError>),
    /// A URL or connection string.
    Words(String),
    /// A key of it, or a value.
    Key(String, String),
    /// TLS files.
    Tls(String),
}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Words(what) => write!(f, "cannot read where the console is: {what}"),
            Self::Key(key, what) => write!(f, "{key}: {what}"),
            Self::Tls(error) => f.write_str(error),
        }
    }
}

impl std::error::Error for NotFound {}

type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What was said about the console, so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Said {
    host: Option<String>,
    port: Option<u16>,
    user: Option<String>,
    dbname: Option<String>,
    password: Option<Word>,
    sslmode: Option<String>,
    sslrootcert: Option<String>,
}

/// A password, which shows nothing of itself.
#[derive(Clone, PartialEq, Eq)]
struct Word(String);

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Finds it.
///
/// # Errors
/// What cannot be read.
pub(super) fn find(arguments: &Arguments, variable: Variable<'_>) -> Result<Target, NotFound> {
    let variable = &|name: &str| variable(name).filter(|value| !value.is_empty());
    let mut said = Said {
        host: arguments.host.clone(),
        port: arguments.port,
        user: arguments.username.clone(),
        dbname: arguments.dbname.clone(),
        ..Said::default()
    };
    let mut ini = arguments.config.clone();
    match arguments.place.as_deref() {
        Some(words) if is_url(words) => said.add(url(words)?),
        Some(words) if words.contains('=') && !Path::new(words).exists() => {
            said.add(connection_string(words)?);
        }
        Some(file) => ini = Some(file.into()),
        None => {}
    }
    // An ini file counts more than the environment, but one is looked for only where nothing names a host.
    if ini.is_none() && said.host.is_none() && variable("PGHOST").is_none() {
        let can_be_read = |file: &&str| std::fs::File::open(file).is_ok();
        ini = INI_FILES.iter().copied().find(can_be_read).map(PathBuf::from);
    }
    let config = ini.map(|file| Config::load(&file)).transpose();
    let config = config.map_err(|error| NotFound::Config(Box::new(error)))?;
    if let Some(config) = &config {
        said.add(Said::of_settings(&config.settings));
    }
    said.add(Said::of_environment(variable)?);
    said.into_target(config.as_ref(), variable)
}

impl Said {
    /// What this does not say, the other one may.
    fn add(&mut self, other: Self) {
        let Self { host, port, user, dbname, password, sslmode, sslrootcert } = other;
        self.host = self.host.take().or(host);
        self.port = self.port.or(port);
        self.user = self.user.take().or(user);
        self.dbname = self.dbname.take().or(dbname);
        self.password = self.password.take().or(password);
        self.sslmode = self.sslmode.take().or(sslmode);
        self.sslrootcert = self.sslrootcert.take().or(sslrootcert);
    }

    fn of_settings(settings: &Settings) -> Self {
        let socket = settings.unix_socket_dir.as_ref().map(|dir| dir.display().to_string());
        let address = || {
            settings.listen_addr.first().map(|address| match address.as_str() {
                "*" | "0.0.0.0" | "::" => "127.0.0.1".to_owned(),
                other => other.to_owned(),
            })
        };
        Self { host: socket.or_else(address), port: Some(settings.listen_port), ..Self::default() }
    }

    /// libpq's variables. Not PGDATABASE: who has it set means a database, not the console.
    fn of_environment(variable: Variable<'_>) -> Result<Self, NotFound> {
        let mut said = Self::default();
        for (name, key) in [
            ("PGHOST", "host"),
            ("PGPORT", "port"),
            ("PGUSER", "user"),
            ("PGPASSWORD", "password"),
            ("PGSSLMODE", "sslmode"),
            ("PGSSLROOTCERT", "sslrootcert"),
        ] {
            if let Some(value) = variable(name) {
                said.set(key, value).map_err(|what| NotFound::Key(name.to_owned(), what))?;
            }
        }
        Ok(said)
    }

    fn set(&mut self, key: &str, value: String) -> Result<(), String> {
        match key {
            "host" => self.host = Some(value),
            "port" => {
                let port = value.parse().map_err(|_| format!("{value:?} is no port"))?;
                self.port = Some(port);
            }
            "user" => self.user = Some(value),
            "dbname" => self.dbname = Some(value),
            "password" => self.password = Some(Word(value)),
            "sslmode" => self.sslmode = Some(value),
            "sslrootcert" => self.sslrootcert = Some(value),
            // What other clients may be told, and means nothing here.
            "application_name" | "connect_timeout" | "options" | "client_encoding" => {}
            _ => return Err(
                "not known; allowed are host, port, user, dbname, password, sslmode, sslrootcert"
                    .to_owned(),
            ),
        }
        Ok(())
    }

    fn into_target(
        self,
        config: Option<&Config>,
        variable: Variable<'_>,
    ) -> Result<Target, NotFound> {
        let host = self.host.unwrap_or_else(|| SOCKETS.to_owned());
        let port = self.port.unwrap_or(PORT);
        let unix = host.starts_with(['/', '@']);
        let user = match self.user {
            Some(user) => user,
            None => user_for(unix.then(|| socket(&host, port)), config),
        };
        let dbname = self.dbname.unwrap_or_else(|| "pgbouncer".to_owned());
        let wanted = pgpass::For { host: &host, unix, port, database: &dbname, user: &user };
        let credentials = match self.password.or_else(|| of_pgpass(wanted, variable)) {
            Some(Word(password)) => Credentials::password(&password),
            // Who may read the file may know what is in it.
            None => {
                let own = config.and_then(|config| config.userlist.users.get(&user));
                Credentials::from_secret(own.map(|text| Secret::parse(text.reveal())).as_ref())
            }
        };
        let tls = encryption(self.sslmode.as_deref(), self.sslrootcert)?;
        let host = if unix {
            HostAddr::Unix { path: host.into(), port }
        } else {
            HostAddr::Tcp { host, port }
        };
        let mut target = Target::plain(host, dbname, user, credentials);
        target.parameters = vec![("application_name".to_owned(), "pgweir top".to_owned())];
        target.tls = tls;
        Ok(target)
    }
}

fn socket(dir: &str, port: u16) -> PathBuf {
    Path::new(dir).join(format!(".s.PGSQL.{port}"))
}

/// As whom to ask if nobody says. The console's own user needs no password where the socket is ours; else the file names
/// somebody who may look.
fn user_for(socket: Option<PathBuf>, config: Option<&Config>) -> String {
    let own = socket.and_then(|socket| std::fs::metadata(socket).ok());
    let is_ours = own.is_some_and(|about| about.uid() == nix::unistd::geteuid().as_raw());
    let named = config.and_then(|config| {
        let settings = &config.settings;
        settings.stats_users.first().or(settings.admin_users.first())
    });
    match named {
        Some(name) if !is_ours => name.clone(),
        _ => "pgbouncer".to_owned(),
    }
}

fn of_pgpass(wanted: pgpass::For<'_>, variable: Variable<'_>) -> Option<Word> {
    let file = variable("PGPASSFILE").map(PathBuf::from);
    let file = file.or_else(|| Some(Path::new(&variable("HOME")?).join(".pgpass")))?;
    match pgpass::of_file(&file, wanted) {
        Ok(password) => password.map(Word),
        Err(why) => {
            eprintln!("pgweir top: {why}");
            None
        }
    }
}

/// libpq's `sslmode`, `prefer` unless said otherwise.
fn encryption(mode: Option<&str>, root: Option<String>) -> Result<Tls, NotFound> {
    let (mode, wanted) = match mode.unwrap_or("prefer") {
        "disable" => return Ok(Tls { wanted: Wanted::Never, config: None }),
        "allow" | "prefer" => (SslMode::Prefer, Wanted::IfOffered),
        "require" => (SslMode::Require, Wanted::Always),
        "verify-ca" => (SslMode::VerifyCa, Wanted::Always),
        "verify-full" => (SslMode::VerifyFull, Wanted::Always),
        other => {
            let what =
                format!("{other:?}; allowed are disable, prefer, require, verify-ca, verify-full");
            return Err(NotFound::Key("sslmode".to_owned(), what));
        }
    };
    if mode.verifies() && root.is_none() {
        let what = "needs sslrootcert: the file of the authorities to trust".to_owned();
        return Err(NotFound::Key("sslmode".to_owned(), what));
    }
    let settings =
        TlsSettings { mode, ca_file: root.map(PathBuf::from), ..Settings::default().server_tls };
    let config = tls::client_config(&settings).map_err(|error| NotFound::Tls(error.to_string()))?;
    Ok(Tls { wanted, config: Some(config) })
}

fn is_url(words: &str) -> bool {
    words.starts_with("postgresql://") || words.starts_with("postgres://")
}

/// `host=… port=…`
fn connection_string(words: &str) -> Result<Said, NotFound> {
    let mut said = Said::default();
    for (key, value) in connstr::parse(words).map_err(|fault| NotFound::Words(fault.to_string()))? {
        said.set(&key, value).map_err(|what| NotFound::Key(key, what))?;
    }
    Ok(said)
}

/// `postgresql://user:password@host:port/dbname?sslmode=require` (manual, "Connection URIs"); one host.
fn url(words: &str) -> Result<Said, NotFound> {
    let mut said = Said::default();
    let rest = words.split_once("://").map_or("", |(_, rest)| rest);
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, dbname) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, place) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let (host, port) = match place.strip_prefix('[').and_then(|place| place.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':').unwrap_or("")),
        None => place.split_once(':').unwrap_or((place, "")),
    };
    let parts = [
        ("user", user),
        ("password", password),
        ("host", host),
        ("port", port),
        ("dbname", dbname),
    ];
    let query = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    for (key, value) in parts.into_iter().chain(query) {
        if value.is_empty() {
            continue;
        }
        let value = decoded(value).ok_or_else(|| {
            NotFound::Words(format!("{key}: a % is followed by two hexadecimal digits"))
        })?;
        said.set(key, value).map_err(|what| NotFound::Key(key.to_owned(), what))?;
    }
    Ok(said)
}

/// With `%2F` and the like made what they stand for.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        let (digits, behind) = after.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = behind;
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::super::arguments::testing::parse;
    use super::*;

    fn found(words: &[&str], variables: &[(&str, &str)]) -> Result<Target, NotFound> {
        find(&parse(words).unwrap(), &|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn place(target: &Target) -> (String, &str, &str) {
        (target.host.to_string(), &target.user, &target.dbname)
    }

    #[test]
    fn a_url_says_it_all_and_options_say_it_better() {
        let url = "postgresql://ann:p%40ss@db:7000/pgweir?sslmode=disable";
        let target = found(&[url], &[("PGPORT", "1"), ("PGUSER", "eve")]).unwrap();
        assert_eq!(place(&target), ("db:7000".into(), "ann", "pgweir"));
        assert_eq!(target.credentials, Credentials::password("p@ss"));
        let target = found(&[url, "-p", "7001", "-U", "bob"], &[]).unwrap();
        assert_eq!(place(&target), ("db:7001".into(), "bob", "pgweir"));
        let target = found(&["postgres://%2Frun%2Fweir"], &[]).unwrap();
        assert_eq!(place(&target), ("/run/weir:6432".into(), "pgbouncer", "pgbouncer"));
        let target = found(&["postgresql://ann@[::1]:7"], &[]).unwrap();
        assert_eq!(target.host, HostAddr::Tcp { host: "::1".into(), port: 7 });
    }

    #[test]
    fn a_connection_string_and_the_environment_do_as_well() {
        let target = found(&["host=db user=ann password='a b'"], &[("PGPORT", "9")]).unwrap();
        assert_eq!(place(&target), ("db:9".into(), "ann", "pgbouncer"));
        assert_eq!(target.credentials, Credentials::password("a b"));
        let variables =
            [("PGHOST", "db"), ("PGPASSWORD", "secret"), ("PGDATABASE", "app"), ("PGSSLMODE", "")];
        let target = found(&[], &variables).unwrap();
        assert_eq!(place(&target), ("db:6432".into(), "pgbouncer", "pgbouncer"));
        assert_eq!(target.credentials, Credentials::password("secret"));
        assert!(target.tls.wanted == Wanted::IfOffered && target.tls.config.is_some());
    }

    #[test]
    fn an_ini_file_names_socket_user_and_password() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(path("users"), "\"watch\" \"word\"\n").unwrap();
        let write = |more: &str| {
            let text = format!(
                "[databases]\n[pgbouncer]\nlisten_port = 7777\nauth_file = {}\nstats_users = watch\n{more}\n",
                path("users")
            );
            std::fs::write(path("a.ini"), text).unwrap();
        };
        write("listen_addr = *\nunix_socket_dir =");
        let ini = path("a.ini");
        // What is in the file is meant, whatever the environment says.
        let target = found(&["-c", &ini], &[("PGHOST", "elsewhere")]).unwrap();
        assert_eq!(place(&target), ("127.0.0.1:7777".into(), "watch", "pgbouncer"));
        assert_eq!(target.credentials, Credentials::password("word"));
        write(&format!("unix_socket_dir = {}", folder.path().display()));
        let target = found(&[&ini], &[]).unwrap();
        assert_eq!(target.user, "watch", "there is no socket that could be ours");
        std::fs::write(socket(&folder.path().display().to_string(), 7777), "").unwrap();
        let target = found(&[&ini], &[]).unwrap();
        assert_eq!(
            (target.user.as_str(), &target.credentials),
            ("pgbouncer", &Credentials::Nothing)
        );
    }

    #[test]
    fn what_cannot_be_read_is_said_without_passwords() {
        for (words, expected) in [
            ("postgresql://ann:secret%zz@db", "two hexadecimal digits"),
            ("postgresql://db:high", "no port"),
            ("postgresql://db?colour=red", "colour: not known"),
            ("postgresql://db?sslmode=maybe", "sslmode: \"maybe\""),
            ("postgresql://db?sslmode=verify-full", "sslrootcert"),
            ("host=db password=secret port", "without \"=\""),
        ] {
            let said = found(&[words], &[]).unwrap_err().to_string();
            assert!(said.contains(expected) && !said.contains("secret"), "{words}: {said}");
        }
        assert!(found(&["/no/such.ini"], &[]).is_err());
        assert!(found(&[], &[("PGHOST", "db"), ("PGPORT", "x")]).is_err());
    }
}
