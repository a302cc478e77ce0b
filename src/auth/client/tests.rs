use postgres_protocol::authentication::{md5_hash, sasl};

use super::*;
use crate::auth::mock::Likeness;
use crate::auth::random::MockKey;
use crate::metrics::AuthFailure;

const DRAWS: Draws = Draws { nonce: [4; 18], md5_salt: [1, 2, 3, 4] };

/// Of a user among others that look like this one, if he exists, else like `stranger`.
fn login_among(
    auth_type: Exchange,
    secret: Option<&str>,
    stranger: Option<Likeness>,
) -> ClientLogin {
    let secret = secret.map(Secret::parse);
    let own = secret.as_ref().map_or(Likeness::Plain, Likeness::of);
    let looks = Looks {
        key: MockKey::from_bytes([6; 32]),
        stranger: stranger.unwrap_or(own),
        scram_iterations: 8,
    };
    ClientLogin::new(auth_type, "joe", secret, &DRAWS, &looks)
}

fn login(auth_type: Exchange, secret: Option<&str>) -> ClientLogin {
    login_among(auth_type, secret, None)
}

/// What a client answers to what it was sent, as libpq does.
struct Peer {
    password: &'static str,
    scram: Option<sasl::ScramSha256>,
}

impl Peer {
    fn new(password: &'static str) -> Self {
        Self { password, scram: None }
    }

    fn answer(&mut self, message: &Bytes) -> Bytes {
        match Authentication::decode(message.slice(5..)).unwrap() {
            Authentication::CleartextPassword => format!("{}\0", self.password).into(),
            Authentication::Md5Password { salt } => {
                format!("{}\0", md5_hash(b"joe", self.password.as_bytes(), salt)).into()
            }
            Authentication::Sasl { mechanisms } => {
                assert_eq!(mechanisms, ["SCRAM-SHA-256"]);
                let binding = sasl::ChannelBinding::unrequested();
                let scram =
                    self.scram.insert(sasl::ScramSha256::new(self.password.as_bytes(), binding));
                initial("SCRAM-SHA-256", scram.message())
            }
            Authentication::SaslContinue { data } => {
                let scram = self.scram.as_mut().unwrap();
                scram.update(&data).unwrap();
                Bytes::copy_from_slice(scram.message())
            }
            other => panic!("{other:?}"),
        }
    }
}

fn initial(mechanism: &str, data: &[u8]) -> Bytes {
    [mechanism.as_bytes(), &[0], &(data.len() as u32).to_be_bytes(), data].concat().into()
}

/// Runs a login to its end; also which messages were sent (their codes and lengths).
fn run(mut login: ClientLogin, password: &'static str) -> (ClientStep, Vec<(u8, usize)>) {
    let mut peer = Peer::new(password);
    let mut sent = Vec::new();
    let mut step = login.start();
    loop {
        step = match &step {
            ClientStep::Send(message) => {
                sent.push((message[8], message.len()));
                login.message(peer.answer(message))
            }
            ClientStep::Derive(derivation) => {
                sent.push((b'D', derivation.iterations as usize));
                login.derived(&derivation.run())
            }
            ClientStep::Accepted { .. } | ClientStep::Refused(_) => break,
        };
    }
    if let (ClientStep::Accepted { send: Some(send), .. }, Some(scram)) = (&step, &mut peer.scram) {
        let Ok(Authentication::SaslFinal { data }) = Authentication::decode(send.slice(5..)) else {
            panic!()
        };
        scram.finish(&data).unwrap();
    }
    (step, sent)
}

fn accepted(step: &ClientStep) -> bool {
    matches!(step, ClientStep::Accepted { .. })
}

fn refused(step: ClientStep) -> AuthError {
    let ClientStep::Refused(error) = step else { panic!("{step:?}") };
    error
}

#[test]
fn nobody_can_make_us_compute_what_his_secret_asks_for() {
    let secret = scram_secret().replacen("4096", "2147483647", 1);
    let (step, _) = run(login(Exchange::Plain, Some(&secret)), "pencil");
    assert!(matches!(refused(step).reason, Reason::WrongKind { .. }));
}

fn scram_secret() -> String {
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:\
     wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        .to_owned()
}

fn md5_secret() -> String {
    format!("md5{}", String::from_utf8(md5::stored(b"pencil", "joe").to_vec()).unwrap())
}

#[test]
fn the_right_password_gets_in_with_every_method_and_kind_of_secret_that_fit() {
    let (scram, md5) = (scram_secret(), md5_secret());
    for (auth_type, secret) in [
        (Exchange::Plain, "pencil"),
        (Exchange::Plain, &md5),
        (Exchange::Plain, &scram),
        (Exchange::Md5, "pencil"),
        (Exchange::Md5, &md5),
        (Exchange::Md5, &scram),
        (Exchange::ScramSha256, "pencil"),
        (Exchange::ScramSha256, &scram),
    ] {
        let (step, _) = run(login(auth_type, Some(secret)), "pencil");
        assert!(accepted(&step), "{auth_type:?} {secret} {step:?}");
        let (step, _) = run(login(auth_type, Some(secret)), "pen");
        assert_eq!(refused(step).reason, Reason::WrongPassword, "{auth_type:?} {secret}");
    }
}

#[test]
fn trust_wants_a_user_that_exists_and_any_wants_nothing() {
    assert!(accepted(&login(Exchange::Any, None).start()));
    assert!(accepted(&login(Exchange::Trust, Some("")).start()));
    let error = refused(login(Exchange::Trust, None).start());
    assert_eq!(error.client_message(), "\"trust\" authentication failed");
    assert_eq!(error.sqlstate(), "28000");
    assert_eq!(error.failure(), AuthFailure::UnknownUser);
}

#[test]
fn an_unknown_user_is_asked_and_refused_as_one_with_a_wrong_password() {
    let (scram, md5) = (scram_secret(), md5_secret());
    for auth_type in [Exchange::Plain, Exchange::Md5, Exchange::ScramSha256] {
        for secret in ["pencil", &md5, &scram] {
            let likeness = Some(Likeness::of(&Secret::parse(secret)));
            let (known, known_sent) = run(login(auth_type, Some(secret)), "wrong");
            let (unknown, unknown_sent) = run(login_among(auth_type, None, likeness), "wrong");
            let (none, none_sent) = run(login_among(auth_type, Some(""), likeness), "wrong");
            // Keys from a stored password are computed once in the life of a process, and at its start.
            let known_sent: Vec<_> = match (auth_type, secret) {
                (Exchange::ScramSha256, "pencil") => {
                    known_sent.into_iter().filter(|(code, _)| *code != b'D').collect()
                }
                _ => known_sent,
            };
            assert_eq!(known_sent, unknown_sent, "{auth_type:?} {secret}");
            assert_eq!(known_sent, none_sent);
            let (known, unknown, none) = (refused(known), refused(unknown), refused(none));
            assert_eq!(known.client_message(), unknown.client_message());
            assert_eq!(known.sqlstate(), unknown.sqlstate());
            assert_eq!(unknown.failure(), AuthFailure::UnknownUser);
            assert_eq!(none.reason, Reason::NoPassword);
            assert_eq!(none.client_message(), known.client_message());
        }
    }
}

#[test]
fn a_stranger_does_not_get_in_with_any_password_that_his_lookalike_might_have() {
    for likeness in [Likeness::Plain, Likeness::Md5, Likeness::POSTGRESQL] {
        for auth_type in [Exchange::Plain, Exchange::Md5, Exchange::ScramSha256] {
            for password in ["nobody's", "", "x"] {
                if password.is_empty() && auth_type == Exchange::ScramSha256 {
                    continue; // the client refuses to send that
                }
                let (step, _) = run(login_among(auth_type, None, Some(likeness)), password);
                refused(step);
            }
        }
    }
}

#[test]
fn the_salt_and_the_iterations_of_a_name_stay_and_are_those_of_its_likeness() {
    let first = |secret, stranger| {
        let mut login = login_among(Exchange::ScramSha256, secret, stranger);
        login.start();
        let scram = sasl::ScramSha256::new(b"x", sasl::ChannelBinding::unrequested());
        let ClientStep::Send(message) = login.message(initial("SCRAM-SHA-256", scram.message()))
        else {
            panic!("no server-first-message")
        };
        let text = String::from_utf8_lossy(&message[9..]).into_owned();
        text.split_once(",s=").map(|(_, rest)| rest.to_owned()).expect("a salt")
    };
    let plain = first(Some("pencil"), None);
    assert!(plain.ends_with("==,i=8"), "{plain}");
    assert_eq!(first(None, Some(Likeness::Plain)), plain);
    let likeness = Likeness::Scram { salt_bytes: 33, iterations: 10_000 };
    let other = first(None, Some(likeness));
    assert!(other.len() == 44 + ",i=10000".len() && other.ends_with(",i=10000"), "{other}");
    assert_eq!(first(None, Some(likeness)), other);
}

#[test]
fn refusals_read_as_pgbouncers() {
    let of = |auth_type, secret, password| {
        let error = refused(run(login(auth_type, secret), password).0);
        (error.client_message(), error.sqlstate())
    };
    assert_eq!(of(Exchange::Plain, Some("a"), "b"), ("password authentication failed", "28P01"));
    assert_eq!(of(Exchange::Md5, Some("a"), "b"), ("password authentication failed", "28P01"));
    assert_eq!(of(Exchange::ScramSha256, Some("a"), "b"), ("SASL authentication failed", "28P01"));
    assert_eq!(of(Exchange::Plain, Some("a"), ""), ("empty password returned by client", "28P01"));
}

#[test]
fn an_md5_secret_does_not_serve_scram_and_the_operator_learns_it() {
    let (step, _) = run(login(Exchange::ScramSha256, Some(&md5_secret())), "pencil");
    let error = refused(step);
    assert_eq!(error.client_message(), "SASL authentication failed");
    let shown = error.to_string();
    assert!(shown.contains("\"joe\"") && shown.contains("an md5 secret"), "{shown}");
}

#[test]
fn a_scram_login_gives_away_keys_and_a_plain_one_the_password() {
    let (step, _) = run(login(Exchange::Md5, Some(&scram_secret())), "pencil");
    let ClientStep::Accepted { proven: Proven::Scram(keys), send: Some(_) } = step else {
        panic!("{step:?}")
    };
    assert_eq!(keys.iterations, 4096);
    let (step, _) = run(login(Exchange::Plain, Some(&scram_secret())), "pencil");
    let ClientStep::Accepted { proven: Proven::Password(password), send: None } = step else {
        panic!()
    };
    assert_eq!(password.reveal(), "pencil");
}

#[test]
fn password_messages_that_are_no_string_are_refused() {
    for body in [&b""[..], b"pencil", b"pencil\0\0", b"pen\0cil\0"] {
        let mut login = login(Exchange::Plain, Some("pencil"));
        login.start();
        let error = refused(login.message(Bytes::copy_from_slice(body)));
        assert_eq!(
            (error.failure(), error.sqlstate()),
            (AuthFailure::Protocol, "08P01"),
            "{body:?}"
        );
    }
    let mut login = login(Exchange::Plain, Some("pencil"));
    login.start();
    let error =
        refused(login.message([vec![b'x'; MAX_PASSWORD_BYTES + 1], vec![0]].concat().into()));
    assert_eq!(error.client_message(), "password too long");
}

#[test]
fn sasl_messages_that_do_not_fit_are_refused() {
    for body in [
        Bytes::new(),
        initial("SCRAM-SHA-256-PLUS", b"p=tls-server-end-point,,n=,r=abc"),
        initial("SCRAM-SHA-1", b"n,,n=,r=abc"),
        initial("SCRAM-SHA-256", b""),
        initial("SCRAM-SHA-256", b"n,,n=,r="),
        Bytes::from_static(b"SCRAM-SHA-256\0\xff\xff\xff\xff"),
        Bytes::from_static(b"SCRAM-SHA-256\0\x7f\xff\xff\xffn,,n=,r=abc"),
    ] {
        for secret in [Some("pencil"), None] {
            let mut login = login(Exchange::ScramSha256, secret);
            login.start();
            let error = refused(login.message(body.clone()));
            let not_offered =
                body.starts_with(b"SCRAM-SHA-1\0") || body.starts_with(b"SCRAM-SHA-256-PLUS\0");
            let words = match not_offered {
                true => "client selected an invalid SASL authentication mechanism",
                false => "SASL authentication failed",
            };
            assert_eq!(error.client_message(), words);
            assert_eq!(error.failure(), AuthFailure::Protocol, "{body:?}");
        }
    }
}

#[test]
fn over_tls_channel_binding_is_offered_to_everybody_and_checked() {
    let binding = |hash: [u8; 32]| sasl::ChannelBinding::tls_server_end_point(hash.to_vec());
    let attempt = |secret, mechanism: &str, binding| {
        let mut login =
            login(Exchange::ScramSha256, secret).bound_to(Some(Arc::from([9; 32].as_slice())));
        let ClientStep::Send(offer) = login.start() else { panic!("nothing was offered") };
        assert_eq!(
            Authentication::decode(offer.slice(5..)),
            Ok(Authentication::Sasl {
                mechanisms: vec!["SCRAM-SHA-256-PLUS".into(), "SCRAM-SHA-256".into()]
            })
        );
        let mut scram = sasl::ScramSha256::new(b"pencil", binding);
        let first = match login.message(initial(mechanism, scram.message())) {
            ClientStep::Send(first) => first,
            step => return step,
        };
        let Ok(Authentication::SaslContinue { data }) = Authentication::decode(first.slice(5..))
        else {
            panic!("no server-first-message")
        };
        scram.update(&data).unwrap();
        match login.message(Bytes::copy_from_slice(scram.message())) {
            ClientStep::Derive(derivation) => login.derived(&derivation.run()),
            step => step,
        }
    };
    let (plus, without) = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256");
    let joe = Some("pencil");
    assert!(accepted(&attempt(joe, plus, binding([9; 32]))));
    assert!(accepted(&attempt(joe, without, sasl::ChannelBinding::unsupported())));
    for (secret, mechanism, binding, failure) in [
        (joe, plus, binding([8; 32]), AuthFailure::Protocol),
        (joe, plus, sasl::ChannelBinding::unsupported(), AuthFailure::Protocol),
        (joe, plus, sasl::ChannelBinding::unrequested(), AuthFailure::Protocol),
        (joe, without, binding([9; 32]), AuthFailure::Protocol),
        // `y`: the client could bind and was made to believe that we cannot.
        (joe, without, sasl::ChannelBinding::unrequested(), AuthFailure::Protocol),
        (None, plus, binding([9; 32]), AuthFailure::UnknownUser),
        (None, plus, binding([8; 32]), AuthFailure::Protocol),
    ] {
        let error = refused(attempt(secret, mechanism, binding));
        assert_eq!(error.client_message(), "SASL authentication failed");
        assert_eq!(error.failure(), failure, "{mechanism} {error}");
    }
}

#[test]
fn nothing_can_follow_a_verdict_or_come_before_the_question() {
    let mut early = login(Exchange::Plain, Some("pencil"));
    assert_eq!(refused(early.message(Bytes::from_static(b"pencil\0"))).reason, Reason::OutOfPlace);
    assert_eq!(refused(early.start()).reason, Reason::OutOfPlace);

    let mut late = login(Exchange::Plain, Some("pencil"));
    late.start();
    assert_eq!(refused(late.message(Bytes::from_static(b"pen\0"))).reason, Reason::WrongPassword);
    assert_eq!(refused(late.message(Bytes::from_static(b"pencil\0"))).reason, Reason::OutOfPlace);
}

#[test]
fn what_is_shown_of_a_login_holds_no_secret() {
    for auth_type in [Exchange::Plain, Exchange::Md5, Exchange::ScramSha256] {
        let mut login = login(auth_type, Some("hunter2"));
        assert!(!format!("{login:?}").contains("hunter2"));
        login.start();
        assert!(!format!("{login:?}").contains("hunter2"));
    }
    let (step, _) = run(login(Exchange::Plain, Some("hunter2")), "hunter2");
    assert!(!format!("{step:?}").contains("hunter2"));
}
