//! The dashboards, recording rules and alerts name only metrics and labels that exist, leave out none that an operator would
//! miss, and get answers from a Prometheus that looks at a pgweir under load.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

#[path = "../common/mod.rs"]
mod common;
mod files;
#[cfg(target_os = "linux")]
mod live;
