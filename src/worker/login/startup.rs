//! Up to the startup packet, and what it asks for: encryption, who for which database, settings, protocol version.

use std::io;
use std::time::Duration;

use pgweir_codec::sqlstate::SqlState;
use pgweir_codec::startup::{CancelRequest, StartupMessage, StartupPacket};
use tokio::io::AsyncWriteExt;

use super::Guest;
use super::end::{End, refused};
use super::request::{Replication, Request};
use crate::config::SslMode;
use crate::metrics::{CancelResult, TlsVersion};
use crate::net::stream::{Socket, Stream};
use crate::net::tls::{ALPN, Acceptor};
use crate::worker::cancel;

/// Type of the TLS record that a handshake begins with (RFC 8446, section 5.1). As the first byte of a length word it
/// would be far above what a startup packet may have.
const HANDSHAKE: u8 = 0x16;

impl Guest<'_> {
    /// Up to the startup packet: encryption, and what is no client at all.
    pub(super) async fn startup_message(&mut self) -> Result<StartupMessage, End> {
        let (mut tls_asked, mut gss_asked) = (self.direct_tls().await?, false);
        loop {
            match self.startup_packet().await? {
                StartupPacket::Ssl if !tls_asked => {
                    tls_asked = true;
                    self.nothing_early("SSL")?;
                    match self.acceptor() {
                        Some(acceptor) => {
                            self.send(b"S").await?;
                            self.begin_tls(acceptor).await?;
                        }
                        None => self.send(b"N").await?,
                    }
                }
                StartupPacket::GssEnc if !gss_asked => {
                    gss_asked = true;
                    self.nothing_early("GSSAPI encryption")?;
                    self.send(b"N").await?;
                }
                StartupPacket::Ssl | StartupPacket::GssEnc => {
                    return Err(refused(SqlState::PROTOCOL_VIOLATION, "bad packet"));
                }
                StartupPacket::Cancel(request) => {
                    self.cancel(request).await;
                    return Err(End::Done);
                }
                StartupPacket::Startup(message) => return Ok(message),
            }
        }
    }

    /// Bytes behind the request for encryption were sent in the clear: they must not be taken for part of the
    /// encrypted session (CVE-2021-3935).
    pub(super) fn nothing_early(&self, what: &str) -> Result<(), End> {
        if self.inbox.is_empty() {
            return Ok(());
        }
        let text = format!("received unencrypted data after {what} request");
        Err(refused(SqlState::PROTOCOL_VIOLATION, &text))
    }

    /// What TLS is begun with; `None` where there is none.
    fn acceptor(&self) -> Option<Acceptor> {
        self.live.client_tls.clone().filter(|_| !self.stream.socket().is_unix())
    }

    /// Whether the client begins with TLS itself, without asking (`sslnegotiation=direct`). It must then name the
    /// protocol, so that nobody can lead a client of another protocol here; PostgreSQL 17's rules, which answers what
    /// does not follow them with nothing but a close.
    async fn direct_tls(&mut self) -> Result<bool, End> {
        if self.first_byte().await? != HANDSHAKE {
            return Ok(false);
        }
        let closed = |reason: &str| Err(End::Closed(format!("direct TLS refused: {reason}")));
        let Some(acceptor) = self.acceptor() else {
            let unix = self.stream.socket().is_unix();
            return closed(if unix {
                "Unix sockets have none"
            } else {
                "client_tls_sslmode is disable"
            });
        };
        self.begin_tls(acceptor).await?;
        if self.stream.alpn_protocol() != Some(ALPN) {
            return closed("the client does not name the protocol postgresql (ALPN)");
        }
        Ok(true)
    }

    /// What the client has sent so far is taken for the beginning of its handshake.
    pub(super) async fn begin_tls(&mut self, acceptor: Acceptor) -> Result<(), End> {
        let nowhere = Stream::Plain(Socket::nowhere());
        let Stream::Plain(socket) = std::mem::replace(&mut self.stream, nowhere) else {
            return Err(refused(SqlState::PROTOCOL_VIOLATION, "bad packet"));
        };
        let arrived = self.inbox.split();
        let mut broken = None;
        let handshake = tokio_rustls::TlsAcceptor::from(acceptor.config)
            .accept_with(socket, |session| broken = take_in(session, &arrived).err());
        if let Some(error) = broken {
            tracing::info!(of = %self.label, "TLS handshake failed: {error}");
            // One poll, which sends the alert.
            let _ = tokio::time::timeout(Duration::ZERO, handshake).await;
            self.shared.metrics.process().tls_handshake(None);
            return Err(End::Left);
        }
        match handshake.await {
            Ok(stream) => {
                self.stream = Stream::Tls(Box::new(stream.into()));
                let agreed = TlsVersion::of(&self.stream.tls_description());
                self.shared.metrics.process().tls_handshake(agreed);
                self.end_point = acceptor.end_point;
                Ok(())
            }
            Err(error) => {
                tracing::info!(of = %self.label, "TLS handshake failed: {error}");
                self.shared.metrics.process().tls_handshake(None);
                Err(End::Left)
            }
        }
    }

    pub(super) async fn cancel(&mut self, request: CancelRequest) {
        let result = cancel::run(self.shared, &request, &self.visiting).await;
        match result {
            CancelResult::Sent => self.log_closing("successfully sent cancel request"),
            CancelResult::Idle => self.log_closing("cancel request for idle client"),
            CancelResult::Unknown => self.log_closing("failed cancel request"),
            CancelResult::TimedOut => self.log_closing("cancel_wait_timeout"),
            CancelResult::Failed => self.log_closing("connect failed"),
        }
        self.shared.metrics.process().cancel(result);
        // The client waits for us to close.
        let _ = self.stream.shutdown().await;
    }

    pub(super) fn demand_tls(&self) -> Result<(), End> {
        let mode = self.live.config.settings.client_tls.mode;
        let wanted = matches!(mode, SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull);
        let plain = matches!(self.stream, Stream::Plain(_)) && !self.stream.socket().is_unix();
        if wanted && plain {
            return Err(refused(SqlState::INVALID_AUTHORIZATION_SPECIFICATION, "SSL required"));
        }
        Ok(())
    }

    pub(super) fn log_attempt(&self, request: &Request) {
        if self.live.config.settings.log_connections {
            let tls = self.stream.tls_description();
            let tls = if tls.is_empty() { "no" } else { &tls };
            let Request { database, user, replication, .. } = request;
            let replication = match replication {
                None => "no",
                Some(Replication { physical: true, .. }) => "yes",
                Some(Replication { physical: false, .. }) => "database",
            };
            tracing::info!(
                of = %self.label,
                "login attempt: db={database} user={user} tls={tls} replication={replication}"
            );
        }
    }
}

/// Gives a session what has arrived already.
fn take_in(session: &mut rustls::ServerConnection, mut arrived: &[u8]) -> io::Result<()> {
    while !arrived.is_empty() {
        // Nothing makes it stop reading before the handshake is done; if something did, we must not go round for ever.
        if session.read_tls(&mut arrived)? == 0 {
            return Err(io::Error::other("the session took no more of the handshake"));
        }
        session.process_new_packets().map_err(io::Error::other)?;
    }
    Ok(())
}
