//! What an operator has written wrong is told in one line each by `pgweir check`, in the log and in SHOW TOPOLOGY: which
//! host, what was found, what to do. Who waits in vain is told the cause, and no names.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use std::thread;
use std::time::Duration;

use common::home::free_port;
use common::raw::Raw;
use common::weir::run_pgweir;
use common::{Cluster, Password, Postgres, Setup, Weir, wait};
use pgweir_codec::backend::ErrorResponse;

const BY_PASSWORD: &str = "host all watcher,app 127.0.0.1/32 scram-sha-256";

/// The monitors' password, and one that it is not. No words: nothing else has them by chance.
const SECRET: &str = "w4tching-S3cret";
const OTHER_SECRET: &str = "0ther-S3cret";

fn server() -> Setup {
    Setup::new().role("watcher", Password::Scram(SECRET)).hba(BY_PASSWORD)
}

/// Starts pgweir with this entry; the monitors log in as `watcher`.
fn start(entry: &str) -> Weir {
    Weir::setup()
        .database(entry)
        .user("watcher", SECRET)
        .setting("pool_mode", "transaction")
        .setting("topology_user", "watcher")
        .setting("topology_interval", 0.2)
        .setting("failover_timeout", 1)
        .start()
}

/// An entry that names these servers.
fn entry(ports: &[u16]) -> String {
    let hosts = vec!["127.0.0.1"; ports.len()].join(",");
    let ports = ports.iter().map(u16::to_string).collect::<Vec<_>>().join(",");
    format!("app = host={hosts} port={ports} dbname=app target_session_attrs=read-write")
}

/// What the log has told so far: each once, and not again up to the end.
#[derive(Debug, Default)]
struct Told(Vec<Vec<String>>);

impl Told {
    /// Waits for the one line in the log that has all of these words.
    #[track_caller]
    fn once(&mut self, weir: &Weir, words: &[&str]) {
        let words: Vec<_> = words.iter().map(|words| (*words).to_owned()).collect();
        let lines = || lines_with(&weir.log(), &words);
        wait::until(&format!("{words:?} in the log"), wait::DEADLINE, || !lines().is_empty());
        let lines = lines();
        assert_eq!(lines.len(), 1, "{lines:#?}");
        assert!(lines[0].contains(" WARNING "), "{lines:?}");
        self.0.push(words);
    }

    /// Stops pgweir. Nothing was told again meanwhile, and no password.
    #[track_caller]
    fn stop(self, weir: Weir) {
        let log = weir.log();
        for words in &self.0 {
            let lines = lines_with(&log, words);
            assert_eq!(lines.len(), 1, "{lines:#?}");
        }
        no_secret(&log);
        weir.stop();
    }
}

/// The lines that have all of these words.
fn lines_with(log: &str, words: &[String]) -> Vec<String> {
    let fits = |line: &&str| words.iter().all(|words| line.contains(words));
    log.lines().filter(fits).map(str::to_owned).collect()
}

/// Waits until a host's row of SHOW TOPOLOGY has these words in these columns; none: nothing is there.
#[track_caller]
fn shown(weir: &Weir, port: u16, expected: &[(&str, &str)]) {
    let what = format!("{expected:?} for port {port} in SHOW TOPOLOGY");
    wait::until(&what, wait::DEADLINE, || {
        let rows = weir.console("SHOW TOPOLOGY");
        let row = rows.find("port", &port.to_string()).unwrap();
        expected.iter().all(|(column, words)| {
            let value = rows.get(row, column);
            value.contains(words) && value.is_empty() == words.is_empty()
        })
    });
}

/// What `pgweir check` says of the same file.
#[track_caller]
fn checked(weir: &Weir, words: &[&str]) {
    let run = run_pgweir(&["check", &weir.dir().join("pgweir.ini").display().to_string()]);
    let lines = format!("{}{}", run.stdout, run.stderr);
    for words in words {
        assert!(lines.contains(words), "{words:?} is not in\n{lines}");
    }
    assert_eq!(run.status.code(), Some(1), "{lines}");
    no_secret(&lines);
}

/// A client waits in vain; what it is told as DETAIL and HINT.
#[track_caller]
fn refused(weir: &Weir) -> (String, String) {
    let error = Raw::login(weir.port(), 0, &[]).err().expect("a login without a primary");
    assert_eq!(error.code().as_str(), "57P03");
    assert_eq!(error.message(), "no primary is known for this database (failover_timeout)");
    let told = [field(&error, b'D'), field(&error, b'H')];
    for words in &told {
        assert!(words.len() < 200, "{words}");
        assert!(!words.contains("127.0.0.1"), "it names a host: {words}");
        no_secret(words);
    }
    let [detail, hint] = told;
    assert!(detail.starts_with("The client was held for 1 s. Of "), "{detail}");
    (detail, hint)
}

fn field(error: &ErrorResponse, field: u8) -> String {
    String::from_utf8_lossy(error.field(field).unwrap()).into_owned()
}

#[track_caller]
fn no_secret(text: &str) {
    for secret in [SECRET, OTHER_SECRET] {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
}

fn stranger() -> Postgres {
    // A cluster of its own, not a copy of the same template.
    server().start_anew()
}

#[test]
fn a_host_of_another_cluster_is_named_and_left_alone() {
    let (cluster, stranger): (Cluster, Postgres) = (server().cluster(1), stranger());
    let [primary, replica] = <[u16; 2]>::try_from(cluster.ports()).unwrap();
    let other = stranger.port();
    let weir = start(&entry(&[other, primary, replica]));
    let found = "belongs to another cluster";
    let mut told = Told::default();
    told.once(&weir, &[&format!(":{other}"), found, "take it out of host="]);
    assert_eq!(weir.log().matches(found).count(), 1, "nobody else was taken for one");
    shown(&weir, other, &[("reads", "of another cluster"), ("last_error", found)]);
    shown(&weir, primary, &[("role", "primary"), ("reads", "the primary"), ("last_error", "")]);
    checked(&weir, &[&format!(":{other}"), found]);
    let (mut client, _) = Raw::login(weir.port(), 0, &[]).unwrap();
    assert_eq!(client.query("SELECT inet_server_port()").one(), primary.to_string());
    told.stop(weir);
}

#[test]
fn of_hosts_of_two_clusters_with_a_primary_each_both_are_named_and_none_is_believed() {
    let (server, stranger) = (server().start(), stranger());
    let ports = [server.port(), stranger.port()];
    let weir = start(&entry(&ports));
    let mut told = Told::default();
    for port in ports {
        let found = "it cannot be told which cluster is meant";
        told.once(&weir, &[&format!(":{port}"), found, "until host= names the hosts of one"]);
        shown(&weir, port, &[("reads", "of another cluster"), ("last_error", found)]);
    }
    checked(&weir, &["it cannot be told which cluster is meant"]);
    let (detail, hint) = refused(&weir);
    assert!(detail.ends_with("Of 2 hosts: 2 of another cluster."), "{detail}");
    assert!(hint.contains("host= names servers of different clusters"), "{hint}");
    told.stop(weir);
}

#[test]
fn where_all_hosts_are_replicas_that_is_told_and_what_the_choices_are() {
    let cluster = server().cluster(2);
    let ports = &cluster.ports()[1..];
    let weir = start(&entry(ports));
    let found = "every host says that it is a replica";
    let both = format!("127.0.0.1:{}, 127.0.0.1:{}", ports[0], ports[1]);
    let mut told = Told::default();
    told.once(&weir, &["no primary", found, &both, "promote one, or add the primary to host="]);
    for port in ports {
        shown(&weir, *port, &[("role", "replica"), ("reads", "yes"), ("last_error", found)]);
    }
    checked(&weir, &["no primary among its hosts", "add the primary"]);
    let (detail, hint) = refused(&weir);
    assert!(detail.ends_with("Of 2 hosts: 2 replicas."), "{detail}");
    assert!(hint.contains("host= lacks the primary"), "{hint}");
    // What was wrong is not shown any longer than it is.
    cluster.nodes[1].promote();
    shown(&weir, ports[0], &[("role", "primary")]);
    let rows = weir.console("SHOW TOPOLOGY");
    assert_eq!(rows.get(rows.find("port", &ports[0].to_string()).unwrap(), "last_error"), "");
    told.stop(weir);
}

#[test]
fn a_list_of_standbys_alone_is_no_mistake() {
    let cluster = server().cluster(2);
    let entry = entry(&cluster.ports()[1..]).replace("read-write", "standby");
    let weir = start(&entry);
    shown(&weir, cluster.ports()[2], &[("role", "replica"), ("last_error", "")]);
    thread::sleep(Duration::from_secs(1));
    assert!(!weir.log().contains("no primary"), "{}", weir.log());
    weir.stop();
}

#[test]
fn where_no_host_can_be_reached_each_is_named_with_the_systems_words() {
    let ports = [free_port(), free_port()];
    let weir = start(&entry(&ports));
    let mut told = Told::default();
    for port in ports {
        let found = format!("cannot reach 127.0.0.1:{port}: Connection refused");
        told.once(&weir, &[&found, "check host= and port= in [databases]"]);
        shown(&weir, port, &[("reads", "down: not reached"), ("last_error", &found)]);
    }
    let both = format!("127.0.0.1:{}, 127.0.0.1:{}", ports[0], ports[1]);
    told.once(&weir, &["no primary", &format!("none of its hosts can be used: {both}")]);
    checked(&weir, &["cannot be reached", "Connection refused", "app: no host can be used"]);
    let (detail, hint) = refused(&weir);
    assert!(detail.ends_with("Of 2 hosts: 2 not reached."), "{detail}");
    assert!(hint.contains("whether the servers are up"), "{hint}");
    told.stop(weir);
}

#[test]
fn a_wrong_password_of_the_monitors_is_told_in_the_servers_words() {
    let server = Setup::new().role("watcher", Password::Scram(OTHER_SECRET));
    let server = server.hba(BY_PASSWORD).start();
    let weir = start(&entry(&[server.port()]));
    let found = "password authentication failed for user \"watcher\" (28P01)";
    let at = format!("127.0.0.1:{}", server.port());
    let mut told = Told::default();
    told.once(&weir, &[&at, &found.replace('"', "\\\""), "ALTER ROLE watcher"]);
    let reads = "down: refuses topology_user (28P01)";
    shown(&weir, server.port(), &[("reads", reads), ("last_error", found)]);
    checked(&weir, &[&at, found, "ALTER ROLE watcher"]);
    let (detail, hint) = refused(&weir);
    assert!(detail.ends_with("Of 1 host: 1 refusing topology_user (28P01)."), "{detail}");
    assert!(hint.contains("(topology_user) is refused"), "{hint}");
    told.stop(weir);
}

#[test]
fn a_pg_hba_conf_that_does_not_let_the_monitors_in_is_told_with_the_line_that_it_lacks() {
    let server = Setup::new().role("watcher", Password::Scram(SECRET));
    let server = server.hba("host all app 127.0.0.1/32 trust").start();
    let weir = start(&entry(&[server.port()]));
    let found = "no pg_hba.conf entry for host";
    let line = "host app watcher ADDRESS-OF-PGWEIR/32 scram-sha-256";
    let at = format!("127.0.0.1:{}", server.port());
    let mut told = Told::default();
    told.once(&weir, &[&at, found, line]);
    let reads = "down: refuses topology_user (28000)";
    shown(&weir, server.port(), &[("reads", reads), ("last_error", found)]);
    checked(&weir, &[&at, found, line]);
    let (detail, _) = refused(&weir);
    assert!(detail.ends_with("Of 1 host: 1 refusing topology_user (28000)."), "{detail}");
    told.stop(weir);
}
