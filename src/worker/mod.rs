//! Workers: threads that each drive their own clients, from login to good-bye.
//!
//! Every worker is an OS thread with a current-thread runtime. A client's task lives on one worker; its server
//! connection is brought there when it is attached. The first worker accepts sockets ([`doors`]) and deals
//! them out ([`deal`]): few workers while few suffice.
//!
//! - `doors` — the listening sockets
//! - `deal` — which worker a new client goes to, and who moves when one worker is busier than the others
//! - `thread` — a worker's thread and what it is sent
//! - `login` — from the first byte to ReadyForQuery
//! - `relay` — a logged-in client: carries out what `session` says
//! - `service`, `offer` — what a client may use
//! - `view`, `access`, `route` — where each transaction goes
//! - `reads` — which texts only read, for `route_reads = auto`
//! - `trials` — what a replica says of them, for `route_reads = shadow`
//! - `startups` — what clients ask for at startup, tried on a server once
//! - `phase`, `overdue` — what a client is about and since when; clients that have exceeded a limit
//! - `derivations` — the slow part of SCRAM, off these threads
//! - `directory`, `system` — passwords that LDAP or PAM judges
//! - `cancel`, `peers` — cancel requests, and those for clients of other poolers
//! - `console` — what the console, which lives above, is asked
//! - `broken` — how messages that cannot be one are told of
//! - `client`, `shared` — what others may know of a client; what all workers share
//! - `visitors` — who logs in, or is on the console
//! - `handover` — an online restart: the sockets of one process go on in another
//! - `seats` — clients per database and per user
//! - `levels` — how full everything is, for a scrape

pub mod access;
mod broken;
pub mod cancel;
pub mod client;
pub mod console;
pub mod deal;
mod derivations;
mod directory;
pub mod doors;
pub mod handover;
pub mod levels;
mod login;
pub mod offer;
pub mod overdue;
pub mod peers;
pub mod phase;
pub mod reads;
pub mod relay;
pub mod route;
pub mod seats;
pub mod service;
pub mod shared;
pub mod startups;
mod system;
pub mod thread;
pub mod trials;
pub mod view;
pub mod visitors;
