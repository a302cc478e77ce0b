//! Each kind of failover, told whole: no client loses its connection, no acknowledged write is lost or done twice, only
//! what was in flight gets an error, and an old primary that comes back is left alone.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;
mod story;

use std::thread;

use common::{Cluster, Signal, Weir, Wire, wait};
use story::{Facts, Fault, Load, Report, Restart, Scene, fault, pulses, written};

/// Answers per client that show that it is served.
const SOME: u64 = 20;

/// Tells one story, and checks what is promised.
fn keeps_its_promises(fault: Fault) {
    keeps_its_promises_over(fault, None);
}

/// The same, with pgweir started anew in the middle of it.
fn keeps_its_promises_over(fault: Fault, restart: Option<Restart>) {
    let Some(mut scene) = Scene::set(fault) else { return };
    let cluster = &mut scene.cluster;
    let mut weir = story::weir(cluster).start();
    let load = Load::start(weir.port());
    load.wait_answers(SOME, "before the failover");
    let mut before = None;
    let failover = fault::strike_and(fault, cluster, &mut weir, |weir| {
        before = restart.and_then(|restart| restart.carry_out(weir));
    });
    load.wait_answers(SOME, "after the failover");
    fault::come_back(&failover, cluster);
    let planned = matches!(fault, Fault::Switchover | Fault::Announced);
    let role = if planned { "replica" } else { "deposed" };
    wait_role(&weir, cluster.nodes[failover.old].port(), role);
    load.wait_answers(SOME, "with the old primary back");
    let facts = Facts {
        start: load.begun,
        failover,
        restart,
        seen: load.finish(),
        pgbench: None,
        on_new: written(cluster.primary()),
        on_old: written(&cluster.nodes[failover.old]),
        pulses: pulses(cluster.primary()),
        nodes: cluster.hosts(),
    };
    let report = Report::new(&facts);
    println!("{report}");
    assert!(report.broken.is_empty(), "{:?}\n{report}", report.broken);
    if let Some(mut before) = before {
        let status = before.wait("the process before to end");
        assert!(status.success(), "{status}");
    }
    weir.stop();
}

fn wait_role(weir: &Weir, port: u16, role: &str) {
    let what = format!("port {port} as {role} in SHOW TOPOLOGY");
    wait::until(&what, wait::DEADLINE, || {
        let rows = weir.console("SHOW TOPOLOGY");
        let row = rows.find("port", &port.to_string()).unwrap();
        rows.get(row, "role") == role
    });
}

#[test]
fn a_killed_primary() {
    keeps_its_promises(Fault::Kill);
}

#[test]
fn a_primary_that_hangs() {
    keeps_its_promises(Fault::Hang);
}

#[test]
fn a_primary_behind_a_black_hole() {
    keeps_its_promises(Fault::BlackHole);
}

#[test]
fn a_clean_switchover() {
    keeps_its_promises(Fault::Switchover);
}

#[test]
fn a_switchover_that_was_announced_costs_no_error_at_all() {
    keeps_its_promises(Fault::Announced);
}

#[test]
fn a_promotion_behind_the_back_of_a_primary_that_lives() {
    keeps_its_promises(Fault::SplitBrain);
}

/// pgweir started anew in the middle of each: by a successor that takes over, so that nobody is dropped …
mod taken_over {
    use super::{Fault, Restart, keeps_its_promises_over};

    fn keeps_its_promises(fault: Fault) {
        keeps_its_promises_over(fault, Some(Restart::Takeover));
    }

    #[test]
    fn while_the_primary_is_killed() {
        keeps_its_promises(Fault::Kill);
    }

    #[test]
    fn while_it_hangs() {
        keeps_its_promises(Fault::Hang);
    }

    #[test]
    fn while_it_is_behind_a_black_hole() {
        keeps_its_promises(Fault::BlackHole);
    }

    #[test]
    fn during_a_switchover() {
        keeps_its_promises(Fault::Switchover);
    }

    #[test]
    fn during_one_that_was_announced() {
        keeps_its_promises(Fault::Announced);
    }

    #[test]
    fn while_there_are_two_primaries() {
        keeps_its_promises(Fault::SplitBrain);
    }
}

/// … or killed, and started again: connections break, and all else is the same.
mod killed {
    use super::{Fault, Restart, keeps_its_promises_over};

    fn keeps_its_promises(fault: Fault) {
        keeps_its_promises_over(fault, Some(Restart::Crash));
    }

    #[test]
    fn while_the_primary_is_killed() {
        keeps_its_promises(Fault::Kill);
    }

    #[test]
    fn while_it_hangs() {
        keeps_its_promises(Fault::Hang);
    }

    #[test]
    fn while_it_is_behind_a_black_hole() {
        keeps_its_promises(Fault::BlackHole);
    }

    #[test]
    fn during_a_switchover() {
        keeps_its_promises(Fault::Switchover);
    }

    #[test]
    fn while_there_are_two_primaries() {
        keeps_its_promises(Fault::SplitBrain);
    }
}

#[test]
fn switchovers_there_and_back_need_neither_a_restart_nor_another_configuration() {
    let mut scene = Scene::set(Fault::Switchover).unwrap();
    let cluster = &mut scene.cluster;
    let mut weir = story::weir(cluster).start();
    let load = Load::start(weir.port());
    for turn in 1..=4 {
        load.wait_answers(SOME, &format!("before switchover {turn}"));
        let failover = fault::strike(Fault::Switchover, cluster, &mut weir);
        load.wait_answers(SOME, &format!("after switchover {turn}"));
        fault::come_back(&failover, cluster);
        wait_role(&weir, cluster.nodes[failover.old].port(), "replica");
    }
    let seen = load.finish();
    assert_eq!(seen.dropped, [] as [String; 0], "{:?}", seen.errors);
    let found = written(cluster.primary());
    let lost = seen.acknowledged.iter().filter(|write| !found.contains(&(write.0, write.1)));
    assert_eq!(lost.count(), 0);
    weir.stop();
}

#[test]
fn when_all_hosts_are_down_for_a_while_clients_wait_and_then_go_on() {
    let mut cluster = Cluster::start(1);
    let weir = story::weir(&cluster).start();
    let mut clients: Vec<_> =
        (0..5).map(|_| Wire::tcp(weir.port(), "app", "app").unwrap()).collect();
    clients.iter_mut().for_each(|client| drop(client.query("SELECT 1").unwrap()));
    for node in &mut cluster.nodes {
        node.kill(Signal::KILL);
    }
    for port in cluster.ports() {
        wait_role(&weir, port, "unknown");
    }
    thread::scope(|scope| {
        let waiting: Vec<_> = clients
            .iter_mut()
            .map(|client| scope.spawn(|| client.query("SELECT 2").unwrap().one().to_owned()))
            .collect();
        wait::until("held clients", wait::DEADLINE, || {
            weir.metric("pgweir_topology_held_clients", &[("database", "app")]) == Some(5.0)
        });
        for node in &mut cluster.nodes {
            node.start();
        }
        waiting.into_iter().for_each(|client| assert_eq!(client.join().unwrap(), "2"));
    });
    weir.stop();
}

/// Another pgweir in the middle of it knows no better than to wait, and finds the new primary by itself.
#[test]
fn a_pgweir_that_starts_during_a_failover_serves_its_clients_after_it() {
    let mut scene = Scene::set(Fault::Kill).unwrap();
    let cluster = &mut scene.cluster;
    let before = story::weir(cluster).start();
    let mut client = Wire::tcp(before.port(), "app", "app").unwrap();
    client.query("INSERT INTO story VALUES (1, 1)").unwrap();
    cluster.primary_mut().kill(Signal::KILL);
    before.stop();
    let after = story::weir(cluster).start();
    thread::scope(|scope| {
        let port = after.port();
        let client = scope.spawn(move || {
            let mut client = Wire::tcp(port, "app", "app").unwrap();
            client.query("INSERT INTO story VALUES (1, 2)").unwrap();
        });
        cluster.promote(1);
        client.join().unwrap();
    });
    assert_eq!(written(cluster.primary()), [(1, 1), (1, 2)]);
    after.stop();
}
