//! Clients of the console: who may.

use pgweir_codec::sqlstate::SqlState;
use pgweir_codec::startup::StartupMessage;

use super::end::{End, refused};
use super::request::Request;
use super::{Guest, Proof};
use crate::config::AuthType;
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
        let name = request.application_name.as_deref().unwrap_or_default();
        let (user, minor) = (request.user.clone(), request.minor);
        let application_name = String::from_utf8_lossy(name).into_owned();
        let own_uid = self.stream.socket().peer_uid() == Some(rustix::process::geteuid().as_raw());
        if user == "pgbouncer" && own_uid {
            tracing::info!(of = %self.label, "pgbouncer access from unix socket");
            let seat = self.sit_regardless(&request);
            let right = Right::Owner;
            return Ok(Proof::Console { right, application_name, minor, _seat: seat });
        }
        self.demand_tls()?;
        let admin = self.live.config.settings.admin_users.contains(&user);
        let seat = if admin {
            self.sit_regardless(&request)
        } else {
            Some(self.take_seat(&request, None)?)
        };
        self.authenticate(&request, None).await?;
        let settings = &self.live.config.settings;
        let right = if admin {
            Right::Admin
        } else if settings.stats_users.contains(&user) || settings.auth_type == AuthType::Any {
            Right::Stats
        } else {
            return Err(refused(SqlState::INSUFFICIENT_PRIVILEGE, "not allowed"));
        };
        Ok(Proof::Console { right, application_name, minor, _seat: seat })
    }
}
