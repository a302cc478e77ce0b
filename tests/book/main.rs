//! The book in docs/ says what is so: it builds, its links lead somewhere, its names and examples are pgweir's, and the
//! five-minute start works as it stands.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

#[path = "../common/mod.rs"]
mod common;
mod examples;
mod html;
mod names;
mod pages;
mod start;
