//! The books that pools share: how many server connections each database entry and each server user has, against
//! `max_db_connections` and `max_user_connections`.
//!
//! Pure. Every pool is a [`Member`] with two accounts, its database's and its user's, and every connection has a place
//! in both from before it is opened until after it is closed. A member that finds an account full leaves a *claim*.
//! Two rules hold at any time: an account never gets a place beyond its limit, and no claim waits that could have a
//! place, because a place that comes free is given at once to the first claim that fits.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// A pool, as the books know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Member(u64);

/// Whose accounts a connection is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The database entry.
    pub database: Arc<str>,
    /// The server user.
    pub user: Arc<str>,
}

/// A place that was given to a claim; it is counted already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Who claimed it.
    pub member: Member,
    /// The accounts that it is counted on.
    pub owner: Owner,
}

/// How far an account is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Connections, those being opened included.
    pub count: u32,
    /// How many there may be.
    pub limit: u32,
}

#[derive(Debug, Default)]
struct Account {
    /// `None`: no limit.
    limit: Option<u32>,
    count: u32,
    members: Vec<Member>,
}

impl Account {
    fn is_full(&self) -> bool {
        self.limit.is_some_and(|limit| self.count >= limit)
    }

    /// The limit was lowered below what there is.
    fn is_over(&self) -> bool {
        self.limit.is_some_and(|limit| self.count > limit)
    }
}

type Accounts = HashMap<Arc<str>, Account>;

/// Which of a member's accounts are full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// The database's.
    pub database: bool,
    /// The user's.
    pub user: bool,
}

/// See the module's words.
#[derive(Debug, Default)]
pub struct Book {
    databases: Accounts,
    users: Accounts,
    members: HashMap<Member, Owner>,
    /// First come first.
    claims: VecDeque<Member>,
    last: u64,
}

impl Book {
    /// A pool comes into being.
    pub fn join(&mut self, owner: Owner) -> Member {
        self.last += 1;
        let member = Member(self.last);
        self.databases.entry(owner.database.clone()).or_default().members.push(member);
        self.users.entry(owner.user.clone()).or_default().members.push(member);
        self.members.insert(member, owner);
        member
    }

    /// A pool is gone. Its connections keep their places until they are closed.
    pub fn leave(&mut self, member: Member) {
        self.withdraw(member);
        let Some(owner) = self.members.remove(&member) else { return };
        for account in [self.databases.get_mut(&owner.database), self.users.get_mut(&owner.user)]
            .into_iter()
            .flatten()
        {
            account.members.retain(|other| *other != member);
        }
        self.forget(&owner);
    }

    /// Forgets accounts that nobody and nothing is on.
    fn forget(&mut self, owner: &Owner) {
        let empty = |account: Option<&Account>| {
            account.is_some_and(|a| a.members.is_empty() && a.count == 0)
        };
        if empty(self.databases.get(&owner.database)) {
            self.databases.remove(&owner.database);
        }
        if empty(self.users.get(&owner.user)) {
            self.users.remove(&owner.user);
        }
    }

    /// Changes the limits of a member's accounts; returns who gets the places that this made free.
    #[must_use]
    pub fn set_limits(
        &mut self,
        member: Member,
        database: Option<u32>,
        user: Option<u32>,
    ) -> Vec<Grant> {
        let Some(owner) = self.members.get(&member).cloned() else { return Vec::new() };
        if let Some(account) = self.databases.get_mut(&owner.database) {
            account.limit = database;
        }
        if let Some(account) = self.users.get_mut(&owner.user) {
            account.limit = user;
        }
        self.serve()
    }

    /// Takes a place for a new connection, if both accounts have one.
    pub fn take(&mut self, member: Member) -> bool {
        let fits = self.fits(member);
        if fits {
            self.count(member);
        }
        fits
    }

    /// Takes a place, or leaves a claim to the next one that comes free; a member has one claim at most.
    pub fn take_or_claim(&mut self, member: Member) -> bool {
        if self.take(member) {
            return true;
        }
        if self.members.contains_key(&member) && !self.claims.contains(&member) {
            self.claims.push_back(member);
        }
        false
    }

    /// A member has no use for a place any more.
    pub fn withdraw(&mut self, member: Member) {
        self.claims.retain(|claim| *claim != member);
    }

    /// A connection is closed, or was not opened after all. Returns who gets the place; that may be two, one that
    /// waited for a place of the database and one for a place of the user.
    #[must_use]
    pub fn release(&mut self, owner: &Owner) -> Vec<Grant> {
        for account in [self.databases.get_mut(&owner.database), self.users.get_mut(&owner.user)]
            .into_iter()
            .flatten()
        {
            account.count = account.count.saturating_sub(1);
        }
        self.forget(owner);
        self.serve()
    }

    /// Gives places to the claims that fit, first come first.
    fn serve(&mut self) -> Vec<Grant> {
        let mut served = Vec::new();
        for member in std::mem::take(&mut self.claims) {
            match self.members.get(&member).cloned() {
                Some(owner) if self.fits(member) => {
                    self.count(member);
                    served.push(Grant { member, owner });
                }
                _ => self.claims.push_back(member),
            }
        }
        served
    }

    fn fits(&self, member: Member) -> bool {
        self.full(member).is_some_and(|full| !full.database && !full.user)
    }

    fn count(&mut self, member: Member) {
        let Some(owner) = self.members.get(&member) else { return };
        self.databases.entry(owner.database.clone()).or_default().count += 1;
        self.users.entry(owner.user.clone()).or_default().count += 1;
    }

    fn full(&self, member: Member) -> Option<Full> {
        let owner = self.members.get(&member)?;
        let full = |account: Option<&Account>| account.is_some_and(Account::is_full);
        Some(Full {
            database: full(self.databases.get(&owner.database)),
            user: full(self.users.get(&owner.user)),
        })
    }

    /// What stands in the way of a claim; `None` if the member has none.
    pub fn blocked(&self, member: Member) -> Option<Full> {
        self.claims.contains(&member).then(|| self.full(member)).flatten()
    }

    /// How full a member's accounts are, those that are full: its database's, its user's.
    pub fn usage(&self, member: Member) -> (Option<Usage>, Option<Usage>) {
        let Some(owner) = self.members.get(&member) else { return (None, None) };
        let usage = |account: Option<&Account>| {
            let account = account.filter(|account| account.is_full())?;
            Some(Usage { count: account.count, limit: account.limit? })
        };
        (usage(self.databases.get(&owner.database)), usage(self.users.get(&owner.user)))
    }

    /// All that share a member's database, itself included.
    pub fn of_database(&self, member: Member) -> Vec<Member> {
        let owner = self.members.get(&member);
        let account = owner.and_then(|owner| self.databases.get(&owner.database));
        account.map(|account| account.members.clone()).unwrap_or_default()
    }

    /// All that share a member's user, itself included.
    pub fn of_user(&self, member: Member) -> Vec<Member> {
        let owner = self.members.get(&member);
        let account = owner.and_then(|owner| self.users.get(&owner.user));
        account.map(|account| account.members.clone()).unwrap_or_default()
    }

    /// Who claims a place on one of these accounts, first come first.
    pub fn claimants(&self, owner: &Owner) -> Vec<Member> {
        let shares = |member: &&Member| {
            self.members
                .get(member)
                .is_some_and(|other| other.database == owner.database || other.user == owner.user)
        };
        self.claims.iter().filter(shares).copied().collect()
    }

    /// Whether one of these accounts has more than its limit, because that was lowered.
    pub fn is_over(&self, owner: &Owner) -> bool {
        self.databases.get(&owner.database).is_some_and(Account::is_over)
            || self.users.get(&owner.user).is_some_and(Account::is_over)
    }

    /// Whether anybody has to make room: a claim waits, or an account has more than its limit.
    pub fn is_tight(&self) -> bool {
        !self.claims.is_empty()
            || self.databases.values().chain(self.users.values()).any(Account::is_over)
    }

    /// Connections of a database entry, those being opened included.
    pub fn database_count(&self, name: &str) -> u32 {
        self.databases.get(name).map_or(0, |account| account.count)
    }

    /// Connections of a server user, those being opened included.
    pub fn user_count(&self, name: &str) -> u32 {
        self.users.get(name).map_or(0, |account| account.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn owner(database: &str, user: &str) -> Owner {
        Owner { database: database.into(), user: user.into() }
    }

    #[test]
    fn a_place_that_comes_free_goes_to_the_first_claim_that_fits() {
        let mut book = Book::default();
        let (a, b) = (book.join(owner("d", "a")), book.join(owner("d", "b")));
        let other = book.join(owner("e", "a"));
        assert!(book.set_limits(a, Some(1), None).is_empty());
        assert!(book.take(other) && book.take_or_claim(a));
        assert!(!book.take_or_claim(b) && !book.take_or_claim(a) && !book.take_or_claim(b));
        assert_eq!(book.blocked(b), Some(Full { database: true, user: false }));
        assert_eq!(book.release(&owner("e", "a")), [], "the database is still full");
        let grant = |member, user| [Grant { member, owner: owner("d", user) }];
        assert_eq!(book.release(&owner("d", "a")), grant(b, "b"), "b came first");
        assert_eq!(book.release(&owner("d", "b")), grant(a, "a"));
        assert_eq!((book.database_count("d"), book.user_count("a")), (1, 1));
        assert!(!book.is_tight());
    }

    #[test]
    fn a_raised_limit_serves_who_claims_and_a_lowered_one_is_over_until_enough_have_gone() {
        let mut book = Book::default();
        let (a, b) = (book.join(owner("d", "u")), book.join(owner("e", "u")));
        assert!(book.set_limits(a, None, Some(1)).is_empty());
        assert!(book.take(a) && !book.take_or_claim(b));
        let served = book.set_limits(b, None, Some(2));
        assert_eq!(served, [Grant { member: b, owner: owner("e", "u") }]);
        assert!(book.set_limits(b, None, Some(1)).is_empty());
        assert!(book.is_over(&owner("x", "u")) && book.is_tight());
        assert_eq!(book.release(&owner("e", "u")), []);
        assert!(!book.is_over(&owner("x", "u")));
        assert!(!book.take(a));
    }

    #[test]
    fn a_member_that_leaves_claims_no_more_and_an_empty_account_is_forgotten() {
        let mut book = Book::default();
        let (a, b) = (book.join(owner("d", "a")), book.join(owner("d", "b")));
        assert!(book.set_limits(a, Some(1), None).is_empty());
        assert!(book.take(a) && !book.take_or_claim(b));
        assert_eq!(book.claimants(&owner("d", "z")), [b]);
        book.leave(b);
        assert_eq!(book.of_database(a), [a]);
        book.leave(a);
        assert_eq!(book.release(&owner("d", "a")), []);
        assert!(book.databases.is_empty() && book.users.is_empty() && book.members.is_empty());
    }

    #[test]
    fn a_place_may_serve_one_claim_to_the_database_and_another_to_the_user() {
        let mut book = Book::default();
        let holder = book.join(owner("d", "u"));
        let (a, b) = (book.join(owner("d", "a")), book.join(owner("e", "u")));
        assert!(book.set_limits(holder, Some(1), Some(1)).is_empty());
        assert!(book.take(holder) && !book.take_or_claim(a) && !book.take_or_claim(b));
        let served: Vec<_> = book.release(&owner("d", "u")).iter().map(|g| g.member).collect();
        assert_eq!(served, [a, b]);
    }

    proptest! {
        /// Random events of nine pools: no limit is exceeded, and nobody waits while a place is free.
        #[test]
        fn no_limit_is_exceeded_and_nobody_waits_while_a_place_is_free(
            limits in proptest::collection::vec(proptest::option::of(1_u32..4), 6),
            events in proptest::collection::vec((0_u8..6, 0_usize..9, 1_u32..5), 0..300),
        ) {
            let mut book = Book::default();
            let name = |kind: &str, n: usize| format!("{kind}{n}");
            let owners: Vec<Owner> =
                (0..9).map(|n| owner(&name("d", n / 3), &name("u", n % 3))).collect();
            let pools: Vec<Member> = owners.iter().map(|owner| book.join(owner.clone())).collect();
            let mut limits: Vec<Option<u32>> = limits;
            for n in 0..9 {
                prop_assert!(book.set_limits(pools[n], limits[n / 3], limits[3 + n % 3]).is_empty());
            }
            // How many places each pool holds, and for how many it was told to wait.
            let (mut held, mut waits) = ([0_u32; 9], [false; 9]);
            for (event, n, number) in events {
                let mut served = Vec::new();
                match event {
                    0 | 1 => {
                        if book.take_or_claim(pools[n]) { held[n] += 1 } else { waits[n] = true }
                    }
                    2 if book.take(pools[n]) => held[n] += 1,
                    3 if held[n] > 0 => {
                        held[n] -= 1;
                        served = book.release(&owners[n]);
                    }
                    4 => {
                        // Limits only rise here, so that they are never exceeded.
                        let account = if number % 2 == 0 { n / 3 } else { 3 + n % 3 };
                        limits[account] = limits[account].map(|limit| limit + number);
                        served = book.set_limits(pools[n], limits[n / 3], limits[3 + n % 3]);
                    }
                    5 => {
                        book.withdraw(pools[n]);
                        waits[n] = false;
                    }
                    _ => {}
                }
                for Grant { member, owner } in served {
                    let n = pools.iter().position(|pool| *pool == member).unwrap();
                    prop_assert_eq!(&owner, &owners[n]);
                    prop_assert!(waits[n], "only who claims is served");
                    (held[n], waits[n]) = (held[n] + 1, false);
                }
                let sum = |account: usize| -> u32 {
                    let on = |n: &usize| if account < 3 { n / 3 == account } else { n % 3 == account - 3 };
                    (0..9).filter(on).map(|n| held[n]).sum()
                };
                for (account, limit) in limits.iter().enumerate() {
                    prop_assert!(limit.is_none_or(|limit| sum(account) <= limit));
                }
                let full = |account: usize| limits[account].is_some_and(|limit| sum(account) >= limit);
                for n in 0..9 {
                    prop_assert_eq!(book.blocked(pools[n]).is_some(), waits[n]);
                    prop_assert!(!waits[n] || full(n / 3) || full(3 + n % 3), "pool {} waits in vain", n);
                }
            }
        }
    }
}
