//! Is it really it? The authentication exchange, and the secret that it is held against.

use pgweir_codec::sqlstate::SqlState;

use super::Guest;
use super::end::{End, denied, fatal, refused};
use crate::auth::client::{ClientLogin, ClientStep, Proven};
use crate::auth::lookup::{Ask, Lookup, lookup, read_rows};
use crate::auth::random::Draws;
use crate::auth::secret::Secret;
use crate::config::{AuthType, Database};
use crate::metrics::AuthFailure;
use crate::net::clock;
use crate::server::query;
use crate::worker::service::{Access, forced_credentials};
use crate::worker::shared::Live;

impl Guest<'_> {
    pub(super) async fn authenticate(
        &mut self,
        user: &str,
        database: Option<&Database>,
    ) -> Result<(Option<Secret>, Proven), End> {
        let settings = &self.live.config.settings;
        let auth_type = settings.auth_type;
        if auth_type == AuthType::Any && database.is_some_and(|database| database.user.is_none()) {
            tracing::warn!("{} auth_type=any requires forced user", self.label);
            return Err(refused(SqlState::CONFIG_FILE_ERROR, "bouncer config error"));
        }
        let secret = match lookup(user, database, settings, &self.live.config.userlist) {
            Lookup::Known(secret) => Some(secret),
            Lookup::Unknown => None,
            Lookup::Ask(ask) => self.ask(user, &ask).await?,
        };
        let draws = Draws::draw();
        let mut login =
            ClientLogin::new(auth_type, user, secret.clone(), &draws, &self.shared.mock_key);
        let mut step = login.start();
        loop {
            match step {
                ClientStep::Send(bytes) => {
                    self.send(&bytes).await?;
                    step = login.message(self.auth_message().await?);
                }
                ClientStep::Accepted { send, proven } => {
                    if let Some(bytes) = send {
                        self.send(&bytes).await?;
                    }
                    return Ok((secret, proven));
                }
                ClientStep::Refused(error) => return Err(denied(&error)),
            }
        }
    }

    /// Asks a server for the user's secret (`auth_query`).
    pub(super) async fn ask(&self, user: &str, ask: &Ask) -> Result<Option<Secret>, End> {
        let failed = |reason: String| {
            let response = fatal(SqlState::CONFIG_FILE_ERROR, "bouncer config error");
            End::Denied(
                Box::new(response),
                AuthFailure::Lookup,
                format!("auth_query failed: {reason}"),
            )
        };
        let Live { config, server_tls, .. } = &*self.live;
        let Some(database) = config.database(&ask.dbname) else {
            return Err(failed(format!(
                "authentication database \"{}\" is not configured.",
                ask.dbname
            )));
        };
        let credentials = forced_credentials(config, &database, &ask.as_user);
        let service =
            self.shared.services.find(config, server_tls, &database, &ask.as_user, credentials);
        let mut access = Access::new(&service, self.holder.id);
        let mut lease =
            access.attach(clock::now()).await.map_err(|error| failed(error.to_string()))?;
        let connection = lease.connection();
        connection.bring_here().map_err(|error| failed(error.to_string()))?;
        let rows = query::with_parameter(connection, &ask.sql, user).await;
        let rows = match rows {
            Ok(rows) => rows,
            Err(error) => {
                let reusable =
                    matches!(&error, query::QueryError::Refused(response) if !response.is_fatal());
                if reusable {
                    lease.give_back(clock::now());
                }
                return Err(failed(error.to_string()));
            }
        };
        lease.give_back(clock::now());
        read_rows(user, &rows).map_err(|error| failed(error.to_string()))
    }
}
