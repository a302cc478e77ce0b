//! Connections with bounds: so many at once, so long for a request's head, so much of it, and no answer that nobody takes.
//!
//! A connection too many takes the place of the one that has been without a request the longest. So those who only sit there
//! cannot keep a probe out: a pooler that looks dead to its supervisor is ended by it.

use std::collections::HashMap;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, UnixListener};
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Source;
use crate::net::clock;
use crate::net::listen::{SocketFile, UnixSocket};

/// Connections at once. Scrapers, probes and a few people who look need a handful.
const MAX_CONNECTIONS: usize = 64;

/// How long a TLS handshake may take, and a request's head, from when the connection is there or the answer before it
/// has left.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest head of a request. Ours have a few hundred bytes; hyper takes no limit below 8 kB.
const MAX_HEAD: usize = 16 * 1024;

/// An answer of which nothing could be written for so long is given up.
const STALL: Duration = Duration::from_secs(30);

/// After an error of `accept` (no file descriptors are left, say) nothing is accepted for so long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// Where connections come from.
#[derive(Debug)]
pub enum Door {
    /// TCP, with TLS if there is a certificate.
    Tcp(std::net::TcpListener),
    /// A Unix-domain socket; never with TLS.
    Unix(UnixSocket),
}

/// Serves until `stop`; [`TaskTracker::wait`] of `tasks` then waits for the answers under way.
pub(super) struct Server {
    router: Router,
    source: Arc<dyn Source>,
    places: Arc<Places>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Server {
    pub(super) fn new(
        router: Router,
        source: Arc<dyn Source>,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Arc<Self> {
        let places = Arc::new(Places::new(MAX_CONNECTIONS));
        Arc::new(Self { router, source, places, tasks, stop })
    }

    /// Takes connections from this door.
    ///
    /// # Errors
    /// The listener cannot be registered with the runtime.
    pub(super) fn open(self: &Arc<Self>, door: Door) -> io::Result<()> {
        let (server, listener) = (self.clone(), Listener::register(door)?);
        self.tasks.spawn(async move {
            let stop = server.stop.clone();
            stop.run_until_cancelled(server.accept(listener)).await;
        });
        Ok(())
    }

    async fn accept(self: Arc<Self>, listener: Listener) {
        loop {
            let (stream, encrypted) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!("http_listen: cannot accept a connection: {error}");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            // All have a request under way: not even one that sits there would make room.
            if let Some(place) = self.places.take(clock::now()) {
                self.tasks.spawn(self.clone().connection(stream, encrypted, place));
            }
            // It shall have its turn before others can take its place.
            tokio::task::yield_now().await;
        }
    }

    async fn connection(self: Arc<Self>, stream: Box<dyn Duplex>, encrypted: bool, place: Place) {
        let tls = if encrypted { self.source.tls() } else { None };
        let stream = match tls {
            None => stream,
            Some(config) => {
                let handshake = TlsAcceptor::from(config).accept(stream);
                match place.close.run_until_cancelled(timeout(HEAD_TIMEOUT, handshake)).await {
                    Some(Ok(Ok(stream))) => Box::new(stream),
                    Some(Ok(Err(error))) => return tracing::debug!("http: no TLS: {error}"),
                    Some(Err(_)) | None => return,
                }
            }
        };
        let router = TowerToHyperService::new(self.router.clone());
        let service = service_fn(|request| {
            place.request_begins();
            let answer = router.call(request);
            let place = &place;
            async move {
                let answer = answer.await;
                place.request_ends(clock::now());
                answer
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(Watched::new(stream, STALL)), service);
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = place.close.cancelled() => return,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection => ended,
                    () = place.close.cancelled() => return,
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!("http: {error}");
        }
    }
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, #[expect(dead_code, reason = "removes the file in the end")] SocketFile),
}

impl Listener {
    fn register(door: Door) -> io::Result<Self> {
        Ok(match door {
            Door::Tcp(listener) => Self::Tcp(TcpListener::from_std(listener)?),
            Door::Unix(UnixSocket { listener, file }) => {
                Self::Unix(UnixListener::from_std(listener)?, file)
            }
        })
    }

    /// A connection, and whether TLS is for it.
    async fn accept(&self) -> io::Result<(Box<dyn Duplex>, bool)> {
        Ok(match self {
            Self::Tcp(listener) => (Box::new(listener.accept().await?.0), true),
            Self::Unix(listener, _) => (Box::new(listener.accept().await?.0), false),
        })
    }
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// The connections that are open.
struct Places {
    limit: usize,
    taken: Mutex<HashMap<u64, Taken>>,
    count: AtomicU64,
}

struct Taken {
    /// `None` while a request is under way.
    idle_since: Option<Instant>,
    close: CancellationToken,
}

impl Places {
    fn new(limit: usize) -> Self {
        Self { limit, taken: Mutex::default(), count: AtomicU64::new(0) }
    }

    /// A place for one more; `None` when there is none and none can be made.
    fn take(self: &Arc<Self>, now: Instant) -> Option<Place> {
        let mut taken = self.taken();
        if taken.len() >= self.limit {
            let idle = taken.iter().filter_map(|(id, place)| Some((place.idle_since?, *id)));
            let (_, longest) = idle.min()?;
            taken.remove(&longest)?.close.cancel();
        }
        let (id, close) = (self.count.fetch_add(1, Ordering::Relaxed), CancellationToken::new());
        taken.insert(id, Taken { idle_since: Some(now), close: close.clone() });
        Some(Place { id, close, places: self.clone() })
    }

    /// Nothing in here panics half-way through a change.
    fn taken(&self) -> MutexGuard<'_, HashMap<u64, Taken>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One open connection.
struct Place {
    id: u64,
    /// Somebody else has got its place.
    close: CancellationToken,
    places: Arc<Places>,
}

impl Place {
    fn request_begins(&self) {
        self.set(None);
    }

    fn request_ends(&self, now: Instant) {
        self.set(Some(now));
    }

    fn set(&self, idle_since: Option<Instant>) {
        if let Some(taken) = self.places.taken().get_mut(&self.id) {
            taken.idle_since = idle_since;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken().remove(&self.id);
    }
}

/// A stream that fails when what is to be written finds no taker.
struct Watched<S> {
    stream: S,
    patience: Duration,
    /// Set while a write waits.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Watched<S> {
    fn new(stream: S, patience: Duration) -> Self {
        Self { stream, patience, stalled: None }
    }

    fn watch<T>(&mut self, cx: &mut Context<'_>, came: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if came.is_ready() {
            self.stalled = None;
            return came;
        }
        let patience = self.patience;
        match self.stalled.get_or_insert_with(|| Box::pin(sleep(patience))).as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let came = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watch(cx, came)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let came = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watch(cx, came)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // TLS writes what it has kept only now.
        let came = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch(cx, came)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let came = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.watch(cx, came)
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test's story begins at any moment")]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn one_too_many_takes_the_place_of_the_one_that_has_been_idle_longest() {
        let (places, start) = (Arc::new(Places::new(3)), Instant::now());
        let [a, b, c] = [0, 1, 2].map(|second| places.take(start + SECOND * second).unwrap());
        a.request_begins();
        let d = places.take(start + SECOND * 3).unwrap();
        assert!(b.close.is_cancelled(), "a is at work, b came before c");
        a.request_ends(start + SECOND * 4);
        drop(b); // it had no place any more
        let e = places.take(start + SECOND * 5).unwrap();
        assert!(c.close.is_cancelled());
        assert!([&a, &d, &e].iter().all(|place| !place.close.is_cancelled()));
        assert_eq!(places.taken().len(), 3);
    }

    #[test]
    fn while_all_have_requests_under_way_nobody_is_let_in_and_a_place_that_is_left_is_free() {
        let (places, now) = (Arc::new(Places::new(1)), Instant::now());
        let only = places.take(now).unwrap();
        only.request_begins();
        assert!(places.take(now).is_none());
        drop(only);
        assert!(places.take(now).is_some());
    }

    #[tokio::test]
    async fn what_nobody_takes_is_given_up() {
        let (ours, _theirs) = tokio::io::duplex(16);
        let mut watched = Watched::new(ours, Duration::from_millis(50));
        let written = timeout(STALL, watched.write_all(&[0; 64])).await.unwrap();
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
