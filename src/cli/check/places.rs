//! Where in the files a thing stands.

use crate::config::Place;
use crate::config::ini::{Entry, Section};

/// See the module's words.
#[derive(Debug)]
pub(super) struct Places<'a>(pub(super) &'a [Entry]);

impl Places<'_> {
    /// A setting of `[pgbouncer]`: its last line counts.
    pub(super) fn setting(&self, key: &str) -> Option<Place> {
        self.entry(Section::Pgbouncer, key)
    }

    /// An entry of another section.
    pub(super) fn entry(&self, section: Section, key: &str) -> Option<Place> {
        let mut entries = self.0.iter().rev();
        let entry = entries.find(|entry| entry.section == section && entry.key == key);
        entry.map(|entry| entry.at.clone())
    }

    /// The first of these entries of `[databases]`.
    pub(super) fn database(&self, names: &[String]) -> Option<Place> {
        self.entry(Section::Databases, names.first()?)
    }
}
