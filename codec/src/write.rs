//! Writing messages: the length word is filled in when the body is there.

use bytes::{BufMut, Bytes, BytesMut};

/// Appends a message with the body that `body` writes.
///
/// A body beyond the protocol's 2 GiB cannot be written: all our own messages are far below, and what was decoded had
/// a length that fits.
pub(crate) fn message(out: &mut BytesMut, tag: u8, body: impl FnOnce(&mut BytesMut)) {
    message_followed_by(out, tag, 0, body);
}

/// The same for the front of a message of which `rest` more bytes follow from elsewhere.
pub(crate) fn message_followed_by(
    out: &mut BytesMut,
    tag: u8,
    rest: usize,
    body: impl FnOnce(&mut BytesMut),
) {
    out.put_u8(tag);
    counted(out, rest, body);
}

/// The same without a tag, for the packets of the startup.
pub(crate) fn untagged(out: &mut BytesMut, body: impl FnOnce(&mut BytesMut)) {
    counted(out, 0, body);
}

fn counted(out: &mut BytesMut, rest: usize, body: impl FnOnce(&mut BytesMut)) {
    let at = out.len();
    out.put_u32(0);
    body(out);
    let length = u32::try_from(out.len() - at + rest).unwrap_or(u32::MAX);
    if let Some(word) = out.get_mut(at..at + 4) {
        word.copy_from_slice(&length.to_be_bytes());
    }
}

/// A text and its zero byte. A text cannot hold a zero byte itself: it is cut there, as C would.
pub(crate) fn text(out: &mut BytesMut, text: &[u8]) {
    let end = memchr::memchr(0, text).unwrap_or(text.len());
    out.put_slice(text.get(..end).unwrap_or_default());
    out.put_u8(0);
}

/// A value with its length in front; NULL is -1.
pub(crate) fn value(out: &mut BytesMut, value: Option<&Bytes>) {
    match value {
        None => out.put_i32(-1),
        Some(value) => {
            out.put_u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
            out.put_slice(value);
        }
    }
}

/// A list with its count in front (Int16). What is beyond 65,535 entries cannot be said in the protocol, and nothing
/// that was decoded has more.
pub(crate) fn list<T>(out: &mut BytesMut, entries: &[T], mut entry: impl FnMut(&mut BytesMut, &T)) {
    let count = u16::try_from(entries.len()).unwrap_or(u16::MAX);
    out.put_u16(count);
    for one in entries.iter().take(usize::from(count)) {
        entry(out, one);
    }
}
