//! Who does not exist is not to be told from who does: same messages, same lengths, same words.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bytes::BytesMut;
use common::{Password, Postgres, Setup, Weir, WeirSetup};
use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::{md5_hash, sasl};
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;

/// What a login with a wrong password is sent, message by message: kind, length, and of SCRAM the salt's length and the
/// iterations.
fn refused_login(weir: &Weir, user: &str) -> Vec<String> {
    let mut socket = TcpStream::connect(("127.0.0.1", weir.port())).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut out = BytesMut::new();
    frontend::startup_message([("user", user), ("database", "app")], &mut out).unwrap();
    let mut scram = sasl::ScramSha256::new(b"wrong", sasl::ChannelBinding::unrequested());
    let (mut seen, mut input) = (Vec::new(), BytesMut::new());
    loop {
        socket.write_all(&out).unwrap();
        out.clear();
        let length = input.len();
        let Some(message) = Message::parse(&mut input).unwrap() else {
            let mut block = [0; 4096];
            match socket.read(&mut block).unwrap() {
                0 => return seen,
                read => input.extend_from_slice(&block[..read]),
            }
            continue;
        };
        let length = length - input.len();
        match message {
            Message::AuthenticationCleartextPassword => {
                seen.push(format!("cleartext {length}"));
                frontend::password_message(b"wrong", &mut out).unwrap();
            }
            Message::AuthenticationMd5Password(body) => {
                seen.push(format!("md5 {length}"));
                let hash = md5_hash(user.as_bytes(), b"wrong", body.salt());
                frontend::password_message(hash.as_bytes(), &mut out).unwrap();
            }
            Message::AuthenticationSasl(body) => {
                let names: Vec<String> =
                    body.mechanisms().map(|m| Ok(m.to_owned())).collect().unwrap();
                seen.push(format!("sasl {names:?} {length}"));
                frontend::sasl_initial_response("SCRAM-SHA-256", scram.message(), &mut out)
                    .unwrap();
            }
            Message::AuthenticationSaslContinue(body) => {
                let text = String::from_utf8(body.data().to_vec()).unwrap();
                let (_, rest) = text.split_once(",s=").unwrap();
                let (salt, iterations) = rest.split_once(",i=").unwrap();
                seen.push(format!("continue, salt {}, {iterations}, {length}", salt.len()));
                scram.update(body.data()).unwrap();
                frontend::sasl_response(scram.message(), &mut out).unwrap();
            }
            Message::ErrorResponse(body) => {
                let fields = body
                    .fields()
                    .map(|field| Ok(String::from_utf8_lossy(field.value_bytes()).into_owned()));
                seen.push(format!("error {:?}", fields.collect::<Vec<_>>().unwrap()));
            }
            _ => panic!("a message that does not belong here"),
        }
    }
}

fn asking(server: &Postgres, auth_type: &str) -> WeirSetup {
    Weir::setup().server(server).setting("auth_type", auth_type)
}

fn verifier(server: &Postgres, role: &str) -> String {
    server
        .query(&format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{role}'"))
        .one()
        .to_owned()
}

#[test]
fn with_a_list_of_one_kind_a_stranger_is_asked_as_everybody_in_it() {
    let server = Setup::new().role("ann", Password::Scram("secret")).start();
    let (scram, md5) = (verifier(&server, "ann"), format!("md5{}", "0".repeat(32)));
    // Not PostgreSQL's default: as of one who has raised scram_iterations.
    let other = scram.replace("$4096:", "$5000:");
    for auth_type in ["plain", "md5", "scram-sha-256"] {
        for secret in ["secret", &md5, &scram, &other] {
            if auth_type == "scram-sha-256" && secret == md5 {
                continue; // nobody can log in so
            }
            let mut setup = asking(&server, auth_type).user("app", secret).user("none", "");
            for name in ["a", "b", "c", "d"] {
                setup = setup.user(name, secret);
            }
            // A user without a password counts as one with a plain one.
            let weir = if secret == "secret" { setup } else { setup.user("none", secret) }.start();
            let known = refused_login(&weir, "app");
            assert!(known.len() >= 2, "{known:?}");
            for stranger in ["none", "nobody", "root", "app2"] {
                assert_eq!(
                    refused_login(&weir, stranger),
                    known,
                    "{auth_type} {secret} {stranger}"
                );
            }
            weir.stop();
        }
    }
}

#[test]
fn a_stranger_to_auth_query_is_asked_as_those_whom_it_finds() {
    let server = Setup::new().role("ann", Password::Scram("secret")).start();
    server.query("CREATE ROLE pooler LOGIN SUPERUSER");
    for auth_type in ["plain", "md5", "scram-sha-256"] {
        let weir = asking(&server, auth_type)
            .setting("auth_user", "pooler")
            .user("pooler", "unused")
            .start();
        // Before anybody was found too.
        let stranger = refused_login(&weir, "nobody");
        let known = refused_login(&weir, "ann");
        assert_eq!(stranger, known, "{auth_type}");
        assert_eq!(refused_login(&weir, "nobody"), known, "{auth_type}");
        weir.stop();
    }
}

#[test]
fn scram_iterations_are_those_of_plain_passwords_and_a_reload_changes_them() {
    let server = Setup::new().start();
    let mut weir = asking(&server, "scram-sha-256").setting("scram_iterations", 1000).start();
    let of = |weir: &Weir, user: &str| refused_login(weir, user)[1].clone();
    for user in ["app", "nobody"] {
        assert!(of(&weir, user).contains(", 1000, "), "{}", of(&weir, user));
    }
    let login =
        |weir: &Weir| common::psql(&weir.login("app", "app").password("secret"), "SELECT 42");
    assert_eq!(login(&weir).ok(), "42");
    weir.change(|setup| setup.setting("scram_iterations", 2000));
    weir.signal(common::Signal::HUP);
    common::wait::until("scram_iterations to be in force", common::wait::DEADLINE, || {
        of(&weir, "app").contains(", 2000, ")
    });
    assert!(of(&weir, "nobody").contains(", 2000, "));
    assert_eq!(login(&weir).ok(), "42");
    weir.stop();
}
