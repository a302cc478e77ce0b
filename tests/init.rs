//! `pgweir init`: a file for hosts that were looked at works as it is, and a pgbouncer.ini is told line by line.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::home::{Home, Process, as_service, free_port, give};
use common::psql::{Job, Login};
use common::weir::{binary, run_pgweir};
use common::{Cluster, Password, Run, Setup, psql, wait};

/// In this folder, with the monitors' password.
fn init(home: &Home, dir: &Path, args: &[&str]) -> Run {
    let mut command = as_service(binary(home));
    command.current_dir(dir).env("PGPASSWORD", "watching").arg("init").args(args);
    Job::start(&mut command).finish()
}

fn cluster() -> Cluster {
    Setup::new()
        .role("watcher", Password::Scram("watching"))
        .hba("host all all 127.0.0.1/32 scram-sha-256")
        .sql("GRANT pg_monitor TO watcher")
        .database("shop")
        .cluster(1)
}

fn mode(file: &Path) -> u32 {
    fs::metadata(file).unwrap().permissions().mode() & 0o777
}

#[test]
fn what_is_written_for_a_cluster_is_without_fault_and_serves() {
    let mut cluster = cluster();
    cluster.wait_replicated();
    let home = Home::new();
    let dir = home.folder("new");
    let hosts: Vec<String> = cluster.hosts().into_iter().map(|(host, _)| host).collect();
    let hosts = hosts.join(",");
    let run = init(&home, &dir, &["--hosts", &hosts, "--user", "watcher"]);
    let told = run.ok();
    for words in
        [": primary, PostgreSQL ", ": replica, PostgreSQL ", "wrote pgweir.ini", "mode 0600"]
    {
        assert!(told.contains(words), "{words:?} is not in {told}");
    }
    assert!(!told.contains("watching"), "no secret");
    let (ini, users) = (dir.join("pgweir.ini"), dir.join("userlist.txt"));
    assert_eq!((mode(&ini), mode(&users)), (0o644, 0o600));
    assert!(
        !fs::read_to_string(&ini).unwrap().contains("watching"),
        "no secret where all may read"
    );

    let check = run_pgweir(&["check", &ini.display().to_string()]);
    assert!(
        check.ok().contains("ok, 4 database entries, 0 errors, 0 warnings, 0 notes"),
        "{}",
        check.stdout
    );

    // As it is, but for ports that are free here, and a folder for the socket.
    let (port, http) = (free_port(), free_port());
    let text = fs::read_to_string(&ini).unwrap();
    let text =
        text.replace("listen_port = 6432", &format!("listen_port = {port}\nunix_socket_dir ="));
    fs::write(&ini, text.replace(":9127", &format!(":{http}"))).unwrap();
    let mut command = as_service(binary(&home));
    let _running = Process::start(command.current_dir(&dir).args(["-q", "pgweir.ini"]), &home);
    let ask = |database: &str, sql: &str| {
        psql(&Login::tcp(port, "watcher", database).password("watching"), sql)
    };
    wait::until("an answer", wait::DEADLINE, || ask("app", "SELECT 1").status.success());
    assert_eq!(ask("app", "SELECT pg_is_in_recovery()").ok(), "f");
    let on_replica = || ask("shop_read", "SELECT pg_is_in_recovery()").ok() == "t";
    wait::until("a replica that takes reads", wait::DEADLINE, on_replica);
}

#[test]
fn nothing_is_overwritten_and_nothing_is_written_for_hosts_that_do_not_answer() {
    let server = Setup::new().start();
    let home = Home::new();
    let dir = home.folder("new");
    let host = format!("127.0.0.1:{}", server.port());
    let gone = format!("127.0.0.1:{}", free_port());

    let refused = init(&home, &dir, &["--hosts", &gone]);
    assert!(refused.failed().contains("no host lets us in"), "{refused:?}");
    assert!(refused.stderr.contains("Connection refused"), "{refused:?}");
    assert!(!dir.join("pgweir.ini").exists());

    let args = ["--hosts", &host, "--dbname", "app"];
    init(&home, &dir, &args).ok();
    let (ini, users) = (dir.join("pgweir.ini"), dir.join("userlist.txt"));
    for file in [&ini, &users] {
        fs::write(file, "mine").unwrap();
    }
    let again = init(&home, &dir, &args);
    assert!(again.failed().contains("--force"), "{again:?}");
    assert_eq!(fs::read_to_string(&ini).unwrap(), "mine");
    let forced = init(&home, &dir, &[&args[..], &["--force"]].concat());
    assert!(forced.ok().contains("userlist.txt is there already and stays"), "{forced:?}");
    assert_eq!(fs::read_to_string(&users).unwrap(), "mine", "passwords are nobody's to replace");
    let text = fs::read_to_string(&ini).unwrap();
    assert!(
        text.contains(&format!("app = host=127.0.0.1 port={} dbname=app\n", server.port())),
        "{text}"
    );

    let some = init(&home, &dir, &["--hosts", &format!("{host},{gone}"), "-o", "some.ini"]);
    assert!(some.ok().contains(&format!("{gone}: cannot reach")), "{some:?}");
    let other = Setup::new().start_anew();
    let other = format!("{host},127.0.0.1:{}", other.port());
    let different = init(&home, &dir, &["--hosts", &other, "-o", "different.ini"]);
    assert!(different.failed().contains("different clusters"), "{different:?}");
    let nowhere =
        init(&home, &dir, &["--hosts", &host, "--dbname", "nowhere", "-o", "nowhere.ini"]);
    assert!(nowhere.failed().contains("\"nowhere\" does not exist"), "{nowhere:?}");
    for file in ["different.ini", "nowhere.ini"] {
        assert!(!dir.join(file).exists(), "{file}");
    }
}

#[test]
fn a_line_that_makes_no_sense_is_refused_with_its_own_code() {
    for args in [
        &["init"][..],
        &["init", "--hosts", "a", "--from", "b"],
        &["init", "--hosts=a", "--discover=x"],
    ] {
        assert_eq!(run_pgweir(args).status.code(), Some(2), "{args:?}");
    }
    assert_eq!(run_pgweir(&["init", "--hosts", "a:b"]).status.code(), Some(1));
}

const PGBOUNCER: &str = "\
[databases]
app = host=pg1,pg2 dbname=app user=app password=watching
shop = host=pg1
shop_ro = host=pg2 dbname=shop
[pgbouncer]
listen_addr = *
auth_type = md5
auth_file = FOLDER/userlist.txt
pkt_buf = 8192
pool_mode = transaction
max_prepared_statements = 0
so_reuseport = 1
";

#[test]
fn a_pgbouncer_ini_is_told_line_by_line_and_written_with_what_could_be_better() {
    let home = Home::new();
    let dir = home.folder("old");
    fs::write(dir.join("userlist.txt"), "\"app\" \"watching\"\n").unwrap();
    let ini = dir.join("pgbouncer.ini");
    fs::write(&ini, PGBOUNCER.replace("FOLDER", &dir.display().to_string())).unwrap();
    fs::set_permissions(&ini, fs::Permissions::from_mode(0o640)).unwrap();
    for file in [&ini, &dir.join("userlist.txt")] {
        give(file);
    }
    let run = init(&home, &dir, &["--from", "pgbouncer.ini", "-o", "better.ini"]);
    let told = run.ok();
    for words in [
        "pgbouncer.ini:2: same: databases/app\npgbouncer.ini:2: better: a host list: with target_session_attrs",
        "pgbouncer.ini:3: better: databases/shop_ro is the same database at another host",
        "pgbouncer.ini:7: better: scram-sha-256: no user has an md5 secret",
        "pgbouncer.ini:9: no effect: pkt_buf = 8192: pkt_buf has no effect: buffers are lent",
        "pgbouncer.ini:10: same: pool_mode = transaction\n",
        "pgbouncer.ini:11: better: 200: ",
        "pgbouncer.ini:12: better: one process is enough",
        "\nbetter: http_listen serves /metrics",
        "\nbetter: verify-full",
        "9 lines are the same, 1 have no effect or less",
    ] {
        assert!(told.contains(words), "{words:?} is not in {told}");
    }
    assert!(!told.contains("watching"), "no secret");

    let better = dir.join("better.ini");
    assert_eq!(mode(&better), 0o640, "as the old one");
    let text = fs::read_to_string(&better).unwrap();
    for words in [
        "\n;pkt_buf = 8192\n",
        "\n;auth_type = md5\n",
        "\nauth_type = scram-sha-256\n",
        "\n;app = host=pg1,pg2 dbname=app user=app password=watching target_session_attrs=read-write\n",
        "\n;http_listen = 127.0.0.1:9127\n",
    ] {
        assert!(text.contains(words), "{words:?} is not in {text}");
    }
    let set = |file: &str| {
        let run = run_pgweir(&["config", "--json", file]);
        let all: serde_json::Value = serde_json::from_str(run.ok()).unwrap();
        let rows = all["settings"].as_array().unwrap().clone().into_iter();
        rows.map(|row| {
            (row["section"].to_string(), row["key"].to_string(), row["value"].to_string())
        })
        .collect::<Vec<_>>()
    };
    let (before, after) = (set(&ini.display().to_string()), set(&better.display().to_string()));
    let changed: Vec<_> = after.iter().filter(|row| !before.contains(row)).collect();
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert_eq!(changed[0].2, "\"scram-sha-256\"");

    let again = init(&home, &dir, &["--from", "pgbouncer.ini", "-o", "better.ini"]);
    assert!(again.failed().contains("--force"), "{again:?}");
    let from_better = init(&home, &dir, &["--from", "better.ini"]);
    assert!(from_better.ok().contains(" 0 have no effect or less"), "{from_better:?}");
}

#[test]
fn a_pgbouncer_ini_with_faults_is_told_and_nothing_is_written() {
    let home = Home::new();
    let dir = home.folder("old");
    fs::write(dir.join("bad.ini"), "[pgbouncer]\nlisten_port = x\npool_mod = session\n").unwrap();
    give(&dir.join("bad.ini"));
    let run = init(&home, &dir, &["--from", "bad.ini", "-o", "better.ini"]);
    for words in
        ["bad.ini:2: error: invalid value for listen_port", "bad.ini:3: error: ", "pool_mode"]
    {
        assert!(run.failed().contains(words), "{run:?}");
    }
    assert!(!dir.join("better.ini").exists());
}
