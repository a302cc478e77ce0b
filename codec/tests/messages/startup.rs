//! The untagged packets, from peers that have proven nothing.

use bytes::{Bytes, BytesMut};
use pgweir_codec::error::{DecodeError, Kind};
use pgweir_codec::startup::{self, CancelRequest, StartupMessage, StartupPacket};
use proptest::prelude::*;

use super::strategies::{encoded, key, text, words};

fn packet() -> impl Strategy<Value = StartupPacket> {
    let name = text().prop_filter("an empty name is the end", |name| !name.is_empty());
    prop_oneof![
        Just(StartupPacket::Ssl),
        Just(StartupPacket::GssEnc),
        (any::<u32>(), key())
            .prop_map(|(pid, key)| StartupPacket::Cancel(CancelRequest { pid, key })),
        (any::<u16>(), prop::collection::vec((name, text()), 0..6)).prop_map(
            |(minor, parameters)| {
                StartupPacket::Startup(StartupMessage { major: 3, minor, parameters })
            }
        ),
    ]
}

/// A packet of this code and body, whose length is right.
fn made(code: u32, body: &[u8]) -> Bytes {
    let length = u32::try_from(body.len() + 8).expect("short");
    [&length.to_be_bytes()[..], &code.to_be_bytes(), body].concat().into()
}

fn refusal(packet: Bytes) -> (&'static str, Kind) {
    let DecodeError { tag, field, kind } = StartupPacket::decode(packet).expect_err("no packet");
    assert_eq!(tag, 0);
    (field, kind)
}

const VERSION_3_0: u32 = 0x0003_0000;

proptest! {
    #[test]
    fn a_packet_survives_the_round_trip(packet in packet()) {
        let bytes = encoded(|out| packet.encode(out));
        prop_assert_eq!(startup::peek_len(&bytes), Ok(Some(bytes.len())));
        prop_assert_eq!(StartupPacket::decode(bytes.freeze()), Ok(packet));
    }

    #[test]
    fn a_packet_that_ends_early_or_late_is_refused(packet in packet()) {
        let bytes = encoded(|out| packet.encode(out)).freeze();
        for len in 0..bytes.len() {
            prop_assert!(StartupPacket::decode(bytes.slice(..len)).is_err(), "a length word that is not true");
        }
        prop_assert!(StartupPacket::decode([&bytes[..], b"\0"].concat().into()).is_err());
        // The same with a length word that is true. A key may have many lengths.
        if !matches!(packet, StartupPacket::Cancel(_)) {
            let code = u32::from_be_bytes(bytes[4..8].try_into().unwrap());
            for len in 8..bytes.len() {
                prop_assert!(StartupPacket::decode(made(code, &bytes[8..len])).is_err());
            }
            prop_assert!(StartupPacket::decode(made(code, &[&bytes[8..], b"\0"].concat())).is_err());
        }
    }

    #[test]
    fn any_bytes_are_refused_or_read_exactly(
        code in prop_oneof![Just(VERSION_3_0), Just(VERSION_3_0 + 2), 80_877_100..80_877_106u32, any::<u32>()],
        body in prop::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 0..300),
    ) {
        let bytes = made(code, &body);
        if let Ok(packet) = StartupPacket::decode(bytes.clone()) {
            prop_assert_eq!(encoded(|out| packet.encode(out)), bytes);
        }
    }

    #[test]
    fn postgres_protocol_writes_the_same_packets(
        pairs in prop::collection::vec(("[a-z_.]{1,12}", words()), 0..5),
        pid in any::<i32>(),
        key in any::<i32>(),
    ) {
        use postgres_protocol::message::frontend as theirs;
        let mut bytes = BytesMut::new();
        theirs::startup_message(pairs.iter().map(|(name, value)| (&name[..], &value[..])), &mut bytes).unwrap();
        let parameters =
            pairs.iter().map(|(name, value)| (name.clone().into(), value.clone().into())).collect();
        let ours = StartupMessage { major: 3, minor: 0, parameters };
        prop_assert_eq!(StartupPacket::decode(bytes.freeze()), Ok(StartupPacket::Startup(ours)));

        let mut bytes = BytesMut::new();
        theirs::cancel_request(pid, key, &mut bytes);
        let ours = CancelRequest { pid: pid.cast_unsigned(), key: key.to_be_bytes().to_vec().into() };
        prop_assert_eq!(encoded(|out| ours.encode(out)), bytes);

        let mut bytes = BytesMut::new();
        theirs::ssl_request(&mut bytes);
        prop_assert_eq!(encoded(|out| StartupPacket::Ssl.encode(out)), bytes);
    }
}

#[test]
fn a_length_is_refused_before_the_packet_comes() {
    assert_eq!(startup::peek_len(b"\0\0\0"), Ok(None));
    assert_eq!(startup::peek_len(b"\0\0\0\x08"), Ok(Some(8)));
    assert_eq!(startup::peek_len(&10_000u32.to_be_bytes()), Ok(Some(10_000)));
    let refused = |word: u32| startup::peek_len(&word.to_be_bytes()).unwrap_err().kind;
    assert_eq!(refused(0), Kind::TooShort(0));
    assert_eq!(refused(7), Kind::TooShort(7));
    assert_eq!(refused(10_001), Kind::TooLong(10_001));
    // An HTTP client at the wrong port: "GET " as a length.
    assert_eq!(startup::peek_len(b"GET / HT").unwrap_err().kind, Kind::TooLong(0x4745_5420));
}

#[test]
fn another_protocol_is_told_from_a_broken_packet() {
    assert_eq!(refusal(made(0x0002_0000, &[0; 288])), ("version", Kind::ProtocolTwo));
    assert_eq!(refusal(made(0x0004_0000, b"\0")), ("version", Kind::Unknown(0x0004_0000)));
    assert_eq!(refusal(made(80_877_105, b"\0")), ("version", Kind::Unknown(80_877_105)));
    let newer = StartupPacket::decode(made(0x0003_270f, b"user\0joe\0\0"));
    assert!(
        matches!(newer, Ok(StartupPacket::Startup(StartupMessage { minor: 9999, .. }))),
        "negotiable"
    );
}

#[test]
fn pairs_that_do_not_end_at_the_last_byte_lack_their_terminator() {
    for (body, kind) in [
        (&b""[..], Kind::Unterminated),
        (b"user", Kind::Unterminated),
        (b"user\0", Kind::Unterminated),
        (b"user\0joe", Kind::Unterminated),
        (b"user\0joe\0", Kind::Unterminated),
        (b"user\0joe\0\0x", Kind::Trailing(1)),
        (b"user\0joe\0\0\0", Kind::Trailing(1)),
        (b"\0user\0joe\0\0", Kind::Trailing(10)),
    ] {
        assert_eq!(refusal(made(VERSION_3_0, body)), ("terminator", kind), "{body:?}");
    }
    assert!(
        StartupPacket::decode(made(VERSION_3_0, b"user\0\0\0")).is_ok(),
        "an empty value is one"
    );
}

#[test]
fn a_cancel_key_has_4_to_256_bytes() {
    let with_key = |len: usize| {
        StartupPacket::decode(made(80_877_102, &[&[0; 4][..], &vec![7; len]].concat()))
    };
    for len in [4, 32, 256] {
        assert!(with_key(len).is_ok(), "{len}");
    }
    assert_eq!(with_key(3).unwrap_err().kind, Kind::TooShort(3));
    assert_eq!(with_key(257).unwrap_err().kind, Kind::TooLong(257));
}
