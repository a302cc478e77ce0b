//! One setting changed while running: the console's `SET`.

use std::sync::Arc;

use super::check::check;
use super::files::{HBA_KEYS, read_file, read_hba, read_http_token, read_userlist};
use super::whole;
use crate::config::error::{ConfigError, SetError};
use crate::config::model::{Config, Settings, Userlist};
use crate::config::settings;

impl Config {
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
