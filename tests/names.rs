//! Hosts by name: a name with several addresses is several hosts, and a name may come to lead elsewhere.
//!
//! pgweir's look-ups are the C library's own; `nss_wrapper`, loaded before it, has them answered from a file of the
//! test's. Each server has a loopback address of its own, all have one port.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use std::path::{Path, PathBuf};

use common::{Cluster, Postgres, Setup, Signal, Weir, WeirSetup, Wire, home, wait};

/// Where `libnss_wrapper.so` is; if it is not, says so, so that a test can end.
fn nss_wrapper() -> Option<PathBuf> {
    let folders =
        ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];
    let mut files = folders.iter().map(|folder| Path::new(folder).join("libnss_wrapper.so"));
    let found = files.find(|file| file.exists());
    if found.is_none() {
        eprintln!("SKIPPED: libnss_wrapper.so not installed; `make setup` installs what apt has");
    }
    found
}

/// The names that pgweir can look up.
struct Names {
    wrapper: PathBuf,
    home: home::Home,
}

impl Names {
    fn new() -> Option<Self> {
        Some(Self { wrapper: nss_wrapper()?, home: home::Home::new() })
    }

    /// From now on the name `pg` has the addresses of these servers.
    fn lead_to(&self, servers: &[&Postgres]) {
        let line = |server: &&Postgres| format!("{} pg\n", server.place().address());
        let text: String = servers.iter().map(line).collect();
        // Whole at once: it may be read at any moment.
        let new = self.home.file("new", &text);
        std::fs::rename(new, self.home.path().join("hosts")).unwrap();
    }

    fn weir(&self, port: u16, attrs: &str) -> WeirSetup {
        Weir::setup()
            .database(&format!("app = host=pg port={port} dbname=app {attrs}"))
            .setting("topology_user", "app")
            .setting("pool_mode", "transaction")
            .setting("dns_max_ttl", "1")
            .env("LD_PRELOAD", self.wrapper.display())
            .env("NSS_WRAPPER_HOSTS", self.home.path().join("hosts").display())
    }
}

const FOLLOWS: &str = "target_session_attrs=read-write";

fn cluster(replicas: usize) -> Cluster {
    Setup::new().own_addresses().sql("GRANT pg_monitor TO app").cluster(replicas)
}

/// Address of the server that answers, and whether it is a replica.
fn whereabouts(wire: &mut Wire) -> String {
    wire.query("SELECT host(inet_server_addr())").unwrap().one().to_owned()
}

/// Hosts with their roles, in order.
fn topology(weir: &Weir) -> Vec<(String, String)> {
    let rows = weir.console("SHOW TOPOLOGY");
    let row = |row| (rows.get(row, "host").to_owned(), rows.get(row, "role").to_owned());
    let mut hosts: Vec<_> = (0..rows.rows.len()).map(row).collect();
    hosts.sort();
    hosts
}

fn wait_topology(weir: &Weir, expected: &[(&str, &str)]) {
    let expected: Vec<_> =
        expected.iter().map(|(host, role)| ((*host).to_owned(), (*role).to_owned())).collect();
    let what = format!("{expected:?} in SHOW TOPOLOGY");
    wait::until(&what, wait::DEADLINE, || topology(weir) == expected);
}

#[test]
fn a_name_with_several_addresses_is_several_hosts_as_they_come_and_go() {
    let Some(names) = Names::new() else { return };
    let mut cluster = cluster(2);
    let nodes = &cluster.nodes;
    names.lead_to(&[&nodes[0], &nodes[1]]);
    let weir = names.weir(nodes[0].port(), FOLLOWS).start();
    wait_topology(&weir, &[("pg(127.0.0.2)", "primary"), ("pg(127.0.0.3)", "replica")]);
    let mut wire = Wire::tcp(weir.port(), "app", "app").unwrap();
    wire.query("BEGIN READ ONLY").unwrap();
    assert_eq!(whereabouts(&mut wire), "127.0.0.3");

    // An orchestrator replaces the replica by another: the transaction on the old one ends in peace.
    names.lead_to(&[&nodes[0], &nodes[2]]);
    wait_topology(&weir, &[("pg(127.0.0.2)", "primary"), ("pg(127.0.0.4)", "replica")]);
    assert_eq!(whereabouts(&mut wire), "127.0.0.3");
    wire.query("COMMIT").unwrap();
    wire.query("BEGIN READ ONLY").unwrap();
    assert_eq!(whereabouts(&mut wire), "127.0.0.4");
    wire.query("COMMIT").unwrap();

    // A failover, and the old primary is taken off the name.
    cluster.primary_mut().kill(Signal::KILL);
    cluster.promote(2);
    wait_topology(&weir, &[("pg(127.0.0.2)", "unknown"), ("pg(127.0.0.4)", "primary")]);
    names.lead_to(&[&cluster.nodes[2]]);
    wait_topology(&weir, &[("pg", "primary")]);
    wire.query("CREATE TABLE t ()").unwrap();
    assert_eq!(whereabouts(&mut wire), "127.0.0.4");
    weir.stop();
}

#[test]
fn a_name_that_leads_to_another_primary_is_followed_though_the_old_one_lives() {
    let Some(names) = Names::new() else { return };
    let cluster = cluster(1);
    let nodes = &cluster.nodes;
    names.lead_to(&[&nodes[0]]);
    let weir = names.weir(nodes[0].port(), FOLLOWS).start();
    wait_topology(&weir, &[("pg", "primary")]);
    let mut wire = Wire::tcp(weir.port(), "app", "app").unwrap();
    assert_eq!(whereabouts(&mut wire), "127.0.0.2");
    wire.query("BEGIN").unwrap();
    assert_eq!(whereabouts(&mut wire), "127.0.0.2");

    nodes[1].promote();
    names.lead_to(&[&nodes[1]]);
    weir.wait_log("pg has other addresses than before: 127.0.0.3");
    wire.query("COMMIT").unwrap();
    wait::until("the new address", wait::DEADLINE, || whereabouts(&mut wire) == "127.0.0.3");
    weir.stop();
}

#[test]
fn servers_of_an_entry_as_pgbouncer_has_it_move_with_its_name_as_they_come_free() {
    let Some(names) = Names::new() else { return };
    let cluster = cluster(1);
    let nodes = &cluster.nodes;
    names.lead_to(&[&nodes[0]]);
    let weir = names.weir(nodes[0].port(), "").start();
    let mut wire = Wire::tcp(weir.port(), "app", "app").unwrap();
    let mut busy = Wire::tcp(weir.port(), "app", "app").unwrap();
    busy.query("BEGIN").unwrap();
    assert_eq!(whereabouts(&mut busy), "127.0.0.2");
    assert_eq!(whereabouts(&mut wire), "127.0.0.2");
    names.lead_to(&[&nodes[1]]);
    wait::until("the new address", wait::DEADLINE, || whereabouts(&mut wire) == "127.0.0.3");
    assert_eq!(whereabouts(&mut busy), "127.0.0.2", "a transaction ends where it began");
    busy.query("COMMIT").unwrap();
    wait::until("the new address", wait::DEADLINE, || whereabouts(&mut busy) == "127.0.0.3");
    weir.stop();
}

#[test]
fn a_name_that_cannot_be_looked_up_any_more_leads_where_it_did() {
    let Some(names) = Names::new() else { return };
    let cluster = cluster(1);
    let nodes = &cluster.nodes;
    names.lead_to(&[&nodes[0], &nodes[1]]);
    let weir = names.weir(nodes[0].port(), FOLLOWS).setting("dns_nxdomain_ttl", "1").start();
    let both = [("pg(127.0.0.2)", "primary"), ("pg(127.0.0.3)", "replica")];
    wait_topology(&weir, &both);
    names.lead_to(&[]);
    weir.wait_log("cannot look up pg: ");
    wait_topology(&weir, &both);
    let mut wire = Wire::tcp(weir.port(), "app", "app").unwrap();
    assert_eq!(whereabouts(&mut wire), "127.0.0.2");
    weir.stop();
}
