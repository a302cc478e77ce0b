//! Sessions whose transactions are read-only unless they say otherwise: `default_transaction_read_only`.
//!
//! However that came to be: `SET`, `SET SESSION CHARACTERISTICS`, a startup parameter, `options`, `ALTER ROLE`. PostgreSQL
//! 14 and later report the setting, so what it is needs no look at texts. It is not one of the tracked settings: only
//! what a client has set itself follows it to another server. What an administrator sets for all (`ALTER SYSTEM`, to keep
//! writes out) must not be undone for clients that logged in before.

use bytes::{BufMut, Bytes, BytesMut};

use super::machine::{ServerState, Session};
use crate::routing::Intent;

/// The setting's name as it is reported.
pub const NAME: &[u8] = b"default_transaction_read_only";

/// What is known of it on one server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OnServer {
    pub(super) now: Option<bool>,
    /// When the connection was new: what `RESET` gives.
    pub(super) own: Option<bool>,
}

impl OnServer {
    /// The login is over.
    pub(super) fn logged_in(&mut self) {
        self.own = self.now;
    }

    /// A setting was reported.
    pub(super) fn note(&mut self, name: &[u8], value: &[u8]) {
        if name == NAME {
            self.now = read(value);
        }
    }

    /// Appends what gives it this value, or the server's own.
    pub(super) fn write(self, wanted: Option<bool>, sql: &mut BytesMut) {
        if self.now.is_none() || wanted.or(self.own) == self.now {
            return;
        }
        match wanted.filter(|_| wanted != self.own) {
            Some(true) => sql.put_slice(b"SET default_transaction_read_only=on;"),
            Some(false) => sql.put_slice(b"SET default_transaction_read_only=off;"),
            None => sql.put_slice(b"RESET default_transaction_read_only;"),
        }
    }
}

/// What is known of it for one client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OfClient {
    /// What it has set itself.
    pub(super) set: Option<bool>,
    /// What it asked for at startup.
    pub(super) asked: Option<bool>,
    /// What its servers have of themselves.
    pub(super) own: bool,
}

impl OfClient {
    pub(super) fn note(&mut self, name: &[u8], value: &[u8]) {
        if name == NAME {
            self.set = read(value);
        }
    }

    /// A `RESET` came by: what went back to the server's own goes back to what was asked for at startup.
    pub(super) fn after_reset(&mut self, server: OnServer) {
        if self.asked.is_some() && self.set == server.own {
            self.set = None;
        }
    }

    fn now(self) -> bool {
        self.set.or(self.asked).unwrap_or(self.own)
    }
}

/// As PostgreSQL reads a boolean; `None` for what it would refuse.
fn read(value: &[u8]) -> Option<bool> {
    let is = |word: &str| value.eq_ignore_ascii_case(word.as_bytes());
    if ["on", "true", "yes", "1", "t", "y"].into_iter().any(is) {
        Some(true)
    } else if ["off", "false", "no", "0", "f", "n"].into_iter().any(is) {
        Some(false)
    } else {
        None
    }
}

impl Session {
    /// What a server said of itself at login, and what the client asked for at startup.
    pub fn with_read_only(mut self, own: Option<&Bytes>, asked: Option<&Bytes>) -> Self {
        let value = |value: Option<&Bytes>| value.and_then(|value| read(value));
        self.read_only.own = value(own).unwrap_or(false);
        self.read_only.asked = value(asked);
        self
    }

    /// Appends what brings the server to the client's own.
    pub(super) fn write_read_only(&self, server: &ServerState, sql: &mut BytesMut) {
        server.read_only.write(self.read_only.set.or(self.read_only.asked), sql);
    }

    /// The intent of a transaction that says this of itself.
    pub(super) fn read_only_intent(&self, said: Intent) -> Intent {
        if said == Intent::Unstated && self.read_only.now() { Intent::ReadOnly } else { said }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(server: OnServer, wanted: Option<bool>) -> String {
        let mut sql = BytesMut::new();
        server.write(wanted, &mut sql);
        String::from_utf8(sql.to_vec()).unwrap()
    }

    #[test]
    fn a_reset_returns_to_what_was_asked_for_at_startup() {
        let server = OnServer { now: Some(false), own: Some(false) };
        let mut client = OfClient { set: None, asked: Some(true), own: false };
        client.note(NAME, b"off");
        assert!(!client.now());
        client.after_reset(server);
        assert!(client.now());
        client.note(NAME, b"on");
        client.after_reset(server);
        assert_eq!(client.set, Some(true), "that was no RESET of it");
    }

    #[test]
    fn a_server_is_brought_to_what_its_client_wants_and_back() {
        let on = "SET default_transaction_read_only=on;";
        let reset = "RESET default_transaction_read_only;";
        let fresh = OnServer { now: Some(false), own: Some(false) };
        assert_eq!(written(fresh, None), "");
        assert_eq!(written(fresh, Some(false)), "");
        assert_eq!(written(fresh, Some(true)), on);
        let used = OnServer { now: Some(true), ..fresh };
        assert_eq!(written(used, Some(true)), "");
        assert_eq!(written(used, None), reset);
        assert_eq!(written(used, Some(false)), reset);
        // PostgreSQL before 14 does not tell.
        assert_eq!(written(OnServer::default(), Some(true)), "");
    }
}
