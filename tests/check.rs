//! `pgweir check`: what is wrong with the hosts of an entry is told in a line each, before anybody depends on it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use common::home::Home;
use common::weir::run_pgweir;
use common::{Cluster, Password, Run, Setup, Signal};

/// Checks a file with this entry of `[databases]`; the monitors log in as `watcher`.
fn check(entry: &str) -> Run {
    let home = Home::new();
    let ini = format!(
        "[databases]\n{entry}\n\n[pgbouncer]\nauth_file = {}\ntopology_user = watcher\npidfile = {}\n",
        home.file("userlist.txt", "\"watcher\" \"watching\"\n").display(),
        home.path().join("pid").display(),
    );
    run_pgweir(&["check", &home.file("pgweir.ini", &ini).display().to_string()])
}

fn cluster(hba: &str) -> Cluster {
    Setup::new().role("watcher", Password::Scram("watching")).hba(hba).cluster(1)
}

const BY_PASSWORD: &str = "host all watcher 127.0.0.1/32 scram-sha-256";

#[track_caller]
fn says(run: &Run, words: &[&str]) {
    let text = format!("{}{}", run.stdout, run.stderr);
    for words in words {
        assert!(text.contains(words), "{words:?} is not in\n{text}");
    }
}

#[test]
fn what_is_as_it_should_be_is_told_and_a_login_is_enough() {
    let cluster = cluster(BY_PASSWORD);
    let run = check(&cluster.entry("app"));
    says(
        &run,
        &["is primary, timeline 1", "is replica", "GRANT pg_monitor", ": ok, 1 database entries"],
    );
    assert!(run.status.success());
    cluster.primary().query("GRANT pg_monitor TO watcher");
    let role = "SELECT pg_has_role('watcher', 'pg_monitor', 'member')";
    common::wait::until("the grant on the replica", common::wait::DEADLINE, || {
        cluster.nodes[1].query(role).one() == "t"
    });
    let run = check(&cluster.entry("app"));
    says(&run, &["is replica, timeline 1"]);
}

#[test]
fn a_host_of_another_cluster_is_named() {
    let cluster = cluster(BY_PASSWORD);
    let other = Setup::new().role("watcher", Password::Scram("watching")).hba(BY_PASSWORD);
    // A cluster of its own, not a copy of the same template.
    let other = other.start_anew();
    let entry = cluster.entry("app");
    let entry = entry.replacen("host=", "host=127.0.0.1,", 1);
    let entry = entry.replacen("port=", &format!("port={},", other.port()), 1);
    let run = check(&entry);
    says(&run, &[&other.port().to_string(), "belongs to another cluster"]);
    assert!(!run.status.success());
}

#[test]
fn an_entry_without_a_primary_or_without_any_host_that_answers_is_no_good() {
    let mut cluster = cluster(BY_PASSWORD);
    let entry = cluster.entry("app");
    let replica = cluster.ports()[1];
    let run = check(&format!(
        "app = host=127.0.0.1 port={replica} dbname=app target_session_attrs=read-write"
    ));
    says(&run, &["is replica", "app: no primary among its hosts"]);
    assert!(!run.status.success());
    for node in &mut cluster.nodes {
        node.kill(Signal::KILL);
    }
    let run = check(&entry);
    says(&run, &["Connection refused", "app: no host can be used"]);
    assert!(!run.status.success());
}

#[test]
fn a_login_that_is_refused_is_told_in_the_servers_words() {
    let wrong =
        Setup::new().role("watcher", Password::Scram("another")).hba(BY_PASSWORD).cluster(0);
    let run = check(&wrong.entry("app"));
    says(&run, &["password authentication failed for user \"watcher\""]);
    assert!(!run.status.success());
    assert!(!format!("{}{}", run.stdout, run.stderr).contains("watching"), "no secret");
    let closed = cluster("host all app 127.0.0.1/32 trust");
    let run = check(&closed.entry("app"));
    says(&run, &["no pg_hba.conf entry"]);
    assert!(!run.status.success());
}
