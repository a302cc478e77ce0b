use bytes::BytesMut;

use super::*;
use crate::auth::client::Proven;
use crate::auth::scram::{Channel, ScramServer};
use crate::auth::secret::{Secret, Verifier};

const DRAWS: Draws = Draws { nonce: [2; 18], md5_salt: [0; 4] };

fn login(credentials: Credentials) -> ServerLogin {
    ServerLogin::with_draws("joe", credentials, &DRAWS)
}

fn body(message: &Authentication) -> Bytes {
    let mut out = BytesMut::new();
    message.encode(&mut out);
    out.freeze().slice(5..)
}

fn sasl(names: &[&'static str]) -> Authentication {
    Authentication::Sasl {
        mechanisms: names.iter().map(|name| Bytes::from_static(name.as_bytes())).collect(),
    }
}

fn ask(login: &mut ServerLogin, message: &Authentication) -> Result<ServerStep, ServerLoginError> {
    login.request(&body(message), None)
}

/// The answer to a message, and whether keys had to be computed for it.
fn answered(
    login: &mut ServerLogin,
    message: &Authentication,
) -> Result<(Bytes, bool), ServerLoginError> {
    match ask(login, message)? {
        ServerStep::Send(body) => Ok((body, false)),
        ServerStep::Derive(derivation) => {
            let keys = derivation.run();
            Ok((login.derived(derivation, keys)?, true))
        }
        step => panic!("{step:?}"),
    }
}

fn sent(step: Result<ServerStep, ServerLoginError>) -> Bytes {
    let Ok(ServerStep::Send(body)) = step else { panic!("{step:?}") };
    body
}

fn password(text: &str) -> Credentials {
    Credentials::password(text)
}

fn verifier() -> Verifier {
    Verifier::from_password(b"pencil", b"salt", 16)
}

/// SASLInitialResponse's data.
fn data_of(initial: &Bytes, mechanism: &str) -> Bytes {
    assert_eq!(&initial[..mechanism.len()], mechanism.as_bytes());
    let rest = initial.slice(mechanism.len()..);
    assert_eq!(rest[0], 0);
    assert_eq!(rest[1..5], (rest.len() as u32 - 5).to_be_bytes());
    rest.slice(5..)
}

/// A SCRAM login at our own server side.
fn scram(
    credentials: Credentials,
    mut server: ScramServer,
) -> Result<ServerStep, ServerLoginError> {
    let mut login = login(credentials);
    let initial = sent(ask(&mut login, &sasl(&["SCRAM-SHA-256"])));
    let data = server
        .client_first(&data_of(&initial, "SCRAM-SHA-256"), Channel::NotOffered)
        .unwrap()
        .into();
    let last = answered(&mut login, &Authentication::SaslContinue { data })?.0;
    let data = server.client_final(&last).map_err(ServerLoginError::Scram)?.0.into();
    assert_eq!(ask(&mut login, &Authentication::SaslFinal { data })?, ServerStep::Wait);
    ask(&mut login, &Authentication::Ok)
}

#[test]
fn a_server_that_trusts_us_lets_us_in_at_once() {
    assert_eq!(ask(&mut login(Credentials::Nothing), &Authentication::Ok), Ok(ServerStep::Done));
}

#[test]
fn a_password_answers_every_request() {
    let mut cleartext = login(password("pencil"));
    assert_eq!(sent(ask(&mut cleartext, &Authentication::CleartextPassword)), "pencil\0");
    assert_eq!(ask(&mut cleartext, &Authentication::Ok), Ok(ServerStep::Done));

    let salt = [9, 8, 7, 6];
    let mut md5 = login(password("pencil"));
    let answer = sent(ask(&mut md5, &Authentication::Md5Password { salt }));
    let theirs = postgres_protocol::authentication::md5_hash(b"joe", b"pencil", salt);
    assert_eq!(answer, format!("{theirs}\0"));
    assert_eq!(ask(&mut md5, &Authentication::Ok), Ok(ServerStep::Done));

    let server = ScramServer::with_verifier(verifier(), [1; 18]);
    assert_eq!(scram(password("pencil"), server), Ok(ServerStep::Done));
    let server = ScramServer::with_verifier(verifier(), [1; 18]);
    assert_eq!(
        scram(password("wrong"), server),
        Err(ServerLoginError::Scram(ScramError::WrongProof))
    );
}

#[test]
fn keys_learnt_from_a_client_log_in_at_a_server_with_the_same_secret() {
    // A client proves itself to us...
    let mut learning = ScramServer::with_verifier(verifier(), [1; 18]);
    let mut client =
        ScramClient::new(Proof::Password(b"pencil".to_vec()), Binding::Unable, [7; 18]);
    let first = learning.client_first(&client.client_first(), Channel::NotOffered).unwrap();
    let (_, keys) = learning.client_final(&client.server_first(&first).unwrap()).unwrap();
    let stored = Secret::Scram(verifier());
    // ...and we to the server.
    let credentials = Credentials::from_login(Some(&stored), &Proven::Scram(keys));
    let server = ScramServer::with_verifier(verifier(), [3; 18]);
    assert_eq!(scram(credentials.clone(), server), Ok(ServerStep::Done));

    let other =
        ScramServer::with_verifier(Verifier::from_password(b"pencil", b"other", 16), [3; 18]);
    let error = scram(credentials, other).unwrap_err();
    assert_eq!(error, ServerLoginError::Scram(ScramError::OtherSecret));
    assert!(error.to_string().contains("pg_authid"));
}

#[test]
fn keys_are_computed_once_for_credentials_and_again_when_the_server_stores_another_secret() {
    let credentials = password("pencil");
    let computed = |salt: &[u8]| {
        let verifier = Verifier::from_password(b"pencil", salt, 16);
        let mut server = ScramServer::with_verifier(verifier, [1; 18]);
        let mut login = login(credentials.clone());
        let initial = sent(ask(&mut login, &sasl(&["SCRAM-SHA-256"])));
        let data = server
            .client_first(&data_of(&initial, "SCRAM-SHA-256"), Channel::NotOffered)
            .unwrap()
            .into();
        let (last, computed) =
            answered(&mut login, &Authentication::SaslContinue { data }).unwrap();
        server.client_final(&last).expect("the proof is right");
        computed
    };
    assert_eq!(
        [b"salt", b"salt", b"salz", b"salz"].map(|salt| computed(salt)),
        [true, false, true, false]
    );
    assert_eq!(credentials, password("pencil"), "what was computed makes no difference");
}

#[test]
fn keys_that_nobody_asked_for_are_refused() {
    let derivation = Derivation {
        user: "joe".to_owned(),
        password: b"pencil".to_vec(),
        salt: b"salt".to_vec(),
        iterations: 1,
        stored: true,
    };
    let keys = derivation.run();
    assert!(login(password("pencil")).derived(derivation, keys).is_err());
}

#[test]
fn secrets_answer_only_what_they_can_and_the_operator_learns_what_to_do() {
    let md5 = || Credentials::from_secret(Some(&Secret::Md5(md5::stored(b"pencil", "joe"))));
    assert!(ask(&mut login(md5()), &Authentication::Md5Password { salt: [0; 4] }).is_ok());
    for message in [Authentication::CleartextPassword, sasl(&["SCRAM-SHA-256"])] {
        let error = ask(&mut login(md5()), &message).unwrap_err();
        assert!(error.to_string().contains("store the plain password"), "{error}");
    }
    let secret = Secret::Scram(verifier());
    let error = ask(&mut login(Credentials::from_secret(Some(&secret))), &sasl(&["SCRAM-SHA-256"]))
        .unwrap_err();
    assert_eq!(error, ServerLoginError::NoScramKeys);
    assert!(
        error
            .to_string()
            .contains("password is SCRAM secret but client authentication did not provide")
    );
    let error =
        ask(&mut login(Credentials::Nothing), &Authentication::CleartextPassword).unwrap_err();
    assert!(error.to_string().contains("no password for this user"), "{error}");
}

#[test]
fn a_server_that_does_not_finish_its_proof_is_not_believed() {
    let mut hasty = login(password("pencil"));
    sent(ask(&mut hasty, &sasl(&["SCRAM-SHA-256"])));
    assert_eq!(ask(&mut hasty, &Authentication::Ok), Err(ServerLoginError::Unproven));
    // And it gets no second try.
    assert!(ask(&mut hasty, &Authentication::Ok).is_err());

    let mut server = ScramServer::with_verifier(verifier(), [1; 18]);
    let mut login = login(password("pencil"));
    let initial = sent(ask(&mut login, &sasl(&["SCRAM-SHA-256"])));
    let data = server
        .client_first(&data_of(&initial, "SCRAM-SHA-256"), Channel::NotOffered)
        .unwrap()
        .into();
    answered(&mut login, &Authentication::SaslContinue { data }).unwrap();
    assert_eq!(ask(&mut login, &Authentication::Ok), Err(ServerLoginError::Unproven));
}

#[test]
fn a_server_cannot_ask_for_the_password_in_the_clear_after_scram_began() {
    let mut login = login(password("pencil"));
    sent(ask(&mut login, &sasl(&["SCRAM-SHA-256"])));
    let step = ask(&mut login, &Authentication::CleartextPassword);
    assert_eq!(
        step,
        Err(ServerLoginError::OutOfPlace { message: "AuthenticationCleartextPassword" })
    );
}

#[test]
fn the_channel_is_bound_when_both_sides_can() {
    let both = body(&sasl(&["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]));
    let plain = body(&sasl(&["SCRAM-SHA-256"]));
    let plus = body(&sasl(&["SCRAM-SHA-256-PLUS"]));
    let first = |offer: &[u8], hash: Option<&[u8]>| {
        sent(login(password("pencil")).request(offer, hash.map(<[u8]>::to_vec)))
    };
    let bound = first(&both, Some(b"hash"));
    assert!(data_of(&bound, "SCRAM-SHA-256-PLUS").starts_with(b"p=tls-server-end-point,,"));
    assert!(data_of(&first(&plain, Some(b"hash")), "SCRAM-SHA-256").starts_with(b"y,,"));
    assert!(data_of(&first(&both, None), "SCRAM-SHA-256").starts_with(b"n,,"));
    let error = login(password("pencil")).request(&plus, None).unwrap_err();
    assert_eq!(error, ServerLoginError::NoMechanism { offered: "SCRAM-SHA-256-PLUS".to_owned() });
}

#[test]
fn what_cannot_be_read_or_done_is_named() {
    assert!(matches!(
        login(Credentials::Nothing).request(b"", None),
        Err(ServerLoginError::Malformed(_))
    ));
    let gss = [0, 0, 0, 7];
    let error = login(Credentials::Nothing).request(&gss, None).unwrap_err();
    assert!(error.to_string().contains("GSSAPI"), "{error}");
}

#[test]
fn what_is_shown_of_credentials_is_only_their_kind() {
    assert_eq!(format!("{:?}", password("hunter2")), "Credentials(a password)");
    assert!(!format!("{:?}", login(password("hunter2"))).contains("hunter2"));
}
