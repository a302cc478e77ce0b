//! Who is the primary: one monitor per host, and what is made of what they see.

pub mod decide;
mod lag;
pub mod snapshot;

pub use snapshot::{HostView, Role, Snapshot};
