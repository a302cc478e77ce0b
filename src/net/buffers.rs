//! Buffers that belong to the worker and are lent to a connection while it has bytes in flight.
//!
//! An idle client holds none. Two sizes: short messages want little memory, streams of rows want few system calls
//! (64 KiB is where larger reads stop paying). A buffer that had to grow beyond that for one large message is freed
//! when it comes back, so one such message does not stay in memory.

use std::cell::RefCell;

use bytes::BytesMut;

/// For reads while messages are short.
pub const SMALL: usize = 8 * 1024;
/// For reads while a stream fills them.
pub const LARGE: usize = 64 * 1024;

/// How many free buffers of each size a worker keeps.
const KEPT: usize = 64;

thread_local! {
    static SHELF: RefCell<Shelf> = const { RefCell::new(Shelf { small: Vec::new(), large: Vec::new(), made: Vec::new() }) };
}

struct Shelf {
    small: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
    made: Vec<BytesMut>,
}

/// Lends a buffer to read into; its length is its size, its content is old bytes.
pub fn take(size: usize) -> Vec<u8> {
    let kept = SHELF.with_borrow_mut(|shelf| match size {
        SMALL => shelf.small.pop(),
        LARGE => shelf.large.pop(),
        _ => None,
    });
    kept.unwrap_or_else(|| vec![0; size])
}

/// Takes a buffer back.
pub fn give(buffer: Vec<u8>) {
    SHELF.with_borrow_mut(|shelf| {
        let kept = match buffer.len() {
            SMALL => &mut shelf.small,
            LARGE => &mut shelf.large,
            _ => return,
        };
        if kept.len() < KEPT {
            kept.push(buffer);
        }
    });
}

/// Lends an empty buffer to write messages into.
pub fn take_made() -> BytesMut {
    SHELF
        .with_borrow_mut(|shelf| shelf.made.pop())
        .unwrap_or_else(|| BytesMut::with_capacity(SMALL))
}

/// Takes such a buffer back.
pub fn give_made(mut buffer: BytesMut) {
    buffer.clear();
    if buffer.capacity() < SMALL / 2 || buffer.capacity() > LARGE {
        return;
    }
    SHELF.with_borrow_mut(|shelf| {
        if shelf.made.len() < KEPT {
            shelf.made.push(buffer);
        }
    });
}
