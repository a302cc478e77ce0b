//! SCRAM: what a peer says, to either side. Nobody gets in who does not know the password.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pgweir::auth::scram::{Binding, Channel, Keys, Proof, ScramClient, ScramKeys, ScramServer};
use pgweir::auth::secret::Verifier;

const NONCE: [u8; 18] = [0; 18];
/// What the client's first message and the server's share for this nonce.
const NONCE_TEXT: &[u8] = b"AAAAAAAAAAAAAAAAAAAAAAAA";

static KEYS: LazyLock<Keys> = LazyLock::new(|| Keys::derive(b"pencil", b"salt", 1));

fn keys() -> ScramKeys {
    ScramKeys { keys: KEYS.clone(), salt: b"salt".to_vec(), iterations: 1 }
}

fn server() -> ScramServer {
    let verifier = Verifier {
        iterations: 1,
        salt: b"salt".to_vec(),
        stored_key: KEYS.stored_key(),
        server_key: KEYS.server_key,
    };
    ScramServer::with_verifier(verifier, NONCE)
}

/// Puts our nonce where the input says `R`, so that the fuzzer need not guess it.
fn with_nonce(text: &[u8]) -> Vec<u8> {
    text.split(|byte| *byte == b'R').collect::<Vec<_>>().join(NONCE_TEXT)
}

fuzz_target!(|data: &[u8]| {
    let mut messages = data.splitn(2, |byte| *byte == 0).map(with_nonce);
    let first = messages.next().unwrap_or_default();
    let last = messages.next().unwrap_or_default();

    for channel in [Channel::NotOffered, Channel::Declined, Channel::EndPoint(&[1; 32])] {
        let mut side = server();
        if side.client_first(&first, channel).is_ok() {
            let binds = first.starts_with(b"p=tls-server-end-point,");
            assert_eq!(binds, matches!(channel, Channel::EndPoint(_)), "downgraded");
            assert!(side.client_final(&last).is_err(), "let in without the password");
        }
    }
    assert!(server().client_final(&last).is_err(), "let in without a first message");

    for binding in [Binding::Unable, Binding::NotOffered, Binding::EndPoint(vec![1; 32])] {
        // With keys and not the password: no time goes into PBKDF2.
        let mut side = ScramClient::new(Proof::Keys(keys()), binding, NONCE);
        let _ = side.client_first();
        let _ = side.server_first(&first);
        assert!(side.server_final(&last).is_err(), "took a server that does not know the password");
    }
});
