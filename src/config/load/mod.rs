//! From files to a [`Config`]: the one place that reads them, and the checks that need more than one line.

mod check;
mod files;
mod set;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use check::check;
use files::{read_file, read_hba, read_http_token, read_userlist};

use super::databases::{self, is_reserved};
use super::error::{ConfigError, Place};
use super::hba::ReadFile;
use super::ini::{self, Entry, Section};
use super::model::{Config, Note, Settings};
use super::reload::{Changes, changes};
use super::settings::{self, Setting, State};
use super::{tls, users};

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
                notes.insert(setting.key, Note::at(&entry.at, setting.key, sentence));
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
                    self.notes.push(Note::at(&entry.at, &key, sentence));
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
                    let sentence = "[peers] has no effect without peer_id in [pgbouncer], this process's own number";
                    let key = format!("peers/{}", entry.key);
                    self.notes.push(Note::at(&entry.at, &key, sentence.to_owned()));
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

#[cfg(test)]
mod tests;
