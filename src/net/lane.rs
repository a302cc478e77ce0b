//! One direction of a relay: bytes read from one side, looked at in place, and written to the other.
//!
//! The inbox holds what was read:
//!
//! ```text
//!     start ──────── seen ──────────── end
//!       │  to be sent  │  not looked at  │
//! ```
//!
//! Bytes that go on unchanged are written straight from it. Where something is put in or left out, what was already
//! approved is copied to the outbox first, so order holds and all of it still leaves in one write. The rest of a
//! message longer than what was read is approved (or dropped) ahead: it streams through, whatever its size.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::buffers::{self, LARGE, SMALL};

/// Up to this many approved bytes are copied behind the outbox to save a second write.
const JOIN: usize = 16 * 1024;

/// See the module's words.
#[derive(Debug, Default)]
pub struct Lane {
    inbox: Vec<u8>,
    start: usize,
    seen: usize,
    end: usize,
    outbox: BytesMut,
    /// Bytes of the current message that have not arrived and will be forwarded.
    forward_ahead: usize,
    /// Bytes of the current message that have not arrived and will be dropped.
    drop_ahead: usize,
    /// The receiver's TLS session holds bytes that its socket did not take yet.
    unflushed: bool,
    /// The last read filled the buffer: a stream is under way.
    streaming: bool,
    /// Where the bytes begin that may have to be looked at again; see [`Lane::mark`].
    mark: Option<usize>,
    /// The marked bytes are kept although they have left; see [`Lane::hold`].
    held: bool,
    /// Bytes have left since the mark.
    left: bool,
}

/// How a read went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// This many bytes came.
    Bytes(usize),
    /// The other side closed its end.
    Closed,
}

impl Lane {
    /// Puts bytes in that were read by somebody else before the relay began.
    pub fn preload(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.inbox = vec![0; bytes.len().max(SMALL)];
        if let Some(front) = self.inbox.get_mut(..bytes.len()) {
            front.copy_from_slice(bytes);
        }
        self.end = bytes.len();
    }

    /// What has arrived and was not looked at.
    pub fn unseen(&self) -> &[u8] {
        self.inbox.get(self.seen..self.end).unwrap_or_default()
    }

    /// Whether a message is under way whose end has not arrived.
    pub fn mid_message(&self) -> bool {
        self.forward_ahead > 0 || self.drop_ahead > 0
    }

    /// Whether approved bytes wait to be written.
    pub fn has_output(&self) -> bool {
        self.start < self.seen || !self.outbox.is_empty() || self.unflushed
    }

    /// Whether nothing at all is held.
    pub fn is_empty(&self) -> bool {
        self.start == self.end && self.outbox.is_empty() && !self.unflushed && !self.mid_message()
    }

    /// Approves the next `len` bytes, those too that have not arrived.
    pub fn forward(&mut self, len: usize) {
        let here = len.min(self.end - self.seen);
        self.seen += here;
        self.forward_ahead += len - here;
    }

    /// Leaves out the next `len` bytes, those too that have not arrived.
    pub fn skip(&mut self, len: usize) {
        let here = len.min(self.end - self.seen);
        if here > 0 {
            self.settle();
            self.seen += here;
            self.start = self.seen;
        }
        self.drop_ahead += len - here;
    }

    /// Puts bytes in behind all that was approved so far, and leaves `made` empty.
    pub fn insert(&mut self, made: &mut BytesMut) {
        if made.is_empty() {
            return;
        }
        self.settle();
        if self.outbox.capacity() == 0 {
            self.outbox = buffers::take_made();
        }
        self.outbox.extend_from_slice(made);
        made.clear();
    }

    /// Copies what was approved to the outbox.
    fn settle(&mut self) {
        let approved = self.inbox.get(self.start..self.seen).unwrap_or_default();
        if !approved.is_empty() {
            if self.outbox.capacity() == 0 {
                self.outbox = buffers::take_made();
            }
            self.outbox.extend_from_slice(approved);
            self.start = self.seen;
        }
    }

    /// Remembers the unseen bytes from here on, until the first of them leaves.
    pub fn mark(&mut self) {
        self.mark = Some(self.seen);
        self.left = false;
    }

    /// Whether nothing has left since the mark.
    pub fn is_marked(&self) -> bool {
        self.mark.is_some() && !self.left
    }

    /// How many marked bytes were looked at since.
    pub fn kept(&self) -> usize {
        self.mark.map_or(0, |mark| self.seen.saturating_sub(mark))
    }

    /// Keeps what is marked beyond its leaving, until [`Lane::let_go`].
    pub fn hold(&mut self) {
        self.held = self.mark.is_some();
    }

    /// What has left will not be needed again.
    pub fn let_go(&mut self) {
        self.held = false;
        if self.left {
            self.unmark();
        }
    }

    /// The marked bytes will not be needed again.
    pub fn unmark(&mut self) {
        self.mark = None;
        self.held = false;
        self.give_back();
    }

    /// Makes all since the mark unseen again, and drops what was made of it. `false` if there is no mark.
    pub fn rewind(&mut self) -> bool {
        let Some(mark) = self.mark else { return false };
        self.start = mark;
        self.seen = mark;
        self.outbox.clear();
        self.unflushed = false;
        self.forward_ahead = 0;
        self.drop_ahead = 0;
        self.held = false;
        self.left = false;
        true
    }

    /// Bytes leave: what is not held cannot be taken back any more.
    fn leaves(&mut self) {
        self.left = true;
        if !self.held {
            self.mark = None;
        }
    }

    /// The receiver is gone: drops what was approved for it, and what was approved and is still to come.
    pub fn drop_output(&mut self) {
        self.outbox.clear();
        self.unflushed = false;
        self.start = self.seen;
        self.mark = None;
        self.held = false;
        self.drop_ahead += std::mem::take(&mut self.forward_ahead);
        self.give_back();
    }

    /// Drops what was approved and has not left. To be called only while nothing of it has.
    pub fn take_back(&mut self) {
        self.outbox.clear();
        self.unflushed = false;
        self.start = self.seen;
    }

    /// The sender is gone: drops what it sent and nobody looked at. What was approved is still to be written.
    pub fn drop_input(&mut self) {
        self.end = self.seen;
        self.forward_ahead = 0;
        self.drop_ahead = 0;
        self.streaming = false;
        self.give_back();
    }

    /// Whether the rest of a message that is being passed on has not arrived.
    pub fn is_cut(&self) -> bool {
        self.forward_ahead > 0
    }

    /// Reads once. `want` is how many unseen bytes the next look needs at least (0: any). The buffer grows by doubling
    /// as bytes really arrive, never at once to a length that a peer claims.
    ///
    /// # Errors
    /// The socket's.
    pub fn poll_read<R: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
        want: usize,
    ) -> Poll<io::Result<Read>> {
        self.make_room(want);
        let Some(space) = self.inbox.get_mut(self.end..) else { return Poll::Pending };
        let room = space.len();
        let mut buf = ReadBuf::new(space);
        let result = Pin::new(from).poll_read(cx, &mut buf);
        let count = buf.filled().len();
        match result {
            Poll::Ready(Ok(())) if count > 0 => {
                self.end += count;
                self.streaming = count == room;
                self.pass_ahead();
                Poll::Ready(Ok(Read::Bytes(count)))
            }
            other => {
                self.give_back();
                other.map_ok(|()| Read::Closed)
            }
        }
    }

    /// Applies what was decided about bytes before they came.
    fn pass_ahead(&mut self) {
        let forward = std::mem::take(&mut self.forward_ahead);
        if forward > 0 {
            self.forward(forward);
        }
        let drop = std::mem::take(&mut self.drop_ahead);
        if drop > 0 {
            self.skip(drop);
        }
    }

    fn make_room(&mut self, want: usize) {
        if self.inbox.is_empty() {
            self.inbox = buffers::take(if self.streaming { LARGE } else { SMALL });
            return;
        }
        let kept_from = self.mark.map_or(self.start, |mark| mark.min(self.start));
        if self.end == self.inbox.len() || kept_from == self.end {
            self.inbox.copy_within(kept_from..self.end, 0);
            self.mark = self.mark.map(|mark| mark - kept_from);
            self.start -= kept_from;
            self.seen -= kept_from;
            self.end -= kept_from;
        }
        if self.end == self.inbox.len()
            || (want > self.inbox.len() && self.end * 2 > self.inbox.len())
        {
            let size = if self.inbox.len() < LARGE { LARGE } else { self.inbox.len() * 2 };
            let mut larger = buffers::take(size);
            let old = self.inbox.get(..self.end).unwrap_or_default();
            if let Some(front) = larger.get_mut(..old.len()) {
                front.copy_from_slice(old);
            }
            buffers::give(std::mem::replace(&mut self.inbox, larger));
        }
    }

    /// Writes all that was approved. Ready when nothing is left to write.
    ///
    /// # Errors
    /// The socket's.
    pub fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut W,
    ) -> Poll<io::Result<()>> {
        while self.start < self.seen || !self.outbox.is_empty() {
            self.unflushed = true;
            if !self.outbox.is_empty() {
                if self.seen - self.start <= JOIN {
                    self.settle();
                }
                let count = ready!(Pin::new(&mut *to).poll_write(cx, &self.outbox))?;
                self.leaves();
                self.advance_outbox(count)?;
            } else {
                let approved = self.inbox.get(self.start..self.seen).unwrap_or_default();
                let count = ready!(Pin::new(&mut *to).poll_write(cx, approved))?;
                self.leaves();
                if count == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.start += count;
            }
        }
        ready!(Pin::new(to).poll_flush(cx))?;
        self.unflushed = false;
        self.give_back();
        Poll::Ready(Ok(()))
    }

    fn advance_outbox(&mut self, count: usize) -> io::Result<()> {
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let _sent = self.outbox.split_to(count);
        if self.outbox.is_empty() {
            buffers::give_made(std::mem::take(&mut self.outbox));
        }
        Ok(())
    }

    /// Returns the buffer to the worker if nothing is in it.
    fn give_back(&mut self) {
        if self.start == self.end && self.mark.is_none() && !self.inbox.is_empty() {
            buffers::give(std::mem::take(&mut self.inbox));
            (self.start, self.seen, self.end) = (0, 0, 0);
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if !self.inbox.is_empty() {
            buffers::give(std::mem::take(&mut self.inbox));
        }
    }
}
