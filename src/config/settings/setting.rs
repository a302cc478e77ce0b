//! One row of the table: what may be asked of a setting without knowing which one it is.

use std::fmt;

use crate::config::model::Settings;
use crate::config::values::{self, Allowed, TIME, Value};

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// As in the file.
    pub key: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// The value without the file, as the file would have it; `None` where there is none.
    pub default: Option<&'static str>,
    /// Whether RELOAD and SET take effect (once the setting does at all); else it is read at start only.
    pub changeable: bool,
    /// Whether pgweir acts on it.
    pub state: State,
    /// Whether it is pgweir's own, not pgbouncer's.
    pub own: bool,
    /// What it is for, and what zero means.
    pub meaning: &'static str,
}

/// What the values of a setting are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 0 or 1.
    Switch,
    /// A whole number of this unit (may be empty), in C's syntax.
    Number(&'static str),
    /// Seconds with decimals.
    Time,
    /// Permissions in octal.
    Mode,
    /// Any text.
    Text,
    /// A file or directory.
    Path,
    /// Words between commas.
    List,
    /// One of these.
    Choice(&'static [&'static str]),
}

/// Whether pgweir acts on a setting.
#[derive(Debug)]
pub enum State {
    /// It does.
    Effective(Field),
    /// It never will; this is why.
    WithoutEffect(&'static str),
}

/// A field of [`Settings`].
pub struct Field {
    pub(super) read: fn(&mut Settings, &str) -> Result<(), Allowed>,
    pub(super) show: fn(&Settings) -> Option<String>,
    pub(super) differs: fn(&Settings, &Settings) -> bool,
    pub(super) copy: fn(&Settings, &mut Settings),
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Field")
    }
}

impl Setting {
    /// Whether pgweir acts on it.
    pub fn is_effective(&self) -> bool {
        matches!(self.state, State::Effective(_))
    }

    /// Sets it; a setting without effect has its value checked only.
    ///
    /// # Errors
    /// What would have been allowed, in words.
    pub fn apply(&self, settings: &mut Settings, text: &str) -> Result<(), Allowed> {
        self.kind.check(text)?;
        match &self.state {
            State::Effective(field) => (field.read)(settings, text),
            State::WithoutEffect(_) => Ok(()),
        }
    }

    /// Whether the text means the same as the default.
    pub fn is_default(&self, text: &str) -> bool {
        let default = self.default.unwrap_or("");
        match self.kind {
            Kind::Switch => bool::read(text) == bool::read(default),
            Kind::Number(_) | Kind::Mode => values::integer(text) == values::integer(default),
            Kind::Time => values::seconds(text) == values::seconds(default),
            Kind::List => values::words(text).eq(values::words(default)),
            Kind::Text | Kind::Path | Kind::Choice(_) => text == default,
        }
    }

    /// Whether its values are nobody's business but the file's.
    pub fn is_secret(&self) -> bool {
        ["auth_ldap_options", "http_auth_token"].contains(&self.key)
    }

    /// A value of it as it may be told, in a message about it.
    pub fn told(&self, text: &str) -> String {
        match self.is_secret() {
            true => "(not shown: a secret may be in it)".to_owned(),
            false => text.to_owned(),
        }
    }

    /// Whether two configurations differ in it.
    pub fn differs(&self, a: &Settings, b: &Settings) -> bool {
        match &self.state {
            State::Effective(field) => (field.differs)(a, b),
            State::WithoutEffect(_) => false,
        }
    }

    /// Takes its value over.
    pub fn copy(&self, from: &Settings, to: &mut Settings) {
        if let State::Effective(field) = &self.state {
            (field.copy)(from, to);
        }
    }
}

impl Kind {
    /// Whether a text is of this kind; else what would have been.
    fn check(self, text: &str) -> Result<(), Allowed> {
        match self {
            Self::Switch => bool::read(text).map(drop),
            Self::Number("bytes") => values::size(text).map(drop),
            Self::Number("s") => values::seconds(text).map(drop).ok_or_else(|| TIME.to_owned()),
            Self::Number(unit) if values::integer(text).is_none() => {
                let of = if unit.is_empty() { "" } else { " of " };
                Err(format!("a whole number{of}{unit}"))
            }
            Self::Time => values::seconds(text).map(drop).ok_or_else(|| TIME.to_owned()),
            Self::Mode => values::file_mode(text).map(drop),
            Self::Choice(names) if !names.contains(&text) => Err(names.join(", ")),
            Self::Number(_) | Self::Choice(_) | Self::Text | Self::Path | Self::List => Ok(()),
        }
    }
}
