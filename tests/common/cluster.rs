//! A primary and its streaming replicas.

use std::fs;
use std::sync::Arc;
use std::thread;

use super::home::{Home, as_service, write_private};
use super::installation::{copy_folder, run};
use super::postgres::{Place, Postgres, Setup};
use super::wait;

/// Some servers of one system: at first node 0 is the primary and the others follow it.
#[derive(Debug)]
pub struct Cluster {
    /// The servers; `node0` is the first. A test breaks them as it likes.
    pub nodes: Vec<Postgres>,
    primary: usize,
    home: Arc<Home>,
}

impl Cluster {
    pub(super) fn new(setup: Setup, replicas: usize) -> Self {
        let home = Arc::new(Home::new());
        let places: Vec<_> = (0..=replicas).map(|number| setup.place(number)).collect();
        let primary = setup.start_in(home.clone(), "node0");
        let nodes = thread::scope(|scope| {
            let replicas: Vec<_> = (1..=replicas)
                .map(|number| {
                    let (home, primary) = (home.clone(), &primary);
                    let place = places[number].clone();
                    scope.spawn(move || {
                        let name = format!("node{number}");
                        let installation = primary.installation().clone();
                        let one_port = matches!(place, Place::Address(_));
                        let mut node = Postgres::empty(home, &name, installation, place);
                        if one_port {
                            node.listen_at(primary.port());
                        }
                        clone_from(primary, &node);
                        node.start();
                        node
                    })
                })
                .collect();
            let replicas = replicas.into_iter().map(|replica| replica.join().unwrap());
            replicas.collect::<Vec<_>>()
        });
        let nodes = std::iter::once(primary).chain(nodes).collect();
        let cluster = Self { nodes, primary: 0, home };
        cluster.wait_streaming(replicas);
        cluster
    }

    /// With default settings.
    pub fn start(replicas: usize) -> Self {
        Setup::new().cluster(replicas)
    }

    /// The number of the node that the harness made primary last.
    pub fn primary_number(&self) -> usize {
        self.primary
    }

    /// The node that the harness made primary last.
    pub fn primary(&self) -> &Postgres {
        &self.nodes[self.primary]
    }

    /// The same, to break it.
    pub fn primary_mut(&mut self) -> &mut Postgres {
        &mut self.nodes[self.primary]
    }

    /// Ports of all nodes.
    pub fn ports(&self) -> Vec<u16> {
        self.nodes.iter().map(Postgres::port).collect()
    }

    /// Address with port, and name, of each node.
    pub fn hosts(&self) -> Vec<(String, String)> {
        let host = |node: &Postgres| format!("{}:{}", node.place().address(), node.port());
        self.nodes.iter().map(|node| (host(node), node.name().to_owned())).collect()
    }

    /// A line for `[databases]` that names all nodes and wants the primary.
    pub fn entry(&self, name: &str) -> String {
        let hosts: Vec<_> = self.nodes.iter().map(|node| node.place().address()).collect();
        let hosts = hosts.join(",");
        let ports: Vec<_> = self.ports().iter().map(u16::to_string).collect();
        let ports = ports.join(",");
        format!("{name} = host={hosts} port={ports} dbname=app target_session_attrs=read-write")
    }

    /// Waits until `replicas` replicas stream from the primary.
    pub fn wait_streaming(&self, replicas: usize) {
        let sql = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
        wait::until(&format!("{replicas} streaming replicas"), wait::DEADLINE, || {
            self.primary().query(sql).one() == replicas.to_string()
        });
    }

    /// Waits until all running replicas have replayed what the primary has written by now.
    pub fn wait_replicated(&mut self) {
        let lsn = self.primary().query("SELECT pg_current_wal_lsn()").one().to_owned();
        let primary = self.primary;
        for (number, node) in self.nodes.iter_mut().enumerate() {
            if number == primary || !node.is_running() {
                continue;
            }
            let sql = format!("SELECT pg_last_wal_replay_lsn() >= '{lsn}'::pg_lsn");
            let what = format!("{} to replay up to {lsn}", node.name());
            wait::until(&what, wait::DEADLINE, || node.query(&sql).one() == "t");
        }
    }

    /// Makes a replica the primary, and lets the other running replicas follow it. The old primary
    /// is left as it is: dead, frozen, or a second primary.
    pub fn promote(&mut self, number: usize) {
        self.nodes[number].promote();
        self.adopt(number);
    }

    /// The second half of [`Self::promote`], for a node that was promoted already.
    pub fn adopt(&mut self, number: usize) {
        let old = self.primary;
        self.primary = number;
        for other in 0..self.nodes.len() {
            if other != number && other != old && self.nodes[other].is_running() {
                self.follow(other);
            }
        }
    }

    /// Lets a running replica follow the present primary.
    pub fn follow(&self, number: usize) {
        let node = &self.nodes[number];
        node.set("primary_conninfo", &conninfo(self.primary(), node));
    }

    /// Starts a node that was shut down in order as a replica of the present primary: it lacks nothing but what was
    /// written since.
    pub fn rejoin(&mut self, number: usize) {
        self.demote(number, self.primary);
    }

    /// As [`Self::rejoin`], as a replica of another node, whatever that is.
    pub fn demote(&mut self, number: usize, of: usize) {
        let conninfo = conninfo(&self.nodes[of], &self.nodes[number]);
        let node = &mut self.nodes[number];
        let conf = node.data().join("postgresql.auto.conf");
        let mut text = fs::read_to_string(&conf).unwrap();
        text += &format!("primary_conninfo = '{conninfo}'\nsynchronous_standby_names = ''\n");
        write_private(&conf, &text);
        write_private(&node.data().join("standby.signal"), "");
        node.start();
    }

    /// Makes a node that is down a replica of the present primary, from a fresh copy, on its port.
    pub fn rebuild(&mut self, number: usize) {
        self.nodes[number].erase();
        clone_from(self.primary(), &self.nodes[number]);
        self.nodes[number].start();
    }
}

fn conninfo(primary: &Postgres, node: &Postgres) -> String {
    let (address, port, name) = (primary.place().address(), primary.port(), node.name());
    format!("host={address} port={port} user=postgres application_name={name}")
}

fn clone_from(primary: &Postgres, node: &Postgres) {
    let program = primary.installation().program("pg_basebackup");
    if !program.exists() {
        return clone_from_template(primary, node);
    }
    let mut command = as_service(program);
    command.arg("-D").arg(node.data());
    command.args(["-R", "-X", "stream", "-c", "fast", "--no-sync"]);
    command.args(["-d", &conninfo(primary, node)]);
    node.place().run(|| run(&mut command, ""));
}

/// What the primary began with is a backup, too: the primary still has all WAL written since.
fn clone_from_template(primary: &Postgres, node: &Postgres) {
    copy_folder(&primary.installation().template(), node.data()).unwrap();
    for name in ["postgresql.conf", "pg_hba.conf", "postgresql.auto.conf"] {
        let mut text = fs::read_to_string(primary.data().join(name)).unwrap();
        if name == "postgresql.auto.conf" {
            text += &format!("primary_conninfo = '{}'\n", conninfo(primary, node));
        }
        write_private(&node.data().join(name), &text);
    }
    write_private(&node.data().join("standby.signal"), "");
}
