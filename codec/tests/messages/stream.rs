//! Heads, and streams of messages that arrive in pieces.

use bytes::{Buf, Bytes, BytesMut};
use pgweir_codec::backend;
use pgweir_codec::error::{DecodeError, Kind};
use pgweir_codec::head::Head;
use proptest::prelude::*;

use super::strategies::{encoded, from_server};

/// Takes the whole messages off the front, as every reader of ours does.
fn take(inbox: &mut BytesMut, messages: &mut Vec<(u8, Bytes)>) {
    while let Some(head) = Head::peek(inbox).expect("sound heads") {
        if inbox.len() < head.len {
            return;
        }
        let mut message = inbox.split_to(head.len);
        message.advance(Head::SIZE);
        messages.push((head.tag, message.freeze()));
    }
}

proptest! {
    #[test]
    fn a_stream_cut_anywhere_holds_the_same_messages(
        sent in prop::collection::vec(from_server(), 0..12),
        pieces in prop::collection::vec(1..40usize, 1..20),
    ) {
        let mut stream = encoded(|out| sent.iter().for_each(|message| message.encode(out)));
        let (mut inbox, mut messages) = (BytesMut::new(), Vec::new());
        for piece in pieces.iter().cycle() {
            if stream.is_empty() {
                break;
            }
            inbox.extend_from_slice(&stream.split_to(stream.len().min(*piece)));
            take(&mut inbox, &mut messages);
        }
        prop_assert!(inbox.is_empty());
        let read = messages.into_iter().map(|(tag, body)| backend::Message::decode(tag, body));
        prop_assert_eq!(read.collect::<Result<Vec<_>, _>>(), Ok(sent));
    }

    #[test]
    fn a_head_is_read_as_postgres_protocol_reads_it(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
        let theirs = postgres_protocol::message::backend::Header::parse(&bytes);
        match (Head::peek(&bytes), theirs) {
            (Ok(None), Ok(None)) | (Err(_), Err(_)) => {}
            (Ok(Some(ours)), Ok(Some(theirs))) => {
                prop_assert_eq!(ours.tag, theirs.tag());
                prop_assert_eq!(ours.len, usize::try_from(theirs.len()).unwrap() + 1);
            }
            (ours, theirs) => prop_assert!(false, "{ours:?}, {:?}", theirs.is_ok()),
        }
    }
}

#[test]
fn a_length_that_cannot_be_is_refused_before_the_body_comes() {
    assert_eq!(Head::peek(b"Q\0\0\0"), Ok(None));
    assert_eq!(Head::peek(b"Q\0\0\0\x04"), Ok(Some(Head { tag: b'Q', len: 5 })));
    assert_eq!(Head::peek(b"Q\x7f\xff\xff\xff"), Ok(Some(Head { tag: b'Q', len: 1 << 31 })));
    for (word, kind) in [
        (b"\0\0\0\0", Kind::TooShort(0)),
        (b"\0\0\0\x03", Kind::TooShort(3)),
        (b"\x80\0\0\0", Kind::TooLong(0x8000_0000)),
        (b"\xff\xff\xff\xff", Kind::TooLong(0xffff_ffff)),
    ] {
        let head = [b"Q", &word[..]].concat();
        assert_eq!(Head::peek(&head), Err(DecodeError { tag: b'Q', field: "length", kind }));
    }
}
