//! From files to a [`Config`]: the one place that reads them, and the checks that need more than one line.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::databases::{self, is_reserved};
use super::error::{ConfigError, Place, SetError};
use super::hba::{self, Hba, HbaMethod, ReadFile};
use super::ini::{self, Entry, Section};
use super::model::{AuthType, Config, Note, SecretText, Settings, SslMode, Userlist};
use super::reload::{Changes, changes};
use super::settings::{self, Setting, State};
use super::{ident, tls, userlist, users};

/// Reads a configuration from text alone: no `auth_file`, no `auth_hba_file`, and `%include` is refused. Does no I/O, for tests and fuzzing.
///
/// # Errors
/// The first thing that is wrong; places name the file `parse_text`.
pub fn parse_text(text: &str) -> Result<Config, ConfigError> {
    let main = Path::new("parse_text");
    let mut read = |file: &Path| match file == main {
        true => Ok(text.to_owned()),
        false => Err(io::Error::from(io::ErrorKind::Unsupported)),
    };
    whole(|problems| Draft::parse(main, &mut read, problems).finish(None, None, problems))
}

/// What reads the files, with everything that is wrong with them.
fn whole<T>(read: impl FnOnce(&mut Vec<ConfigError>) -> T) -> Result<T, ConfigError> {
    let mut problems = Vec::new();
    let read = read(&mut problems);
    problems.into_iter().next().map_or(Ok(read), Err)
}

/// A configuration looked at line by line.
#[derive(Debug)]
pub struct Examined {
    /// What of it could be understood; to be run only if there are no problems.
    pub config: Config,
    /// All that is wrong, in the order in which it was found.
    pub problems: Vec<ConfigError>,
    /// The lines, in their order; the later one for a key counts.
    pub entries: Vec<Entry>,
}

impl Config {
    /// Reads the ini file, what it includes, `auth_file`, and `auth_hba_file`, and checks them against each other. Relative names are
    /// relative to the working directory, as in pgbouncer.
    ///
    /// # Errors
    /// The first thing that is wrong. At start-up fatal.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let read = |problems: &mut Vec<_>| {
            Draft::parse(path, &mut read_file, problems).finish(
                None,
                Some(&mut read_file),
                problems,
            )
        };
        whole(read)
    }

    /// As [`Self::load`], but goes on after what is wrong, to find all of it.
    pub fn examine(path: &Path) -> Examined {
        let mut problems = Vec::new();
        let draft = Draft::parse(path, &mut read_file, &mut problems);
        let entries = draft.entries.clone();
        let config = draft.finish(None, Some(&mut read_file), &mut problems);
        Examined { config, problems, entries }
    }

    /// Reads the same file again. What is read at start only keeps its value; [`Changes::ignored_until_restart`] names
    /// what the file now has otherwise.
    ///
    /// # Errors
    /// The first thing that is wrong; then `self` stays in force, whole.
    pub fn reload(&self) -> Result<(Self, Changes), ConfigError> {
        let path = self.settings.conffile.as_ref().unwrap_or(&self.path);
        let draft = whole(|problems| Draft::parse(path, &mut read_file, problems))?;
        let ignored: Vec<&'static str> = settings::all()
            .filter(|setting| {
                !setting.changeable && setting.differs(&self.settings, &draft.settings)
            })
            .map(|setting| setting.key)
            .collect();
        let boot = Some(&self.settings);
        let new = whole(|problems| draft.finish(boot, Some(&mut read_file), problems))?;
        let changes = Changes { ignored_until_restart: ignored, ..changes(self, &new) };
        Ok((new, changes))
    }

    /// The console's `SET key='value'`: a copy with one setting changed. As in pgbouncer, a setting that is read at
    /// start only, or that has no effect, is accepted and changes nothing; a reload undoes all of it. A new
    /// `auth_file` is read at once.
    ///
    /// # Errors
    /// The key is unknown, the value is not allowed, or it does not fit the rest; `self` stays in force.
    pub fn set(&self, key: &str, value: &str) -> Result<Self, SetError> {
        let Some(setting) = settings::find(key) else {
            return Err(SetError::Unknown {
                key: key.to_owned(),
                nearest: settings::nearest_key(key),
            });
        };
        let mut changed = self.settings.clone();
        setting.apply(&mut changed, value).map_err(|allowed| SetError::Invalid {
            key: setting.key,
            value: setting.told(value),
            allowed,
        })?;
        if !setting.changeable {
            return Ok(self.clone());
        }
        whole(|problems| check(&changed, &|_| None, problems))?;
        self.check_monitors(&changed)?;
        let mut new = Self { settings: changed, ..self.clone() };
        if new.settings.auth_file != self.settings.auth_file {
            let list = match &new.settings.auth_file {
                Some(file) => {
                    whole(|problems| read_userlist(file, None, &mut read_file, problems))?
                }
                None => Userlist::default(),
            };
            new.userlist = Arc::new(list);
        }
        let token = |settings: &Settings| {
            (settings.http_auth_token.clone(), settings.http_auth_token_file.clone())
        };
        if token(&new.settings) != token(&self.settings) {
            new.http_token =
                whole(|problems| read_http_token(&new.settings, None, &mut read_file, problems))?;
        }
        let rules = |settings: &Settings| {
            let Settings { auth_type, auth_hba_file, auth_ident_file, .. } = settings.clone();
            (auth_type, auth_hba_file, auth_ident_file)
        };
        if rules(&new.settings) != rules(&self.settings) {
            let read = |problems: &mut Vec<_>| {
                read_hba(&new.settings, &|_| None, &mut read_file, problems)
            };
            let (hba, notes) = whole(read)?;
            new.hba = Arc::new(hba);
            new.notes.retain(|note| !HBA_KEYS.contains(&note.key.as_str()));
            new.notes.extend(notes);
        }
        Ok(new)
    }

    /// Taking `topology_user` or `auth_user` away must leave nobody unwatched.
    fn check_monitors(&self, settings: &Settings) -> Result<(), ConfigError> {
        if settings.topology_user.is_some() || settings.auth_user.is_some() {
            return Ok(());
        }
        let mut all = self.databases.values().chain(&self.fallback);
        let unwatched = all.find(|database| {
            database.target_session_attrs.is_some()
                && database.user.is_none()
                && database.auth_user.is_none()
        });
        match unwatched {
            None => Ok(()),
            Some(database) => {
                Err(ConfigError::MonitorWithoutLogin { at: None, entry: database.name.clone() })
            }
        }
    }
}

fn read_file(file: &Path) -> io::Result<String> {
    std::fs::read_to_string(file)
}

fn read_userlist(
    file: &Path,
    asked_at: Option<Place>,
    read: ReadFile<'_>,
    problems: &mut Vec<ConfigError>,
) -> Userlist {
    let text = read_named(file, asked_at, read, problems);
    text.map(|text| userlist::parse(&text, file, problems)).unwrap_or_default()
}

fn read_named(
    file: &Path,
    asked_at: Option<Place>,
    read: ReadFile<'_>,
    problems: &mut Vec<ConfigError>,
) -> Option<String> {
    let unreadable = |source| ConfigError::Unreadable { file: file.to_owned(), asked_at, source };
    read(file).map_err(|source| problems.push(unreadable(source))).ok()
}

/// What `http_auth_token` or `http_auth_token_file` says. A file without a token would leave the door open unseen.
fn read_http_token(
    settings: &Settings,
    at: Option<Place>,
    read: ReadFile<'_>,
    problems: &mut Vec<ConfigError>,
) -> Option<SecretText> {
    let Some(file) = &settings.http_auth_token_file else {
        return settings.http_auth_token.clone();
    };
    let text = read_named(file, at.clone(), read, problems)?;
    let token = text.trim();
    if token.is_empty() || token.contains(char::is_whitespace) {
        problems.push(ConfigError::NoHttpToken { at, file: file.clone() });
        return None;
    }
    Some(SecretText::new(token.to_owned()))
}

/// The settings under which notes about `auth_hba_file` and `auth_ident_file` stand.
const HBA_KEYS: [&str; 2] = ["auth_hba_file", "auth_ident_file"];

/// Reads `auth_hba_file` and `auth_ident_file`, if `auth_type` wants them.
fn read_hba(
    settings: &Settings,
    place: &dyn Fn(&str) -> Option<Place>,
    read: ReadFile<'_>,
    problems: &mut Vec<ConfigError>,
) -> (Hba, Vec<Note>) {
    let (AuthType::Hba, Some(file)) = (settings.auth_type, &settings.auth_hba_file) else {
        return Default::default();
    };
    let (maps, mut notes) = match &settings.auth_ident_file {
        None => Default::default(),
        Some(file) => {
            let text = read_named(file, place("auth_ident_file"), &mut *read, problems);
            text.map(|text| ident::parse(&text, file)).unwrap_or_default()
        }
    };
    let text = read_named(file, place("auth_hba_file"), &mut *read, problems);
    let Some(text) = text else { return Default::default() };
    let (hba, of_rules) = hba::parse(&text, file, maps, read);
    notes.extend(of_rules);
    if settings.client_tls.ca_file.is_none() {
        let rules = hba.rules.iter().filter(|rule| matches!(rule.method, HbaMethod::Cert { .. }));
        notes.extend(rules.map(|rule| Note {
            file: file.clone(),
            line: rule.line,
            key: "auth_hba_file".to_owned(),
            sentence: format!(
                "hba line {}: cert needs client_tls_ca_file; this line refuses everyone",
                rule.line
            ),
        }));
    }
    (hba, notes)
}

/// The file with its settings understood, and the other sections still to come: they need the settings.
struct Draft<'a> {
    path: &'a Path,
    entries: Vec<Entry>,
    settings: Settings,
    notes: Vec<Note>,
}

impl<'a> Draft<'a> {
    fn parse(
        path: &'a Path,
        read: &mut dyn FnMut(&Path) -> io::Result<String>,
        problems: &mut Vec<ConfigError>,
    ) -> Self {
        let entries = ini::parse_file(path, read, problems);
        let mut settings = Settings::default();
        let mut notes = BTreeMap::new();
        for entry in entries.iter().filter(|entry| entry.section == Section::Pgbouncer) {
            let setting = match read_setting(entry, &mut settings) {
                Ok(setting) => setting,
                Err(problem) => {
                    problems.push(problem);
                    continue;
                }
            };
            // A later line for the key wins, so it also decides about the note.
            notes.remove(setting.key);
            if let Some(sentence) = remark(setting, &entry.value) {
                let Entry { at, .. } = entry;
                let (file, key) = (at.file.to_path_buf(), setting.key.to_owned());
                notes.insert(setting.key, Note { file, line: at.line, key, sentence });
            }
        }
        Self { path, entries, settings, notes: notes.into_values().collect() }
    }

    /// `boot`: settings of the running process, of which those that are read at start only stay. Without `read` no
    /// further file is read.
    fn finish(
        mut self,
        boot: Option<&Settings>,
        read: Option<ReadFile<'_>>,
        problems: &mut Vec<ConfigError>,
    ) -> Config {
        if let Some(boot) = boot {
            let unchangeable = settings::all().filter(|setting| !setting.changeable);
            unchangeable.for_each(|setting| setting.copy(boot, &mut self.settings));
        }
        check(&self.settings, &|key| self.place(key), problems);
        let (mut userlist, mut hba) = Default::default();
        let mut http_token = self.settings.http_auth_token.clone();
        if let Some(read) = read {
            if let Some(file) = &self.settings.auth_file {
                let at = self.place("auth_file");
                userlist = read_userlist(file, at, &mut *read, problems);
            }
            let notes;
            (hba, notes) = read_hba(&self.settings, &|key| self.place(key), &mut *read, problems);
            self.notes.extend(notes);
            let at = self.place("http_auth_token_file");
            http_token = read_http_token(&self.settings, at, read, problems);
        }
        let mut config = Config {
            path: self.path.to_owned(),
            settings: self.settings,
            databases: BTreeMap::new(),
            fallback: None,
            users: BTreeMap::new(),
            peers: BTreeMap::new(),
            userlist: Arc::new(userlist),
            http_token,
            hba: Arc::new(hba),
            notes: self.notes,
        };
        for entry in &self.entries {
            if let Err(of_entry) = config.add(entry) {
                problems.extend(of_entry);
            }
        }
        config.notes.sort_by(|a, b| (&a.file, a.line, &a.key).cmp(&(&b.file, b.line, &b.key)));
        config
    }

    /// Where a setting stands: its last line counts.
    fn place(&self, key: &str) -> Option<Place> {
        let mut settings =
            self.entries.iter().rev().filter(|entry| entry.section == Section::Pgbouncer);
        settings.find(|entry| entry.key == key).map(|entry| entry.at.clone())
    }
}

impl Config {
    fn add(&mut self, entry: &Entry) -> Result<(), Vec<ConfigError>> {
        match entry.section {
            Section::Pgbouncer => {}
            Section::Databases => {
                let database = Arc::new(databases::read(entry, &self.settings)?);
                if let Some(name) = database.auth_dbname.as_ref().filter(|name| is_reserved(name)) {
                    let key = format!("databases/{} auth_dbname", entry.key);
                    let sentence = format!(
                        "auth_dbname={name} is the console, which no auth_query can run in: logins that need one are \
                         refused; name another entry of [databases]"
                    );
                    let (file, line) = (entry.at.file.to_path_buf(), entry.at.line);
                    self.notes.push(Note { file, line, key, sentence });
                }
                if entry.key == "*" {
                    self.fallback = Some(database);
                } else {
                    self.databases.insert(entry.key.clone(), database);
                }
            }
            Section::Users => {
                let user = users::read_user(entry)?;
                self.users.insert(entry.key.clone(), user);
            }
            Section::Peers => {
                let (id, peer) = users::read_peer(entry).map_err(|one| vec![one])?;
                if self.settings.peer_id == 0 && self.peers.is_empty() {
                    let (file, line) = (entry.at.file.to_path_buf(), entry.at.line);
                    let sentence = "[peers] has no effect without peer_id in [pgbouncer], this process's own number";
                    let (key, sentence) = (format!("peers/{}", entry.key), sentence.to_owned());
                    self.notes.push(Note { file, line, key, sentence });
                }
                self.peers.insert(id, peer);
            }
        }
        Ok(())
    }
}

fn read_setting(entry: &Entry, settings: &mut Settings) -> Result<&'static Setting, ConfigError> {
    let Some(setting) = settings::find(&entry.key) else {
        return Err(ConfigError::UnknownSetting {
            at: entry.at.clone(),
            key: entry.key.clone(),
            nearest: settings::nearest_key(&entry.key),
        });
    };
    setting.apply(settings, &entry.value).map_err(|allowed| ConfigError::InvalidValue {
        at: entry.at.clone(),
        key: setting.key,
        value: setting.told(&entry.value),
        allowed,
    })?;
    Ok(setting)
}

/// What there is to say of a setting whose value has no effect, or not all of the effect that it has in pgbouncer.
fn remark(setting: &Setting, value: &str) -> Option<String> {
    let key = setting.key;
    match setting.state {
        State::Effective(_) => tls::without_effect(key, value),
        _ if setting.is_default(value) => None,
        State::WithoutEffect(why) => Some(format!("{key} has no effect: {why}")),
    }
}

/// What must fit together within `[pgbouncer]`.
fn check(
    settings: &Settings,
    place: &dyn Fn(&str) -> Option<Place>,
    problems: &mut Vec<ConfigError>,
) {
    let tls = &settings.client_tls;
    if tls.mode != SslMode::Disable && (tls.key_file.is_none() || tls.cert_file.is_none()) {
        let at = place("client_tls_sslmode");
        problems.push(ConfigError::ClientTlsWithoutCertificate { at });
    }
    if settings.http_auth_token.is_some() && settings.http_auth_token_file.is_some() {
        problems.push(ConfigError::TwoHttpTokens { at: place("http_auth_token_file") });
    }
    let missing = match settings.auth_type {
        AuthType::Cert if tls.mode != SslMode::VerifyFull => {
            Some(("cert", "client_tls_sslmode=verify-full"))
        }
        AuthType::Cert if tls.ca_file.is_none() => Some(("cert", "client_tls_ca_file")),
        AuthType::Hba if settings.auth_hba_file.is_none() => Some(("hba", "auth_hba_file")),
        AuthType::Ldap if settings.auth_ldap_options.is_none() => {
            Some(("ldap", "auth_ldap_options"))
        }
        _ => None,
    };
    if let Some((auth_type, setting)) = missing {
        let at = place("auth_type");
        problems.push(ConfigError::AuthTypeRequires { at, auth_type, setting });
    }
    if let Some(name) = settings.auth_dbname.as_ref().filter(|name| is_reserved(name)) {
        let (at, name) = (place("auth_dbname"), name.clone());
        problems.push(ConfigError::ReservedAuthDatabase { at, name });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refusal(text: &str) -> String {
        parse_text(text).expect_err("is refused").to_string()
    }

    fn settings(text: &str) -> Settings {
        parse_text(&format!("[pgbouncer]\n{text}")).expect("is well formed").settings
    }

    fn write(directory: &tempfile::TempDir, name: &str, text: &str) -> std::path::PathBuf {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn an_empty_file_is_the_defaults() {
        let config = parse_text("").expect("is well formed");
        assert_eq!(config.settings, Settings::default());
        assert!(
            config.databases.is_empty() && config.fallback.is_none() && config.notes.is_empty()
        );
    }

    #[test]
    fn a_later_line_for_a_key_wins() {
        assert_eq!(settings("listen_port=1\nlisten_port=0x10").listen_port, 16);
        let config =
            parse_text("[databases]\na=host=x\n[pgbouncer]\n[databases]\na=host=y").unwrap();
        assert_eq!(config.databases["a"].hosts[0].name(), "y");
    }

    #[test]
    fn an_unknown_key_is_refused_with_place_and_nearest_name() {
        assert_eq!(
            refusal("[pgbouncer]\n\nlisten_prot = 1"),
            "unknown parameter: pgbouncer/listen_prot in configuration (parse_text:3); did you mean \"listen_port\"?"
        );
        assert!(refusal("[pgbouncer]\nwibble=1").ends_with("(parse_text:2)"));
    }

    #[test]
    fn everything_that_is_wrong_is_found_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let users = write(&directory, "users", "\"ann\" \"x\"\nbob\n\"carl\"\n");
        let text = format!(
            "before = 1\n[pgbouncer]\npol_mode = x\nnonsense\nlisten_port = http\nauth_file = {}\n\
             auth_type = cert\n[database]\nswallowed = 1\n[databases]\n\
             a = host=x pool_size=many pool_mode=txn\nb = host=x,y port=1,2,3\npgbouncer = host=x\n\
             [users]\nann = pool_mode=x nobody=1\n[peers]\n0 = host=a\n%include nowhere.ini\n",
            users.display()
        );
        let examined = Config::examine(&write(&directory, "main.ini", &text));
        let told: Vec<String> = examined.problems.iter().map(ConfigError::to_string).collect();
        let words = [
            "before",
            "syntax error",
            "[database]",
            "nowhere.ini",
            "pol_mode",
            "listen_port",
            "auth_type=cert",
            "users:2",
            "users:3",
            "pool_size",
            "pool_mode of databases/a",
            "databases/b",
            "reserved",
            "pool_mode of users/ann",
            "nobody",
            "peer_id",
        ];
        assert_eq!(told.len(), words.len(), "{told:#?}");
        for (told, words) in told.iter().zip(words) {
            assert!(told.contains(words), "{words:?} is not in {told:?}");
        }
        assert_eq!(examined.config.userlist.users.len(), 1);
    }

    #[test]
    fn a_bad_value_is_refused_with_place_and_what_is_allowed() {
        assert_eq!(
            refusal("[pgbouncer]\npool_mode = txn"),
            "invalid value \"txn\" for parameter pool_mode in configuration (parse_text:2); allowed: session, \
             transaction, statement"
        );
        assert!(
            refusal("[pgbouncer]\nquery_timeout=soon").contains("(parse_text:2); allowed: seconds")
        );
    }

    #[test]
    fn a_setting_without_effect_is_noted_where_it_differs_from_the_default() {
        let text = "[pgbouncer]\ndns_zone_check_period = 60\npkt_buf = 0x1000\nsbuf_loopcnt=9\nsbuf_loopcnt=5\n\
                    dns_max_ttl=15.0\njob_name=x";
        let config = parse_text(text).expect("is well formed");
        let notes: Vec<String> = config.notes.iter().map(Note::to_string).collect();
        assert_eq!(
            notes,
            [
                "parse_text:2: dns_zone_check_period has no effect: names are looked up anew each dns_max_ttl, \
                 whatever the zone's serial number",
                "parse_text:7: job_name has no effect: Windows only"
            ]
        );
    }

    #[test]
    fn tls_for_clients_needs_key_and_certificate() {
        let error = refusal("[pgbouncer]\nclient_tls_sslmode=require\nclient_tls_key_file=k");
        assert_eq!(
            error,
            "To allow TLS connections from clients, client_tls_key_file and client_tls_cert_file must be set."
        );
        let tls =
            settings("client_tls_sslmode=require\nclient_tls_key_file=k\nclient_tls_cert_file=c")
                .client_tls;
        assert_eq!(tls.mode, SslMode::Require);
    }

    #[test]
    fn the_console_cannot_be_the_auth_dbname() {
        assert_eq!(
            refusal("[pgbouncer]\nauth_dbname=pgbouncer"),
            "cannot use the reserved \"pgbouncer\" database as an auth_dbname (parse_text:2)"
        );
    }

    #[test]
    fn text_alone_can_include_nothing() {
        assert!(
            refusal("%include /etc/passwd")
                .starts_with("cannot read /etc/passwd (named at parse_text:1)")
        );
    }

    #[test]
    fn load_reads_the_ini_file_its_includes_and_the_auth_file() {
        let directory = tempfile::tempdir().unwrap();
        let users = write(&directory, "users.txt", "\"ann\" \"pw\"\n");
        let more = write(&directory, "more.ini", "[databases]\napp = host=a\n");
        let main =
            format!("[pgbouncer]\nauth_file = {}\n%include {}\n", users.display(), more.display());
        let path = write(&directory, "main.ini", &main);
        let config = Config::load(&path).expect("is well formed");
        assert_eq!(config.directory(), directory.path());
        assert!(config.databases.contains_key("app"));
        assert_eq!(config.userlist.users["ann"].reveal(), "pw");
        assert!(!format!("{config:?}").contains("\"pw\""));
    }

    #[test]
    fn a_missing_or_broken_auth_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let users = directory.path().join("users.txt");
        let path =
            write(&directory, "main.ini", &format!("[pgbouncer]\nauth_file={}", users.display()));
        let error = Config::load(&path).expect_err("is missing").to_string();
        assert!(error.contains(&format!("users.txt (named at {}:2)", path.display())), "{error}");
        std::fs::write(&users, "oops").unwrap();
        assert!(
            Config::load(&path).expect_err("is broken").to_string().starts_with("broken auth file")
        );
    }

    #[test]
    fn hba_and_ident_files_are_read_if_auth_type_wants_them_and_set_reads_them_too() {
        let directory = tempfile::tempdir().unwrap();
        let hba =
            write(&directory, "hba", "local all all peer map=m\nwibble\nhost all all all cert");
        let ident = write(&directory, "ident", "m root ann\nm root");
        write(&directory, "users", "ann");
        let text = format!(
            "[pgbouncer]\nauth_hba_file={}\nauth_ident_file={}\nauth_type=",
            hba.display(),
            ident.display()
        );
        let load = |auth_type: &str| {
            Config::load(&write(&directory, "main.ini", &format!("{text}{auth_type}"))).unwrap()
        };
        let config = load("hba");
        assert_eq!(config.hba.rules.iter().map(|rule| rule.line).collect::<Vec<_>>(), [1, 3]);
        assert!(config.hba.maps.allows("m", "root", "ann"));
        let notes: Vec<_> =
            config.notes.iter().map(|note| (note.file.clone(), note.line)).collect();
        assert_eq!(notes, [(hba.clone(), 2), (hba.clone(), 3), (ident, 2)]);
        assert!(config.notes[1].sentence.contains("cert needs client_tls_ca_file"));

        let without = load("md5");
        assert!(without.hba.rules.is_empty() && without.notes.is_empty());
        let with = without.set("auth_type", "hba").expect("both files are named");
        assert_eq!((with.hba.rules.len(), with.notes.len()), (2, 3));
        let without = with.set("auth_type", "md5").expect("is allowed");
        assert!(without.hba.rules.is_empty() && without.notes.is_empty());
        let config = load("hba");
        std::fs::remove_file(&hba).unwrap();
        let error = config.reload().expect_err("a file is gone").to_string();
        assert!(error.contains(&format!("hba (named at {}:2)", config.path.display())), "{error}");
    }

    #[test]
    fn cert_and_hba_need_their_other_settings() {
        let tls =
            "client_tls_key_file=k\nclient_tls_cert_file=c\nauth_type=cert\nclient_tls_sslmode=";
        for (text, missing) in [
            ("auth_type=cert".to_owned(), "auth_type=cert requires client_tls_sslmode=verify-full"),
            (format!("{tls}require"), "auth_type=cert requires client_tls_sslmode=verify-full"),
            (format!("{tls}verify-full"), "auth_type=cert requires client_tls_ca_file"),
            ("auth_type=hba".to_owned(), "auth_type=hba requires auth_hba_file"),
            ("auth_type=ldap".to_owned(), "auth_type=ldap requires auth_ldap_options"),
        ] {
            assert_eq!(refusal(&format!("[pgbouncer]\n{text}")), missing);
        }
        assert!(
            parse_text(&format!("[pgbouncer]\n{tls}verify-full\nclient_tls_ca_file=a")).is_ok()
        );
        let error = parse_text("").unwrap().set("auth_type", "hba").expect_err("needs a file");
        assert_eq!(error.to_string(), "auth_type=hba requires auth_hba_file");
    }

    #[test]
    fn a_message_about_ldap_options_has_no_password_in_it() {
        let options = "ldapserver=h ldapprefix=a ldapbinddn=b ldapbindpasswd=hush";
        let said = refusal(&format!("[pgbouncer]\nauth_ldap_options={options}"));
        assert!(
            said.contains("(parse_text:2)") && said.contains("ldapprefix and ldapbinddn together")
        );
        let config = parse_text("").unwrap();
        let refused = config.set("auth_ldap_options", options).expect_err("is refused").to_string();
        assert!(!said.contains("hush") && !refused.contains("hush"), "{said}\n{refused}");
    }

    #[test]
    fn a_reload_keeps_what_is_read_at_start_only_and_names_it() {
        let directory = tempfile::tempdir().unwrap();
        let path =
            write(&directory, "main.ini", "[pgbouncer]\nunix_socket_dir=/run\n[databases]\na=");
        let old = Config::load(&path).unwrap();
        write(
            &directory,
            "main.ini",
            "[pgbouncer]\nunix_socket_dir=/x\npool_mode=transaction\n[databases]\na=",
        );
        let (new, changes) = old.reload().unwrap();
        assert_eq!(changes.ignored_until_restart, ["unix_socket_dir"]);
        assert_eq!(new.settings.unix_socket_dir, old.settings.unix_socket_dir);
        assert_eq!(new.databases, old.databases);
        assert_eq!(new.settings.pool_mode.name(), "transaction");
        write(&directory, "main.ini", "[pgbouncer]\nunix_socket_dir=/x\nwibble=1");
        assert!(old.reload().is_err());
    }

    #[test]
    fn set_changes_one_setting_in_a_copy() {
        let config = parse_text("").unwrap();
        let new = config.set("pool_mode", "statement").expect("is allowed");
        assert_eq!(new.settings.pool_mode.name(), "statement");
        assert_eq!(config.settings.pool_mode.name(), "session");
    }

    #[test]
    fn set_accepts_and_ignores_what_is_read_at_start_only_or_has_no_effect() {
        let config = parse_text("").unwrap();
        for (key, value) in [("listen_port", "1"), ("pkt_buf", "8kB")] {
            assert_eq!(config.set(key, value).expect("is accepted").settings, config.settings);
        }
    }

    #[test]
    fn set_refuses_unknown_keys_bad_values_and_what_does_not_fit() {
        let text = "[databases]\na=host=x target_session_attrs=any\n[pgbouncer]\ntopology_user=t";
        let config = parse_text(text).unwrap();
        let refusal =
            |key: &str, value: &str| config.set(key, value).expect_err("is refused").to_string();
        assert_eq!(
            refusal("pol_mode", "x"),
            "unknown parameter: pgbouncer/pol_mode; did you mean \"pool_mode\"?"
        );
        assert!(
            refusal("pool_mode", "x")
                .starts_with("invalid value \"x\" for parameter pool_mode; allowed")
        );
        assert!(refusal("listen_port", "x").starts_with("invalid value"));
        assert!(refusal("client_tls_sslmode", "require").starts_with("To allow TLS connections"));
        assert!(refusal("topology_user", "").contains("databases/a has target_session_attrs"));
        assert!(
            refusal("auth_file", "/nowhere/users.txt")
                .starts_with("cannot read /nowhere/users.txt")
        );
    }

    #[test]
    fn the_sample_files_load() {
        let etc = Path::new(env!("CARGO_MANIFEST_DIR")).join("etc");
        let users = etc.join("userlist.txt.example");
        let sample = std::fs::read_to_string(etc.join("pgweir.ini")).unwrap();
        assert!(sample.contains("/etc/pgweir/userlist.txt"));
        let directory = tempfile::tempdir().unwrap();
        let text = sample.replace("/etc/pgweir/userlist.txt", &users.display().to_string());
        let config =
            Config::load(&write(&directory, "pgweir.ini", &text)).expect("the sample loads");
        assert!(!config.databases.is_empty() && !config.userlist.users.is_empty());
        assert_eq!(config.notes, [], "the sample asks for nothing that has no effect");
    }

    #[test]
    fn every_key_that_the_sample_shows_in_a_comment_would_be_taken() {
        let etc = Path::new(env!("CARGO_MANIFEST_DIR")).join("etc");
        let sample = std::fs::read_to_string(etc.join("pgweir.ini")).unwrap();
        // `;key = value` is an example; `; text` is a remark.
        let examples: Vec<String> = sample
            .lines()
            .map(|line| match line.strip_prefix(';') {
                Some(example) if !example.is_empty() && !example.starts_with(' ') => {
                    example.to_owned()
                }
                _ => line.to_owned(),
            })
            .collect();
        let config = parse_text(&examples.join("\n")).expect("every example is allowed");
        assert_eq!(config.notes, []);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "(\\[(pgbouncer|databases|users|peers)\\]\n)?([ -~\n'=é]|host=|%include |port=){0,80}") {
            let _ = parse_text(&text);
        }

        #[test]
        fn what_is_shown_can_be_read_back(
            port: u16, size in 0..1000u32, wait in 0..100_000u32, mode in 0..0o7777u32,
        ) {
            let wait = f64::from(wait) / 1000.0;
            let one = settings(&format!(
                "listen_port={port}\ndefault_pool_size={size}\nquery_wait_timeout={wait}\nunix_socket_mode=0{mode:o}"
            ));
            let lines: Vec<String> = one
                .shown()
                .into_iter()
                .map(|(key, value, _, _)| format!("{key} = {}", value.unwrap_or_default()))
                .collect();
            prop_assert_eq!(settings(&lines.join("\n")), one);
        }
    }
}
