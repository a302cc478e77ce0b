//! Replicas that die, hang, vanish, fall behind and come back: readers go on, their connections stay, the share of the load
//! follows, and nobody reads what is older than `max_replica_lag`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;
mod story;

use story::trouble::{Trouble, tell};

fn keeps_its_promises(trouble: Trouble) {
    if let Some(told) = tell(trouble) {
        println!("{told}");
        assert!(told.broken.is_empty(), "{:?}\n{told}", told.broken);
    }
}

#[test]
fn a_replica_that_is_killed_and_started_again() {
    keeps_its_promises(Trouble::Kill);
}

#[test]
fn a_replica_that_hangs_for_a_while() {
    keeps_its_promises(Trouble::Hang);
}

#[test]
fn a_replica_behind_a_black_hole() {
    keeps_its_promises(Trouble::BlackHole);
}

#[test]
fn a_replica_that_replays_late() {
    keeps_its_promises(Trouble::Late);
}

#[test]
fn a_replica_that_pauses_its_replay() {
    keeps_its_promises(Trouble::Paused);
}
