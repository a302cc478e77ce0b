//! The table of `[pgbouncer]` settings: parsing, SHOW CONFIG, SET, RELOAD and docs/settings.md all come from it.
//!
//! A setting is `Effective` when pgweir acts on it; then it has a field in [`Settings`] of the same name. The others
//! are pgbouncer's, are accepted with a value of their type, and leave a note in [`super::Config::notes`].
//!
//! A new one is a row in the file of its theme (`table`), a field of [`Settings`], and a line in `blank`.

mod blank;
mod page;
mod setting;
mod table;

use blank::blank;
pub use page::markdown;
pub use setting::{Field, Kind, Setting, State};
use table::TABLE;

use super::model::Settings;
use super::nearest::nearest;

/// A row of SHOW CONFIG: key, value in force, default, whether RELOAD and SET take effect.
pub type Shown = (&'static str, Option<String>, Option<String>, bool);

/// Every setting, in the order of SHOW CONFIG.
pub fn all() -> impl Iterator<Item = &'static Setting> {
    TABLE.into_iter().flatten()
}

/// The setting of that name.
pub fn find(key: &str) -> Option<&'static Setting> {
    all().find(|setting| setting.key == key)
}

/// The setting whose name resembles this one.
pub(super) fn nearest_key(key: &str) -> Option<&'static str> {
    nearest(key, all().map(|setting| setting.key))
}

impl Default for Settings {
    /// The defaults of the table.
    fn default() -> Self {
        let mut settings = blank();
        for setting in all() {
            // A default that its own field refuses would be a slip in the table; a test looks at every one.
            let read = setting.apply(&mut settings, setting.default.unwrap_or(""));
            debug_assert_eq!(read, Ok(()), "{}", setting.key);
        }
        settings
    }
}

impl Settings {
    /// Every setting of the table with the value in force: that is the default for what has no effect.
    pub fn shown(&self) -> Vec<Shown> {
        let row = |setting: &Setting| {
            let default = setting.default.map(str::to_owned);
            match &setting.state {
                State::Effective(field) => {
                    (setting.key, (field.show)(self), default, setting.changeable)
                }
                State::WithoutEffect(_) => {
                    (setting.key, default.clone(), default, setting.changeable)
                }
            }
        };
        all().map(row).collect()
    }
}

#[cfg(test)]
mod tests;
