//! pg_auto_failover: a monitor and its nodes.

use std::process::Command;
use std::sync::Arc;

use super::super::home::{Home, as_service};
use super::super::installation::run;
use super::super::wait;
use super::{Managed, find, make_app, path, wait_streaming};

/// A cluster under pg_auto_failover.
#[derive(Debug)]
pub struct AutoFailover {
    /// The monitor.
    pub monitor: Managed,
    /// The nodes.
    pub nodes: Vec<Managed>,
    home: Arc<Home>,
}

/// What it needs.
pub const PROGRAMS: [&str; 1] = ["pg_autoctl"];

impl AutoFailover {
    /// So many nodes, the first of them the primary at first.
    pub fn start(nodes: usize) -> Self {
        let home = Arc::new(Home::new());
        let mut monitor = Managed::new(&home, "monitor");
        let mut create = autoctl(&monitor);
        create.args(["create", "monitor", "--auth", "trust", "--no-ssl"]);
        run(create.args(place(&monitor)), "");
        open(&monitor);
        monitor.start(autoctl(&monitor).args(["run", "--pgdata", &path(&monitor.data)]));
        wait::until("the monitor", wait::DEADLINE, || {
            monitor.try_query("pg_auto_failover", "SELECT 1").is_ok()
        });
        let mut cluster = Self { monitor, nodes: Vec::new(), home };
        cluster.add();
        wait::until("a primary", 2 * wait::DEADLINE, || {
            cluster.nodes[0].in_recovery() == Some(false)
        });
        make_app(&cluster.nodes[0]);
        for _ in 1..nodes {
            cluster.add();
        }
        wait_streaming(&cluster.nodes[0], nodes - 1);
        cluster.wait_settled();
        cluster
    }

    /// A further node; its number.
    pub fn add(&mut self) -> usize {
        let number = self.nodes.len();
        let mut node = Managed::new(&self.home, &format!("node{number}"));
        let monitor = format!(
            "postgres://autoctl_node@127.0.0.1:{}/pg_auto_failover?sslmode=disable",
            self.monitor.port
        );
        let mut create = autoctl(&node);
        create.args(["create", "postgres", "--auth", "trust", "--no-ssl"]);
        create.args(["--name", &node.name, "--monitor", &monitor, "--username", &node.superuser]);
        run(create.args(place(&node)), "");
        open(&node);
        node.start(autoctl(&node).args(["run", "--pgdata", &path(&node.data)]));
        wait::until("a new node", 2 * wait::DEADLINE, || node.in_recovery().is_some());
        self.nodes.push(node);
        number
    }

    /// Waits until every node is what it shall be.
    pub fn wait_settled(&self) {
        let sql = "SELECT count(*) FROM pgautofailover.node WHERE reportedstate <> goalstate";
        wait::until("all nodes to reach their goal", 3 * wait::DEADLINE, || {
            self.monitor.try_query("pg_auto_failover", sql).is_ok_and(|rows| rows.one() == "0")
        });
    }

    /// Ports of the servers.
    pub fn ports(&self) -> Vec<u16> {
        self.nodes.iter().map(Managed::port).collect()
    }

    /// Makes another node the primary.
    pub fn switchover(&self) {
        let sql = "SELECT pgautofailover.perform_failover()";
        self.monitor.try_query("pg_auto_failover", sql).unwrap();
    }
}

fn place(node: &Managed) -> Vec<String> {
    let pg_ctl = path(&super::bin().join("pg_ctl"));
    let port = node.port.to_string();
    let pairs = [
        ("--pgdata", path(&node.data)),
        ("--pgport", port),
        ("--pgctl", pg_ctl),
        ("--hostname", "127.0.0.1".to_owned()),
    ];
    pairs.into_iter().flat_map(|(key, value)| [key.to_owned(), value]).collect()
}

/// pg_autoctl keeps its books in its home and in the folders that XDG names.
fn autoctl(node: &Managed) -> Command {
    let mut command = as_service(find("pg_autoctl").expect("is installed"));
    let folder = &node.folder;
    command.env("HOME", folder).env("PG_AUTOCTL_DEBUG", "0");
    for (key, name) in
        [("XDG_CONFIG_HOME", "config"), ("XDG_DATA_HOME", "share"), ("XDG_RUNTIME_DIR", "run")]
    {
        command.env(key, folder.join(name));
    }
    command.env("PGHOST", "127.0.0.1").env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

/// Lets everybody in, from here. Debian's place for Unix sockets is not everybody's.
fn open(node: &Managed) {
    let append = |file: &str, text: &str| {
        use std::io::Write as _;
        let mut file = std::fs::File::options().append(true).open(node.data.join(file)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    append(
        "pg_hba.conf",
        "local all all trust\nhost all all 127.0.0.1/32 trust\nhost replication all 127.0.0.1/32 trust\n",
    );
    let folder = path(&node.folder);
    append(
        "postgresql.conf",
        // A base backup waits for a checkpoint, which is not to take its time.
        &format!(
            "unix_socket_directories = '{folder}'\nfsync = off\nshared_buffers = 16MB\n\
             checkpoint_completion_target = 0\n"
        ),
    );
    if node.name == "monitor" {
        // It looks at nodes every 20 s otherwise, and lets none become a standby before.
        append(
            "postgresql.conf",
            "pgautofailover.health_check_period = 500\npgautofailover.startup_grace_period = 500\n",
        );
    }
}
