//! Named prepared statements that follow a client over many servers (setting `max_prepared_statements`).
//!
//! A statement is known by its definition: text and parameter types. All clients that prepare the same definition
//! share one [`Statement`] with one name on the servers (`PGWEIR_7`); each client keeps its own names for them, each
//! server a bounded set of those it holds. Whatever server runs a client's Bind is given the statement first if it
//! lacks it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use bytes::{Bytes, BytesMut};
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use pgweir_codec::frontend;

use super::queries::Queries;
use super::unnamed::{self, Sightings};
use crate::config::PrepareUnnamed;
use crate::routing::{self, BareBegin, Intent};

/// One definition, shared by all clients and servers that know it.
#[derive(Debug)]
pub struct Statement {
    id: u64,
    server_name: String,
    /// The Parse body after the name: query text, NUL, parameter types (Int16 count, Int32 each).
    definition: Bytes,
    intent: Intent,
    ends_transaction: bool,
    bare_begin: Option<BareBegin>,
    /// Whether a client's unnamed statement may stand for it.
    fit_to_keep: AtomicBool,
    /// [`Queries::number`], once it was asked for.
    number: OnceLock<u64>,
}

impl Statement {
    /// The number of this definition in this process; never reused.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The name it has on every server.
    pub fn server_name(&self) -> &[u8] {
        self.server_name.as_bytes()
    }

    /// Whether it does nothing but end a transaction.
    pub fn ends_transaction(&self) -> bool {
        self.ends_transaction
    }

    /// Whether it does nothing but begin a transaction that any host can run.
    pub fn bare_begin(&self) -> Option<BareBegin> {
        self.bare_begin
    }

    /// By which its executions are counted.
    pub fn number(&self, queries: &Queries) -> u64 {
        *self.number.get_or_init(|| queries.number(self.text()))
    }

    /// Whether a client's unnamed statement may stand for it; see [`unnamed`].
    pub fn is_fit_to_keep(&self) -> bool {
        self.fit_to_keep.load(Ordering::Relaxed)
    }

    /// It turned out not to be fit.
    pub fn mark_unfit(&self) {
        self.fit_to_keep.store(false, Ordering::Relaxed);
    }

    /// Where a transaction that begins with this statement may run.
    pub fn intent(&self) -> Intent {
        self.intent
    }

    /// The Parse body after the name.
    pub(super) fn definition(&self) -> &Bytes {
        &self.definition
    }

    /// The query text, in the encoding of the client that prepared it.
    pub fn text(&self) -> &[u8] {
        split_definition(&self.definition).0
    }

    /// Text and parameter types.
    pub(super) fn parts(&self) -> (&[u8], &[u8]) {
        split_definition(&self.definition)
    }

    /// Appends the Parse message that prepares this statement on a server.
    pub fn write_parse(&self, out: &mut BytesMut) {
        let (text, types) = split_definition(&self.definition);
        frontend::parse::write(out, self.server_name(), text, types);
    }
}

fn split_definition(definition: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memchr(0, definition).unwrap_or(definition.len());
    let (text, rest) = definition.split_at(end);
    (text, rest.get(1..).unwrap_or_default())
}

/// All live statements of the process, by definition. Shared by every worker.
///
/// Holds no statement alive: one goes when the last client has closed it and the last server has evicted it.
#[derive(Debug, Default)]
pub struct StatementCache {
    by_definition: DashMap<Bytes, Weak<Statement>>,
    last_id: AtomicU64,
    unnamed: Sightings,
}

impl StatementCache {
    /// The shared statement for a definition (the Parse body after the name).
    pub fn intern(&self, definition: &[u8]) -> Arc<Statement> {
        self.intern_as(definition, || self.last_id.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// The shared statement for a definition that servers hold under this number, given to it in another process; under
    /// its own number, if it is known here already. [`Self::begin_at`] keeps new numbers apart from such ones.
    pub fn adopt(&self, id: u64, definition: &[u8]) -> Arc<Statement> {
        self.intern_as(definition, || id)
    }

    /// New statements get numbers above this one.
    pub fn begin_at(&self, id: u64) {
        self.last_id.fetch_max(id, Ordering::Relaxed);
    }

    /// The highest number that was given.
    pub fn last_id(&self) -> u64 {
        self.last_id.load(Ordering::Relaxed)
    }

    fn intern_as(&self, definition: &[u8], id: impl FnOnce() -> u64) -> Arc<Statement> {
        if let Some(known) = self.by_definition.get(definition).and_then(|weak| weak.upgrade()) {
            return known;
        }
        let definition = Bytes::copy_from_slice(definition);
        match self.by_definition.entry(definition.clone()) {
            Entry::Occupied(mut slot) => slot.get().upgrade().unwrap_or_else(|| {
                let made = Self::make(id(), definition);
                slot.insert(Arc::downgrade(&made));
                made
            }),
            Entry::Vacant(slot) => {
                let made = Self::make(id(), definition);
                slot.insert(Arc::downgrade(&made));
                made
            }
        }
    }

    /// The shared statement that a client's unnamed one may stand for; `None` if its Parse is to go on as it is.
    /// `realm` tells the pools of one entry and user from others.
    pub fn keep(
        &self,
        rule: PrepareUnnamed,
        realm: u64,
        definition: &[u8],
    ) -> Option<Arc<Statement>> {
        if rule == PrepareUnnamed::Off || definition.len() > unnamed::LONGEST_KEPT {
            return None;
        }
        let known = self.by_definition.get(definition).and_then(|weak| weak.upgrade());
        let kept = match known {
            Some(known) => known,
            None if rule == PrepareUnnamed::On || self.unnamed.often(realm, definition) => {
                self.intern(definition)
            }
            None => return None,
        };
        kept.is_fit_to_keep().then_some(kept)
    }

    fn make(id: u64, definition: Bytes) -> Arc<Statement> {
        let text = split_definition(&definition).0;
        let intent = routing::intent(text);
        let ends_transaction = routing::ends_transaction(text).is_some();
        let bare_begin = routing::bare_begin(text);
        let server_name = format!("PGWEIR_{id}");
        let fit_to_keep = AtomicBool::new(
            definition.len() <= unnamed::LONGEST_KEPT && unnamed::fit_to_keep(text),
        );
        Arc::new(Statement {
            id,
            server_name,
            definition,
            intent,
            ends_transaction,
            bare_begin,
            fit_to_keep,
            number: OnceLock::new(),
        })
    }

    /// Forgets definitions that nobody holds any more. Called now and then by the janitor.
    pub fn sweep(&self) {
        self.by_definition.retain(|_, weak| weak.strong_count() > 0);
    }

    /// How many definitions are known.
    pub fn len(&self) -> usize {
        self.by_definition.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.by_definition.is_empty()
    }
}

/// One client's names. The empty name is in here only while the unnamed statement is kept; see [`unnamed`].
#[derive(Debug, Default)]
pub struct ClientStatements {
    by_name: HashMap<Box<[u8]>, Arc<Statement>>,
    unnamed: Option<Arc<Statement>>,
}

impl ClientStatements {
    /// The statement that the client knows by `name`.
    pub fn find(&self, name: &[u8]) -> Option<&Arc<Statement>> {
        if name.is_empty() { self.unnamed.as_ref() } else { self.by_name.get(name) }
    }

    /// All names, the empty one included, and what they stand for.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Arc<Statement>)> {
        let named = self.by_name.iter().map(|(name, statement)| (&name[..], statement));
        named.chain(self.unnamed.as_ref().map(|statement| (&b""[..], statement)))
    }

    /// Remembers a name.
    pub fn insert(&mut self, name: &[u8], statement: Arc<Statement>) {
        if name.is_empty() {
            self.unnamed = Some(statement);
        } else {
            self.by_name.insert(name.into(), statement);
        }
    }

    /// Forgets a name.
    pub fn remove(&mut self, name: &[u8]) -> Option<Arc<Statement>> {
        if name.is_empty() { self.unnamed.take() } else { self.by_name.remove(name) }
    }

    /// Forgets all (`DEALLOCATE ALL`, `DISCARD ALL`).
    pub fn clear(&mut self) {
        self.by_name.clear();
    }

    /// The unnamed statement, if it is kept and has this definition: what a client says over and over.
    pub fn unnamed_is(&self, definition: &[u8]) -> Option<&Arc<Statement>> {
        self.unnamed.as_ref().filter(|kept| kept.definition == definition && kept.is_fit_to_keep())
    }

    /// How many names the client holds.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether the client holds none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

/// The statements that one server connection holds, least recently used first to go.
#[derive(Debug)]
pub struct ServerStatements {
    held: HashMap<u64, (Arc<Statement>, u64)>,
    limit: usize,
    clock: u64,
}

impl ServerStatements {
    /// None yet; at most `limit` (at least 1) at a time.
    pub fn new(limit: u32) -> Self {
        Self { held: HashMap::new(), limit: limit.max(1) as usize, clock: 0 }
    }

    /// Those that it holds, least recently used first.
    pub fn in_order(&self) -> impl Iterator<Item = &Arc<Statement>> {
        let mut held: Vec<_> = self.held.values().collect();
        held.sort_by_key(|(_, used)| *used);
        held.into_iter().map(|(statement, _)| statement)
    }

    /// Whether the server holds it.
    pub fn holds(&self, id: u64) -> bool {
        self.held.contains_key(&id)
    }

    /// Whether the server holds it; if so, it is now the most recently used.
    pub fn touch(&mut self, id: u64) -> bool {
        self.clock += 1;
        match self.held.get_mut(&id) {
            Some((_, used)) => {
                *used = self.clock;
                true
            }
            None => false,
        }
    }

    /// At most this many (at least 1) from now on. Those that are too many go when the next one comes.
    pub fn set_limit(&mut self, limit: u32) {
        self.limit = limit.max(1) as usize;
    }

    /// Forgets one that has to make room for another, if one has to: the caller closes it, and asks again.
    pub fn evict(&mut self) -> Option<Arc<Statement>> {
        self.next_to_go().and_then(|id| self.held.remove(&id)).map(|(gone, _)| gone)
    }

    /// Notes that the server holds it from now on; there is room for it.
    pub fn insert(&mut self, statement: Arc<Statement>) {
        self.clock += 1;
        self.held.insert(statement.id, (statement, self.clock));
    }

    /// The number of the statement that would have to make room for another; `None` if there is room.
    pub fn next_to_go(&self) -> Option<u64> {
        let full = self.held.len() >= self.limit;
        let oldest = self.held.iter().min_by_key(|(_, (_, used))| *used);
        oldest.filter(|_| full).map(|(id, _)| *id)
    }

    /// Puts one back that turned out not to have been closed.
    pub fn restore(&mut self, statement: Arc<Statement>) {
        self.held.insert(statement.id, (statement, self.clock));
    }

    /// Notes that the server does not hold it after all.
    pub fn remove(&mut self, id: u64) {
        self.held.remove(&id);
    }

    /// Notes that the server holds none (`DEALLOCATE ALL`, `DISCARD ALL`).
    pub fn clear(&mut self) {
        self.held.clear();
    }

    /// How many the server holds.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether the server holds none.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SELECT_1: &[u8] = b"select 1\0\0\0";
    const SELECT_2: &[u8] = b"select 2\0\0\0";

    #[test]
    fn the_same_definition_is_one_statement_and_goes_with_its_last_holder() {
        let cache = StatementCache::default();
        let one = cache.intern(SELECT_1);
        assert_eq!(one.id(), cache.intern(SELECT_1).id());
        assert_ne!(one.id(), cache.intern(SELECT_2).id());
        assert_eq!(one.text(), b"select 1");
        cache.sweep();
        assert_eq!(cache.len(), 1, "nobody holds the second any more");
        drop(one);
        cache.sweep();
        assert!(cache.is_empty());
    }

    #[test]
    fn a_definition_that_died_is_made_anew_under_a_new_name() {
        let cache = StatementCache::default();
        let first = cache.intern(SELECT_1).id();
        assert_ne!(cache.intern(SELECT_1).id(), first);
    }

    #[test]
    fn a_full_server_evicts_the_least_recently_used() {
        let cache = StatementCache::default();
        let (a, b, c) =
            (cache.intern(b"a\0\0\0"), cache.intern(b"b\0\0\0"), cache.intern(b"c\0\0\0"));
        let mut server = ServerStatements::new(2);
        let put = |server: &mut ServerStatements, statement: &Arc<Statement>| {
            let gone: Vec<u64> =
                std::iter::from_fn(|| server.evict()).map(|gone| gone.id()).collect();
            server.insert(statement.clone());
            gone
        };
        assert!(put(&mut server, &a).is_empty() && put(&mut server, &b).is_empty());
        assert!(server.touch(a.id()));
        assert_eq!(put(&mut server, &c), [b.id()]);
        assert!(!server.touch(b.id()) && server.touch(a.id()) && server.touch(c.id()));
        server.set_limit(1);
        assert_eq!(put(&mut server, &b), [a.id(), c.id()], "of a set that was made smaller");
    }
}
