//! What a guest sends, packet by packet, each within its limit.

use bytes::{Buf, Bytes};
use pgweir_codec::error::DecodeError;
use pgweir_codec::frontend;
use pgweir_codec::head::Head;
use pgweir_codec::sqlstate::SqlState;
use pgweir_codec::startup::{self, StartupPacket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Guest;
use super::end::{End, refused, refused_packet};

/// Longest message of an authentication exchange, bytes: PostgreSQL's PG_MAX_AUTH_TOKEN_LENGTH.
const AUTH_LIMIT: usize = 65_535;

/// Room for what a guest sends at a time, bytes: any message of a usual login.
const ROOM: usize = 512;

impl Guest<'_> {
    pub(super) async fn startup_packet(&mut self) -> Result<StartupPacket, End> {
        loop {
            let need = startup::peek_len(&self.inbox).map_err(|error| self.refuse_packet(error))?;
            if let Some(need) = need
                && self.inbox.len() >= need
            {
                let packet = self.inbox.split_to(need).freeze();
                return StartupPacket::decode(packet.clone())
                    .map_err(|error| refused_packet(&packet, error));
            }
            self.read_more().await?;
        }
    }

    /// The first byte that the client sends; it stays unread.
    pub(super) async fn first_byte(&mut self) -> Result<u8, End> {
        loop {
            if let Some(first) = self.inbox.first() {
                return Ok(*first);
            }
            self.read_more().await?;
        }
    }

    pub(super) async fn auth_message(&mut self) -> Result<Bytes, End> {
        loop {
            let head = Head::peek(&self.inbox).map_err(|error| self.refuse_packet(error))?;
            if let Some(head) = head {
                if head.tag == frontend::Terminate::TAG {
                    return Err(End::Over("bad packet"));
                }
                if head.tag != frontend::PasswordMessage::TAG {
                    return Err(refused(SqlState::PROTOCOL_VIOLATION, "bad packet"));
                }
                if head.len > AUTH_LIMIT {
                    return Err(refused(SqlState::PROTOCOL_VIOLATION, "password too long"));
                }
                if self.inbox.len() >= head.len {
                    let mut message = self.inbox.split_to(head.len);
                    message.advance(Head::SIZE);
                    return Ok(message.freeze());
                }
            }
            self.read_more().await?;
        }
    }

    pub(super) async fn console_message(&mut self) -> Result<(u8, Bytes), End> {
        loop {
            let head = Head::peek(&self.inbox).map_err(|error| self.refuse_packet(error))?;
            if let Some(head) = head {
                if head.len > AUTH_LIMIT {
                    return Err(refused(SqlState::PROTOCOL_VIOLATION, "bad packet"));
                }
                if self.inbox.len() >= head.len {
                    let mut message = self.inbox.split_to(head.len);
                    message.advance(Head::SIZE);
                    return Ok((head.tag, message.freeze()));
                }
            }
            self.read_more().await?;
        }
    }

    /// What has come makes no sense.
    fn refuse_packet(&self, error: DecodeError) -> End {
        refused_packet(&self.inbox, error)
    }

    async fn read_more(&mut self) -> Result<(), End> {
        self.inbox.reserve(ROOM);
        match self.stream.read_buf(&mut self.inbox).await? {
            0 => Err(End::Left),
            _ => Ok(()),
        }
    }

    /// Sends this, and before it what is in the outbox.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<(), End> {
        if self.outbox.is_empty() {
            self.stream.write_all(bytes).await?;
        } else {
            self.outbox.extend_from_slice(bytes);
            self.stream.write_all(&self.outbox).await?;
            self.outbox.clear();
        }
        self.stream.flush().await?;
        Ok(())
    }
}
