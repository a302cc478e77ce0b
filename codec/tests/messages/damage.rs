//! Damaged messages are refused, or are another message, and then exactly that one.

use std::collections::BTreeSet;

use bytes::Bytes;
use pgweir_codec::backend::{self, Authentication};
use pgweir_codec::frontend;
use pgweir_codec::head::Head;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::strategies::*;

/// Every tag that a client may send once it has asked to be let in.
const FROM_CLIENT: &[u8] = b"BCDEFHPQSXcdfp";

/// Every tag that a server may send.
const FROM_SERVER: &[u8] = b"123ACDEGHIKNRSTVWZcdnstv";

/// Places and what is put there: mostly what means something in counts, lengths and ends of texts.
fn damage() -> impl Strategy<Value = Vec<(Index, u8)>> {
    let byte = prop_oneof![Just(0), Just(1), Just(0xff), any::<u8>()];
    prop::collection::vec((any::<Index>(), byte), 1..4)
}

fn damaged(body: &[u8], damage: &[(Index, u8)]) -> Bytes {
    let mut body = body.to_vec();
    for (at, byte) in damage {
        if !body.is_empty() {
            *at.get_mut(&mut body) = *byte;
        }
    }
    body.into()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn a_damaged_frontend_message_is_refused_or_read_exactly(message in frontend_message(), damage in damage()) {
        let (tag, body) = taken_apart(&encoded(|out| message.encode(out)));
        let body = damaged(&body, &damage);
        match frontend::Message::decode(tag, body.clone()) {
            Ok(read) => prop_assert_eq!(taken_apart(&encoded(|out| read.encode(out))), (tag, body)),
            Err(error) => prop_assert_eq!(error.tag, tag),
        }
    }

    #[test]
    fn a_damaged_backend_message_is_refused_or_read_exactly(message in backend_message(), damage in damage()) {
        let (tag, body) = taken_apart(&encoded(|out| message.encode(out)));
        let body = damaged(&body, &damage);
        match backend::Message::decode(tag, body.clone()) {
            Ok(read) => prop_assert_eq!(taken_apart(&encoded(|out| read.encode(out))), (tag, body)),
            Err(error) => prop_assert_eq!(error.tag, tag),
        }
    }

    #[test]
    fn bytes_behind_the_last_field_are_no_padding(
        client in frontend_message(),
        server in backend_message(),
        more in prop::collection::vec(any::<u8>(), 1..6),
    ) {
        use frontend::Message as F;
        if !matches!(client, F::CopyData(_) | F::Password(_)) {
            let (tag, body) = taken_apart(&encoded(|out| client.encode(out)));
            prop_assert!(frontend::Message::decode(tag, [&body, &more[..]].concat().into()).is_err());
        }
        use Authentication as A;
        use backend::Message as B;
        let open = matches!(
            server,
            B::CopyData(_)
                | B::BackendKeyData(_)
                | B::Authentication(A::SaslContinue { .. } | A::SaslFinal { .. } | A::Other { code: 8, .. })
        );
        if !open {
            let (tag, body) = taken_apart(&encoded(|out| server.encode(out)));
            prop_assert!(backend::Message::decode(tag, [&body, &more[..]].concat().into()).is_err());
        }
    }

    #[test]
    fn a_head_is_what_postgres_protocol_takes_it_for(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
        let theirs = postgres_protocol::message::backend::Header::parse(&bytes);
        match (Head::peek(&bytes), theirs) {
            (Ok(None), Ok(None)) | (Err(_), Err(_)) => {}
            (Ok(Some(ours)), Ok(Some(theirs))) => {
                prop_assert_eq!(ours.tag, theirs.tag());
                prop_assert_eq!(ours.len, usize::try_from(theirs.len()).unwrap() + 1);
            }
            (ours, theirs) => prop_assert!(false, "{ours:?}, they: {}", theirs.is_ok()),
        }
    }
}

/// What is generated for the other tests leaves no message of the protocol out, and none is read that is not in it.
#[test]
fn every_tag_of_the_protocol_is_tested_and_no_other_is_read() {
    let mut runner = TestRunner::deterministic();
    let (mut client, mut server) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..4096 {
        let message = frontend_message().new_tree(&mut runner).unwrap().current();
        client.insert(taken_apart(&encoded(|out| message.encode(out))).0);
        let message = backend_message().new_tree(&mut runner).unwrap().current();
        server.insert(taken_apart(&encoded(|out| message.encode(out))).0);
    }
    assert_eq!(client, FROM_CLIENT.iter().copied().collect());
    assert_eq!(server, FROM_SERVER.iter().copied().collect());

    use pgweir_codec::error::Kind;
    for tag in 0..=u8::MAX {
        let unknown = Some(("tag", Kind::Unknown(u32::from(tag))));
        let error = frontend::Message::decode(tag, Bytes::new())
            .err()
            .map(|error| (error.field, error.kind));
        assert_eq!(error == unknown, !client.contains(&tag), "frontend 0x{tag:02x}");
        let error = backend::Message::decode(tag, Bytes::new())
            .err()
            .map(|error| (error.field, error.kind));
        assert_eq!(error == unknown, !server.contains(&tag), "backend 0x{tag:02x}");
    }
}
