//! What statements cost, as SHOW QUERIES has them.

use crate::session::queries::QueryRow;
use crate::worker::shared::Shared;

/// What is known of statements, and of how many at most; those that took the most time first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryReport {
    /// Setting `track_queries`.
    pub most: u32,
    /// One for each text, user, database and host.
    pub rows: Vec<QueryRow>,
}

/// All that is known now.
pub fn queries(shared: &Shared) -> QueryReport {
    let queries = shared.services.queries();
    QueryReport { most: queries.most(), rows: queries.rows() }
}
