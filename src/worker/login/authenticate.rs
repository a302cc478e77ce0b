//! Is it really it? The authentication exchange, and the secret that it is held against.

use pgweir_codec::sqlstate::SqlState;

use super::Guest;
use super::end::{End, denied, refused, turned_away};
use super::request::Request;
use crate::auth::client::{ClientLogin, ClientStep, Exchange, Proven};
use crate::auth::hba::{Visit, Way, way};
use crate::auth::identity::{Claim, Shown};
use crate::auth::lookup::{Lookup, lookup};
use crate::auth::mock::{Likeness, Looks};
use crate::auth::random::Draws;
use crate::auth::secret::Secret;
use crate::config::Database;
use crate::net::stream::Stream;

impl Guest<'_> {
    pub(super) async fn authenticate(
        &mut self,
        request: &Request,
        database: Option<&Database>,
    ) -> Result<(Option<Secret>, Proven), End> {
        let live = self.live.clone();
        let user = request.user.as_str();
        let visit = self.visit(request);
        match way(&live.config, &visit).map_err(|away| turned_away(&away))? {
            Way::Exchange(exchange) => self.exchange(exchange, user, database).await,
            Way::Directory(options) => self.by_directory(options, user, database).await,
            Way::System => self.by_system(user, database).await,
            Way::Certificate { map } => {
                let secret = self.secret(user, database).await?;
                let claim =
                    Claim { user, exists: secret.is_some(), map, maps: &live.config.hba.maps };
                claim.by_certificate(self.shown()).map_err(|error| denied(&error))?;
                Ok((secret, Proven::Nothing))
            }
            Way::Peer { map } => {
                let secret = self.secret(user, database).await?;
                let owner = self.owner().await;
                let claim =
                    Claim { user, exists: secret.is_some(), map, maps: &live.config.hba.maps };
                claim.by_peer(owner.as_deref()).map_err(|error| denied(&error))?;
                Ok((secret, Proven::Nothing))
            }
        }
    }

    fn visit<'r>(&self, request: &'r Request) -> Visit<'r> {
        Visit {
            user: &request.user,
            database: &request.database,
            // In a line of its own, as in PostgreSQL: physical replication belongs to no database.
            replication: request.replication.as_ref().is_some_and(|asked| asked.physical),
            address: self.peer.map(|peer| peer.ip()),
            tls: matches!(self.stream, Stream::Tls(_)),
        }
    }

    /// The way of a message exchange.
    async fn exchange(
        &mut self,
        exchange: Exchange,
        user: &str,
        database: Option<&Database>,
    ) -> Result<(Option<Secret>, Proven), End> {
        if exchange == Exchange::Any && database.is_some_and(|database| database.user.is_none()) {
            tracing::warn!(of = %self.label, "auth_type=any requires forced user");
            return Err(refused(SqlState::CONFIG_FILE_ERROR, "bouncer config error"));
        }
        let (secret, stranger) = self.secret_and_stranger(user, database).await?;
        let config = &self.live.config;
        let asked = || lookup(user, database, &config.settings, &config.userlist);
        if exchange == Exchange::Trust && secret.is_none() && matches!(asked(), Lookup::Ask(_)) {
            return Err(refused(SqlState::INVALID_AUTHORIZATION_SPECIFICATION, "no such user"));
        }
        let looks = Looks {
            key: self.shared.mock_key,
            stranger,
            scram_iterations: self.live.config.settings.scram_iterations,
        };
        let mut login = ClientLogin::new(exchange, user, secret.clone(), &Draws::draw(), &looks)
            .bound_to(self.end_point.clone());
        let mut step = login.start();
        loop {
            match step {
                ClientStep::Send(bytes) => {
                    self.send(&bytes).await?;
                    step = login.message(self.auth_message().await?);
                }
                ClientStep::Derive(derivation) => {
                    let derivations = &self.shared.derivations;
                    let keys = derivations.keys(&derivation).await.ok_or(End::Left)?;
                    step = login.derived(&keys);
                    if matches!(step, ClientStep::Accepted { .. }) {
                        derivations.was_right(&derivation, &keys);
                    }
                }
                ClientStep::Accepted { send, proven } => {
                    // Together with the welcome, as PostgreSQL sends it, or with why there is none.
                    self.outbox.extend(send);
                    return Ok((secret, proven));
                }
                ClientStep::Refused(error) => return Err(denied(&error)),
            }
        }
    }

    /// What is stored to recognise the user by; `None`: there is no such user.
    async fn secret(&self, user: &str, database: Option<&Database>) -> Result<Option<Secret>, End> {
        Ok(self.secret_and_stranger(user, database).await?.0)
    }

    /// Also how a user of this name shall look if there is none.
    async fn secret_and_stranger(
        &self,
        user: &str,
        database: Option<&Database>,
    ) -> Result<(Option<Secret>, Likeness), End> {
        let config = &self.live.config;
        let of_file = self.live.crowd.pick(user, &self.shared.mock_key);
        match lookup(user, database, &config.settings, &config.userlist) {
            Lookup::Known(secret) => Ok((Some(secret), of_file)),
            // As where the database exists, and the query finds nobody.
            Lookup::Unknown if config.settings.auth_user.is_some() => {
                Ok((None, self.shared.asked.likeness()))
            }
            Lookup::Unknown => Ok((None, of_file)),
            Lookup::Ask(ask) => {
                let own = database.is_some_and(|database| database.name == ask.dbname);
                if !own && self.shared.disabled.contains_key(&ask.dbname) {
                    let text = format!("authentication database \"{}\" is disabled", ask.dbname);
                    return Err(refused(SqlState::CANNOT_CONNECT_NOW, &text));
                }
                let secret = self.ask(user, &ask).await?;
                if let Some(secret) = &secret {
                    self.shared.asked.learn(secret);
                }
                Ok((secret, self.shared.asked.likeness()))
            }
        }
    }

    /// What the client shows of itself in TLS.
    fn shown(&self) -> Shown<'_> {
        if matches!(self.stream, Stream::Plain(_)) {
            return Shown::NoTls;
        }
        // Without authorities a certificate that happens to be there was not checked.
        let checked = self.live.config.settings.client_tls.ca_file.is_some();
        match self.stream.peer_certificate().filter(|_| checked) {
            Some(der) => Shown::Certificate(der),
            None => Shown::NoCertificate,
        }
    }

    /// The system's name for who owns the process at the other end of a Unix-domain socket.
    async fn owner(&self) -> Option<String> {
        let uid = self.stream.socket().peer_uid()?;
        // Where users are kept on a server in the network, asking takes its time.
        let asked = tokio::task::spawn_blocking(move || {
            nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid))
        });
        match asked.await.ok()? {
            Ok(user) => user.map(|user| user.name),
            Err(error) => {
                tracing::warn!(of = %self.label, "cannot look up user id {uid}: {error}");
                None
            }
        }
    }
}
