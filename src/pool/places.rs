//! Places for server connections, over all pools: who gets the next one, and whose idle connection makes room for it.
//!
//! [`super::limits`] keeps the books; here is what follows from them. A place that comes free wakes one pool, the one
//! that it was given to, and no other. A pool that finds an account full closes the longest idle connection of another
//! pool on that account, as pgbouncer does; if there is none, it is served when one comes to rest or is closed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Instant;

use super::limits::{Book, Grant, Member, Owner, Usage};
use super::{Pool, lock};

/// All places of the process. See the module's words.
#[derive(Debug, Default)]
pub struct Places {
    book: Mutex<Book>,
    pools: Mutex<HashMap<Member, Weak<Pool>>>,
    /// What [`Book::is_tight`] says. Read without the lock whenever a connection comes to rest.
    tight: AtomicBool,
}

/// One connection's place. Whoever drops it makes room for another connection.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    owner: Owner,
    /// It was given back already.
    void: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.void {
            return;
        }
        let served = self.places.change(|book| book.release(&self.owner));
        self.places.serve(served);
    }
}

/// A pool's membership; ends with it.
#[derive(Debug)]
pub(super) struct Membership {
    places: Arc<Places>,
    member: Member,
    owner: Owner,
}

impl Drop for Membership {
    fn drop(&mut self) {
        lock(&self.places.pools).remove(&self.member);
        self.places.change(|book| book.leave(self.member));
    }
}

impl Membership {
    pub(super) fn begin(places: &Arc<Places>, database: &str, user: &str) -> Self {
        let owner = Owner { database: database.into(), user: user.into() };
        let member = places.change(|book| book.join(owner.clone()));
        Self { places: places.clone(), member, owner }
    }

    /// Lets others find the pool.
    pub(super) fn introduce(&self, pool: Weak<Pool>) {
        lock(&self.places.pools).insert(self.member, pool);
    }

    /// Changes the limits of both accounts.
    pub(super) fn set_limits(&self, database: Option<u32>, user: Option<u32>) {
        let served = self.places.change(|book| book.set_limits(self.member, database, user));
        self.places.serve(served);
    }

    /// A place for a connection beyond need: nobody has to make room for it.
    pub(super) fn take(&self) -> Option<Place> {
        self.places.change(|book| book.take(self.member)).then(|| self.place())
    }

    /// A place for a connection that somebody waits for. Without one, the pool gets it as soon as there is one;
    /// others make room if they can.
    pub(super) fn take_or_claim(&self) -> Option<Place> {
        if self.places.change(|book| book.take_or_claim(self.member)) {
            return Some(self.place());
        }
        self.places.make_room(self.member);
        None
    }

    /// A connection of this pool came to rest: may somebody need its place more? One load in the common case. Who
    /// claims a place does so before looking at what is idle, and the lock on a pool's books orders the two looks: one
    /// of both sees the other.
    pub(super) fn rested(&self) {
        if !self.places.tight.load(Ordering::Relaxed) {
            return;
        }
        let claimants = lock(&self.places.book).claimants(&self.owner);
        claimants.into_iter().for_each(|claimant| self.places.make_room(claimant));
    }

    /// Whether this pool's connections are more than a lowered limit allows.
    pub(super) fn is_over(&self) -> bool {
        self.places.tight.load(Ordering::Relaxed) && lock(&self.places.book).is_over(&self.owner)
    }

    /// How full the accounts are that are full: the database's, the user's.
    pub(super) fn usage(&self) -> (Option<Usage>, Option<Usage>) {
        lock(&self.places.book).usage(self.member)
    }

    fn place(&self) -> Place {
        Place { places: self.places.clone(), owner: self.owner.clone(), void: false }
    }
}

impl Places {
    /// Connections of a database entry, those being opened included.
    pub fn of_database(&self, name: &str) -> u32 {
        self.book().database_count(name)
    }

    /// Connections of a server user, those being opened included.
    pub fn of_user(&self, name: &str) -> u32 {
        self.book().user_count(name)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        lock(&self.book)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Book) -> T) -> T {
        let mut book = self.book();
        let outcome = change(&mut book);
        self.tight.store(book.is_tight(), Ordering::Relaxed);
        outcome
    }

    fn pool(&self, member: Member) -> Option<Arc<Pool>> {
        lock(&self.pools).get(&member).and_then(Weak::upgrade)
    }

    /// Hands places that the books have given away to their pools. What a pool has no use for any more goes on to the
    /// next; in a loop, because many pools may have lost their interest.
    fn serve(self: &Arc<Self>, mut served: Vec<Grant>) {
        while let Some(Grant { member, owner }) = served.pop() {
            let place = Place { places: self.clone(), owner, void: false };
            let unused = match self.pool(member) {
                Some(pool) => Pool::open_with(&pool, place),
                // It went away in this very moment.
                None => Some(place),
            };
            if let Some(mut place) = unused {
                place.void = true;
                served.extend(self.change(|book| book.release(&place.owner)));
            }
        }
    }

    /// Closes idle connections of other pools until the claimant has its place or none is left to close.
    fn make_room(self: &Arc<Self>, claimant: Member) {
        loop {
            let Some(pool) = self.pool(claimant) else { return };
            if !pool.wants_more() {
                self.change(|book| book.withdraw(claimant));
                // Somebody may have come to wait between the look and the withdrawal, and have relied on the claim.
                if pool.wants_more() {
                    Pool::open_more(&pool);
                }
                return;
            }
            let (blocked, of_database, of_user) = {
                let book = self.book();
                let Some(blocked) = book.blocked(claimant) else { return };
                (blocked, book.of_database(claimant), book.of_user(claimant))
            };
            let victims = match (blocked.database, blocked.user) {
                (false, false) => return,
                (true, false) => [self.longest_idle(&of_database, claimant), None],
                (false, true) => [self.longest_idle(&of_user, claimant), None],
                (true, true) => {
                    let mut both = of_database.clone();
                    both.retain(|member| of_user.contains(member));
                    match self.longest_idle(&both, claimant) {
                        Some(one) => [Some(one), None],
                        // One on each account, or it would be for nothing.
                        None => match (
                            self.longest_idle(&of_database, claimant),
                            self.longest_idle(&of_user, claimant),
                        ) {
                            (Some(one), Some(other)) => [Some(one), Some(other)],
                            _ => return,
                        },
                    }
                }
            };
            let evicted = victims.into_iter().flatten().filter(|pool| pool.evict()).count();
            if evicted == 0 {
                return;
            }
        }
    }

    fn longest_idle(&self, members: &[Member], but: Member) -> Option<Arc<Pool>> {
        let pools = members.iter().filter(|member| **member != but).filter_map(|m| self.pool(*m));
        let idle: Vec<(Instant, Arc<Pool>)> =
            pools.filter_map(|pool| Some((pool.longest_idle()?, pool))).collect();
        idle.into_iter().min_by_key(|(since, _)| *since).map(|(_, pool)| pool)
    }
}
