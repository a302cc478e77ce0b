//! The files that the ini file names: `auth_file`, `auth_hba_file`, `auth_ident_file`, `http_auth_token_file`.

use std::io;
use std::path::Path;

use crate::config::error::{ConfigError, Place};
use crate::config::hba::{self, Hba, HbaMethod, ReadFile};
use crate::config::model::{AuthType, Note, SecretText, Settings, Userlist};
use crate::config::{ident, userlist};

pub(super) fn read_file(file: &Path) -> io::Result<String> {
    std::fs::read_to_string(file)
}

pub(super) fn read_userlist(
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
pub(super) fn read_http_token(
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
pub(super) const HBA_KEYS: [&str; 2] = ["auth_hba_file", "auth_ident_file"];

/// Reads `auth_hba_file` and `auth_ident_file`, if `auth_type` wants them.
pub(super) fn read_hba(
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
