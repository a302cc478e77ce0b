//! Old primaries get no writes: not after a restart of pgweir, not when two hosts are equally new; and the story of it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use std::path::Path;

use common::home::Home;
use common::{Cluster, Setup, Signal, Weir, WeirSetup, Wire, wait};

fn cluster(replicas: usize) -> Cluster {
    let cluster = Setup::new().sql("GRANT pg_monitor TO app").cluster(replicas);
    cluster.primary().query("CREATE TABLE writes (seq int); ALTER TABLE writes OWNER TO app");
    cluster
}

fn setup(cluster: &Cluster, state: &Path) -> WeirSetup {
    Weir::setup()
        .cluster(cluster)
        .setting("pool_mode", "transaction")
        .setting("topology_user", "app")
        .setting("topology_state_file", state.display())
        .setting("failover_timeout", 1)
}

fn wait_role(weir: &Weir, port: u16, role: &str) {
    let what = format!("port {port} as {role} in SHOW TOPOLOGY");
    wait::until(&what, wait::DEADLINE, || {
        let rows = weir.console("SHOW TOPOLOGY");
        let row = rows.find("port", &port.to_string()).unwrap();
        rows.get(row, "role") == role
    });
}

fn write(weir: &Weir) -> Result<(), String> {
    let write = |mut wire: Wire| wire.query("INSERT INTO writes VALUES (1)").map(drop);
    Wire::tcp(weir.port(), "app", "app").and_then(write).map_err(|error| error.to_string())
}

#[test]
fn a_pgweir_that_is_restarted_remembers_the_successor_of_an_old_primary() {
    let mut cluster = cluster(1);
    let home = Home::new();
    let state = home.folder("state").join("topology");
    let [old, new] = [0, 1].map(|node: usize| cluster.nodes[node].port());
    let before = setup(&cluster, &state).start();
    write(&before).unwrap();
    // The old primary lives on.
    cluster.promote(1);
    wait_role(&before, new, "primary");
    wait_role(&before, old, "deposed");
    wait::until("the fence in the file", wait::DEADLINE, || {
        std::fs::read_to_string(&state).is_ok_and(|text| text.contains("app\t2\t"))
    });
    before.stop();

    cluster.primary_mut().kill(Signal::KILL);
    let after = setup(&cluster, &state).start();
    wait_role(&after, old, "deposed");
    let refused = write(&after).unwrap_err();
    assert!(refused.contains("57P03"), "{refused}");
    let rows = after.console("SHOW TOPOLOGY");
    let why = rows.get(rows.find("port", &old.to_string()).unwrap(), "last_error").to_owned();
    assert!(why.contains("was seen on timeline 2"), "{why}");
    assert_eq!(cluster.nodes[0].query("SELECT count(*) FROM writes").one(), "1");
    after.stop();

    // Who does not remember cannot know better.
    std::fs::remove_file(&state).unwrap();
    let forgetful = setup(&cluster, &state).start();
    wait_role(&forgetful, old, "primary");
    forgetful.stop();
}

#[test]
fn a_state_file_that_makes_no_sense_is_named_and_left_alone_until_there_is_something_to_write() {
    let cluster = cluster(0);
    let home = Home::new();
    let state = home.folder("state").join("topology");
    common::home::write_private(&state, "app\tsomething\n");
    let weir = setup(&cluster, &state).start();
    weir.wait_log("topology:1: not \"database <tab> timeline");
    write(&weir).unwrap();
    wait::until("a file that makes sense", wait::DEADLINE, || {
        std::fs::read_to_string(&state).is_ok_and(|text| text.contains("app\t1\t"))
    });
    weir.stop();
}

#[test]
fn of_two_primaries_on_one_timeline_none_is_believed_unless_the_newest_is_to_be() {
    let mut cluster = cluster(2);
    let home = Home::new();
    let weir = setup(&cluster, &home.folder("state").join("topology")).start();
    let ports = cluster.ports();
    for port in &ports[1..] {
        wait_role(&weir, *port, "replica");
    }
    cluster.primary_mut().kill(Signal::KILL);
    wait_role(&weir, ports[0], "unknown");
    cluster.nodes[1].promote();
    wait_role(&weir, ports[1], "primary");
    // It did not follow, and is promoted as well.
    cluster.nodes[2].promote();
    for port in &ports[1..] {
        wait_role(&weir, *port, "deposed");
    }
    assert!(write(&weir).unwrap_err().contains("57P03"));
    assert!(weir.console("SHOW EVENTS").find("event", "split brain").is_some());
    weir.wait_log("split brain");
    weir.console("SET split_brain = 'newest'");
    wait_role(&weir, ports[2], "primary");
    write(&weir).unwrap();
    assert_eq!(cluster.nodes[2].query("SELECT count(*) FROM writes").one(), "1");
    weir.stop();
}

#[test]
fn show_events_tells_a_failover_in_its_order() {
    let mut cluster = cluster(1);
    let home = Home::new();
    let weir = setup(&cluster, &home.folder("state").join("topology")).start();
    let [old, new] = [0, 1].map(|node: usize| cluster.nodes[node].port());
    wait_role(&weir, new, "replica");
    wait_role(&weir, old, "primary");
    cluster.primary_mut().kill(Signal::KILL);
    wait_role(&weir, old, "unknown");
    cluster.promote(1);
    wait_role(&weir, new, "primary");
    let rows = weir.console("SHOW EVENTS");
    let told: Vec<_> = (0..rows.rows.len())
        .map(|row| {
            let host = rows.rows[row][2].as_deref().unwrap_or_default();
            let port = host.rsplit(':').next().unwrap_or_default();
            format!("{port} {}", rows.get(row, "event"))
        })
        .collect();
    let story = [
        format!("{old} down"),
        " no primary".to_owned(),
        format!("{new} primary"),
        format!("{new} primary found"),
    ];
    assert!(told.ends_with(&story), "{told:?}");
    weir.stop();
}
