use postgres_protocol::authentication::sasl;
use proptest::prelude::*;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::auth::random::MockKey;
use crate::auth::secret::Verifier;

const KEY: MockKey = MockKey([7; 32]);
const NONCE: [u8; 18] = [3; 18];

fn pencil() -> Verifier {
    let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    Verifier::from_password(b"pencil", &salt, 4096)
}

fn server(password: &str) -> ScramServer {
    ScramServer::with_password(password.to_owned(), salt_of("joe", &KEY, 16), ITERATIONS, NONCE)
}

fn client(password: &str) -> ScramClient {
    ScramClient::new(Proof::Password(password.as_bytes().to_vec()), Binding::Unable, [5; 18])
}

/// Both client messages of a login that succeeds against a few iterations.
fn good_login() -> (ScramServer, Vec<u8>, Vec<u8>) {
    let verifier = || Verifier::from_password(b"pencil", b"salt", 2);
    let mut server = ScramServer::with_verifier(verifier(), NONCE);
    let mut client = client("pencil");
    let client_first = client.client_first();
    let client_final = client
        .server_first(&server.client_first(&client_first, Channel::NotOffered).unwrap())
        .unwrap();
    (ScramServer::with_verifier(verifier(), NONCE), client_first, client_final)
}

#[test]
fn the_example_of_rfc_7677_comes_out_to_the_letter() {
    let mut server = ScramServer::with_verifier(pencil(), NONCE);
    "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".clone_into(&mut server.nonce);
    let server_first =
        server.client_first(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO", Channel::NotOffered).unwrap();
    assert_eq!(
        String::from_utf8(server_first).unwrap(),
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    );
    let (server_final, keys) = server
        .client_final(
            b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
              p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        )
        .unwrap();
    assert_eq!(server_final, b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    assert_eq!(keys.keys, Keys::derive(b"pencil", &keys.salt, 4096));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_client_of_postgres_protocol_gets_in_with_any_password(password in "\\PC{1,40}") {
        let mut server = server(&password);
        let mut theirs = sasl::ScramSha256::new(password.as_bytes(), sasl::ChannelBinding::unsupported());
        let server_first = server.client_first(theirs.message(), Channel::NotOffered).unwrap();
        theirs.update(&server_first).unwrap();
        let (server_final, keys) = server.client_final(theirs.message()).unwrap();
        theirs.finish(&server_final).unwrap();
        prop_assert_eq!(&keys.keys, &Keys::derive(password.as_bytes(), &keys.salt, keys.iterations));
    }

    #[test]
    fn our_client_gets_in_with_any_password(password in "\\PC{1,40}") {
        let (mut server, mut client) = (server(&password), client(&password));
        let server_first = server.client_first(&client.client_first(), Channel::NotOffered).unwrap();
        let (server_final, _) = server.client_final(&client.server_first(&server_first).unwrap()).unwrap();
        client.server_final(&server_final).unwrap();
    }

    #[test]
    fn nothing_a_client_sends_makes_us_panic(first in ".{0,200}", last in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut server = ScramServer::with_verifier(Verifier::from_password(b"x", b"salt", 1), NONCE);
        let _ = server.client_first(first.as_bytes(), Channel::NotOffered);
        let _ = server.client_first(b"n,,n=,r=abc", Channel::NotOffered).unwrap();
        prop_assert!(server.client_final(&last).is_err());
    }

    #[test]
    fn nothing_a_server_sends_makes_us_panic(first in prop::collection::vec(any::<u8>(), 0..200), tail in "[ -~]{0,60}") {
        let _ = client("x").server_first(&first);
        let mut client = client("x");
        let _ = client.server_first(format!("r={}{tail},s=c2FsdA==,i=1", client.nonce).as_bytes());
        prop_assert!(client.server_final(&first).is_err());
    }
}

#[test]
fn keys_learnt_from_a_proof_open_a_server_with_the_same_secret_and_no_other() {
    let (mut server, first, last) = good_login();
    server.client_first(&first, Channel::NotOffered).unwrap();
    let (_, keys) = server.client_final(&last).unwrap();

    let same = Verifier::from_password(b"pencil", b"salt", 2);
    let mut server = ScramServer::with_verifier(same, [9; 18]);
    let mut client = ScramClient::new(Proof::Keys(keys.clone()), Binding::NotOffered, [8; 18]);
    let server_first = server.client_first(&client.client_first(), Channel::NotOffered).unwrap();
    let (server_final, _) =
        server.client_final(&client.server_first(&server_first).unwrap()).unwrap();
    client.server_final(&server_final).unwrap();

    let other = Verifier::from_password(b"pencil", b"pepper", 2);
    let mut server = ScramServer::with_verifier(other, [9; 18]);
    let mut client = ScramClient::new(Proof::Keys(keys), Binding::Unable, [8; 18]);
    let server_first = server.client_first(&client.client_first(), Channel::NotOffered).unwrap();
    assert_eq!(client.server_first(&server_first), Err(ScramError::OtherSecret));
}

#[test]
fn a_wrong_password_is_a_wrong_proof() {
    let (mut server, mut client) = (server("right"), client("wrong"));
    let server_first = server.client_first(&client.client_first(), Channel::NotOffered).unwrap();
    let last = client.server_first(&server_first).unwrap();
    assert_eq!(server.client_final(&last), Err(ScramError::WrongProof));
}

#[test]
fn a_mock_runs_to_its_end_and_refuses() {
    let lookalike = Verifier::from_password(b"pencil", b"salt", 2);
    let mut mock = ScramServer::mock(lookalike, NONCE);
    let mut client = client("pencil");
    let server_first = mock.client_first(&client.client_first(), Channel::NotOffered).unwrap();
    let last = client.server_first(&server_first).unwrap();
    assert!(!mock.verifier().1);
    assert_eq!(mock.client_final(&last), Err(ScramError::WrongProof));
}

#[test]
fn the_salt_of_a_name_stays_as_long_as_the_key_and_has_any_length() {
    assert_eq!(salt_of("joe", &KEY, 16), salt_of("joe", &KEY, 16));
    assert_ne!(salt_of("joe", &KEY, 16), salt_of("jim", &KEY, 16));
    assert_ne!(salt_of("joe", &KEY, 16), salt_of("joe", &MockKey([8; 32]), 16));
    for length in [0, 1, 32, 33, 100] {
        let salt = salt_of("joe", &KEY, length);
        assert_eq!(salt.len(), length);
        assert!(salt_of("joe", &KEY, 100).starts_with(&salt));
    }
}

#[test]
fn what_a_side_lacks_it_can_be_given_and_then_computes_nothing() {
    let (mut server, mut client) = (server("pencil"), client("pencil"));
    let server_first = server.client_first(&client.client_first(), Channel::NotOffered).unwrap();
    let (salt, iterations) = client.lacks(&server_first).unwrap().expect("a password");
    let keys = Keys::derive(b"pencil", &salt, iterations);
    client.provide(ScramKeys { keys, salt, iterations });
    assert!(client.lacks(&server_first).unwrap().is_none());
    let (password, salt, iterations) = server.lacks().expect("a password");
    let keys = Keys::derive(password.as_bytes(), salt, iterations);
    server.provide(&keys);
    assert!(server.lacks().is_none());
    let last = client.server_first(&server_first).unwrap();
    client.server_final(&server.client_final(&last).unwrap().0).unwrap();
}

#[test]
fn every_truncation_of_a_client_message_is_an_error() {
    let (_, first, last) = good_login();
    // Up to `r=`: a shorter nonce is still a nonce, and then the proof is over something else.
    for length in 0..=first.len() {
        let (mut server, ..) = good_login();
        let done = server.client_first(&first[..length], Channel::NotOffered);
        assert_eq!(done.is_err(), length <= "n,,n=,r=".len(), "{length}");
        if length < first.len() && done.is_ok() {
            assert!(server.client_final(&last).is_err(), "{length}");
        }
    }
    for length in 0..last.len() {
        let (mut server, ..) = good_login();
        server.client_first(&first, Channel::NotOffered).unwrap();
        assert!(server.client_final(&last[..length]).is_err(), "{length}");
    }
}

#[test]
fn every_changed_byte_of_a_client_message_is_an_error() {
    let (_, first, last) = good_login();
    for at in 0..last.len() {
        for flip in [0x01, 0x02, 0x20, 0x80, last[at]] {
            let mut changed = last.clone();
            changed[at] ^= flip;
            let (mut server, ..) = good_login();
            server.client_first(&first, Channel::NotOffered).unwrap();
            assert!(server.client_final(&changed).is_err(), "byte {at} ^ {flip}");
        }
    }
    for at in 0..first.len() {
        for flip in [0x01, 0x02, 0x20, 0x80, first[at]] {
            let mut changed = first.clone();
            changed[at] ^= flip;
            let (mut server, ..) = good_login();
            // Refused at once, or else the proof, which covers this message, does not fit.
            let refused = server.client_first(&changed, Channel::NotOffered).is_err()
                || server.client_final(&last).is_err();
            assert!(refused, "byte {at} ^ {flip}");
        }
    }
}

#[test]
fn malformed_first_messages_are_refused() {
    let long = format!("n,,n=,r={}", "a".repeat(MAX_MESSAGE_BYTES));
    for message in [
        "",
        ",",
        "n",
        "n,",
        "n,,",
        "n,,n",
        "n,,n=",
        "n,,n=,",
        "n,,n=,r",
        "n,,n=,r=",
        "n,,r=abc",
        "n,,r=abc,n=",
        "x,,n=,r=abc",
        "nn,,n=,r=abc",
        ",,n=,r=abc",
        "p=tls-server-end-point,,n=,r=abc",
        "p,,n=,r=abc",
        "n,a=joe,n=,r=abc",
        "n,joe,n=,r=abc",
        "n,,m=x,n=,r=abc",
        "n,,n=,m=x,r=abc",
        "n,,n=,r=a c",
        "n,,n=,r=abc,",
        "n,,n=,r=abc,x",
        "n,,n=,r=abc,=x",
        "n,,n=,r=abc,1=x",
        "n,,n=,r=\u{e9}",
        "n,,n=,r=a\0",
        long.as_str(),
    ] {
        let (mut server, ..) = good_login();
        assert!(
            server.client_first(message.as_bytes(), Channel::NotOffered).is_err(),
            "{message:?}"
        );
        // And the exchange is over: no final message can follow.
        assert!(server.client_final(b"c=biws,r=abc,p=").is_err());
    }
    for message in ["n,,n=,r=abc", "y,,n=joe,r=abc", "n,,n=*,r=abc,x=more,y="] {
        let (mut server, ..) = good_login();
        assert!(
            server.client_first(message.as_bytes(), Channel::NotOffered).is_ok(),
            "{message:?}"
        );
    }
}

#[test]
fn malformed_final_messages_are_refused() {
    let (server, first, last) = good_login();
    let last = String::from_utf8(last).unwrap();
    let nonce = server.nonce;
    let proof = last.split_once(",p=").unwrap().1;
    for message in [
        last.replace("c=biws", "c=eSws"),
        last.replace("c=biws", "c="),
        last.replace("c=biws,", ""),
        last.replace(&nonce, ""),
        last.replace(",p=", ",m=x,p="),
        last.replace(",p=", ",junk,p="),
        last.replace(proof, &proof[4..]),
        last.replace('=', ""),
        format!("{last},x=y"),
        format!("{last},"),
        format!("{last}{last}"),
        format!("{last}{}", ",x=y".repeat(400)),
    ] {
        let (mut server, ..) = good_login();
        server.client_first(&first, Channel::NotOffered).unwrap();
        assert!(server.client_final(message.as_bytes()).is_err(), "{message:?}");
    }
}

#[test]
fn a_proof_cannot_be_used_twice() {
    let (mut server, first, last) = good_login();
    server.client_first(&first, Channel::NotOffered).unwrap();
    assert!(server.client_final(&last).is_ok());
    assert!(server.client_final(&last).is_err());
}

#[test]
fn a_server_that_does_not_know_the_secret_is_found_out() {
    let (mut impostor, mut client) = (server("guess"), client("pencil"));
    let server_first = impostor.client_first(&client.client_first(), Channel::NotOffered).unwrap();
    client.server_first(&server_first).unwrap();
    let forged = format!("v={}", STANDARD.encode([1; 32]));
    assert_eq!(client.server_final(forged.as_bytes()), Err(ScramError::WrongProof));
}

#[test]
fn a_server_cannot_make_us_count_for_ever() {
    let mut client = client("pencil");
    let message = format!("r={}x,s=c2FsdA==,i=2000000000", client.nonce);
    assert_eq!(
        client.server_first(message.as_bytes()),
        Err(ScramError::TooManyIterations(2_000_000_000))
    );
}

#[test]
fn an_iteration_count_is_a_plain_positive_number() {
    for bad in ["", "0", "+1", "-1", " 1", "1 ", "0x10", "4294967296", "2147483648", "99999999999"]
    {
        assert_eq!(iterations(bad.as_bytes()), None, "{bad:?}");
    }
    assert_eq!(iterations(b"4096"), Some(4096));
}

const CERTIFICATE: &[u8] = &[42; 32];

#[test]
fn a_client_binds_where_it_chose_to_and_nowhere_else() {
    let channels = [Channel::NotOffered, Channel::Declined, Channel::EndPoint(CERTIFICATE)];
    for (flag, allowed) in [
        ("n", [true, true, false]),
        ("y", [true, false, false]), // a client that sees no offer although there was one is being cheated
        ("p=tls-server-end-point", [false, false, true]),
        ("p=tls-unique", [false, false, false]),
        ("p=tls-exporter", [false, false, false]),
        ("p=", [false, false, false]),
        ("p", [false, false, false]),
        ("", [false, false, false]),
    ] {
        for (channel, allowed) in channels.into_iter().zip(allowed) {
            let (mut server, ..) = good_login();
            let taken = server.client_first(format!("{flag},,n=,r=abc").as_bytes(), channel);
            assert_eq!(taken.is_ok(), allowed, "{flag:?} {channel:?} {taken:?}");
        }
    }
}

/// The outcome for a client that is bound to `shown`, at a server whose certificate has the hash `own`.
fn bound_login(shown: &[u8], own: &[u8]) -> Result<(), ScramError> {
    let mut server = ScramServer::with_verifier(pencil(), NONCE);
    let proof = Proof::Password(b"pencil".to_vec());
    let mut client = ScramClient::new(proof, Binding::EndPoint(shown.to_vec()), [5; 18]);
    let first = server.client_first(&client.client_first(), Channel::EndPoint(own))?;
    let (last, _) = server.client_final(&client.server_first(&first)?)?;
    client.server_final(&last)
}

#[test]
fn a_login_that_is_bound_to_another_certificate_is_refused() {
    assert_eq!(bound_login(CERTIFICATE, CERTIFICATE), Ok(()));
    for other in [&[43; 32][..], &[42; 31], &[42; 33], &[]] {
        let refused = bound_login(other, CERTIFICATE);
        assert!(matches!(refused, Err(ScramError::Malformed(_))), "{other:?} {refused:?}");
    }
}

#[test]
fn the_client_of_postgres_protocol_gets_in_bound_to_our_certificate() {
    let binding = sasl::ChannelBinding::tls_server_end_point(CERTIFICATE.to_vec());
    let mut theirs = sasl::ScramSha256::new(b"pencil", binding);
    let mut server = ScramServer::with_verifier(pencil(), NONCE);
    let first = server.client_first(theirs.message(), Channel::EndPoint(CERTIFICATE)).unwrap();
    theirs.update(&first).unwrap();
    let (last, _) = server.client_final(theirs.message()).unwrap();
    theirs.finish(&last).unwrap();
}

#[test]
fn a_binding_cannot_be_taken_out_of_the_final_message() {
    let mut server = ScramServer::with_verifier(pencil(), NONCE);
    let proof = Proof::Password(b"pencil".to_vec());
    let mut client = ScramClient::new(proof, Binding::EndPoint(CERTIFICATE.to_vec()), [5; 18]);
    let first =
        server.client_first(&client.client_first(), Channel::EndPoint(CERTIFICATE)).unwrap();
    let last = String::from_utf8(client.server_first(&first).unwrap()).unwrap();
    let (_, rest) = last.split_once(',').unwrap();
    for header in ["n,,", "y,,", "p=tls-server-end-point,,"] {
        let mut server = ScramServer::with_verifier(pencil(), NONCE);
        server.client_first(&client.client_first(), Channel::EndPoint(CERTIFICATE)).unwrap();
        let changed = format!("c={},{rest}", STANDARD.encode(header));
        assert!(server.client_final(changed.as_bytes()).is_err(), "{header}");
    }
    assert!(server.client_final(last.as_bytes()).is_ok());
}
