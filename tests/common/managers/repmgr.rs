//! repmgr over a [`Cluster`]: its metadata, and its commands for a failover.

use std::path::PathBuf;

use super::super::cluster::Cluster;
use super::super::home::as_service;
use super::super::installation::run;
use super::super::postgres::{Postgres, Setup};
use super::find;

/// Servers that are registered with repmgr.
#[derive(Debug)]
pub struct Repmgr {
    /// The servers.
    pub cluster: Cluster,
    program: PathBuf,
}

impl Repmgr {
    /// A primary and its replicas. `app` may read `repmgr.nodes`.
    pub fn start(replicas: usize) -> Self {
        let setup = Setup::new()
            .hba("local all all trust")
            .hba("host all all 127.0.0.1/32 trust")
            .hba("host replication all 127.0.0.1/32 trust")
            .sql("CREATE ROLE repmgr SUPERUSER LOGIN")
            .sql("CREATE DATABASE repmgr OWNER repmgr")
            .sql("GRANT pg_monitor TO app");
        let cluster = setup.cluster(replicas);
        let repmgr = Self { cluster, program: find("repmgr").expect("is installed") };
        for number in 0..=replicas {
            repmgr.register(number);
        }
        let primary = repmgr.cluster.primary();
        let mut wire = primary.connect("repmgr").unwrap();
        wire.query("GRANT USAGE ON SCHEMA repmgr TO app; GRANT SELECT ON repmgr.nodes TO app")
            .unwrap();
        repmgr
    }

    fn register(&self, number: usize) {
        let node = &self.cluster.nodes[number];
        let conf = format!(
            "node_id={}\nnode_name='{}'\ndata_directory='{}'\npg_bindir='{}'\n\
             conninfo='host=127.0.0.1 port={} user=repmgr dbname=repmgr connect_timeout=5'\n",
            number + 1,
            node.name(),
            node.data().display(),
            super::bin().display(),
            node.port()
        );
        super::super::home::write_private(&self.conf(node), &conf);
        let what = if number == self.cluster.primary_number() { "primary" } else { "standby" };
        let wait = if what == "standby" { "--wait-sync=20" } else { "--force" };
        self.run(number, &[what, "register", "--force", wait]);
    }

    fn conf(&self, node: &Postgres) -> PathBuf {
        node.socket_dir().join("repmgr.conf")
    }

    /// A command of repmgr's, at a node.
    pub fn run(&self, number: usize, arguments: &[&str]) {
        let mut command = as_service(&self.program);
        command.arg("-f").arg(self.conf(&self.cluster.nodes[number])).args(arguments);
        run(&mut command, "");
    }

    /// Makes a replica the primary, and lets the others follow it.
    pub fn promote(&mut self, number: usize) {
        self.run(number, &["standby", "promote"]);
        // `standby follow` would start the server anew, out of the test's hands.
        self.cluster.adopt(number);
    }
}
