//! The packets that open a connection: their limits, and layouts that are wrong.

use bytes::{BufMut, Bytes, BytesMut};
use pgweir_codec::error::{DecodeError, Kind};
use pgweir_codec::startup::{self, StartupPacket, peek_len};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::strategies::*;

/// A packet with a true length word.
fn packet(code: u32, rest: &[u8]) -> Bytes {
    let mut packet = BytesMut::new();
    packet.put_u32(8 + u32::try_from(rest.len()).unwrap());
    packet.put_u32(code);
    packet.put_slice(rest);
    packet.freeze()
}

fn decode(code: u32, rest: &[u8]) -> Result<StartupPacket, DecodeError> {
    StartupPacket::decode(packet(code, rest))
}

const VERSION_3: u32 = 3 << 16;
const CANCEL: u32 = 80_877_102;

#[test]
fn a_length_is_refused_as_soon_as_its_word_is_there() {
    let length = |length: u32| peek_len(&length.to_be_bytes());
    for short in 0..8 {
        assert_eq!(length(short).unwrap_err().kind, Kind::TooShort(short.into()));
    }
    assert_eq!(length(8), Ok(Some(8)));
    assert_eq!(length(10_004), Ok(Some(startup::LIMIT)));
    for long in [10_005, i32::MAX as u32, 1 << 31, u32::MAX] {
        assert_eq!(length(long).unwrap_err().kind, Kind::TooLong(long as usize));
    }
    for have in 0..4 {
        assert_eq!(peek_len(&[0xff; 4][..have]), Ok(None), "{have} bytes are no length word");
    }
}

#[test]
fn the_longest_startup_message_is_read_and_one_byte_more_is_not() {
    let parameters = |value: usize| [b"user\0", &vec![b'u'; value][..], b"\0\0"].concat();
    assert!(decode(VERSION_3, &parameters(10_004 - 8 - 7)).is_ok());
    let error = decode(VERSION_3, &parameters(10_005 - 8 - 7)).unwrap_err();
    assert_eq!(error.kind, Kind::TooLong(10_005));
}

#[test]
fn protocol_2_is_told_apart_from_nonsense() {
    assert_eq!(decode(2 << 16, &[0; 288]).unwrap_err().kind, Kind::ProtocolTwo);
    for version in [0, 1 << 16, 4 << 16, 1234 << 16, u32::MAX] {
        assert_eq!(decode(version, b"\0").unwrap_err().kind, Kind::Unknown(version));
    }
}

#[test]
fn every_minor_version_of_protocol_3_is_read() {
    for minor in [0, 2, 9999] {
        match decode(VERSION_3 | minor, b"user\0u\0\0") {
            Ok(StartupPacket::Startup(startup)) => assert_eq!(u32::from(startup.minor), minor),
            other => panic!("{other:?}"),
        }
    }
}

/// What is answered to a client that asks for this minor version and these parameters.
fn negotiated(minor: u32, parameters: &[u8]) -> (u16, Option<(u32, Vec<Bytes>)>) {
    match decode(VERSION_3 | minor, parameters) {
        Ok(StartupPacket::Startup(startup)) => {
            let told = startup.negotiate().map(|told| (told.version, told.unknown_options));
            (startup.spoken_minor(), told)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_client_is_told_of_another_version_only_if_it_does_not_get_the_one_it_asked_for() {
    let plain = b"user\0u\0\0";
    assert_eq!(negotiated(0, plain), (0, None));
    assert_eq!(negotiated(2, plain), (2, None));
    assert_eq!(negotiated(1, plain), (0, Some((VERSION_3, vec![]))), "3.1 never existed");
    for newer in [3, 9999, 0xffff] {
        assert_eq!(negotiated(newer, plain), (2, Some((VERSION_3 | 2, vec![]))));
    }
    let options = b"user\0u\0_pq_.one\0on\0_pq_two\0\0_pq_.\0\0\0";
    let unknown = vec![Bytes::from_static(b"_pq_.one"), Bytes::from_static(b"_pq_.")];
    assert_eq!(negotiated(0, options), (0, Some((VERSION_3, unknown.clone()))));
    assert_eq!(negotiated(2, options), (2, Some((VERSION_3 | 2, unknown))));
}

#[test]
fn parameters_that_do_not_end_exactly_at_the_last_byte_lack_the_terminator() {
    for (rest, kind) in [
        (&b""[..], Kind::Unterminated),
        (b"user", Kind::Unterminated),
        (b"user\0", Kind::Unterminated),
        (b"user\0u", Kind::Unterminated),
        (b"user\0u\0", Kind::Unterminated),
        (b"user\0u\0datab", Kind::Unterminated),
        (b"user\0u\0\0x", Kind::Trailing(1)),
        (b"user\0u\0\0\0", Kind::Trailing(1)),
        (b"\0user\0u\0\0", Kind::Trailing(8)),
    ] {
        let error = decode(VERSION_3, rest).unwrap_err();
        assert_eq!((error.field, error.kind), ("terminator", kind), "{rest:?}");
    }
    assert!(decode(VERSION_3, b"user\0\0\0").is_ok(), "an empty value is one");
}

#[test]
fn a_cancel_key_has_4_to_256_bytes() {
    let kind = |key: usize| decode(CANCEL, &vec![7; 4 + key]).map_err(|error| error.kind);
    assert_eq!(kind(3), Err(Kind::TooShort(3)));
    assert!(kind(4).is_ok());
    assert!(kind(256).is_ok());
    assert_eq!(kind(257), Err(Kind::TooLong(257)));
    assert_eq!(decode(CANCEL, &[0; 3]).unwrap_err().field, "pid");
}

#[test]
fn a_request_for_encryption_has_nothing_behind_its_code() {
    for code in [80_877_103, 80_877_104] {
        assert!(decode(code, b"").is_ok());
        assert_eq!(decode(code, b"\0").unwrap_err().kind, Kind::Trailing(1));
    }
}

#[test]
fn a_packet_is_decoded_whole_or_not_at_all() {
    let whole = packet(VERSION_3, b"user\0u\0\0");
    for cut in 0..whole.len() {
        assert!(StartupPacket::decode(whole.slice(..cut)).is_err(), "{cut}");
    }
    assert!(StartupPacket::decode(Bytes::from([&whole[..], b"\0"].concat())).is_err());
}

proptest! {
    #[test]
    fn no_truncated_startup_packet_decodes_even_with_a_true_length(packet in startup_packet()) {
        let whole = encoded(|out| packet.encode(out));
        let open_end = match packet {
            StartupPacket::Cancel(_) => 16,
            _ => usize::MAX,
        };
        for cut in 4..whole.len() {
            let mut truncated = BytesMut::from(&whole[..cut]);
            truncated[..4].copy_from_slice(&u32::try_from(cut).unwrap().to_be_bytes());
            let result = StartupPacket::decode(truncated.freeze());
            prop_assert_eq!(result.is_err(), cut < open_end, "{} of {:?}", cut, whole);
        }
    }

    #[test]
    fn arbitrary_packets_never_panic_and_what_decodes_is_written_as_it_was(
        code in prop_oneof![any::<u32>(), VERSION_3..VERSION_3 + 4, CANCEL..=CANCEL + 2],
        rest in vec(prop_oneof![1 => Just(0), 2 => any::<u8>()], 0..40),
    ) {
        let packet = packet(code, &rest);
        if let Ok(decoded) = StartupPacket::decode(packet.clone()) {
            prop_assert_eq!(encoded(|out| decoded.encode(out)), packet);
        }
        let _ = StartupPacket::decode(Bytes::from(rest));
    }
}
