//! Messages with open sockets in them, between two processes over a Unix-domain socket (unix(7), SCM_RIGHTS).
//!
//! ```text
//!     u32 length   u32 number of sockets (which come with these eight bytes)   payload
//! ```
//!
//! A reader asks for exactly the bytes of one part, so that sockets are never met by a read that would lose them.
//! Everything here blocks: it is for threads of their own.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// Most sockets in one message. The system takes up to 253.
pub const MOST_SOCKETS: usize = 64;

/// Longest payload that is believed, bytes.
const LONGEST: usize = 256 * 1024 * 1024;

const HEAD: usize = 8;

/// Sends one message.
///
/// # Errors
/// The system's; too many sockets or bytes ([`io::ErrorKind::InvalidInput`]).
pub fn send(mut to: &UnixStream, payload: &[u8], sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
    if sockets.len() > MOST_SOCKETS || payload.len() > LONGEST {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let (len, count) = (payload.len() as u32, sockets.len() as u32);
    let mut head = [0; HEAD];
    let (front, back) = head.split_at_mut(4);
    front.copy_from_slice(&len.to_be_bytes());
    back.copy_from_slice(&count.to_be_bytes());

    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_SOCKETS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !sockets.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(sockets)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let sent = retry(|| sendmsg(to, &[IoSlice::new(&head)], &mut ancillary, SendFlags::NOSIGNAL))?;
    // The sockets have gone with the first byte.
    to.write_all(head.get(sent..).unwrap_or_default())?;
    to.write_all(payload)
}

/// Receives one message; `None` if the other side has closed.
///
/// # Errors
/// The system's; what makes no sense ([`io::ErrorKind::InvalidData`]).
pub fn receive(mut from: &UnixStream) -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
    let mut head = [0; HEAD];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_SOCKETS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let got = retry(|| recvmsg(from, &mut [IoSliceMut::new(&mut head)], &mut ancillary, flags))?;
    if got.bytes == 0 {
        return Ok(None);
    }
    let mut sockets = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            sockets.extend(received);
        }
    }
    from.read_exact(head.get_mut(got.bytes..).unwrap_or_default())?;
    let number = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    let (len, count) = head.split_at(4);
    let (len, count) = (number(len), number(count));
    if count != sockets.len() || len > LONGEST {
        let text = format!("a message of {len} bytes with {} of {count} sockets", sockets.len());
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let mut payload = Vec::new();
    // The buffer grows with what has come, not with what was announced.
    from.take(len as u64).read_to_end(&mut payload)?;
    if payload.len() < len {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some((payload, sockets)))
}

fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(rustix::io::Errno::INTR) => {}
            other => return other.map_err(io::Error::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn messages_arrive_whole_and_in_order_with_their_sockets() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let long = vec![7; 300_000];
        let sender = std::thread::spawn(move || {
            let (near, far) = UnixStream::pair().unwrap();
            send(&ours, b"none", &[]).unwrap();
            send(&ours, &long, &[far.as_fd(), far.as_fd()]).unwrap();
            send(&ours, b"", &[far.as_fd()]).unwrap();
            drop(far);
            let mut heard = [0; 5];
            (&near).read_exact(&mut heard).unwrap();
            heard
        });
        let (payload, sockets) = receive(&theirs).unwrap().unwrap();
        assert_eq!((&payload[..], sockets.len()), (&b"none"[..], 0));
        let (payload, sockets) = receive(&theirs).unwrap().unwrap();
        assert_eq!((payload.len(), sockets.len()), (300_000, 2));
        let (payload, mut sockets) = receive(&theirs).unwrap().unwrap();
        assert!(payload.is_empty());
        (&UnixStream::from(sockets.remove(0))).write_all(b"hello").unwrap();
        assert_eq!(&sender.join().unwrap(), b"hello");
        assert!(receive(&theirs).unwrap().is_none());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (&ours).write_all(&[0, 0, 0, 1, 0, 0, 0, 1, 9]).unwrap();
        assert_eq!(receive(&theirs).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let (ours, theirs) = UnixStream::pair().unwrap();
        (&ours).write_all(&[0, 0, 0, 9, 0, 0, 0, 0, 9]).unwrap();
        drop(ours);
        assert_eq!(receive(&theirs).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
