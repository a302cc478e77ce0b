//! The harness itself, against PostgreSQL and pgbouncer: what it starts works, and nothing of it is left.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]
#![allow(clippy::disallowed_methods, reason = "a test may read the clock")]

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::home::{descendants, is_alive};
use common::scripted::reply;
use common::tls::Authority;
use common::{
    Cluster, Login, Password, ScriptedServer, ServerError, Setup, Signal, Step, Weir, Wire,
    pgbench, psql, wait,
};
use rustix::process::Pid;

mod common;

#[test]
fn a_server_starts_answers_and_leaves_nothing_behind() {
    let mut server = Setup::new().setting("max_connections", 23).start();
    assert_eq!(server.query("SHOW max_connections").one(), "23");
    let run = psql(&server.login("app", "app"), "SELECT current_user, 'it''s'");
    assert_eq!(run.ok(), "app|it's");
    assert!(server.is_running());

    let folder = server.data().ancestors().nth(2).unwrap().to_owned();
    let pids = descendants_with_data(server.data());
    assert!(pids.len() > 3, "a postmaster and its children: {pids:?}");
    assert!(folder.exists());
    drop(server);
    assert!(pids.iter().all(|pid| !is_alive(*pid)), "left: {pids:?}");
    assert!(!folder.exists());
}

/// The server's processes: the postmaster, whose number is in postmaster.pid, and its children.
fn descendants_with_data(data: &std::path::Path) -> Vec<Pid> {
    let text = std::fs::read_to_string(data.join("postmaster.pid")).unwrap();
    let postmaster = Pid::from_raw(text.lines().next().unwrap().parse().unwrap()).unwrap();
    let mut pids = descendants(postmaster);
    pids.push(postmaster);
    pids
}

#[test]
fn a_cluster_replicates_survives_kill_9_and_follows_the_promoted_replica() {
    let mut cluster = Cluster::start(2);
    cluster.primary().query("CREATE TABLE t (n int); INSERT INTO t VALUES (1)");
    cluster.wait_replicated();
    for node in &cluster.nodes[1..] {
        assert_eq!(node.query("SELECT n FROM t").one(), "1");
        assert_eq!(node.try_query("INSERT INTO t VALUES (2)").unwrap_err().code(), "25006");
    }

    let pids = descendants_with_data(cluster.primary().data());
    cluster.primary_mut().kill(Signal::KILL);
    assert!(pids.iter().all(|pid| !is_alive(*pid)));
    assert!(!cluster.primary_mut().is_running());
    cluster.promote(1);
    cluster.primary().query("INSERT INTO t VALUES (2)");
    cluster.wait_streaming(1);
    cluster.wait_replicated();
    assert_eq!(cluster.nodes[2].query("SELECT sum(n) FROM t").one(), "3");

    let port = cluster.nodes[0].port();
    cluster.rebuild(0);
    assert_eq!(cluster.nodes[0].port(), port);
    cluster.wait_streaming(2);
    cluster.wait_replicated();
    assert_eq!(cluster.nodes[0].query("SELECT sum(n) FROM t").one(), "3");
}

#[test]
fn a_frozen_server_accepts_but_does_not_answer_until_it_goes_on() {
    let mut server = Setup::new().start();
    let mut open = Wire::tcp(server.port(), "app", "app").unwrap();
    server.kill(Signal::STOP);

    let mut silent = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    silent.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    std::io::Write::write_all(&mut silent, &[0, 0, 0, 8, 4, 210, 22, 47]).unwrap();
    assert!(silent.read(&mut [0]).is_err(), "the kernel accepts, nobody answers");

    server.kill(Signal::CONT);
    assert_eq!(open.query("SELECT 42").unwrap().one(), "42");
}

#[test]
fn a_frozen_server_can_be_dropped() {
    let mut server = Setup::new().start();
    let pids = descendants_with_data(server.data());
    server.kill(Signal::STOP);
    drop(server);
    assert!(pids.iter().all(|pid| !is_alive(*pid)));
}

#[test]
fn a_server_whose_postmaster_alone_is_killed_leaves_nothing_behind_either() {
    let mut server = Setup::new().start();
    let mut client = Wire::tcp(server.port(), "app", "app").unwrap();
    let pids = descendants_with_data(server.data());
    server.kill_postmaster();
    assert_eq!(client.answer().unwrap_err().code(), "57P01");
    drop(server);
    assert!(pids.iter().all(|pid| !is_alive(*pid)));
}

#[test]
fn a_restarted_server_keeps_its_port_and_data() {
    let mut server = Setup::new().start();
    let port = server.port();
    server.query("CREATE TABLE kept ()");
    server.restart();
    assert_eq!(server.port(), port);
    server.query("SELECT FROM kept");
    server.kill(Signal::QUIT);
    wait::until("an immediate shutdown", wait::DEADLINE, || !server.is_running());
    server.start();
    server.query("SELECT FROM kept");
    server.set("work_mem", "1234kB");
    wait::until("the reload", wait::DEADLINE, || server.query("SHOW work_mem").one() == "1234kB");
}

#[test]
fn pg_hba_roles_and_certificates_are_as_asked() {
    let authority = Authority::new();
    let server = Setup::new()
        .role("old", Password::Md5("pw1"))
        .role("new", Password::Scram("pw2"))
        .hba("host all old 127.0.0.1/32 md5")
        .hba("hostssl all new 127.0.0.1/32 scram-sha-256")
        .tls(&authority.server())
        .start();
    let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let plain = |user: &str| server.login(user, "app").set("PGSSLMODE", "disable");
    assert_eq!(psql(&plain("old").password("pw1"), sql).ok(), "f");
    assert!(psql(&plain("old").password("no"), sql).failed().contains("authentication failed"));
    assert!(psql(&plain("new").password("pw2"), sql).failed().contains("no pg_hba.conf entry"));

    let home = common::home::Home::new();
    let root = home.file("root.crt", &authority.cert).display().to_string();
    let verified = server
        .login("new", "app")
        .password("pw2")
        .set("PGSSLMODE", "verify-full")
        .set("PGSSLROOTCERT", &root);
    assert_eq!(psql(&verified, sql).ok(), "t");
}

#[test]
fn pgbench_runs_and_python_has_its_drivers() {
    let server = Setup::new().start();
    let login = server.login("app", "app");
    pgbench(&login, &["-i", "-s", "1", "-q"]).ok();
    let run = pgbench(&login, &["-c", "2", "-t", "10", "-M", "prepared"]);
    assert!(run.ok().contains("20/20"), "{}", run.stdout);

    let program = "import asyncpg, psycopg
with psycopg.connect() as c: print(c.execute('SELECT 6*7').fetchone()[0])";
    assert_eq!(common::python(&login, program, &[]).ok(), "42");
}

#[test]
fn a_scripted_server_plays_its_script_and_notes_what_it_was_sent() {
    let script = [Step::login(), Step::query(reply::one_value("n", "7")), vec![Step::Hang]];
    let server = ScriptedServer::start(script.concat());
    let mut client = Wire::tcp(server.port(), "somebody", "db").unwrap();
    assert_eq!(client.query("SELECT 7").unwrap().get(0, "n"), "7");
    let sent = String::from_utf8_lossy(&server.seen()[0].bytes).into_owned();
    assert!(sent.contains("somebody") && sent.contains("SELECT 7"), "{sent:?}");

    let run = psql(&Login::tcp(server.port(), "u", "d"), "SELECT 7");
    assert_eq!(run.ok(), "7", "psql believes it too");
}

#[test]
fn a_scripted_server_can_break_off_in_the_middle_of_a_message() {
    let half = reply::welcome()[..20].to_vec();
    let server = ScriptedServer::start_each(move |number| match number {
        0 => vec![Step::Startup, Step::Send(half.clone()), Step::Close],
        _ => vec![Step::Startup, Step::Reset],
    });
    let login = Login::tcp(server.port(), "u", "d").set("PGSSLMODE", "disable");
    assert!(psql(&login, "SELECT 1").failed().contains("closed the connection unexpectedly"));
    match Wire::tcp(server.port(), "u", "d").err() {
        Some(ServerError::Io(error)) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        other => panic!("a reset, not {other:?}"),
    }
}

/// The other half of the next test: a test process that is killed while it has a server.
#[test]
#[ignore = "run by a_killed_test_leaves_nothing_behind"]
fn hold_a_server_until_killed() {
    let server = Setup::new().start();
    println!("holding {}", server.data().display());
    std::thread::sleep(Duration::from_secs(120));
}

#[test]
fn a_killed_test_leaves_nothing_behind() {
    let mut test = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "hold_a_server_until_killed"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = test.stdout.take().unwrap();
    let mut seen = String::new();
    while !seen.contains("holding ") || !seen.ends_with('\n') {
        let mut block = [0; 256];
        let read = output.read(&mut block).unwrap();
        assert!(read > 0, "it ended early: {seen}");
        seen.push_str(&String::from_utf8_lossy(&block[..read]));
    }
    let data = seen.split("holding ").nth(1).unwrap().lines().next().unwrap();
    let data = std::path::PathBuf::from(data);
    let pids = descendants_with_data(&data);
    test.kill().unwrap();
    test.wait().unwrap();
    wait::until("its servers' end", wait::DEADLINE, || pids.iter().all(|pid| !is_alive(*pid)));
    wait::until("the removal of its folder", wait::DEADLINE, || !data.exists());
}

#[test]
fn metrics_are_read_by_label() {
    let text = "# HELP a_total x\na_total{host=\"h1\",user=\"u\"} 2\na_total{host=\"h2\",user=\"u\"} 3\n\
                a_total_more 9\nplain 4\n";
    let sum = |name, labels: &[(&str, &str)]| common::weir::sum_of(text, name, labels);
    assert_eq!(sum("a_total", &[]), Some(5.0));
    assert_eq!(sum("a_total", &[("host", "h2")]), Some(3.0));
    assert_eq!(sum("a_total", &[("host", "h3")]), None);
    assert_eq!(sum("plain", &[]), Some(4.0));
}

// ---- the pooler's side of the harness, shown on pgbouncer ----

#[test]
fn a_pooler_is_configured_asked_reloaded_and_stopped() {
    let server = Setup::new().start();
    let setup = Weir::setup().pgbouncer().server(&server).setting("pool_mode", "transaction");
    let mut weir = setup.setting("default_pool_size", 3).start();
    assert_eq!(psql(&weir.login("app", "app"), "SELECT 42").ok(), "42");
    assert_eq!(psql(&weir.unix_login("app", "app"), "SELECT 42").ok(), "42");

    let databases = weir.console("SHOW DATABASES");
    let row = databases.find("name", "app").unwrap();
    assert_eq!(databases.get(row, "pool_size"), "3");
    assert_eq!(databases.get(row, "force_user"), "", "NULL reads as empty");
    assert_eq!(weir.console("PAUSE").rows.len(), 0);
    let mut waiting = psql::start_psql(&weir.login("app", "app"), "SELECT 1");
    weir.wait_show("SHOW POOLS", "cl_waiting", "1");
    assert!(waiting.is_running());
    weir.console("RESUME");
    assert_eq!(waiting.finish().ok(), "1");
    assert!(weir.try_console("NONSENSE").failed().contains("NONSENSE"));

    weir.change(|setup| setup.setting("default_pool_size", 4));
    weir.reload();
    weir.wait_show("SHOW DATABASES", "pool_size", "4");
    weir.change(|setup| setup.setting("default_pool_size", 5));
    weir.signal(Signal::HUP);
    weir.wait_log("got SIGHUP");
    weir.wait_show("SHOW DATABASES", "pool_size", "5");
    let folder = weir.dir().to_owned();
    weir.stop();
    assert!(!folder.exists());
}

#[test]
fn a_pooler_that_refuses_its_configuration_says_why() {
    let refused = Weir::setup().pgbouncer().setting("pool_mode", "sideways").try_start();
    let refused = refused.unwrap_err();
    assert!(!refused.status.success());
    assert!(refused.log.contains("sideways") || refused.log.contains("pool_mode"), "{refused:?}");
}

#[test]
fn a_pooler_offers_tls_and_asks_for_passwords_by_its_own_hba() {
    let authority = Authority::new();
    let server = Setup::new().start();
    let weir = Weir::setup()
        .pgbouncer()
        .server(&server)
        .tls(&authority.server())
        .hba("hostssl all all 127.0.0.1/32 scram-sha-256")
        .start();
    let login = |mode| weir.login("app", "app").password("secret").set("PGSSLMODE", mode);
    assert_eq!(psql(&login("require"), "SELECT 42").ok(), "42");
    psql(&login("disable"), "SELECT 42").failed();
}
