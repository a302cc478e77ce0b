//! What is going on, in rows of plain data: gathered here once, for whoever shows it (the console's tables, the JSON of the
//! HTTP side). How a row looks is theirs.

pub mod connections;
pub mod events;
pub mod overview;
pub mod pools;
pub mod queries;
pub mod topology;
pub mod warnings;
pub mod why;
