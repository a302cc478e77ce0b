//! What PostgreSQL says before it ends a connection reaches the client: its text and SQLSTATE, whatever was under way.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use std::time::Duration;

use common::raw::{Answer, Raw};
use common::tls::Authority;
use common::{Postgres, Setup, Signal, Weir, wait};

const WAIT: Duration = Duration::from_secs(30);

/// What a client is doing when its server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    /// Nothing; session mode only, where it keeps its server.
    Nothing,
    IdleInTransaction,
    Query,
    CopyIn,
    CopyOut,
}

use Doing::{CopyIn, CopyOut, IdleInTransaction, Nothing, Query};

/// Brings a client of a server to do it, and answers with the server process.
fn begin(doing: Doing, client: &mut Raw, server: &Postgres) -> String {
    let pid = client.value("SELECT pg_backend_pid()");
    let state = match doing {
        Nothing => "idle",
        IdleInTransaction => {
            assert_eq!(client.query("BEGIN").error, None);
            "idle in transaction"
        }
        Query => {
            client.start("SELECT pg_sleep(1000)");
            "active"
        }
        CopyIn => {
            client.start("COPY sink FROM STDIN");
            assert_eq!(client.read().unwrap().0, b'G');
            client.send(b"d\0\0\0\x061\n");
            "active"
        }
        CopyOut => {
            client.start("COPY (SELECT repeat('x', 20000), pg_sleep(CASE WHEN i > 5 THEN 1000 ELSE 0 END) FROM generate_series(1, 9) i) TO STDOUT");
            assert_eq!(client.read().unwrap().0, b'H');
            "active"
        }
    };
    wait::until("the server process is so far", WAIT, || {
        let asked = format!("SELECT state FROM pg_stat_activity WHERE pid = {pid}");
        server.query(&asked).one() == state
    });
    pid
}

fn setup() -> Setup {
    Setup::new().sql("CREATE TABLE sink (i int)").sql("ALTER TABLE sink OWNER TO app")
}

fn weir(server: &Postgres, mode: &str) -> Weir {
    Weir::setup().server(server).setting("pool_mode", mode).start()
}

#[track_caller]
fn is_fatal(answer: &Answer, code: &str, text: &str, story: &str) {
    let error = answer.error.as_ref().unwrap_or_else(|| panic!("{story}: {answer:?}"));
    let told = (error.code().as_str().to_owned(), error.message());
    assert_eq!(told, (code.to_owned(), text.to_owned()), "{story}");
    assert!(error.is_fatal() && answer.closed, "{story}");
}

#[test]
fn a_terminated_backends_words_reach_the_client_whatever_it_was_doing() {
    let server = setup().start();
    for mode in ["session", "transaction"] {
        let weir = weir(&server, mode);
        for doing in [Nothing, IdleInTransaction, Query, CopyIn, CopyOut] {
            if mode == "transaction" && doing == Nothing {
                continue;
            }
            let (mut client, _) = Raw::login(weir.port(), 0, &[]).unwrap();
            let pid = begin(doing, &mut client, &server);
            server.query(&format!("SELECT pg_terminate_backend({pid})"));
            let text = "terminating connection due to administrator command";
            is_fatal(&client.answer(), "57P01", text, &format!("{mode}, {doing:?}"));
        }
        // Nobody else is harmed.
        let (mut client, _) = Raw::login(weir.port(), 0, &[]).unwrap();
        assert_eq!(client.value("SELECT 1"), "1");
    }
}

#[test]
fn timeouts_of_the_server_reach_the_client() {
    let server = setup().start();
    for (mode, setting, doing, code, text) in [
        (
            "transaction",
            "idle_in_transaction_session_timeout",
            "BEGIN",
            "25P03",
            "terminating connection due to idle-in-transaction timeout",
        ),
        (
            "session",
            "idle_in_transaction_session_timeout",
            "BEGIN",
            "25P03",
            "terminating connection due to idle-in-transaction timeout",
        ),
        (
            "session",
            "idle_session_timeout",
            "SELECT 1",
            "57P05",
            "terminating connection due to idle-session timeout",
        ),
    ] {
        let weir = weir(&server, mode);
        let (mut client, _) = Raw::login(weir.port(), 0, &[(setting, "200")]).unwrap();
        client.query(doing);
        is_fatal(&client.answer(), code, text, setting);
    }
}

#[test]
fn a_fast_shutdown_is_told_to_those_it_hits() {
    for (mode, doing) in [
        ("session", Nothing),
        ("session", CopyIn),
        ("transaction", IdleInTransaction),
        ("transaction", Query),
    ] {
        let mut server = setup().start();
        let weir = weir(&server, mode);
        let (mut client, _) = Raw::login(weir.port(), 0, &[]).unwrap();
        begin(doing, &mut client, &server);
        server.kill(Signal::INT);
        let text = "terminating connection due to administrator command";
        is_fatal(&client.answer(), "57P01", text, &format!("{mode}, {doing:?}"));
    }
}

/// An immediate shutdown says good-bye with a WARNING; then there is nothing left but our own words.
#[test]
fn an_immediate_shutdown_passes_on_the_warning_and_ends_in_one_error() {
    for (mode, doing) in
        [("session", Nothing), ("transaction", IdleInTransaction), ("transaction", Query)]
    {
        let mut server = setup().start();
        let weir = weir(&server, mode);
        let (mut client, _) = Raw::login(weir.port(), 0, &[]).unwrap();
        begin(doing, &mut client, &server);
        server.kill(Signal::QUIT);
        let mut seen = Vec::new();
        while let Some((tag, body)) = client.read() {
            seen.push((tag, String::from_utf8_lossy(&body).into_owned()));
        }
        let story = format!("{mode}, {doing:?}: {seen:?}");
        let tags: Vec<_> = seen.iter().map(|(tag, _)| char::from(*tag)).collect();
        assert!(tags.ends_with(&['N', 'E']), "{story}");
        let seen = &seen[seen.len() - 2..];
        assert!(
            seen[0].1.contains("terminating connection due to immediate shutdown command"),
            "{story}"
        );
        assert!(
            seen[1].1.contains("C08006\0") && seen[1].1.contains("server conn crashed?"),
            "{story}"
        );
    }
}

#[test]
fn through_tls_the_words_are_the_same() {
    let authority = Authority::new();
    let server = setup().tls(&authority.server()).start();
    let weir = Weir::setup()
        .server(&server)
        .setting("pool_mode", "session")
        .setting("server_tls_sslmode", "require")
        .tls(&authority.server())
        .start();
    let login = weir.login("app", "app").set("PGSSLMODE", "require");
    let run = common::psql(&login, "SELECT pg_terminate_backend(pg_backend_pid())");
    let words = run.failed();
    assert!(
        words.contains("FATAL:  terminating connection due to administrator command"),
        "{words}"
    );
}

/// Whether all threads of a process are stopped: the signal takes its time with those that run.
fn is_stopped(pid: rustix::process::Pid) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero())).unwrap();
    tasks.flatten().all(|task| {
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('T'))
    })
}

/// The server is gone when the client's next message is written to it: its words were sent before, and are still read.
#[test]
fn a_write_to_a_server_that_has_said_good_bye_still_brings_its_words() {
    for mode in ["session", "transaction"] {
        let server = setup().start();
        let weir = weir(&server, mode);
        for _ in 0..5 {
            let (mut client, _) = Raw::login(weir.port(), 0, &[]).unwrap();
            let pid = begin(IdleInTransaction, &mut client, &server);
            // pgweir sleeps while the server ends and the client goes on.
            rustix::process::kill_process(weir.pid(), Signal::STOP).unwrap();
            wait::until("every thread of pgweir has stopped", WAIT, || is_stopped(weir.pid()));
            server.query(&format!("SELECT pg_terminate_backend({pid}, 20000)"));
            let big = "SELECT 1 /* ".to_owned() + &"x".repeat(1_000_000) + "*/";
            client.start(&big);
            rustix::process::kill_process(weir.pid(), Signal::CONT).unwrap();
            let text = "terminating connection due to administrator command";
            is_fatal(&client.answer(), "57P01", text, mode);
        }
    }
}
