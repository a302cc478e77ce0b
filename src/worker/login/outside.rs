//! The ways on which a directory or the system judges a password.

use pgweir_codec::sqlstate::SqlState;

use super::Guest;
use super::end::{End, denied, refused};
use crate::auth::client::Proven;
use crate::auth::outside::OutsideLogin;
use crate::auth::refusal::{Method, Reason};
use crate::auth::secret::Secret;
use crate::config::{Database, LdapOptions, SecretText};

/// What a login has come to: see [`Guest::authenticate`].
type Known = (Option<Secret>, Proven);

impl Guest<'_> {
    pub(super) async fn by_directory(
        &mut self,
        options: &LdapOptions,
        user: &str,
        database: Option<&Database>,
    ) -> Result<Known, End> {
        let login = OutsideLogin { user, method: Method::Ldap };
        let password = self.outside_password(login, database).await?;
        let confirmed = self.shared.directory.confirm(options, user, password.reveal()).await;
        confirmed.map_err(|fault| denied(&login.refusal(Reason::Directory(fault))))?;
        Ok(known(password))
    }

    pub(super) async fn by_system(
        &mut self,
        user: &str,
        database: Option<&Database>,
    ) -> Result<Known, End> {
        let login = OutsideLogin { user, method: Method::Pam };
        let password = self.outside_password(login, database).await?;
        let from = self.peer.map(|peer| peer.ip());
        let confirmed = self.shared.system.confirm(user, password.reveal(), from).await;
        confirmed.map_err(|fault| denied(&login.refusal(Reason::System(fault))))?;
        Ok(known(password))
    }

    async fn outside_password(
        &mut self,
        login: OutsideLogin<'_>,
        database: Option<&Database>,
    ) -> Result<SecretText, End> {
        // Two opinions on who there is; pgbouncer takes that for a mistake.
        if database.is_some_and(|database| database.auth_user.is_some()) {
            let method = login.method.name();
            tracing::warn!(of = %self.label, "{method} does not go with the entry's auth_user");
            return Err(refused(SqlState::CONFIG_FILE_ERROR, "bouncer config error"));
        }
        self.send(&login.question()).await?;
        let answer = self.auth_message().await?;
        login.password(&answer).map_err(|error| denied(&error))
    }
}

/// What was confirmed is good for servers too.
fn known(password: SecretText) -> Known {
    (Some(Secret::Plain(password.reveal().to_owned())), Proven::Password(password))
}
