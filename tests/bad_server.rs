//! A server that speaks garbage, or dies, at each step of a login and of a query: its client gets a
//! clear error, the operator the reason, and the next client a server that works.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use bytes::BytesMut;
use common::scripted::reply;
use common::{ScriptedServer, ServerError, Step, Weir, Wire, wait};
use postgres_protocol::message::frontend;

/// What pgweir logs in with, where it is asked.
const PASSWORD: &str = "hush-hush-7";

/// What a server does, and what comes of it.
struct Case {
    name: &'static str,
    script: Vec<Step>,
    /// What the client is told: SQLSTATE and words.
    told: (&'static str, &'static str),
    /// Words for the operator.
    logged: &'static str,
}

fn case(
    name: &'static str,
    script: Vec<Step>,
    told: (&'static str, &'static str),
    logged: &'static str,
) -> Case {
    Case { name, script, told, logged }
}

/// A server that plays its part until it is told to behave.
struct Actor {
    server: ScriptedServer,
    behaves: Arc<AtomicBool>,
}

impl Actor {
    /// It plays the script on every connection while it does not behave.
    fn start(script: Vec<Step>) -> Self {
        let behaves = Arc::new(AtomicBool::new(false));
        let behaving = behaves.clone();
        let server = ScriptedServer::start_each(move |_| match behaving.load(Ordering::SeqCst) {
            true => good(),
            false => script.clone(),
        });
        Self { server, behaves }
    }
}

/// A server as it should be, for a few queries.
fn good() -> Vec<Step> {
    let mut script = Step::login();
    for _ in 0..5 {
        script.extend(Step::query(reply::one_value("answer", "42")));
    }
    script.push(Step::Hang);
    script
}

/// pgweir before all these servers: each is an entry with the case's name.
fn start(cases: &[Case]) -> (Weir, Vec<Actor>) {
    let actors: Vec<_> = cases.iter().map(|case| Actor::start(case.script.clone())).collect();
    let setup = Weir::setup()
        .user("app", PASSWORD)
        .setting("pool_mode", "transaction")
        .setting("default_pool_size", 1)
        .setting("server_connect_timeout", 1)
        .setting("server_login_retry", 1)
        .setting("query_wait_timeout", 3);
    let setup = cases.iter().zip(&actors).fold(setup, |setup, (case, actor)| {
        let port = actor.server.port();
        setup.database(&format!("{} = host=127.0.0.1 port={port} dbname=app", case.name))
    });
    (setup.start(), actors)
}

fn said(error: &ServerError) -> (String, String) {
    match error {
        ServerError::Sql { code, message, .. } => (code.clone(), message.clone()),
        ServerError::Io(error) => (String::new(), error.to_string()),
    }
}

/// Runs all clients at the same time; what each was told.
fn at_once(
    cases: &[Case],
    client: impl Fn(&Case) -> Option<ServerError> + Sync,
) -> Vec<(String, String)> {
    thread::scope(|scope| {
        let clients = cases.iter().map(|case| scope.spawn(|| client(case)));
        let clients: Vec<_> = clients.collect();
        let told = clients.into_iter().zip(cases).map(|(client, case)| {
            said(&client.join().unwrap().unwrap_or_else(|| panic!("{}: no error", case.name)))
        });
        told.collect()
    })
}

/// The outcome of all cases at once, so that one run shows all that is wrong.
fn check(cases: &[Case], outcomes: &[(String, String)], log: &str) {
    let mut wrong = String::new();
    for (case, (code, message)) in cases.iter().zip(outcomes) {
        if code != case.told.0 || !message.contains(case.told.1) {
            wrong += &format!("{}: client was told {code:?} {message:?}\n", case.name);
        }
        let entry = format!("{}/app", case.name);
        if !log.lines().any(|line| line.contains(&entry) && line.contains(case.logged)) {
            let lines: Vec<_> = log.lines().filter(|line| line.contains(&entry)).collect();
            wrong += &format!("{}: not in the log: {:?}; {lines:#?}\n", case.name, case.logged);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(!log.contains(PASSWORD), "a password in the log:\n{log}");
}

/// All servers behave from now on, and all entries work.
fn recovers(weir: &Weir, cases: &[Case], actors: &[Actor]) {
    for actor in actors {
        actor.behaves.store(true, Ordering::SeqCst);
    }
    for case in cases {
        let answer = wait::ok(case.name, wait::DEADLINE, || {
            Wire::tcp(weir.port(), "app", case.name)?.query("SELECT 42")
        });
        assert_eq!(answer.one(), "42", "{}", case.name);
    }
}

#[test]
fn a_server_that_fails_at_any_step_of_the_login() {
    use reply::message;
    let after_startup = |bytes: Vec<u8>| vec![Step::Startup, Step::Send(bytes), Step::Close];
    let then = |steps: &[Step]| [&[Step::Startup][..], steps].concat();
    let ask = |kind: u32, body: &[u8]| message(b'R', &[&kind.to_be_bytes(), body].concat());
    let ok = reply::authentication_ok;
    const FAILED: &str = "08001";
    // As pgbouncer: the client of a pool that never had a server waits for one, while it is tried
    // again and again.
    const UNREACHABLE: (&str, &str) = ("53300", "query_wait_timeout");
    const SENSELESS: (&str, &str) = (FAILED, "server sent a message that makes no sense");
    const PROTOCOL: &str = "does not speak PostgreSQL's protocol";
    let cases = [
        case("closes_at_once", vec![Step::Close], UNREACHABLE, "cannot reach"),
        case("resets_at_once", vec![Step::Reset], UNREACHABLE, "cannot reach"),
        case("says_nothing", vec![Step::Hang], UNREACHABLE, "server_connect_timeout"),
        case(
            "odd_answer_to_ssl",
            vec![Step::Read(8), Step::Send(b"X".to_vec()), Step::Close],
            UNREACHABLE,
            "is this a PostgreSQL server?",
        ),
        case(
            "garbage_after_s",
            vec![Step::Read(8), Step::Send(b"Sthis is no TLS at all".to_vec()), Step::Close],
            UNREACHABLE,
            "cannot reach",
        ),
        case("closes_after_startup", vec![Step::Startup, Step::Close], UNREACHABLE, "cannot reach"),
        case("resets_after_startup", vec![Step::Startup, Step::Reset], UNREACHABLE, "cannot reach"),
        case(
            "silent_after_startup",
            vec![Step::Startup, Step::Hang],
            UNREACHABLE,
            "server_connect_timeout",
        ),
        case(
            "http",
            after_startup(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
            SENSELESS,
            PROTOCOL,
        ),
        case("short_length", after_startup(b"R\0\0\0\x03".to_vec()), SENSELESS, PROTOCOL),
        case("two_gigabytes", after_startup(b"R\x7f\xff\xff\xff".to_vec()), SENSELESS, PROTOCOL),
        case("negative_length", after_startup(b"R\xff\xff\xff\xff".to_vec()), SENSELESS, PROTOCOL),
        case(
            "half_a_message",
            after_startup(b"R\0\0\0\x08\0\0".to_vec()),
            UNREACHABLE,
            "cannot reach",
        ),
        case("wrong_type", after_startup(message(b'D', &[0, 0])), SENSELESS, PROTOCOL),
        case(
            "refuses",
            after_startup(reply::error("FATAL", "28000", "no pg_hba.conf entry")),
            ("28000", "no pg_hba.conf entry"),
            "no pg_hba.conf entry",
        ),
        case(
            "broken_refusal",
            after_startup(message(b'E', b"SFATAL\0Cno end")),
            SENSELESS,
            PROTOCOL,
        ),
        case(
            "empty_request",
            after_startup(message(b'R', b"")),
            (FAILED, "server login failed"),
            "cannot log in",
        ),
        case(
            "kerberos",
            after_startup(ask(2, b"")),
            (FAILED, "server login failed"),
            "cannot log in",
        ),
        case(
            "half_a_salt",
            after_startup(ask(5, b"\x01\x02")),
            (FAILED, "server login failed"),
            "cannot log in",
        ),
        case(
            "unknown_mechanism",
            after_startup(ask(10, b"OAUTHBEARER\0\0")),
            (FAILED, "server login failed"),
            "cannot log in",
        ),
        case(
            "another_nonce",
            then(&[
                Step::Send(ask(10, b"SCRAM-SHA-256\0\0")),
                Step::Message(b'p'),
                Step::Send(ask(11, b"r=somebody else's,s=c2FsdHNhbHQ=,i=4096")),
                Step::Close,
            ]),
            (FAILED, "server login failed"),
            "cannot log in",
        ),
        case(
            "final_before_its_turn",
            then(&[
                Step::Send(ask(10, b"SCRAM-SHA-256\0\0")),
                Step::Message(b'p'),
                Step::Send(ask(12, b"v=bm8gc2lnbmF0dXJl")),
                Step::Close,
            ]),
            (FAILED, "server login failed"),
            "cannot log in",
        ),
        case(
            "ok_in_the_middle_of_scram",
            then(&[
                Step::Send(ask(10, b"SCRAM-SHA-256\0\0")),
                Step::Message(b'p'),
                Step::Send(reply::welcome()),
                Step::Hang,
            ]),
            (FAILED, "server login failed"),
            "cannot log in",
        ),
        case(
            "closes_before_final",
            then(&[Step::Send(ask(10, b"SCRAM-SHA-256\0\0")), Step::Message(b'p'), Step::Close]),
            UNREACHABLE,
            "cannot reach",
        ),
        case("closes_after_ok", after_startup(ok()), UNREACHABLE, "cannot reach"),
        case(
            "broken_parameter",
            after_startup([ok(), message(b'S', b"server_version")].concat()),
            SENSELESS,
            PROTOCOL,
        ),
        case(
            "closes_in_parameters",
            after_startup([ok(), reply::parameter("server_version", "15.0")].concat()),
            UNREACHABLE,
            "cannot reach",
        ),
        case(
            "broken_key",
            after_startup([ok(), message(b'K', b"\0\0")].concat()),
            SENSELESS,
            PROTOCOL,
        ),
        case(
            "row_instead_of_ready",
            after_startup([ok(), message(b'D', &[0, 0])].concat()),
            SENSELESS,
            PROTOCOL,
        ),
        case(
            "full",
            after_startup(
                [ok(), reply::error("FATAL", "53300", "sorry, too many clients already")].concat(),
            ),
            ("53300", "sorry, too many clients already"),
            "sorry, too many clients already",
        ),
    ];
    let (weir, actors) = start(&cases);
    let outcomes = at_once(&cases, |case| Wire::tcp(weir.port(), "app", case.name).err());
    check(&cases, &outcomes, &weir.log());
    recovers(&weir, &cases, &actors);
    weir.stop();
}

#[test]
fn a_server_that_fails_at_any_step_of_a_query() {
    let cases = query_cases(&[Step::Message(b'Q')]);
    let (weir, actors) = start(&cases);
    let outcomes = at_once(&cases, |case| {
        Wire::tcp(weir.port(), "app", case.name).unwrap().query("SELECT 42").err()
    });
    check(&cases, &outcomes, &weir.log());
    recovers(&weir, &cases, &actors);
    weir.stop();
}

#[test]
fn a_server_that_fails_at_any_step_of_an_extended_query() {
    let steps = [b'P', b'B', b'D', b'E', b'S'].map(Step::Message);
    let mut cases = query_cases(&steps);
    for case in &mut cases {
        // What a simple query is answered with, as its counterpart.
        for step in &mut case.script {
            if let Step::Send(bytes) = step
                && bytes.first() == Some(&b'T')
            {
                bytes.splice(0..0, *b"1\0\0\0\x042\0\0\0\x04");
            }
        }
    }
    let (weir, actors) = start(&cases);
    let mut message = BytesMut::new();
    frontend::parse("", "SELECT 42", [], &mut message).unwrap();
    message.extend_from_slice(b"B\0\0\0\x0c\0\0\0\0\0\0\0\0"); // no names, no parameters
    frontend::describe(b'P', "", &mut message).unwrap();
    frontend::execute("", 0, &mut message).unwrap();
    frontend::sync(&mut message);
    let outcomes = at_once(&cases, |case| {
        let mut wire = Wire::tcp(weir.port(), "app", case.name).unwrap();
        wire.send(&message).unwrap();
        wire.answer().err()
    });
    check(&cases, &outcomes, &weir.log());
    recovers(&weir, &cases, &actors);
    weir.stop();
}

/// What may go wrong once a server has read these messages.
fn query_cases(asked: &[Step]) -> Vec<Case> {
    use reply::{complete, message, one_value, ready};
    const CRASHED: (&str, &str) = ("08006", "server conn crashed?");
    const LOST: &str = "lost its server";
    const NONSENSE: &str = "makes no sense";
    let row = {
        let whole = one_value("answer", "42");
        let end = whole.len() - complete("SELECT 1").len() - ready(b'I').len();
        whole[..end].to_vec()
    };
    let after =
        |bytes: Vec<u8>, end: Step| [&Step::login()[..], asked, &[Step::Send(bytes), end]].concat();
    let cut = |bytes: Vec<u8>| after(bytes, Step::Close);
    let garbage = |bytes: Vec<u8>| after(bytes, Step::Hang);
    vec![
        case("closes", [&Step::login()[..], asked, &[Step::Close]].concat(), CRASHED, LOST),
        case("resets", [&Step::login()[..], asked, &[Step::Reset]].concat(), CRASHED, LOST),
        case("closes_in_a_head", cut(b"T\0".to_vec()), CRASHED, LOST),
        // Half of it is with the client: words would be read as the other half.
        case("closes_in_a_description", cut(row[..10].to_vec()), ("", "end of file"), LOST),
        case("closes_after_a_row", cut(row.clone()), CRASHED, LOST),
        case("resets_after_a_row", after(row.clone(), Step::Reset), CRASHED, LOST),
        case(
            "closes_before_ready",
            cut([row.clone(), complete("SELECT 1")].concat()),
            CRASHED,
            LOST,
        ),
        case(
            "closes_in_ready",
            cut([row.clone(), complete("SELECT 1"), ready(b'I')[..5].to_vec()].concat()),
            CRASHED,
            LOST,
        ),
        case(
            "last_words",
            cut(reply::error("FATAL", "57P01", "terminating connection")),
            ("57P01", "terminating connection"),
            LOST,
        ),
        case(
            "last_words_after_a_row",
            cut([row.clone(), reply::error("FATAL", "57P02", "crash shutdown")].concat()),
            ("57P02", "crash shutdown"),
            LOST,
        ),
        case("http", garbage(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()), CRASHED, NONSENSE),
        case("unknown_type", garbage(message(b'~', b"")), CRASHED, "answers no request"),
        case("short_length", garbage(b"D\0\0\0\x03".to_vec()), CRASHED, NONSENSE),
        case("negative_length", garbage(b"D\xff\xff\xff\xff".to_vec()), CRASHED, NONSENSE),
        case(
            "ready_with_an_odd_status",
            garbage([row.clone(), complete("SELECT 1"), ready(b'?')].concat()),
            CRASHED,
            NONSENSE,
        ),
        case(
            "ready_without_a_status",
            garbage([row.clone(), complete("SELECT 1"), message(b'Z', b"")].concat()),
            CRASHED,
            NONSENSE,
        ),
        case("broken_parameter", garbage(message(b'S', b"TimeZone")), CRASHED, NONSENSE),
        case("login_again", garbage(reply::welcome()), CRASHED, "answers no request"),
        case("an_answer_to_nothing", garbage(message(b'n', b"")), CRASHED, "answers no request"),
    ]
}
