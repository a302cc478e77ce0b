//! The console: pgbouncer's commands, and SHOW TOPOLOGY.
//!
//! Pure so far, three steps without I/O between them: [`parse`] turns a query into a command,
//! [`show`] turns rows of plain data into a table, [`table`] turns a table into bytes. Where the
//! rows come from, and what the other commands do, is for whoever holds the pools.

pub mod parse;
pub mod show;
pub mod table;
