//! Messages of servers: what decodes is encoded to the bytes it came from, and what is read in place agrees.
#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use pgweir_codec::backend::{
    Message, ParameterStatus, ReadyForQuery, parameter_status, ready_for_query,
};
use pgweir_codec::head::Head;

fn check(tag: u8, body: Bytes) {
    let decoded = Message::decode(tag, body.clone());
    if let Ok(message) = &decoded {
        let mut encoded = BytesMut::new();
        message.encode(&mut encoded);
        assert_eq!(Head::peek(&encoded), Ok(Some(Head { tag, len: encoded.len() })));
        assert_eq!(encoded.get(Head::SIZE..), Some(&body[..]), "{message:?}");
        assert_eq!(
            Message::decode(tag, encoded.freeze().slice(Head::SIZE..)).as_ref(),
            Ok(message)
        );
    }
    match &decoded {
        Ok(Message::ErrorResponse(error)) => {
            let (code, fatal) = (error.code(), error.is_fatal());
            assert_eq!(code.as_str().len(), 5);
            assert!(!fatal || error.field(b'V').or(error.field(b'S')).is_some());
            let _ = error.message();
        }
        Ok(Message::NoticeResponse(notice)) => {
            let _ = (notice.code(), notice.message());
        }
        _ => {}
    }
    match tag {
        ParameterStatus::TAG => {
            assert_eq!(parameter_status::peek(&body).map(|_| ()), decoded.map(|_| ()));
        }
        ReadyForQuery::TAG => {
            assert_eq!(ready_for_query::peek(&body).map(|_| ()), decoded.map(|_| ()));
        }
        _ => {}
    }
}

fuzz_target!(|data: &[u8]| {
    // As a stream with heads.
    let mut stream = Bytes::copy_from_slice(data);
    while let Ok(Some(head)) = Head::peek(&stream) {
        if stream.len() < head.len {
            break;
        }
        check(head.tag, stream.split_to(head.len).slice(Head::SIZE..));
    }
    // As one message whose length is true, whatever its word says.
    if let [tag, _, _, _, _, body @ ..] = data {
        check(*tag, Bytes::copy_from_slice(body));
    }
});
