//! `pgweir check`: what is wrong with files and hosts is told in a line each, before anybody depends on it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]
#![allow(clippy::disallowed_methods, reason = "how long a check takes is looked at")]

mod common;

use std::net::TcpListener;
use std::time::{Duration, Instant};

use common::home::Home;
use common::weir::run_pgweir;
use common::{Cluster, Password, Run, Setup, Signal};
use serde_json::Value;

const WATCHER: &str = "\"watcher\" \"watching\"\n";
const BY_PASSWORD: &str = "host all watcher,app,asker 127.0.0.1/32 scram-sha-256";

/// Checks a file with this entry of `[databases]`; the monitors log in as `watcher`.
fn check(entry: &str) -> Run {
    check_with(entry, WATCHER, "topology_user = watcher", &[])
}

fn check_with(entry: &str, users: &str, settings: &str, options: &[&str]) -> Run {
    let home = Home::new();
    let ini = format!(
        "[databases]\n{entry}\n\n[pgbouncer]\nauth_file = {}\npidfile = {}\n{settings}\n",
        home.file("userlist.txt", users).display(),
        home.path().join("pid").display(),
    );
    let file = home.file("pgweir.ini", &ini).display().to_string();
    run_pgweir(&[&["check"], options, &[&file]].concat())
}

fn cluster() -> Cluster {
    Setup::new().role("watcher", Password::Scram("watching")).hba(BY_PASSWORD).cluster(1)
}

#[track_caller]
fn says(run: &Run, words: &[&str]) {
    let text = format!("{}{}", run.stdout, run.stderr);
    for words in words {
        assert!(text.contains(words), "{words:?} is not in\n{text}");
    }
    for secret in ["watching", "whispered", "mistaken"] {
        assert!(!text.contains(secret), "{secret:?} is in\n{text}");
    }
}

fn code(run: &Run) -> i32 {
    run.status.code().unwrap()
}

/// The report as JSON, with one finding of each kind that is asked for.
#[track_caller]
fn findings<'a>(report: &'a Value, check: &str) -> Vec<&'a Value> {
    let all = report["findings"].as_array().unwrap();
    all.iter().filter(|finding| finding["check"] == check).collect()
}

#[test]
fn what_is_as_it_should_be_is_told_and_a_login_is_enough() {
    let cluster = cluster();
    let run = check(&cluster.entry("app"));
    says(
        &run,
        &["is primary, timeline 1", "is replica", "warning: ", "GRANT pg_monitor TO watcher"],
    );
    says(&run, &[": ok, 1 database entries, 0 errors, 2 warnings", "PostgreSQL 1", "no TLS"]);
    assert_eq!(code(&run), 0);
    cluster.primary().query("GRANT pg_monitor TO watcher");
    let role = "SELECT pg_has_role('watcher', 'pg_monitor', 'member')";
    common::wait::until("the grant on the replica", common::wait::DEADLINE, || {
        cluster.nodes[1].query(role).one() == "t"
    });
    let run = check(&cluster.entry("app"));
    says(&run, &["is replica, timeline 1", "0 errors, 0 warnings, 0 notes"]);
}

#[test]
fn a_host_of_another_cluster_is_named() {
    let cluster = cluster();
    let other = Setup::new().role("watcher", Password::Scram("watching")).hba(BY_PASSWORD);
    // A cluster of its own, not a copy of the same template.
    let other = other.start_anew();
    let entry = cluster.entry("app");
    let entry = entry.replacen("host=", "host=127.0.0.1,", 1);
    let entry = entry.replacen("port=", &format!("port={},", other.port()), 1);
    let run = check(&entry);
    says(&run, &[&other.port().to_string(), "belongs to another cluster"]);
    assert_eq!(code(&run), 1);
    let plain = entry.replace(" target_session_attrs=read-write", " user=watcher");
    let run = check_with(&plain, WATCHER, "", &[]);
    says(&run, &["warning: app: its hosts belong to different clusters"]);
    assert_eq!(code(&run), 0, "pgbouncer would take it so");
}

#[test]
fn an_entry_without_a_primary_or_without_any_host_that_answers_is_no_good() {
    let mut cluster = cluster();
    let entry = cluster.entry("app");
    let replica = cluster.ports()[1];
    let run = check(&format!(
        "app = host=127.0.0.1 port={replica} dbname=app target_session_attrs=read-write"
    ));
    says(
        &run,
        &[
            "is replica",
            "pgweir.ini:2: error: app: no primary among its hosts",
            "advice: add the primary",
        ],
    );
    assert_eq!(code(&run), 1);
    let plain = format!("app = host=127.0.0.1 port={replica} dbname=app user=watcher");
    says(&check_with(&plain, WATCHER, "", &[]), &["warning: app: it has replicas only"]);
    let mixed = entry.replace(" target_session_attrs=read-write", " user=watcher");
    let run = check_with(&mixed, WATCHER, "", &[]);
    says(&run, &["a primary and replicas in one list", "target_session_attrs=read-write"]);
    assert_eq!(code(&run), 1);
    for node in &mut cluster.nodes {
        node.kill(Signal::KILL);
    }
    let run = check(&entry);
    says(&run, &["Connection refused", "app: no host can be used"]);
    assert_eq!(code(&run), 1);
}

#[test]
fn a_login_that_is_refused_is_told_in_the_servers_words_once() {
    let wrong =
        Setup::new().role("watcher", Password::Scram("another")).hba(BY_PASSWORD).cluster(0);
    let run = check(&wrong.entry("app"));
    says(&run, &["password authentication failed for user \"watcher\"", "ALTER ROLE watcher"]);
    assert_eq!(run.stdout.matches("password authentication failed").count(), 1, "{}", run.stdout);
    assert_eq!(code(&run), 1);
    let closed = Setup::new().role("watcher", Password::Scram("watching"));
    let closed = closed.hba("host all app 127.0.0.1/32 trust").cluster(0);
    let run = check(&closed.entry("app"));
    says(&run, &["no pg_hba.conf entry", "host app watcher ADDRESS-OF-PGWEIR/32 scram-sha-256"]);
    assert_eq!(code(&run), 1);
}

#[test]
fn the_logins_of_the_pools_are_tried_as_the_pools_would() {
    let server = Setup::new().hba(BY_PASSWORD).role("asker", Password::Scram("secret")).start();
    let at = format!("host=127.0.0.1 port={} dbname=app", server.port());
    let forced = |password: &str| {
        check_with(&format!("app = {at} user=app password={password}"), "", "", &[])
    };
    let run = forced("mistaken");
    says(
        &run,
        &["error: app at 127.0.0.1:", "as app: the entry's login to database app fails", "28P01"],
    );
    assert_eq!(code(&run), 1);
    assert_eq!(code(&forced("secret")), 0);

    let listed = "\"app\" \"secret\"\n\"asker\" \"mistaken\"\n";
    let run = check_with(&format!("app = {at}"), listed, "admin_users = asker", &[]);
    says(
        &run,
        &["note: app at 127.0.0.1:", "as asker: a login of the pools to database app fails"],
    );
    assert_eq!(code(&run), 0, "a console user need not be a user of the server");
    let run = check_with(&format!("app = {at}"), listed, "", &[]);
    assert_eq!(code(&run), 1);

    let run = check_with(
        &format!("app = {}", at.replace("=app", "=nowhere")),
        "\"app\" \"secret\"\n",
        "",
        &[],
    );
    says(&run, &["3D000", "CREATE DATABASE nowhere"]);
}

#[test]
fn auth_query_is_run_and_its_rights_are_looked_at() {
    let server = Setup::new().hba(BY_PASSWORD).role("asker", Password::Scram("whispered")).start();
    let entry = format!("app = host=127.0.0.1 port={} dbname=app", server.port());
    let users = "\"asker\" \"whispered\"\n";
    let run = check_with(&entry, users, "auth_user = asker", &[]);
    says(&run, &["as asker: auth_query fails", "permission denied", "docs/check.md"]);
    assert_eq!(code(&run), 1);
    // As the manual has it.
    let manual = include_str!("../docs/check.md");
    let (_, sql) = manual.split_once("### auth_query").unwrap();
    let (sql, _) = sql.split_once("\n## ").unwrap();
    let sql = sql.lines().filter(|line| line.starts_with("    ")).collect::<Vec<_>>().join("\n");
    server.query(&sql.replace("pgweir_auth", "asker"));
    let own = "auth_user = asker\nauth_query = SELECT * FROM pgweir.lookup($1)";
    let run = check_with(&entry, users, own, &[]);
    says(&run, &["0 errors"]);
    assert_eq!(code(&run), 0);
    let run = check_with(&entry, users, "auth_user = asker\nauth_dbname = nowhere", &["--static"]);
    says(&run, &["pgweir.ini:8: error: app: auth_dbname=nowhere is no entry of [databases]"]);
}

#[test]
fn pools_that_do_not_fit_into_their_server_are_told_with_the_numbers() {
    const USERS: &str = "\"app\" \"whispered\"\n";
    let server = Setup::new().setting("max_connections", 20).start();
    let entry = |more: &str| {
        format!("app = host=127.0.0.1 port={} dbname=app user=app {more}", server.port())
    };
    let run = check_with(&entry("pool_size=30"), USERS, "", &[]);
    says(
        &run,
        &[
            "pgweir.ini:2: error: app at 127.0.0.1:",
            "one pool of app may open more",
            "found: 30; room for 17",
        ],
    );
    assert_eq!(code(&run), 1);
    let two =
        format!("{}\n{}", entry("pool_size=10"), entry("pool_size=10").replacen("app", "other", 1));
    let run = check_with(&two, USERS, "", &[]);
    says(
        &run,
        &[
            "warning: app, other at 127.0.0.1:",
            "found: 20: app 10 (pool), other 10 (pool)",
            "above 23",
        ],
    );
    assert_eq!(code(&run), 0);
    says(
        &check_with(&entry("pool_size=17"), USERS, "", &[]),
        &["at most 17 of 20 connections", "0 warnings"],
    );
    let run = check_with(&entry("pool_size=5"), USERS, "max_client_conn = 2000000000", &[]);
    says(&run, &["pgweir.ini:7: error: max_client_conn and the pools need more open files"]);
}

#[test]
fn secrets_that_cannot_be_used_are_told() {
    let server = Setup::new()
        .role("asker", Password::Scram("whispered"))
        .setting("password_encryption", "md5")
        .start();
    let entry = format!("app = host=127.0.0.1 port={} dbname=app", server.port());
    let verifier =
        server.query("SELECT rolpassword FROM pg_authid WHERE rolname = 'asker'").one().to_owned();
    let check = |users: &str, settings: &str| check_with(&entry, users, settings, &[]);

    let run = check("", "");
    says(
        &run,
        &["warning: nobody can log in", "note: app at 127.0.0.1:", "nobody is known to log in as"],
    );
    let scram = format!("\"asker\" \"{verifier}\"\n");
    says(
        &check(&scram, ""),
        &[":5: note: of these users there is a SCRAM secret only", "found: asker"],
    );
    says(
        &check(&scram, "auth_type = trust"),
        &[":5: warning: of these users there is a SCRAM secret only"],
    );
    assert!(!check(&scram, "").stdout.contains(&verifier), "a verifier is a secret");
    let md5 = "\"asker\" \"md5e807f1fcf82d132f9bb018ca6738a19f\"\n";
    let run = check(md5, "auth_type = scram-sha-256");
    says(&run, &[":5: error: auth_type=scram-sha-256 refuses users", "found: asker"]);
    assert_eq!(code(&run), 1);
    let asks = "auth_type = scram-sha-256\nauth_user = asker\nauth_query = SELECT 'asker', 'md5e807f1fcf82d132f9bb018ca6738a19f' WHERE $1 <> ''";
    let run = check("\"asker\" \"whispered\"\n", asks);
    says(
        &run,
        &[
            "auth_query gives an md5 secret",
            ":7: warning: passwords that are set from now on will be md5",
            "= md5 at 127.0.0.1:",
        ],
    );
    assert!(!run.stdout.contains("e807f1fcf"), "a hash is a secret");
}

#[test]
fn hosts_that_hang_cost_their_own_time_only() {
    let silent: Vec<TcpListener> =
        (0..6).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let server = Setup::new().start();
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    let entry = |(number, port): (usize, u16)| {
        format!("app{number} = host=127.0.0.1 port={port} dbname=app user=app")
    };
    let ports = silent.iter().map(port).chain([server.port()]).enumerate();
    let entries: Vec<String> = ports.map(entry).collect();
    let began = Instant::now();
    let run = check_with(&entries.join("\n"), "", "", &["--timeout", "2"]);
    let took = began.elapsed();
    says(&run, &["app6: 127.0.0.1:", "is primary", "takes connections, and says nothing"]);
    assert_eq!(run.stdout.matches("did not answer within 2s").count(), 6, "{}", run.stdout);
    assert!(took < Duration::from_secs(10), "{took:?} for six hosts that hang");
    assert_eq!(code(&run), 1);
}

#[test]
fn a_name_that_leads_nowhere_and_tls_that_is_not_there_are_told_apart() {
    let server = Setup::new().start();
    let entries = format!(
        "app = host=127.0.0.1 port={} dbname=app user=app\nlost = host=nowhere.invalid dbname=app user=app",
        server.port()
    );
    let run = check_with(&entries, "", "server_tls_sslmode = require", &[]);
    says(
        &run,
        &[
            "pgweir.ini:2: error: app at 127.0.0.1:",
            "no TLS with it\n    found: server refused SSL",
            "pgweir.ini:3: error: lost at nowhere.invalid:5432: the name nowhere.invalid has no address",
        ],
    );
    assert_eq!(code(&run), 1);
}

#[test]
fn what_is_wrong_with_the_files_is_told_all_at_once_and_no_host_is_asked() {
    let home = Home::new();
    let ini = home.file(
        "pgweir.ini",
        "[databases]\napp = host=127.0.0.1 port=1 pool_mode=txn password=secret wibble=1\n[pgbouncer]\n\
         listen_port = http\npol_mode = session\nquery_timeout = soon\npkt_buf = 8192\nverbose = 1\nverbose = 2\n",
    );
    let ini = ini.display().to_string();
    let run = run_pgweir(&["check", &ini]);
    says(
        &run,
        &[
            ":2: error: databases/app: invalid value for pool_mode\n    found: txn\n    allowed: session, transaction",
            ":2: error: databases/app: there is no parameter wibble",
            ":4: error: invalid value for listen_port\n    found: http",
            ":5: error: [pgbouncer] has no setting pol_mode\n    advice: did you mean \"pool_mode\"?",
            ":6: error: invalid value for query_timeout",
            ":7: note: pkt_buf has no effect",
            ":8: note: pgbouncer/verbose stands again at",
            ": not ok, 0 database entries, 5 errors, 0 warnings, 2 notes, hosts not looked at",
        ],
    );
    assert_eq!(code(&run), 1);
    let lines: Vec<usize> = run
        .stdout
        .lines()
        .filter(|line| line.contains(": error: "))
        .filter_map(|line| line.strip_prefix(&format!("{ini}:"))?.split(':').next()?.parse().ok())
        .collect();
    assert!(lines.is_sorted(), "{lines:?}");
    assert_eq!(code(&run_pgweir(&["check", "--frobnicate", &ini])), 2);
    assert_eq!(code(&run_pgweir(&["check", "/nowhere/pgweir.ini"])), 1);
}

#[test]
fn the_report_is_there_as_json_in_the_documented_shape() {
    let cluster = cluster();
    let run = check_with(&cluster.entry("app"), WATCHER, "topology_user = watcher", &["--json"]);
    says(&run, &[]);
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(report["schema"], 1);
    assert_eq!(report["ok"], true);
    assert_eq!((&report["errors"], &report["warnings"]), (&Value::from(0), &Value::from(2)));
    let rights = findings(&report, "rights");
    assert_eq!(rights.len(), 2, "{report:#}");
    assert_eq!(rights[0]["severity"], "warning");
    assert_eq!(rights[0]["place"]["line"], 2);
    assert_eq!(rights[0]["databases"][0], "app");
    assert_eq!(rights[0]["user"], "watcher");
    assert_eq!(rights[0]["advice"], "GRANT pg_monitor TO watcher");
    let hosts = report["hosts"].as_array().unwrap();
    let roles: Vec<_> = hosts.iter().map(|host| host["role"].as_str().unwrap()).collect();
    assert!(roles.contains(&"primary") && roles.contains(&"replica"), "{roles:?}");
    for host in hosts {
        assert_eq!(host["max_connections"], 100);
        assert_eq!(host["system_identifier"], hosts[0]["system_identifier"]);
    }
    // Every field that the documentation has, and no other.
    let manual =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/check.md")).unwrap();
    let mut kinds = vec![&report, rights[0], &hosts[0]].into_iter();
    for title in ["### The report", "### A finding", "### A host"] {
        let (_, table) = manual.split_once(title).expect(title);
        let table = table.split("###").next().unwrap();
        let mut documented: Vec<&str> =
            table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
        documented.sort_unstable();
        let mut found: Vec<&String> = kinds.next().unwrap().as_object().unwrap().keys().collect();
        found.sort_unstable();
        assert_eq!(found, documented, "{title}");
    }
}
