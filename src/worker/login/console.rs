//! Clients of the console: who may, and the questions and answers.

use bytes::BytesMut;
use pgweir_codec::frontend;
use pgweir_codec::sqlstate::SqlState;
use pgweir_codec::startup::StartupMessage;

use super::admit::write_welcome;
use super::end::{End, refused};
use super::request::Request;
use super::{Guest, Proof};
use crate::config::AuthType;
use crate::worker::client::CancelKey;
use crate::worker::console::Right;

impl Guest<'_> {
    pub(super) async fn prove_console(
        &mut self,
        request: Request,
        message: &StartupMessage,
    ) -> Result<Proof, End> {
        // HBA rules for replication are not those for the console.
        if request.replication.is_some() {
            let text = "the console has no replication connections";
            return Err(refused(SqlState::FEATURE_NOT_SUPPORTED, text));
        }
        self.negotiate(message).await?;
        self.log_attempt(&request);
        let (user, minor) = (request.user.clone(), request.minor);
        let own_uid = self.stream.socket().peer_uid() == Some(rustix::process::geteuid().as_raw());
        if user == "pgbouncer" && own_uid {
            tracing::info!("{} pgbouncer access from unix socket", self.label);
            return Ok(Proof::Console { right: Right::Admin, user, minor, _seat: None });
        }
        self.demand_tls()?;
        // Limits must not lock those out who can raise them.
        let admin = self.live.config.settings.admin_users.contains(&user);
        let seat = if admin { None } else { Some(self.take_seat(&request, None)?) };
        self.authenticate(&request, None).await?;
        let settings = &self.live.config.settings;
        let right = if admin {
            Right::Admin
        } else if settings.stats_users.contains(&user) || settings.auth_type == AuthType::Any {
            Right::Stats
        } else {
            return Err(refused(SqlState::INSUFFICIENT_PRIVILEGE, "not allowed"));
        };
        Ok(Proof::Console { right, user, minor, _seat: seat })
    }

    pub(super) async fn serve_console(
        &mut self,
        right: Right,
        user: &str,
        minor: u16,
    ) -> Result<(), End> {
        let Some(console) = self.shared.console.get().cloned() else { return Err(End::Left) };
        let greeting = console.greeting();
        let parameters = greeting.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let mut out = BytesMut::new();
        write_welcome(&mut out, parameters, &CancelKey::draw(minor, None));
        self.send(&out).await?;
        let mut answer = BytesMut::new();
        loop {
            let (tag, body) = self.console_message().await?;
            match tag {
                frontend::Query::TAG => {
                    let text = String::from_utf8_lossy(frontend::query::text(&body)).into_owned();
                    let go_on = console.answer(right, user, &text, &mut answer).await;
                    self.send(&answer).await?;
                    answer.clear();
                    if !go_on {
                        return Ok(());
                    }
                }
                frontend::Terminate::TAG => return Ok(()),
                frontend::Parse::TAG
                | frontend::Bind::TAG
                | frontend::Execute::TAG
                | frontend::Describe::TAG => {
                    let text = "extended query protocol not supported by admin console";
                    return Err(refused(SqlState::FEATURE_NOT_SUPPORTED, text));
                }
                _ => return Err(refused(SqlState::PROTOCOL_VIOLATION, "bad packet")),
            }
        }
    }
}
