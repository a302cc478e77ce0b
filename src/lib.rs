//! pgweir: one binary between applications and PostgreSQL that pools, balances and follows the primary.
//!
//! The rooms, from the bottom up; ARCHITECTURE.md has the map and `tests/layers.rs` keeps the order.

pub mod admin;
pub mod auth;
pub mod config;
pub mod metrics;
pub mod net;
pub mod routing;
pub mod topology;
pub mod web;
