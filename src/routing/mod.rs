//! Routing: which host a transaction should run on, decided from its first bytes.
//!
//! The room looks at text and at an entry's settings and answers with what is *wanted*; which hosts there are and how
//! they do is `topology`'s business, and who waits for one is the pool's. Everything here is a function of its
//! arguments: no clock, no dice. Placing a transaction allocates only where `grammar` looks at a text, once for all of
//! its shape, and for a value that there is not (`own`).
//!
//! The one idea: a wrong "replica" costs the client an error (25006), a wrong "primary" costs only some load. So
//! whatever is in doubt is [`Intent::Unstated`].
//!
//! - `scan` — words, comments and quotes as PostgreSQL's lexer sees them
//! - `hint` — what a leading comment says
//! - `own` — commands for pgweir itself: `SET pgweir.route` and the like (a value that there is not is copied)
//! - `modes` — transaction modes, as behind `BEGIN`
//! - `classify` — what a transaction says of itself, and whether a text only ends one
//! - `route` — intent and `target_session_attrs` to what is wanted
//! - `balance` — which of several replicas
//! - `causal` — which replicas have what a client has written (each new sample of the monitors allocates; looking at them does not)
//! - `grammar` — what PostgreSQL's grammar says of a text (`route_reads = auto`; it allocates the whole tree)
//! - `catalog` — which functions of a database only look (allocated when it is read)
//! - `shape` — texts that differ in constants only (what is shown is allocated)
//! - `normal` — the same for people (`SHOW QUERIES`; what is shown is allocated)

pub mod balance;
pub mod catalog;
pub mod causal;
pub mod classify;
pub mod grammar;
pub mod hint;
mod modes;
pub mod normal;
pub mod own;
pub mod route;
mod scan;
pub mod shape;

pub use classify::{
    BareBegin, Intent, TransactionEnd, bare_begin, ends_transaction, first_statement, intent,
    is_explain, is_plannable,
};
pub use hint::Target;
pub use route::{Decision, Reason, Wanted, decide};
