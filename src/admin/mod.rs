//! The console: pgbouncer's commands, and ours: SHOW TOPOLOGY, EVENTS and ROUTES, EXPLAIN ROUTE, SWITCHOVER.
//!
//! Four steps: [`parse`] turns a query into a command, [`control`] carries it out or [`gather`] and [`connections`] collect the rows of a
//! SHOW, [`show`] turns rows of plain data into a table, [`table`] turns a table into bytes. [`console`] joins them.
//! [`compat`] shows rows to Prometheus.

pub mod compat;
mod connections;
pub mod console;
pub mod control;
pub mod discovery;
mod explain;
mod gather;
pub mod marks;
pub mod parse;
pub mod show;
mod suspend;
mod switchover;
pub mod table;
