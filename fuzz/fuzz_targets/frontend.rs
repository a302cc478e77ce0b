//! Messages of clients: what decodes is encoded to the bytes it came from, and what is read in place agrees.
#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use pgweir_codec::frontend::{
    Bind, Close, Describe, Message, Parse, SaslInitialResponse, bind, parse, query, target_name,
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
    match tag {
        Parse::TAG => {
            assert_eq!(parse::peek(&body).map(|_| ()), decoded.map(|_| ()));
        }
        Bind::TAG => {
            let names = bind::peek_names(&body);
            if let Ok(Message::Bind(message)) = decoded {
                let names = names.expect("no error").expect("both names");
                assert_eq!(names.portal, message.portal);
                assert_eq!(names.statement, message.statement);
                let mut renamed = BytesMut::new();
                let len = Head::SIZE + body.len();
                bind::write_renamed_head(&mut renamed, len, names.portal, b"new", names.rest_at);
                renamed.extend_from_slice(body.get(names.rest_at..).expect("the rest"));
                let statement = Bytes::from_static(b"new");
                assert_eq!(
                    Bind::decode(renamed.freeze().slice(Head::SIZE..)),
                    Ok(Bind { statement, ..message })
                );
            }
        }
        Close::TAG | Describe::TAG => {
            assert_eq!(target_name(tag, &body).map(|_| ()), decoded.map(|_| ()));
        }
        SaslInitialResponse::TAG => {
            if let Ok(message) = SaslInitialResponse::decode(body.clone()) {
                let mut encoded = BytesMut::new();
                message.encode(&mut encoded);
                assert_eq!(encoded.get(Head::SIZE..), Some(&body[..]));
            }
        }
        _ => assert!(query::text(&body).len() <= body.len()),
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
