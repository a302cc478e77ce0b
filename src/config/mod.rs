//! The configuration: pgbouncer's ini dialect and `auth_file`, read into typed values.

pub mod model;

pub use model::*;
