//! pgweir: one binary between applications and PostgreSQL that pools, balances and follows the primary.
//!
//! The rooms, from the bottom up; ARCHITECTURE.md has the map and `tests/layers.rs` keeps the order.

pub mod config;
pub mod metrics;

pub mod routing;
pub mod session;

pub mod auth;
pub mod net;
pub mod server;

pub mod pool;
pub mod topology;

pub mod worker;

pub mod report;

pub mod admin;
pub mod web;

pub mod top;

pub mod cli;
