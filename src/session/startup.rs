//! What a client asked for at startup, beyond user and database: settings that hold for its whole session, and that
//! `RESET` returns to.
//!
//! The reported ones ([`super::parameters`]) follow the client as any of its values do. All others are *extras*: a
//! server has at most one client's extras in force, and remembers whose. Clients that asked for the same share one
//! [`Startup`], so a look at a pointer tells that nothing is to be done, and clients without extras cost nothing.
//!
//! Everything is set by `set_config`, not by `SET`: a startup value of `search_path` is a list, `SET` would quote it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{BufMut, Bytes, BytesMut};

use super::parameters::write_literal;

/// One setting of a startup packet.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Setting {
    /// In small letters: names are the same whatever their case.
    pub name: Bytes,
    /// As the client wrote it.
    pub value: Bytes,
    /// It is left out if the server does not know it (`ignore_startup_parameters = options`).
    pub optional: bool,
}

/// Settings of the transaction that runs: PostgreSQL takes them at startup too, and forgets them with the first
/// transaction.
const OF_TRANSACTION: [&[u8]; 3] =
    [b"transaction_isolation", b"transaction_read_only", b"transaction_deferrable"];

/// Settings that change who one is. They come last, so that what comes before is set by right of the login.
const OF_IDENTITY: [&[u8]; 2] = [b"session_authorization", b"role"];

impl Setting {
    /// A setting by its name as the client wrote it.
    pub fn new(name: &[u8], value: &[u8], optional: bool) -> Self {
        let name = Bytes::from(name.to_ascii_lowercase());
        Self { name, value: Bytes::copy_from_slice(value), optional }
    }

    fn rank(&self) -> Option<usize> {
        OF_IDENTITY.iter().position(|name| *name == self.name)
    }
}

/// Puts settings in order: of several for one name the last counts; those without effect go.
pub fn normalise(settings: Vec<Setting>) -> Vec<Setting> {
    let mut kept: Vec<Setting> = Vec::with_capacity(settings.len());
    for setting in settings.into_iter().rev() {
        let known = kept.iter().any(|later| later.name == setting.name);
        if !known && !OF_TRANSACTION.contains(&&setting.name[..]) {
            kept.push(setting);
        }
    }
    kept.sort_by(|a, b| a.rank().cmp(&b.rank()).then_with(|| a.cmp(b)));
    kept
}

/// What one or more clients asked for, as a server has accepted it. See the module's words.
#[derive(Debug)]
pub struct Startup {
    /// Not reported, in order.
    extras: Vec<Setting>,
    /// Reported: where each stands in the list of tracked settings, and its value as servers report it.
    tracked: Vec<(usize, Bytes)>,
    /// All, in the server's spelling of the values.
    spelled: Vec<(Bytes, Bytes)>,
    doubtful: AtomicBool,
}

impl Startup {
    /// Of settings in order, and their values in the server's spelling. `reported`: where a setting that the server
    /// reports stands in the list of tracked ones. A tracked one that it does not report is an extra like any other.
    pub fn new(
        settings: Vec<Setting>,
        spelling: Vec<Bytes>,
        reported: impl Fn(&[u8]) -> Option<usize>,
    ) -> Arc<Self> {
        let mut startup = Self {
            extras: Vec::new(),
            tracked: Vec::new(),
            spelled: Vec::new(),
            doubtful: AtomicBool::new(false),
        };
        for (setting, spelled) in settings.into_iter().zip(spelling) {
            startup.spelled.push((setting.name.clone(), spelled.clone()));
            match reported(&setting.name) {
                Some(index) => startup.tracked.push((index, spelled)),
                None => startup.extras.push(setting),
            }
        }
        Arc::new(startup)
    }

    /// Settings that no server reports, in order.
    pub fn extras(&self) -> &[Setting] {
        &self.extras
    }

    /// Reported settings: index in the list of tracked ones, and value.
    pub fn tracked(&self) -> &[(usize, Bytes)] {
        &self.tracked
    }

    /// The value of `name` in the server's spelling, if it was asked for.
    pub fn value(&self, name: &[u8]) -> Option<&Bytes> {
        self.spelled
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// A server has refused it after all: it is to be tried again at the next login.
    pub fn doubt(&self) {
        self.doubtful.store(true, Ordering::Relaxed);
    }

    /// Whether a server has refused it since it was accepted.
    pub fn is_doubtful(&self) -> bool {
        self.doubtful.load(Ordering::Relaxed)
    }
}

/// The extras that a server has in force.
#[derive(Clone, Debug, Default)]
pub struct InForce {
    /// Whose.
    startup: Option<Arc<Startup>>,
    /// A `RESET` came by: some may not be in force any more.
    disturbed: bool,
}

impl InForce {
    /// Whether nothing has to be done for a client that asked for `wanted`. No more than a look at a pointer.
    pub fn suits(&self, wanted: Option<&Arc<Startup>>) -> bool {
        match (&self.startup, wanted) {
            (None, None) => true,
            (Some(mine), Some(wanted)) => Arc::ptr_eq(mine, wanted) && !self.disturbed,
            _ => false,
        }
    }

    /// Somebody ran `RESET`.
    pub fn disturb(&mut self) {
        self.disturbed = self.startup.is_some();
    }

    /// Whose are in force, and whether some may not be any more.
    pub(super) fn parts(&self) -> (Option<&Arc<Startup>>, bool) {
        (self.startup.as_ref(), self.disturbed)
    }

    /// Of these two.
    pub(super) fn of(startup: Option<Arc<Startup>>, disturbed: bool) -> Self {
        Self { startup, disturbed }
    }

    /// Whether none is in force.
    pub fn is_empty(&self) -> bool {
        self.startup.is_none()
    }

    /// Its extras were just set on a clean server.
    pub fn now_of(&mut self, startup: &Arc<Startup>) {
        let startup = (!startup.extras.is_empty()).then(|| startup.clone());
        *self = Self { startup, disturbed: false };
    }

    /// Writes what brings the server from these to the extras of `wanted`, and takes it for done.
    ///
    /// If it fails the server has undone all of it (one Query is one transaction), and must not be used on.
    pub fn become_of(&mut self, wanted: Option<&Arc<Startup>>, sql: &mut BytesMut) {
        let theirs = self.startup.as_deref().map_or(&[][..], Startup::extras);
        let mine = wanted.map_or(&[][..], |wanted| wanted.extras());
        // Who one is comes first here: the rest is then set by right of the login.
        let gone = theirs
            .iter()
            .rev()
            .filter(|old| old.rank().is_some() || !mine.iter().any(|new| new.name == old.name));
        write_calls(gone.map(|old| (&old.name, None)), sql);
        write_calls(mine.iter().map(|new| (&new.name, Some(&new.value))), sql);
        *self = Self { startup: wanted.cloned(), disturbed: false };
    }
}

/// `SELECT set_config(…), …;`, where no value means `RESET`. Values come back in the server's spelling.
pub fn write_calls<'a>(
    settings: impl Iterator<Item = (&'a Bytes, Option<&'a Bytes>)>,
    sql: &mut BytesMut,
) {
    let mut any = false;
    for (name, value) in settings {
        sql.put_slice(if any { b"," } else { b"SELECT " });
        any = true;
        sql.put_slice(b"pg_catalog.set_config(");
        write_literal(name, sql);
        sql.put_u8(b',');
        match value {
            Some(value) => write_literal(value, sql),
            None => sql.put_slice(b"NULL"),
        }
        sql.put_slice(b",false)");
    }
    if any {
        sql.put_u8(b';');
    }
}

/// Writes what sets again those extras that a `RESET` has taken away, and leaves alone what the client has `SET` since.
///
/// `pg_settings` tells them apart: what was set in the session has the source `session`. It does not show settings of
/// unknown extensions, nor `role`; those are as after a `RESET` when they are empty or `none`.
pub fn write_restore(startup: &Startup, sql: &mut BytesMut) {
    if startup.extras.is_empty() {
        return;
    }
    sql.put_slice(b"SELECT pg_catalog.set_config(w.name,w.value,false) FROM (VALUES ");
    for (count, extra) in startup.extras.iter().enumerate() {
        sql.put_slice(if count == 0 { b"(" } else { b",(" });
        write_literal(&extra.name, sql);
        sql.put_u8(b',');
        write_literal(&extra.value, sql);
        sql.put_u8(b')');
    }
    sql.put_slice(
        b") w(name,value) LEFT JOIN pg_catalog.pg_settings s \
          ON pg_catalog.lower(s.name) OPERATOR(pg_catalog.=) w.name WHERE CASE WHEN s.name IS NULL \
          THEN coalesce(pg_catalog.current_setting(w.name,true),'') OPERATOR(pg_catalog.=) ANY(ARRAY['','none']) \
          ELSE s.source OPERATOR(pg_catalog.<>) 'session' END;",
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::parameters::Tracked;

    fn settings(list: &[(&str, &str)]) -> Vec<Setting> {
        let setting =
            |(name, value): &(&str, &str)| Setting::new(name.as_bytes(), value.as_bytes(), false);
        normalise(list.iter().map(setting).collect())
    }

    fn startup(list: &[(&str, &str)]) -> Arc<Startup> {
        let settings = settings(list);
        let spelling = settings.iter().map(|setting| setting.value.clone()).collect();
        Startup::new(settings, spelling, |name| Tracked::new(&[]).index(name))
    }

    fn change(in_force: &mut InForce, wanted: Option<&Arc<Startup>>) -> String {
        let mut sql = BytesMut::new();
        in_force.become_of(wanted, &mut sql);
        assert!(in_force.suits(wanted));
        String::from_utf8(sql.to_vec()).unwrap().replace("pg_catalog.set_config", "f")
    }

    #[test]
    fn the_last_of_one_name_counts_and_who_one_is_comes_last() {
        let list = settings(&[
            ("role", "r"),
            ("WORK_MEM", "1"),
            ("a", "x"),
            ("transaction_isolation", "serializable"),
            ("work_mem", "2"),
            ("Session_Authorization", "s"),
        ]);
        let found: Vec<_> = list.iter().map(|s| (&s.name[..], &s.value[..])).collect();
        let expected: [(&[u8], &[u8]); 4] =
            [(b"a", b"x"), (b"work_mem", b"2"), (b"session_authorization", b"s"), (b"role", b"r")];
        assert_eq!(found, expected);
    }

    #[test]
    fn tracked_settings_are_no_extras() {
        let startup = startup(&[("TimeZone", "UTC"), ("work_mem", "1MB")]);
        assert_eq!(startup.extras().len(), 1);
        assert_eq!(startup.tracked(), [(2, Bytes::from_static(b"UTC"))]);
        assert_eq!(startup.value(b"TimeZone").map(|value| &value[..]), Some(&b"UTC"[..]));
    }

    #[test]
    fn a_server_goes_from_one_clients_extras_to_anothers_and_to_none() {
        let one = startup(&[("a", "1"), ("b", "it's"), ("role", "r")]);
        let two = startup(&[("b", r"\"), ("c", "3")]);
        let mut server = InForce::default();
        assert!(server.suits(None) && !server.suits(Some(&one)));
        assert_eq!(
            change(&mut server, Some(&one)),
            "SELECT f('a','1',false),f('b','it''s',false),f('role','r',false);"
        );
        assert!(!server.suits(None) && !server.suits(Some(&two)));
        assert_eq!(
            change(&mut server, Some(&two)),
            r"SELECT f('role',NULL,false),f('a',NULL,false);SELECT f('b',E'\\',false),f('c','3',false);"
        );
        assert_eq!(change(&mut server, None), "SELECT f('c',NULL,false),f('b',NULL,false);");
        assert_eq!(change(&mut server, None), "");
    }

    #[test]
    fn after_a_reset_all_of_it_is_set_again() {
        let one = startup(&[("a", "1")]);
        let mut server = InForce::default();
        server.disturb();
        assert!(server.suits(None), "nothing was in force");
        change(&mut server, Some(&one));
        server.disturb();
        assert!(!server.suits(Some(&one)));
        assert_eq!(change(&mut server, Some(&one)), "SELECT f('a','1',false);");
    }
}
