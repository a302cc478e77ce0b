//! The packets that open a connection, as they are and with a length word that is true.
#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use pgweir_codec::startup::{LIMIT, StartupPacket, peek_len};

fn check(packet: Bytes) {
    if let Ok(Some(length)) = peek_len(&packet) {
        assert!((8..=LIMIT).contains(&length));
    }
    let Ok(decoded) = StartupPacket::decode(packet.clone()) else { return };
    let mut encoded = BytesMut::new();
    decoded.encode(&mut encoded);
    assert_eq!(encoded, packet, "{decoded:?}");
}

fuzz_target!(|data: &[u8]| {
    check(Bytes::copy_from_slice(data));
    let mut packet = BytesMut::from(data);
    if let Some(word) = packet.get_mut(..4) {
        word.copy_from_slice(&u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes());
        check(packet.freeze());
    }
});
