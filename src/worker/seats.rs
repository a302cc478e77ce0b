//! How many clients each database and each user has, against `max_db_client_connections` and
//! `max_user_client_connections`. Clients count from their startup packet on, whatever becomes of their login.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The most that may be there; `None`: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Clients of the database.
    pub database: Option<u32>,
    /// Clients of the user.
    pub user: Option<u32>,
}

/// Whose places are all taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The database's.
    Database,
    /// The user's.
    User,
}

#[derive(Debug, Default)]
struct Counts {
    databases: HashMap<Arc<str>, u32>,
    users: HashMap<Arc<str>, u32>,
}

/// See the module's words.
#[derive(Debug, Default)]
pub struct Seats(Mutex<Counts>);

/// One client's place, until it is dropped. Its names are those of the counts: all who have the same share them.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<Seats>,
    database: Arc<str>,
    user: Arc<str>,
}

impl Seat {
    /// Whose place it is.
    pub fn user(&self) -> &Arc<str> {
        &self.user
    }
}

impl Seats {
    /// Takes a place for a client.
    ///
    /// # Errors
    /// There is none; nothing is taken then.
    pub fn take(
        seats: &Arc<Self>,
        database: &str,
        user: &str,
        limits: Limits,
    ) -> Result<Seat, Taken> {
        let mut counts = seats.lock();
        let full = |count: Option<&u32>, limit: Option<u32>| {
            limit.is_some_and(|limit| count.copied().unwrap_or(0) >= limit)
        };
        if full(counts.databases.get(database), limits.database) {
            return Err(Taken::Database);
        }
        if full(counts.users.get(user), limits.user) {
            return Err(Taken::User);
        }
        let database = come(&mut counts.databases, database);
        let user = come(&mut counts.users, user);
        Ok(Seat { seats: seats.clone(), database, user })
    }

    /// Clients of a database, those that are logging in included.
    pub fn of_database(&self, name: &str) -> u32 {
        self.lock().databases.get(name).copied().unwrap_or(0)
    }

    /// Clients that log in, or have, as this user.
    pub fn of_user(&self, name: &str) -> u32 {
        self.lock().users.get(name).copied().unwrap_or(0)
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut counts = self.seats.lock();
        leave(&mut counts.databases, &self.database);
        leave(&mut counts.users, &self.user);
    }
}

/// One more; the name as it is kept.
fn come(counts: &mut HashMap<Arc<str>, u32>, name: &str) -> Arc<str> {
    let name = counts.get_key_value(name).map_or_else(|| name.into(), |(kept, _)| kept.clone());
    *counts.entry(name.clone()).or_default() += 1;
    name
}

/// One less; what is at zero is forgotten, so that names made up by clients do not pile up.
fn leave(counts: &mut HashMap<Arc<str>, u32>, name: &str) {
    if let Some(count) = counts.get_mut(name) {
        *count -= 1;
        if *count == 0 {
            counts.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_and_users_have_limits_of_their_own_and_nothing_stays_behind() {
        let seats = Arc::<Seats>::default();
        let limits = Limits { database: Some(2), user: Some(1) };
        let take = |database: &str, user: &str| Seats::take(&seats, database, user, limits);
        let first = take("d", "a").unwrap();
        assert_eq!(take("e", "a").unwrap_err(), Taken::User);
        assert_eq!(seats.of_database("e"), 0, "nothing was taken");
        let second = take("d", "b").unwrap();
        assert_eq!(take("d", "c").unwrap_err(), Taken::Database);
        assert_eq!((seats.of_database("d"), seats.of_user("b")), (2, 1));
        drop(first);
        let third = take("d", "a").unwrap();
        drop((second, third));
        assert!(seats.lock().databases.is_empty() && seats.lock().users.is_empty());
    }

    #[test]
    fn without_limits_everybody_is_counted_all_the_same() {
        let seats = Arc::<Seats>::default();
        let places: Vec<_> =
            (0..9).map(|_| Seats::take(&seats, "d", "u", Limits::default()).unwrap()).collect();
        let limits = Limits { database: Some(9), user: None };
        assert_eq!(Seats::take(&seats, "d", "u", limits).unwrap_err(), Taken::Database);
        assert_eq!(places.len(), 9);
    }
}
