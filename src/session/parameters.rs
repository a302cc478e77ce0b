//! The reported settings that follow a client from server to server.
//!
//! PostgreSQL reports some settings (GUC_REPORT) by ParameterStatus. pgweir keeps the last value it saw for each
//! client and for each server, and brings a server to its client's values by one simple query of `SET`s when they are
//! joined. The list is pgbouncer's fixed five and `track_extra_parameters`.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::{BufMut, Bytes, BytesMut};

/// The five settings that pgbouncer always tracks, in the spelling that PostgreSQL reports.
const ALWAYS: [&str; 5] =
    ["client_encoding", "DateStyle", "TimeZone", "standard_conforming_strings", "application_name"];

/// How many sets of values are remembered to be shared.
const SHARED: usize = 16;

/// The values of all tracked settings, in the order of [`Tracked`].
type Values = [Option<Bytes>];

/// Which settings are tracked: the list both sides' [`Parameters`] are indexed by.
#[derive(Debug)]
pub struct Tracked {
    names: Vec<String>,
    /// Sets of values that were met last. Most clients and servers have the same: they share one.
    met: Mutex<Vec<Weak<Values>>>,
}

impl Tracked {
    /// The fixed five and `extra` (setting `track_extra_parameters`).
    pub fn new(extra: &[String]) -> Arc<Self> {
        let mut names: Vec<String> = ALWAYS.iter().map(|name| (*name).to_owned()).collect();
        for name in extra {
            if !names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                names.push(name.clone());
            }
        }
        Arc::new(Self { names, met: Mutex::default() })
    }

    /// Where `name` stands in the list, whatever its case.
    pub fn index(&self, name: &[u8]) -> Option<usize> {
        self.names.iter().position(|known| known.as_bytes().eq_ignore_ascii_case(name))
    }

    /// The names in their reported spelling.
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

/// The known values of the tracked settings on one side; `None` where never reported.
#[derive(Clone, Debug)]
pub struct Parameters {
    tracked: Arc<Tracked>,
    /// Shared until one side changes.
    values: Arc<Values>,
}

impl Parameters {
    /// Nothing known yet.
    pub fn new(tracked: Arc<Tracked>) -> Self {
        let values = vec![None; tracked.names.len()].into();
        Self { tracked, values }
    }

    /// Notes a reported value. Settings that are not tracked are passed over.
    pub fn note(&mut self, name: &[u8], value: &[u8]) {
        let Some(index) = self.tracked.index(name) else { return };
        if self.at(index).map(|known| &known[..]) != Some(value) {
            self.set(index, Bytes::copy_from_slice(value));
        }
    }

    /// Gives its own set of values up for one that others have too. To be called when the values are not going to
    /// change soon: after a login.
    pub fn share(&mut self) {
        let mut met = self.tracked.met.lock().unwrap_or_else(PoisonError::into_inner);
        let same = met.iter().filter_map(Weak::upgrade).find(|known| *known == self.values);
        match same {
            Some(same) => self.values = same,
            None => {
                met.retain(|known| known.strong_count() > 0);
                if met.len() == SHARED {
                    met.remove(0);
                }
                met.push(Arc::downgrade(&self.values));
            }
        }
    }

    /// The known value of `name`.
    pub fn value(&self, name: &[u8]) -> Option<&Bytes> {
        self.values.get(self.tracked.index(name)?)?.as_ref()
    }

    /// Notes a value by its place in the list of tracked settings.
    pub fn set(&mut self, index: usize, value: Bytes) {
        if let Some(slot) = Arc::make_mut(&mut self.values).get_mut(index) {
            *slot = Some(value);
        }
    }

    /// The known value, by its place in the list of tracked settings.
    pub fn at(&self, index: usize) -> Option<&Bytes> {
        self.values.get(index)?.as_ref()
    }

    /// The list.
    pub fn tracked(&self) -> &Tracked {
        &self.tracked
    }

    /// All known values with their reported names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        let names = self.tracked.names.iter().map(String::as_str);
        names.zip(&*self.values).filter_map(|(name, value)| Some((name, value.as_ref()?)))
    }

    /// Takes over every value that `other` knows: after a change was applied the server's spelling is canonical
    /// (`ISO` becomes `ISO, MDY`), and keeping it avoids a change at every transaction.
    pub fn adopt(&mut self, other: &Self) {
        if self.values == other.values {
            self.values = other.values.clone();
            return;
        }
        for (mine, theirs) in Arc::make_mut(&mut self.values).iter_mut().zip(&*other.values) {
            if theirs.is_some() && mine.is_some() {
                mine.clone_from(theirs);
            }
        }
    }

    /// Writes the `SET`s that bring `server` to these values; `false` when there is nothing to change.
    ///
    /// A value unknown on either side is left alone, as in pgbouncer; values are compared without regard to case.
    pub fn write_changes(&self, server: &Self, sql: &mut BytesMut) -> bool {
        if Arc::ptr_eq(&self.values, &server.values) {
            return false;
        }
        let mut any = false;
        let names = &self.tracked.names;
        for ((name, mine), theirs) in names.iter().zip(&*self.values).zip(&*server.values) {
            let (Some(mine), Some(theirs)) = (mine, theirs) else { continue };
            if mine == theirs || mine.eq_ignore_ascii_case(theirs) {
                continue;
            }
            any = true;
            // SET would take a list for one name (servers report search_path from 18 on).
            if name.eq_ignore_ascii_case("search_path") {
                sql.put_slice(b"SELECT pg_catalog.set_config('search_path',");
                write_literal(mine, sql);
                sql.put_slice(b",false);");
                continue;
            }
            sql.put_slice(b"SET ");
            sql.put_slice(name.as_bytes());
            sql.put_u8(b'=');
            write_literal(mine, sql);
            sql.put_u8(b';');
        }
        any
    }
}

/// A string constant that means the same whatever standard_conforming_strings says.
pub(super) fn write_literal(value: &[u8], sql: &mut BytesMut) {
    if value.contains(&b'\\') {
        sql.put_u8(b'E');
    }
    sql.put_u8(b'\'');
    for byte in value {
        if matches!(byte, b'\'' | b'\\') {
            sql.put_u8(*byte);
        }
        sql.put_u8(*byte);
    }
    sql.put_u8(b'\'');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[(&str, &str)]) -> Parameters {
        let mut parameters = Parameters::new(Tracked::new(&["IntervalStyle".into()]));
        for (name, value) in values {
            parameters.note(name.as_bytes(), value.as_bytes());
        }
        parameters
    }

    fn changes(client: &Parameters, server: &Parameters) -> String {
        let mut sql = BytesMut::new();
        let any = client.write_changes(server, &mut sql);
        assert_eq!(any, !sql.is_empty());
        String::from_utf8(sql.to_vec()).unwrap()
    }

    #[test]
    fn only_what_differs_is_set() {
        let client = of(&[("datestyle", "German"), ("TimeZone", "UTC"), ("application_name", "a")]);
        let server =
            of(&[("DateStyle", "ISO, MDY"), ("TimeZone", "utc"), ("client_encoding", "UTF8")]);
        assert_eq!(changes(&client, &server), "SET DateStyle='German';");
    }

    #[test]
    fn values_are_quoted_whatever_the_servers_string_rules() {
        let server = of(&[("application_name", "")]);
        let quote = of(&[("application_name", "it's")]);
        assert_eq!(changes(&quote, &server), "SET application_name='it''s';");
        let backslash = of(&[("application_name", r"a\'b")]);
        assert_eq!(changes(&backslash, &server), r"SET application_name=E'a\\''b';");
    }

    #[test]
    fn equal_sets_are_shared_until_one_side_changes() {
        let mut first = of(&[("TimeZone", "UTC")]);
        let mut second = Parameters::new(first.tracked.clone());
        second.note(b"timezone", b"UTC");
        first.share();
        second.share();
        assert!(Arc::ptr_eq(&first.values, &second.values));
        second.note(b"TimeZone", b"CET");
        assert_eq!(first.value(b"TimeZone").map(|value| &value[..]), Some(&b"UTC"[..]));
        assert_eq!(changes(&second, &first), "SET TimeZone='CET';");
    }

    #[test]
    fn an_adopted_canonical_value_is_not_set_again() {
        let mut client = of(&[("DateStyle", "ISO")]);
        let server = of(&[("DateStyle", "ISO, MDY"), ("TimeZone", "UTC")]);
        client.adopt(&server);
        assert_eq!(changes(&client, &server), "");
        assert_eq!(client.value(b"timezone"), None, "what the client never had stays unset");
    }
}
