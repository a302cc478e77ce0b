//! Patroni: one etcd, and members with their REST APIs.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::super::home::{Home, Process, as_service, free_port, give, write_private};
use super::super::wait;
use super::super::weir::http_get;
use super::{Managed, find, make_app, path, wait_streaming};

/// A cluster under Patroni.
#[derive(Debug)]
pub struct Patroni {
    /// The members.
    pub nodes: Vec<Managed>,
    apis: Vec<u16>,
    etcd_port: u16,
    _etcd: Process,
    home: Arc<Home>,
}

/// What it needs.
pub const PROGRAMS: [&str; 2] = ["patroni", "etcd"];

impl Patroni {
    /// So many members, the first of them the leader at first.
    pub fn start(nodes: usize) -> Self {
        let home = Arc::new(Home::new());
        let (etcd, etcd_port) = start_etcd(&home);
        let mut patroni =
            Self { nodes: Vec::new(), apis: Vec::new(), etcd_port, _etcd: etcd, home };
        patroni.add();
        wait::until("a leader", 2 * wait::DEADLINE, || patroni.leader() == Some(0));
        make_app(&patroni.nodes[0]);
        for _ in 1..nodes {
            patroni.add();
        }
        wait_streaming(&patroni.nodes[0], nodes - 1);
        patroni
    }

    /// A further member; its number.
    pub fn add(&mut self) -> usize {
        let number = self.nodes.len();
        let mut node = Managed::new(&self.home, &format!("node{number}"));
        let api = free_port();
        let conf = self.conf(&node, api);
        let file = node.folder.join("patroni.yml");
        write_private(&file, &conf);
        node.start(as_service(find("patroni").expect("is installed")).arg(&file));
        self.nodes.push(node);
        self.apis.push(api);
        number
    }

    fn conf(&self, node: &Managed, api: u16) -> String {
        let (name, port, etcd) = (&node.name, node.port, self.etcd_port);
        let superuser = &node.superuser;
        let (data, folder) = (path(&node.data), path(&node.folder));
        let bin = path(&super::bin());
        format!(
            r#"scope: pgweir-test
name: {name}
restapi:
  listen: 127.0.0.1:{api}
  connect_address: 127.0.0.1:{api}
etcd3:
  host: 127.0.0.1:{etcd}
bootstrap:
  dcs:
    ttl: 20
    loop_wait: 1
    retry_timeout: 5
    maximum_lag_on_failover: 1048576
    postgresql:
      use_pg_rewind: true
      parameters:
        fsync: "off"
        shared_buffers: 16MB
        max_connections: 100
        wal_keep_size: 256MB
  initdb:
  - encoding: UTF8
  - auth: trust
  - no-sync
postgresql:
  listen: 127.0.0.1:{port}
  connect_address: 127.0.0.1:{port}
  data_dir: {data}
  bin_dir: {bin}
  pgpass: {folder}/pgpass
  authentication:
    superuser:
      username: {superuser}
    replication:
      username: {superuser}
    rewind:
      username: {superuser}
  parameters:
    unix_socket_directories: {folder}
  pg_hba:
  - local all all trust
  - host all all 127.0.0.1/32 trust
  - host replication all 127.0.0.1/32 trust
  basebackup:
  - checkpoint: fast
  - no-sync
"#
        )
    }

    /// Ports of the servers.
    pub fn ports(&self) -> Vec<u16> {
        self.nodes.iter().map(Managed::port).collect()
    }

    /// Ports of the REST APIs.
    pub fn apis(&self) -> &[u16] {
        &self.apis
    }

    /// GET /cluster, of the first member that answers.
    pub fn cluster(&self) -> Option<Value> {
        let answers = self.apis.iter().filter_map(|api| {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, *api));
            drop(TcpStream::connect(address).ok()?);
            let (status, body) = http_get(address, "/cluster");
            (status == 200).then(|| serde_json::from_str(&body).unwrap())
        });
        answers.into_iter().next()
    }

    /// Who leads, if he also takes writes.
    pub fn leader(&self) -> Option<usize> {
        let cluster = self.cluster()?;
        let members = cluster["members"].as_array().unwrap();
        let leader = members.iter().find(|member| member["role"] == "leader")?;
        let number = self.nodes.iter().position(|node| leader["name"] == node.name)?;
        (self.nodes[number].in_recovery() == Some(false)).then_some(number)
    }

    /// Waits until somebody else leads.
    pub fn wait_other_leader(&self, old: usize) -> usize {
        wait::value("another leader", 3 * wait::DEADLINE, || {
            self.leader().filter(|leader| *leader != old)
        })
    }

    /// Plans a switchover; `after`: at once without it. To be called while all is well.
    pub fn switchover(&self, to: usize, after: Option<Duration>) {
        let leader = self.leader().expect("a leader");
        let mut order =
            json!({"leader": self.nodes[leader].name, "candidate": self.nodes[to].name});
        if let Some(after) = after {
            order["scheduled_at"] = json!(utc(SystemTime::now() + after));
        }
        let (status, body) = post(self.apis[leader], "/switchover", &order.to_string());
        assert!((200..300).contains(&status), "{status} {body}");
    }
}

fn start_etcd(home: &Arc<Home>) -> (Process, u16) {
    let folder: PathBuf = home.folder("etcd");
    let log = fs::File::create(folder.join("log")).unwrap();
    give(&folder.join("log"));
    let (port, peer) = (free_port(), free_port());
    let mut command = as_service(find("etcd").expect("is installed"));
    command
        .args(["--name", "etcd", "--unsafe-no-fsync", "--data-dir", &path(&folder.join("data"))])
        .args(["--listen-client-urls", &format!("http://127.0.0.1:{port}")])
        .args(["--advertise-client-urls", &format!("http://127.0.0.1:{port}")])
        .args(["--listen-peer-urls", &format!("http://127.0.0.1:{peer}")])
        .args(["--initial-advertise-peer-urls", &format!("http://127.0.0.1:{peer}")])
        .args(["--initial-cluster", &format!("etcd=http://127.0.0.1:{peer}")])
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    let etcd = Process::start(&mut command, home);
    wait::until("etcd to answer", wait::DEADLINE, || {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
    });
    (etcd, port)
}

fn post(port: u16, at: &str, body: &str) -> (u16, String) {
    let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    socket.set_read_timeout(Some(2 * wait::DEADLINE)).unwrap();
    let length = body.len();
    write!(
        socket,
        "POST {at} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

/// ISO 8601, with fractions.
fn utc(at: SystemTime) -> String {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let (days, rest) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // Days to a date: Howard Hinnant's civil_from_days, for days after 1970.
    let z = days + 719_468;
    let (era, of_era) = (z / 146_097, z % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest % 3600 / 60, rest % 60);
    let micros = since.subsec_micros();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}+00:00")
}
