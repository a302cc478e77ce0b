//! Encoded and decoded, a message is the same; with a byte less or more it is none.

use std::fmt::Debug;

use bytes::{Bytes, BytesMut};
use pgweir_codec::error::{DecodeError, Kind};
use pgweir_codec::{backend, frontend};
use proptest::prelude::*;

use super::strategies::{FROM_CLIENT, FROM_SERVER, encoded, from_client, from_server, split};

/// What the two message enums have in common.
trait Message: Clone + Debug + PartialEq + Sized {
    fn read(tag: u8, body: Bytes) -> Result<Self, DecodeError>;
    fn write(&self, out: &mut BytesMut);
    /// Bodies of any length will do from this length on, since their last field takes all that is left.
    fn open_from(&self) -> Option<usize>;
}

impl Message for frontend::Message {
    fn read(tag: u8, body: Bytes) -> Result<Self, DecodeError> {
        Self::decode(tag, body)
    }
    fn write(&self, out: &mut BytesMut) {
        self.encode(out);
    }
    fn open_from(&self) -> Option<usize> {
        matches!(self, Self::CopyData(_) | Self::Password(_)).then_some(0)
    }
}

impl Message for backend::Message {
    fn read(tag: u8, body: Bytes) -> Result<Self, DecodeError> {
        Self::decode(tag, body)
    }
    fn write(&self, out: &mut BytesMut) {
        self.encode(out);
    }
    fn open_from(&self) -> Option<usize> {
        use backend::Authentication as A;
        match self {
            Self::CopyData(_) => Some(0),
            Self::Authentication(
                A::SaslContinue { .. } | A::SaslFinal { .. } | A::Other { .. },
            ) => Some(4),
            Self::BackendKeyData(_) => Some(8),
            _ => None,
        }
    }
}

fn survives<M: Message>(message: &M) {
    let (head, body) = split(&encoded(|out| message.write(out)));
    assert_eq!(M::read(head.tag, body), Ok(message.clone()));
}

fn is_refused_when_cut<M: Message>(message: &M) {
    let (head, body) = split(&encoded(|out| message.write(out)));
    let least = message.open_from().unwrap_or(body.len());
    for len in 0..least {
        let read = M::read(head.tag, body.slice(..len));
        assert!(read.is_err(), "{len} of {} bytes were taken for {read:?}", body.len());
    }
}

fn is_refused_when_longer<M: Message>(message: &M, more: &[u8]) {
    if message.open_from().is_none() {
        let (head, body) = split(&encoded(|out| message.write(out)));
        let read = M::read(head.tag, [&body, more].concat().into());
        assert!(read.is_err(), "{} bytes too many were taken for {read:?}", more.len());
    }
}

/// Broken bytes are refused, or they are a message, and then that message and no other.
fn is_one_or_none<M: Message>(tag: u8, body: Bytes) {
    match M::read(tag, body.clone()) {
        Ok(message) => assert_eq!(split(&encoded(|out| message.write(out))).1, body, "{message:?}"),
        Err(error) => {
            assert_eq!(error.tag, tag);
            assert!(!error.to_string().is_empty());
        }
    }
}

fn with_damage(body: &[u8], damage: &[(prop::sample::Index, u8)]) -> Bytes {
    let mut body = body.to_vec();
    for (at, byte) in damage {
        if !body.is_empty() {
            *at.get_mut(&mut body) = *byte;
        }
    }
    body.into()
}

fn damage() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    // Mostly the bytes that mean something in counts, lengths and ends of texts.
    let byte = prop_oneof![Just(0), Just(1), Just(0xff), any::<u8>()];
    prop::collection::vec((any::<prop::sample::Index>(), byte), 1..4)
}

fn any_body() -> impl Strategy<Value = Bytes> {
    let byte = prop_oneof![4 => Just(0), 1 => 0..4u8, 1 => any::<u8>()];
    prop::collection::vec(byte, 0..40).prop_map(Bytes::from)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn a_clients_message_survives_the_round_trip(message in from_client()) {
        survives(&message);
    }

    #[test]
    fn a_servers_message_survives_the_round_trip(message in from_server()) {
        survives(&message);
    }

    #[test]
    fn a_clients_message_that_ends_early_is_refused(message in from_client()) {
        is_refused_when_cut(&message);
    }

    #[test]
    fn a_servers_message_that_ends_early_is_refused(message in from_server()) {
        is_refused_when_cut(&message);
    }

    #[test]
    fn bytes_behind_the_last_field_are_refused(
        client in from_client(),
        server in from_server(),
        more in prop::collection::vec(any::<u8>(), 1..6),
    ) {
        is_refused_when_longer(&client, &more);
        is_refused_when_longer(&server, &more);
    }

    #[test]
    fn a_damaged_message_is_refused_or_read_exactly(
        client in from_client(),
        server in from_server(),
        damage in damage(),
    ) {
        let (head, body) = split(&encoded(|out| client.encode(out)));
        is_one_or_none::<frontend::Message>(head.tag, with_damage(&body, &damage));
        let (head, body) = split(&encoded(|out| server.encode(out)));
        is_one_or_none::<backend::Message>(head.tag, with_damage(&body, &damage));
    }

    #[test]
    fn any_bytes_are_refused_or_read_exactly(
        client in prop::sample::select(FROM_CLIENT),
        server in prop::sample::select(FROM_SERVER),
        body in any_body(),
    ) {
        is_one_or_none::<frontend::Message>(client, body.clone());
        is_one_or_none::<backend::Message>(server, body);
    }
}

#[test]
fn no_tag_but_those_of_the_protocol_is_read() {
    for tag in 0..=u8::MAX {
        let unknown = |error: DecodeError| {
            error.kind == Kind::Unknown(u32::from(tag)) && error.field == "tag"
        };
        let client = frontend::Message::decode(tag, Bytes::new()).is_err_and(unknown);
        assert_eq!(client, !FROM_CLIENT.contains(&tag), "frontend 0x{tag:02x}");
        let server = backend::Message::decode(tag, Bytes::new()).is_err_and(unknown);
        assert_eq!(server, !FROM_SERVER.contains(&tag), "backend 0x{tag:02x}");
    }
}

#[test]
fn the_random_messages_leave_no_tag_out() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let mut seen = [std::collections::BTreeSet::new(), std::collections::BTreeSet::new()];
    for _ in 0..4096 {
        let client = from_client().new_tree(&mut runner).unwrap().current();
        seen[0].insert(encoded(|out| client.encode(out))[0]);
        let server = from_server().new_tree(&mut runner).unwrap().current();
        seen[1].insert(encoded(|out| server.encode(out))[0]);
    }
    assert_eq!(seen[0], FROM_CLIENT.iter().copied().collect());
    assert_eq!(seen[1], FROM_SERVER.iter().copied().collect());
}

#[test]
fn a_count_that_promises_more_than_has_come_is_refused() {
    let bodies: [(u8, &[u8]); 5] = [
        (b'D', b"\xff\xff"),
        (b'T', b"\xff\xff\0\0\0\0"),
        (b't', b"\xff\xff\0\0\0\x17"),
        (b'G', b"\0\xff\xff"),
        (b'v', b"\0\x03\0\0\xff\xff\xff\xff_pq_.x\0"),
    ];
    for (tag, body) in bodies {
        assert!(
            backend::Message::decode(tag, Bytes::from_static(body)).is_err(),
            "{}",
            char::from(tag)
        );
    }
    // -1 is NULL; any other negative length is nothing.
    assert!(backend::DataRow::decode(Bytes::from_static(b"\0\x01\xff\xff\xff\xff")).is_ok());
    assert!(backend::DataRow::decode(Bytes::from_static(b"\0\x01\xff\xff\xff\xfe")).is_err());
    assert!(backend::DataRow::decode(Bytes::from_static(b"\0\x01\x7f\xff\xff\xffx")).is_err());
}

#[test]
fn a_message_may_hold_as_many_parameters_as_postgresql_takes() {
    let bind = frontend::Bind {
        portal: Bytes::new(),
        statement: Bytes::new(),
        parameter_formats: Vec::new(),
        parameters: vec![None; 65_535],
        result_formats: Vec::new(),
    };
    survives(&frontend::Message::Bind(bind));
}
