//! Where drivers' transactions run, by how each of them begins one.

use std::path::Path;

use crate::common::{Login, java, node, python};
use crate::{Scene, start};

impl Scene {
    fn login(&self) -> Login {
        self.weir.login("app", "app").set("PGSSLMODE", "disable")
    }

    fn hosts(&self) -> [&str; 2] {
        [&self.primary, &self.replica]
    }
}

/// BEGIN by the extended protocol, in one batch with the first statement, and under a name after five times.
#[test]
fn jdbcs_transactions_are_placed() {
    let scene = start();
    let source = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/placing/Placing.java"));
    java(&scene.login(), source, &scene.hosts()).ok();
    scene.weir.stop();
}

#[test]
fn psycopgs_transactions_are_placed() {
    let scene = start();
    python(&scene.login(), include_str!("placing.py"), &scene.hosts()).ok();
    scene.weir.stop();
}

#[test]
fn node_postgres_transactions_are_placed() {
    let scene = start();
    node(&scene.login(), include_str!("placing.js"), &scene.hosts()).ok();
    scene.weir.stop();
}
