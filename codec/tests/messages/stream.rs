//! Streams that arrive in pieces, read by their heads.

use bytes::{Bytes, BytesMut};
use pgweir_codec::backend;
use pgweir_codec::error::Kind;
use pgweir_codec::head::Head;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::strategies::*;

/// Takes the whole messages off the front of what has arrived.
fn take_messages(arrived: &mut BytesMut) -> Vec<(Head, Bytes)> {
    let mut taken = Vec::new();
    while let Some(head) = Head::peek(arrived).expect("sound heads") {
        if arrived.len() < head.len {
            break;
        }
        taken.push((head, arrived.split_to(head.len).freeze()));
    }
    taken
}

proptest! {
    #[test]
    fn a_stream_reads_the_same_wherever_it_is_split(
        messages in vec(backend_message(), 0..6),
        cuts in vec(any::<Index>(), 0..12),
    ) {
        let stream = encoded(|out| messages.iter().for_each(|message| message.encode(out)));
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.push(stream.len());
        cuts.sort_unstable();

        let (mut arrived, mut from, mut read) = (BytesMut::new(), 0, Vec::new());
        for to in cuts {
            arrived.extend_from_slice(&stream[from..to]);
            from = to;
            read.extend(take_messages(&mut arrived));
        }
        prop_assert!(arrived.is_empty());

        let heads: Vec<Head> = read.iter().map(|(head, _)| *head).collect();
        let at_once: Vec<Head> =
            take_messages(&mut BytesMut::from(&stream[..])).iter().map(|(head, _)| *head).collect();
        prop_assert_eq!(heads, at_once);

        let decoded: Vec<_> = read
            .iter()
            .map(|(head, message)| backend::Message::decode(head.tag, message.slice(Head::SIZE..)))
            .collect();
        prop_assert_eq!(decoded, messages.into_iter().map(Ok).collect::<Vec<_>>());
    }

    #[test]
    fn a_run_is_all_whole_messages_of_its_tag_and_stops_before_any_other(
        rows in vec(backend_message(), 1..6),
        cut in any::<Index>(),
    ) {
        let stream = encoded(|out| rows.iter().for_each(|message| message.encode(out)));
        let part = &stream[..cut.index(stream.len() + 1)];
        for tag in [backend::DataRow::TAG, backend::ReadyForQuery::TAG, part.first().copied().unwrap_or(0)] {
            let whole = take_messages(&mut BytesMut::from(part));
            let same = whole.iter().take_while(|(head, _)| head.tag == tag);
            prop_assert_eq!(Head::run(part, tag), same.map(|(head, _)| head.len).sum::<usize>());
        }
    }

    #[test]
    fn a_head_that_grows_byte_by_byte_says_the_same_from_the_fifth_on(bytes in vec(any::<u8>(), 0..12)) {
        let whole = Head::peek(&bytes);
        for have in 0..bytes.len() {
            let expected = if have < Head::SIZE { Ok(None) } else { whole };
            prop_assert_eq!(Head::peek(&bytes[..have]), expected);
        }
        if let Ok(Some(head)) = whole {
            prop_assert!(head.len >= Head::SIZE);
        }
    }
}

#[test]
fn a_length_counts_itself_and_is_not_negative() {
    let head = |length: u32| Head::peek(&[&b"Q"[..], &length.to_be_bytes()].concat());
    assert_eq!(head(4), Ok(Some(Head { tag: b'Q', len: 5 })));
    assert_eq!(head(i32::MAX as u32), Ok(Some(Head { tag: b'Q', len: 1 << 31 })));
    for length in 0..4 {
        assert_eq!(head(length).unwrap_err().kind, Kind::TooShort(length.into()));
    }
    for length in [1 << 31, u32::MAX] {
        assert_eq!(head(length).unwrap_err().kind, Kind::TooLong(length as usize));
    }
}
